//! HEVC (RFC 7798), without decoding order numbers.

use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::access_unit::{Codec, hevc, unit_type};
use super::{Malformed, Payload, aggregated, fragment};

/// The NAL units of a frame.
pub(super) fn depacketize(payloads: &[Payload]) -> Result<Vec<Bytes>, Malformed> {
    let mut units = Vec::new();
    let mut open: Option<BytesMut> = None;
    for payload in payloads {
        let [first, second, rest @ ..] = &payload[..] else { return Err(Malformed::CutOff) };
        let kind = unit_type(Codec::Hevc, payload);
        if open.is_some() && kind != hevc::FRAGMENTATION {
            return Err(Malformed::NoEnd);
        }
        match kind {
            hevc::AGGREGATION => {
                for unit in aggregated(payload, HEADER) {
                    units.push(Bytes::copy_from_slice(unit.ok_or(Malformed::CutOff)?));
                }
            }
            hevc::FRAGMENTATION => {
                let [header, body @ ..] = rest else { return Err(Malformed::CutOff) };
                if header & fragment::START != 0 {
                    if open.is_some() {
                        return Err(Malformed::NoEnd);
                    }
                    let mut unit = BytesMut::with_capacity(payloads.len() * payload.len());
                    unit.put_slice(&[first & 0x81 | (header & 0x3f) << 1, *second]);
                    open = Some(unit);
                }
                let unit = open.as_mut().ok_or(Malformed::NoBeginning)?;
                unit.put_slice(body);
                if header & fragment::END != 0
                    && let Some(unit) = open.take()
                {
                    units.push(unit.freeze());
                }
            }
            0..hevc::AGGREGATION => units.push(Bytes::from_owner(payload.clone())),
            other => return Err(Malformed::PayloadType(other)),
        }
    }
    if open.is_some() {
        return Err(Malformed::NoEnd);
    }
    Ok(units)
}

/// As [`super::is_keyframe`].
pub(super) fn is_keyframe(payloads: &[Payload]) -> bool {
    payloads.iter().any(|payload| begins_nal(payload, hevc::SPS..=hevc::SPS))
        && payloads.iter().any(|payload| begins_nal(payload, hevc::IRAP))
}

/// As [`super::starts_keyframe`]: a VPS comes before all else.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    begins_nal(payload, hevc::VPS..=hevc::VPS)
}

/// Whether a NAL unit of a type in `wanted` begins in this payload.
fn begins_nal(payload: &[u8], wanted: RangeInclusive<u8>) -> bool {
    let is_wanted = |unit: &[u8]| wanted.contains(&unit_type(Codec::Hevc, unit));
    match unit_type(Codec::Hevc, payload) {
        hevc::AGGREGATION => aggregated(payload, HEADER).any(|unit| unit.is_some_and(is_wanted)),
        hevc::FRAGMENTATION => payload
            .get(HEADER)
            .is_some_and(|header| header & fragment::START != 0 && wanted.contains(&(header & 0x3f))),
        _ => is_wanted(payload),
    }
}

/// Bytes of a NAL unit's header, and of a payload's.
const HEADER: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn payloads(list: &[&[u8]]) -> Vec<Payload> {
        list.iter().map(|&bytes| Arc::from(bytes)).collect()
    }

    const PARAMETER_SETS: &[u8] = &[0x60, 1, 0, 3, 0x40, 1, 2, 0, 3, 0x42, 1, 3, 0, 3, 0x44, 1, 4];
    const IDR: [&[u8]; 3] = [&[0x62, 1, 0x93, 1], &[0x62, 1, 0x13, 2], &[0x62, 1, 0x53, 3]];

    #[test]
    fn single_aggregated_and_fragmented_units_come_out_whole() {
        let list = [&[PARAMETER_SETS][..], &[&[0x4e, 1, 9]], &IDR].concat();
        let expected: [&[u8]; 5] =
            [&[0x40, 1, 2], &[0x42, 1, 3], &[0x44, 1, 4], &[0x4e, 1, 9], &[0x26, 1, 1, 2, 3]];
        assert_eq!(depacketize(&payloads(&list)).unwrap(), expected);
    }

    #[test]
    fn payloads_that_do_not_fit_together_are_refused() {
        for (list, expected) in [
            (&[&[][..]][..], Malformed::CutOff),
            (&[&[0x02]], Malformed::CutOff),
            (&[&[0x60, 1, 0, 9, 0x40]], Malformed::CutOff),
            (&[&[0x62, 1]], Malformed::CutOff),
            (&[IDR[1]], Malformed::NoBeginning),
            (&[IDR[0]], Malformed::NoEnd),
            (&[IDR[0], &[0x02, 1, 7]], Malformed::NoEnd),
            (&[IDR[0], IDR[0]], Malformed::NoEnd),
            (&[&[0x64, 1, 7]], Malformed::PayloadType(50)),
        ] {
            assert_eq!(depacketize(&payloads(list)), Err(expected), "{list:x?}");
        }
    }

    #[test]
    fn a_keyframe_is_told_from_its_payloads() {
        assert!(is_keyframe(&payloads(&[PARAMETER_SETS, IDR[0], IDR[1], IDR[2]])));
        assert!(!is_keyframe(&payloads(&IDR)));
        assert!(!is_keyframe(&payloads(&[PARAMETER_SETS, &[0x02, 1, 7]])));
        assert!(starts_keyframe(PARAMETER_SETS));
        assert!(!starts_keyframe(IDR[0]));
    }
}
