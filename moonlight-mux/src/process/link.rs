//! One end of the control socket between a server and a streamer's process.
//!
//! Messages out go through a queue that a task of the link's writes from; messages in are read by whoever calls
//! [`Receiver::recv`], so that a side that does not keep up holds up the other side's queue and nothing else. What cannot be
//! read is counted and skipped.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::frames::{self, MAX_MESSAGE};
use super::message::{self, FromChild, Malformed, ToChild};
use crate::task::{self, Task};

/// Messages that wait to be written, of those whose senders can wait ([`Sender::send`]): full, they do. As many again may wait
/// of those whose senders cannot ([`Sender::tell`]): full, a message is dropped and counted. Beside both there is one of each
/// kind of which only the newest counts.
const OUTGOING: usize = 256;
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
        let shared = Shared {
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(OUTGOING)),
            filled: Notify::new(),
            over: Notify::new(),
        };
        let sender = Sender { shared: Arc::new(shared) };
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

/// The other side takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control connection is closed")]
pub(crate) struct Closed;

/// Puts messages into a link. Clones are handles to the same.
pub(crate) struct Sender<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Sender<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    room: Arc<Semaphore>,
    filled: Notify,
    /// Told to all who wait for it.
    over: Notify,
}

struct Queue<S> {
    items: VecDeque<Item<S>>,
    /// How many of `items` came by [`Sender::tell`] and are of no kind.
    told: usize,
    dropped: u64,
    end: End,
}

impl<S> Default for Queue<S> {
    fn default() -> Self {
        Self { items: VecDeque::new(), told: 0, dropped: 0, end: End::Open }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// When all is written.
    Wanted,
    Over,
}

struct Item<S> {
    what: What<S>,
    room: Option<OwnedSemaphorePermit>,
}

enum What<S> {
    Message(S),
    WithDescriptor(S, OwnedFd),
    /// Bytes as they are.
    #[cfg(any(test, feature = "bench-support"))]
    Raw(Vec<u8>),
}

impl<S: Outgoing> Sender<S> {
    /// Sends a message when there is room for it. Cancel safe: it was not sent then.
    pub(crate) async fn send(&self, message: S) -> Result<(), Closed> {
        self.put(What::Message(message)).await
    }

    /// The same with a descriptor that rides on it.
    pub(crate) async fn send_with(&self, message: S, descriptor: OwnedFd) -> Result<(), Closed> {
        self.put(What::WithDescriptor(message, descriptor)).await
    }

    /// Sends bytes that need be no frame.
    #[cfg(test)]
    pub(crate) async fn send_raw(&self, bytes: Vec<u8>) -> Result<(), Closed> {
        self.put(What::Raw(bytes)).await
    }

    /// Sends such bytes without waiting, however much waits.
    #[cfg(feature = "bench-support")]
    pub(crate) fn tell_raw(&self, bytes: Vec<u8>) {
        let mut queue = self.shared.lock();
        if queue.end == End::Open {
            queue.items.push_back(Item { what: What::Raw(bytes), room: None });
        }
        drop(queue);
        self.shared.filled.notify_one();
    }

