//! From the RTP payloads of one frame to its units. Pure.

mod hevc;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};

use super::access_unit::{AccessUnit, Codec, nal, obu, read_leb128, unit_type, unsized_obu};

/// An RTP payload, as it came out of the decryption.
pub(crate) type Payload = Arc<[u8]>;

/// Puts a frame's payloads, in the order of their sequence numbers and without holes, together.
///
/// # Errors
/// [`Malformed`] when they do not follow the codec's payload format: the sender's fault.
pub(crate) fn depacketize(codec: Codec, payloads: &[Payload]) -> Result<AccessUnit, Malformed> {
    let units = match codec {
        Codec::H264 => h264(payloads)?,
        Codec::Hevc => hevc::depacketize(payloads)?,
        Codec::Av1 => av1(payloads)?,
    };
    Ok(AccessUnit::from_units(codec, units))
}

/// Whether a frame is a keyframe, from its payloads: the same answer as [`AccessUnit::is_keyframe`], without a copy.
pub(crate) fn is_keyframe(codec: Codec, payloads: &[Payload]) -> bool {
    match codec {
        Codec::H264 => {
            payloads.iter().any(|payload| begins_nal(payload, nal::SPS))
                && payloads.iter().any(|payload| begins_nal(payload, nal::IDR))
        }
        Codec::Hevc => hevc::is_keyframe(payloads),
        Codec::Av1 => payloads.first().is_some_and(|payload| starts_keyframe(codec, payload)),
    }
}

/// Whether a payload is certainly the first of a keyframe, so that nothing of the frame can have been lost before it.
pub(crate) fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => begins_nal(payload, nal::SPS),
        Codec::Hevc => hevc::starts_keyframe(payload),
        // N: the first packet of a coded video sequence.
        Codec::Av1 => payload.first().is_some_and(|header| header & aggregation::NEW_SEQUENCE != 0),
    }
}

/// When a test host began to send a frame of its live picture, since 1970, if its payloads say so.
pub(crate) fn host_clock(codec: Codec, payloads: &[Payload]) -> Option<Duration> {
    if codec != Codec::H264 {
        return None;
    }
    let at = payloads.iter().find_map(|payload| match unit_type(codec, payload) {
        nal::STAP_A => aggregated(payload, 1).flatten().find_map(moonlight_mux::host_clock),
        nal::SEI => moonlight_mux::host_clock(payload),
        _ => None,
    })?;
    at.duration_since(UNIX_EPOCH).ok()
}

/// Why payloads cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A payload or one of its elements is empty or ends too early.
    #[error("a payload ends too early")]
    CutOff,
    /// An H.264 or HEVC payload of a type that was not negotiated.
    #[error("payload type {0} is not allowed")]
    PayloadType(u8),
    /// A fragment without its beginning.
    #[error("a fragment has no beginning")]
    NoBeginning,
    /// A fragment without its end.
    #[error("a fragment has no end")]
    NoEnd,
}

/// Bits of AV1's aggregation header (RTP payload format for AV1, 4.4).
mod aggregation {
    pub(super) const CONTINUES_PREVIOUS: u8 = 0x80;
    pub(super) const CONTINUES_IN_NEXT: u8 = 0x40;
    pub(super) const NEW_SEQUENCE: u8 = 0x08;

    /// How many elements there are; 0: each has a length.
    pub(super) fn count(header: u8) -> u8 {
        (header >> 4) & 3
    }
}

/// Bits of the FU header (RFC 6184, 5.8; RFC 7798, 4.4.3).
mod fragment {
    pub(super) const START: u8 = 0x80;
    pub(super) const END: u8 = 0x40;
}

/// Whether a NAL unit of type `wanted` begins in this payload.
fn begins_nal(payload: &[u8], wanted: u8) -> bool {
    match unit_type(Codec::H264, payload) {
        nal::STAP_A => {
            aggregated(payload, 1).any(|unit| unit.is_some_and(|unit| unit_type(Codec::H264, unit) == wanted))
        }
        nal::FU_A => {
            payload.get(1).is_some_and(|header| header & fragment::START != 0 && header & 0x1f == wanted)
        }
        kind => kind == wanted,
    }
}

/// The NAL units of a STAP-A (RFC 6184, 5.7.1) or an aggregation packet (RFC 7798, 4.4.2) behind its header; `None` at the end
/// for one that is cut off.
fn aggregated(payload: &[u8], header_len: usize) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = payload.get(header_len..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let unit = rest.split_first_chunk::<2>().and_then(|(len, after)| {
            after.split_at_checked(usize::from(u16::from_be_bytes(*len))).filter(|(unit, _)| !unit.is_empty())
        });
        let (unit, after) = unit.map_or((None, &[][..]), |(unit, after)| (Some(unit), after));
        rest = after;
        Some(unit)
    })
}

