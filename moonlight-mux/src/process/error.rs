//! Why a streamer's process is gone.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What became of a streamer's process; the cause of a [`SourceError`](crate::SourceError), to downcast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started.
    #[error("the streamer's process {} cannot be started: {source}", program.display())]
    Spawn {
        /// Which program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Each of the ports that there are for it belongs to somebody else.
    #[error("no UDP port is free for the streamer's process")]
    NoPort,
    /// It was not ready to stream in time, and was killed; or said that it cannot be.
    #[error("the streamer's process is not ready to stream: {reason}")]
    NotReady {
        /// What it said, or for how long it said nothing.
        reason: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It ended by itself, or others killed it.
    #[error("the streamer's process ended with {exit}")]
    Exited {
        /// How.
        exit: ProcessExit,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It said nothing any more, and was killed.
    #[error("the streamer's process said nothing for {silent:?}, and was killed")]
    Silent {
        /// For how long.
        silent: Duration,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It took more memory than it may, and was killed.
    #[error("the streamer's process took {resident} bytes of memory, {limit} are allowed, and was killed")]
    OverMemory {
        /// How much was resident, in bytes.
        resident: u64,
        /// How much may be, in bytes.
        limit: u64,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It asked for much more memory than it may have, all at once, did not get it, and ended.
    #[error(
        "the streamer's process asked for much more memory than the {limit} bytes that are allowed, and ended"
    )]
    OutOfMemory {
        /// How much may be resident, in bytes.
        limit: u64,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// It is another version of this library, with other messages. Permanent.
    #[error(
        "the streamer's process speaks version {theirs} of the messages between the two, this one {ours}"
    )]
    Version {
        /// This process's.
        ours: u32,
        /// The other's.
        theirs: u32,
    },
}

impl ProcessError {
    /// The last lines of the process's log, at most 20; none where there was no process.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::NotReady { log, .. }
            | Self::Exited { log, .. }
            | Self::Silent { log, .. }
            | Self::OverMemory { log, .. }
            | Self::OutOfMemory { log, .. } => log,
            Self::Spawn { .. } | Self::NoPort | Self::Version { .. } => &[],
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessExit {
    /// By itself, with this code: 101 after a panic.
    Code(i32),
    /// By this signal: 11 is a segmentation fault, 9 a kill.
    Signal(i32),
    /// The system does not say.
    Unknown,
}

impl From<std::process::ExitStatus> for ProcessExit {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for ProcessExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("an unknown status"),
        }
    }
}
