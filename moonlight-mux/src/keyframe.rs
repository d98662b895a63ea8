//! When to ask the source for a keyframe, pure: viewers' wishes are coalesced and spaced.

use std::time::{Duration, Instant};

/// At least this long between two requests. A keyframe is ten times a frame's size and hits every viewer; the
/// streams reference (6.5) advises 0.5 to 1 s. With it, twenty joins within a second cost two requests at most.
pub(crate) const SPACING: Duration = Duration::from_millis(500);

/// Turns any number of wishes into few requests.
///
/// A wish stands until a keyframe comes, so a request that is lost is repeated after [`SPACING`]. A run of a source begins
/// with a keyframe (contract of `VideoSource`), so none is asked for before its first picture.
#[derive(Debug, Default)]
pub(crate) struct KeyframePolicy {
    wished: bool,
    has_begun: bool,
    last_request: Option<Instant>,
}

impl KeyframePolicy {
    /// Somebody cannot go on without a keyframe.
    pub(crate) fn wish(&mut self) {
        self.wished = true;
    }

    /// The source's run is over; the next one begins with a keyframe.
    pub(crate) fn handle_end(&mut self) {
        self.has_begun = false;
    }

    /// A picture came. If it is a keyframe, every wish so far is fulfilled by it.
    pub(crate) fn handle_frame(&mut self, keyframe: bool) {
        self.has_begun = true;
        self.wished &= !keyframe;
    }

    /// When [`Self::handle_timeout`] wants to be called next; a time in the past means at once.
    pub(crate) fn timeout(&self, now: Instant) -> Option<Instant> {
        (self.wished && self.has_begun).then(|| self.last_request.map_or(now, |last| last + SPACING))
    }

    /// True when the source shall be asked now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.timeout(now).is_some_and(|timeout| timeout <= now);
        if due {
            self.last_request = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn twenty_joins_within_a_second_cost_two_requests() {
        let start = crate::task::now();
        let mut policy = KeyframePolicy::default();
        policy.handle_frame(true);
        let mut requests = 0;
        for join in 0..20 {
            let now = start + Duration::from_millis(join * 50);
            policy.wish();
            if policy.handle_timeout(now) {
                requests += 1;
                policy.handle_frame(true);
            }
        }
        assert_eq!(requests, 2);
    }

    #[test]
    fn a_request_without_an_answer_is_repeated() {
        let start = crate::task::now();
        let mut policy = KeyframePolicy::default();
        policy.handle_frame(true);
        policy.wish();
        assert!(policy.handle_timeout(start));
        assert!(!policy.handle_timeout(start + Duration::from_millis(499)));
        assert_eq!(policy.timeout(start), Some(start + SPACING));
        assert!(policy.handle_timeout(start + SPACING));
        policy.handle_frame(true);
        assert_eq!(policy.timeout(start + SPACING), None);
        assert!(!policy.handle_timeout(start + 2 * SPACING));
    }

    #[test]
    fn who_waits_for_a_run_to_begin_is_served_by_its_first_picture() {
        let now = crate::task::now();
        let mut policy = KeyframePolicy::default();
        policy.handle_frame(true);
        policy.wish();
        policy.handle_end();
        assert!(!policy.handle_timeout(now));
        policy.handle_frame(true);
        assert!(!policy.handle_timeout(now));

        policy.handle_end();
        policy.wish();
        policy.handle_frame(false);
        assert!(policy.handle_timeout(now), "a source that breaks its contract is asked");
    }

    proptest! {
        #[test]
        fn requests_are_always_spaced_and_never_without_a_wish(
            steps in prop::collection::vec(
                (0u64..200, any::<bool>(), any::<bool>(), prop::option::of(any::<bool>())), 1..200,
            ),
        ) {
            let mut now = crate::task::now();
            let mut policy = KeyframePolicy::default();
            let (mut wished, mut begun, mut last) = (false, false, None::<Instant>);
            for (ms, wish, end, keyframe) in steps {
                now += Duration::from_millis(ms);
                if wish { policy.wish(); wished = true; }
                if end { policy.handle_end(); begun = false; }
                if let Some(keyframe) = keyframe {
                    policy.handle_frame(keyframe);
                    begun = true;
                    wished &= !keyframe;
                }
                if policy.handle_timeout(now) {
                    prop_assert!(wished && begun);
                    prop_assert!(last.is_none_or(|last| now - last >= SPACING));
                    last = Some(now);
                } else {
                    prop_assert!(!wished || !begun || last.is_some_and(|last| now - last < SPACING), "no wish waits longer than it must");
                }
            }
        }
    }
}
