//! Why a session with a host failed, for people and programs outside.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gamestream::address::HostAddress;
use crate::gamestream::connection::EndReason;
use crate::gamestream::host::HostError;
use crate::gamestream::wire::control::Termination;
use crate::gamestream::{control, rtsp};
use crate::source::SourceError;

/// A session with a host that could not be set up, or broke; the cause of a [`SourceError`], to downcast.
///
/// `Display` tells all that is known: host, elapsed time, and reason down to its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionError {
    host: HostAddress,
    elapsed: Duration,
    kind: ConnectionErrorKind,
    is_timeout: bool,
    host_code: Option<u32>,
    /// Wishes and host cannot agree.
    is_permanent: bool,
    /// The reason and its causes, down to the root.
    text: String,
}

impl ConnectionError {
    pub(super) fn new(host: HostAddress, elapsed: Duration, reason: EndReason) -> Self {
        let mut text = reason.to_string();
        let mut source = reason.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self {
            host,
            elapsed,
            kind: kind(reason),
            is_timeout: is_timeout(reason),
            host_code: host_code(reason),
            is_permanent: is_permanent(reason),
            text,
        }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &HostAddress {
        &self.host
    }

    /// Since the host had agreed to the session.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What kind of end it was.
    #[must_use]
    pub fn kind(&self) -> ConnectionErrorKind {
        self.kind
    }

    /// Whether the host was waited for in vain.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.is_timeout
    }

    /// The host's own number: its RTSP status, or the code with which it ended the session.
    #[must_use]
    pub fn host_code(&self) -> Option<u32> {
        self.host_code
    }

    /// As a source's failure.
    pub(super) fn into_source_error(self) -> SourceError {
        if self.is_permanent { SourceError::permanent(self) } else { SourceError::retryable(self) }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:.1} s: {}", self.host, self.elapsed.as_secs_f32(), self.text)
    }
}

impl Error for ConnectionError {}

fn kind(reason: EndReason) -> ConnectionErrorKind {
    use ConnectionErrorKind as Kind;
    match reason {
        EndReason::Rtsp { error, .. } if error.cause == rtsp::Cause::NoSession => Kind::NoSession,
        EndReason::Rtsp { .. } => Kind::Handshake,
        EndReason::Control(control::EndReason::HostSilent) => Kind::HostSilent,
        EndReason::Control(control::EndReason::HostDisconnected) => Kind::HostDisconnected,
        EndReason::Control(_) | EndReason::Closed => Kind::Control,
        EndReason::Terminated(_) | EndReason::TerminatedEarly(_) => Kind::Terminated,
        EndReason::NoPicture => Kind::NoPicture,
    }
}

fn is_timeout(reason: EndReason) -> bool {
    match reason {
        EndReason::Rtsp { error, .. } => error.cause == rtsp::Cause::Silent,
        EndReason::Control(reason) => {
            matches!(reason, control::EndReason::Unreachable | control::EndReason::HostSilent)
        }
        reason => matches!(reason, EndReason::NoPicture),
    }
}

fn host_code(reason: EndReason) -> Option<u32> {
    match reason {
        EndReason::Rtsp { error, .. } => match error.cause {
            rtsp::Cause::Status(status) => Some(status.into()),
            _ => None,
        },
        EndReason::Terminated(Termination(code))
        | EndReason::TerminatedEarly(Termination(code))
        | EndReason::Control(control::EndReason::Terminated(Termination(code))) => Some(code),
        _ => None,
    }
}

/// Only what wishes and host cannot agree on is met again by the next try.
fn is_permanent(reason: EndReason) -> bool {
    let EndReason::Rtsp { error, .. } = reason else { return false };
    matches!(error.cause, rtsp::Cause::Negotiation(_) | rtsp::Cause::RequestTooLong { .. })
}

/// How a session with a host ended against our wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ConnectionErrorKind {
    /// The host agreed to a session and then knew of none.
    NoSession,
    /// RTSP failed in any other way.
    Handshake,
    /// The control connection could not be set up.
    Control,
    /// The connection stood, but no whole keyframe came within 10 s.
    NoPicture,
    /// The host ended it, before there was a picture or with a code that means trouble.
    Terminated,
    /// The host disconnected and did not say why: the app may have been quit there.
    HostDisconnected,
    /// Nothing came from the host for 10 s.
    HostSilent,
}

/// As a source's failure.
pub(super) fn of_host(error: HostError) -> SourceError {
    if error.is_permanent() { SourceError::permanent(error) } else { SourceError::retryable(error) }
}
