//! When the packets of a large frame leave.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Frames of up to so many packets leave at once: what a switch's or an access point's queue takes.
pub(crate) const AT_ONCE: usize = 64;
/// Packets that leave together otherwise: short on any link, and not much dearer than longer bursts (measured: 1.8 µs of
/// processor time for each packet of 16, 1.55 µs of 32, 6.5 µs for one alone).
const CHUNK: usize = 16;
/// How long a large frame takes: a quarter of the time until the next, and no longer than this.
const MAX_SPREAD: Duration = Duration::from_millis(8);
const SPREAD_OF_INTERVAL: u32 = 4;
/// Between two chunks: tokio's timers know whole milliseconds. Larger frames have larger chunks.
const STEP: Duration = Duration::from_millis(1);

/// What of a frame has not left: its chunks, in order, of which the first leaves at once.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    left: Range<usize>,
    /// Packets of a chunk.
    size: usize,
    /// When the next leaves.
    at: Instant,
}

impl Chunks {
    /// Of a frame with so many packets that is there `now`. `interval` is the time from frame to frame. A frame without packets
    /// has no chunk.
    pub(crate) fn new(packets: usize, now: Instant, interval: Duration) -> Self {
        let spread = (interval / SPREAD_OF_INTERVAL).min(MAX_SPREAD);
        let most = usize::try_from(spread.as_nanos() / STEP.as_nanos()).unwrap_or(usize::MAX);
        let size = if packets <= AT_ONCE || most == 0 { packets } else { packets.div_ceil(most).max(CHUNK) };
        Self { left: 0..packets, size: size.max(1), at: now }
    }

    /// When the next one leaves; `None` when there is none.
    pub(crate) fn at(&self) -> Option<Instant> {
        (!self.left.is_empty()).then_some(self.at)
    }

    /// The packets of all chunks that are due, by their place in the frame; `None` when none is.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Range<usize>> {
        let start = self.left.start;
        while self.at().is_some_and(|at| at <= now) {
            self.left.start = (self.left.start + self.size).min(self.left.end);
            self.at += STEP;
        }
        (self.left.start > start).then_some(start..self.left.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// About 60 frames per second.
    const INTERVAL: Duration = Duration::from_millis(16);

    fn offsets(packets: usize, interval: Duration) -> Vec<(Range<usize>, u128)> {
        let now = crate::task::now();
        let chunks = one_by_one(Chunks::new(packets, now, interval));
        chunks.map(|(packets, at)| (packets, (at - now).as_micros())).collect()
    }

    fn one_by_one(mut chunks: Chunks) -> impl Iterator<Item = (Range<usize>, Instant)> {
        std::iter::from_fn(move || {
            let at = chunks.at()?;
            Some((chunks.take_due(at).expect("one is due"), at))
        })
    }

    #[test]
    fn what_is_late_leaves_together() {
        let now = crate::task::now();
        let mut chunks = Chunks::new(65, now, INTERVAL);
        assert_eq!(chunks.take_due(now), Some(0..17));
        assert_eq!(chunks.take_due(now), None);
        assert_eq!(chunks.take_due(now + 2 * STEP), Some(17..51));
        assert_eq!(chunks.at(), Some(now + 3 * STEP));
        assert_eq!(chunks.take_due(now + 9 * STEP), Some(51..65));
        assert_eq!((chunks.at(), chunks.take_due(now + 9 * STEP)), (None, None));
    }

    #[test]
    fn a_small_frame_leaves_at_once() {
        assert_eq!(offsets(0, INTERVAL), []);
        assert_eq!(offsets(1, INTERVAL), [(0..1, 0)]);
        assert_eq!(offsets(64, INTERVAL), [(0..64, 0)]);
    }

    #[test]
    fn a_large_frame_is_spread_over_a_quarter_of_the_interval() {
        let expected = [(0..17, 0), (17..34, 1000), (34..51, 2000), (51..65, 3000)];
        assert_eq!(offsets(65, INTERVAL), expected);
    }

    #[test]
    fn a_huge_frame_has_larger_chunks_and_no_more_time() {
        let expected = [(0..250, 0), (250..500, 1000), (500..750, 2000), (750..1000, 3000)];
        assert_eq!(offsets(1000, INTERVAL), expected);
        // A quarter of a second's frame would be too long.
        let chunks = offsets(1000, Duration::from_secs(1));
        assert_eq!(chunks.len(), 8);
        assert_eq!(chunks[7], (875..1000, 7000));
    }

    #[test]
    fn without_time_all_leaves_at_once() {
        assert_eq!(offsets(1000, Duration::ZERO), [(0..1000, 0)]);
        assert_eq!(offsets(1000, Duration::from_micros(3999)), [(0..1000, 0)]);
    }

    proptest! {
        #[test]
        fn every_packet_leaves_once_in_order_and_in_time(
            packets in 0usize..20_000,
            interval in 0u64..2_000_000,
        ) {
            let interval = Duration::from_micros(interval);
            let now = crate::task::now();
            let (mut next, mut last) = (0, None);
            for (chunk, at) in one_by_one(Chunks::new(packets, now, interval)) {
                prop_assert_eq!(chunk.start, next);
                prop_assert!(!chunk.is_empty());
                next = chunk.end;
                prop_assert!(at == now || at < now + interval / 4 && at < now + MAX_SPREAD);
                prop_assert!(last.is_none_or(|last| at >= last + STEP));
                last = Some(at);
            }
            prop_assert_eq!(next, packets);
        }
    }
}
