//! Whether the machine keeps up with what runs in real time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::AbortOnDrop;

/// How well the machine keeps up. One that stands still for long makes good viewers silent and loses their packets: then
/// they may miss pictures, as they should.
pub(crate) struct Machine {
    worst: Arc<Mutex<Duration>>,
    _watch: AbortOnDrop,
}

impl Machine {
    #[expect(clippy::disallowed_methods, reason = "a machine runs in real time")]
    pub(crate) fn watch() -> Self {
        let worst = Arc::new(Mutex::new(Duration::ZERO));
        let seen = worst.clone();
        let watch = async move {
            loop {
                let before = Instant::now();
                sleep(TICK).await;
                let late = before.elapsed() - TICK;
                let mut worst = seen.lock().expect("no holder of this lock panics");
                *worst = late.max(*worst);
            }
        };
        Self { worst, _watch: AbortOnDrop::spawn(watch) }
    }

    /// By how much a task was woken too late at worst.
    pub(crate) fn lag(&self) -> Duration {
        *self.worst.lock().expect("no holder of this lock panics")
    }

    /// Whether viewers may be expected to lose nothing; says so if not.
    pub(crate) fn kept_up(&self) -> bool {
        let worst = self.lag();
        if worst > STOOD_STILL {
            eprintln!("the machine stood still for {worst:?}: less is asserted");
        }
        worst <= STOOD_STILL
    }
}

const TICK: Duration = Duration::from_millis(20);
const STOOD_STILL: Duration = Duration::from_secs(1);
