//! What parent and child tell each other on the control socket: JSON, externally tagged (docs/ipc.md).

pub(crate) mod error_kind;
mod failure;
mod init;
mod secret;
mod state;

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

pub(crate) use self::init::{Init, MoonlightInit};
pub(crate) use self::secret::Secret;
pub(crate) use self::state::StateMessage;
use crate::broadcast::Stats;
use crate::input::{InputFeatures, InputMode, Rights};
use crate::lifecycle::EndReason;
use crate::media::{StreamInfo, VideoCodec};
use crate::peer::{LeaveReason, PeerId, PeerName, PeerStats};
use crate::signalling::Signal;
use crate::source::{SourceError, SourceStats, Stage};
use crate::webrtc::Offerer;

/// Of the messages. Raised by a change that an older process would misunderstand; not by new fields and messages, which it
/// ignores.
pub(crate) const VERSION: u32 = 1;

/// Viewers in one [`FromChild::Stats`], so that it always fits into a frame.
pub(crate) const MAX_STATS_PEERS: usize = 1000;

/// From the parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToChild {
    /// First of all.
    Hello { version: u32, pid: u32 },
    /// What to be. Once, second. Holds secrets, which `Debug` does not show.
    Init(Box<Init>),
    /// Begin to stream. Once, when the child is [`FromChild::Ready`].
    StartMoonlight,
    /// A viewer joins; its signals follow.
    AddPeer { peer_id: PeerId, offerer: Offerer, name: Option<PeerName>, rights: Rights },
    /// The viewer says.
    FromPeer { peer_id: PeerId, signal: Signal },
    /// The viewer said something that its transport did not understand.
    PeerMalformed { peer_id: PeerId },
    /// The viewer's signalling is over; its media may go on for a while.
    PeerLost { peer_id: PeerId },
    /// The viewer may do this from now on.
    SetRights { peer_id: PeerId, rights: Rights },
    /// Viewers share the host's input like this from now on.
    SetInputMode { mode: InputMode },
    /// The viewer shall leave.
    RemovePeer { peer_id: PeerId, reason: LeaveReason },
    /// Somebody in the parent wishes for a keyframe.
    Keyframe,
    /// A socket for the stream's media comes with this message (`SCM_RIGHTS`).
    OpenMedia,
    /// The answer to [`FromChild::LaunchWanted`]: the host's place for a launch is the child's.
    LaunchGranted,
    /// End: viewers leave with this reason, the host's app is ended if `quit`. [`FromChild::Stopped`] follows.
    Stop { quit: bool, reason: LeaveReason },
}

/// From the child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// First of all.
    Hello { version: u32, pid: u32 },
    /// The answer to [`ToChild::Init`]: viewers reach it at these ports.
    Ready { udp: u16, tcp: Option<u16> },
    /// The other answer to [`ToChild::Init`]: it cannot run, and ends.
    NotReady { error: String },
    /// For the log.
    StageStarting { stage: Stage },
    /// For the log.
    StageComplete { stage: Stage },
    /// For the log: a run failed in this stage.
    StageFailed {
        stage: Stage,
        #[serde(with = "failure::source_error")]
        error: SourceError,
    },
    /// For the log: the connection to the host stands.
    MoonlightConnected,
    /// For the log: and the format is known.
    ConnectionComplete { width: u32, height: u32, codec: VideoCodec, fps: u32 },
    /// For the log: the format is another one now.
    FormatChanged { width: u32, height: u32, codec: VideoCodec, fps: u32 },
    /// For the log: the first picture of a run.
    FirstPicture { keyframe: bool, bytes: usize },
    /// What the stream does, whenever that changes.
    State { state: StateMessage },
    /// What the stream carries, whenever that changes.
    Info { info: StreamInfo },
    /// For the viewer.
    ToPeer { peer_id: PeerId, signal: Signal },
    /// The viewer is told why its session ends, and its signalling is closed.
    PeerClosing { peer_id: PeerId, reason: LeaveReason },
    /// The viewer was added.
    PeerJoined { peer_id: PeerId },
    /// The viewer says that it sees a picture.
    FirstFrame { peer_id: PeerId },
    /// Nothing is left of the viewer. Last of what is said of it.
    PeerClosed { peer_id: PeerId, reason: LeaveReason },
    /// How input stands, whenever that changes, at most 10 times a second.
    Input { features: Option<InputFeatures>, turn: Option<PeerId>, acting: Vec<PeerId> },
    /// What was counted so far, each second: the heartbeat.
    Stats {
        stream: Stats,
        source: SourceStats,
        /// How often the source was run again in this process.
        restarts: u64,
        /// [`MAX_STATS_PEERS`] at most: with more viewers the child goes round, and who is not listed has what was said last.
        peers: Vec<(PeerId, PeerStats)>,
        /// Messages from the parent that were malformed, unknown or too long.
        malformed: u64,
        /// Messages to the parent that were dropped while it did not read.
        #[serde(default)]
        dropped: u64,
    },
    /// It is about to launch at the host, and waits for [`ToChild::LaunchGranted`].
    LaunchWanted,
    /// The host's place for a launch is free again: at once, or when the host may still hold a launch, in `pending_ms`.
    LaunchOver { pending_ms: u64 },
    /// It ends by itself, for this reason. Last of all.
    Stopped {
        #[serde(with = "failure::end_reason")]
        reason: EndReason,
    },
}

