//! The way from the host to the client, with what [`Faults`] takes, holds back and delays. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::{Faults, Freeze};

/// Datagrams on their way.
#[derive(Debug)]
pub(super) struct Link<T> {
    random: Random,
    /// At most [`MAX_UNDER_WAY`]. Full: what comes is lost.
    under_way: BinaryHeap<Reverse<UnderWay<T>>>,
    next: u64,
}

/// 30 MB/s, delayed by a fifth of a second, are 4,400 datagrams.
const MAX_UNDER_WAY: usize = 16 * 1024;

#[derive(Debug)]
struct UnderWay<T> {
    due: Instant,
    /// Those that are due at the same time keep their order.
    order: u64,
    datagram: T,
}

impl<T> Link<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random(seed), under_way: BinaryHeap::new(), next: 0 }
    }

    /// Sends a datagram; gives whether it will arrive. Loss and reordering are for media alone.
    pub(super) fn send(&mut self, now: Instant, faults: &Faults, is_media: bool, datagram: T) -> bool {
        let lost = match faults.freeze {
            Freeze::Everything => true,
            Freeze::Media => is_media,
            Freeze::Nothing => is_media && self.random.happens(faults.loss),
        };
        if lost || self.under_way.len() == MAX_UNDER_WAY {
            return false;
        }
        // Later than any clock tells: never.
        let Some(mut due) = now.checked_add(faults.delay) else { return false };
        if is_media && self.random.happens(faults.reordering) {
            due += Faults::REORDERED_BY;
        }
        self.under_way.push(Reverse(UnderWay { due, order: self.next, datagram }));
        self.next += 1;
        true
    }

    /// The next datagram that has arrived.
    pub(super) fn poll(&mut self, now: Instant) -> Option<T> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse(arrived)| arrived.datagram)
    }

    /// When the next datagram arrives.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.due)
    }
}

impl<T> Ord for UnderWay<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for UnderWay<T> {}

/// SplitMix64: the same seed, the same chances.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// With this probability, 0 to 1.
    fn happens(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]
    fn start() -> Instant {
        Instant::now()
    }

    fn arrived(link: &mut Link<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| link.poll(now)).collect()
    }

    #[test]
    fn without_faults_everything_arrives_at_once_in_order() {
        let (mut link, now) = (Link::new(0), start());
        for n in 0..1000 {
            assert!(link.send(now, &Faults::default(), true, n));
        }
        assert_eq!(arrived(&mut link, now), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_share_that_was_asked_for_is_lost_and_the_same_each_time() {
        let faults = Faults { loss: 0.05, ..Faults::default() };
        let lost = |seed| {
            let mut link = Link::new(seed);
            (0..10_000).filter(|&n| !link.send(start(), &faults, true, n)).collect::<Vec<_>>()
        };
        assert!((400..600).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        let mut link = Link::new(1);
        let control =
            (0..1000).all(|n| link.send(start(), &Faults { loss: 1.0, ..faults.clone() }, false, n));
        assert!(control, "control is not touched");
    }

    #[test]
    fn reordered_datagrams_come_behind_those_that_were_sent_later() {
        let faults = Faults { reordering: 0.2, delay: Duration::from_millis(20), ..Faults::default() };
        let (mut link, now) = (Link::new(3), start());
        for n in 0..100 {
            link.send(now, &faults, true, n);
        }
        assert!(arrived(&mut link, now + Duration::from_millis(19)).is_empty());
        assert_eq!(link.poll_timeout(), Some(now + faults.delay));
        let first = arrived(&mut link, now + faults.delay);
        let late = arrived(&mut link, now + faults.delay + Faults::REORDERED_BY);
        assert!((5..40).contains(&late.len()) && first.len() + late.len() == 100);
        assert!(first.is_sorted() && late.is_sorted());
    }

    #[test]
    fn a_freeze_takes_media_or_everything() {
        let sent = |freeze, is_media| {
            Link::new(0).send(start(), &Faults { freeze, ..Faults::default() }, is_media, 0)
        };
        assert!(!sent(Freeze::Media, true) && sent(Freeze::Media, false));
        assert!(!sent(Freeze::Everything, true) && !sent(Freeze::Everything, false));
    }

    #[test]
    fn what_comes_later_than_any_clock_tells_is_lost() {
        let faults = Faults { delay: Duration::MAX, ..Faults::default() };
        assert!(!Link::new(0).send(start(), &faults, false, 0));
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let faults = Faults { delay: Duration::from_secs(1), ..Faults::default() };
        let (mut link, now) = (Link::new(0), start());
        let sent = (0..20_000).filter(|&n| link.send(now, &faults, false, n)).count();
        assert_eq!(sent, MAX_UNDER_WAY);
    }
}
