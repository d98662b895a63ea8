//! From RTP packets in any order to whole frames in order. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::depacketize::Payload;

/// One RTP packet of a video stream, decrypted, a retransmission already put back into its place.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Sequence number, extended so that it never wraps.
    pub(crate) sequence: u64,
    /// RTP timestamp, extended so that it never wraps.
    pub(crate) timestamp: u64,
    /// The last packet of its frame.
    pub(crate) marker: bool,
    /// Certainly the first packet of its frame.
    pub(crate) starts_frame: bool,
    pub(crate) payload: Payload,
}

/// A frame of which every packet arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) timestamp: u64,
    /// In the order of their sequence numbers.
    pub(crate) payloads: Vec<Payload>,
    /// Packets were lost between the frame given before this one and this one.
    pub(crate) gap_before: bool,
}

/// What has been counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Packets that arrived, each once.
    pub(crate) packets: u64,
    /// Packets that filled a hole: sent again, or overtaken on the way.
    pub(crate) recovered: u64,
    /// Sequence numbers that were waited for in vain.
    pub(crate) lost: u64,
    /// Packets that came after they were given up.
    pub(crate) late: u64,
}

/// Puts packets into order and cuts their stream into frames.
///
/// Call [`handle_packet`](Self::handle_packet) for each packet and [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout), and after both [`poll_frame`](Self::poll_frame) until it gives nothing.
#[derive(Debug)]
pub(crate) struct Reassembly {
    patience: Duration,
    /// The sequence number that comes next; `None` before the first packet.
    next: Option<u64>,
    /// Packets behind a hole. At most [`MAX_WAITING`]: then the hole is given up.
    waiting: BTreeMap<u64, (Instant, Packet)>,
    state: State,
    gap: bool,
    /// Emptied by the caller after each call.
    ready: VecDeque<Frame>,
    counts: Counts,
}

#[derive(Debug)]
enum State {
    /// The next packet begins a frame.
    Between,
    /// In the middle of a frame of which nothing is missing so far.
    Whole(Frame),
    /// Something is missing: the frame of the next packet is not whole, unless that packet says that it begins one.
    Lost,
    /// In the middle of a frame of which something is missing.
    Damaged { timestamp: u64 },
}

impl Reassembly {
    /// `patience`: how long a missing packet is waited for, counted from the arrival of the first one behind it.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            next: None,
            waiting: BTreeMap::new(),
            state: State::Between,
            gap: false,
            ready: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether packets were given up since the last frame was begun.
    pub(crate) fn lost_since_frame(&self) -> bool {
        self.gap
    }

    /// Whether packets are being waited for.
    #[cfg(test)]
    fn has_hole(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn handle_packet(&mut self, now: Instant, packet: Packet) {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence < next {
            self.counts.late += 1;
            return;
        }
        if packet.sequence > next {
            if self.waiting.last_key_value().is_some_and(|(&last, _)| packet.sequence < last)
                && !self.waiting.contains_key(&packet.sequence)
            {
                self.counts.recovered += 1;
            }
            if self.waiting.insert(packet.sequence, (now, packet)).is_none() {
                self.counts.packets += 1;
            }
            if self.waiting.len() > MAX_WAITING {
                self.give_up_hole();
            }
            return;
        }
        self.counts.packets += 1;
        if !self.waiting.is_empty() {
            self.counts.recovered += 1;
        }
        self.take(packet);
        self.take_waiting();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.give_up_hole();
        }
    }

    /// When the oldest hole is given up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, (arrived, _))| *arrived + self.patience)
    }

    pub(crate) fn poll_frame(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    fn give_up_hole(&mut self) {
        let Some((&sequence, _)) = self.waiting.first_key_value() else { return };
        self.counts.lost += sequence - self.next.unwrap_or(sequence);
        self.next = Some(sequence);
        self.gap = true;
        self.state = State::Lost;
        self.take_waiting();
    }

    fn take_waiting(&mut self) {
        while let Some(next) = self.next
            && let Some((_, packet)) = self.waiting.remove(&next)
        {
            self.take(packet);
        }
    }

    /// The packet of the sequence number `next`.
    fn take(&mut self, packet: Packet) {
        self.next = Some(packet.sequence + 1);
        let Packet { timestamp, marker, starts_frame, payload, .. } = packet;
        self.state = match std::mem::replace(&mut self.state, State::Between) {
            State::Whole(mut frame) if frame.timestamp == timestamp => {
                frame.payloads.push(payload);
                State::Whole(frame)
            }
            State::Whole(frame) => {
                // Its marker bit was not set; the next timestamp ends it as well (RFC 6184, 5.1).
                self.ready.push_back(frame);
                self.begin(timestamp, payload)
            }
            State::Lost if !starts_frame => State::Damaged { timestamp },
            State::Damaged { timestamp: damaged } if damaged == timestamp => State::Damaged { timestamp },
            State::Between | State::Lost | State::Damaged { .. } => self.begin(timestamp, payload),
        };
        if marker && let State::Whole(frame) = std::mem::replace(&mut self.state, State::Between) {
            self.ready.push_back(frame);
        }
    }

    fn begin(&mut self, timestamp: u64, payload: Payload) -> State {
        let gap_before = std::mem::take(&mut self.gap);
        State::Whole(Frame { timestamp, payloads: vec![payload], gap_before })
    }
}

