//! A frame in the one form in which what was sent and what arrived can be compared. Pure.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};

/// A codec that this viewer can take apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Codec {
    /// H.264 (RFC 6184).
    H264,
    /// HEVC (RFC 7798).
    Hevc,
    /// AV1 (the AOM's RTP payload format 1.0).
    Av1,
}

/// One frame as a list of units: NAL units without start code (H.264, HEVC), or OBUs without size field and without
/// temporal delimiters (AV1).
///
/// Two frames are equal when their units are, whatever start codes, padding between NAL units, or OBU size fields they came with.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessUnit {
    codec: Codec,
    units: Vec<Bytes>,
}

impl AccessUnit {
    pub(crate) fn from_units(codec: Codec, units: Vec<Bytes>) -> Self {
        Self { codec, units }
    }

    /// Takes an encoder's frame apart: Annex B (H.264, HEVC) or a low-overhead OBU stream (AV1). Shares `data`.
    ///
    /// Zero bytes behind a NAL unit are padding (Annex B, `trailing_zero_8bits`) and not part of it.
    ///
    /// # Errors
    /// [`NotAFrame`] when `data` has no start code, or an OBU that ends behind the data.
    pub fn parse(codec: Codec, data: &Bytes) -> Result<Self, NotAFrame> {
        let units = match codec {
            Codec::H264 | Codec::Hevc => split_annex_b(data)?,
            Codec::Av1 => split_obus(data)?,
        };
        Ok(Self { codec, units })
    }

    /// How it is encoded.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Its NAL units or OBUs, in order.
    #[must_use]
    pub fn units(&self) -> &[Bytes] {
        &self.units
    }

    /// The bytes for a decoder: Annex B with start codes of four bytes, or OBUs with size fields.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.units.iter().map(|unit| unit.len() + 8).sum());
        for unit in &self.units {
            match self.codec {
                Codec::H264 | Codec::Hevc => {
                    out.put_slice(&[0, 0, 0, 1]);
                    out.put_slice(unit);
                }
                Codec::Av1 => put_sized_obu(&mut out, unit),
            }
        }
        out.freeze()
    }

    /// Whether decoding can start here: an IDR or IRAP picture with an SPS, or a sequence header.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        let has = |wanted: RangeInclusive<u8>| {
            self.units.iter().any(|unit| wanted.contains(&unit_type(self.codec, unit)))
        };
        match self.codec {
            Codec::H264 => has(nal::SPS..=nal::SPS) && has(nal::IDR..=nal::IDR),
            Codec::Hevc => has(hevc::SPS..=hevc::SPS) && has(hevc::IRAP),
            Codec::Av1 => has(obu::SEQUENCE_HEADER..=obu::SEQUENCE_HEADER),
        }
    }

    /// A hash over the units that a packetiser must not touch: all but access unit delimiters and filler data,
    /// which carry no picture and which some packetisers drop. The same in every process of one build.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for unit in &self.units {
            let kind = unit_type(self.codec, unit);
            let carries_nothing = match self.codec {
                Codec::H264 => kind == nal::AUD || kind == nal::FILLER,
                Codec::Hevc => kind == hevc::AUD || kind == hevc::FILLER,
                Codec::Av1 => false,
            };
            if carries_nothing {
                continue;
            }
            unit.hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl fmt::Debug for AccessUnit {
    /// The codec and each unit's type and length: the bytes would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.units.iter().map(|unit| (unit_type(self.codec, unit), unit.len()));
        write!(f, "{:?} ", self.codec)?;
        f.debug_list().entries(units).finish()
    }
}

/// Why bytes are no frame of a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAFrame {
    /// H.264 or HEVC without a start code at its beginning.
    #[error("no start code")]
    NoStartCode,
    /// An OBU's size goes beyond the data, or its header is cut off.
    #[error("the OBU at byte {at} is cut off")]
    CutOff {
        /// Where the OBU begins.
        at: usize,
    },
}

/// NAL unit types (H.264 table 7-1) and packet types (RFC 6184 table 1).
pub(crate) mod nal {
    pub(crate) const SLICE_MAX: u8 = 23;
    pub(crate) const IDR: u8 = 5;
    pub(crate) const SEI: u8 = 6;
    pub(crate) const SPS: u8 = 7;
    pub(crate) const AUD: u8 = 9;
    pub(crate) const FILLER: u8 = 12;
    pub(crate) const STAP_A: u8 = 24;
    pub(crate) const FU_A: u8 = 28;
}

