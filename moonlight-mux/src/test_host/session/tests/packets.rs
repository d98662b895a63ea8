//! How pictures and sounds are cut.

use proptest::prelude::*;

use super::super::*;
use super::net::{Net, Path, config};
use crate::gamestream::crypto::tests::{RIKEYID, key};
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::wire;
use crate::gamestream::wire::tests::hex;
use crate::gamestream::wire::video::{FrameHeader, HEADER_LEN, Packet};

fn shape(manner: Manner, payload_len: usize) -> Shape {
    Shape { manner, payload_len, percentage: 20, min_parity: 2, blocks: None }
}

fn picture(data: &[u8]) -> Picture<'_> {
    let host_latency = Some(Duration::from_micros(3400));
    Picture { number: 7, timestamp: 90_000, host_latency, kind: FrameKind::Idr, data }
}

#[test]
fn the_documents_picture_makes_the_documents_datagrams() {
    let first = hex(wire::video::tests::PACKETS[0]);
    let mut annexb = first[HEADER_LEN + FrameHeader::LEN..].to_vec();
    annexb.extend(&hex(wire::video::tests::PACKETS[1])[HEADER_LEN..]);
    annexb.extend(&hex(wire::video::tests::PACKETS[2])[HEADER_LEN..HEADER_LEN + 12]);
    let blocks = shape(Manner::Sunshine, 48).cut(0x10, &picture(&annexb)).unwrap();
    let packets: Vec<Vec<u8>> = wire::video::tests::PACKETS.iter().map(|text| hex(text)).collect();
    assert_eq!(blocks, [packets]);
}

#[test]
fn the_documents_sounds_make_the_documents_datagrams() {
    let cipher = AudioCipher::new(&key(), RIKEYID);
    let mut packetiser = AudioPacketiser::new(Manner::Sunshine, Some(cipher), Duration::from_millis(5));
    for _ in 0..8 {
        packetiser.packetise(&[0; 20]);
    }
    let datagrams = wire::audio::tests::OPUS.iter().flat_map(|opus| packetiser.packetise(&hex(opus)));
    let expected: Vec<Vec<u8>> = wire::audio::tests::GROUP.iter().map(|text| hex(text)).collect();
    assert_eq!(datagrams.collect::<Vec<_>>(), expected);
}

#[test]
fn sounds_of_different_lengths_have_no_parity() {
    let mut packetiser = AudioPacketiser::new(Manner::Wolf, None, Duration::from_millis(5));
    let mut count = |lens: [usize; 4]| lens.map(|len| packetiser.packetise(&vec![1; len]).len());
    assert_eq!(count([20, 20, 21, 20]), [1, 1, 1, 1]);
    assert_eq!(count([20, 20, 20, 20]), [1, 1, 1, 3]);
}

/// Data shards of each block, and the percentage.
fn blocks(manner: Manner, shards: usize) -> Option<(Vec<u16>, u8)> {
    let data = vec![1; shards * 48 - FrameHeader::LEN];
    let blocks = shape(manner, 48).cut(0, &picture(&data)).ok()?;
    let header = |block: &Vec<Vec<u8>>| Packet::parse(&block[0]).unwrap().header();
    let percentage = header(&blocks[0]).fec.percentage;
    Some((blocks.iter().map(|block| header(block).fec.data_shards).collect(), percentage))
}

