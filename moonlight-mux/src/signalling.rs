//! How a viewer and its egress find each other: offers, answers and candidates over any transport.
//!
//! A transport (a WebSocket, WHEP, a message bus, an in-process channel) implements [`Signalling`]. What passes
//! through it is [`Signal`], the library's own vocabulary; how a wire spells it is the transport's business.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::peer::LeaveReason;

/// A message between a viewer and its egress, about their connection. What the stream does, the transport's owner tells
/// the viewer, from [`Streamer::watch_state`](crate::Streamer::watch_state).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Signal {
    /// To the viewer, first of all: the ICE servers that it should use. Again: its connection has failed in a way that the next
    /// will not, so it shall close that, make a new one, and offer again.
    IceServers(Vec<IceServer>),
    /// Either way: an offer or an answer.
    Description(Description),
    /// Either way: one ICE candidate.
    Candidate(Candidate),
    /// From the viewer: what it sees.
    Report(Report),
}

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Offer or answer.
    pub kind: DescriptionKind,
    /// The SDP text (RFC 8866).
    pub sdp: String,
}

/// The role of a [`Description`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DescriptionKind {
    /// It opens a negotiation.
    Offer,
    /// It ends one.
    Answer,
}

/// An ICE candidate, as a browser's `RTCIceCandidate` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// The `candidate:…` line of RFC 8839; empty means that there are no more.
    pub candidate: String,
    /// The media section's identification tag.
    pub sdp_mid: Option<String>,
    /// The media section's index.
    pub sdp_mline_index: Option<u16>,
    /// The ICE user name fragment that it belongs to.
    pub username_fragment: Option<String>,
}

impl Candidate {
    /// Whether it may be one of the connection with this user name fragment.
    pub(crate) fn belongs_to(&self, ufrag: Option<&str>) -> bool {
        self.username_fragment.is_none() || self.username_fragment.as_deref() == ufrag
    }
}

/// A STUN or TURN server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` addresses.
    pub urls: Vec<String>,
    /// TURN user name.
    pub username: Option<String>,
    /// TURN password. Secret: not in the `Debug` output.
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .field("username", &self.username)
            .field("credential", &self.credential.as_ref().map(|_| "…"))
            .finish()
    }
}

/// What a viewer says of its own picture: it knows best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What happened.
    pub event: ReportEvent,
    /// When, counted from the viewer's join.
    pub after: std::time::Duration,
}

/// The kinds of [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ReportEvent {
    /// The first picture is on screen.
    FirstFrame,
    /// There is no picture although there should be one.
    Black,
    /// The picture stands still although frames should arrive.
    Frozen,
    /// The picture moves again.
    Playing,
}

/// Why a signalling transport could not take or give a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The other side is gone. Final.
    #[error("the signalling connection is closed")]
    Closed,
    /// A message could not be understood. The transport goes on; too many of them end the viewer.
    #[error("malformed signalling message: {reason}")]
    Malformed {
        /// What is wrong with it, for the viewer and the log; never the message itself.
        reason: &'static str,
    },
}

/// A signalling transport: two halves, so that sending never waits for receiving.
pub trait Signalling: Send + 'static {
    /// The half that sends to the viewer.
    type Sink: SignalSink;
    /// The half that receives from the viewer.
    type Stream: SignalStream;

    /// Takes the transport apart.
    fn split(self) -> (Self::Sink, Self::Stream);
}

/// Sends to one viewer.
#[async_trait]
pub trait SignalSink: Send + 'static {
    /// Sends one message. Need not be cancel safe: an egress never abandons a send and goes on.
    ///
    /// # Errors
    /// [`SignalError::Closed`] when the viewer is gone.
    async fn send(&mut self, signal: Signal) -> Result<(), SignalError>;

    /// Says why the viewer's session ended and closes the transport. Errors do not matter any more.
    async fn close(&mut self, reason: LeaveReason);
}

/// Receives from one viewer.
#[async_trait]
pub trait SignalStream: Send + 'static {
    /// The next message. Must be cancel safe: a dropped call loses no message.
    ///
    /// # Errors
    /// [`SignalError::Malformed`] for a message that cannot be understood: the next call goes on behind it.
    /// [`SignalError::Closed`] at the end, again and again.
    async fn recv(&mut self) -> Result<Signal, SignalError>;
}
