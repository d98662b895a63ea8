//! When a connection's timers may wait a little, so that fewer of them wake the process. Pure.
//!
//! The WebRTC crate's driver wakes for the earliest of all its timers, and does not say whose that is. ICE alone asks for five
//! wakes a second, of which a connection that stands has use for those that send a consent check (RFC 7675). On a line where
//! nothing else is under way the others are left out, and every other check, as long as they are answered.

use std::time::{Duration, Instant};

/// Timers that are further away than this are rung in common: nearer ones are those of connecting.
const FINE: Duration = Duration::from_millis(60);
/// The times at which they ring.
const STEP: Duration = Duration::from_millis(20);
/// From the last DTLS datagram of either side until its timers (DTLS, RFC 6347, 4.2.4; SCTP, RFC 9260, 6.3: a second at first,
/// a delayed acknowledgement 200 ms) have rung or will be seconds late for other reasons.
const SETTLED: Duration = Duration::from_secs(3);
/// Between two consent checks of a viewer that has answered the last one: the crate would send two.
const CHECKS: Duration = Duration::from_secs(1);

/// What of a connection's traffic decides it.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// When the last DTLS datagram came or went.
    dtls: Option<Instant>,
    /// When the last connectivity check was sent, and whether it has been answered.
    checked: Option<(Instant, bool)>,
}

impl Calm {
    /// A DTLS datagram comes or goes.
    pub(super) fn handle_dtls(&mut self, now: Instant) {
        self.dtls = Some(now);
    }

    /// A connectivity check is sent.
    pub(super) fn handle_check(&mut self, now: Instant) {
        self.checked = Some((now, false));
    }

    /// A connectivity check is answered.
    pub(super) fn handle_answer(&mut self) {
        if let Some((_, answered)) = &mut self.checked {
            *answered = true;
        }
    }

    /// When a timer that is wanted for `deadline` shall ring: not before it, and less than [`CHECKS`] and a [`STEP`] behind it.
    /// `epoch` is any time before, the same for all.
    pub(super) fn ring_at(&self, now: Instant, deadline: Instant, epoch: Instant) -> Instant {
        if deadline.saturating_duration_since(now) < FINE {
            return deadline;
        }
        let settled = self.dtls.is_some_and(|at| now.saturating_duration_since(at) >= SETTLED);
        // A viewer that does not answer may be gone: then ICE is to ask again, and to say so, at its time.
        let next_check = self.checked.filter(|&(_, answered)| settled && answered).map(|(at, _)| at + CHECKS);
        let deadline = next_check.map_or(deadline, |check| check.min(deadline + CHECKS).max(deadline));
        let over = deadline.saturating_duration_since(epoch).as_nanos() % STEP.as_nanos();
        let over = Duration::from_nanos(u64::try_from(over).unwrap_or(0));
        if over.is_zero() { deadline } else { deadline + (STEP - over) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_connection_that_rests_is_woken_for_its_consent_checks() {
        let start = task::now();
        let mut calm = Calm::default();
        let ring = |calm: &Calm, now: u64, delay: u64| {
            let now = start + ms(now);
            (calm.ring_at(now, now + ms(delay), start) - now).as_millis()
        };
        assert_eq!(ring(&calm, 1000, 50), 50, "while it connects, to the millisecond");
        assert_eq!(ring(&calm, 1000, 190), 200, "no DTLS yet: in common, and no later");
        calm.handle_dtls(start + ms(1000));
        calm.handle_answer();
        assert_eq!(ring(&calm, 9000, 200), 200, "no checks are sent");
        calm.handle_check(start + ms(3900));
        assert_eq!(ring(&calm, 4000, 200), 200, "it may be gone");
        calm.handle_answer();
        assert_eq!(ring(&calm, 3900, 200), 200, "an acknowledgement may be due");
        assert_eq!(ring(&calm, 4000, 200), 900, "with the next check");
        assert_eq!(ring(&calm, 4000, 990), 1000, "never before it is wanted");
        assert_eq!(ring(&calm, 4000, 30), 30);
        calm.handle_check(start + ms(4900));
        assert_eq!(ring(&calm, 4900, 500), 500, "until it is answered");
    }

    proptest! {
        #[test]
        fn no_timer_rings_early_or_much_too_late(
            now in 0u64..100_000,
            delay in 0u64..100_000,
            dtls in prop::option::of(0u64..100_000),
            checked in prop::option::of((0u64..200_000, any::<bool>())),
        ) {
            let start = task::now();
            let at = |ms: u64| start + Duration::from_millis(ms);
            let calm = Calm { dtls: dtls.map(at), checked: checked.map(|(ms, answered)| (at(ms), answered)) };
            let (now, deadline) = (at(now), at(now + delay));
            let ring = calm.ring_at(now, deadline, start);
            prop_assert!(ring >= deadline && ring < deadline + CHECKS + STEP);
            prop_assert!(delay >= 60 || ring == deadline);
        }
    }
}
