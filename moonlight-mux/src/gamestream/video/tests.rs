#![expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::gamestream::test_stream::{blocks, key_frame, p_frame, video};
use crate::gamestream::wire;
use crate::gamestream::wire::control::FecStatus;
use crate::gamestream::wire::control::tests::GIVEN_UP;
use crate::gamestream::wire::tests::hex;

struct Receiver {
    video: Video,
    now: Instant,
    /// Numbers of the frames handed on.
    frames: Vec<VideoFrame>,
    held_back: Vec<u64>,
    repaired: Vec<u64>,
    requests: usize,
}

impl Receiver {
    fn new() -> Self {
        Self {
            video: Video::new(VideoCodec::H264),
            now: Instant::now(),
            frames: Vec::new(),
            held_back: Vec::new(),
            repaired: Vec::new(),
            requests: 0,
        }
    }

    fn take(&mut self, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for datagram in datagrams {
            self.video.handle(self.now, &Packet::parse(datagram.as_ref()).unwrap());
            self.drain();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.video.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.video.poll_output() {
            match output {
                Output::Frame(frame) => self.frames.push(frame),
                Output::HeldBack(frame) => self.held_back.push(frame.number.0),
                Output::Repaired(number) => self.repaired.push(number.0),
            }
        }
        self.requests += usize::from(self.video.poll_refresh());
    }

    fn numbers(&self) -> Vec<u64> {
        self.frames.iter().map(|frame| frame.number.0).collect()
    }

    fn key(&mut self, number: u32) {
        self.take(video(number, number.wrapping_mul(1500), &key_frame(number)));
    }

    fn p(&mut self, number: u32) {
        self.take(video(number, number.wrapping_mul(1500), &p_frame(number)));
    }

    fn check(&self, numbers: &[u64], requests: usize) {
        assert_eq!((self.numbers(), self.requests), (numbers.to_vec(), requests));
    }
}

const DOCUMENTS_FRAME: &str = "000000016742001e0000000168ce0000000165090e13181d22272c31363b40454a4f54595e63686d72777c81868b90959a9fa4a9aeb3b8bdc2c7ccd1d6dbe0e5eaeff4f9fe03080d12171c21262b30353a3f44494e53585d62676c71767b80858a8f9499";

#[test]
fn the_documents_frame_comes_out_of_any_three_of_its_shards() {
    let packets = wire::video::tests::PACKETS.map(hex);
    for left_out in 0..5 {
        for also_left_out in left_out..5 {
            let mut receiver = Receiver::new();
            let kept = |i: &usize| *i != left_out && *i != also_left_out;
            receiver.take((0..5).filter(kept).map(|i| &packets[i]));
            let expected = VideoFrame {
                number: FrameNumber(7),
                timestamp: crate::VideoTimestamp(90_000),
                keyframe: true,
                host_latency: Some(Duration::from_micros(3400)),
                data: hex(DOCUMENTS_FRAME).into(),
            };
            assert_eq!(receiver.frames, [expected], "without {left_out} and {also_left_out}");
            let repaired: &[u64] = if left_out < 3 { &[7] } else { &[] };
            assert_eq!(receiver.repaired, repaired, "without {left_out} and {also_left_out}");
        }
    }
}

/// The reports on what a receiver of frame 2, numbered from this sequence number on, got of it.
fn fec_statuses(first_sequence: u16, shards: &[u16]) -> Vec<FecStatus> {
    let mut receiver = Receiver::new();
    receiver.key(1);
    let datagrams = video(2, 0, &p_frame(2)).into_iter().zip(0..).map(|(mut datagram, shard)| {
        datagram[2..4].copy_from_slice(&first_sequence.wrapping_add(shard).to_be_bytes());
        datagram
    });
    let datagrams: Vec<_> = datagrams.collect();
    receiver.take(shards.iter().map(|&shard| &datagrams[usize::from(shard)]));
    receiver.key(4);
    std::iter::from_fn(|| receiver.video.poll_fec_status()).collect()
}

#[test]
fn a_block_that_lacks_data_is_reported_once_repaired_or_given_up() {
    assert_eq!(fec_statuses(6, &[0, 4]), [GIVEN_UP]);
    let repaired = FecStatus { missing_before_highest: 2, received_data_shards: 2, ..GIVEN_UP };
    assert_eq!(fec_statuses(6, &[4, 0, 2]), [repaired]);
    let wrapped = FecStatus { highest_sequence: 2, next_missing_sequence: u16::MAX, ..repaired };
    assert_eq!(fec_statuses(u16::MAX - 1, &[0, 2, 4]), [wrapped]);
    let front =
        FecStatus { highest_sequence: 7, next_missing_sequence: 6, missing_before_highest: 1, ..GIVEN_UP };
    assert_eq!(fec_statuses(6, &[1]), [FecStatus { received_parity_shards: 0, ..front }]);
    assert_eq!(fec_statuses(6, &[0, 1, 2]), [], "nothing lacks");
    assert_eq!(fec_statuses(6, &[]), [], "nothing is known of it");
}

#[test]
fn every_block_is_reported_and_of_reports_that_nobody_takes_the_last_stay() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    for number in 2..8 {
        let blocks = blocks(number, 0, &p_frame(number), 2);
        receiver.take(blocks.iter().flat_map(|block| &block[1..]));
    }
    let reports: Vec<_> = std::iter::from_fn(|| receiver.video.poll_fec_status()).collect();
    let expected = (4..8).flat_map(|frame| [(frame, 0, 2), (frame, 1, 2)]);
    assert!(reports.iter().map(|s| (s.frame, s.block, s.blocks)).eq(expected), "{reports:?}");
}

