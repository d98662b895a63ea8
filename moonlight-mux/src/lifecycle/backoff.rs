//! How long to wait before a source is run again, pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a source is run again. Failures count as in a row until a run has streamed for
/// [`healthy_after`](Self::healthy_after).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RestartBackoff {
    /// The wait before the first restart; each further one in a row is twice as long. Default 1 s.
    pub first: Duration,
    /// The longest of these waits, a day at most. Default 30 s.
    pub longest: Duration,
    /// So many failures in a row open the breaker. Default 5; 0 means 1.
    pub breaker_failures: u32,
    /// The wait when it opens, a day at most, after which the waits begin anew. Default 30 s.
    pub breaker_pause: Duration,
    /// How often it may open in a row: instead of once more the stream ends. Default 10.
    pub breaker_trips: u32,
    /// For how long a run must have had pictures, so that its end is the first in a row. Default 60 s.
    pub healthy_after: Duration,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            breaker_trips: 10,
            healthy_after: Duration::from_secs(60),
        }
    }
}

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: RestartBackoff,
    /// Failures in a row.
    attempt: u32,
    /// Those since the breaker opened last.
    since_trip: u32,
    trips: u32,
}

/// A wait before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Which restart in a row, from 1.
    pub(crate) attempt: u32,
    pub(crate) lasts: Duration,
    /// How often the breaker has opened, if it opens now.
    pub(crate) breaker: Option<u32>,
}

impl Backoff {
    pub(crate) fn new(config: RestartBackoff) -> Self {
        Self { config, attempt: 0, since_trip: 0, trips: 0 }
    }

    /// A run is over, `had_pictures` so long. `None` when there shall be no other. `chance` from 0 to 1 takes up to a fifth
    /// off the wait, so that streamers that failed together do not come back together.
    pub(crate) fn handle_end(&mut self, had_pictures: Duration, chance: f64) -> Option<Wait> {
        if had_pictures >= self.config.healthy_after {
            *self = Self::new(self.config.clone());
        }
        self.attempt = self.attempt.saturating_add(1);
        self.since_trip += 1;
        if self.since_trip < self.config.breaker_failures {
            return Some(Wait { attempt: self.attempt, lasts: self.wait(chance), breaker: None });
        }
        if self.trips >= self.config.breaker_trips {
            return None;
        }
        self.trips += 1;
        self.since_trip = 0;
        let lasts = self.config.breaker_pause.min(MAX_WAIT);
        Some(Wait { attempt: self.attempt, lasts, breaker: Some(self.trips) })
    }

    fn wait(&self, chance: f64) -> Duration {
        let doublings = 1u32.checked_shl(self.since_trip - 1).unwrap_or(u32::MAX);
        let full = self.config.first.saturating_mul(doublings).min(self.config.longest).min(MAX_WAIT);
        full.mul_f64(1.0 - 0.2 * chance.clamp(0.0, 1.0))
    }
}

/// Nobody waits for longer, whatever is configured; and an `Instant` reaches as far.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_crash_loop_waits_twice_as_long_each_time_and_pauses_after_five() {
        let mut backoff = Backoff::new(RestartBackoff::default());
        let seconds: Vec<_> = std::iter::from_fn(|| backoff.handle_end(Duration::ZERO, 0.0))
            .map(|wait| (wait.lasts.as_secs(), wait.breaker))
            .collect();
        let round = |trip| [(1, None), (2, None), (4, None), (8, None), (30, Some(trip))];
        assert_eq!(seconds, (1..=10).flat_map(round).chain(round(11)[..4].to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn a_healthy_run_makes_the_next_failure_the_first() {
        let mut backoff = Backoff::new(RestartBackoff::default());
        for _ in 0..3 {
            backoff.handle_end(Duration::from_secs(59), 0.0);
        }
        let first = Wait { attempt: 1, lasts: Duration::from_secs(1), breaker: None };
        assert_eq!(backoff.handle_end(Duration::from_secs(60), 0.0), Some(first));
        assert_eq!(backoff.handle_end(Duration::ZERO, 0.0).map(|wait| wait.attempt), Some(2));
    }

    prop_compose! {
        fn any_config()(
            first in 0u64..5_000, longest in 0u64..60_000, breaker_failures in 0u32..8,
            pause in 0u64..60_000, breaker_trips in 0u32..12,
        ) -> RestartBackoff {
            RestartBackoff {
                first: Duration::from_millis(first),
                longest: Duration::from_millis(longest),
                breaker_failures,
                breaker_pause: Duration::from_millis(pause),
                breaker_trips,
                ..RestartBackoff::default()
            }
        }
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds_and_end(
            config in any_config(), chances in prop::collection::vec(0.0f64..=1.0, 1..20),
        ) {
            let mut backoff = Backoff::new(config.clone());
            let failures = config.breaker_failures.max(1);
            let (mut tries, mut trips) = (0, 0);
            for chance in chances.iter().cycle() {
                let Some(wait) = backoff.handle_end(Duration::ZERO, *chance) else { break };
                tries += 1;
                prop_assert_eq!(wait.attempt, tries);
                prop_assert!(tries < failures * (config.breaker_trips + 1), "it goes on for ever");
                if let Some(trip) = wait.breaker {
                    trips += 1;
                    prop_assert_eq!(trip, trips);
                    prop_assert_eq!((tries % failures, wait.lasts), (0, config.breaker_pause));
                } else {
                    let full = (config.first * (1 << (tries % failures - 1))).min(config.longest);
                    prop_assert!(wait.lasts <= full && wait.lasts >= full.mul_f64(0.799_999), "{:?} of {:?}", wait.lasts, full);
                }
            }
            prop_assert_eq!((tries + 1, trips), (failures * (config.breaker_trips + 1), config.breaker_trips));
        }
    }
}
