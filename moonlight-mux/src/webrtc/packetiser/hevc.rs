//! HEVC into RTP payloads (RFC 7798, without decoding order numbers), pure and in no crate's types.

use bytes::{BufMut, Bytes, BytesMut};

use super::annex_b::nal_units;
use super::{MAX_PAYLOAD, Payload, marked};

/// Splits an access unit (Annex B) into payloads of at most [`MAX_PAYLOAD`] bytes.
///
/// Parameter sets travel together in an aggregation packet, large NAL units in fragmentation units, all others as they are.
/// Access unit delimiters and filler are left out, and so is a NAL unit without a body, such as the end of a sequence: receivers
/// take its packet for a malformed one, which they would miss. Bytes without a start code give no payload.
pub(crate) fn packetise(access_unit: &Bytes) -> Vec<Payload> {
    let mut payloads = Vec::with_capacity(access_unit.len() / MAX_PAYLOAD + 4);
    let mut parameter_sets = Aggregation::default();
    for nal in nal_units(access_unit) {
        let Some((header, [_, ..])) = nal.split_first_chunk().map(|(header, body)| (Header(*header), body))
        else {
            continue;
        };
        match header.nal_type() {
            // Those from 48 on are packets' own types (RFC 7798, 4.4), no NAL units of a stream.
            NAL_AUD | NAL_FILLER | FIRST_UNSPECIFIED.. => {}
            NAL_VPS | NAL_SPS | NAL_PPS if parameter_sets.fits(&nal) => parameter_sets.push(header, nal),
            _ => {
                payloads.extend(parameter_sets.take());
                packetise_nal(header, &nal, &mut payloads);
            }
        }
    }
    payloads.extend(parameter_sets.take());
    marked(payloads)
}

fn packetise_nal(header: Header, nal: &Bytes, payloads: &mut Vec<Bytes>) {
    if nal.len() <= MAX_PAYLOAD {
        payloads.push(nal.clone());
        return;
    }
    let body = &nal[HEADER..];
    // Fragments of one size: the last is no runt, and a receiver sees packets of equal length.
    let fragments = body.len().div_ceil(MAX_PAYLOAD - FRAGMENT_HEADER);
    let size = body.len().div_ceil(fragments);
    for (i, chunk) in body.chunks(size).enumerate() {
        let start = if i == 0 { FU_START } else { 0 };
        let end = if (i + 1) * size >= body.len() { FU_END } else { 0 };
        let mut payload = BytesMut::with_capacity(FRAGMENT_HEADER + chunk.len());
        payload.put_slice(&header.with_type(FRAGMENTATION).0);
        payload.put_u8(start | end | header.nal_type());
        payload.put_slice(chunk);
        payloads.push(payload.freeze());
    }
}

/// A NAL unit's header, and that of a payload: F, 6 bits of type, 6 of layer, 3 of temporal id plus 1 (RFC 7798, 1.1.4).
#[derive(Clone, Copy)]
struct Header([u8; 2]);

impl Header {
    fn nal_type(self) -> u8 {
        self.0[0] >> 1 & 0x3f
    }

    fn with_type(self, nal_type: u8) -> Self {
        Self([self.0[0] & !TYPE_MASK | nal_type << 1, self.0[1]])
    }

    /// F if either has it, and the lower of layers and of temporal ids (RFC 7798, 4.4.2).
    fn aggregated(self, other: Self) -> Self {
        let (a, b) = (u16::from_be_bytes(self.0), u16::from_be_bytes(other.0));
        let lower = |mask: u16| (a & mask).min(b & mask);
        Self(((a | b) & F_MASK | lower(LAYER_MASK) | lower(TEMPORAL_MASK)).to_be_bytes())
    }
}

/// Parameter sets on their way into one packet (RFC 7798, 4.4.2): a header, then each NAL unit behind its 16-bit length.
#[derive(Default)]
struct Aggregation {
    nals: Vec<(Header, Bytes)>,
    len: usize,
}

