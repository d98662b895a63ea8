//! What a viewer has not been told yet, and when it may be. Pure. What comes seldom by itself (input and pointers: ten times a second) is
//! told at once.

use std::time::{Duration, Instant};

/// How often a viewer is told who is here, at most: 500 joins within a second are one message to each, not 500.
const VIEWERS_INTERVAL: Duration = Duration::from_secs(1);

/// What there is to tell. Of each, the newest state alone counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Viewers,
    Stream,
    Quality,
    Input,
    Pointers,
}

/// Holds at most one of each [`Topic`].
#[derive(Debug, Default)]
pub(super) struct Pacing {
    viewers: bool,
    viewers_told: Option<Instant>,
    stream: bool,
    quality: bool,
    input: bool,
    pointers: bool,
}

impl Pacing {
    /// There is something new.
    pub(super) fn handle_change(&mut self, topic: Topic) {
        match topic {
            Topic::Viewers => self.viewers = true,
            Topic::Stream => self.stream = true,
            Topic::Quality => self.quality = true,
            Topic::Input => self.input = true,
            Topic::Pointers => self.pointers = true,
        }
    }

    /// What to tell now: its state of now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Topic> {
        if std::mem::take(&mut self.stream) {
            return Some(Topic::Stream);
        }
        if std::mem::take(&mut self.quality) {
            return Some(Topic::Quality);
        }
        if std::mem::take(&mut self.input) {
            return Some(Topic::Input);
        }
        if self.viewers && self.viewers_told.is_none_or(|told| now >= told + VIEWERS_INTERVAL) {
            self.viewers = false;
            self.viewers_told = Some(now);
            return Some(Topic::Viewers);
        }
        std::mem::take(&mut self.pointers).then_some(Topic::Pointers)
    }

    /// When [`Self::poll`] has something again, if nothing changes.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.viewers_told.filter(|_| self.viewers).map(|told| told + VIEWERS_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_joins_within_a_second_are_told_once_and_then_once_more() {
        let start = crate::task::now();
        let mut pacing = Pacing::default();
        pacing.handle_change(Topic::Viewers);
        assert_eq!(pacing.poll(start), Some(Topic::Viewers));
        assert_eq!((pacing.poll(start), pacing.timeout()), (None, None));
        for ms in 1..=500 {
            pacing.handle_change(Topic::Viewers);
            assert_eq!(pacing.poll(start + Duration::from_millis(ms)), None);
        }
        let second = start + VIEWERS_INTERVAL;
        assert_eq!(pacing.timeout(), Some(second));
        assert_eq!(pacing.poll(second), Some(Topic::Viewers));
        assert_eq!((pacing.poll(second), pacing.timeout()), (None, None));
    }

    #[test]
    fn all_but_the_viewers_is_told_at_once_once_and_what_matters_most_first() {
        let now = crate::task::now();
        let mut pacing = Pacing::default();
        for topic in
            [Topic::Pointers, Topic::Viewers, Topic::Input, Topic::Quality, Topic::Stream, Topic::Stream]
        {
            pacing.handle_change(topic);
        }
        let told: Vec<_> = std::iter::from_fn(|| pacing.poll(now)).collect();
        assert_eq!(told, [Topic::Stream, Topic::Quality, Topic::Input, Topic::Viewers, Topic::Pointers]);
    }

    const TOPICS: [Topic; 5] = [Topic::Viewers, Topic::Stream, Topic::Quality, Topic::Input, Topic::Pointers];

    proptest! {
        /// Whatever changes when: nothing new stays untold, and two lists of viewers are a second apart.
        #[test]
        fn every_change_is_told_in_time(steps in prop::collection::vec((0u64..400, 0usize..6), 1..200)) {
            let mut now = crate::task::now();
            let mut pacing = Pacing::default();
            let mut told = None;
            let mut untold = [false; 5];
            for (ms, change) in steps {
                now += Duration::from_millis(ms);
                if let Some(topic) = TOPICS.get(change) {
                    pacing.handle_change(*topic);
                    untold[change] = true;
                }
                while let Some(topic) = pacing.poll(now) {
                    untold[topic as usize] = false;
                    if topic == Topic::Viewers {
                        prop_assert!(told.is_none_or(|told| now >= told + VIEWERS_INTERVAL));
                        told = Some(now);
                    }
                }
                prop_assert_eq!(untold, [pacing.timeout().is_some(), false, false, false, false]);
                prop_assert!(pacing.timeout().is_none_or(|timeout| timeout > now));
            }
        }
    }
}
