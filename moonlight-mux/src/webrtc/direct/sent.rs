//! Which packets of the stream a viewer got under which of its sequence numbers.

use std::collections::VecDeque;

use super::history::KEPT_PACKETS;
use super::rtp::ExtendedSequence;

/// One viewer's. Its sequence numbers rise without a gap, whatever it skips of the stream.
#[derive(Debug)]
pub(crate) struct Sent {
    next: ExtendedSequence,
    /// The last packets, up to `next`. All that is kept, of who skips nothing.
    last: Span,
    /// What was sent before. With `last` of at most [`KEPT_PACKETS`] packets, or of the last frame's if it has more; the oldest
    /// are forgotten first.
    older: VecDeque<Span>,
    packets: u64,
}

/// Packets that follow each other in the stream and in what the viewer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    sequence: ExtendedSequence,
    index: u64,
    /// 0 where nothing was sent yet.
    count: u64,
}

impl Sent {
    /// `next`: the first sequence number to give out.
    pub(crate) fn new(next: ExtendedSequence) -> Self {
        let last = Span { sequence: next, index: 0, count: 0 };
        Self { next, last, older: VecDeque::new(), packets: 0 }
    }

    /// Notes that the stream's packets from index `first_index` on go to the viewer, and returns the first one's sequence
    /// number; the others follow. `of`: how many packets their frame has, which may be sent in parts.
    pub(crate) fn push(&mut self, first_index: u64, count: usize, of: usize) -> ExtendedSequence {
        let count = count as u64;
        let sequence = self.next.advance(count);
        if count == 0 {
            return sequence;
        }
        if self.last.index.checked_add(self.last.count) == Some(first_index) {
            self.last.count += count;
        } else {
            let next = Span { sequence, index: first_index, count };
            let last = std::mem::replace(&mut self.last, next);
            if last.count > 0 {
                self.older.push_back(last);
            }
        }
        self.packets += count;
        // More than half of all numbers at once would be ambiguous.
        self.forget((of as u64).clamp(KEPT_PACKETS as u64, 1 << 15));
        sequence
    }

    /// The index of the packet that the viewer got last under this number, and its whole sequence number, if it was among the
    /// last.
    pub(crate) fn index_of(&self, number: u16) -> Option<(u64, ExtendedSequence)> {
        // The last one that was sent is behind `next` by 1.
        let back = u64::from(self.next.number().wrapping_sub(number).wrapping_sub(1)) + 1;
        if back > self.packets {
            return None;
        }
        let sequence = ExtendedSequence(self.next.0.checked_sub(back)?);
        let span = if self.last.sequence <= sequence {
            &self.last
        } else {
            let behind = self.older.partition_point(|span| span.sequence <= sequence);
            self.older.get(behind.checked_sub(1)?)?
        };
        Some((span.index + (sequence.0 - span.sequence.0), sequence))
    }

    /// The last sequence number that was given out; before the first one, the one in front of it.
    pub(crate) fn last(&self) -> u16 {
        self.next.number().wrapping_sub(1)
    }

    fn forget(&mut self, kept: u64) {
        while let over @ 1.. = self.packets.saturating_sub(kept) {
            let oldest = self.older.front_mut().unwrap_or(&mut self.last);
            let gone = over.min(oldest.count);
            self.packets -= gone;
            oldest.sequence = oldest.sequence.plus(gone);
            oldest.index += gone;
            oldest.count -= gone;
            if self.older.front().is_some_and(|oldest| oldest.count == 0) {
                self.older.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: ExtendedSequence = ExtendedSequence(100);

    #[test]
    fn numbers_rise_without_a_gap_whatever_is_skipped() {
        let mut sent = Sent::new(START);
        assert_eq!((sent.last(), sent.index_of(99), sent.index_of(100)), (99, None, None));
        assert_eq!(sent.push(5000, 3, 3), START);
        assert_eq!(sent.push(5003, 2, 2), START.plus(3));
        assert_eq!(sent.push(7000, 1, 1), START.plus(5));
        assert_eq!(sent.push(7001, 0, 0), START.plus(6));
        assert_eq!((sent.last(), sent.older.len()), (105, 1));
        let found: Vec<_> = (98..108).map(|number| sent.index_of(number).map(|(index, _)| index)).collect();
        let expected = [5000, 5001, 5002, 5003, 5004, 7000].map(Some);
        assert_eq!(found, [&[None, None][..], &expected, &[None, None]].concat());
    }

    #[test]
    fn a_number_is_that_of_its_last_packet_over_a_wrap() {
        let mut sent = Sent::new(ExtendedSequence(0xfffe));
        sent.push(10, 4, 4);
        assert_eq!(sent.index_of(0xffff), Some((11, ExtendedSequence(0xffff))));
        assert_eq!(sent.index_of(0), Some((12, ExtendedSequence(0x1_0000))));
        assert_eq!(sent.index_of(1), Some((13, ExtendedSequence(0x1_0001))));
        assert_eq!(sent.index_of(2), None);
    }

    #[test]
    fn as_many_are_known_as_the_history_keeps_or_a_whole_frame() {
        let mut sent = Sent::new(START);
        for i in 0..200 {
            sent.push(i * 10, 10, 10);
        }
        assert_eq!((sent.packets, sent.older.len()), (1024, 0));
        assert_eq!(
            sent.index_of(sent.last().wrapping_sub(1023)),
            Some((2000 - 1024, START.plus(2000 - 1024)))
        );
        assert_eq!(sent.index_of(sent.last().wrapping_sub(1024)), None);
        // In parts, as large ones leave.
        let first = sent.push(9000, 1000, 3000);
        sent.push(10_000, 2000, 3000);
        assert_eq!(sent.index_of(first.number()), Some((9000, first)));
        assert_eq!(sent.index_of(first.number().wrapping_sub(1)), None);
        sent.push(12_000, 1, 1);
        assert_eq!((sent.packets, sent.index_of(first.number())), (1024, None));
    }

    proptest! {
        #[test]
        fn what_was_sent_last_is_found_and_nothing_else(
            first in any::<u16>(),
            pushes in prop::collection::vec((0u64..3, 0u64..5000, prop_oneof![9 => 0usize..60, 1 => 900usize..40_000]), 1..60),
            asked in prop::collection::vec(any::<u16>(), 20),
        ) {
            let mut sent = Sent::new(ExtendedSequence::initial(first));
            let (mut all, mut index, mut kept) = (Vec::new(), 0, 0);
            for (skips, skipped, count) in pushes {
                index += if skips == 0 { skipped } else { 0 };
                let sequence = sent.push(index, count, count);
                all.extend((0..count as u64).map(|i| (sequence.plus(i), index + i)));
                index += count as u64;
                if count > 0 {
                    kept = (kept + count).min(count.clamp(1024, 1 << 15));
                }
            }
            prop_assert_eq!(sent.packets, kept as u64);
            prop_assert!(sent.older.len() < kept.max(1));
            prop_assert!(all.windows(2).all(|pair| pair[0].0.plus(1) == pair[1].0));
            let known = &all[all.len() - kept..];
            for &(sequence, index) in known {
                prop_assert_eq!(sent.index_of(sequence.number()), Some((index, sequence)));
            }
            for number in asked {
                let expected = known.iter().find(|(sequence, _)| sequence.number() == number);
                prop_assert_eq!(sent.index_of(number), expected.map(|&(sequence, index)| (index, sequence)));
            }
        }
    }
}