/// NAL unit types (HEVC table 7-1) and packet types (RFC 7798, 4.4).
pub(crate) mod hevc {
    use std::ops::RangeInclusive;

    /// Pictures at which decoding can start.
    pub(crate) const IRAP: RangeInclusive<u8> = 16..=23;
    pub(crate) const VPS: u8 = 32;
    pub(crate) const SPS: u8 = 33;
    pub(crate) const AUD: u8 = 35;
    pub(crate) const FILLER: u8 = 38;
    pub(crate) const AGGREGATION: u8 = 48;
    pub(crate) const FRAGMENTATION: u8 = 49;
}

/// OBU types (AV1 specification 6.2.2).
pub(crate) mod obu {
    pub(crate) const SEQUENCE_HEADER: u8 = 1;
    pub(crate) const TEMPORAL_DELIMITER: u8 = 2;
    /// The header's bit that says that an extension byte follows.
    pub(crate) const EXTENSION_FLAG: u8 = 0x04;
    /// The header's bit that says that a size field follows.
    pub(crate) const HAS_SIZE: u8 = 0x02;
}

/// The type of a NAL unit or an OBU; 0, which no parameter set or keyframe has, for an empty one.
pub(crate) fn unit_type(codec: Codec, unit: &[u8]) -> u8 {
    let first = unit.first().copied().unwrap_or(0);
    match codec {
        Codec::H264 => first & 0x1f,
        Codec::Hevc => (first >> 1) & 0x3f,
        Codec::Av1 => (first >> 3) & 0x0f,
    }
}

/// An OBU without its size field, from an OBU that may have one, and how many bytes it took. `None`: cut off.
pub(crate) fn unsized_obu(data: &Bytes) -> Option<(Bytes, usize)> {
    let header = *data.first()?;
    let header_len = if header & obu::EXTENSION_FLAG == 0 { 1 } else { 2 };
    if data.len() < header_len {
        return None;
    }
    if header & obu::HAS_SIZE == 0 {
        return Some((data.clone(), data.len()));
    }
    let (size, size_len) = read_leb128(&data[header_len..])?;
    let start = header_len + size_len;
    let end = start.checked_add(size).filter(|&end| end <= data.len())?;
    let mut unit = BytesMut::with_capacity(header_len + size);
    unit.put_u8(header & !obu::HAS_SIZE);
    unit.put_slice(&data[1..header_len]);
    unit.put_slice(&data[start..end]);
    Some((unit.freeze(), end))
}

