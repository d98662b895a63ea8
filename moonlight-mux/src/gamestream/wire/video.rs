//! The video stream's datagrams: shards of frames, their encrypted envelope, the frame header inside, and pings.
//!
//! Source: protocol document, streams 4.1 to 4.3 and 6.3; vectors of 10.7.

use std::time::Duration;

use super::{Malformed, array, check_len};

/// The longest accepted shard: announced packet sizes stay below an Ethernet frame; this leaves room to spare.
pub(crate) const MAX_DATAGRAM: usize = 2048;

/// Bytes of RTP header and reserved bytes, overwritten by the host after it computed the parity.
pub(crate) const RTP_LEN: usize = 16;

/// Bytes in front of a shard's payload.
pub(crate) const HEADER_LEN: usize = 32;

/// A checked view of one video datagram in clear: one shard of a frame (streams 4.2).
///
/// ```text
///  0  u8     0x90: RTP version 2, extension        16  u32 LE  stream packet index << 8
///  1  u8     payload type, 0                       20  u32 LE  frame number
///  2  u16 BE sequence number                       24  u8      flags        25  u8  extra flags
///  4  u32 BE timestamp, 90 kHz                     26  u8      multi-FEC flags
///  8  u32 BE SSRC, 0                               27  u8      block index << 4, last block index << 6
/// 12  u32    reserved, 0                           28  u32 LE  percentage << 4, shard << 12, data shards << 22
///                                                  32  …       bitstream or parity bytes
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    /// Checks length, version and that shard, block and data shard count fit each other.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, HEADER_LEN + 1, MAX_DATAGRAM)?;
        if bytes[0] & 0xd0 != 0x90 {
            return Err(Malformed::Field { field: "RTP version and extension", value: bytes[0].into() });
        }
        let packet = Self(bytes);
        let Header { block, fec, .. } = packet.header();
        if block.index > block.last {
            return Err(Malformed::Field { field: "block index", value: block.index.into() });
        }
        let total = fec.data_shards + fec.parity_shards();
        if fec.data_shards == 0 || (fec.percentage > 0 && total > 255) {
            return Err(Malformed::Field { field: "data shards", value: fec.data_shards.into() });
        }
        if fec.shard >= total {
            return Err(Malformed::Field { field: "shard index", value: fec.shard.into() });
        }
        Ok(packet)
    }

    pub(crate) fn header(&self) -> Header {
        let b = self.0;
        let fec = u32::from_le_bytes(array(b, 28));
        Header {
            sequence: u16::from_be_bytes(array(b, 2)),
            timestamp: u32::from_be_bytes(array(b, 4)),
            packet_index: u32::from_le_bytes(array(b, 16)) >> 8,
            frame: u32::from_le_bytes(array(b, 20)),
            flags: b[24],
            extra_flags: b[25],
            multi_fec_flags: b[26],
            block: BlockIndex { index: (b[27] >> 4) & 3, last: b[27] >> 6 },
            fec: FecInfo {
                percentage: (fec >> 4) as u8,
                shard: (fec >> 12 & 0x3ff) as u16,
                data_shards: (fec >> 22) as u16,
            },
        }
    }

    /// What the Reed-Solomon code can restore: everything behind the RTP header (streams 5.5).
    pub(crate) fn shard(&self) -> Shard<'a> {
        Shard(&self.0[RTP_LEN..])
    }
}

/// A shard's bytes from the stream packet index on, as received or as restored by the Reed-Solomon code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a>(pub(crate) &'a [u8]);

impl<'a> Shard<'a> {
    /// Bitstream bytes of a data shard, parity bytes of a parity shard.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.0.get(HEADER_LEN - RTP_LEN..).unwrap_or_default()
    }

    /// Whether the flags are those of a data shard. Tells a wrong restoration; meaningless for parity (streams 4.5).
    pub(crate) fn is_picture_data(&self) -> bool {
        self.0.get(24 - RTP_LEN).is_some_and(|flags| flags & !flags::ALL == 0 && flags & flags::PICTURE != 0)
    }
}

/// The values in front of a shard's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Counts every shard, data and parity; wraps.
    pub(crate) sequence: u16,
    /// 90 kHz; 0 from hosts that do not stamp.
    pub(crate) timestamp: u32,
    /// 24 bits; counts shards over the stream or data shards within a frame, by host.
    pub(crate) packet_index: u32,
    /// Rises by one per frame, from 0 or 1.
    pub(crate) frame: u32,
    /// See [`flags`]; parity arithmetic in parity shards.
    pub(crate) flags: u8,
    /// 0x01: a long-term reference frame; parity arithmetic in parity shards.
    pub(crate) extra_flags: u8,
    /// 0x10 in data shards.
    pub(crate) multi_fec_flags: u8,
    /// Which of the frame's FEC blocks.
    pub(crate) block: BlockIndex,
    /// Which shard of that block.
    pub(crate) fec: FecInfo,
}

