//! The only place that spawns tasks or reads the clock, so that every task has an owner and tests own the time.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::future::{Future, pending};
use std::mem;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::Sleep;

/// A running task's owner: dropping it aborts the task, awaiting it gives its result. Cancel safe.
#[derive(Debug)]
#[must_use = "dropping the owner aborts the task"]
pub(crate) struct Task<T>(JoinHandle<T>);

/// Runs `future` on the current tokio runtime, owned by the returned handle.
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(future))
}

/// Runs `work` on tokio's threads for blocking work. Once begun it ends, though nobody may hear of it any more.
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    Task(tokio::task::spawn_blocking(work))
}

/// Runs `work` on a thread of its own, which nobody owns: for what must go on when no runtime does, until the process ends.
///
/// # Errors
/// When the system gives no thread.
#[cfg(unix)]
pub(crate) fn spawn_thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Runs `future`, which ends by itself when its owner cancels it: say at the call who that is.
///
/// # Panics
/// Outside a tokio runtime.
#[track_caller]
pub(crate) fn spawn_cancelled_by_owner(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

impl<T> Task<T> {
    /// Ends the task at its next wait. Awaiting it tells when it is gone.
    pub(crate) fn abort(&self) {
        self.0.abort();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Owns any number of tasks: dropping it aborts them.
#[derive(Debug)]
pub(crate) struct TaskSet<T>(JoinSet<T>);

impl<T: Send + 'static> TaskSet<T> {
    pub(crate) fn new() -> Self {
        Self(JoinSet::new())
    }

    /// Runs `future` and gives the name under which [`Self::join_next`] tells of its end.
    #[track_caller]
    pub(crate) fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) -> Id {
        self.0.spawn(future).id()
    }

    /// The next task that ended; `None` when there is none left. Cancel safe.
    pub(crate) async fn join_next(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        match self.0.join_next_with_id().await? {
            Ok((id, value)) => Some((id, Ok(value))),
            Err(error) => Some((error.id(), Err(error))),
        }
    }

    /// Aborts all tasks and waits until they are gone.
    #[cfg_attr(not(feature = "test-host"), allow(dead_code, reason = "only the test host stops so"))]
    pub(crate) async fn shutdown(&mut self) {
        self.0.shutdown().await;
    }
}

/// Something that does its work piece by piece on tokio's threads for blocking work, at most one piece at a time.
///
/// A piece that has begun cannot be interrupted: keep it short. When its owner is dropped it still ends, unheard.
#[cfg_attr(not(feature = "test-picture"), allow(dead_code, reason = "only the test picture has such work"))]
#[derive(Debug)]
pub(crate) enum Worker<W, T> {
    Idle(Box<W>),
    Busy(Task<(Box<W>, T)>),
    /// A piece panicked; or the worker is in the caller's hands.
    Gone,
}

#[cfg_attr(not(feature = "test-picture"), allow(dead_code, reason = "only the test picture has such work"))]
impl<W: Send + 'static, T: Send + 'static> Worker<W, T> {
    pub(crate) fn new(worker: W) -> Self {
        Self::Idle(Box::new(worker))
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle(_))
    }

    /// Begins a piece of work. Only when idle.
    #[track_caller]
    pub(crate) fn start(&mut self, work: impl FnOnce(&mut W) -> T + Send + 'static) {
        let Self::Idle(mut worker) = mem::replace(self, Self::Gone) else {
            unreachable!("a worker that is not idle is given no work")
        };
        *self = Self::Busy(Task(tokio::task::spawn_blocking(move || {
            let result = work(&mut worker);
            (worker, result)
        })));
    }

    /// What the piece of work under way gives; waits for ever if there is none. Cancel safe.
    ///
    /// # Panics
    /// When the work panicked.
    pub(crate) async fn finished(&mut self) -> T {
        let Self::Busy(task) = self else { return pending().await };
        match task.await {
            Ok((worker, result)) => {
                *self = Self::Idle(worker);
                result
            }
            Err(error) => {
                *self = Self::Gone;
                match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    // The runtime is shutting down, and drops who waits here.
                    Err(_) => pending().await,
                }
            }
        }
    }

    /// Waits until nothing is under way.
    ///
    /// # Panics
    /// When the work panicked.
    pub(crate) async fn stop(mut self) {
        if matches!(self, Self::Busy(_)) {
            self.finished().await;
        }
    }
}

