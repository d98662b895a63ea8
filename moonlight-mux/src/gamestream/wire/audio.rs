//! The audio stream's datagrams: Opus packets and the parity over groups of four.
//!
//! Source: protocol document, streams 7.2; vectors of 10.6.

use super::{Malformed, array, check_len};

/// The longest audio datagram (streams 7.2).
pub(crate) const MAX_DATAGRAM: usize = 1400;

/// Data packets in an FEC group.
pub(crate) const GROUP_DATA: usize = 4;

/// Parity packets in an FEC group.
pub(crate) const GROUP_PARITY: usize = 2;

/// One audio datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Data(Data<'a>),
    Parity(Parity<'a>),
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, RTP_LEN + 1, MAX_DATAGRAM)?;
        if bytes[0] != 0x80 {
            return Err(Malformed::Field { field: "RTP version", value: bytes[0].into() });
        }
        match bytes[1] {
            PAYLOAD_TYPE_DATA => Ok(Self::Data(Data {
                sequence: u16::from_be_bytes(array(bytes, 2)),
                timestamp: u32::from_be_bytes(array(bytes, 4)),
                payload: &bytes[RTP_LEN..],
            })),
            PAYLOAD_TYPE_PARITY => Parity::parse(bytes).map(Self::Parity),
            other => Err(Malformed::Field { field: "payload type", value: other.into() }),
        }
    }
}

/// An Opus packet, in clear or encrypted.
///
/// ```text
/// 0  u8 0x80    1  u8 97    2  u16 BE sequence number    4  u32 BE timestamp in ms    8  u32 BE SSRC, 0    12  payload
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    /// Counts data packets only, from 0; wraps.
    pub(crate) sequence: u16,
    /// Sequence number times packet duration, in milliseconds; goes on past the sequence number's wrap.
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
}

impl Data<'_> {
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([0x80, PAYLOAD_TYPE_DATA]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend([0; 4]);
        out.extend(self.payload);
    }
}

/// Parity over the payloads of a group of four data packets.
///
/// ```text
///  0  u8 0x80   1  u8 127   2  u16 BE ignored   4  8 zero bytes
/// 12  u8 parity index   13  u8 97   14  u16 BE base sequence number   16  u32 BE base timestamp   20  u32 BE SSRC   24  parity
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parity<'a> {
    /// The RTP header's own number, which overlaps those of data packets and differs by host. Of no use.
    pub(crate) sequence: u16,
    /// 0 or 1.
    pub(crate) index: u8,
    /// The sequence number of the group's first packet.
    pub(crate) base_sequence: u16,
    /// The timestamp of the group's first packet, in milliseconds.
    pub(crate) base_timestamp: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Parity<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, PARITY_HEADER_LEN + 1, MAX_DATAGRAM)?;
        if usize::from(bytes[12]) >= GROUP_PARITY {
            return Err(Malformed::Field { field: "parity index", value: bytes[12].into() });
        }
        if bytes[13] != PAYLOAD_TYPE_DATA {
            return Err(Malformed::Field { field: "payload type behind parity", value: bytes[13].into() });
        }
        Ok(Self {
            sequence: u16::from_be_bytes(array(bytes, 2)),
            index: bytes[12],
            base_sequence: u16::from_be_bytes(array(bytes, 14)),
            base_timestamp: u32::from_be_bytes(array(bytes, 16)),
            payload: &bytes[PARITY_HEADER_LEN..],
        })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([0x80, PAYLOAD_TYPE_PARITY]);
        out.extend(self.sequence.to_be_bytes());
        out.extend([0; 8]);
        out.extend([self.index, PAYLOAD_TYPE_DATA]);
        out.extend(self.base_sequence.to_be_bytes());
        out.extend(self.base_timestamp.to_be_bytes());
        out.extend([0; 4]);
        out.extend(self.payload);
    }
}

