//! A recorded GameStream session as a source.

mod negotiated;
pub(crate) mod pcap;
mod playback;
mod reference;
mod replay;
pub(crate) mod transcript;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep_until;

pub use self::pcap::PcapError;
use self::playback::Playback;
pub use self::reference::{Comparison, ControlProperty, Difference, RtspProperty, VideoProperty};
pub use self::replay::{Replay, Replayed};
use crate::media::{AudioFrame, StreamInfo, VideoFrame};
use crate::source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
use crate::task;

/// A recorded GameStream session: its frames, and a [`VideoSource`] that plays them over and over in real time.
///
/// The datagrams of the capture go through the same code as those of a live host when the recording is opened, with
/// the times at which they were received. As a source it plays what came out, at the times at which it came out;
/// frame numbers and timestamps rise on from round to round. A keyframe wish makes it go back to the nearest
/// keyframe: a recording can answer in no other way.
#[derive(Debug)]
pub struct Recording {
    info: StreamInfo,
    /// At least one of them a picture; the first picture is a keyframe.
    items: Vec<Item>,
}

/// A picture or a packet of sound, and when it was handed on.
#[derive(Debug)]
struct Item {
    /// Since the first one.
    at: Duration,
    media: Media,
}

#[derive(Debug)]
enum Media {
    Video(VideoFrame),
    Audio(AudioFrame),
}

/// Why a recording cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A file is missing or unreadable.
    #[error("{} cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// `session.json`, `meta.json` or a reference file is not what it should be.
    #[error("{} is malformed", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// `rtsp.txt` is no row of messages.
    #[error("{} holds no whole message at byte {offset}", file.display())]
    Dialogue {
        /// The file.
        file: PathBuf,
        /// Where the message should begin.
        offset: usize,
    },
    /// `rtsp.txt` lacks something, or says it in an unknown way.
    #[error("{} does not say {what}", file.display())]
    Negotiation {
        /// The file.
        file: PathBuf,
        /// The attribute or the request.
        what: &'static str,
    },
    /// `wire.pcap` is no capture, or is cut off.
    #[error("{} is no whole capture", file.display())]
    Capture {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        source: PcapError,
    },
    /// `wire.pcap` holds no picture of this session that can be shown.
    #[error("{} holds no video of this session", file.display())]
    NoVideo {
        /// The file.
        file: PathBuf,
    },
}

impl Recording {
    /// Reads a recording's folder: `session.json`, `rtsp.txt`, and `wire.pcap`, which several folders may share in
    /// the folder above them, then with a `meta.json` in each that says which part of it is meant.
    ///
    /// Blocks while it reads and decodes, and holds all frames in memory: about as much as the capture is long.
    ///
    /// # Errors
    /// When a file is missing, malformed or cut off, or there is no picture in it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let replay = Self::replay(folder)?;
        let media = |(at, replayed)| match replayed {
            Replayed::Video { frame, delivered: true, .. } => Some(Item { at, media: Media::Video(frame) }),
            Replayed::Video { .. } => None,
            Replayed::Audio(frame) => Some(Item { at, media: Media::Audio(frame) }),
        };
        let mut items: Vec<Item> = replay.run().filter_map(media).collect();
        if !items.iter().any(Item::is_keyframe) {
            return Err(RecordingError::NoVideo { file: replay.file });
        }
        if let Some(first) = items.first().map(|item| item.at) {
            items.iter_mut().for_each(|item| item.at -= first);
        }
        Ok(Self { info: replay.info().clone(), items })
    }

    /// Reads a recording's folder, as [`open`](Self::open) does, and the reference files in it, if there are any:
    /// `frames.jsonl`, `du.jsonl`, `audio.jsonl` and `control.jsonl`. Nothing is decoded yet.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    /// When a file is missing, malformed or cut off.
    pub fn replay(folder: impl AsRef<Path>) -> Result<Replay, RecordingError> {
        Replay::open(folder.as_ref())
    }

    /// What the recording carries.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// All pictures of one round, in order, as they were recorded.
    pub fn frames(&self) -> impl Iterator<Item = &VideoFrame> {
        self.items.iter().filter_map(|item| match &item.media {
            Media::Video(frame) => Some(frame),
            Media::Audio(_) => None,
        })
    }

    /// All packets of sound of one round, in order, as they were recorded.
    pub fn audio(&self) -> impl Iterator<Item = &AudioFrame> {
        self.items.iter().filter_map(|item| match &item.media {
            Media::Video(_) => None,
            Media::Audio(frame) => Some(frame),
        })
    }

    /// How far apart frames are where a round ends and the next begins.
    fn spacing(&self) -> Duration {
        let picture = Duration::from_secs(1) / self.info.video.fps.max(1);
        self.info.audio.as_ref().map_or(picture, |audio| picture.max(audio.packet_duration))
    }
}

#[async_trait]
impl VideoSource for Recording {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.stage_starting(Stage::VideoStreamEstablishment);
        io.stage_complete(Stage::VideoStreamEstablishment);
        io.connected();
        io.info(self.info.clone());
        let mut playback = Playback::new(&self.items, self.spacing(), task::now());
        loop {
            tokio::select! {
                // Wishes first: several of them go back once, and a stream that is behind can be stopped.
                biased;
                command = io.command() => match command {
                    None => return Ok(Ended::Stopped),
                    Some(Command::Keyframe) => playback.back_to_keyframe(task::now()),
                    // There is no app to end; the end of the commands follows.
                    Some(Command::Quit) => {}
                },
                () = sleep_until(playback.due().into()) => match playback.play() {
                    Media::Video(frame) => io.video(frame),
                    Media::Audio(frame) => io.audio(frame),
                },
            }
        }
    }
}

impl Item {
    fn is_keyframe(&self) -> bool {
        matches!(&self.media, Media::Video(frame) if frame.keyframe)
    }
}

#[cfg(test)]
mod tests;
