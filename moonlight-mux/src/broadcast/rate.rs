//! How many bits per second pass, pure.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Counts bytes by the second.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    current: Option<(Instant, u64)>,
    last_bits_per_second: u64,
}

impl RateMeter {
    pub(super) fn add(&mut self, now: Instant, bytes: u64) {
        self.roll(now);
        let (_, sum) = self.current.get_or_insert((now, 0));
        *sum += bytes;
    }

    /// Over the last whole window; 0 before there is one and after a silent one.
    pub(super) fn bits_per_second(&mut self, now: Instant) -> u64 {
        self.roll(now);
        self.last_bits_per_second
    }

    fn roll(&mut self, now: Instant) {
        let Some((start, bytes)) = self.current else { return };
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= 2 * WINDOW {
            (self.current, self.last_bits_per_second) = (None, 0);
        } else if elapsed >= WINDOW {
            self.current = Some((start + WINDOW, 0));
            self.last_bits_per_second = bytes * 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_whole_second() {
        let start = crate::task::now();
        let mut rate = RateMeter::default();
        for ms in 0..1000 {
            rate.add(start + Duration::from_millis(ms), 125);
        }
        assert_eq!(rate.bits_per_second(start + Duration::from_millis(999)), 0);
        assert_eq!(rate.bits_per_second(start + Duration::from_millis(1000)), 1_000_000);
        assert_eq!(rate.bits_per_second(start + Duration::from_millis(3100)), 0, "silence is no rate");
    }
}