#[test]
fn pictures_have_as_many_blocks_as_that_host_gives_them() {
    use Manner::{Sunshine, SunshineV023, Wolf};
    for (manner, shards, expected) in [
        (Sunshine, 1, Some((vec![1], 200))),
        (Sunshine, 3, Some((vec![3], 66))),
        (Sunshine, 212, Some((vec![212], 20))),
        (Sunshine, 213, Some((vec![107, 106], 20))),
        (Sunshine, 848, Some((vec![212; 4], 20))),
        (Sunshine, 849, Some((vec![213, 213, 213, 210], 0))),
        (Sunshine, 4 * 1023, Some((vec![1023; 4], 0))),
        (Sunshine, 4 * 1023 + 1, None),
        (SunshineV023, 18, Some((vec![18], 20))),
        (SunshineV023, 167, Some((vec![56, 56, 55], 20))),
        (Wolf, 46, Some((vec![46], 20))),
        (Wolf, 90, Some((vec![90], 20))),
        (Wolf, 126, Some((vec![42; 3], 20))),
        (Wolf, 294, Some((vec![98; 3], 20))),
        (Wolf, 424, Some((vec![142, 142, 140], 20))),
        (Wolf, 636, Some((vec![212; 3], 20))),
        (Wolf, 637, Some((vec![637], 0))),
        (Wolf, 1024, None),
    ] {
        assert_eq!(blocks(manner, shards), expected, "{manner:?}: {shards} shards");
    }
}

#[test]
fn pictures_of_more_than_a_megabyte_and_of_several_blocks_arrive_as_they_were() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        for (len, loss) in [(1_200_000, 0), (150_000, 1)] {
            let path = Path { loss, ..Path::CLEAN };
            let mut net = Net::new(config(manner), wishes(), path, 3);
            net.picture_len = Some(len);
            net.run(Duration::from_millis(300));
            let first = net.first_number();
            assert!(net.pictures.len() > 8, "{manner:?}: {} pictures of {len} bytes", net.pictures.len());
            for (_, frame) in &net.pictures {
                assert!(frame.data == net.sent[(frame.number.0 - first) as usize].data, "{manner:?}, {len}");
            }
        }
    }
}

#[test]
fn packets_are_no_longer_than_announced_nor_than_the_host_may() {
    for (limit, expected) in
        [(None, 1392 + 16), (Some(1024), 1024 + 16), (Some(1030), 1024 + 16), (Some(1), 48)]
    {
        let mut net = Net::new(
            SessionConfig { packet_size_limit: limit, ..config(Manner::Sunshine) },
            wishes(),
            Path::CLEAN,
            3,
        );
        net.run(Duration::from_millis(300));
        assert_eq!(net.longest, expected, "{limit:?}");
        assert!(net.pictures.len() > 5);
    }
}

proptest! {
    #[test]
    fn shards_are_numbered_without_gaps_and_hold_the_picture(
        data in prop::collection::vec(any::<u8>(), 0..3000),
        manner in prop_oneof![Just(Manner::Sunshine), Just(Manner::SunshineV023), Just(Manner::Wolf)],
        payload_len in 16usize..100,
        percentage in any::<u8>(),
        min_parity in 0u8..=2,
        first in any::<u32>(),
    ) {
        let shape = Shape { manner, payload_len, percentage, min_parity, blocks: None };
        let Ok(blocks) = shape.cut(first, &picture(&data)) else { return Ok(()) };
        let mut sequence = first as u16;
        let mut body: Vec<u8> = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            for (shard, datagram) in block.iter().enumerate() {
                let header = Packet::parse(datagram).unwrap().header();
                prop_assert_eq!(header.sequence, sequence);
                prop_assert_eq!(usize::from(header.fec.shard), shard);
                prop_assert_eq!((usize::from(header.block.index), usize::from(header.block.last)), (index, blocks.len() - 1));
                if header.fec.shard < header.fec.data_shards {
                    body.extend(&datagram[HEADER_LEN..]);
                }
                sequence = sequence.wrapping_add(1);
            }
            let fec = Packet::parse(&block[0]).unwrap().header().fec;
            prop_assert_eq!(block.len(), usize::from(fec.data_shards + fec.parity_shards()));
            prop_assert!(fec.percentage == 0 || fec.parity_shards() >= min_parity.into());
        }
        prop_assert_eq!(&body[FrameHeader::LEN..][..data.len()], &data[..]);
        prop_assert!(body.len() - FrameHeader::LEN - data.len() < payload_len);
    }
}