impl Aggregation {
    fn fits(&self, nal: &Bytes) -> bool {
        HEADER + self.len + 2 + nal.len() <= MAX_PAYLOAD
    }

    fn push(&mut self, header: Header, nal: Bytes) {
        self.len += 2 + nal.len();
        self.nals.push((header, nal));
    }

    fn take(&mut self) -> Option<Bytes> {
        let Self { nals, len } = std::mem::take(self);
        // One alone is no aggregation (RFC 7798, 4.4.2).
        if nals.len() < 2 {
            return nals.into_iter().next().map(|(_, nal)| nal);
        }
        let header = nals.iter().map(|&(header, _)| header).reduce(Header::aggregated)?;
        let mut payload = BytesMut::with_capacity(HEADER + len);
        payload.put_slice(&header.with_type(AGGREGATION).0);
        for (_, nal) in &nals {
            payload.put_u16(nal.len() as u16);
            payload.put_slice(nal);
        }
        Some(payload.freeze())
    }
}

const HEADER: usize = 2;
const FRAGMENT_HEADER: usize = 3;
const TYPE_MASK: u8 = 0x7e;
const F_MASK: u16 = 0x8000;
const LAYER_MASK: u16 = 0x01f8;
const TEMPORAL_MASK: u16 = 0x0007;