/// More than the largest keyframe (1 MB in packets of 1,000 bytes) and the frames of half a second behind it.
const MAX_WAITING: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Packet `sequence` of a stream with three packets a frame; each payload is its sequence number.
    fn packet(sequence: u64) -> Packet {
        Packet {
            sequence,
            timestamp: sequence / 3,
            marker: sequence % 3 == 2,
            starts_frame: false,
            payload: Arc::from([sequence as u8]),
        }
    }

    fn frame(number: u64, gap_before: bool) -> Frame {
        let payloads = (number * 3..number * 3 + 3).map(|sequence| packet(sequence).payload).collect();
        Frame { timestamp: number, payloads, gap_before }
    }

    fn frames(reassembly: &mut Reassembly) -> Vec<Frame> {
        std::iter::from_fn(|| reassembly.poll_frame()).collect()
    }

    fn feed(
        reassembly: &mut Reassembly,
        now: Instant,
        sequences: impl IntoIterator<Item = u64>,
    ) -> Vec<Frame> {
        for sequence in sequences {
            reassembly.handle_packet(now, packet(sequence));
        }
        frames(reassembly)
    }

    #[test]
    fn packets_in_order_become_frames_at_their_marker() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        assert_eq!(feed(&mut r, now, 0..2), []);
        assert_eq!(feed(&mut r, now, 2..7), [frame(0, false), frame(1, false)]);
        assert_eq!(r.counts(), Counts { packets: 7, ..Counts::default() });
    }

    #[test]
    fn a_frame_without_marker_ends_at_the_next_timestamp() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        r.handle_packet(now, Packet { marker: false, ..packet(2) });
        r.handle_packet(now, packet(3));
        assert_eq!(frames(&mut r).len(), 1);
    }

    #[test]
    fn a_missing_packet_is_waited_for_and_fills_its_hole() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        assert_eq!(feed(&mut r, now, [0, 2, 3, 4, 5, 5]), []);
        assert!(r.has_hole());
        r.handle_timeout(now + PATIENCE / 2);
        assert_eq!(feed(&mut r, now, [1]), [frame(0, false), frame(1, false)]);
        assert_eq!(r.counts(), Counts { packets: 6, recovered: 1, ..Counts::default() });
        assert_eq!(r.poll_timeout(), None);
    }

    #[test]
    fn a_packet_that_never_comes_costs_its_frame_and_marks_the_next() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        assert_eq!(feed(&mut r, now, (0..9).filter(|&s| s != 4)), [frame(0, false)]);
        assert_eq!(r.poll_timeout(), Some(now + PATIENCE));
        r.handle_timeout(now + PATIENCE);
        assert_eq!(frames(&mut r), [frame(2, true)]);
        assert_eq!(feed(&mut r, now, [4]), []);
        assert_eq!(r.counts(), Counts { packets: 8, lost: 1, late: 1, ..Counts::default() });
    }

    #[test]
    fn a_frame_whose_beginning_may_be_lost_is_not_given() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        // 5 is the last packet of frame 1; that 6 is the first of frame 2 cannot be known.
        feed(&mut r, now, (0..12).filter(|&s| s != 5));
        r.handle_timeout(now + PATIENCE);
        assert_eq!(frames(&mut r), [frame(3, true)]);
    }

    #[test]
    fn a_packet_that_begins_a_frame_ends_the_damage() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        feed(&mut r, now, 0..5);
        r.handle_packet(now, Packet { starts_frame: true, ..packet(6) });
        feed(&mut r, now, 7..9);
        r.handle_timeout(now + PATIENCE);
        assert_eq!(frames(&mut r), [frame(2, true)]);
    }

    #[test]
    fn too_much_behind_a_hole_gives_it_up() {
        let mut r = Reassembly::new(PATIENCE);
        let now = crate::task::now();
        feed(&mut r, now, [0]);
        feed(&mut r, now, 3..3 + MAX_WAITING as u64 + 1);
        assert!(!r.has_hole());
        assert_eq!(r.counts().lost, 2);
    }

    proptest! {
        /// Whatever is lost, doubled and swapped: what comes out is whole, in order, each frame at most once, and
        /// there is a mark wherever something is missing.
        #[test]
        fn frames_are_whole_and_in_order_or_missing(mut order in proptest::collection::vec(0u64..60, 1..120)) {
            let mut r = Reassembly::new(PATIENCE);
            let now = crate::task::now();
            order.insert(0, 0);
            let mut out = feed(&mut r, now, order.iter().copied());
            r.handle_timeout(now + PATIENCE);
            out.extend(frames(&mut r));
            let mut expected = 0;
            for given in out {
                prop_assert!(given.timestamp >= expected);
                prop_assert_eq!(&given, &frame(given.timestamp, given.timestamp != expected));
                expected = given.timestamp + 1;
            }
            let counts = r.counts();
            let distinct = order.iter().collect::<std::collections::BTreeSet<_>>().len() as u64;
            prop_assert!(counts.packets + counts.late >= distinct && counts.packets <= distinct);
            prop_assert_eq!(counts.packets + counts.lost, order.iter().max().unwrap() + 1);
        }
    }
}