#[test]
fn after_a_loss_nothing_is_handed_on_before_a_key_frame_that_is_asked_for_once() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    receiver.p(3);
    receiver.check(&[1], 0);
    receiver.p(4);
    receiver.check(&[1], 1);
    receiver.key(5);
    receiver.p(6);
    receiver.check(&[1, 5, 6], 1);
    assert_eq!(receiver.held_back, [3, 4], "whole, and of no use");
}

#[test]
fn a_whole_frame_behind_a_gap_counts_as_soon_as_the_gap_is_given_up() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    receiver.p(3);
    receiver.take(&video(4, 0, &p_frame(4))[..1]);
    receiver.check(&[1], 1);
}

#[test]
fn a_frame_after_invalidation_does_not_end_the_wait_for_a_key_frame() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    let after_invalidation = |number: u32| {
        let mut shards = video(number, 0, &p_frame(number));
        shards.truncate(3);
        shards[0][32 + 3] = 5;
        shards
    };
    receiver.p(3);
    receiver.take(after_invalidation(4));
    receiver.p(5);
    receiver.check(&[1], 1);
}

#[test]
fn a_frame_that_misses_too_many_shards_is_lost() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    let second = video(2, 0, &p_frame(2));
    receiver.take([&second[0], &second[4]]);
    receiver.p(3);
    receiver.p(4);
    receiver.check(&[1], 1);
    receiver.take(&second[1..4]);
    receiver.check(&[1], 1);
}

#[test]
fn a_stream_that_starts_without_a_key_frame_asks_for_one_at_once() {
    for first in [0, 1, 9] {
        let mut receiver = Receiver::new();
        receiver.p(first);
        receiver.wait(REORDERING);
        receiver.check(&[], 1);
        receiver.p(first + 1);
        receiver.check(&[], 1);
    }
}

#[test]
fn frame_numbers_start_at_zero_or_one_without_delay() {
    for first in [0, 1] {
        let mut receiver = Receiver::new();
        receiver.key(first);
        receiver.p(first + 1);
        receiver.check(&[first.into(), u64::from(first) + 1], 0);
    }
}

#[test]
fn a_key_frame_is_asked_for_again_after_120_frames() {
    let mut receiver = Receiver::new();
    for number in 0..=120 {
        assert_eq!(receiver.requests, usize::from(number > 0), "frame {number}");
        receiver.p(number);
    }
    receiver.check(&[], 2);
}

