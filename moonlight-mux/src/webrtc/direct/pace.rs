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

/// Packets of a frame, by their place in it, and when they leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) packets: Range<usize>,
    pub(crate) at: Instant,
}

/// When the packets of a frame that is there `now` leave: in order, and the first at once. `interval` is the time from frame to
/// frame. A frame without packets has no chunk.
pub(crate) fn chunks(packets: usize, now: Instant, interval: Duration) -> impl Iterator<Item = Chunk> {
    let spread = (interval / SPREAD_OF_INTERVAL).min(MAX_SPREAD);
    let most = usize::try_from(spread.as_nanos() / STEP.as_nanos()).unwrap_or(usize::MAX);
    let size = if packets <= AT_ONCE || most == 0 { packets } else { packets.div_ceil(most).max(CHUNK) };
    let size = size.max(1);
    (0..packets)
        .step_by(size)
        .zip(0u32..)
        .map(move |(first, i)| Chunk { packets: first..packets.min(first + size), at: now + STEP * i })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// About 60 frames per second.
    const INTERVAL: Duration = Duration::from_millis(16);

    fn offsets(packets: usize, interval: Duration) -> Vec<(Range<usize>, u128)> {
        let now = crate::task::now();
        let chunks = chunks(packets, now, interval);
        chunks.map(|chunk| (chunk.packets, (chunk.at - now).as_micros())).collect()
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
            for chunk in chunks(packets, now, interval) {
                prop_assert_eq!(chunk.packets.start, next);
                prop_assert!(!chunk.packets.is_empty());
                next = chunk.packets.end;
                prop_assert!(chunk.at == now || chunk.at < now + interval / 4 && chunk.at < now + MAX_SPREAD);
                prop_assert!(last.is_none_or(|last| chunk.at >= last + STEP));
                last = Some(chunk.at);
            }
            prop_assert_eq!(next, packets);
        }
    }
}
