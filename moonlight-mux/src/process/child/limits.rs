//! What a streamer's process takes of its machine, as far as it can see to that itself.

use std::{fs, io};

use rustix::process::{Pid, Resource, Rlimit, getpriority_process, setpriority_process, setrlimit};

use crate::process::Limits;
#[cfg(target_os = "linux")]
use crate::process::memory;

/// What the system does not agree to is said and left.
pub(super) fn apply(limits: &Limits) {
    #[cfg(target_os = "linux")]
    if let Some(memory) = limits.memory
        && let Err(error) = limit_memory(memory)
    {
        tracing::warn!(%error, memory, "the memory that it may ask for cannot be limited");
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

#[cfg(target_os = "linux")]
fn limit_memory(memory: u64) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mapped = memory::field(&status, "VmData").ok_or(io::ErrorKind::InvalidData)?;
    let bytes = data(memory, mapped);
    setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
    Ok(())
}

/// The most memory that it may have asked for (`RLIMIT_DATA`: what is private and can be written to, whether or not it ever is),
/// where so much may be resident and `mapped` was asked for before. The server looks at the former each second; this ends what
/// takes gigabytes within one, and nothing that keeps to its limit should meet it. Some allocators ask for gigabytes at their
/// beginning, and touch them later or never.
#[cfg(target_os = "linux")]
fn data(memory: u64, mapped: u64) -> u64 {
    memory.saturating_mul(2).saturating_add(RESERVE).saturating_add(mapped)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_is_no_part_of_what_may_be() {
        assert_eq!(data(1000, 0), 2000 + RESERVE);
        assert_eq!(data(1000, 1 << 40), 2000 + RESERVE + (1 << 40));
        assert_eq!(data(u64::MAX, 1), u64::MAX);
        assert_eq!(data(1, u64::MAX), u64::MAX);
    }
}
