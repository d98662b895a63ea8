//! A recorded GameStream session as a source.

mod negotiated;
pub(crate) mod pcap;
mod playback;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::time::sleep_until;

use self::negotiated::{Missing, Negotiated, Requested, Window};
pub use self::pcap::PcapError;
use self::playback::Playback;
use crate::gamestream::session::{AudioConfig, Event, Session, SessionConfig, VideoConfig};
use crate::media::{AudioFrame, AudioInfo, StreamInfo, VideoFrame, VideoInfo};
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
    /// `session.json` or `meta.json` is not what it should be.
    #[error("{} is malformed", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// `rtsp.txt` lacks something, or says it in an unknown way.
    #[error("{} does not say {what}", file.display())]
    Negotiation {
        /// The file.
        file: PathBuf,
        /// The name of the attribute or header.
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
        let folder = folder.as_ref();
        let requested: Requested = read_json(folder.join("session.json"))?;
        let window: Option<Window> = match read_json(folder.join("meta.json")) {
            Ok(window) => Some(window),
            Err(RecordingError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = folder.join("rtsp.txt");
        let dialogue = read(&file)?;
        let negotiated = Negotiated::parse(&String::from_utf8_lossy(&dialogue))
            .map_err(|Missing(what)| RecordingError::Negotiation { file, what })?;

        let own = folder.join("wire.pcap");
        let shared = folder.join("..").join("wire.pcap");
        let file = if !own.exists() && shared.exists() { shared } else { own };
        let capture = read(&file)?;
        let datagrams = match pcap::datagrams(&capture) {
            Ok(datagrams) => datagrams,
            Err(source) => return Err(RecordingError::Capture { file, source }),
        };
        let datagrams = datagrams.into_iter().filter(|datagram| {
            let (from, to) = (*datagram.source.ip(), *datagram.destination.ip());
            window.as_ref().is_none_or(|window| window.contains(datagram.at, from, to))
        });

        let items = receive(&requested, &negotiated, datagrams);
        if !items.iter().any(Item::is_keyframe) {
            return Err(RecordingError::NoVideo { file });
        }
        let video = VideoInfo {
            codec: negotiated.codec,
            width: requested.width,
            height: requested.height,
            fps: requested.fps,
        };
        let audio = AudioInfo { channels: requested.channels, packet_duration: negotiated.packet_duration };
        Ok(Self { info: StreamInfo { video, audio: Some(audio) }, items })
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

/// What a session makes of the datagrams that its media ports sent.
fn receive<'a>(
    requested: &Requested,
    negotiated: &Negotiated,
    datagrams: impl Iterator<Item = pcap::Datagram<'a>>,
) -> Vec<Item> {
    let mut session = Session::new(&SessionConfig {
        key: requested.rikey.clone(),
        rikeyid: requested.rikeyid(),
        video: VideoConfig { codec: negotiated.codec, encrypted: negotiated.video_encrypted },
        audio: AudioConfig {
            encrypted: negotiated.audio_encrypted,
            packet_duration: negotiated.packet_duration,
        },
    });
    // The session wants instants and compares them only with each other.
    let epoch = task::now();
    let mut began = None;
    let mut now = epoch;
    let mut items = Vec::new();
    for datagram in datagrams {
        now = now.max(epoch + datagram.at.saturating_sub(*began.get_or_insert(datagram.at)));
        while let Some(due) = session.poll_timeout().filter(|&due| due <= now) {
            session.handle_timeout(due);
            drain(&mut session, due - epoch, &mut items);
        }
        match datagram.source.port() {
            port if port == negotiated.video_port => session.handle_video(now, datagram.payload),
            port if port == negotiated.audio_port => session.handle_audio(now, datagram.payload),
            _ => {}
        }
        drain(&mut session, now - epoch, &mut items);
    }
    while let Some(due) = session.poll_timeout() {
        session.handle_timeout(due);
        drain(&mut session, due - epoch, &mut items);
    }
    if let Some(first) = items.first().map(|item| item.at) {
        items.iter_mut().for_each(|item| item.at -= first);
    }
    items
}

fn drain(session: &mut Session, at: Duration, items: &mut Vec<Item>) {
    while let Some(event) = session.poll_event() {
        let media = match event {
            Event::Video(frame) => Media::Video(frame),
            Event::Audio(frame) => Media::Audio(frame),
            Event::RequestIdr => continue,
        };
        items.push(Item { at, media });
    }
}

fn read(file: &Path) -> Result<Vec<u8>, RecordingError> {
    std::fs::read(file).map_err(|source| RecordingError::Read { file: file.into(), source })
}

fn read_json<T: DeserializeOwned>(file: PathBuf) -> Result<T, RecordingError> {
    let text = read(&file)?;
    serde_json::from_slice(&text).map_err(|source| RecordingError::Json { file, source })
}

#[cfg(test)]
mod tests;
