//! Which packets leave in one system call (UDP generic segmentation offload).

use std::ops::Range;

/// Segments of one call: Linux's `UDP_MAX_SEGMENTS`, which newer kernels have raised.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grouped(lens: &[usize], max_segments: usize) -> Vec<(Range<usize>, usize, usize)> {
        let bursts = bursts(lens.iter().copied(), max_segments);
        bursts.map(|burst| (burst.bytes, burst.segment_size, burst.segments)).collect()
    }

    #[test]
    fn a_frame_of_equal_packets_with_a_shorter_last_leaves_at_once() {
        assert_eq!(grouped(&[1000, 1000, 1000, 400], 64), [(0..3400, 1000, 4)]);
        assert_eq!(grouped(&[], 64), []);
        assert_eq!(grouped(&[7], 64), [(0..7, 7, 1)]);
    }

    #[test]
    fn a_longer_packet_and_what_follows_a_shorter_one_begin_anew() {
        // A keyframe: parameter sets, then fragments.
        assert_eq!(grouped(&[70, 1000, 1000], 64), [(0..70, 70, 1), (70..2070, 1000, 2)]);
        assert_eq!(grouped(&[1000, 400, 400], 64), [(0..1400, 1000, 2), (1400..1800, 400, 1)]);
    }

    #[test]
    fn a_burst_has_no_more_segments_and_bytes_than_the_system_takes() {
        assert_eq!(grouped(&[10; 130], 64), [(0..640, 10, 64), (640..1280, 10, 64), (1280..1300, 10, 2)]);
        // 52 times 1250 are 65,000.
        assert_eq!(grouped(&[1250; 60], 64), [(0..65_000, 1250, 52), (65_000..75_000, 1250, 8)]);
        let one_each = [(0..10, 10, 1), (10..20, 10, 1)];
        assert_eq!(grouped(&[10; 2], 1), one_each);
        assert_eq!(grouped(&[10; 2], 0), one_each);
        assert_eq!(grouped(&[70_000, 10], 64), [(0..70_000, 70_000, 1), (70_000..70_010, 10, 1)]);
    }

    proptest! {
        /// Cut as the kernel does it, a burst gives its packets again; and no two neighbours could have gone together.
        #[test]
        fn the_kernel_cuts_bursts_into_the_same_packets(
            lens in prop::collection::vec(prop::sample::select(vec![1usize, 20, 500, 1000, 1250, 40_000]), 0..200),
            max_segments in 1usize..70,
        ) {
            let found: Vec<Burst> = bursts(lens.iter().copied(), max_segments).collect();
            let mut cut = Vec::new();
            let mut end = 0;
            for burst in &found {
                prop_assert_eq!(burst.bytes.start, end);
                end = burst.bytes.end;
                let (whole, rest) = (burst.bytes.len() / burst.segment_size, burst.bytes.len() % burst.segment_size);
                prop_assert_eq!(burst.segments, whole + usize::from(rest > 0));
                prop_assert!(burst.segments <= max_segments);
                prop_assert!(burst.segments == 1 || burst.bytes.len() <= MAX_BYTES);
                cut.extend(std::iter::repeat_n(burst.segment_size, whole));
                cut.extend((rest > 0).then_some(rest));
            }
            prop_assert_eq!(cut, lens);
            for pair in found.windows(2) {
                let (this, next) = (&pair[0], &pair[1]);
                prop_assert!(
                    this.segments == max_segments
                        || !this.bytes.len().is_multiple_of(this.segment_size)
                        || next.segment_size > this.segment_size
                        || this.bytes.len() + next.segment_size > MAX_BYTES
                );
            }
        }
    }
}
