//! A host's place for one launch.
//!
//! Sunshine has one pending session per host, from the answer to `/launch` or `/resume` until the control connection
//! stands; a second one meanwhile is refused or silently lost, and a failed one cannot be cleared from outside: it expires
//! (session 11 and 23.3).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::task;

/// Shared by all who launch at one host, behind a lock that is held while launching.
#[derive(Default)]
pub(crate) struct LaunchSlot {
    /// A launch that came to nothing may be pending until then.
    taken_until: Option<Instant>,
    /// Who gives the host's slot to processes, in all but the one that gives it.
    elsewhere: Option<Arc<dyn LaunchTurns>>,
}

/// Gives a host's slot to this process among others. Asked by one launch at a time.
#[async_trait]
pub(crate) trait LaunchTurns: Send + Sync {
    /// Waits for this process' turn. Cancel safe.
    async fn turn(&self);

    /// The turn that this process has is over. The host may keep what it was asked for as pending for so long.
    fn over(&self, pending: Duration);
}

impl LaunchSlot {
    /// Of a host to which other processes launch too.
    pub(crate) fn elsewhere(turns: Arc<dyn LaunchTurns>) -> Self {
        Self { elsewhere: Some(turns), ..Self::default() }
    }
}

impl fmt::Debug for LaunchSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchSlot")
            .field("taken_until", &self.taken_until)
            .field("elsewhere", &self.elsewhere.is_some())
            .finish()
    }
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
        if let Some(turns) = &slot.elsewhere {
            turns.turn().await;
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

    /// Another process had this turn, and says for how long from `now` the host may keep what it asked for; never for longer
    /// than hosts do.
    pub(crate) fn over(mut self, now: Instant, pending: Duration) {
        self.unanswered = false;
        self.slot.taken_until = Some(now + pending.min(PENDING));
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        let now = task::now();
        if self.unanswered {
            self.slot.taken_until = Some(now + PENDING);
        }
        if let Some(turns) = &self.slot.elsewhere {
            let until = self.slot.taken_until;
            turns.over(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)));
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

    /// Tells what it was told.
    struct Turns(std::sync::Mutex<Vec<Duration>>, tokio::sync::Semaphore);

    #[async_trait]
    impl LaunchTurns for Turns {
        async fn turn(&self) {
            self.1.acquire().await.unwrap().forget();
        }

        fn over(&self, pending: Duration) {
            self.0.lock().unwrap().push(pending);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_another_process_gives_is_waited_for_and_given_back_with_what_may_be_pending() {
        let turns = Arc::new(Turns(std::sync::Mutex::default(), tokio::sync::Semaphore::new(0)));
        let slot = Arc::new(Mutex::new(LaunchSlot::elsewhere(turns.clone())));
        let mut waiting = Box::pin(Launching::begin(slot.clone()));
        assert!(poll!(&mut waiting).is_pending());
        turns.1.add_permits(1);
        let mut launching = waiting.await;
        launching.asked();
        launching.answered(task::now(), true);
        launching.connected();
        assert_eq!(*turns.0.lock().unwrap(), [Duration::ZERO]);

        turns.1.add_permits(1);
        let mut launching = Launching::begin(slot.clone()).await;
        launching.asked();
        launching.answered(task::now(), true);
        task::at(Some(task::now() + MOMENT)).await;
        drop(launching);
        assert_eq!(turns.0.lock().unwrap()[1..], [PENDING - MOMENT]);

        // Nobody has a turn that it did not wait to the end for.
        task::at(Some(task::now() + PENDING)).await;
        let mut gone = Box::pin(Launching::begin(slot));
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        assert_eq!(turns.0.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_another_process_had_keeps_the_slot_for_as_long_as_it_says_and_no_longer_than_hosts_do()
     {
        let slot = slot();
        for (pending, waited) in
            [(Duration::ZERO, Duration::ZERO), (3 * MOMENT, 3 * MOMENT), (Duration::MAX, PENDING)]
        {
            Launching::begin(slot.clone()).await.over(task::now(), pending);
            assert_eq!(wait(&slot).await, waited);
        }
        // It died in its turn.
        let mut launching = Launching::begin(slot.clone()).await;
        launching.asked();
        drop(launching);
        assert_eq!(wait(&slot).await, PENDING);
    }
}
