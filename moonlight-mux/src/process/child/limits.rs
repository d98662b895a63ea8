//! What a streamer's process takes of its machine, as far as it can see to that itself.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getpriority_process, setpriority_process, setrlimit};

use crate::process::Limits;

/// Memory is the server's to look at. What the system does not agree to is said and left.
pub(super) fn apply(limits: &Limits) {
    if let Some(open_files) = limits.open_files {
        let limit = Rlimit { current: Some(open_files), maximum: Some(open_files) };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, open_files, "the number of open files cannot be limited");
        }
    }
    if limits.nice != 0
        && let Err(error) = stand_back(limits.nice)
    {
        tracing::warn!(%error, nice = limits.nice, "the priority cannot be changed");
    }
}

fn stand_back(more: i32) -> io::Result<()> {
    let nice = getpriority_process(None)?.saturating_add(more).clamp(-20, 19);
    setpriority_process(None, nice)?;
    // On Linux each thread has its own (setpriority(2)), and those of the runtime are there already. Others inherit it.
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Ok(()) };
    for thread in threads.flatten() {
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if id.is_some() {
            setpriority_process(id, nice)?;
        }
    }
    Ok(())
}
