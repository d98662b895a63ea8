//! When a peer was last heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::task;

/// When the last datagram of a peer came, whatever it was. Written by who reads the socket, read by the peer's task.
#[derive(Clone, Debug)]
pub(super) struct LastHeard(Arc<Clock>);

#[derive(Debug)]
struct Clock {
    start: Instant,
    /// Nanoseconds from `start` to the last datagram: 584 years of them.
    heard: AtomicU64,
}

impl Default for LastHeard {
    fn default() -> Self {
        Self(Arc::new(Clock { start: task::now(), heard: AtomicU64::new(0) }))
    }
}

impl LastHeard {
    /// A datagram came now.
    pub(super) fn note(&self) {
        let since = task::now().saturating_duration_since(self.0.start);
        self.0.heard.fetch_max(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// When the last one came; before the first, when waiting for it began.
    pub(super) fn at(&self) -> Instant {
        self.0.start + Duration::from_nanos(self.0.heard.load(Relaxed))
    }
}
