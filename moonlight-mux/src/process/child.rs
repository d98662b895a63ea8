//! A streamer's process: an ordinary [`Streamer`](crate::Streamer) with its own ports, which does what the control connection
//! says.
//!
//! | exit code | why |
//! | --- | --- |
//! | 0 | the streamer was stopped, or its stream ended: [`Stopped`](super::message::FromChild::Stopped) said so |
//! | 1 | it could not begin: [`NotReady`](super::message::FromChild::NotReady) said why |
//! | 2 | it was not started by a server, or by one that speaks another version |
//! | 3 | the server is gone |
//! | 101 | a bug: something panicked |

mod launch;
mod limits;
mod log;
mod media;
mod peers;
mod session;
#[cfg(test)]
mod tests;
mod watchdog;

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "bench-support")]
pub use self::session::Fault;
use self::session::Session;
use super::link::Link;
use super::message::MoonlightInit;
use super::spawn::ARGUMENT;
use crate::gamestream::host::Turns;
use crate::source::VideoSource;

/// What the rest of the runtime may take to end: all that matters has ended before.
const RUNTIME_GRACE: Duration = Duration::from_millis(200);
/// Its viewers are sent to by few tasks at a time; a machine has many such processes.
const WORKERS: usize = 2;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Ended = 0,
    NotReady = 1,
    Protocol = 2,
    Orphaned = 3,
    Panicked = 101,
}

/// Makes a source of what is to be run.
type MakeSource = Box<dyn FnOnce(MoonlightInit, Turns) -> Arc<dyn VideoSource> + Send>;

/// First thing in `main`: if this process was started as a streamer's, runs it and never returns. Else returns at once.
///
/// Nothing may have been started before, no thread and no runtime, and standard input not be touched.
pub fn run_child_if_asked() {
    if is_asked() {
        exit(run(Session::default()));
    }
}

/// The same for tests, which want it to go wrong: `fault` is called some times a second from when it is ready.
#[cfg(feature = "bench-support")]
#[doc(hidden)]
pub fn run_faulty_child_if_asked(fault: impl FnMut(Fault<'_>) + Send + 'static) {
    if is_asked() {
        exit(run(Session::default().with_fault(fault)));
    }
}

fn is_asked() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

#[expect(clippy::exit, reason = "the process is no more than this")]
fn exit(exit: Exit) -> ! {
    std::process::exit(exit as i32)
}

fn run(session: Session) -> Exit {
    log::begin();
    let socket = match take_socket() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "this command is for servers: standard input is no control connection");
            return Exit::Protocol;
        }
    };
    if let Err(error) = watchdog::begin(&socket) {
        tracing::warn!(%error, "no watchdog: a server that dies may leave this process behind");
    }
    let runtime = runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::NotReady;
        }
    };
    let talk = async {
        if let Err(error) = ignore_signals() {
            tracing::warn!(%error, "signals to a whole group of processes end this one before its server says how");
        }
        match Link::open(socket) {
            Ok(link) => session.run(link, Box::new(moonlight)).await,
            Err(error) => {
                tracing::error!(%error, "no control connection");
                Exit::Protocol
            }
        }
    };
    // What panicked was logged when it did. Nothing of it is used again.
    let exit = catch_unwind(AssertUnwindSafe(|| runtime.block_on(talk))).unwrap_or(Exit::Panicked);
    runtime.shutdown_timeout(RUNTIME_GRACE);
    exit
}

fn moonlight(init: MoonlightInit, turns: Turns) -> Arc<dyn VideoSource> {
    Arc::new(init.into_source(turns))
}

/// A service manager tells all processes of a service to end at once. This one ends as its server says, or when that is gone.
/// SIGHUP still ends it: a stopped process whose server has died gets that from the kernel.
fn ignore_signals() -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        // Once listened for, a signal never does again what it did by default.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Takes the control connection from standard input, where nothing shall find it again.
fn take_socket() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_type(&socket)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(socket)
}
