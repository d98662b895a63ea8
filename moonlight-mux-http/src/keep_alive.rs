//! Whether the other end of a WebSocket still lives. Pure: its owner calls it once per [`KeepAlive::PERIOD`].

use std::time::Duration;

/// Counts silent periods. The pong that each ping brings counts as much as a message.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive {
    silent_periods: u32,
}

/// What to do when a period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ping,
    GiveUp,
}

impl KeepAlive {
    /// Between two pings. A living end is heard right behind each one, so the silence that ends it lasts 30 s.
    pub(crate) const PERIOD: Duration = Duration::from_secs(15);

    /// Anything at all came from the other end.
    pub(crate) fn handle_message(&mut self) {
        self.silent_periods = 0;
    }

    /// A period is over.
    pub(crate) fn handle_period(&mut self) -> Action {
        if self.silent_periods >= MAX_SILENT_PERIODS {
            return Action::GiveUp;
        }
        self.silent_periods += 1;
        Action::Ping
    }
}

/// Two unanswered pings, 15 s each.
const MAX_SILENT_PERIODS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_pings_are_the_end() {
        let mut alive = KeepAlive::default();
        assert_eq!(alive.handle_period(), Action::Ping);
        assert_eq!(alive.handle_period(), Action::Ping);
        assert_eq!(alive.handle_period(), Action::GiveUp);
    }

    #[test]
    fn whoever_answers_each_ping_lives_for_ever() {
        let mut alive = KeepAlive::default();
        for _ in 0..1000 {
            assert_eq!(alive.handle_period(), Action::Ping);
            alive.handle_message();
        }
    }

    #[test]
    fn silence_counts_from_the_last_message() {
        let mut alive = KeepAlive::default();
        alive.handle_period();
        alive.handle_period();
        alive.handle_message();
        assert_eq!(alive.handle_period(), Action::Ping);
        assert_eq!(alive.handle_period(), Action::Ping);
        assert_eq!(alive.handle_period(), Action::GiveUp);
    }
}
