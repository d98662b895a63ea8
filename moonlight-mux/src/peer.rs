//! A viewer as its Streamer's owner sees it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::watch;
use uuid::Uuid;

use crate::input::Rights;
use crate::text_form::text_form;

/// Names one viewer of one streamer. Random, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(Uuid);

impl PeerId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::try_parse(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0)
    }
}

/// What a viewer calls itself, for the other viewers: 1 to [`MAX_LEN`](Self::MAX_LEN) characters, none of them a control
/// character, no white space at either end. Nobody vouches for it, and two viewers may have the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerName(Arc<str>);

/// The text is no [`PeerName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters, none of them a control character")]
pub struct InvalidPeerName;

impl PeerName {
    /// The most characters that a name may have. Four bytes each at most.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerName {
    type Err = InvalidPeerName;

    /// White space at either end is dropped before anything is counted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        let length = name.chars().take(Self::MAX_LEN + 1).count();
        if (1..=Self::MAX_LEN).contains(&length) && !name.chars().any(char::is_control) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidPeerName)
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerName({:?})", self.as_str())
    }
}

/// How a viewer joins.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PeerConfig {
    /// What it is called. Default: nothing.
    pub name: Option<PeerName>,
    /// What it may do. Default: everything.
    pub rights: Rights,
}

text_form!(PeerName);

/// Why a viewer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It left: it closed its connection, or its [`PeerHandle`] was dropped.
    Left,
    /// Its connection stopped answering.
    Vanished,
    /// A newer join of the same viewer took its place.
    Superseded,
    /// Its streamer was deleted.
    StreamerDeleted,
    /// The stream ended: the host ended it, or it failed for good.
    StreamEnded,
    /// The streamer has as many viewers as it takes.
    StreamerFull,
    /// It was sent away.
    Kicked,
    /// It could not keep up.
    TooSlow,
    /// The server shuts down.
    ServerShutdown,
    /// It did not finish its signalling in time.
    SignallingTimeout,
    /// It sent a session description or a candidate that cannot be used, or too many malformed messages.
    BadSignalling,
    /// It sent too many malformed messages on its data channels.
    BadInput,
    /// It cannot play this stream: it does not know the codec.
    UnsupportedCodec,
    /// The stream has another format now, which needs a new connection: it may join again.
    FormatChanged,
    /// No connection to it could be made.
    ConnectionFailed,
    /// A bug in its egress.
    Internal,
}

impl LeaveReason {
    /// The reason as a sentence for people.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Left => "the viewer left",
            Self::Vanished => "the viewer's connection stopped answering",
            Self::Superseded => "the same viewer joined again",
            Self::StreamerDeleted => "the streamer was deleted",
            Self::StreamEnded => "the stream ended",
            Self::StreamerFull => "the streamer has as many viewers as it takes",
            Self::Kicked => "the viewer was sent away",
            Self::TooSlow => "the viewer could not keep up with the stream",
            Self::ServerShutdown => "the server is shutting down",
            Self::SignallingTimeout => "the viewer did not finish its signalling in time",
            Self::BadSignalling => "the viewer sent signalling messages that cannot be used",
            Self::BadInput => "the viewer sent input messages that cannot be used",
            Self::UnsupportedCodec => "the viewer cannot play the codec of this stream",
            Self::FormatChanged => "the stream has another format now, join again",
            Self::ConnectionFailed => "no connection to the viewer could be made",
            Self::Internal => "an internal error ended the viewer's connection",
        }
    }
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// A viewer, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Which one.
    pub id: PeerId,
    /// When it was added.
    pub connected_at: SystemTime,
    /// What it calls itself.
    pub name: Option<PeerName>,
    /// What it may do.
    pub rights: Rights,
    /// Whether it acts: it did something within the last second, or holds something.
    pub acting: bool,
}

