//! AV1 into RTP payloads (RTP payload format for AV1, v1.0).

use bytes::buf::Chain;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{MAX_PAYLOAD, Payload, marked};

/// Splits a temporal unit (a low-overhead OBU stream) into payloads of at most [`MAX_PAYLOAD`] bytes.
///
/// OBUs go one behind the other, without size fields, and each packet is filled: what does not fit goes on in the next one.
/// Temporal delimiters and tile lists are left out (section 5). A keyframe begins a coded video sequence. A malformed
/// stream gives no payload.
pub(crate) fn packetise(temporal_unit: &Bytes, keyframe: bool) -> Vec<Payload> {
    let Some(obus) = obus(temporal_unit) else { return Vec::new() };
    let mut payloads = Vec::with_capacity(temporal_unit.len() / MAX_PAYLOAD + 2);
    let mut packet = Packet { new_sequence: keyframe, ..Packet::default() };
    for Obu { layer, mut bytes } in obus {
        if !packet.takes(layer) {
            payloads.push(std::mem::take(&mut packet).finish(false));
        }
        let mut begun = false;
        while bytes.has_remaining() {
            if packet.room() == 0 {
                payloads.push(std::mem::take(&mut packet).finish(begun));
                packet.continues_previous = begun;
            }
            let size = bytes.remaining().min(packet.room());
            packet.push(bytes.copy_to_bytes(size), layer);
            begun = true;
        }
    }
    if !packet.elements.is_empty() {
        payloads.push(packet.finish(false));
    }
    marked(payloads)
}

/// One packet in the making: the aggregation header, then OBUs or parts of them behind their lengths (section 4.4).
#[derive(Default)]
struct Packet {
    elements: Vec<Bytes>,
    /// Bytes of the elements and their length fields.
    len: usize,
    layer: Option<Layer>,
    continues_previous: bool,
    new_sequence: bool,
}

impl Packet {
    /// How many bytes the next element may have.
    fn room(&self) -> usize {
        MAX_PAYLOAD.saturating_sub(AGGREGATION_HEADER + self.len + LENGTH_FIELD)
    }

    /// OBUs of different layers may not share a packet (section 5).
    fn takes(&self, layer: Option<Layer>) -> bool {
        layer.is_none() || self.layer.is_none() || layer == self.layer
    }

    fn push(&mut self, element: Bytes, layer: Option<Layer>) {
        self.len += LENGTH_FIELD + element.len();
        self.layer = self.layer.or(layer);
        self.elements.push(element);
    }

    fn finish(self, continues_in_next: bool) -> Bytes {
        let mut payload = BytesMut::with_capacity(AGGREGATION_HEADER + self.len);
        // Up to three elements are counted, and the last has no length then.
        let count = if self.elements.len() <= MAX_COUNT { self.elements.len() } else { 0 };
        let mut header = (count as u8) << COUNT_SHIFT;
        for (set, bit) in [
            (self.continues_previous, CONTINUES_PREVIOUS),
            (continues_in_next, CONTINUES_IN_NEXT),
            (self.new_sequence, NEW_SEQUENCE),
        ] {
            if set {
                header |= bit;
            }
        }
        payload.put_u8(header);
        for (i, element) in self.elements.iter().enumerate() {
            if i + 1 != count {
                put_leb128(&mut payload, element.len());
            }
            payload.put_slice(element);
        }
        payload.freeze()
    }
}

/// An OBU without its size field.
struct Obu {
    layer: Option<Layer>,
    /// Its header, and what is behind it.
    bytes: Chain<Bytes, Bytes>,
}

/// The temporal and the spatial id of an OBU extension header (AV1 specification, 5.3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Layer(u8);

