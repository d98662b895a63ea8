//! Between a process's control socket and its server: what passes is cut, or put together, as a stream socket may do it.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// How bytes are passed on.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    /// Each by itself, once the other side had the time to read the one before.
    Bytes,
    /// All of half a second at once.
    Together,
}

/// Between two bytes.
const PACE: Duration = Duration::from_micros(50);
/// What is put together.
const GATHER: Duration = Duration::from_millis(500);

/// Takes the place of standard input, which the process takes for its server.
pub(crate) fn begin(cut: Cut) -> io::Result<()> {
    let outside = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (inside, own) = UnixStream::pair()?;
    nix::unistd::dup2_stdin(own)?;
    for (from, to) in [(inside.try_clone()?, outside.try_clone()?), (outside, inside)] {
        start(move || {
            let _ = pass(&from, &to, cut);
            // The end of one is the end of the other.
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it ends with the process")]
fn start(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

fn pass(from: &UnixStream, mut to: &UnixStream, cut: Cut) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let (mut count, mut descriptors) = receive(from, &mut buffer, MsgFlags::empty())?;
        if count == 0 {
            return Ok(());
        }
        if let Cut::Together = cut {
            super::rest(GATHER);
            while let Ok((more, with)) = receive(from, &mut buffer[count..], MsgFlags::MSG_DONTWAIT)
                && more > 0
            {
                count += more;
                descriptors.extend(with);
            }
        }
        let sent = send(to, &buffer[..if let Cut::Bytes = cut { 1 } else { count }], &descriptors)?;
        match cut {
            Cut::Bytes => {
                for byte in &buffer[sent..count] {
                    super::rest(PACE);
                    to.write_all(std::slice::from_ref(byte))?;
                }
            }
            Cut::Together => to.write_all(&buffer[sent..count])?,
        }
    }
}

fn receive(from: &UnixStream, buffer: &mut [u8], flags: MsgFlags) -> io::Result<(usize, Vec<RawFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let descriptors = received.cmsgs()?.filter_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors = descriptors.flatten().collect();
    Ok((received.bytes, descriptors))
}

/// With the descriptors, which are not this side's any more.
fn send(to: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let sent = sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::empty(), None)?;
    for &descriptor in descriptors {
        nix::unistd::close(descriptor)?;
    }
    Ok(sent)
}
