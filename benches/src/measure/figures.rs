//! Many times as three numbers. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The middle, the 99th percentile and the largest of some times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many there were.
    pub count: usize,
    /// Half are not longer.
    pub median: f64,
    /// 99 of 100 are not longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Figures {
    /// `None` of none.
    #[must_use]
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        let at = |percent: usize| {
            let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(index).map(|time| time.as_secs_f64() * 1000.0)
        };
        Some(Self { count: times.len(), median: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        assert_eq!(Figures::of([]), None);
        let figures = Figures::of((1..=200).rev().map(Duration::from_millis));
        assert_eq!(figures, Some(Figures { count: 200, median: 100.0, p99: 198.0, max: 200.0 }));
        let one = Figures::of([Duration::from_micros(1500)]);
        assert_eq!(one, Some(Figures { count: 1, median: 1.5, p99: 1.5, max: 1.5 }));
    }
}
