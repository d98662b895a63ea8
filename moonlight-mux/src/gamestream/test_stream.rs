//! What a host sends: datagrams for tests and benches of the receiving side (protocol document, streams 4.4 and 7.2).

use crate::gamestream::fec::Code;
use crate::gamestream::wire::audio::{Data, Parity};
use crate::gamestream::wire::video::{
    BlockIndex, FecInfo, FrameHeader, FrameKind, HEADER_LEN, Header, RTP_LEN, flags,
};

/// How a frame is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bitstream bytes per datagram.
    pub(crate) payload_len: usize,
    pub(crate) blocks: usize,
    /// Parity shards for each hundred data shards; two at least.
    pub(crate) percentage: usize,
}

/// Bitstream bytes per video datagram of the tests.
pub(crate) const PAYLOAD_LEN: usize = 48;

/// An H.264 key frame, with its number in it.
pub(crate) fn key_frame(number: u32) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 1, 0x67, 0x42, 0, 0x1e, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65];
    data.extend(noise(number, 150));
    data
}

/// An H.264 P frame, with its number in it.
pub(crate) fn p_frame(number: u32) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 1, 0x61];
    data.extend(noise(number, 110));
    data
}

fn noise(number: u32, len: u8) -> impl Iterator<Item = u8> {
    (0..len).map(move |i| (number as u8).wrapping_mul(31).wrapping_add(i.wrapping_mul(7)) | 1)
}

/// The datagrams of a frame of one FEC block: its data shards, and half as many parity shards or two.
pub(crate) fn video(number: u32, timestamp: u32, data: &[u8]) -> Vec<Vec<u8>> {
    blocks(number, timestamp, data, 1).concat()
}

/// The datagrams of a frame, by FEC block.
pub(crate) fn blocks(number: u32, timestamp: u32, data: &[u8], count: usize) -> Vec<Vec<Vec<u8>>> {
    shaped(number, timestamp, data, Shape { payload_len: PAYLOAD_LEN, blocks: count, percentage: 50 })
}

/// The datagrams of a frame, by FEC block, cut to measure.
pub(crate) fn shaped(number: u32, timestamp: u32, data: &[u8], shape: Shape) -> Vec<Vec<Vec<u8>>> {
    let Shape { payload_len, blocks: count, percentage: least } = shape;
    let kind = if data.contains(&0x65) { FrameKind::Idr } else { FrameKind::P };
    let len = FrameHeader::LEN + data.len();
    let last_payload_len = (len - 1) % payload_len + 1;
    let mut body = Vec::new();
    FrameHeader { host_latency: None, kind, last_payload_len: last_payload_len as u16 }.emit(&mut body);
    body.extend(data);
    body.resize(len.next_multiple_of(payload_len), 0);
    let payloads: Vec<&[u8]> = body.chunks(payload_len).collect();
    let blocks: Vec<_> = payloads.chunks(payloads.len().div_ceil(count)).collect();
    let last = (blocks.len() - 1) as u8;

    let mut sequence = (number as u16).wrapping_mul(64);
    let mut packets = Vec::new();
    for (index, payloads) in blocks.iter().enumerate() {
        let data_shards = payloads.len();
        let percentage = (200 / data_shards).max(least) as u8;
        // A shard's place is written behind its parity is computed, by a host and here alike.
        let finish = |shard: usize, bytes: &[u8]| {
            let word =
                u32::from_le_bytes(bytes[..4].try_into().expect("a slice of 4 bytes is an array of 4"));
            let header = Header {
                sequence: sequence.wrapping_add(shard as u16),
                timestamp,
                packet_index: word >> 8,
                frame: number,
                flags: bytes[8],
                extra_flags: bytes[9],
                multi_fec_flags: bytes[10],
                block: BlockIndex { index: index as u8, last },
                fec: FecInfo { percentage, shard: shard as u16, data_shards: data_shards as u16 },
            };
            let mut datagram = Vec::new();
            header.emit(&bytes[HEADER_LEN - RTP_LEN..], &mut datagram);
            datagram
        };
        let shards: Vec<Vec<u8>> = payloads
            .iter()
            .enumerate()
            .map(|(shard, payload)| {
                let start = if shard == 0 { flags::START } else { 0 };
                let end = if shard + 1 == data_shards { flags::END } else { 0 };
                let mut bytes = ((u32::from(sequence) + shard as u32) << 8).to_le_bytes().to_vec();
                bytes.extend(number.to_le_bytes());
                bytes.extend([flags::PICTURE | start | end, 0, 0x10, 0, 0, 0, 0, 0]);
                bytes.extend(*payload);
                bytes
            })
            .collect();
        let parity_shards = (data_shards * usize::from(percentage)).div_ceil(100);
        let code = Code::video(data_shards, parity_shards).expect("a frame of more shards has more blocks");
        let parity =
            code.encode(&shards).expect("the shards are those of the code, and as long as each other");
        let all: Vec<Vec<u8>> =
            shards.iter().chain(&parity).enumerate().map(|(shard, bytes)| finish(shard, bytes)).collect();
        sequence = sequence.wrapping_add(all.len() as u16);
        packets.push(all);
    }
    packets
}

/// The datagrams of an audio group: four of data, two of parity. `payloads` as they go over the wire.
pub(crate) fn audio(base: u16, payloads: &[Vec<u8>; 4]) -> Vec<Vec<u8>> {
    let timestamp = u32::from(base) * 5;
    let mut datagrams = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        let mut datagram = Vec::new();
        let (sequence, timestamp) = (base + i as u16, timestamp + 5 * i as u32);
        Data { sequence, timestamp, payload }.emit(&mut datagram);
        datagrams.push(datagram);
    }
    let parity = Code::AUDIO.encode(payloads).expect("the packets of a group are as long as each other");
    for (i, payload) in parity.iter().enumerate() {
        let mut datagram = Vec::new();
        let sequence = base.wrapping_add(4 + i as u16);
        Parity { sequence, index: i as u8, base_sequence: base, base_timestamp: timestamp, payload }
            .emit(&mut datagram);
        datagrams.push(datagram);
    }
    datagrams
}

/// The payloads of an audio group, with their numbers in them.
pub(crate) fn opus(base: u16) -> [Vec<u8>; 4] {
    std::array::from_fn(|i| (0..20).map(|t| (base as usize * 13 + i * 29 + t * 3) as u8).collect())
}
