//! One end of the control socket between a server and a streamer's process.
//!
//! Messages out go through a queue that a task of the link's writes from; messages in are read by whoever calls
//! [`Receiver::recv`], so that a side that does not keep up holds up the other side's queue and nothing else. What cannot be
//! read is counted and skipped.

mod sender;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix;
use std::sync::Arc;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

pub(crate) use self::sender::Sender;
#[cfg(test)]
pub(crate) use self::sender::Taker;
use super::frames::{self, MAX_MESSAGE};
use super::message::{self, FromChild, Malformed, ToChild};
use crate::task::{self, Task};

/// What is read at once.
const READ: usize = 64 * 1024;
/// Descriptors that came in and whose message did not: beyond that the oldest is closed. Nobody sends two.
const DESCRIPTORS: usize = 2;

/// A message that goes out through a link.
pub(crate) trait Outgoing: Send + 'static {
    /// The payload of its frame.
    fn encode(&self) -> Vec<u8>;

    /// Which kind it is of, if a newer one of its kind makes it void while it waits.
    fn kind(&self) -> Option<u8>;
}

/// A message that comes in through a link.
pub(crate) trait Incoming: Sized + Send + 'static {
    /// The message of a frame with this payload.
    fn decode(payload: &[u8]) -> Result<Self, Malformed>;

    /// Whether a descriptor rides on it.
    fn has_descriptor(&self) -> bool;
}

/// A link's two halves and its task.
pub(crate) struct Link<S, R> {
    pub(crate) sender: Sender<S>,
    pub(crate) receiver: Receiver<R>,
    /// Ends when the other side takes no more, or behind [`Sender::finish`] when all is written.
    pub(crate) writer: Task<io::Result<()>>,
}

impl<S: Outgoing, R: Incoming> Link<S, R> {
    /// Makes a link of a connected stream socket.
    ///
    /// # Errors
    /// When it is no such socket.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn open(socket: OwnedFd) -> io::Result<Self> {
        let socket = unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UnixStream::from_std(socket)?);
        let sender = Sender::unconnected();
        let writer = task::spawn(sender.clone().write(socket.clone()));
        let receiver = Receiver {
            socket,
            decoder: frames::Decoder::new(MAX_MESSAGE),
            buffer: vec![0; READ].into(),
            descriptors: VecDeque::new(),
            counts: Counts::default(),
            message: std::marker::PhantomData,
        };
        Ok(Self { sender, receiver, writer })
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// What came in and was skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Frames whose payload is no message.
    pub(crate) malformed: u64,
    /// Messages of a kind that is not known here.
    pub(crate) unknown: u64,
    /// Frames that were too long.
    pub(crate) too_long: u64,
}

impl Counts {
    /// All of them.
    pub(crate) fn total(self) -> u64 {
        self.malformed + self.unknown + self.too_long
    }
}

/// Gets messages out of a link.
pub(crate) struct Receiver<R> {
    socket: Arc<UnixStream>,
    decoder: frames::Decoder,
    buffer: Box<[u8]>,
    descriptors: VecDeque<OwnedFd>,
    counts: Counts,
    message: std::marker::PhantomData<fn() -> R>,
}

/// A message, and what rode on it.
#[derive(Debug)]
pub(crate) struct Received<R> {
    pub(crate) message: R,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl<R: Incoming> Receiver<R> {
    /// The next message; `None` at the end of input, also when the socket failed. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Received<R>> {
        loop {
            if let Some(received) = self.decoded() {
                return Some(received);
            }
            match self.read().await {
                Ok(0) => return None,
                Ok(read) => self.decoder.push(&self.buffer[..read]),
                Err(error) => {
                    tracing::debug!(%error, "the control connection failed");
                    return None;
                }
            }
        }
    }

    /// What was skipped so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts { too_long: self.decoder.too_long(), ..self.counts }
    }

    /// A message of what was read.
    fn decoded(&mut self) -> Option<Received<R>> {
        while let Some(payload) = self.decoder.next() {
            match R::decode(&payload) {
                Ok(message) => {
                    let descriptor = message.has_descriptor().then(|| self.descriptors.pop_front()).flatten();
                    return Some(Received { message, descriptor });
                }
                Err(malformed) => self.skip(&malformed),
            }
        }
        None
    }

    fn skip(&mut self, malformed: &Malformed) {
        let before = self.counts.total();
        match malformed {
            Malformed::UnknownName => self.counts.unknown += 1,
            Malformed::Fields { .. } | Malformed::Form => self.counts.malformed += 1,
        }
        // One of these is worth a line; a million are not worth a million.
        if before == 0 {
            tracing::warn!(error = %malformed, "a message of the other process is skipped");
        } else {
            tracing::debug!(error = %malformed, "a message of the other process is skipped");
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        loop {
            self.socket.readable().await?;
            let (buffer, descriptors, socket) = (&mut self.buffer, &mut self.descriptors, &*self.socket);
            let read = socket.try_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let read =
                    recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                while descriptors.len() > DESCRIPTORS {
                    descriptors.pop_front();
                }
                Ok(read.bytes)
            });
            match read {
                Err(error) if is_passing(&error) => {}
                read => return read,
            }
        }
    }
}

impl Outgoing for ToChild {
    fn encode(&self) -> Vec<u8> {
        message::encode(self)
    }

    fn kind(&self) -> Option<u8> {
        match self {
            Self::Keyframe => Some(0),
            Self::SetInputMode { .. } => Some(1),
            _ => None,
        }
    }
}

impl Incoming for ToChild {
    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        message::decode(payload)
    }

    fn has_descriptor(&self) -> bool {
        matches!(self, Self::OpenMedia)
    }
}

impl Outgoing for FromChild {
    fn encode(&self) -> Vec<u8> {
        message::encode(self)
    }

    fn kind(&self) -> Option<u8> {
        match self {
            Self::State { .. } => Some(0),
            Self::Info { .. } => Some(1),
            Self::Input { .. } => Some(2),
            Self::Stats { .. } => Some(3),
            // There is never another: none of these may be dropped.
            Self::LaunchWanted => Some(4),
            Self::LaunchOver { .. } => Some(5),
            Self::Stopped { .. } => Some(6),
            _ => None,
        }
    }
}

impl Incoming for FromChild {
    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        message::decode(payload)
    }

    fn has_descriptor(&self) -> bool {
        false
    }
}