#[test]
fn a_key_frame_is_asked_for_again_after_a_further_loss() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    receiver.p(3);
    receiver.wait(REORDERING);
    receiver.check(&[1], 1);
    receiver.p(5);
    receiver.check(&[1], 1);
    receiver.wait(REORDERING);
    receiver.check(&[1], 2);
}

#[test]
fn a_missing_frame_is_waited_for_as_long_as_datagrams_are_reordered() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    receiver.p(3);
    assert_eq!(receiver.video.poll_timeout(), Some(receiver.now + REORDERING));
    receiver.wait(REORDERING - Duration::from_nanos(1));
    receiver.check(&[1], 0);
    receiver.p(2);
    receiver.check(&[1, 2, 3], 0);
    assert_eq!(receiver.video.poll_timeout(), None);

    receiver.p(5);
    receiver.wait(REORDERING);
    receiver.p(4);
    receiver.check(&[1, 2, 3], 1);
}

#[test]
fn a_whole_frame_is_handed_on_when_the_one_before_it_is_given_up_for_a_key_frame_behind() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    let second = video(2, 0, &p_frame(2));
    receiver.take(&second[..1]);
    receiver.key(3);
    receiver.check(&[1], 0);
    receiver.wait(REORDERING);
    receiver.check(&[1, 3], 0);
}

#[test]
fn frames_far_ahead_cost_no_more_than_near_ones() {
    let mut receiver = Receiver::new();
    receiver.key(1);
    for number in [i32::MAX as u32, u32::MAX - 1] {
        receiver.key(number);
        receiver.wait(REORDERING);
    }
    receiver.p(u32::MAX);
    receiver.p(0);
    let wrap = 1u64 << 32;
    receiver.check(&[1, (1 << 31) - 1, wrap - 2, wrap - 1, wrap], 0);
}

#[test]
fn datagrams_of_past_frames_are_dropped() {
    let mut receiver = Receiver::new();
    receiver.key(5);
    receiver.key(4);
    receiver.key(5);
    receiver.p(6);
    receiver.check(&[5, 6], 0);
    assert!(receiver.video.is_past(6) && !receiver.video.is_past(7));
}

#[test]
fn a_shard_that_contradicts_its_frame_is_dropped() {
    let mut receiver = Receiver::new();
    let shards = video(1, 0, &key_frame(1));
    receiver.take(&shards[..1]);
    let contradiction = |at: usize, xor: u8| {
        let mut shard = shards[1].clone();
        shard[at] ^= xor;
        shard[50] ^= 1;
        shard
    };
    receiver.take([
        contradiction(27, 0x40),
        contradiction(28, 0x10),
        contradiction(31, 0x02),
        shards[1][..40].to_vec(),
    ]);
    receiver.take(&shards[1..]);
    assert_eq!(receiver.frames[0].data, key_frame(1));
}

#[test]
fn restored_shards_with_impossible_flags_are_no_frame() {
    let mut receiver = Receiver::new();
    let mut shards = video(1, 0, &key_frame(1));
    shards.remove(0);
    let parity = shards.len() - 1;
    for shard in &mut shards[parity - 1..] {
        shard[24] ^= 0x80;
    }
    receiver.take(&shards);
    receiver.check(&[], 0);
}

#[test]
fn a_frame_whose_length_does_not_fit_its_shards_is_lost() {
    for last_payload_len in [0u16, 49, u16::MAX] {
        let mut receiver = Receiver::new();
        let mut shards = video(1, 0, &key_frame(1));
        shards[0][36..38].copy_from_slice(&last_payload_len.to_le_bytes());
        receiver.take(&shards);
        receiver.check(&[], 0);
    }
    let mut receiver = Receiver::new();
    let mut shards = video(1, 0, &key_frame(1)[..20]);
    shards[0][36] = 8;
    receiver.take(&shards);
    receiver.check(&[], 0);
}

