//! What others made of a recording, and what is less or different here.
//!
//! No list of pictures or sound holds all that a session gives: where more can be rebuilt, more shall come out. Of the
//! control stream and of the RTSP dialogue nothing may be less, more or other.

mod control;
mod listener;
mod media;
mod rtsp;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::RecordingError;
use super::replay::{Replay, Replayed, optional, read};
use crate::media::{AudioTimestamp, FrameNumber};

/// The reference files of a folder.
#[derive(Debug)]
pub(super) struct Reference {
    media: media::Reference,
    /// `None` where there is no `control.jsonl`.
    control: Option<Vec<control::Line>>,
}

/// How a replay compares with the reference files of its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// What is wrong by itself, less than the reference client got, or not what was sent.
    pub differences: Vec<Difference>,
    /// The pictures that no reference file tells of; they could not be compared.
    pub unknown: Vec<FrameNumber>,
    /// How many messages of the control stream, of both sides, were compared.
    pub control: usize,
    /// How many messages of the RTSP dialogue, of both sides, were compared.
    pub rtsp: usize,
}

/// A way in which a replay is less than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Difference {
    /// No picture could be handed on.
    NoVideo,
    /// A picture that is no keyframe was handed on first, or behind a gap.
    NoKeyframe(FrameNumber),
    /// A picture was handed on late: its number or its timestamp does not rise.
    OutOfOrder(FrameNumber),
    /// A picture that the host sent and others could put together is missing.
    Missing(FrameNumber),
    /// A picture is held back though the reference client got it, or though none in front of it is lost.
    HeldBack(FrameNumber),
    /// A picture is not what the reference files say.
    Video {
        /// Its number.
        frame: FrameNumber,
        /// In what it differs.
        property: VideoProperty,
    },
    /// A packet of sound is not on the grid of packets, or does not come behind the one before.
    AudioOutOfOrder(AudioTimestamp),
    /// A packet of sound that the reference client got is missing or differs; none of those in front of it does.
    Audio {
        /// Its line in `audio.jsonl`, from 0.
        line: usize,
    },
    /// A datagram of the control stream is not ENet's, or is another once it is built again.
    ControlDatagram {
        /// Its place among those of the control stream, both ways, from 0.
        datagram: usize,
    },
    /// A message of the control stream is not what `control.jsonl` says, or not what our code makes of it.
    Control {
        /// Its line in `control.jsonl`, from 0.
        message: usize,
        /// In what it differs.
        property: ControlProperty,
    },
    /// Our control stream ends otherwise than the recorded one, or at another time.
    ControlEnd,
    /// A message of the RTSP dialogue is not what was on the wire, or not what our code makes of it.
    Rtsp {
        /// Its place in `rtsp.txt`, from 0.
        message: usize,
        /// In what it differs.
        property: RtspProperty,
    },
}

/// What of a picture can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VideoProperty {
    /// Whether it is a keyframe.
    Keyframe,
    /// Its bytes, as the host sent them.
    Bytes,
    /// Its bytes with their padding, as the reference client got them.
    PaddedBytes,
    /// Its timestamp.
    Timestamp,
    /// The time that the host says it took.
    HostLatency,
}

/// What of a control message can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ControlProperty {
    /// It is on the wire, and `control.jsonl` has no line for it.
    Unlisted,
    /// `control.jsonl` has it, and it is not on the wire.
    NotSent,
    /// Who sent it, and when.
    Sender,
    /// The bytes of an ENet command that opens or closes the connection.
    Command,
    /// Whether the session's key opens it, and closes it to the same bytes.
    Sealing,
    /// Its sequence number.
    Sequence,
    /// The ENet channel.
    Channel,
    /// Whether it is reliable, and whether in sequence.
    Delivery,
    /// Its type.
    Kind,
    /// Its payload.
    Payload,
    /// The message that it parses to, built again.
    Content,
    /// The CONNECT that our control stream sends in its place.
    Connect,
    /// Whether our control stream hears it, once and in order.
    Heard,
}

