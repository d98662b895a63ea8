//! Which packets leave in one system call (UDP generic segmentation offload).

use std::ops::Range;

/// Segments of one call: the kernel's `UDP_MAX_SEGMENTS` of before Linux 6.9.
pub(crate) const MAX_SEGMENTS: usize = 64;
/// Bytes of one call: an IP packet has at most 65,535, headers included.
pub(crate) const MAX_BYTES: usize = 65_000;

/// Part of a buffer that leaves in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    /// Where it stands in the buffer.
    pub(crate) bytes: Range<usize>,
    /// How long each of its packets is; the last may be shorter.
    pub(crate) segment_size: usize,
    pub(crate) segments: usize,
}

/// Groups packets that stand one behind the other in a buffer, of which `lens` are the lengths. A burst's packets are of one
/// length, but for its last, which may be shorter; they are at most `max_segments` and [`MAX_BYTES`], or one. Where the system
/// cannot segment, `max_segments` is 1 (0 counts as 1).
pub(crate) fn bursts(
    lens: impl IntoIterator<Item = usize>,
    max_segments: usize,
) -> impl Iterator<Item = Burst> {
    let mut lens = lens.into_iter().peekable();
    let mut start = 0;
    std::iter::from_fn(move || {
        let segment_size = lens.next()?;
        let mut burst = Burst { bytes: start..start + segment_size, segment_size, segments: 1 };
        let mut last = segment_size;
        while let Some(len) = lens.next_if(|&len| {
            last == segment_size
                && len <= segment_size
                && burst.segments < max_segments
                && burst.bytes.len() + len <= MAX_BYTES
        }) {
            last = len;
            burst.bytes.end += len;
            burst.segments += 1;
        }
        start = burst.bytes.end;
        Some(burst)
    })
}