/// How a viewer's connection does, as far as its egress counts that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PeerStats {
    /// Pictures sent.
    pub frames: u64,
    /// Packets of those, without retransmissions.
    pub packets: u64,
    /// Of those packets, how many it has not got, by its own report. A retransmission that arrives counts as got.
    pub lost: u64,
    /// From us to it and back, by its last report that tells.
    pub round_trip: Option<Duration>,
    /// How unevenly packets arrive there (RFC 3550, 6.4.1), by its last report.
    pub jitter: Option<Duration>,
    /// Packets that it asked to be sent again (NACK), each time.
    pub nacks: u64,
    /// Keyframes that it asked for (PLI, FIR).
    pub keyframe_requests: u64,
    /// How often its pictures were held back until a keyframe, since it lost too much.
    pub holds: u64,
    /// How often its media were stopped, since it was silent.
    pub pauses: u64,
    /// By which way its media go; `None` before it is connected.
    pub path: Option<MediaPath>,
    /// How often the system did not take what was to be sent: lost for this viewer alone, and sent again if it asks. Counted on
    /// the direct path.
    pub send_failures: u64,
}

/// By which way a viewer's media leave this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MediaPath {
    /// Encrypted here and sent with one call for each picture.
    Direct,
    /// Packet by packet through the WebRTC crate: for whoever cannot take the direct path.
    Standard,
}

impl MediaPath {
    /// `direct`, `standard`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Standard => "standard",
        }
    }
}

/// Holds a viewer of a Streamer. Dropping it asks the viewer to leave.
#[derive(Debug)]
#[must_use = "dropping the handle asks the viewer to leave"]
pub struct PeerHandle {
    id: PeerId,
    leave: watch::Sender<Option<LeaveReason>>,
    gone: watch::Receiver<Option<LeaveReason>>,
    stats: watch::Receiver<PeerStats>,
}

impl PeerHandle {
    pub(crate) fn new(
        id: PeerId,
        leave: watch::Sender<Option<LeaveReason>>,
        gone: watch::Receiver<Option<LeaveReason>>,
        stats: watch::Receiver<PeerStats>,
    ) -> Self {
        Self { id, leave, gone, stats }
    }

    /// Which viewer this is.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// How its connection does.
    #[must_use]
    pub fn stats(&self) -> PeerStats {
        *self.stats.borrow()
    }

    /// How its connection does, to watch.
    #[must_use]
    pub fn watch_stats(&self) -> watch::Receiver<PeerStats> {
        self.stats.clone()
    }

    /// Asks the viewer to leave, for this reason; the first reason counts. [`closed`](Self::closed) tells when it has.
    pub fn leave(&self, reason: LeaveReason) {
        ask_to_leave(&self.leave, reason);
    }

    /// Waits until the viewer is gone and nothing of it is left. Cancel safe.
    pub async fn closed(&self) -> LeaveReason {
        let mut gone = self.gone.clone();
        match gone.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(LeaveReason::Internal),
            // The Streamer's actor ended without a word, which only a runtime's shutdown does.
            Err(_) => LeaveReason::ServerShutdown,
        }
    }
}

impl Drop for PeerHandle {
    fn drop(&mut self) {
        self.leave(LeaveReason::Left);
    }
}

pub(crate) fn ask_to_leave(leave: &watch::Sender<Option<LeaveReason>>, reason: LeaveReason) {
    leave.send_if_modified(|asked| {
        let first = asked.is_none();
        if first {
            *asked = Some(reason);
        }
        first
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_trimmed_and_has_1_to_64_characters_without_control_characters() {
        let longest = "ä".repeat(64);
        for (text, name) in [("Ann", "Ann"), ("  Ann B. \t", "Ann B."), ("名", "名"), (&longest, &longest)]
        {
            assert_eq!(text.parse::<PeerName>().map(|name| name.to_string()).as_deref(), Ok(name));
        }
        for text in ["", "  ", "a\nb", "a\u{0}", "\u{7f}x", "a\u{9b}b", &"x".repeat(65)] {
            assert_eq!(text.parse::<PeerName>(), Err(InvalidPeerName), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_name_of_itself(text in any::<String>()) {
            if let Ok(name) = text.parse::<PeerName>() {
                prop_assert!(name.as_str().len() <= 4 * PeerName::MAX_LEN);
                prop_assert_eq!(name.as_str().parse::<PeerName>(), Ok(name.clone()));
            }
        }
    }
}
