//! The tasks that send to the viewers on the direct path: each serves many, and a frame wakes it once for all of them.
//!
//! A viewer has a seat at one shard. What is to be done for it is a [`Work`], a state machine that never waits. It has a turn
//! when its stream has [`News`], when it is due, and when somebody who has something for it alone rings its bell. It is taken
//! from its seat when it ends, when it panics, and by its owner who leaves.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::broadcast::News;
use crate::peer::LeaveReason;
use crate::task::{self, Alarm, Bell, Listener, Task};

/// Viewers of a shard before another one is used: waking a second thread for a few costs more than serving them.
const FULL: usize = 64;

/// After so long other tasks of the thread go first: some 32 turns at 20 Mbit/s.
const SLICE: Duration = Duration::from_micros(500);

/// What a shard does for one viewer. Dropped when it has ended.
pub(super) trait Work: Send {
    /// Does all that there is to do now, without waiting for anything. `noted`: whether a [note](Bell::note) was left since
    /// the last turn.
    fn turn(&mut self, now: Instant, noted: bool) -> Turn;
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next is due at this time; with news and at a ring before. A time that is past: behind the others.
    Until(Option<Instant>),
    /// There is none.
    Ended(End),
}

/// Why there is nothing more to do for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It leaves for this reason.
    Leaves(LeaveReason),
    /// The stream is over.
    StreamOver,
}

/// All of a process's shards. They end when this is dropped.
pub(super) struct Shards(Vec<Shard>);

struct Shard {
    shared: Arc<Shared>,
    _task: Task<()>,
}

#[derive(Default)]
struct Shared {
    listener: Listener,
    /// Viewers that the shard has not seen yet: no more than there are.
    arrivals: Mutex<Vec<Arc<Seat>>>,
    /// Places that were given.
    places: AtomicUsize,
}

/// Where one viewer is served.
struct Seat {
    bell: Arc<Bell>,
    news: Arc<News>,
    /// `None` when it has left.
    occupant: Mutex<Option<Occupant>>,
}

struct Occupant {
    work: Box<dyn Work>,
    ends: oneshot::Sender<End>,
}

impl Shards {
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(count: NonZeroUsize) -> Self {
        let shard = || {
            let shared = Arc::<Shared>::default();
            Shard { shared: shared.clone(), _task: task::spawn(serve(shared)) }
        };
        Self((0..count.get()).map(|_| shard()).collect())
    }

    /// A place for one more viewer: with the fewest others among the shards that are in use, one of which more is used for
    /// each [`FULL`] viewers.
    pub(super) fn place(&self) -> Place {
        let places = |shard: &Shard| shard.shared.places.load(Relaxed);
        let viewers: usize = self.0.iter().map(places).sum();
        let used = self.0.iter().take(viewers / FULL + 1);
        let least = used.min_by_key(|shard| places(shard)).expect("there is at least one");
        let shard = least.shared.clone();
        shard.places.fetch_add(1, Relaxed);
        let bell = Arc::new(Bell::new(shard.listener.clone()));
        Place { shard, bell }
    }
}

/// A viewer's place at a shard, which counts while it is there.
pub(super) struct Place {
    shard: Arc<Shared>,
    bell: Arc<Bell>,
}

impl Place {
    /// What rings for the viewer's next turn.
    pub(super) fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    /// Who is to be told of news.
    pub(super) fn listener(&self) -> &Listener {
        &self.shard.listener
    }

    /// Serves the viewer until there is nothing more to do for it, or until this is dropped; then `work` is gone. `news`: of its
    /// stream, for the [`listener`](Self::listener).
    pub(super) async fn run(self, work: Box<dyn Work>, news: Arc<News>) -> End {
        let (ends, ended) = oneshot::channel();
        let occupant = Mutex::new(Some(Occupant { work, ends }));
        let seat = Arc::new(Seat { bell: self.bell.clone(), news, occupant });
        let _leaves = Leaves(seat.clone());
        self.shard.arrivals().push(seat);
        self.bell.ring();
        // The shard is gone only with the process's WebRTC side.
        ended.await.unwrap_or(End::Leaves(LeaveReason::Internal))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shard.places.fetch_sub(1, Relaxed);
    }
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.arrivals.lock().expect("no holder of this lock panics")
    }
}