fn h264(payloads: &[Payload]) -> Result<Vec<Bytes>, Malformed> {
    let mut units = Vec::new();
    let mut open: Option<BytesMut> = None;
    for payload in payloads {
        let kind = unit_type(Codec::H264, payload);
        if open.is_some() && kind != nal::FU_A {
            return Err(Malformed::NoEnd);
        }
        match kind {
            1..=nal::SLICE_MAX => units.push(Bytes::from_owner(payload.clone())),
            nal::STAP_A => {
                for unit in aggregated(payload, 1) {
                    units.push(Bytes::copy_from_slice(unit.ok_or(Malformed::CutOff)?));
                }
            }
            nal::FU_A => {
                let [indicator, header, body @ ..] = &payload[..] else { return Err(Malformed::CutOff) };
                if header & fragment::START != 0 {
                    if open.is_some() {
                        return Err(Malformed::NoEnd);
                    }
                    let mut unit = BytesMut::with_capacity(payloads.len() * payload.len());
                    unit.put_u8((indicator & 0xe0) | (header & 0x1f));
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
            0 if payload.is_empty() => return Err(Malformed::CutOff),
            other => return Err(Malformed::PayloadType(other)),
        }
    }
    if open.is_some() {
        return Err(Malformed::NoEnd);
    }
    Ok(units)
}

fn av1(payloads: &[Payload]) -> Result<Vec<Bytes>, Malformed> {
    let mut units = Vec::new();
    let mut open: Option<BytesMut> = None;
    for payload in payloads {
        let [header, rest @ ..] = &payload[..] else { return Err(Malformed::CutOff) };
        match (open.is_some(), header & aggregation::CONTINUES_PREVIOUS != 0) {
            (true, false) => return Err(Malformed::NoEnd),
            (false, true) => return Err(Malformed::NoBeginning),
            _ => {}
        }
        let elements = elements(*header, rest)?;
        for (i, element) in elements.iter().enumerate() {
            let unit = open.get_or_insert_default();
            unit.put_slice(element);
            let continues = i + 1 == elements.len() && header & aggregation::CONTINUES_IN_NEXT != 0;
            if !continues && let Some(unit) = open.take() {
                let (unit, _) = unsized_obu(&unit.freeze()).ok_or(Malformed::CutOff)?;
                if unit_type(Codec::Av1, &unit) != obu::TEMPORAL_DELIMITER {
                    units.push(unit);
                }
            }
        }
    }
    if open.is_some() {
        return Err(Malformed::NoEnd);
    }
    Ok(units)
}

/// The OBU elements of an AV1 payload behind its aggregation header.
fn elements(header: u8, mut rest: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let count = usize::from(aggregation::count(header));
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let element;
        if count > 0 && elements.len() + 1 == count {
            (element, rest) = (rest, &[]);
        } else {
            let (len, len_len) = read_leb128(rest).ok_or(Malformed::CutOff)?;
            (element, rest) = rest[len_len..].split_at_checked(len).ok_or(Malformed::CutOff)?;
        }
        elements.push(element);
    }
    if elements.is_empty() || (count > 0 && elements.len() != count) {
        return Err(Malformed::CutOff);
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payloads(list: &[&[u8]]) -> Vec<Payload> {
        list.iter().map(|&bytes| Arc::from(bytes)).collect()
    }

    fn check(codec: Codec, list: &[&[u8]], expected: Result<&[&[u8]], Malformed>) {
        let result = depacketize(codec, &payloads(list));
        match expected {
            Ok(units) => assert_eq!(result.unwrap().units(), units),
            Err(error) => assert_eq!(result.unwrap_err(), error),
        }
    }

    #[test]
    fn h264_single_aggregated_and_fragmented_units_come_out_whole() {
        check(Codec::H264, &[&[0x41, 1, 2]], Ok(&[&[0x41, 1, 2]]));
        check(
            Codec::H264,
            &[&[0x78, 0, 2, 0x67, 1, 0, 3, 0x68, 2, 3], &[0x7c, 0x85, 1], &[0x7c, 0x05, 2], &[0x7c, 0x45, 3]],
            Ok(&[&[0x67, 1], &[0x68, 2, 3], &[0x65, 1, 2, 3]]),
        );
    }

    #[test]
    fn h264_payloads_that_do_not_fit_together_are_refused() {
        check(Codec::H264, &[&[]], Err(Malformed::CutOff));
        check(Codec::H264, &[&[0x78, 0, 9, 0x67]], Err(Malformed::CutOff));
        check(Codec::H264, &[&[0x7c]], Err(Malformed::CutOff));
        check(Codec::H264, &[&[0x7c, 0x05, 2]], Err(Malformed::NoBeginning));
        check(Codec::H264, &[&[0x7c, 0x85, 2]], Err(Malformed::NoEnd));
        check(Codec::H264, &[&[0x7c, 0x85, 2], &[0x41, 1]], Err(Malformed::NoEnd));
        check(Codec::H264, &[&[0x7c, 0x85, 2], &[0x7c, 0x85, 2]], Err(Malformed::NoEnd));
        check(Codec::H264, &[&[0x1d, 0x85, 2]], Err(Malformed::PayloadType(29)));
    }

    #[test]
    fn av1_elements_with_and_without_length_come_out_whole() {
        // W = 2, N: a sequence header with length, a frame that goes on in the next packet.
        check(
            Codec::Av1,
            &[&[0x68, 2, 0x08, 7, 0x30, 1], &[0xd0, 2], &[0x80, 1, 3, 2, 0x28, 9]],
            Ok(&[&[0x08, 7], &[0x30, 1, 2, 3], &[0x28, 9]]),
        );
        // An OBU that kept its size field.
        check(Codec::Av1, &[&[0x10, 0x32, 2, 5, 6]], Ok(&[&[0x30, 5, 6]]));
    }

    #[test]
    fn av1_payloads_that_do_not_fit_together_are_refused() {
        check(Codec::Av1, &[&[]], Err(Malformed::CutOff));
        check(Codec::Av1, &[&[0x10]], Err(Malformed::CutOff));
        check(Codec::Av1, &[&[0x00, 9, 0x30]], Err(Malformed::CutOff));
        check(Codec::Av1, &[&[0x90, 0x30]], Err(Malformed::NoBeginning));
        check(Codec::Av1, &[&[0x50, 0x30]], Err(Malformed::NoEnd));
        check(Codec::Av1, &[&[0x50, 0x30], &[0x10, 0x30]], Err(Malformed::NoEnd));
    }

    #[test]
    fn a_keyframe_is_told_from_its_payloads() {
        let sps = &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2][..];
        assert!(is_keyframe(Codec::H264, &payloads(&[sps, &[0x7c, 0x85, 1], &[0x7c, 0x45, 1]])));
        assert!(!is_keyframe(Codec::H264, &payloads(&[&[0x7c, 0x85, 1], &[0x7c, 0x45, 1]])));
        assert!(!is_keyframe(Codec::H264, &payloads(&[sps, &[0x41, 1]])));
        assert!(starts_keyframe(Codec::H264, sps));
        assert!(!starts_keyframe(Codec::H264, &[0x7c, 0x05, 7]));
        assert!(is_keyframe(Codec::Av1, &payloads(&[&[0x18, 0x08, 1]])));
        assert!(!is_keyframe(Codec::Av1, &payloads(&[&[0x10, 0x30, 1]])));
    }

    /// `moonlight-mux/fuzz/seeds/host_clock/vector.clock`
    const CLOCK: &[u8] =
        b"\x06\x05\x20\x8e\x5a\x1f\x5e\xc7\x0b\x4d\x52\x9c\x61\x6d\x75\x78\x63\x6c\x6b0123456789abcdef\x80";

    #[test]
    fn a_hosts_clock_is_read_by_itself_and_among_parameter_sets() {
        let at = Some(Duration::from_nanos(0x0123_4567_89ab_cdef));
        let aggregated = [&[0x78, 0, 2, 0x67, 1, 0, 36][..], CLOCK].concat();
        assert_eq!(host_clock(Codec::H264, &payloads(&[CLOCK, &[0x41, 1]])), at);
        assert_eq!(host_clock(Codec::H264, &payloads(&[&[0x67, 1], &aggregated])), at);
        assert_eq!(host_clock(Codec::Hevc, &payloads(&[CLOCK])), None, "live pictures are H.264");
        for len in 0..aggregated.len() {
            assert_eq!(host_clock(Codec::H264, &payloads(&[&aggregated[..len]])), None, "cut after {len}");
        }
        for len in 0..CLOCK.len() {
            assert_eq!(host_clock(Codec::H264, &payloads(&[&CLOCK[..len]])), None, "cut after {len}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_panics(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..5)) {
            let list: Vec<Payload> = list.into_iter().map(Arc::from).collect();
            for codec in [Codec::H264, Codec::Hevc, Codec::Av1] {
                let keyframe = is_keyframe(codec, &list);
                let _ = host_clock(codec, &list);
                if let (Ok(unit), Codec::H264 | Codec::Hevc) = (depacketize(codec, &list), codec) {
                    prop_assert_eq!(unit.is_keyframe(), keyframe);
                }
            }
        }

        #[test]
        fn a_fragmented_unit_is_the_unit(body in proptest::collection::vec(any::<u8>(), 2..200), size in 1usize..50) {
            let chunks: Vec<&[u8]> = body.chunks(size).collect();
            let list: Vec<Payload> = chunks.iter().enumerate().map(|(i, chunk)| {
                let start = if i == 0 { 0x80 } else { 0 };
                let end = if i + 1 == chunks.len() { 0x40 } else { 0 };
                Arc::from([&[0x7c, start | end | 5], *chunk].concat())
            }).collect();
            let unit = depacketize(Codec::H264, &list).unwrap();
            prop_assert_eq!(&unit.units()[0][..], &[&[0x65], &body[..]].concat()[..]);
        }
    }
}
