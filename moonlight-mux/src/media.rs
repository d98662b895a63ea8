//! What flows from a source to its viewers: encoded frames, untouched.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A video codec, as the host encodes it. Frames are never transcoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum VideoCodec {
    /// H.264; a frame is one access unit in Annex B form.
    H264,
    /// HEVC; a frame is one access unit in Annex B form.
    Hevc,
    /// AV1; a frame is one temporal unit, a low-overhead OBU stream.
    Av1,
}

impl VideoCodec {
    /// The codec's usual name: `H.264`, `HEVC`, `AV1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC",
            Self::Av1 => "AV1",
        }
    }
}

/// A point on a stream's video timeline, in ticks of 90 kHz. Never wraps: 64 bits last six million years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VideoTimestamp(pub u64);

impl VideoTimestamp {
    /// Ticks per second.
    pub const HZ: u64 = 90_000;

    /// The RTP timestamp of this point: its low 32 bits.
    #[must_use]
    pub fn rtp(self) -> u32 {
        self.0 as u32
    }
}

/// A point on a stream's audio timeline, in samples of 48 kHz. Never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudioTimestamp(pub u64);

impl AudioTimestamp {
    /// Samples per second.
    pub const HZ: u64 = 48_000;

    /// The RTP timestamp of this point: its low 32 bits.
    #[must_use]
    pub fn rtp(self) -> u32 {
        self.0 as u32
    }
}

/// The number of a frame in its stream. Rises by one per frame; a jump means that frames were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

/// One encoded picture: an access unit (H.264, HEVC) or a temporal unit (AV1), without padding behind it.
///
/// Cheap to clone: all viewers share `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// Rises by one per frame. As a source gives it, it counts within one [`run`](crate::VideoSource::run);
    /// as a viewer gets it, it rises over the stream's whole life.
    pub number: FrameNumber,
    /// When the picture was taken, 90 kHz, on the same footing as `number`.
    pub timestamp: VideoTimestamp,
    /// Whether decoding can start here: an IDR or IRAP picture with its parameter sets in front.
    pub keyframe: bool,
    /// How long the host took to capture and encode it, if the host says so.
    pub host_latency: Option<Duration>,
    /// The encoded bytes.
    pub data: Bytes,
}

/// One Opus packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// Its first sample, 48 kHz; a packet lost before it shows as a jump.
    pub timestamp: AudioTimestamp,
    /// The Opus packet (a multistream packet where the stream has more than two channels).
    pub data: Bytes,
}

/// The picture's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// How frames are encoded.
    pub codec: VideoCodec,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Nominal frames per second. A quiet desktop sends fewer.
    pub fps: u32,
}

/// The sound's format. Always Opus at 48 kHz.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// Channels: 1 or 2 are an ordinary Opus stream, more are a multistream.
    pub channels: u8,
    /// The length of each packet (2.5 to 60 ms; GameStream hosts use 5 or 10 ms).
    pub packet_duration: Duration,
}

/// What a stream carries. A source states it before its first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// The picture.
    pub video: VideoInfo,
    /// The sound, if there is any.
    pub audio: Option<AudioInfo>,
}
