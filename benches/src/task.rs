//! The only place of this package that spawns tasks or reads the clock.

#![expect(clippy::disallowed_methods, reason = "this is the place")]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::{JoinError, JoinHandle};

/// A running task's owner: dropping it aborts the task, awaiting it gives its result.
#[derive(Debug)]
#[must_use = "dropping the owner aborts the task"]
pub(crate) struct Task<T>(JoinHandle<T>);

/// Runs `future` on the current tokio runtime, owned by the returned handle.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(future))
}

impl<T> Task<T> {
    /// Aborts the task; awaiting the owner tells when nothing of it is left.
    pub(crate) fn abort(&self) {
        self.0.abort();
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

/// Now, as str0m counts time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Rests this thread: for what has to be waited for where nothing can be awaited.
pub(crate) fn block_for(time: Duration) {
    std::thread::sleep(time);
}

/// Now, since 1970: what the kernel stamps datagrams with, the same in all processes.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
