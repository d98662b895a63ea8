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

/// The longest payload, in bytes: fifteen times a picture's share of the fastest stream, 1 Gbit/s at 60 frames per second.
pub(crate) const MAX_MEDIA: usize = 32 * 1024 * 1024;

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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::frames::Decoder;

    /// Groups of hexadecimal digits.
    fn hex(text: &str) -> Vec<u8> {
        crate::gamestream::wire::tests::hex(&text.replace(' ', ""))
    }

    /// Payloads, and what they mean.
    pub(crate) fn vectors() -> [(&'static str, Vec<u8>, MediaFrame); 7] {
        let format = |codec, audio| {
            MediaFrame::Info(StreamInfo {
                video: VideoInfo { codec, width: 2560, height: 1600, fps: 60 },
                audio,
            })
        };
        let sound = |channels, ms| Some(AudioInfo { channels, packet_duration: Duration::from_millis(ms) });
        let picture = |keyframe, host_latency, data: &'static [u8]| {
            MediaFrame::Video(VideoFrame {
                number: FrameNumber(258),
                timestamp: VideoTimestamp(90_000),
                keyframe,
                host_latency,
                data: Bytes::from_static(data),
            })
        };
        let audio = |data: &'static [u8]| {
            MediaFrame::Audio(AudioFrame { timestamp: AudioTimestamp(240), data: Bytes::from_static(data) })
        };
        [
            (
                "h264-stereo.info",
                hex("00 00 00000a00 00000640 0000003c 02 00001388"),
                format(VideoCodec::H264, sound(2, 5)),
            ),
            (
                "hevc-surround.info",
                hex("00 01 00000a00 00000640 0000003c 08 00002710"),
                format(VideoCodec::Hevc, sound(8, 10)),
            ),
            (
                "av1-silent.info",
                hex("00 02 00000a00 00000640 0000003c 00 00000000"),
                format(VideoCodec::Av1, None),
            ),
            (
                "keyframe.video",
                hex("01 01 0000000000000102 0000000000015f90 00000000 000000016588"),
                picture(true, None, b"\x00\x00\x00\x01\x65\x88"),
            ),
            (
                "latency.video",
                hex("01 02 0000000000000102 0000000000015f90 00001068 41"),
                picture(false, Some(Duration::from_micros(4200)), b"\x41"),
            ),
            ("packet.audio", hex("02 00000000000000f0 fc00"), audio(b"\xfc\x00")),
            ("empty.audio", hex("02 00000000000000f0"), audio(b"")),
        ]
    }

    fn encoded(frame: &MediaFrame) -> Vec<u8> {
        let (head, data) = frame.encode().unwrap();
        [head, data].concat()
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        for (name, payload, frame) in vectors() {
            let stream = encoded(&frame);
            assert_eq!(stream[..LENGTH], u32::try_from(payload.len()).unwrap().to_be_bytes(), "{name}");
            assert_eq!(stream[LENGTH..], payload, "{name}");
            assert_eq!(MediaFrame::decode(payload.into()), Ok(frame), "{name}");
        }
    }

    #[test]
    fn what_is_no_frame_is_malformed() {
        for payload in [
            "",
            "03",
            "00 03 00000a00 00000640 0000003c 02 00001388",
            "00 00 00000a00 00000640 0000003c 02 000013",
            "00 00 00000a00 00000640 0000003c 02 00001388 00",
            "01 01 0000000000000102 0000000000015f90 000000",
            "02 000000000000f0",
        ] {
            assert_eq!(MediaFrame::decode(hex(payload).into()), Err(Malformed), "{payload}");
        }
    }

    #[test]
    fn data_are_not_copied() {
        let data = Bytes::from(vec![7; 1000]);
        let frame = MediaFrame::Audio(AudioFrame { timestamp: AudioTimestamp(0), data: data.clone() });
        assert_eq!(frame.encode().unwrap().1.as_ptr(), data.as_ptr());
    }

    fn frames() -> impl Strategy<Value = MediaFrame> {
        let data = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let micros = || any::<u32>().prop_map(|micros| Duration::from_micros(micros.into()));
        let codec = prop_oneof![Just(VideoCodec::H264), Just(VideoCodec::Hevc), Just(VideoCodec::Av1)];
        let sound = proptest::option::of((1u8.., micros()));
        let info =
            (codec, any::<(u32, u32, u32)>(), sound).prop_map(|(codec, (width, height, fps), sound)| {
                let audio = sound.map(|(channels, packet_duration)| AudioInfo { channels, packet_duration });
                MediaFrame::Info(StreamInfo { video: VideoInfo { codec, width, height, fps }, audio })
            });
        let numbers = any::<(u64, u64, bool)>();
        let video = (numbers, proptest::option::of(micros()), data()).prop_map(
            |((number, timestamp, keyframe), host_latency, data)| {
                let (number, timestamp) = (FrameNumber(number), VideoTimestamp(timestamp));
                MediaFrame::Video(VideoFrame { number, timestamp, keyframe, host_latency, data })
            },
        );
        let audio = (any::<u64>(), data()).prop_map(|(timestamp, data)| {
            MediaFrame::Audio(AudioFrame { timestamp: AudioTimestamp(timestamp), data })
        });
        prop_oneof![info, video, audio]
    }

    proptest! {
        #[test]
        fn a_stream_of_frames_reads_back_as_it_was_written(
            frames in proptest::collection::vec(frames(), 0..8),
            piece in 1usize..300,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(encoded).collect();
            let (mut decoder, mut found) = (Decoder::new(MAX_MEDIA), Vec::new());
            for piece in stream.chunks(piece) {
                decoder.push(piece);
                while let Some(payload) = decoder.next() {
                    found.push(MediaFrame::decode(payload).unwrap());
                }
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_payload_is_a_frame_or_malformed(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(frame) = MediaFrame::decode(payload.clone().into()) {
                let again = encoded(&frame);
                prop_assert_eq!(MediaFrame::decode(again[LENGTH..].to_vec().into()), Ok(frame));
            }
        }
    }
}