/// Now, on the clock that tokio's paused tests own.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `deadline`; for ever if there is none. Cancel safe.
pub(crate) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

/// A timer for a deadline that is asked for again and again, and seldom changes: that costs nothing, where each [`at`] makes a
/// timer of its own.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Never set later than the deadline.
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { timer: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    /// Waits until `deadline`; for ever if there is none. Cancel safe.
    pub(crate) async fn at(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else { return pending().await };
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            self.timer.as_mut().await;
            if self.timer.deadline() >= deadline {
                return;
            }
            // It was set for an earlier one.
            self.timer.as_mut().reset(deadline);
        }
    }
}

/// What `future` gives without waiting, if it does; it is dropped.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Lets all other tasks that are ready go first.
pub(crate) async fn yield_now() {
    tokio::task::yield_now().await;
}

/// One task that listens to many bells. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listener(Arc<Notify>);

impl Listener {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until a bell is rung, or it is woken otherwise. What nobody waited for counts as one. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// Says to a listener for whom there is something to do, and leaves notes for whom it may wait.
#[derive(Debug)]
pub(crate) struct Bell {
    /// [`RUNG`] and [`NOTED`].
    state: AtomicU8,
    listener: Listener,
}

const RUNG: u8 = 1;
const NOTED: u8 = 2;

impl Bell {
    pub(crate) fn new(listener: Listener) -> Self {
        Self { state: AtomicU8::new(0), listener }
    }

    /// Wakes the listener.
    pub(crate) fn ring(&self) {
        self.state.fetch_or(RUNG, Release);
        self.listener.wake();
    }

    /// Leaves a note, which the listener finds when it comes for another reason.
    pub(crate) fn note(&self) {
        self.state.fetch_or(NOTED, Release);
    }

    /// Whether it was rung since it was last answered.
    pub(crate) fn is_rung(&self) -> bool {
        self.state.load(Relaxed) & RUNG != 0
    }

    /// The listener has come; gives whether a note was left since it came last.
    pub(crate) fn answer(&self) -> bool {
        // Seldom is there anything, and a load is the cheaper part.
        self.state.load(Relaxed) != 0 && self.state.swap(0, AcqRel) & NOTED != 0
    }
}

/// The time of day, to show to people.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_that_something_rang_and_which_bells_they_were() {
        let (listener, other) = (Listener::default(), Listener::default());
        let [first, second, third] =
            [&listener, &listener, &other].map(|listener| Bell::new(listener.clone()));
        first.ring();
        second.ring();
        assert!(listener.rung().now_or_never().is_some());
        assert!(listener.rung().now_or_never().is_none(), "once");
        assert!(other.rung().now_or_never().is_none() && !third.is_rung());
        assert!(first.is_rung() && second.is_rung() && !first.answer() && !first.is_rung());
        assert!(listener.is(&first.listener) && !listener.is(&other));
    }

    #[tokio::test]
    async fn a_note_wakes_nobody_and_is_found_with_the_next_answer() {
        let listener = Listener::default();
        let bell = Bell::new(listener.clone());
        bell.note();
        assert!(listener.rung().now_or_never().is_none() && !bell.is_rung());
        bell.ring();
        assert!(bell.is_rung() && bell.answer());
        assert!(!bell.is_rung() && !bell.answer(), "once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_its_deadline_whether_that_comes_nearer_or_goes_further() {
        let (start, mut alarm) = (now(), Alarm::new());
        let ms = |ms| Some(start + Duration::from_millis(ms));
        let mut rings = Vec::new();
        for deadline in [5, 20, 20, 30, 0, 31] {
            alarm.at(ms(deadline)).await;
            rings.push((now() - start).as_millis());
        }
        assert_eq!(rings, [5, 20, 20, 30, 30, 31]);

        // Dropped, and then asked for something nearer and something further.
        for (dropped, then) in [(100, 50), (60, 80)] {
            let waits = tokio::time::timeout(Duration::from_millis(1), alarm.at(ms(dropped)));
            assert!(waits.await.is_err());
            alarm.at(ms(then)).await;
            assert_eq!(now() - start, Duration::from_millis(then));
        }
        let never = tokio::time::timeout(Duration::from_secs(1000), alarm.at(None));
        assert!(never.await.is_err());
    }
}
