//! H.264 into RTP payloads (RFC 6184, packetization mode 1), pure and in no crate's types.

use bytes::{BufMut, Bytes, BytesMut};

use super::annex_b::nal_units;
use super::{MAX_PAYLOAD, Payload, marked};

/// Splits an access unit (Annex B) into payloads of at most [`MAX_PAYLOAD`] bytes.
///
/// Parameter sets travel together in a STAP-A, large NAL units in FU-As, all others as they are. Access unit
/// delimiters and filler are left out: no receiver of RTP wants them (RFC 6184, 1.3). Bytes without a start code give no
/// payload.
pub(crate) fn packetise(access_unit: &Bytes) -> Vec<Payload> {
    let mut payloads = Vec::with_capacity(access_unit.len() / MAX_PAYLOAD + 4);
    let mut parameter_sets = StapA::default();
    for nal in nal_units(access_unit) {
        match nal[0] & NAL_TYPE_MASK {
            NAL_AUD | NAL_FILLER => {}
            NAL_SPS | NAL_PPS if parameter_sets.fits(&nal) => parameter_sets.push(nal),
            _ => {
                payloads.extend(parameter_sets.take());
                packetise_nal(&nal, &mut payloads);
            }
        }
    }
    payloads.extend(parameter_sets.take());
    marked(payloads)
}

fn packetise_nal(nal: &Bytes, payloads: &mut Vec<Bytes>) {
    if nal.len() <= MAX_PAYLOAD {
        payloads.push(nal.clone());
        return;
    }
    let (header, body) = (nal[0], &nal[1..]);
    // Fragments of one size: the last is no runt, and a receiver sees packets of equal length.
    let fragments = body.len().div_ceil(MAX_PAYLOAD - 2);
    let size = body.len().div_ceil(fragments);
    for (i, chunk) in body.chunks(size).enumerate() {
        let start = if i == 0 { FU_START } else { 0 };
        let end = if (i + 1) * size >= body.len() { FU_END } else { 0 };
        let mut payload = BytesMut::with_capacity(2 + chunk.len());
        payload.put_u8(header & !NAL_TYPE_MASK | NAL_FU_A);
        payload.put_u8(start | end | header & NAL_TYPE_MASK);
        payload.put_slice(chunk);
        payloads.push(payload.freeze());
    }
}

/// Parameter sets on their way into one packet (RFC 6184, 5.7.1): a header, then each NAL unit behind its 16-bit length.
#[derive(Default)]
struct StapA {
    nals: Vec<Bytes>,
    len: usize,
}

impl StapA {
    fn fits(&self, nal: &Bytes) -> bool {
        1 + self.len + 2 + nal.len() <= MAX_PAYLOAD
    }

    fn push(&mut self, nal: Bytes) {
        self.len += 2 + nal.len();
        self.nals.push(nal);
    }

    fn take(&mut self) -> Option<Bytes> {
        let Self { nals, len } = std::mem::take(self);
        if nals.len() < 2 {
            return nals.into_iter().next();
        }
        let mut payload = BytesMut::with_capacity(1 + len);
        // The highest importance of those inside (RFC 6184, 5.3).
        let importance = nals.iter().map(|nal| nal[0] & NRI_MASK).max().unwrap_or(0);
        payload.put_u8(importance | NAL_STAP_A);
        for nal in &nals {
            payload.put_u16(nal.len() as u16);
            payload.put_slice(nal);
        }
        Some(payload.freeze())
    }
}

const NAL_TYPE_MASK: u8 = 0x1f;
const NRI_MASK: u8 = 0x60;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_AUD: u8 = 9;
const NAL_FILLER: u8 = 12;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::rtp::codec::h264::H264Packet;
    use rtc::rtp::packetizer::Depacketizer;

    use super::*;
    use crate::webrtc::packetiser::annex_b::tests::annex_b;

    #[test]
    fn parameter_sets_travel_together_and_delimiters_stay_behind() {
        let stream = annex_b(&[&[9, 0xf0], &[0x67, 1, 2, 3], &[0x68, 4], &[0x65, 5, 6]]);
        let payloads = packetise(&stream);
        let bytes: Vec<&[u8]> = payloads.iter().map(|payload| &payload.bytes[..]).collect();
        assert_eq!(bytes, [&[0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 4][..], &[0x65, 5, 6]]);
        assert_eq!(payloads.iter().map(|payload| payload.marker).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_large_nal_unit_becomes_fragments_of_one_size() {
        let mut nal = vec![0x65];
        nal.extend((0..3000u32).map(|i| i as u8 | 1));
        let payloads = packetise(&annex_b(&[&nal]));
        assert_eq!(
            payloads.iter().map(|payload| payload.bytes.len()).collect::<Vec<_>>(),
            [1002, 1002, 1002]
        );
        assert_eq!(
            payloads.iter().map(|payload| [payload.bytes[0], payload.bytes[1]]).collect::<Vec<_>>(),
            [[0x7c, 0x85], [0x7c, 0x05], [0x7c, 0x45]]
        );
    }

    #[test]
    fn bytes_without_a_start_code_give_nothing() {
        assert!(packetise(&Bytes::new()).is_empty());
        assert!(packetise(&Bytes::from_static(&[0, 0, 0, 0, 2, 3])).is_empty());
        assert!(packetise(&Bytes::from_static(&[0, 0, 1])).is_empty());
        assert!(packetise(&Bytes::from_static(&[0, 0, 1, 0, 0, 1])).is_empty());
    }

    fn nal() -> impl Strategy<Value = Vec<u8>> {
        let header = prop::sample::select(vec![0x61u8, 0x65, 0x67, 0x68, 0x06]);
        let body = prop_oneof![prop::collection::vec(1u8.., 2..50), prop::collection::vec(1u8.., 1100..5000)];
        (header, body).prop_map(|(header, body)| [vec![header], body].concat())
    }

    proptest! {
        /// Another implementation puts the same NAL units together again.
        #[test]
        fn the_crates_depacketiser_gives_the_access_unit_back(nals in prop::collection::vec(nal(), 1..12)) {
            let stream = annex_b(&nals.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let payloads = packetise(&stream);
            prop_assert!(payloads.iter().all(|payload| payload.bytes.len() <= MAX_PAYLOAD));
            prop_assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), 1);
            prop_assert!(payloads.last().is_some_and(|payload| payload.marker));
            let mut depacketiser = H264Packet::default();
            let mut out = BytesMut::new();
            for payload in &payloads {
                out.put_slice(&depacketiser.depacketize(&payload.bytes).expect("a valid payload"));
            }
            let out: Vec<Bytes> = nal_units(&out.freeze()).collect();
            prop_assert_eq!(out, nals.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }
    }
}
