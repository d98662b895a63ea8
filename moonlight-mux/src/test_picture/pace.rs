//! When each picture or packet of sound is due, and which are skipped. Pure.

use std::time::{Duration, Instant};

/// Ticks at a fixed rate since a start. Whoever comes late gets the tick that is on now: those before it are skipped,
/// so that nothing ever lags behind.
#[derive(Debug)]
pub(super) struct Pace {
    /// Ticks per second, at least 1.
    rate: u32,
    /// How many ticks late is still in time.
    slack: u64,
    started: Instant,
    next: u64,
}

/// A tick that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Counted from 0 at the start, skipped ones among them.
    pub(super) index: u64,
    /// How many were skipped just before it.
    pub(super) skipped: u64,
}

impl Pace {
    pub(super) fn new(rate: u32, slack: u64, started: Instant) -> Self {
        Self { rate, slack, started, next: 0 }
    }

    /// When [`take`](Self::take) is due.
    pub(super) fn due(&self) -> Instant {
        self.started + self.time(self.next)
    }

    /// Takes the tick that is due.
    pub(super) fn take(&mut self, now: Instant) -> Tick {
        let elapsed = now.saturating_duration_since(self.started);
        let on_now = (elapsed.as_nanos() * u128::from(self.rate) / NANOS) as u64;
        let index = if on_now > self.next + self.slack { on_now } else { self.next };
        let skipped = index - self.next;
        self.next = index + 1;
        Tick { index, skipped }
    }

    /// How long after the start a tick is. Rounded up, so that a tick has begun when it is due.
    pub(super) fn time(&self, index: u64) -> Duration {
        Duration::from_nanos((u128::from(index) * NANOS).div_ceil(self.rate.into()) as u64)
    }

    /// The same in units of `hz`.
    pub(super) fn timestamp(&self, index: u64, hz: u64) -> u64 {
        (u128::from(index) * u128::from(hz) / u128::from(self.rate)) as u64
    }
}

/// When to say that frames are skipped: at once, then at most once in [`LAG_REPORTS`], with a count.
#[derive(Debug, Default)]
pub(super) struct Lag {
    reported: Option<Instant>,
    skipped: u64,
}

const LAG_REPORTS: Duration = Duration::from_secs(10);

impl Lag {
    /// How many were skipped since the last report, if it is time for one.
    pub(super) fn handle_tick(&mut self, now: Instant, tick: Tick) -> Option<u64> {
        self.skipped += tick.skipped;
        let due = self.reported.is_none_or(|reported| now >= reported + LAG_REPORTS);
        if self.skipped == 0 || !due {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.skipped))
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::VideoTimestamp;

    /// Takes ticks, each as soon as it is due and the one before has been worked on for `work`.
    fn take(pace: &mut Pace, now: &mut Instant, count: usize, work: Duration) -> Vec<Tick> {
        let step = |_| {
            *now = pace.due().max(*now);
            let tick = pace.take(*now);
            *now += work;
            tick
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn work_that_is_fast_enough_skips_nothing() {
        let start = crate::task::now();
        let (mut pace, mut now) = (Pace::new(60, 0, start), start);
        let ticks = take(&mut pace, &mut now, 600, Duration::from_millis(16));
        assert_eq!(ticks, (0..600).map(|index| Tick { index, skipped: 0 }).collect::<Vec<_>>());
        let timestamps: Vec<_> =
            ticks.iter().map(|tick| pace.timestamp(tick.index, VideoTimestamp::HZ)).collect();
        assert_eq!(timestamps, (0..600).map(|index| index * 1500).collect::<Vec<_>>());
        assert_eq!(pace.due(), start + Duration::from_secs(10));
    }

    #[test]
    fn work_that_is_too_slow_skips_and_never_lags() {
        let start = crate::task::now();
        let (mut pace, mut now) = (Pace::new(100, 0, start), start);
        for _ in 0..100 {
            let [tick] = take(&mut pace, &mut now, 1, Duration::from_millis(25))[..] else { unreachable!() };
            let taken = now - Duration::from_millis(25);
            let late = taken - (start + pace.time(tick.index));
            assert!(late < Duration::from_millis(10), "what is shown is {late:?} old");
        }
        assert_eq!(now, start + Duration::from_millis(2500), "it works all the time");
        assert_eq!(pace.next, 248, "100 of the first 248 ticks were taken");
    }

    #[test]
    fn within_its_slack_nothing_is_skipped() {
        let start = crate::task::now();
        let mut pace = Pace::new(100, 10, start);
        let now = start + Duration::from_millis(109);
        assert_eq!(pace.take(now), Tick { index: 0, skipped: 0 });
        assert_eq!(pace.take(now), Tick { index: 1, skipped: 0 });
        let now = start + Duration::from_millis(130);
        assert_eq!(pace.take(now), Tick { index: 13, skipped: 11 });
    }

    #[test]
    fn skipping_is_told_at_once_and_then_now_and_again_with_a_count() {
        let start = crate::task::now();
        let mut lag = Lag::default();
        let mut tick =
            |ms, skipped| lag.handle_tick(start + Duration::from_millis(ms), Tick { index: 0, skipped });
        assert_eq!(tick(0, 0), None);
        assert_eq!(tick(100, 3), Some(3));
        assert_eq!(tick(200, 2), None);
        assert_eq!(tick(10_099, 1), None);
        assert_eq!(tick(10_100, 0), Some(3));
        assert_eq!(tick(30_000, 0), None);
    }

    proptest! {
        #[test]
        fn whatever_the_work_takes_ticks_rise_and_are_on_time(
            rate in 1u32..=240,
            work_us in prop::collection::vec(0u64..2_000_000, 1..100),
        ) {
            let start = crate::task::now();
            let (mut pace, mut now) = (Pace::new(rate, 0, start), start);
            let mut last: Option<(u64, u64)> = None;
            for work in work_us {
                now = pace.due().max(now);
                let tick = pace.take(now);
                let timestamp = pace.timestamp(tick.index, VideoTimestamp::HZ);
                if let Some((index, before)) = last {
                    prop_assert_eq!(index + 1 + tick.skipped, tick.index);
                    prop_assert!(before < timestamp);
                }
                let at = start + pace.time(tick.index);
                prop_assert!(at <= now && now < start + pace.time(tick.index + 1));
                last = Some((tick.index, timestamp));
                now += Duration::from_micros(work);
            }
        }
    }
}
