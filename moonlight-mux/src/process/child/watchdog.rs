//! Ends the process when its server is gone, whatever else it does.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::task;

/// From the server's end to this process' at the latest. An orderly end has until 1.5 s.
const GRACE: Timespec = Timespec { tv_sec: 1, tv_nsec: 900_000_000 };

/// A thread of its own watches the control connection, so that no runtime that is stuck keeps it from that.
pub(super) fn begin(socket: &OwnedFd) -> io::Result<()> {
    let socket = socket.try_clone()?;
    task::spawn_thread("watchdog", move || {
        // Of no events: that the other end is gone is told anyway.
        while let Err(Errno::INTR) = poll(&mut [PollFd::new(&socket, PollFlags::empty())], None) {}
        // Time as an argument is not to be had here: a poll of nothing is a wait.
        let _ = poll(&mut [], Some(&GRACE));
        // Not exit: that may wait for what is stuck.
        let _ = kill_process(getpid(), Signal::KILL);
    })
}