/// A set of messages in one direction.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// Their names.
    const NAMES: &'static [&'static str];
}

impl Message for ToChild {
    const NAMES: &'static [&'static str] = &[
        "Hello",
        "Init",
        "StartMoonlight",
        "AddPeer",
        "FromPeer",
        "PeerMalformed",
        "PeerLost",
        "SetRights",
        "SetInputMode",
        "RemovePeer",
        "Keyframe",
        "OpenMedia",
        "LaunchGranted",
        "Stop",
    ];
}

impl Message for FromChild {
    const NAMES: &'static [&'static str] = &[
        "Hello",
        "Ready",
        "NotReady",
        "StageStarting",
        "StageComplete",
        "StageFailed",
        "MoonlightConnected",
        "ConnectionComplete",
        "FormatChanged",
        "FirstPicture",
        "State",
        "Info",
        "ToPeer",
        "PeerClosing",
        "PeerJoined",
        "FirstFrame",
        "PeerClosed",
        "Input",
        "Stats",
        "LaunchWanted",
        "LaunchOver",
        "Stopped",
    ];
}

/// Why a payload is no message. Says nothing of its content, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is of a newer process, or meant for the other side.
    #[error("a message with a name that is not known here")]
    UnknownName,
    /// Its fields are not what the name has.
    #[error("the fields of a message {name} are wrong, at byte {at}")]
    Fields { name: &'static str, at: usize },
    /// It is no JSON of this form.
    #[error("no message")]
    Form,
}

/// The payload of a frame.
pub(crate) fn encode(message: &impl Message) -> Vec<u8> {
    serde_json::to_vec(message)
        .expect("messages have no maps with keys that are no strings, and no failing parts")
}

/// What the payload of a frame says. Unknown fields are ignored.
pub(crate) fn decode<M: Message>(payload: &[u8]) -> Result<M, Malformed> {
    serde_json::from_slice(payload).map_err(|error| match name(payload) {
        None => Malformed::Form,
        Some(name) => match M::NAMES.iter().find(|known| **known == name) {
            Some(name) => Malformed::Fields { name, at: error.column() },
            None => Malformed::UnknownName,
        },
    })
}

/// The name of what has the form of a message. Keeps nothing of its fields.
fn name(payload: &[u8]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let name = json.deserialize_any(NameOnly).ok()?;
    json.end().ok().map(|()| name)
}

struct NameOnly;

impl<'de> Visitor<'de> for NameOnly {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or an object with one")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let Some((name, IgnoredAny)) = map.next_entry()? else { return Err(de::Error::custom("no name")) };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(name),
            Some(_) => Err(de::Error::custom("two names")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
