//! Which packets of the stream a viewer got under which of its sequence numbers.

use std::collections::VecDeque;

use super::history::KEPT_PACKETS;
use super::rtp::ExtendedSequence;

/// One viewer's. Its sequence numbers rise without a gap, whatever it skips of the stream.
#[derive(Debug)]
pub(crate) struct Sent {
    next: ExtendedSequence,
    /// Of at most [`KEPT_PACKETS`] packets, or of the last frame's if it has more; the oldest are forgotten first.
    spans: VecDeque<Span>,
    packets: u64,
}

/// Packets that follow each other in the stream and in what the viewer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    sequence: ExtendedSequence,
    index: u64,
    /// Never 0.
    count: u64,
}

impl Sent {
    /// `next`: the first sequence number to give out.
    pub(crate) fn new(next: ExtendedSequence) -> Self {
        Self { next, spans: VecDeque::new(), packets: 0 }
    }

    /// Notes that the stream's packets from index `first_index` on go to the viewer, and returns the first one's sequence
    /// number; the others follow.
    pub(crate) fn push(&mut self, first_index: u64, count: usize) -> ExtendedSequence {
        let count = count as u64;
        let sequence = self.next.advance(count);
        if count == 0 {
            return sequence;
        }
        match self.spans.back_mut() {
            Some(last) if last.index.checked_add(last.count) == Some(first_index) => last.count += count,
            _ => self.spans.push_back(Span { sequence, index: first_index, count }),
        }
        self.packets += count;
        // More than half of all numbers at once would be ambiguous.
        self.forget(count.clamp(KEPT_PACKETS as u64, 1 << 15));
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
        let behind = self.spans.partition_point(|span| span.sequence <= sequence);
        let span = self.spans.get(behind.checked_sub(1)?)?;
        Some((span.index + (sequence.0 - span.sequence.0), sequence))
    }

    /// The last sequence number that was given out; before the first one, the one in front of it.
    pub(crate) fn last(&self) -> u16 {
        self.next.number().wrapping_sub(1)
    }

    fn forget(&mut self, kept: u64) {
        while let Some(first) = self.spans.front_mut() {
            let over = self.packets.saturating_sub(kept);
            if over == 0 {
                return;
            }
            let gone = over.min(first.count);
            self.packets -= gone;
            *first = Span {
                sequence: first.sequence.plus(gone),
                index: first.index + gone,
                count: first.count - gone,
            };
            if first.count == 0 {
                self.spans.pop_front();
            }
        }
    }
}