/// An unsigned LEB128 number (AV1 specification 4.10.5) and its length in bytes; `None` when it is cut off or too large.
pub(crate) fn read_leb128(data: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, &byte) in data.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn put_leb128(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_sized_obu(out: &mut BytesMut, unit: &[u8]) {
    let Some(&header) = unit.first() else { return };
    let header_len = if header & obu::EXTENSION_FLAG == 0 { 1 } else { 2 }.min(unit.len());
    out.put_u8(header | obu::HAS_SIZE);
    out.put_slice(&unit[1..header_len]);
    put_leb128(out, unit.len() - header_len);
    out.put_slice(&unit[header_len..]);
}

fn split_annex_b(data: &Bytes) -> Result<Vec<Bytes>, NotAFrame> {
    let mut units = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at + 3 <= data.len() {
        if data[at..at + 3] == [0, 0, 1] {
            match start {
                Some(start) => push_unpadded(&mut units, data.slice(start..at)),
                None if data[..at].iter().any(|&byte| byte != 0) => return Err(NotAFrame::NoStartCode),
                None => {}
            }
            at += 3;
            start = Some(at);
        } else {
            at += 1;
        }
    }
    push_unpadded(&mut units, data.slice(start.ok_or(NotAFrame::NoStartCode)?..));
    Ok(units)
}

fn push_unpadded(units: &mut Vec<Bytes>, unit: Bytes) {
    let len = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if len > 0 {
        units.push(unit.slice(..len));
    }
}

fn split_obus(data: &Bytes) -> Result<Vec<Bytes>, NotAFrame> {
    let mut units = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let (unit, len) = unsized_obu(&data.slice(at..)).ok_or(NotAFrame::CutOff { at })?;
        if unit_type(Codec::Av1, &unit) != obu::TEMPORAL_DELIMITER {
            units.push(unit);
        }
        at += len;
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn h264(data: &[u8]) -> Result<AccessUnit, NotAFrame> {
        AccessUnit::parse(Codec::H264, &Bytes::copy_from_slice(data))
    }

    fn av1(data: &[u8]) -> Result<AccessUnit, NotAFrame> {
        AccessUnit::parse(Codec::Av1, &Bytes::copy_from_slice(data))
    }

    #[test]
    fn start_code_length_and_padding_do_not_matter() {
        let long = h264(&[0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x65, 0, 3, 0, 0, 0, 0]).unwrap();
        let short = h264(&[0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x65, 0, 3]).unwrap();
        assert_eq!(long, short);
        assert_eq!(long.units(), [&[0x67, 1, 2][..], &[0x65, 0, 3][..]]);
        assert!(long.is_keyframe());
        assert_eq!(long.to_bytes()[..], [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x65, 0, 3]);
    }

    #[test]
    fn one_changed_byte_changes_the_fingerprint_and_a_delimiter_does_not() {
        let plain = h264(&[0, 0, 1, 0x65, 1, 2, 3]).unwrap();
        assert_ne!(plain.fingerprint(), h264(&[0, 0, 1, 0x65, 1, 2, 4]).unwrap().fingerprint());
        assert_ne!(plain.fingerprint(), h264(&[0, 0, 1, 0x65, 1, 0, 0, 1, 2, 3]).unwrap().fingerprint());
        let delimited = h264(&[0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 1, 2, 3, 0, 0, 1, 12, 0xff, 0x80]).unwrap();
        assert_eq!(plain.fingerprint(), delimited.fingerprint());
        assert_ne!(plain, delimited);
    }

    #[test]
    fn an_idr_without_parameter_sets_is_no_keyframe() {
        assert!(!h264(&[0, 0, 1, 0x65, 1]).unwrap().is_keyframe());
        assert!(!h264(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x41, 1]).unwrap().is_keyframe());
    }

    #[test]
    fn an_hevc_keyframe_has_an_irap_picture_and_an_sps() {
        let hevc = |data: &'static [u8]| AccessUnit::parse(Codec::Hevc, &Bytes::from_static(data)).unwrap();
        let key = hevc(&[0, 0, 1, 0x40, 1, 2, 0, 0, 1, 0x42, 1, 2, 0, 0, 1, 0x44, 1, 2, 0, 0, 1, 0x28, 1, 7]);
        assert_eq!((key.units().len(), key.is_keyframe()), (4, true));
        assert!(!hevc(&[0, 0, 1, 0x42, 1, 2, 0, 0, 1, 0x02, 1, 7]).is_keyframe());
        assert!(!hevc(&[0, 0, 1, 0x28, 1, 7]).is_keyframe());
        let delimited = hevc(&[0, 0, 1, 0x46, 1, 0x50, 0, 0, 1, 0x28, 1, 7, 0, 0, 1, 0x4c, 1, 0xff]);
        assert_eq!(delimited.fingerprint(), hevc(&[0, 0, 1, 0x28, 1, 7]).fingerprint());
    }

    #[test]
    fn obus_are_equal_with_and_without_size_and_delimiter() {
        // Temporal delimiter, sequence header of 2 bytes, frame (type 6) with an extension byte and 3 bytes.
        let sized = av1(&[0x12, 0, 0x0a, 2, 7, 8, 0x36, 0x20, 3, 1, 2, 3]).unwrap();
        let last_unsized = av1(&[0x0a, 2, 7, 8, 0x34, 0x20, 1, 2, 3]).unwrap();
        assert_eq!(sized, last_unsized);
        assert_eq!(sized.units(), [&[0x08, 7, 8][..], &[0x34, 0x20, 1, 2, 3][..]]);
        assert!(sized.is_keyframe());
        assert_eq!(sized.to_bytes()[..], [0x0a, 2, 7, 8, 0x36, 0x20, 3, 1, 2, 3]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(h264(&[]), Err(NotAFrame::NoStartCode));
        assert_eq!(h264(&[0x65, 0, 0, 1, 0x65]), Err(NotAFrame::NoStartCode));
        assert_eq!(av1(&[0x12, 0, 0x0a, 3, 1, 2]), Err(NotAFrame::CutOff { at: 2 }));
        assert_eq!(av1(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(NotAFrame::CutOff { at: 0 }));
    }

    proptest! {
        #[test]
        fn a_parsed_frame_is_the_same_after_another_round(data in proptest::collection::vec(0u8..4, 0..60)) {
            for codec in [Codec::H264, Codec::Hevc, Codec::Av1] {
                if let Ok(unit) = AccessUnit::parse(codec, &Bytes::from(data.clone())) {
                    prop_assert_eq!(&AccessUnit::parse(codec, &unit.to_bytes()).unwrap_or(unit.clone()), &unit);
                }
            }
        }
    }
}
