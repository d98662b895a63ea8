//! Starts a streamer's process, and holds it until it is reaped.

mod conversation;
mod log;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tracing::Instrument;

use self::conversation::Conversation;
use self::log::{Tail, tell_log};
use super::link::Sender;
use super::message::{FromChild, ToChild};
use super::{ProcessCommand, ProcessConfig, ProcessError, ProcessExit, memory};
use crate::streamer::StreamerId;
use crate::task::{self, Task};

/// The first argument of a streamer's process. The second is the streamer's id, for people who look at processes.
pub(super) const ARGUMENT: &str = "moonlight-mux-streamer";

/// A process, and the conversation with it.
pub(super) struct Started {
    pub(super) pid: u32,
    /// What it is told: some seconds of everything that all viewers of a stream say.
    pub(super) outbox: Sender<ToChild>,
    /// What it says. Ends behind its last word.
    pub(super) words: mpsc::Receiver<FromChild>,
    pub(super) life: Box<dyn Life>,
}

/// A process's life. Dropping it kills the process.
#[async_trait]
pub(super) trait Life: Send {
    /// Waits until it has ended and is reaped. Cancel safe. Not to be called behind that.
    async fn ended(&mut self) -> End;

    /// Kills it; its end is awaited.
    fn kill(&mut self);

    /// How much memory it has, in bytes, if that can be found out.
    fn resident(&self) -> Option<u64>;

    /// Ends what is left of the conversation, and waits until it has.
    async fn close(self: Box<Self>);
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit: ProcessExit,
    /// The last lines of its log.
    pub(super) log: Vec<String>,
    /// It aborted, and said before that it did not get the memory that it asked for.
    pub(super) was_refused_memory: bool,
}

/// Starts processes. What tests put another one in the place of.
pub(super) trait Launcher: Send + Sync {
    /// Starts a process for this streamer.
    fn start(&self, id: &StreamerId, config: &ProcessConfig) -> Result<Started, ProcessError>;
}

/// Starts real ones.
pub(super) struct System;

impl Launcher for System {
    fn start(&self, id: &StreamerId, config: &ProcessConfig) -> Result<Started, ProcessError> {
        let program = program(config.command.as_ref());
        let failed = |source| ProcessError::Spawn { program: program.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .arg(ARGUMENT)
            .arg(id.as_str())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A stopped process whose parent died is woken and told so by the kernel, if it leads a group of its own.
            .process_group(0)
            .kill_on_drop(true);
        if let (None, Ok(name)) = (&config.command, std::env::current_exe()) {
            command.arg0(name);
        }
        if let Some(log) = &config.log {
            command.env("RUST_LOG", log);
        }
        if let Some(ProcessCommand { envs, .. }) = &config.command {
            command.envs(envs.iter().cloned());
        }
        let mut child = command.spawn().map_err(failed)?;
        // Of a process that was just started and nobody has waited for.
        let pid = child.id().unwrap_or_default();
        let tail = Tail::default();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let log = task::spawn(
            {
                let tail = tail.clone();
                async move { tokio::join!(tell_log(stdout, tail.clone()), tell_log(stderr, tail)) }
            }
            .instrument(tracing::Span::current()),
        );
        let (outbox, words, talking) = Conversation::begin(ours).map_err(failed)?;
        let life = Process { child, pid, tail, log: Some(log), log_until: None, talking };
        Ok(Started { pid, outbox, words, life: Box::new(life) })
    }
}

/// A real one.
struct Process {
    child: Child,
    pid: u32,
    tail: Tail,
    /// Until it has told all.
    log: Option<Task<((), ())>>,
    /// From its end on: when no more of it is waited for.
    log_until: Option<Instant>,
    talking: Conversation,
}

/// On every Unix that there is.
const SIGABRT: i32 = 6;
/// The log's last lines may still be on their way when the process has ended; or somebody else holds its end of them.
const LOG_GRACE: Duration = Duration::from_secs(1);

#[async_trait]
impl Life for Process {
    async fn ended(&mut self) -> End {
        let exit = match self.child.wait().await {
            Ok(status) => status.into(),
            Err(error) => {
                tracing::error!(%error, pid = self.pid, "nobody knows how the process ended");
                ProcessExit::Unknown
            }
        };
        if let Some(log) = &mut self.log {
            // One for all calls: whoever waits may be called away again and again.
            let deadline = *self.log_until.get_or_insert_with(|| task::now() + LOG_GRACE);
            tokio::select! {
                biased;
                _ = log => {}
                () = task::at(Some(deadline)) => {}
            }
            self.log = None;
        }
        let was_refused_memory = exit == ProcessExit::Signal(SIGABRT) && self.tail.was_refused_memory();
        End { exit, log: self.tail.lines(), was_refused_memory }
    }

    fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.start_kill();
    }

    fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        memory::field(&status, "VmRSS")
    }

    async fn close(self: Box<Self>) {
        self.talking.close().await;
    }
}

/// What is to be started.
fn program(command: Option<&ProcessCommand>) -> PathBuf {
    match command {
        Some(command) => command.program.clone(),
        // This very program, though its file may have been replaced or deleted meanwhile.
        None if cfg!(target_os = "linux") => PathBuf::from("/proc/self/exe"),
        None => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("moonlight-mux")),
    }
}
