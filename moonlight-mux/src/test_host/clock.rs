//! The clock that a live picture carries beside its pixels: an SEI message in front of its first slice. Pure.
//!
//! The NAL unit is of type 6 with one `user_data_unregistered` (H.264, D.1.7) of 32 bytes: [`UUID`], and 16 hexadecimal digits, the
//! nanoseconds since 1970. No three bytes of it need emulation prevention. Decoders skip it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Type 6, `user_data_unregistered`, 32 bytes.
const HEADER: [u8; 3] = [0x06, 5, 32];
/// Of this clock alone.
const UUID: [u8; 16] = *b"\x8e\x5a\x1f\x5e\xc7\x0b\x4d\x52\x9c\x61\x6d\x75\x78\x63\x6c\x6b";
const DIGITS: usize = 16;
/// `rbsp_trailing_bits`.
const END: u8 = 0x80;

/// When a test host began to send a frame of its live picture, from one of the frame's NAL units without its start code;
/// `None` when that is another one.
#[must_use]
pub fn host_clock(nal_unit: &[u8]) -> Option<SystemTime> {
    let digits = nal_unit.strip_prefix(&HEADER)?.strip_prefix(&UUID)?.strip_suffix(&[END])?;
    if digits.len() != DIGITS || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let nanos = u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

/// The access unit (Annex B) with `at` in front of its first slice; as it is when it has none.
pub(super) fn stamp(unit: &Bytes, at: SystemTime) -> Bytes {
    let Some(slice) = first_slice(unit) else { return unit.clone() };
    let nanos = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let digits = format!("{nanos:0DIGITS$x}");
    let (before, behind) = unit.split_at(slice);
    [before, &[0, 0, 0, 1], &HEADER, &UUID, digits.as_bytes(), &[END], behind].concat().into()
}

/// Where the start code of the first slice begins (NAL unit types 1 to 5).
pub(super) fn first_slice(unit: &[u8]) -> Option<usize> {
    let code = unit
        .windows(4)
        .position(|bytes| matches!(bytes, [0, 0, 1, header] if (1..=5).contains(&(header & 0x1f))))?;
    // A start code may have a zero more.
    Some(if code > 0 && unit[code - 1] == 0 { code - 1 } else { code })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELTA: &[u8] = &[0, 0, 1, 0x41, 9, 9];
    const KEY: &[u8] = &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 0, 0, 0, 1, 0x65, 4];

    #[test]
    fn the_clock_stands_in_front_of_the_first_slice() {
        let at = UNIX_EPOCH + Duration::from_nanos(0x0123_4567_89ab_cdef);
        let sei = [&[0, 0, 0, 1, 6, 5, 32][..], &UUID, b"0123456789abcdef\x80"].concat();
        for (unit, slice) in [(DELTA, 0), (KEY, 12)] {
            let stamped = stamp(&Bytes::from_static(unit), at);
            assert_eq!(stamped, [&unit[..slice], &sei, &unit[slice..]].concat());
        }
        assert_eq!(host_clock(&sei[4..]), Some(at));
        assert_eq!(stamp(&Bytes::from_static(&KEY[..12]), at), KEY[..12], "no slice");
    }

    proptest! {
        #[test]
        fn the_clock_comes_back_and_nothing_in_it_is_a_start_code(nanos: u64) {
            let at = UNIX_EPOCH + Duration::from_nanos(nanos);
            let stamped = stamp(&Bytes::from_static(DELTA), at);
            let sei = &stamped[4..stamped.len() - DELTA.len()];
            prop_assert_eq!(host_clock(sei), Some(at));
            prop_assert!(!sei.windows(2).any(|bytes| bytes == [0, 0]));
        }

        #[test]
        fn any_bytes_are_a_clock_or_not(bytes in prop::collection::vec(prop::sample::select(vec![0, 1, 5, 6, 32, 0x41, 0x65, 0x80]), 0..60)) {
            let _ = host_clock(&bytes);
            let stamped = stamp(&bytes.clone().into(), UNIX_EPOCH);
            prop_assert!(stamped.len() == bytes.len() || stamped.len() == bytes.len() + 40);
        }
    }
}