impl Header {
    /// Appends a datagram. Values wider than their field lose their high bits; see the fields for their widths.
    pub(crate) fn emit(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend([0x90, 0]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend([0; 8]);
        out.extend((self.packet_index << 8).to_le_bytes());
        out.extend(self.frame.to_le_bytes());
        out.extend([self.flags, self.extra_flags, self.multi_fec_flags]);
        out.push((self.block.index & 3) << 4 | self.block.last << 6);
        let FecInfo { percentage, shard, data_shards } = self.fec;
        let fec = u32::from(percentage) << 4 | u32::from(shard & 0x3ff) << 12 | u32::from(data_shards) << 22;
        out.extend(fec.to_le_bytes());
        out.extend(payload);
    }
}

/// Bits of [`Header::flags`].
pub(crate) mod flags {
    pub(crate) const PICTURE: u8 = 0x01;
    pub(crate) const END: u8 = 0x02;
    pub(crate) const START: u8 = 0x04;
    pub(crate) const ALL: u8 = 0x07;
}

/// The most FEC blocks that a frame can have.
pub(crate) const MAX_BLOCKS: usize = 4;

/// The place of an FEC block in its frame; both 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockIndex {
    pub(crate) index: u8,
    pub(crate) last: u8,
}

/// The place of a shard in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FecInfo {
    /// How many parity shards there are for each hundred data shards; 0 is none.
    pub(crate) percentage: u8,
    /// 10 bits; data shards come first, then parity shards.
    pub(crate) shard: u16,
    /// 10 bits, 1 or more.
    pub(crate) data_shards: u16,
}

impl FecInfo {
    /// The number of parity shards, which no field holds: percentage of the data shards, rounded up (streams 4.2).
    pub(crate) fn parity_shards(self) -> u16 {
        ((u32::from(self.data_shards) * u32::from(self.percentage)).div_ceil(100)) as u16
    }
}

/// A checked view of an encrypted video datagram (streams 4.3).
///
/// ```text
///  0  u64 LE  packet counter, 3 zero bytes, 'V': together the GCM nonce
/// 12  u32 LE  frame number in clear, unauthenticated
/// 16  16      GCM tag
/// 32  …       the encrypted datagram
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a>(&'a [u8]);

impl<'a> Sealed<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_len(bytes, SEALED_LEN + HEADER_LEN + 1, SEALED_LEN + MAX_DATAGRAM)?;
        Ok(Self(bytes))
    }

    pub(crate) fn nonce(&self) -> [u8; 12] {
        array(self.0, 0)
    }

    /// The frame number in clear: good enough to drop what is late, nothing else.
    pub(crate) fn frame_hint(&self) -> u32 {
        u32::from_le_bytes(array(self.0, 12))
    }

    pub(crate) fn tag(&self) -> [u8; 16] {
        array(self.0, 16)
    }

    pub(crate) fn ciphertext(&self) -> &'a [u8] {
        &self.0[SEALED_LEN..]
    }
}

/// What stands in front of an encrypted datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Rises by one per video datagram, from 0.
    pub(crate) counter: u64,
    pub(crate) frame: u32,
    pub(crate) tag: [u8; 16],
}

impl Envelope {
    pub(crate) fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&counter.to_le_bytes());
        nonce[11] = b'V';
        nonce
    }

    pub(crate) fn emit(&self, ciphertext: &[u8], out: &mut Vec<u8>) {
        out.extend(Self::nonce(self.counter));
        out.extend(self.frame.to_le_bytes());
        out.extend(self.tag);
        out.extend(ciphertext);
    }
}

/// Bytes in front of the ciphertext.
const SEALED_LEN: usize = 32;

/// The first bytes of a frame's payload, in the 8-byte form of hosts of version 7.1.431 (streams 6.3).
///
/// ```text
///  0  u8      0x01                                   3  u8      frame type
///  1  u16 LE  host latency in 1/10 ms, 0 = unknown   4  u16 LE  last payload length        6  2 zero bytes
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// How long the host took, in steps of 0.1 ms, up to 6.5535 s.
    pub(crate) host_latency: Option<Duration>,
    pub(crate) kind: FrameKind,
    /// Valid payload bytes in the frame's last data shard, this header included if that is also the first.
    pub(crate) last_payload_len: u16,
}

/// What a frame may refer to, as the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    P = 1,
    Idr = 2,
    IntraRefresh = 4,
    AfterInvalidation = 5,
}

