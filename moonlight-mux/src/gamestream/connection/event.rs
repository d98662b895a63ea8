//! What a connection has for its driver.

use std::time::Duration;

use crate::gamestream::wire::control::{HostMessage, Termination};
use crate::gamestream::{control, rtsp};
use crate::media::{AudioFrame, StreamInfo, VideoFrame};
use crate::source::Stage;

/// A UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Control,
    Video,
    Audio,
}

/// A datagram for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) stream: Stream,
    /// The host's.
    pub(crate) port: u16,
    pub(crate) bytes: Vec<u8>,
}

/// What a connection has for its driver, in this order: stages, [`Event::Connected`], [`Event::Info`], then what the
/// session brings, and [`Event::Ended`] as the last, whenever it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// In the order of Moonlight's (session 19).
    StageStarting(Stage),
    StageComplete(Stage),
    /// Media and host messages follow; input is taken.
    Connected,
    Info(StreamInfo),
    /// The first is a key frame.
    Video(VideoFrame),
    Audio(AudioFrame),
    Host(HostMessage),
    Ended {
        reason: EndReason,
    },
}

/// Why a connection ended: the first reason that there was. The numbers are Moonlight's (session 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EndReason {
    #[error("the RTSP handshake failed after {elapsed:?}")]
    Rtsp {
        /// Since the connection was begun.
        elapsed: Duration,
        #[source]
        error: rtsp::Error,
    },
    /// The control stream could not be set up, or broke.
    #[error(transparent)]
    Control(control::EndReason),
    /// The host ended a session that had shown a picture; 0 if it was [`Termination::INTENDED`].
    #[error("the host ended the session {0}")]
    Terminated(Termination),
    /// The host ended the session before there was any picture: it could not capture or encode; −102.
    #[error(
        "the host ended the session {0}, before it had a first picture: it may not be able to capture or encode"
    )]
    TerminatedEarly(Termination),
    /// −101: too much is lost.
    #[error("no whole key frame came within 10 s of the first video datagram")]
    NoPicture,
    /// By [`Connection::close`](super::Connection::close).
    #[error("closed")]
    Closed,
}
