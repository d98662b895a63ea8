//! What this process holds, for tests that are alone in theirs.

use std::alloc::System;
use std::fmt;
use std::fs;
use std::time::Duration;

use cap::Cap;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// Counts what is allocated from Rust: exact, where the allocator keeps pages that are no longer in use.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// What has to be the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    descriptors: usize,
    threads: usize,
    tasks: usize,
}

pub(crate) fn held() -> Held {
    let count = |folder| fs::read_dir(folder).expect("Linux").count();
    Held {
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        tasks: Handle::current().metrics().num_alive_tasks(),
    }
}

/// Waits until no more than that is held. What was aborted or closed goes within moments, tokio's threads for blocking
/// work after ten idle seconds.
pub(crate) async fn settle(wanted: Held) {
    let settled = timeout(Duration::from_secs(60), async {
        while held() != wanted {
            sleep(Duration::from_millis(20)).await;
        }
    });
    if settled.await.is_err() {
        assert_eq!(held(), wanted);
    }
}

/// What may not grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Bytes that are allocated and not freed.
    pub(crate) heap: usize,
    /// Bytes of the process in memory, with what the allocator keeps.
    pub(crate) resident: usize,
}

pub(crate) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    Memory { heap: HEAP.allocated(), resident: kilobytes * 1024 }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kB on the heap, {} kB resident", self.heap / 1000, self.resident / 1000)
    }
}