impl FrameHeader {
    /// Length in bytes.
    pub(crate) const LEN: usize = 8;

    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        check_len(payload, Self::LEN, usize::MAX)?;
        if payload[0] != 1 {
            return Err(Malformed::Field { field: "frame header type", value: payload[0].into() });
        }
        let latency = u16::from_le_bytes(array(payload, 1));
        let kind = match payload[3] {
            1 => FrameKind::P,
            2 => FrameKind::Idr,
            4 => FrameKind::IntraRefresh,
            5 => FrameKind::AfterInvalidation,
            other => return Err(Malformed::Field { field: "frame type", value: other.into() }),
        };
        Ok(Self {
            host_latency: (latency > 0).then(|| Duration::from_micros(u64::from(latency) * 100)),
            kind,
            last_payload_len: u16::from_le_bytes(array(payload, 4)),
        })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let tenths = self.host_latency.map_or(0, |latency| latency.as_micros() / 100);
        out.push(1);
        out.extend(u16::try_from(tenths).unwrap_or(u16::MAX).to_le_bytes());
        out.push(self.kind as u8);
        out.extend(self.last_payload_len.to_le_bytes());
        out.extend([0, 0]);
    }
}

/// What a client sends on each media socket to tell the host its address (streams 4.1, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    /// For hosts that gave no payload: `PING`.
    Legacy,
    /// The 16 characters of `X-SS-Ping-Payload`, and a counter from 1.
    Payload { payload: [u8; 16], counter: u32 },
}

