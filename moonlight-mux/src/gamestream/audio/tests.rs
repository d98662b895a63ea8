#![expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]

use proptest::prelude::*;

use super::*;
use crate::gamestream::crypto::tests::{RIKEYID, key};
use crate::gamestream::test_stream::{audio, opus};
use crate::gamestream::wire;
use crate::gamestream::wire::tests::hex;

struct Receiver {
    audio: Audio,
    now: Instant,
    frames: Vec<AudioFrame>,
}

impl Receiver {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(cipher: Option<AudioCipher>) -> Self {
        let audio = Audio::new(cipher, Duration::from_millis(5));
        Self { audio, now: Instant::now(), frames: Vec::new() }
    }

    fn take(&mut self, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for datagram in datagrams {
            self.audio.handle(self.now, &Packet::parse(datagram.as_ref()).unwrap());
            self.drain();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.audio.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(frame) = self.audio.poll_frame() {
            self.frames.push(frame);
        }
    }

    /// The numbers of the packets handed on, which must be those of [`opus`].
    fn numbers(&self) -> Vec<u64> {
        let number = |frame: &AudioFrame| {
            assert_eq!(frame.timestamp.0 % 240, 0);
            let number = frame.timestamp.0 / 240;
            let base = (number / 4 * 4) as u16;
            assert_eq!(frame.data, opus(base)[(number % 4) as usize], "packet {number}");
            number
        };
        self.frames.iter().map(number).collect()
    }
}

/// The group's datagrams: data 0 to 3, parity 4 and 5.
fn group(base: u16) -> Vec<Vec<u8>> {
    audio(base, &opus(base))
}

#[test]
fn the_documents_group_comes_out_of_any_four_of_its_packets() {
    let packets = wire::audio::tests::GROUP.map(hex);
    let expected: Vec<AudioFrame> = wire::audio::tests::OPUS
        .into_iter()
        .enumerate()
        .map(|(i, opus)| AudioFrame {
            timestamp: AudioTimestamp(240 * (8 + i as u64)),
            data: hex(opus).into(),
        })
        .collect();
    for left_out in 0..6 {
        for also_left_out in left_out..6 {
            let mut receiver = Receiver::with(Some(AudioCipher::new(&key(), RIKEYID)));
            let kept = |i: &usize| *i != left_out && *i != also_left_out;
            receiver.take((0..6).filter(kept).map(|i| &packets[i]));
            assert_eq!(receiver.frames, expected, "without {left_out} and {also_left_out}");
        }
    }
}

#[test]
fn a_packet_that_is_due_is_handed_on_at_once() {
    let mut receiver = Receiver::new();
    for (i, datagram) in group(0)[..4].iter().enumerate() {
        receiver.take([datagram]);
        assert_eq!(receiver.frames.len(), i + 1);
    }
}

#[test]
fn a_loss_that_parity_cannot_restore_is_a_jump_after_the_next_group_has_begun() {
    let mut receiver = Receiver::new();
    receiver.take(&group(0)[..2]);
    receiver.wait(Duration::from_secs(1));
    receiver.take(&group(4)[..1]);
    assert_eq!(receiver.audio.poll_timeout(), Some(receiver.now + REORDERING));
    receiver.wait(REORDERING - Duration::from_nanos(1));
    assert_eq!(receiver.numbers(), [0, 1]);
    receiver.wait(Duration::from_nanos(1));
    assert_eq!(receiver.numbers(), [0, 1, 4]);
    assert_eq!(receiver.audio.poll_timeout(), None);
}

#[test]
fn a_loss_is_given_up_when_the_group_after_the_next_begins() {
    let mut receiver = Receiver::new();
    receiver.take(&group(0)[3..4]);
    receiver.take(&group(4)[..1]);
    assert!(receiver.numbers().is_empty());
    receiver.take(&group(8)[..1]);
    assert_eq!(receiver.numbers(), [3, 4]);
    receiver.take(&group(4)[1..]);
    assert_eq!(receiver.numbers(), [3, 4, 5, 6, 7, 8]);
}

#[test]
fn parity_restores_what_came_before_the_first_packet() {
    let mut receiver = Receiver::new();
    receiver.take(&group(8)[2..]);
    assert_eq!(receiver.numbers(), [8, 9, 10, 11]);
}

#[test]
fn a_group_of_parity_alone_gives_nothing() {
    let mut receiver = Receiver::new();
    receiver.take(&group(0)[4..]);
    receiver.take(group(4));
    receiver.wait(REORDERING);
    assert_eq!(receiver.numbers(), [4, 5, 6, 7]);
}

#[test]
fn late_and_double_packets_change_nothing() {
    let mut receiver = Receiver::new();
    for base in [0, 4, 0, 8, 4] {
        receiver.take(group(base));
        receiver.take(group(base));
    }
    assert_eq!(receiver.numbers(), (0..12).collect::<Vec<_>>());
}

#[test]
fn timestamps_go_on_past_the_wrap_of_the_sequence_number() {
    let mut receiver = Receiver::new();
    for base in [65528, 65532, 0, 4] {
        receiver.take(group(base));
    }
    let samples: Vec<u64> = receiver.frames.iter().map(|frame| frame.timestamp.0 / 240).collect();
    assert_eq!(samples, (65528..65544).collect::<Vec<_>>());
}

#[test]
fn a_jump_of_thousands_of_packets_costs_no_more_than_a_small_one() {
    let mut receiver = Receiver::new();
    receiver.take(group(0));
    receiver.take(group(30_000));
    receiver.wait(REORDERING);
    assert_eq!(receiver.numbers()[3..], [3, 30_000, 30_001, 30_002, 30_003]);
}

#[test]
fn packets_of_different_sizes_pass_without_parity() {
    let mut receiver = Receiver::new();
    let mut datagrams = group(0);
    datagrams[1].push(0);
    datagrams.swap_remove(3);
    receiver.take(&datagrams);
    receiver.take(&group(4)[1..]);
    assert_eq!(receiver.frames.len(), 3, "parity is off from here on");
    receiver.take(&group(8)[..1]);
    receiver.wait(REORDERING);
    assert_eq!(receiver.frames.len(), 7);
}

#[test]
fn groups_that_start_elsewhere_pass_without_parity() {
    let mut receiver = Receiver::new();
    let mut datagrams = group(0);
    datagrams[4][15] = 2;
    receiver.take(&datagrams);
    receiver.take(&group(4)[1..]);
    assert_eq!(receiver.numbers(), [0, 1, 2, 3]);
}

#[test]
fn a_packet_that_does_not_decrypt_is_a_jump() {
    let cipher = || AudioCipher::new(&key(), RIKEYID);
    let sealed: [Vec<u8>; 4] = std::array::from_fn(|i| cipher().seal(i as u16, &opus(0)[i]));
    let mut datagrams = audio(0, &sealed);
    datagrams[1].pop();
    let mut receiver = Receiver::with(Some(cipher()));
    receiver.take(&datagrams[..4]);
    assert_eq!(receiver.numbers(), [0, 2, 3]);
}

#[test]
fn a_driver_that_does_not_poll_gets_the_newest_packets() {
    let mut receiver = Receiver::new();
    for base in (0..40).step_by(4) {
        for datagram in group(base) {
            receiver.audio.handle(receiver.now, &Packet::parse(&datagram).unwrap());
        }
    }
    receiver.drain();
    assert_eq!(receiver.numbers(), (10..40).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn neighbouring_groups_may_lose_two_packets_each_and_mix(
        losses in prop::collection::vec((0usize..6, 0usize..6), 2),
        order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut receiver = Receiver::new();
        receiver.take(group(0));
        let received = order.into_iter().filter(|i| {
            let (a, b) = losses[i / 6];
            i % 6 != a && i % 6 != b
        });
        receiver.take(received.map(|i| group(4 + 4 * (i / 6) as u16)[i % 6].clone()));
        prop_assert_eq!(receiver.numbers(), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_lost_timestamps_rise(lost in prop::collection::vec(any::<bool>(), 200)) {
        let mut receiver = Receiver::new();
        let mut lost = lost.iter().cycle().copied();
        for base in (0..160).step_by(4) {
            receiver.take(group(base).into_iter().filter(|_| !lost.next().unwrap()));
            receiver.wait(Duration::from_millis(7));
        }
        prop_assert!(receiver.numbers().is_sorted_by(|a, b| a < b));
    }
}
