//! When the packets of a large frame leave.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Frames of up to so many packets leave at once: what a switch's or an access point's queue takes.
const AT_ONCE: usize = 64;
/// Packets that leave together otherwise: a burst of 16 costs little more than one of 32 (docs/performance.md), and is short
/// on any link.
const CHUNK: usize = 16;
/// How long a large frame takes: a quarter of the time until the next, and no longer than this.
const MAX_SPREAD: Duration = Duration::from_millis(8);
const SPREAD_OF_INTERVAL: u32 = 4;
/// Between two chunks at least: nearer than this, timers do not keep them apart. Larger frames have larger chunks.
const MIN_STEP: Duration = Duration::from_micros(500);

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
    let most = usize::try_from(spread.as_nanos() / MIN_STEP.as_nanos()).unwrap_or(usize::MAX);
    let size = if packets <= AT_ONCE || most == 0 { packets } else { packets.div_ceil(most).max(CHUNK) };
    let size = size.max(1);
    let count = u32::try_from(packets.div_ceil(size)).unwrap_or(u32::MAX);
    let step = spread.checked_div(count).unwrap_or_default();
    (0..packets)
        .step_by(size)
        .zip(0u32..)
        .map(move |(first, i)| Chunk { packets: first..packets.min(first + size), at: now + step * i })
}
