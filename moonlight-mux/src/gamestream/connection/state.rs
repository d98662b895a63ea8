//! Where a connection stands.

use std::time::{Duration, Instant};

use super::EndReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// RTSP, then the control stream.
    Connecting,
    /// No video datagram has come; one must until then.
    AwaitingVideo(Instant),
    /// Video datagrams have come, but no key frame; one must until then.
    AwaitingPicture(Instant),
    Streaming,
    /// The host is being told.
    Ending(EndReason),
    Ended,
}

impl State {
    pub(super) fn awaiting_video(now: Instant) -> Self {
        Self::AwaitingVideo(now + MEDIA_TIMEOUT)
    }

    pub(super) fn awaiting_picture(now: Instant) -> Self {
        Self::AwaitingPicture(now + MEDIA_TIMEOUT)
    }

    /// When media must have come.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::AwaitingVideo(deadline) | Self::AwaitingPicture(deadline) => Some(deadline),
            Self::Connecting | Self::Streaming | Self::Ending(_) | Self::Ended => None,
        }
    }
}

/// For the first video datagram, and from there for the first key frame (streams 8.1).
const MEDIA_TIMEOUT: Duration = Duration::from_secs(10);