impl Ping {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes == b"PING" {
            return Ok(Self::Legacy);
        }
        check_len(bytes, 20, 20)?;
        Ok(Self::Payload { payload: array(bytes, 0), counter: u32::from_be_bytes(array(bytes, 16)) })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Legacy => out.extend(b"PING"),
            Self::Payload { payload, counter } => {
                out.extend(payload);
                out.extend(counter.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// Streams 10.7: a frame of three data and two parity shards.
    pub(crate) const PACKETS: [&str; 5] = [
        "9000001000015f9000000000000000000010000007000000050010002004c000012200020c000000000000016742001e0000000168ce0000000165090e13181d22272c31363b40454a4f54595e63686d",
        "9000001100015f9000000000000000000011000007000000010010002014c00072777c81868b90959a9fa4a9aeb3b8bdc2c7ccd1d6dbe0e5eaeff4f9fe03080d12171c21262b30353a3f44494e53585d",
        "9000001200015f9000000000000000000012000007000000030010002024c00062676c71767b80858a8f9499000000000000000000000000000000000000000000000000000000000000000000000000",
        "9000001300015f900000000000000000008d000007000000b100f7002034c00036ecc4251cae5015da9fb2882cbb6864b5b644c18d2eaba8ad201bdda686ff701f90e989f28a30bf33bc166e158ef778",
        "9000001400015f900000000000000000008c000007000000790051002044c000751222d5fb2731bc36bb2f0381e95cda61ed6612b85270fc750d59f58e750c831798e17a0179d35cd05fe59de686ff70",
    ];

    #[test]
    fn the_documents_shards_parse_and_build_back() {
        for (i, text) in PACKETS.into_iter().enumerate() {
            let bytes = hex(text);
            let packet = Packet::parse(&bytes).unwrap();
            let header = packet.header();
            assert_eq!((header.sequence, header.timestamp, header.frame), (0x10 + i as u16, 90_000, 7));
            assert_eq!(header.block, BlockIndex { index: 0, last: 0 });
            assert_eq!(header.fec, FecInfo { percentage: 66, shard: i as u16, data_shards: 3 });
            assert_eq!(header.fec.parity_shards(), 2);
            let mut built = Vec::new();
            header.emit(packet.shard().payload(), &mut built);
            assert_eq!(built, bytes);
        }
        let header = Packet::parse(&hex(PACKETS[0])).unwrap().header();
        assert_eq!((header.packet_index, header.flags), (0x10, flags::PICTURE | flags::START));
        let header = Packet::parse(&hex(PACKETS[2])).unwrap().header();
        assert_eq!((header.packet_index, header.flags), (0x12, flags::PICTURE | flags::END));
    }

    #[test]
    fn the_documents_frame_header_parses_and_builds_back() {
        let bytes = hex("012200020c000000");
        let header = FrameHeader::parse(&bytes).unwrap();
        assert_eq!(
            header,
            FrameHeader {
                host_latency: Some(Duration::from_micros(3400)),
                kind: FrameKind::Idr,
                last_payload_len: 12
            }
        );
        let mut built = Vec::new();
        header.emit(&mut built);
        assert_eq!(built, bytes);
    }

    #[test]
    fn frame_headers_of_old_hosts_are_refused() {
        for text in ["8122000200000000", "0137636861727373", "01000003"] {
            FrameHeader::parse(&hex(text)).unwrap_err();
        }
    }

    #[test]
    fn shards_that_contradict_themselves_are_refused() {
        let with = |at: usize, bytes: &[u8]| {
            let mut datagram = hex(PACKETS[0]);
            datagram[at..at + bytes.len()].copy_from_slice(bytes);
            Packet::parse(&datagram).map(|_| ()).unwrap_err()
        };
        let fec = |percentage: u32, shard: u32, data: u32| {
            (percentage << 4 | shard << 12 | data << 22).to_le_bytes()
        };
        assert!(matches!(with(0, &[0x80]), Malformed::Field { value: 0x80, .. }));
        assert!(matches!(with(27, &[0x10]), Malformed::Field { field: "block index", .. }));
        assert!(matches!(with(28, &fec(20, 0, 0)), Malformed::Field { field: "data shards", .. }));
        assert!(matches!(with(28, &fec(20, 0, 250)), Malformed::Field { field: "data shards", .. }));
        assert!(matches!(with(28, &fec(66, 5, 3)), Malformed::Field { field: "shard index", .. }));
        assert!(matches!(with(28, &fec(0, 3, 3)), Malformed::Field { field: "shard index", .. }));
        assert!(matches!(Packet::parse(&[0x90; 32]), Err(Malformed::Short { .. })));
        assert!(matches!(Packet::parse(&[0x90; 2049]), Err(Malformed::Long { .. })));
    }

    fn headers() -> impl Strategy<Value = Header> {
        let rtp = (any::<u16>(), any::<u32>(), 0u32..1 << 24, any::<u32>());
        let flags = any::<[u8; 3]>();
        let fec = (0u8..4, 0u8..4, any::<u8>(), 1u16..1024, any::<u16>());
        (rtp, flags, fec).prop_map(|(rtp, flags, (a, b, percentage, data, shard))| {
            let data_shards = if percentage == 0 { data } else { 1 + data % 70 };
            let fec = FecInfo { percentage, shard: 0, data_shards };
            let fec = FecInfo { shard: shard % (data_shards + fec.parity_shards()), ..fec };
            Header {
                sequence: rtp.0,
                timestamp: rtp.1,
                packet_index: rtp.2,
                frame: rtp.3,
                flags: flags[0],
                extra_flags: flags[1],
                multi_fec_flags: flags[2],
                block: BlockIndex { index: a.min(b), last: a.max(b) },
                fec,
            }
        })
    }

    proptest! {
        #[test]
        fn any_shard_builds_and_parses_back(header in headers(), payload in prop::collection::vec(any::<u8>(), 1..100)) {
            let mut bytes = Vec::new();
            header.emit(&payload, &mut bytes);
            let packet = Packet::parse(&bytes).unwrap();
            prop_assert_eq!(packet.header(), header);
            prop_assert_eq!(packet.shard().payload(), &payload[..]);
        }

        #[test]
        fn any_envelope_builds_and_parses_back(
            counter: u64, frame: u32, tag: [u8; 16], ciphertext in prop::collection::vec(any::<u8>(), 33..100),
        ) {
            let mut bytes = Vec::new();
            Envelope { counter, frame, tag }.emit(&ciphertext, &mut bytes);
            let sealed = Sealed::parse(&bytes).unwrap();
            prop_assert_eq!(sealed.nonce(), Envelope::nonce(counter));
            prop_assert_eq!((sealed.frame_hint(), sealed.tag()), (frame, tag));
            prop_assert_eq!(sealed.ciphertext(), &ciphertext[..]);
        }

        #[test]
        fn any_frame_header_builds_and_parses_back(tenths: u16, kind in 0usize..4, last_payload_len: u16) {
            let header = FrameHeader {
                host_latency: (tenths > 0).then(|| Duration::from_micros(u64::from(tenths) * 100)),
                kind: [FrameKind::P, FrameKind::Idr, FrameKind::IntraRefresh, FrameKind::AfterInvalidation][kind],
                last_payload_len,
            };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            prop_assert_eq!(bytes.len(), FrameHeader::LEN);
            prop_assert_eq!(FrameHeader::parse(&bytes), Ok(header));
        }

        #[test]
        fn any_ping_builds_and_parses_back(payload: [u8; 16], counter: u32) {
            for ping in [Ping::Legacy, Ping::Payload { payload, counter }] {
                let mut bytes = Vec::new();
                ping.emit(&mut bytes);
                prop_assert_eq!(Ping::parse(&bytes), Ok(ping));
            }
        }
    }
}
