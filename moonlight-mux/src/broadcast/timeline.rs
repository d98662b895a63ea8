//! The outgoing timeline, pure: numbers and timestamps that rise over a stream's whole life.

use std::time::{Duration, Instant};

use crate::media::{AudioFrame, AudioTimestamp, FrameNumber, VideoFrame, VideoTimestamp};

/// Maps each run's numbers and timestamps onto one timeline. Where a run begins, time goes on by what passed on the
/// clock, so that picture and sound stay together and a viewer's jitter buffer sees a pause, not a jump.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    video: Clock<{ VideoTimestamp::HZ }>,
    audio: Clock<{ AudioTimestamp::HZ }>,
    numbers: Numbers,
}

/// One medium's timestamps, in ticks of `HZ`.
#[derive(Debug, Default)]
struct Clock<const HZ: u64> {
    /// What to add to the source's timestamps; `None` at the start of a run.
    offset: Option<i128>,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    source: u64,
    out: u64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Numbers {
    offset: Option<i128>,
    last: Option<u64>,
}

impl Timeline {
    pub(super) fn begin_run(&mut self) {
        self.video.offset = None;
        self.audio.offset = None;
        self.numbers.offset = None;
    }

    pub(super) fn video(&mut self, now: Instant, frame: VideoFrame) -> VideoFrame {
        VideoFrame {
            number: FrameNumber(self.numbers.map(frame.number.0)),
            timestamp: VideoTimestamp(self.video.map(now, frame.timestamp.0)),
            ..frame
        }
    }

    pub(super) fn audio(&mut self, now: Instant, frame: AudioFrame) -> AudioFrame {
        AudioFrame { timestamp: AudioTimestamp(self.audio.map(now, frame.timestamp.0)), ..frame }
    }

    pub(super) fn last_video(&self) -> Option<Instant> {
        self.video.last.map(|last| last.at)
    }
}

impl<const HZ: u64> Clock<HZ> {
    fn map(&mut self, now: Instant, source: u64) -> u64 {
        // A source whose time does not rise breaks its contract: treat it like a new run.
        let rises = self.last.is_none_or(|last| source > last.source);
        let offset = match self.offset.filter(|_| rises) {
            Some(offset) => offset,
            None => i128::from(self.start_of_run(now)) - i128::from(source),
        };
        self.offset = Some(offset);
        let out = u64::try_from(i128::from(source) + offset).unwrap_or(u64::MAX);
        self.last = Some(Last { source, out, at: now });
        out
    }

    fn start_of_run(&self, now: Instant) -> u64 {
        self.last.map_or(0, |last| last.out + ticks::<HZ>(now.saturating_duration_since(last.at)).max(1))
    }
}

impl Numbers {
    fn map(&mut self, source: u64) -> u64 {
        let next = self.last.map_or(0, |last| last + 1);
        let mapped = self.offset.and_then(|offset| u64::try_from(i128::from(source) + offset).ok());
        let out = mapped.filter(|&out| out >= next).unwrap_or(next);
        self.offset = Some(i128::from(out) - i128::from(source));
        self.last = Some(out);
        out
    }
}

fn ticks<const HZ: u64>(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() * u128::from(HZ) / 1_000_000_000).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn frame(number: u64, timestamp: u64) -> VideoFrame {
        VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(timestamp),
            keyframe: false,
            host_latency: None,
            data: Bytes::new(),
        }
    }

    #[test]
    fn a_reconnect_shows_as_a_pause_of_its_real_length() {
        let start = crate::task::now();
        let mut timeline = Timeline::default();
        timeline.begin_run();
        let a = timeline.video(start, frame(1, 3056));
        let b = timeline.video(start + Duration::from_millis(17), frame(2, 4556));
        assert_eq!((a.number.0, a.timestamp.0), (0, 0));
        assert_eq!((b.number.0, b.timestamp.0), (1, 1500));
        timeline.begin_run();
        let c = timeline.video(start + Duration::from_millis(2017), frame(0, 0));
        assert_eq!((c.number.0, c.timestamp.0), (2, 1500 + 180_000));
        let d = timeline.video(start + Duration::from_millis(2034), frame(3, 4500));
        assert_eq!((d.number.0, d.timestamp.0), (5, 1500 + 184_500), "the source's own gaps stay gaps");
    }

    proptest! {
        #[test]
        fn numbers_and_timestamps_always_rise(
            steps in prop::collection::vec((any::<u64>(), any::<u64>(), 0u64..1000, any::<bool>()), 1..100),
        ) {
            let mut now = crate::task::now();
            let mut timeline = Timeline::default();
            let mut last = None;
            for (number, timestamp, ms, restart) in steps {
                if restart { timeline.begin_run(); }
                now += Duration::from_millis(ms);
                // Half of the range: a lifetime of 3 million years.
                let out = timeline.video(now, frame(number >> 8, timestamp >> 8));
                if let Some((number, timestamp)) = last {
                    prop_assert!(out.number > number && out.timestamp > timestamp);
                }
                last = Some((out.number, out.timestamp));
            }
        }
    }
}
