//! Frames of a wanted size that say when they were made. Pure.
//!
//! A frame is one slice in Annex B form, whose first sixteen bytes are the time in hexadecimal digits: nanoseconds since
//! 1970. It is no picture: no decoder is asked.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Bytes of a full RTP payload: the product's largest.
pub const PAYLOAD: usize = 1200;
/// The FU indicator and the FU header (RFC 6184, 5.8).
const FU_HEADERS: usize = 2;
const CLOCK_DIGITS: usize = 16;

/// NAL unit types (RFC 6184, table 1; H.264, table 7-1).
const NAL_TYPE_MASK: u8 = 0x1f;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const SLICE: u8 = 0x41;
const IDR: u8 = 0x65;
/// High profile, level 3.2, and a picture parameter set.
const PARAMETER_SETS: &[u8] = &[0, 0, 0, 1, 0x67, 0x64, 0, 0x20, 0xac, 0, 0, 0, 1, 0x68, 0xee, 0x3c, 0x80];

/// How much a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Megabits of RTP payload per second.
    pub mbps: f64,
    /// Frames per second.
    pub fps: u32,
}

impl Rate {
    /// RTP packets of [`PAYLOAD`] bytes in each frame, at least one.
    #[must_use]
    pub fn packets_per_frame(self) -> usize {
        let bytes = self.mbps * 1e6 / 8.0 / f64::from(self.fps.max(1));
        (bytes / PAYLOAD as f64).round().max(1.0) as usize
    }
}

/// An access unit that a packetiser makes so many full packets of, and one small one more for the parameter sets of a
/// keyframe.
#[must_use]
pub fn access_unit(keyframe: bool, packets: usize, made_at: Duration) -> Bytes {
    let mut unit = BytesMut::with_capacity(packets * PAYLOAD + 64);
    if keyframe {
        unit.put_slice(PARAMETER_SETS);
    }
    unit.put_slice(&[0, 0, 0, 1, if keyframe { IDR } else { SLICE }]);
    unit.put_slice(&clock(made_at));
    put_filling(&mut unit, packets * (PAYLOAD - FU_HEADERS) - CLOCK_DIGITS);
    unit.freeze()
}

/// The payloads of a frame of the same size, for those who have no packetiser.
#[must_use]
pub fn payloads(packets: usize, made_at: Duration) -> Vec<[u8; PAYLOAD]> {
    let mut body = clock(made_at).into_iter().chain(filling());
    (0..packets)
        .map(|n| {
            let start = if n == 0 { FU_START } else { 0 };
            let mut payload = [SLICE & !NAL_TYPE_MASK | FU_A; PAYLOAD];
            payload[1] = start | SLICE & NAL_TYPE_MASK;
            for (byte, from) in payload[FU_HEADERS..].iter_mut().zip(&mut body) {
                *byte = from;
            }
            payload
        })
        .collect()
}

/// When the frame was made whose slice begins in this payload; `None` when none does.
#[must_use]
pub fn made_at(payload: &[u8]) -> Option<Duration> {
    let body = match payload {
        [first, second, body @ ..] if first & NAL_TYPE_MASK == FU_A && second & FU_START != 0 => body,
        [SLICE | IDR, body @ ..] => body,
        _ => return None,
    };
    let digits = str::from_utf8(body.get(..CLOCK_DIGITS)?).ok()?;
    u64::from_str_radix(digits, 16).ok().map(Duration::from_nanos)
}

/// When an [`access_unit`] was made; `None` when it is none.
#[must_use]
pub fn made_at_of(unit: &[u8]) -> Option<Duration> {
    let slice = unit.strip_prefix(PARAMETER_SETS).unwrap_or(unit);
    made_at(slice.strip_prefix(&[0, 0, 0, 1])?)
}

fn clock(at: Duration) -> [u8; CLOCK_DIGITS] {
    let mut digits = [0; CLOCK_DIGITS];
    let nanos = at.as_nanos() as u64;
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(nanos >> (60 - 4 * i)) as usize & 15];
    }
    digits
}

/// The first of [`filling`], made once: what a frame costs to make is no part of what is measured.
fn put_filling(unit: &mut BytesMut, bytes: usize) {
    static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| filling().take(1 << 20).collect());
    let made = bytes.min(MADE.len());
    unit.put_slice(&MADE[..made]);
    unit.extend(filling().skip(made).take(bytes - made));
}

/// No zero bytes: no start codes inside.
fn filling() -> impl Iterator<Item = u8> {
    (0u32..).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::viewer::{AccessUnit, Codec};

    #[test]
    fn a_rate_is_a_number_of_packets() {
        assert_eq!(Rate { mbps: 18.432, fps: 60 }.packets_per_frame(), 32);
        assert_eq!(Rate { mbps: 0.01, fps: 60 }.packets_per_frame(), 1);
    }

    #[test]
    fn a_frames_bytes_are_the_same_however_large_it_is() {
        let mut unit = BytesMut::new();
        put_filling(&mut unit, (1 << 20) + 3);
        assert!(unit.iter().copied().eq(filling().take((1 << 20) + 3)));
    }

    #[test]
    fn a_frame_is_an_access_unit_of_the_wanted_size() {
        let delta = AccessUnit::parse(Codec::H264, &access_unit(false, 3, Duration::ZERO)).unwrap();
        assert_eq!(delta.units().iter().map(Bytes::len).collect::<Vec<_>>(), [1 + 3 * (PAYLOAD - 2)]);
        let key = AccessUnit::parse(Codec::H264, &access_unit(true, 1, Duration::ZERO)).unwrap();
        assert!(key.is_keyframe());
        assert_eq!(key.units().len(), 3);
    }

    proptest! {
        #[test]
        fn the_clock_comes_back(nanos: u64, keyframe: bool) {
            let at = Duration::from_nanos(nanos);
            let bytes = access_unit(keyframe, 1, at);
            prop_assert_eq!(made_at_of(&bytes), Some(at));
            let unit = AccessUnit::parse(Codec::H264, &bytes).unwrap();
            prop_assert_eq!(made_at(unit.units().last().unwrap()), Some(at));
            let payloads = payloads(2, at);
            prop_assert_eq!(made_at(&payloads[0]), Some(at));
            prop_assert_eq!(made_at(&payloads[1]), None);
        }

        #[test]
        fn any_payload_is_read_or_not(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (made_at(&payload), made_at_of(&payload));
        }
    }
}
