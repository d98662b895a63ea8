//! What a streamer's process takes of its machine, as far as it can see to that itself.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getpriority_process, setpriority_process, setrlimit};

use crate::process::Limits;

/// What the system does not agree to is said and left.
pub(super) fn apply(limits: &Limits) {
    #[cfg(target_os = "linux")]
    if let Some(memory) = limits.memory {
        let bytes = data(memory);
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        if let Err(error) = setrlimit(Resource::Data, limit) {
            tracing::warn!(%error, bytes, "the memory that it may ask for cannot be limited");
        }
    }
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

/// The most memory that it may ask for (`RLIMIT_DATA`: what is private and can be written to, whether or not it ever is), where
/// so much may be resident. The server looks at that each second; this ends what takes gigabytes within one, and nothing
/// that keeps to its limit should meet it.
#[cfg(target_os = "linux")]
fn data(memory: u64) -> u64 {
    memory.saturating_mul(2).saturating_add(RESERVE)
}

/// Stacks of threads, of which hardly anything is touched, are asked for at 2 MiB each.
#[cfg(target_os = "linux")]
const RESERVE: u64 = 64 * 1024 * 1024;

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
