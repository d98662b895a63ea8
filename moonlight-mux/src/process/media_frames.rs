//! The stream's media on the second socket of a child: frames as on the control socket, with a binary payload.
//!
//! All numbers are big-endian. The first byte says what the payload is:
//!
//! | kind | then |
//! | --- | --- |
//! | 0 format | codec `u8` (0 H.264, 1 HEVC, 2 AV1), width `u32`, height `u32`, frames per second `u32`, channels of sound `u8` (0: no sound), length of a packet of sound in µs `u32` |
//! | 1 picture | flags `u8` (1 keyframe, 2 the host said its latency), number `u64`, timestamp in 90 kHz `u64`, the host's latency in µs `u32` (0 if it did not say), the encoded bytes |
//! | 2 sound | timestamp in 48 kHz `u64`, the Opus packet |

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::frames::LENGTH;
use crate::media::{
    AudioFrame, AudioInfo, AudioTimestamp, FrameNumber, StreamInfo, VideoCodec, VideoFrame, VideoInfo,
    VideoTimestamp,
};

/// The longest payload, in bytes: a picture may be as large as a second of the fastest stream.
pub(crate) const MAX_MEDIA: usize = 128 * 1024 * 1024;

/// What is told on the media socket: the format first and whenever it changes, then pictures and sound in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MediaFrame {
    Info(StreamInfo),
    Video(VideoFrame),
    Audio(AudioFrame),
}

/// The payload is no [`MediaFrame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no frame of media")]
pub(crate) struct Malformed;

const INFO: u8 = 0;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;

const KEYFRAME: u8 = 1;
const LATENCY: u8 = 2;

impl MediaFrame {
    /// The frame's bytes in two parts: its length and fields, and its data as they are. `None` if it is longer than
    /// [`MAX_MEDIA`].
    pub(crate) fn encode(&self) -> Option<(Bytes, Bytes)> {
        let mut head = BytesMut::with_capacity(LENGTH + 32);
        head.put_u32(0);
        let data = match self {
            Self::Info(StreamInfo { video, audio }) => {
                head.put_u8(INFO);
                head.put_u8(match video.codec {
                    VideoCodec::H264 => 0,
                    VideoCodec::Hevc => 1,
                    VideoCodec::Av1 => 2,
                });
                head.put_u32(video.width);
                head.put_u32(video.height);
                head.put_u32(video.fps);
                head.put_u8(audio.as_ref().map_or(0, |audio| audio.channels));
                head.put_u32(audio.as_ref().map_or(0, |audio| micros(audio.packet_duration)));
                Bytes::new()
            }
            Self::Video(VideoFrame { number, timestamp, keyframe, host_latency, data }) => {
                head.put_u8(VIDEO);
                let keyframe = if *keyframe { KEYFRAME } else { 0 };
                head.put_u8(keyframe | host_latency.map_or(0, |_| LATENCY));
                head.put_u64(number.0);
                head.put_u64(timestamp.0);
                head.put_u32(host_latency.map_or(0, micros));
                data.clone()
            }
            Self::Audio(AudioFrame { timestamp, data }) => {
                head.put_u8(AUDIO);
                head.put_u64(timestamp.0);
                data.clone()
            }
        };
        let length = (head.len() - LENGTH).checked_add(data.len()).filter(|length| *length <= MAX_MEDIA)?;
        head[..LENGTH].copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
        Some((head.freeze(), data))
    }

    /// What a payload says. Its data are not copied.
    pub(crate) fn decode(mut payload: Bytes) -> Result<Self, Malformed> {
        let bytes = &mut payload;
        match bytes.try_get_u8().map_err(|_| Malformed)? {
            INFO => Self::info(bytes).filter(|_| bytes.is_empty()),
            VIDEO => Self::video(bytes),
            AUDIO => Self::audio(bytes),
            _ => None,
        }
        .ok_or(Malformed)
    }

    fn info(bytes: &mut Bytes) -> Option<Self> {
        let codec = match bytes.try_get_u8().ok()? {
            0 => VideoCodec::H264,
            1 => VideoCodec::Hevc,
            2 => VideoCodec::Av1,
            _ => return None,
        };
        let mut number = || bytes.try_get_u32().ok();
        let video = VideoInfo { codec, width: number()?, height: number()?, fps: number()? };
        let channels = bytes.try_get_u8().ok()?;
        let packet_duration = Duration::from_micros(bytes.try_get_u32().ok()?.into());
        let audio = (channels > 0).then_some(AudioInfo { channels, packet_duration });
        Some(Self::Info(StreamInfo { video, audio }))
    }

    fn video(bytes: &mut Bytes) -> Option<Self> {
        let flags = bytes.try_get_u8().ok()?;
        let number = FrameNumber(bytes.try_get_u64().ok()?);
        let timestamp = VideoTimestamp(bytes.try_get_u64().ok()?);
        let latency = Duration::from_micros(bytes.try_get_u32().ok()?.into());
        Some(Self::Video(VideoFrame {
            number,
            timestamp,
            keyframe: flags & KEYFRAME != 0,
            host_latency: (flags & LATENCY != 0).then_some(latency),
            data: std::mem::take(bytes),
        }))
    }

    fn audio(bytes: &mut Bytes) -> Option<Self> {
        let timestamp = AudioTimestamp(bytes.try_get_u64().ok()?);
        Some(Self::Audio(AudioFrame { timestamp, data: std::mem::take(bytes) }))
    }
}

/// An hour and more fits.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