/// The OBUs of a stream that travel; `None` when it is malformed.
fn obus(stream: &Bytes) -> Option<Vec<Obu>> {
    let mut obus = Vec::new();
    let mut rest = stream.clone();
    while !rest.is_empty() {
        let first = rest.get_u8();
        if first & FORBIDDEN != 0 {
            return None;
        }
        let mut header = BytesMut::with_capacity(2);
        header.put_u8(first & !HAS_SIZE);
        let mut layer = None;
        if first & HAS_EXTENSION != 0 {
            let extension = rest.try_get_u8().ok()?;
            header.put_u8(extension);
            layer = Some(Layer(extension & LAYER_MASK));
        }
        // Only the last OBU may be without a size: it takes what is there.
        let size = if first & HAS_SIZE != 0 { take_leb128(&mut rest)? } else { rest.len() };
        if size > rest.len() {
            return None;
        }
        let body = rest.split_to(size);
        if !matches!(first >> TYPE_SHIFT, TEMPORAL_DELIMITER | TILE_LIST) {
            obus.push(Obu { layer, bytes: header.freeze().chain(body) });
        }
    }
    Some(obus)
}

/// Takes an unsigned LEB128 number, which has at most 32 bits in at most 8 bytes (AV1 specification, 4.10.5).
fn take_leb128(bytes: &mut Bytes) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..56).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok().and_then(|value| usize::try_from(value).ok());
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

const AGGREGATION_HEADER: usize = 1;
/// Enough for every element that fits into a packet.
const LENGTH_FIELD: usize = 2;

/// Z, Y, W and N of the aggregation header (section 4.4).
const CONTINUES_PREVIOUS: u8 = 0x80;
const CONTINUES_IN_NEXT: u8 = 0x40;
const COUNT_SHIFT: u8 = 4;
const MAX_COUNT: usize = 3;
const NEW_SEQUENCE: u8 = 0x08;

