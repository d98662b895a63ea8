//! From the host's wrapping RTP timestamps to a timeline that never wraps.

use std::time::{Duration, Instant};

use crate::media::VideoTimestamp;

/// Stamps frames in the order in which they come. What it gives rises strictly.
///
/// A host that stamps two frames with 0 does not stamp at all: then a frame's time is that of its first datagram
/// (streams 6.6). One 0 alone is a timestamp like any other.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    host: Host,
    last: Option<u64>,
}

#[derive(Debug, Default)]
enum Host {
    #[default]
    Unknown,
    /// Has sent one frame, with timestamp 0.
    Zero {
        first: Instant,
    },
    Stamps {
        unwrapped: u64,
    },
    DoesNotStamp {
        first: Instant,
    },
}

impl Timeline {
    pub(super) fn stamp(&mut self, rtp_timestamp: u32, received: Instant) -> VideoTimestamp {
        self.host = match self.host {
            Host::Unknown if rtp_timestamp == 0 => Host::Zero { first: received },
            Host::Unknown => Host::Stamps { unwrapped: rtp_timestamp.into() },
            Host::Zero { first } if rtp_timestamp == 0 => Host::DoesNotStamp { first },
            Host::Zero { .. } => Host::Stamps { unwrapped: unwrap(0, rtp_timestamp) },
            Host::Stamps { unwrapped } => Host::Stamps { unwrapped: unwrap(unwrapped, rtp_timestamp) },
            Host::DoesNotStamp { first } => Host::DoesNotStamp { first },
        };
        let ticks = match self.host {
            Host::Unknown | Host::Zero { .. } => 0,
            Host::Stamps { unwrapped } => unwrapped,
            Host::DoesNotStamp { first } => ticks(received.saturating_duration_since(first)),
        };
        let rising = self.last.map_or(ticks, |last| ticks.max(last + 1));
        self.last = Some(rising);
        VideoTimestamp(rising)
    }
}

/// The point nearest to `last` whose low 32 bits are `rtp_timestamp`.
fn unwrap(last: u64, rtp_timestamp: u32) -> u64 {
    let step = rtp_timestamp.wrapping_sub(last as u32) as i32;
    last.saturating_add_signed(step.into())
}

fn ticks(time: Duration) -> u64 {
    (time.as_nanos() * u128::from(VideoTimestamp::HZ) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]
    fn check(frames: &[(u32, u64, u64)]) {
        let start = Instant::now();
        let mut timeline = Timeline::default();
        for &(rtp, received_ms, expected) in frames {
            let stamp = timeline.stamp(rtp, start + Duration::from_millis(received_ms));
            assert_eq!(stamp.0, expected, "{rtp} at {received_ms} ms in {frames:?}");
        }
    }

    #[test]
    fn the_hosts_timestamps_are_kept() {
        check(&[(3056, 0, 3056), (3959, 9, 3959), (5528, 10, 5528)]);
    }

    #[test]
    fn a_first_zero_alone_is_a_timestamp() {
        check(&[(0, 0, 0), (8191, 200, 8191), (9000, 300, 9000)]);
    }

    #[test]
    fn a_host_that_does_not_stamp_is_stamped_by_receive_time() {
        check(&[(0, 5, 0), (0, 15, 900), (0, 25, 1800), (0, 25, 1801)]);
    }

    #[test]
    fn timestamps_go_on_past_the_wrap() {
        let top = 1 << 32;
        check(&[
            (u32::MAX - 9, 0, top - 10),
            (20, 0, top + 20),
            (u32::MAX, 0, top + 21),
            (1000, 0, top + 1000),
        ]);
    }
}
