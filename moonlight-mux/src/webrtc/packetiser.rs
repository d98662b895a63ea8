//! Frames into RTP payloads, pure and in no crate's types.

pub(super) mod annex_b;
pub(super) mod av1;
pub(super) mod h264;
pub(super) mod hevc;

use bytes::Bytes;

use crate::media::{VideoCodec, VideoFrame};

/// The largest payload of one RTP packet, in bytes. With RTP header and extensions (24), the SRTP tag (16), UDP (8) and
/// IPv6 (40) a packet stays below 1300 bytes, which passes every path that WebRTC is used on.
pub(crate) const MAX_PAYLOAD: usize = 1200;

/// One RTP packet's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    /// The RTP marker bit: the frame's last packet.
    pub(crate) marker: bool,
}

/// How the frames of one codec become payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packetiser {
    H264,
    Hevc,
    Av1,
}

impl Packetiser {
    pub(crate) fn of(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::H264 => Self::H264,
            VideoCodec::Hevc => Self::Hevc,
            VideoCodec::Av1 => Self::Av1,
        }
    }

    /// Splits a frame into payloads of at most [`MAX_PAYLOAD`] bytes; a malformed one may give none.
    pub(crate) fn packetise(self, frame: &VideoFrame) -> Vec<Payload> {
        match self {
            Self::H264 => h264::packetise(&frame.data),
            Self::Hevc => hevc::packetise(&frame.data),
            Self::Av1 => av1::packetise(&frame.data, frame.keyframe),
        }
    }
}

/// The marker goes on the last of a frame's payloads.
fn marked(payloads: Vec<Bytes>) -> Vec<Payload> {
    let last = payloads.len().saturating_sub(1);
    payloads.into_iter().enumerate().map(|(i, bytes)| Payload { bytes, marker: i == last }).collect()
}