    async fn put(&self, what: What<S>) -> Result<(), Closed> {
        let room = self.shared.room.clone().acquire_owned().await.map_err(|_| Closed)?;
        let mut queue = self.shared.lock();
        if queue.end != End::Open {
            return Err(Closed);
        }
        queue.items.push_back(Item { what, room: Some(room) });
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Sends a message without waiting. One of whose kind only the newest counts takes the place of its elder; any other is
    /// dropped, and counted, when too many wait.
    pub(crate) fn tell(&self, message: S) {
        let mut queue = self.shared.lock();
        if queue.end != End::Open {
            return;
        }
        match message.kind() {
            Some(kind) => {
                let older =
                    |item: &Item<S>| matches!(&item.what, What::Message(older) if older.kind() == Some(kind));
                if let Some(index) = queue.items.iter().position(older) {
                    queue.items.remove(index);
                }
            }
            None if queue.told >= OUTGOING => {
                queue.dropped += 1;
                if queue.dropped == 1 {
                    tracing::warn!("the other process does not read: a message was dropped");
                }
                return;
            }
            None => queue.told += 1,
        }
        queue.items.push_back(Item { what: What::Message(message), room: None });
        drop(queue);
        self.shared.filled.notify_one();
    }

    /// How many messages were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Takes no more messages, and ends the link when all that it has are written: the other side's input ends then.
    pub(crate) fn finish(&self) {
        let mut queue = self.shared.lock();
        if queue.end == End::Open {
            queue.end = End::Wanted;
        }
        drop(queue);
        self.shared.room.close();
        self.shared.filled.notify_one();
    }

    /// Waits until the link takes no more messages and writes none. Cancel safe.
    #[cfg(test)]
    pub(crate) async fn closed(&self) {
        loop {
            let over = self.shared.over.notified();
            tokio::pin!(over);
            // From here on it is told.
            over.as_mut().enable();
            if self.shared.lock().end == End::Over {
                return;
            }
            over.await;
        }
    }

    /// The writer.
    async fn write(self, socket: Arc<UnixStream>) -> io::Result<()> {
        // Whoever aborts the writer ends the link too.
        let _over = Over(&self.shared);
        loop {
            let Some(Item { what, room }) = self.next().await else {
                shutdown(&socket, Shutdown::Write)?;
                return Ok(());
            };
            // There is room again before this is written: it waits no longer.
            drop(room);
            match what {
                What::Message(message) => {
                    if let Some(bytes) = framed(&message) {
                        write_all(&socket, &bytes).await?;
                    }
                }
                What::WithDescriptor(message, descriptor) => {
                    if let Some(bytes) = framed(&message) {
                        let sent = write_with(&socket, &bytes, &descriptor).await?;
                        write_all(&socket, &bytes[sent..]).await?;
                    }
                }
                #[cfg(any(test, feature = "bench-support"))]
                What::Raw(bytes) => write_all(&socket, &bytes).await?,
            }
        }
    }

    /// What is to be written next; `None` when that was all.
    async fn next(&self) -> Option<Item<S>> {
        loop {
            {
                let mut queue = self.shared.lock();
                if let Some(item) = queue.items.pop_front() {
                    let told = matches!(&item.what, What::Message(message) if message.kind().is_none());
                    if told && item.room.is_none() {
                        queue.told -= 1;
                    }
                    return Some(item);
                }
                if queue.end != End::Open {
                    return None;
                }
            }
            self.shared.filled.notified().await;
        }
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

/// Says that the link is over, when dropped.
struct Over<'a, S>(&'a Shared<S>);

impl<S> Drop for Over<'_, S> {
    fn drop(&mut self) {
        let items = {
            let mut queue = self.0.lock();
            queue.end = End::Over;
            std::mem::take(&mut queue.items)
        };
        // Without the lock: a message may own anything.
        drop(items);
        self.0.room.close();
        self.0.over.notify_waiters();
    }
}

/// `None` if it is too long, which the other side would skip.
fn framed(message: &impl Outgoing) -> Option<Vec<u8>> {
    let frame = frames::encode(&message.encode(), MAX_MESSAGE);
    if frame.is_none() {
        tracing::warn!("a message is too long for the other process: left out");
    }
    frame
}

async fn write_all(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes the first of `bytes`, which are not none, with a descriptor on them. Gives how many.
async fn write_with(socket: &UnixStream, bytes: &[u8], descriptor: &OwnedFd) -> io::Result<usize> {
    loop {
        socket.writable().await?;
        let sent = socket.try_io(Interest::WRITABLE, || {
            let descriptors = [descriptor.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
        });
        match sent {
            Err(error) if is_passing(&error) => {}
            sent => return sent,
        }
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
