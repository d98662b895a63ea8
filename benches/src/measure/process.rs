//! What a process and its machine have spent and hold, by Linux's own account.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::task;

/// The processor time of a process, user and system, of all its threads.
///
/// What the kernel does for it in its own context is in it: over loopback that is the receiving side's way into the
/// receiver's socket too.
#[derive(Clone, Copy, Debug)]
pub struct ProcessClock(ClockId);

impl ProcessClock {
    /// Of this process.
    #[must_use]
    pub fn of_this() -> Self {
        Self(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    /// Of another one.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self(clock_getcpuclockid(Pid::from_raw(pid))?))
    }

    /// What it has spent so far, to the nanosecond.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn spent(self) -> io::Result<Duration> {
        Ok(self.0.now()?.into())
    }
}

/// Counts what a while costs this process.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    cpu: Duration,
    start: Instant,
}

/// What a while has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Processor time of this process, all of it.
    pub cpu: Duration,
    /// How long it took.
    pub elapsed: Duration,
}

impl Stopwatch {
    /// From now on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn start() -> io::Result<Self> {
        Ok(Self { start: task::now(), cpu: ProcessClock::of_this().spent()? })
    }

    /// Up to now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn spent(self) -> io::Result<Spent> {
        let cpu = ProcessClock::of_this().spent()?.saturating_sub(self.cpu);
        Ok(Spent { cpu, elapsed: task::now() - self.start })
    }
}

/// The bytes of this process that are in memory (`VmRSS`).
///
/// # Errors
/// On a system without `/proc`.
pub fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.ok_or(io::ErrorKind::InvalidData)? * 1024)
}

/// How many processes wanted to run over the last minute.
///
/// # Errors
/// On a system without `/proc`.
pub fn load_average() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    Ok(first.ok_or(io::ErrorKind::InvalidData)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time_and_memory() {
        let clock = ProcessClock::of_this();
        let (spent, held) = (clock.spent().unwrap(), resident().unwrap());
        let worked = vec![1u8; 64 << 20];
        assert_eq!(worked.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 64 << 20);
        assert!(clock.spent().unwrap() > spent);
        assert!(resident().unwrap() > held + (32 << 20));
        assert!(load_average().unwrap() >= 0.0);
        let other = ProcessClock::of(std::process::id()).unwrap();
        assert!(other.spent().unwrap() >= spent);
    }
}
