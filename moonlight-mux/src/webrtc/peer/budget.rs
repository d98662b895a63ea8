//! How many messages that cannot be used a viewer may send. Pure.

use std::time::{Duration, Instant};

/// So many at once, by signalling and on data channels together.
const ERRORS: u32 = 20;
/// After this long it may send one more again: a viewer that stays for a month does not go for what it said by the way.
const REFILL: Duration = Duration::from_secs(60);

/// What is left of them: a token bucket.
#[derive(Debug)]
pub(super) struct ErrorBudget {
    left: u32,
    /// From when on the next refill is counted. What is full is not refilled.
    since: Instant,
}

/// Nothing is left: the viewer has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl ErrorBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: ERRORS, since: now }
    }

    /// Counts one, and gives how many are left.
    ///
    /// # Errors
    /// When this was the last.
    pub(super) fn spend(&mut self, now: Instant) -> Result<u32, Exhausted> {
        self.refill(now);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 { Err(Exhausted) } else { Ok(self.left) }
    }

    fn refill(&mut self, now: Instant) {
        while self.left < ERRORS && now.saturating_duration_since(self.since) >= REFILL {
            self.left += 1;
            self.since += REFILL;
        }
        if self.left == ERRORS {
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spend(budget: &mut ErrorBudget, now: Instant, times: u32) -> Vec<Result<u32, Exhausted>> {
        (0..times).map(|_| budget.spend(now)).collect()
    }

    #[test]
    fn the_twentieth_at_once_is_the_last() {
        let now = crate::task::now();
        let mut budget = ErrorBudget::new(now);
        let expected: Vec<_> = (1..20).rev().map(Ok).chain([Err(Exhausted), Err(Exhausted)]).collect();
        assert_eq!(spend(&mut budget, now, 21), expected);
    }

    #[test]
    fn one_a_minute_is_refilled_up_to_twenty() {
        let begin = crate::task::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut budget = ErrorBudget::new(begin);
        // It was full: the minute begins with the first error.
        assert_eq!(spend(&mut budget, at(59), 18).last(), Some(&Ok(2)));
        assert_eq!(budget.spend(at(118)), Ok(1));
        assert_eq!(budget.spend(at(119)), Ok(1), "one minute");
        assert_eq!(budget.spend(at(238)), Ok(1), "a minute, and most of the next");
        assert_eq!(budget.spend(at(239)), Ok(1), "which counts");
        let day = at(86_400);
        let after_a_day = spend(&mut budget, day, 20);
        assert_eq!((after_a_day[0], after_a_day[19]), (Ok(19), Err(Exhausted)));
    }

    #[test]
    fn an_error_a_minute_costs_nobody_its_place() {
        let begin = crate::task::now();
        let mut budget = ErrorBudget::new(begin);
        for minute in 0..60 * 24 * 30 {
            assert_eq!(budget.spend(begin + minute * REFILL), Ok(19), "minute {minute}");
        }
    }

    proptest! {
        /// Within any time no more than twenty and one a minute; and who keeps below is never sent away.
        #[test]
        fn it_lasts_for_twenty_and_one_a_minute(gaps in prop::collection::vec(0u64..100, 1..300)) {
            let begin = crate::task::now();
            let mut now = begin;
            let mut budget = ErrorBudget::new(begin);
            // A bucket in milliseconds, as the reference.
            let mut filled = 20 * 60_000;
            for gap in gaps {
                now += Duration::from_secs(gap);
                filled = (filled + gap * 1000).min(20 * 60_000);
                filled -= 60_000;
                let left = budget.spend(now);
                if filled < 60_000 {
                    prop_assert_eq!(left, Err(Exhausted));
                    break;
                }
                prop_assert_eq!(left, Ok(u32::try_from(filled / 60_000).expect("at most 20")));
            }
        }
    }
}
