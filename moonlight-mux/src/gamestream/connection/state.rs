//! Where a connection stands.

use std::time::{Duration, Instant};

use super::EndReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// RTSP, then the control stream.
    Connecting,
    /// No video datagram has come. How long that may take the owner knows: hosts that start a container take a minute.
    AwaitingVideo,
    /// Video datagrams have come, but no key frame; one must until then.
    AwaitingPicture(Instant),
    Streaming,
    /// The host is being told.
    Ending(EndReason),
    Ended,
}

impl State {
    pub(super) fn awaiting_picture(now: Instant) -> Self {
        Self::AwaitingPicture(now + PICTURE_TIMEOUT)
    }

    /// When a picture must have come.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::AwaitingPicture(deadline) => Some(deadline),
            Self::Connecting | Self::AwaitingVideo | Self::Streaming | Self::Ending(_) | Self::Ended => None,
        }
    }
}

/// From the first video datagram to the first key frame (streams 8.1).
const PICTURE_TIMEOUT: Duration = Duration::from_secs(10);