/// Types of NAL units (HEVC, table 7-1) and of packets (RFC 7798, 4.4).
const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
const NAL_AUD: u8 = 35;
const NAL_FILLER: u8 = 38;
const FIRST_UNSPECIFIED: u8 = 48;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::rtp::codec::h265::{H265Packet, H265Payload};
    use rtc::rtp::packetizer::Depacketizer;

    use super::*;
    use crate::webrtc::packetiser::annex_b::tests::annex_b;

    const VPS: &[u8] = &[0x40, 0x01, 1, 2, 3];
    const SPS: &[u8] = &[0x42, 0x01, 4];
    const PPS: &[u8] = &[0x44, 0x01, 5, 6];

    fn payloads(nals: &[&[u8]]) -> Vec<Bytes> {
        packetise(&annex_b(nals)).into_iter().map(|payload| payload.bytes).collect()
    }

    #[test]
    fn parameter_sets_travel_together_and_delimiters_stay_behind() {
        let slice = &[0x26, 0x01, 7, 8];
        let stream = annex_b(&[&[0x46, 0x01, 0x50], VPS, SPS, PPS, slice, &[0x4c, 0x01, 0xff, 0x80]]);
        let payloads = packetise(&stream);
        let aggregated = [&[0x60, 0x01, 0, 5][..], VPS, &[0, 3], SPS, &[0, 4], PPS].concat();
        let bytes: Vec<&[u8]> = payloads.iter().map(|payload| &payload.bytes[..]).collect();
        assert_eq!(bytes, [&aggregated[..], slice]);
        assert_eq!(payloads.iter().map(|payload| payload.marker).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_parameter_set_alone_travels_as_it_is() {
        assert_eq!(payloads(&[SPS, &[0x02, 0x01, 7]]), [SPS, &[0x02, 0x01, 7]]);
    }

    #[test]
    fn an_aggregation_has_the_lowest_layer_and_temporal_id_of_its_units() {
        // Layers 5 and 33, temporal ids 3 and 1, and F in the second.
        let first = &[0x40, 5 << 3 | 4, 9];
        let second = &[0xc3, 1 << 3 | 2, 9];
        assert_eq!(payloads(&[first, second])[0][..2], [0xe0, 5 << 3 | 2]);
    }

    #[test]
    fn a_large_nal_unit_becomes_fragments_of_one_size() {
        // Of layer 33 and temporal id 2.
        let mut nal = vec![0x27, 1 << 3 | 3];
        nal.extend((0..3000u32).map(|i| i as u8 | 1));
        let payloads = payloads(&[&nal]);
        assert_eq!(payloads.iter().map(Bytes::len).collect::<Vec<_>>(), [1003; 3]);
        let headers: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..3]).collect();
        assert_eq!(headers, [&[0x63, 0x0b, 0x93], &[0x63, 0x0b, 0x13], &[0x63, 0x0b, 0x53]]);
        assert_eq!(payloads.iter().flat_map(|payload| payload[3..].to_vec()).collect::<Vec<_>>(), nal[2..]);
    }

    #[test]
    fn what_no_receiver_takes_gives_nothing() {
        assert!(packetise(&Bytes::new()).is_empty());
        assert!(packetise(&Bytes::from_static(&[0, 0, 0, 0, 2, 3])).is_empty());
        // Half a header, one without a body (the end of a sequence), and packets' types.
        for nal in [
            &[0x26][..],
            &[0x48, 0x01],
            &[0x60, 0x01, 1],
            &[0x62, 0x01, 1],
            &[0x64, 0x01, 1],
            &[0x7e, 0x01, 1],
        ] {
            assert!(payloads(&[nal]).is_empty(), "{nal:x?}");
        }
    }

    fn nal() -> impl Strategy<Value = Vec<u8>> {
        let nal_type = prop::sample::select(vec![0u8, 1, 19, 21, 32, 33, 34, 39, 47]);
        let body = prop_oneof![prop::collection::vec(1u8.., 1..50), prop::collection::vec(1u8.., 1100..5000)];
        (nal_type, 0u8..64, 1u8..8, body).prop_map(|(nal_type, layer, temporal, body)| {
            [vec![nal_type << 1 | layer >> 5, layer << 3 | temporal], body].concat()
        })
    }

    proptest! {
        /// Another implementation puts the same NAL units together again.
        #[test]
        fn the_crates_depacketiser_gives_the_access_unit_back(nals in prop::collection::vec(nal(), 1..12)) {
            let payloads = packetise(&annex_b(&nals.iter().map(Vec::as_slice).collect::<Vec<_>>()));
            prop_assert!(payloads.iter().all(|payload| payload.bytes.len() <= MAX_PAYLOAD));
            prop_assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), 1);
            prop_assert!(payloads.last().is_some_and(|payload| payload.marker));
            let mut out: Vec<Vec<u8>> = Vec::new();
            let mut fragmented: Option<Vec<u8>> = None;
            for payload in &payloads {
                let mut packet = H265Packet::default();
                packet.depacketize(&payload.bytes).expect("a valid payload");
                match packet.payload() {
                    H265Payload::H265SingleNALUnitPacket(_) => out.push(payload.bytes.to_vec()),
                    H265Payload::H265AggregationPacket(packet) => {
                        let first = packet.first_unit().expect("a first unit").nal_unit();
                        out.push(first.to_vec());
                        out.extend(packet.other_units().iter().map(|unit| unit.nal_unit().to_vec()));
                    }
                    H265Payload::H265FragmentationUnitPacket(packet) => {
                        let (header, outer) = (packet.fu_header(), packet.payload_header().0);
                        if header.s() {
                            let inner = outer & !(u16::from(TYPE_MASK) << 8) | u16::from(header.fu_type()) << 9;
                            prop_assert!(fragmented.replace(inner.to_be_bytes().to_vec()).is_none());
                        }
                        let nal = fragmented.as_mut().expect("a start before all else");
                        nal.extend(packet.payload());
                        if header.e() {
                            out.extend(fragmented.take());
                        }
                    }
                    _ => prop_assert!(false, "no packet of ours: {:?}", payload.bytes),
                }
            }
            prop_assert!(fragmented.is_none());
            prop_assert_eq!(out, nals);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(prop_oneof![3 => 0u8..2, 1 => any::<u8>()], 0..4000)) {
            let stream = Bytes::from(bytes);
            let carried: usize = packetise(&stream).iter().map(|payload| payload.bytes.len()).sum();
            prop_assert!(carried <= stream.len() * 2);
        }
    }
}
