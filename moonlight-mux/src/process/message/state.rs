//! What a stream does, without this process's clock.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::failure;
use crate::lifecycle::{EndReason, State};
use crate::source::Stage;

/// A [`State`] on the wire: times are counted from when it is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum StateMessage {
    Starting,
    Connecting {
        stage: Stage,
    },
    Connected,
    Streaming,
    Stalled,
    Reconnecting {
        attempt: u32,
        /// Until the next run begins; 0 when it has begun.
        in_ms: u64,
        #[serde(with = "failure::end_reason")]
        reason: EndReason,
    },
    Ended {
        #[serde(with = "failure::end_reason")]
        reason: EndReason,
    },
}

impl StateMessage {
    /// As it is sent `now`.
    pub(crate) fn new(state: &State, now: Instant) -> Self {
        match state {
            State::Starting => Self::Starting,
            State::Connecting(stage) => Self::Connecting { stage: *stage },
            State::Connected => Self::Connected,
            State::Streaming => Self::Streaming,
            State::Stalled => Self::Stalled,
            State::Reconnecting { attempt, next, reason } => {
                let wait = next.saturating_duration_since(now).as_millis();
                let in_ms = u64::try_from(wait).unwrap_or(u64::MAX);
                Self::Reconnecting { attempt: *attempt, in_ms, reason: reason.clone() }
            }
            State::Ended(reason) => Self::Ended { reason: reason.clone() },
        }
    }

    /// As it is received `now`.
    pub(crate) fn into_state(self, now: Instant) -> State {
        match self {
            Self::Starting => State::Starting,
            Self::Connecting { stage } => State::Connecting(stage),
            Self::Connected => State::Connected,
            Self::Streaming => State::Streaming,
            Self::Stalled => State::Stalled,
            Self::Reconnecting { attempt, in_ms, reason } => {
                let wait = Duration::from_millis(in_ms).min(LONGEST_WAIT);
                State::Reconnecting { attempt, next: now + wait, reason }
            }
            Self::Ended { reason } => State::Ended(reason),
        }
    }
}

/// Longer than any that there is, so that its end is a time that the clock can tell.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
