//! A host's place for one launch.
//!
//! Sunshine has one pending session per host, from the answer to `/launch` or `/resume` until the control connection
//! stands; a second one meanwhile is refused or silently lost, and a failed one cannot be cleared from outside: it expires
//! (session 11 and 23.3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::task;

/// Shared by all who launch at one host, behind a lock that is held while launching.
#[derive(Debug, Default)]
pub(crate) struct LaunchSlot {
    /// A launch that came to nothing may be pending until then.
    taken_until: Option<Instant>,
}

/// The slot is this launch's. When it is dropped without being [`connected`](Self::connected) the slot stays taken for as long
/// as the host may keep it, without anybody waiting but who launches next.
#[derive(Debug)]
pub(crate) struct Launching {
    slot: OwnedMutexGuard<LaunchSlot>,
    /// The host was asked, and may take the launch long after it is dropped here.
    unanswered: bool,
}

impl Launching {
    /// Waits for the slot. Cancel safe.
    pub(crate) async fn begin(slot: Arc<Mutex<LaunchSlot>>) -> Self {
        let slot = slot.lock_owned().await;
        if let Some(until) = slot.taken_until {
            task::at(Some(until)).await;
        }
        Self { slot, unanswered: false }
    }

    /// The host is asked now, and may take it at any time from now on.
    pub(crate) fn asked(&mut self) {
        self.unanswered = true;
    }

    /// The host refused: nothing is pending.
    pub(crate) fn refused(&mut self) {
        self.unanswered = false;
        self.slot.taken_until = None;
    }

    /// The host agreed. Only hosts with encrypted RTSP, which is Sunshine and its forks, have a slot.
    pub(crate) fn answered(&mut self, now: Instant, encrypted_rtsp: bool) {
        self.unanswered = false;
        self.slot.taken_until = encrypted_rtsp.then(|| now + PENDING);
    }

    /// The control connection stands: the host takes the next launch.
    pub(crate) fn connected(mut self) {
        self.unanswered = false;
        self.slot.taken_until = None;
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        if self.unanswered {
            self.slot.taken_until = Some(task::now() + PENDING);
        }
    }
}

/// Sunshine's `ping_timeout`, from its answer on (session 20).
const PENDING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn slot() -> Arc<Mutex<LaunchSlot>> {
        Arc::default()
    }

    /// How long the next launch waits.
    async fn wait(slot: &Arc<Mutex<LaunchSlot>>) -> Duration {
        let began = task::now();
        drop(Launching::begin(slot.clone()).await);
        task::now() - began
    }

    #[tokio::test(start_paused = true)]
    async fn launches_wait_for_each_other() {
        let slot = slot();
        let mut first = Launching::begin(slot.clone()).await;
        first.asked();
        first.answered(task::now(), true);
        let mut second = Box::pin(Launching::begin(slot.clone()));
        assert!(poll!(&mut second).is_pending());
        first.connected();
        second.await;
        assert_eq!(wait(&slot).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_launch_that_failed_keeps_the_slot_until_the_host_forgot_it() {
        let slot = slot();
        let mut launching = Launching::begin(slot.clone()).await;
        launching.asked();
        task::at(Some(task::now() + 2 * MOMENT)).await;
        launching.answered(task::now(), true);
        task::at(Some(task::now() + 3 * MOMENT)).await;
        drop(launching);
        assert_eq!(wait(&slot).await, PENDING - 3 * MOMENT);
        assert_eq!(wait(&slot).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_launch_that_was_dropped_while_the_host_was_asked_keeps_the_slot_too() {
        let slot = slot();
        let mut launching = Launching::begin(slot.clone()).await;
        launching.asked();
        // It may take the host longer than a session is pending.
        task::at(Some(task::now() + 3 * PENDING)).await;
        drop(launching);
        assert_eq!(wait(&slot).await, PENDING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_and_a_host_without_slot_keep_nobody_waiting() {
        let slot = slot();
        let mut refused = Launching::begin(slot.clone()).await;
        refused.asked();
        refused.refused();
        drop(refused);
        assert_eq!(wait(&slot).await, Duration::ZERO);

        let mut wolf = Launching::begin(slot.clone()).await;
        wolf.asked();
        wolf.answered(task::now(), false);
        drop(wolf);
        assert_eq!(wait(&slot).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_leaves_the_slot_taken() {
        let slot = slot();
        let mut launching = Launching::begin(slot.clone()).await;
        launching.asked();
        drop(launching);
        let mut waiting = Box::pin(Launching::begin(slot.clone()));
        assert!(poll!(&mut waiting).is_pending());
        drop(waiting);
        assert_eq!(wait(&slot).await, PENDING);
    }
}