/// Takes the viewer from its seat when it is dropped.
struct Leaves(Arc<Seat>);

impl Drop for Leaves {
    fn drop(&mut self) {
        let occupant = self.0.occupant().take();
        drop(occupant);
        // The seat is removed.
        self.0.bell.ring();
    }
}

impl Seat {
    fn occupant(&self) -> MutexGuard<'_, Option<Occupant>> {
        self.occupant.lock().expect("no holder of this lock panics")
    }

    /// When the next turn is due; `None` when nobody sits here any more.
    fn turn(&self, now: Instant) -> Option<Option<Instant>> {
        let noted = self.bell.answer();
        let mut seated = self.occupant();
        let work = &mut seated.as_mut()?.work;
        // One viewer's fault is not the others'.
        let end = match catch_unwind(AssertUnwindSafe(|| work.turn(now, noted))) {
            Ok(Turn::Until(due)) => return Some(due),
            Ok(Turn::Ended(end)) => Some(end),
            Err(_) => None,
        };
        let Occupant { work, ends } = seated.take()?;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        // Whoever leaves meanwhile waits until `work` is gone; nothing that may panic comes before this.
        drop(seated);
        if dropped.is_err() {
            tracing::error!("what served a viewer panicked when it was dropped");
        }
        let end = end.unwrap_or_else(|| {
            tracing::error!("serving a viewer panicked: it leaves");
            End::Leaves(LeaveReason::Internal)
        });
        // Its owner leaves by itself otherwise.
        let _ = ends.send(end);
        None
    }
}

/// A seat, and when its next turn is due.
struct Served {
    seat: Arc<Seat>,
    /// What was not there yet when it had its last turn is new; here beside `due`, so that who has none is not looked at.
    news: Arc<News>,
    seen: u64,
    due: Option<Instant>,
}

impl Served {
    fn new(seat: Arc<Seat>) -> Self {
        Self { news: seat.news.clone(), seen: seat.news.count(), due: None, seat }
    }

    fn has_something_to_do(&self, now: Instant) -> bool {
        self.news.count() != self.seen || self.due.is_some_and(|due| due <= now) || self.seat.bell.is_rung()
    }
}

impl Drop for Served {
    /// Nobody sits here any more; or the shard is gone, which its viewer hears of by its `ends`.
    fn drop(&mut self) {
        if let Ok(mut seated) = self.seat.occupant.lock() {
            drop(seated.take());
        }
    }
}

/// One shard's task.
async fn serve(shared: Arc<Shared>) {
    let (mut served, mut alarm) = (Vec::<Served>::new(), Alarm::new());
    loop {
        // Rings that keep coming must not keep others of this thread from theirs.
        tokio::task::consume_budget().await;
        let due = served.iter().filter_map(|served| served.due).min();
        if due.is_some_and(|due| due <= task::now()) {
            task::yield_now().await;
        } else {
            tokio::select! {
                () = shared.listener.rung() => {}
                () = alarm.at(due) => {}
            }
        }
        served.extend(shared.arrivals().drain(..).map(Served::new));
        walk(&mut served).await;
    }
}

/// Gives everyone a turn who has something to do.
async fn walk(all: &mut Vec<Served>) {
    let (mut now, mut at) = (task::now(), 0);
    let mut began = now;
    while let Some(served) = all.get_mut(at) {
        if served.has_something_to_do(now) {
            served.seen = served.news.count();
            match served.seat.turn(now) {
                Some(next) => served.due = next,
                None => {
                    all.swap_remove(at);
                    continue;
                }
            }
            now = task::now();
            if now.saturating_duration_since(began) >= SLICE {
                task::yield_now().await;
                now = task::now();
                began = now;
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
