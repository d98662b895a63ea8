//! How a streamer's process is run.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::webrtc::WebRtcConfig;

/// How a streamer's process is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// What is started. Default, `None`: this program itself, which must call
    /// [`run_child_if_asked`](crate::run_child_if_asked) first thing in its `main`.
    pub command: Option<ProcessCommand>,
    /// How browsers reach the process. Default: as [`WebRtcConfig`] has it, with a free UDP port.
    pub webrtc: WebRtcConfig,
    /// From which each process of this program gets a port of its own, instead of that of `webrtc.bind`, and given that is
    /// wanted of `webrtc.tcp`. A port that others have is left out. Default: none, `webrtc` says the port.
    pub udp_ports: Option<RangeInclusive<u16>>,
    /// What the process may take. Default: what this one may.
    pub limits: Limits,
    /// From the start of a process until it is ready to stream. Default 10 s.
    pub ready_timeout: Duration,
    /// After so long without a word from the process, which says something each second, the streamer is
    /// [`State::Stalled`](crate::State::Stalled). Default 3 s.
    pub silence_stalled: Duration,
    /// After so long without a word from it the process is killed. Default 10 s.
    pub silence_killed: Duration,
    /// What the process logs, as directives for its filter (`info,moonlight_mux=debug`). Default: what its environment says
    /// in `RUST_LOG`, else `info`. Its lines appear in this process's log, where they can be filtered once more.
    pub log: Option<String>,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            command: None,
            webrtc: WebRtcConfig::default(),
            udp_ports: None,
            limits: Limits::default(),
            ready_timeout: Duration::from_secs(10),
            silence_stalled: Duration::from_secs(3),
            silence_killed: Duration::from_secs(10),
            log: None,
        }
    }
}

/// A program that calls [`run_child_if_asked`](crate::run_child_if_asked) first thing in its `main`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessCommand {
    /// Which program, as a path.
    pub program: PathBuf,
    /// What its environment has more than this process's.
    pub envs: Vec<(OsString, OsString)>,
}

impl ProcessCommand {
    /// With this process's environment.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), envs: Vec::new() }
    }
}

/// What a streamer's process may take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// The most memory that may be resident, in bytes: with more the process is killed, and started again. Looked at once a
    /// second, on Linux alone. There it cannot get more than twice that and 64 MiB either, beyond what it had mapped when it was
    /// told its limits (`RLIMIT_DATA`): whoever asks for it ends. Default: any.
    pub memory: Option<u64>,
    /// The most files and sockets that it may have open (`RLIMIT_NOFILE`). Default: as this process.
    pub open_files: Option<u64>,
    /// How much it stands back for other processes, 0 to 19 more than this one does (`nice`). Default 0.
    pub nice: i32,
}
