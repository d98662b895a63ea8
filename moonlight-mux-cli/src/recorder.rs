//! A stream's pictures and sound into a file, second by second.

use std::io;
use std::path::Path;
use std::time::Duration;

use moonlight_mux::{Media, Streamer, Subscription};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::{MissedTickBehavior, interval};

use crate::mp4::{Mp4, Mp4Error};

/// Why a file has no more of the stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("writing failed")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Mp4(#[from] Mp4Error),
    #[error("the stream changed to {0}, which one file cannot hold")]
    OtherCodec(&'static str),
}

/// A file that a stream is written to.
pub(crate) struct Recorder {
    file: File,
    streamer: Streamer,
    media: Subscription,
    mp4: Option<Mp4>,
    codec: &'static str,
}

impl Recorder {
    /// Makes the file anew.
    pub(crate) async fn create(path: &Path, streamer: &Streamer) -> io::Result<Self> {
        let file = File::create(path).await?;
        Ok(Self { file, streamer: streamer.clone(), media: streamer.subscribe(), mp4: None, codec: "" })
    }

    /// Writes until the stream ends. A disk that is slow loses pictures up to a keyframe, as a slow viewer does.
    pub(crate) async fn run(mut self) -> Result<(), RecordError> {
        let mut flush = interval(FRAGMENT);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                media = self.media.recv() => match media {
                    Some(media) => self.take(media).await?,
                    None => return self.write_fragment().await,
                },
                _ = flush.tick() => self.write_fragment().await?,
            }
        }
    }

    async fn take(&mut self, media: Media) -> Result<(), RecordError> {
        match (media, &mut self.mp4) {
            (Media::Video(frame), Some(mp4)) => {
                // A new format begins with a keyframe.
                if frame.keyframe {
                    let codec = self.streamer.info().map_or(self.codec, |info| info.video.codec.name());
                    if codec != self.codec {
                        return Err(RecordError::OtherCodec(codec));
                    }
                }
                mp4.video(&frame)?;
            }
            (Media::Video(frame), None) => {
                // A source states what it carries before its first frame.
                let Some(info) = self.streamer.info() else { return Ok(()) };
                let (mp4, head) = Mp4::begin(&info, &frame)?;
                self.codec = info.video.codec.name();
                self.mp4 = Some(mp4);
                self.write(&head).await?;
            }
            (Media::Audio(packet), Some(mp4)) => mp4.audio(&packet),
            // Sound begins with the picture. A gap makes the picture in front of it last longer.
            (Media::Audio(_), None) | (Media::Gap { .. }, _) => {}
        }
        Ok(())
    }

    async fn write_fragment(&mut self) -> Result<(), RecordError> {
        let fragment = self.mp4.as_mut().map_or(Ok(None), Mp4::fragment)?;
        match fragment {
            Some(fragment) => self.write(&fragment).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.file.write_all(bytes).await?;
        // To the operating system: what it has outlives this program.
        Ok(self.file.flush().await?)
    }
}

/// How much a killed program loses at most.
const FRAGMENT: Duration = Duration::from_millis(500);