#[test]
fn a_frame_is_stamped_by_the_lowest_shard_of_its_first_block() {
    let mut receiver = Receiver::new();
    let mut blocks = blocks(1, 0, &key_frame(1), 2);
    for (i, shard) in blocks.iter_mut().flatten().enumerate() {
        shard[4..8].copy_from_slice(&(1000 + i as u32).to_be_bytes());
    }
    receiver.take(&blocks[1]);
    receiver.take([&blocks[0][3], &blocks[0][1]]);
    assert_eq!(receiver.frames[0].timestamp.0, 1001);
}

#[test]
fn a_driver_that_does_not_poll_gets_a_key_frame_next() {
    let mut receiver = Receiver::new();
    let mut take = |number: u32, data: Vec<u8>| {
        for datagram in video(number, number, &data) {
            receiver.video.handle(receiver.now, &Packet::parse(&datagram).unwrap());
        }
    };
    take(1, key_frame(1));
    for number in 2..=20 {
        take(number, p_frame(number));
    }
    take(21, key_frame(21));
    take(22, p_frame(22));
    receiver.drain();
    receiver.check(&[21, 22], 1);
}

proptest! {
    #[test]
    fn any_length_comes_out_without_padding(len in 1usize..400) {
        let mut receiver = Receiver::new();
        let data: Vec<u8> = key_frame(1).into_iter().cycle().take(18 + len).collect();
        receiver.take(video(1, 0, &data));
        prop_assert_eq!(&receiver.frames[0].data, &data);
    }

    #[test]
    fn shards_of_neighbouring_frames_come_in_any_order_and_twice(
        count in 1usize..4,
        order in Just((0..64usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut receiver = Receiver::new();
        receiver.key(1);
        let mut shards = blocks(2, 0, &p_frame(2), count).concat();
        shards.extend(blocks(3, 0, &p_frame(3), count).concat());
        let shuffled: Vec<_> = order.iter().filter_map(|&i| shards.get(i)).collect();
        receiver.take(shuffled.iter().flat_map(|shard| [shard, shard]));
        prop_assert_eq!(receiver.numbers(), [1, 2, 3]);
        prop_assert_eq!(receiver.requests, 0);
        prop_assert_eq!(&receiver.frames[1].data, &p_frame(2));
        prop_assert_eq!(&receiver.frames[2].data, &p_frame(3));
    }

    #[test]
    fn each_block_may_lose_as_many_shards_as_it_has_parity(
        count in 1usize..=4,
        orders in prop::collection::vec(Just((0..16usize).collect::<Vec<_>>()).prop_shuffle(), 4),
    ) {
        let mut receiver = Receiver::new();
        let data = key_frame(1);
        for (block, order) in blocks(1, 0, &data, count).iter().zip(&orders) {
            let data_shards = Packet::parse(&block[0]).unwrap().header().fec.data_shards;
            let received = order.iter().filter_map(|&i| block.get(i)).take(data_shards.into());
            receiver.take(received);
        }
        prop_assert_eq!(&receiver.frames[0].data, &data);
    }

    #[test]
    fn whatever_is_lost_frames_rise_and_gaps_end_with_a_key_frame(
        lost in prop::collection::vec(any::<bool>(), 200),
        keys in prop::collection::vec(prop::bool::weighted(0.2), 40),
    ) {
        let mut receiver = Receiver::new();
        let mut lost = lost.iter().cycle().copied();
        for (number, key) in keys.iter().enumerate().map(|(n, key)| (n as u32, *key)) {
            let data = if key { key_frame(number) } else { p_frame(number) };
            let shards = video(number, number * 1500, &data);
            receiver.take(shards.into_iter().filter(|_| !lost.next().unwrap()));
            receiver.wait(Duration::from_millis(7));
        }
        let mut next = None;
        for frame in &receiver.frames {
            prop_assert!(frame.keyframe || next == Some(frame.number.0));
            prop_assert!(next.is_none_or(|next| next <= frame.number.0));
            let number = frame.number.0 as u32;
            prop_assert_eq!(&frame.data, &if frame.keyframe { key_frame(number) } else { p_frame(number) });
            next = Some(frame.number.0 + 1);
        }
    }
}
