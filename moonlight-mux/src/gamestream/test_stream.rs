//! What a host sends: datagrams for tests and benches of the receiving side (protocol document, streams 4.4 and 7.2).

use std::time::Duration;

use crate::gamestream::wire::video::FrameKind;
use crate::test_host::session::Manner;
use crate::test_host::session::audio::AudioPacketiser;
use crate::test_host::session::video::{self, Picture};

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

/// The datagrams of a frame of one FEC block: its data shards, and a fifth as many parity shards or two.
pub(crate) fn video(number: u32, timestamp: u32, data: &[u8]) -> Vec<Vec<u8>> {
    blocks(number, timestamp, data, 1).concat()
}

/// The datagrams of a frame, by FEC block.
pub(crate) fn blocks(number: u32, timestamp: u32, data: &[u8], count: usize) -> Vec<Vec<Vec<u8>>> {
    shaped(number, timestamp, data, Shape { payload_len: PAYLOAD_LEN, blocks: count, percentage: 20 })
}

/// The datagrams of a frame, by FEC block, cut to measure.
pub(crate) fn shaped(number: u32, timestamp: u32, data: &[u8], shape: Shape) -> Vec<Vec<Vec<u8>>> {
    let Shape { payload_len, blocks, percentage } = shape;
    let shape = video::Shape {
        manner: Manner::Sunshine,
        payload_len,
        percentage: percentage as u8,
        min_parity: 2,
        blocks: Some(blocks),
    };
    let kind = if data.contains(&0x65) { FrameKind::Idr } else { FrameKind::P };
    let picture = Picture { number, timestamp, host_latency: None, kind, data };
    shape.cut(number.wrapping_mul(64) & 0xffff, &picture).expect("a frame of more shards has more blocks")
}

/// The datagrams of an audio group: four of data, two of parity. `payloads` as they go over the wire.
pub(crate) fn audio(base: u16, payloads: &[Vec<u8>; 4]) -> Vec<Vec<u8>> {
    let mut packetiser = AudioPacketiser::starting_at(base, Duration::from_millis(5));
    payloads.iter().flat_map(|payload| packetiser.packetise(payload)).collect()
}

/// The payloads of an audio group, with their numbers in them.
pub(crate) fn opus(base: u16) -> [Vec<u8>; 4] {
    std::array::from_fn(|i| (0..20).map(|t| (base as usize * 13 + i * 29 + t * 3) as u8).collect())
}