/// The OBU header (AV1 specification, 5.3.2).
const FORBIDDEN: u8 = 0x80;
const TYPE_SHIFT: u8 = 3;
const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
const LAYER_MASK: u8 = 0xf8;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::rtp::codec::av1::Av1Depacketizer;
    use rtc::rtp::packetizer::Depacketizer;

    use super::*;

    fn payloads(stream: &[u8], keyframe: bool) -> Vec<Bytes> {
        packetise(&Bytes::copy_from_slice(stream), keyframe)
            .into_iter()
            .map(|payload| payload.bytes)
            .collect()
    }

    #[test]
    fn a_keyframe_travels_without_delimiter_and_sizes() {
        // Temporal delimiter, sequence header, frame.
        let stream = [0x12, 0, 0x0a, 2, 7, 8, 0x32, 3, 1, 2, 3];
        // W = 2, N; the first element has a length.
        assert_eq!(payloads(&stream, true), [&[0x28, 3, 0x08, 7, 8, 0x30, 1, 2, 3][..]]);
        assert_eq!(payloads(&stream, false), [&[0x20, 3, 0x08, 7, 8, 0x30, 1, 2, 3][..]]);
    }

    #[test]
    fn more_than_three_elements_have_a_length_each() {
        let stream = [0x0a, 1, 7, 0x1a, 1, 6, 0x22, 1, 5, 0x22, 1, 4];
        assert_eq!(payloads(&stream, false), [&[0x00, 2, 0x08, 7, 2, 0x18, 6, 2, 0x20, 5, 2, 0x20, 4][..]]);
    }

    #[test]
    fn the_last_obu_may_be_without_a_size_and_tile_lists_stay_behind() {
        assert_eq!(payloads(&[0x42, 1, 9, 0x30, 1, 2], false), [&[0x10, 0x30, 1, 2][..]]);
    }

    #[test]
    fn a_large_obu_goes_on_in_the_next_packets() {
        let mut stream = vec![0x0a, 1, 7, 0x32, 0xb8, 0x17];
        stream.extend((0..3000u32).map(|i| i as u8));
        let packets = packetise(&Bytes::from(stream), true);
        let headers: Vec<u8> = packets.iter().map(|packet| packet.bytes[0]).collect();
        // W = 2, Y, N; then Z, Y; then Z.
        assert_eq!(headers, [0x68, 0xd0, 0x90]);
        assert_eq!(packets.iter().map(|packet| packet.marker).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(packets[0].bytes[..6], [0x68, 2, 0x08, 7, 0x30, 0]);
    }

    #[test]
    fn layers_do_not_share_a_packet() {
        let stream = [0x36, 0x00, 1, 1, 0x36, 0x08, 1, 2, 0x36, 0x08, 1, 3];
        let expected = [&[0x10, 0x34, 0x00, 1][..], &[0x20, 3, 0x34, 0x08, 2, 0x34, 0x08, 3]];
        assert_eq!(payloads(&stream, false), expected);
    }

    #[test]
    fn malformed_streams_give_nothing() {
        for stream in [
            &[][..],
            // A delimiter alone.
            &[0x12, 0],
            // Cut off: in the body, before the size, in the size, before the extension.
            &[0x0a, 1, 7, 0x32, 4, 1, 2, 3],
            &[0x0a, 1, 7, 0x32],
            &[0x0a, 1, 7, 0x32, 0x80],
            &[0x0a, 1, 7, 0x36],
            // A size of nine bytes, and one of 33 bits.
            &[0x32, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            &[0x32, 0x80, 0x80, 0x80, 0x80, 0x10],
            // The forbidden bit.
            &[0x0a, 1, 7, 0xb2, 1, 7],
        ] {
            assert!(payloads(stream, true).is_empty(), "{stream:x?}");
        }
    }

    /// An OBU as it travels, and the same with a size field.
    fn obu() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let header =
            prop::sample::select(vec![&[0x08][..], &[0x18], &[0x30], &[0x28], &[0x34, 0x00], &[0x34, 0x28]]);
        let body = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..50),
            2 => prop::collection::vec(any::<u8>(), 1150..1210),
            1 => prop::collection::vec(any::<u8>(), 2000..5000),
        ];
        (header, body).prop_map(|(header, body)| {
            let mut sized = BytesMut::from(header);
            sized[0] |= HAS_SIZE;
            put_leb128(&mut sized, body.len());
            sized.put_slice(&body);
            ([header, &body].concat(), sized.to_vec())
        })
    }

    proptest! {
        /// Another implementation puts the same OBUs together again.
        #[test]
        fn the_crates_depacketiser_gives_the_temporal_unit_back(
            obus in prop::collection::vec(obu(), 1..12),
            keyframe in any::<bool>(),
        ) {
            let stream: Vec<u8> = obus.iter().flat_map(|(_, sized)| sized.clone()).collect();
            let payloads = packetise(&Bytes::from([&[0x12, 0][..], &stream].concat()), keyframe);
            let mut depacketiser = Av1Depacketizer::new();
            let mut out = Vec::new();
            for (i, payload) in payloads.iter().enumerate() {
                prop_assert!(payload.bytes.len() <= MAX_PAYLOAD);
                prop_assert_eq!(payload.marker, i + 1 == payloads.len());
                prop_assert_eq!(payload.bytes[0] & NEW_SEQUENCE != 0, keyframe && i == 0);
                let opened = i > 0 && payloads[i - 1].bytes[0] & CONTINUES_IN_NEXT != 0;
                prop_assert_eq!(payload.bytes[0] & CONTINUES_PREVIOUS != 0, opened);
                out.extend_from_slice(&depacketiser.depacketize(&payload.bytes).expect("a valid payload"));
            }
            prop_assert_eq!(out, stream);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let payloads = packetise(&Bytes::from(bytes.clone()), false);
            let carried: usize = payloads.iter().map(|payload| payload.bytes.len() - AGGREGATION_HEADER).sum();
            prop_assert!(carried <= bytes.len() + payloads.len() * LENGTH_FIELD);
        }
    }
}
