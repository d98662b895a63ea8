//! A session's picture while it runs.

use std::sync::Arc;
use std::time::Instant;

use super::{HostPicture, HostSource};
use crate::gamestream::wire::sdp::Announcement;
use crate::input::HostInput;
use crate::media::{VideoCodec, VideoFrame};
use crate::source::{Command, Ended, Event, SourceEnd, SourceError, SourceIo, VideoSource};
use crate::task::{self, Task};
#[cfg(feature = "test-picture")]
use crate::test_picture::{Desktop, PictureSize, TestPicture, TestPictureConfig};

/// A source that plays, and what shows input in it.
#[derive(Debug)]
pub(super) struct Show {
    source: SourceEnd,
    #[cfg(feature = "test-picture")]
    desktop: Option<Desktop>,
    /// Hears of what was sent.
    told: Option<Arc<dyn HostSource>>,
    /// Ends with `source`, or is aborted.
    _task: Task<Result<Ended, SourceError>>,
}

impl Show {
    /// Begins; `None` if there is nothing to show, or nothing of that size.
    pub(super) fn new(picture: &HostPicture, announcement: &Announcement) -> Option<Self> {
        match picture {
            #[cfg(feature = "test-picture")]
            HostPicture::Live => {
                let Announcement { width, height, fps, packet_duration, .. } = announcement;
                let config = TestPictureConfig {
                    size: PictureSize::new(width & !1, height & !1).ok()?,
                    fps: (*fps).clamp(1, 240),
                    packet_duration: *packet_duration,
                    ..TestPictureConfig::default()
                };
                let picture = TestPicture::new(config).ok()?;
                let desktop = picture.desktop();
                Some(Self { desktop: Some(desktop), ..Self::play(picture) })
            }
            HostPicture::Recording(recording) => {
                let _ = announcement;
                Some(Self::play(Arc::clone(recording)))
            }
            HostPicture::Source(source) => {
                Some(Self { told: Some(Arc::clone(source)), ..Self::play(Arc::clone(source)) })
            }
            HostPicture::Black => None,
        }
    }

    fn play(source: impl VideoSource) -> Self {
        let (io, end) = SourceIo::alone();
        Self {
            source: end,
            #[cfg(feature = "test-picture")]
            desktop: None,
            told: None,
            _task: task::spawn(async move { source.run(io).await }),
        }
    }

    /// What it gives next; `None` when it is over. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.source.events.recv().await
    }

    pub(super) fn want_keyframe(&self) {
        // Full: an older wish is waiting.
        let _ = self.source.commands.try_send(Command::Keyframe);
    }

    /// Whether it is made as it is shown.
    pub(super) fn is_live(&self) -> bool {
        #[cfg(feature = "test-picture")]
        return self.desktop.is_some();
        #[cfg(not(feature = "test-picture"))]
        return false;
    }

    /// A picture's datagrams were sent, from `first` to `last`.
    pub(super) fn sent(&self, frame: &VideoFrame, first: Instant, last: Instant) {
        if let Some(source) = &self.told {
            source.sent(frame, first, last);
        }
    }

    /// Shows input.
    pub(super) fn handle_input(&self, input: &HostInput) {
        #[cfg(feature = "test-picture")]
        if let Some(desktop) = &self.desktop {
            desktop.handle(input);
        }
        let _ = input;
    }
}

impl HostPicture {
    pub(super) fn codec(&self) -> VideoCodec {
        match self {
            #[cfg(feature = "test-picture")]
            Self::Live => VideoCodec::H264,
            Self::Recording(recording) => recording.info().video.codec,
            Self::Source(_) | Self::Black => VideoCodec::H264,
        }
    }
}