/// What of a message of the RTSP dialogue can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RtspProperty {
    /// The message that it parses to, built again.
    Content,
    /// The offer or the announcement that its body parses to, built again.
    Body,
    /// What was on the wire in its place, in clear or sealed.
    Wire,
    /// What our client says in its place.
    Said,
    /// What our client does with it: it goes no further.
    Taken,
}

impl Reference {
    pub(super) fn read(folder: &Path) -> Result<Self, RecordingError> {
        Ok(Self { media: media::Reference::read(folder)?, control: lines(folder, "control.jsonl")? })
    }

    pub(super) fn compare(&self, recorded: &Replay, replayed: &[Replayed]) -> Comparison {
        let packet_duration = recorded.negotiated.announcement.packet_duration;
        let mut differences = BTreeSet::new();
        let unknown = self.media.compare(replayed, packet_duration, &mut differences);
        let control = control::compare(recorded, self.control.as_deref(), &mut differences).len();
        let rtsp = rtsp::compare(recorded, &mut differences);
        Comparison { differences: differences.into_iter().collect(), unknown, control, rtsp }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVideo => f.write_str("no picture can be shown"),
            Self::NoKeyframe(FrameNumber(n)) => write!(f, "frame {n} refers to one that was not handed on"),
            Self::OutOfOrder(FrameNumber(n)) => {
                write!(f, "the number or the timestamp of frame {n} does not rise")
            }
            Self::Missing(FrameNumber(n)) => write!(f, "frame {n} is missing"),
            Self::HeldBack(FrameNumber(n)) => write!(f, "frame {n} is held back"),
            Self::Video { frame: FrameNumber(n), property } => write!(f, "{property} of frame {n} differs"),
            Self::AudioOutOfOrder(AudioTimestamp(at)) => {
                write!(f, "the sound's timestamp {at} is out of order")
            }
            Self::Audio { line } => write!(f, "the sound differs from line {line} of audio.jsonl on"),
            Self::ControlDatagram { datagram } => {
                write!(f, "datagram {datagram} of the control stream does not parse and build back")
            }
            Self::Control { message, property } => {
                write!(f, "message {message} of the control stream: {property}")
            }
            Self::ControlEnd => f.write_str("the control stream ends otherwise than the recorded one"),
            Self::Rtsp { message, property } => {
                write!(f, "message {message} of the RTSP dialogue: {property}")
            }
        }
    }
}

impl fmt::Display for VideoProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyframe => "the kind",
            Self::Bytes => "the content",
            Self::PaddedBytes => "the padded content",
            Self::Timestamp => "the timestamp",
            Self::HostLatency => "the host latency",
        })
    }
}

impl fmt::Display for ControlProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "it is not in control.jsonl",
            Self::NotSent => "it is not on the wire",
            Self::Sender => "another sender or time than control.jsonl says",
            Self::Command => "another ENet command than control.jsonl says",
            Self::Sealing => "the session's key does not open it, or not to what control.jsonl says",
            Self::Sequence => "another sequence number than control.jsonl says",
            Self::Channel => "another channel than control.jsonl or our code says",
            Self::Delivery => "another delivery than control.jsonl or our code says",
            Self::Kind => "another type than control.jsonl says",
            Self::Payload => "another payload than control.jsonl says",
            Self::Content => "it does not parse and build back",
            Self::Connect => "our client connects otherwise",
            Self::Heard => "our client does not hear it once and in order",
        })
    }
}

impl fmt::Display for RtspProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Content => "it does not parse and build back",
            Self::Body => "its body does not parse and build back",
            Self::Wire => "something else was on the wire",
            Self::Said => "our client says something else",
            Self::Taken => "our client does not go on from it",
        })
    }
}

/// `None` if there is no such file.
fn lines<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<Vec<T>>, RecordingError> {
    let file = folder.join(name);
    let Some(text) = optional(read(&file))? else { return Ok(None) };
    let values = serde_json::Deserializer::from_slice(&text).into_iter();
    values.collect::<Result<_, _>>().map(Some).map_err(|source| RecordingError::Json { file, source })
}