const RTP_LEN: usize = 12;
const PARITY_HEADER_LEN: usize = 24;
const PAYLOAD_TYPE_DATA: u8 = 97;
const PAYLOAD_TYPE_PARITY: u8 = 127;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// Streams 10.6: the group of sequence numbers 8 to 11, encrypted, then its two parity packets.
    pub(crate) const GROUP: [&str; 6] = [
        "806100080000002800000000f6b5309087c41c60cd7f670df66c43289a8e86d64c74406af52988593b8cd53f",
        "806100090000002d0000000067659a0151ad53b9ca5b916812c8e43750b36131e106bbfd60be8cfca2670272",
        "8061000a0000003200000000bc5091d43adeefed7c11435b80b356ebe429bffd5c29aca27e4e994237cb6d4a",
        "8061000b0000003700000000ec9e0dbc337402f5ff17de6e3e4a6fded55cd170b791f493361e8d783fa8e0df",
        "807f000c0000000000000000006100080000002800000000c248a4f0d2ffc9f5ac388f8c0fc21be988d785c548bea3d9794d3c8ab73f4536",
        "807f000d00000000000000000161000800000028000000008e036554cff0c22b66588bc9a7ac33cb4325dba4964ebb802ccf32bae7536be9",
    ];

    /// Streams 10.6: what the group decrypts to.
    pub(crate) const OPUS: [&str; 4] = [
        "ec0104070a0d101316191c1f2225282b2e313437",
        "ec080b0e1114171a1d202326292c2f3235383b3e",
        "ec0f1215181b1e2124272a2d303336393c3f4245",
        "ec16191c1f2225282b2e3134373a3d404346494c",
    ];

    #[test]
    fn the_documents_packets_parse_and_build_back() {
        for (i, text) in GROUP.into_iter().enumerate() {
            let bytes = hex(text);
            let mut built = Vec::new();
            match Packet::parse(&bytes).unwrap() {
                Packet::Data(data) => {
                    assert_eq!((data.sequence, data.timestamp), (8 + i as u16, 40 + 5 * i as u32));
                    data.emit(&mut built);
                }
                Packet::Parity(parity) => {
                    assert_eq!(
                        (parity.index, parity.base_sequence, parity.base_timestamp),
                        (i as u8 - 4, 8, 40)
                    );
                    parity.emit(&mut built);
                }
            }
            assert_eq!(built, bytes);
        }
    }

    #[test]
    fn foreign_packets_are_refused() {
        let with = |text: &str, at: usize, value: u8| {
            let mut bytes = hex(text);
            bytes[at] = value;
            Packet::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert!(matches!(with(GROUP[0], 0, 0x90), Malformed::Field { field: "RTP version", .. }));
        assert!(matches!(with(GROUP[0], 1, 96), Malformed::Field { field: "payload type", value: 96 }));
        assert!(matches!(with(GROUP[4], 12, 2), Malformed::Field { field: "parity index", value: 2 }));
        assert!(matches!(with(GROUP[4], 13, 98), Malformed::Field { value: 98, .. }));
        assert!(matches!(Packet::parse(&hex(GROUP[0])[..12]), Err(Malformed::Short { .. })));
        assert!(matches!(Packet::parse(&hex(GROUP[4])[..24]), Err(Malformed::Short { .. })));
        assert!(matches!(Packet::parse(&[0x80; 1401]), Err(Malformed::Long { .. })));
    }

    proptest! {
        #[test]
        fn any_packet_builds_and_parses_back(
            sequence: u16, timestamp: u32, base_sequence: u16, index in 0u8..2,
            payload in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            let mut bytes = Vec::new();
            let data = Data { sequence, timestamp, payload: &payload };
            data.emit(&mut bytes);
            prop_assert_eq!(Packet::parse(&bytes), Ok(Packet::Data(data)));
            bytes.clear();
            let parity = Parity { sequence, index, base_sequence, base_timestamp: timestamp, payload: &payload };
            parity.emit(&mut bytes);
            prop_assert_eq!(Packet::parse(&bytes), Ok(Packet::Parity(parity)));
        }
    }
}
