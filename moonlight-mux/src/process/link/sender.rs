//! The half of a link that messages go out through: their queue, and its writer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{Outgoing, is_passing};
use crate::process::frames::{self, MAX_MESSAGE};

/// Messages that wait to be written, of those whose senders can wait ([`Sender::send`]): full, they do, and offers
/// ([`Sender::offer`]) are refused. As many again may wait of those whose senders cannot ([`Sender::tell`]): full, a message is
/// dropped and counted. Beside both there is one of each kind of which only the newest counts.
pub(super) const OUTGOING: usize = 256;

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

    /// Sends a message, and what rides on it, if there is room at once. False if there is none.
    pub(crate) fn offer(&self, message: S, descriptor: Option<OwnedFd>) -> bool {
        let what = match descriptor {
            Some(descriptor) => What::WithDescriptor(message, descriptor),
            None => What::Message(message),
        };
        let room = self.shared.room.clone().try_acquire_owned();
        room.is_ok_and(|room| self.put_into(room, what).is_ok())
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
        self.put_into(room, what)
    }

    fn put_into(&self, room: OwnedSemaphorePermit, what: What<S>) -> Result<(), Closed> {
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

    /// One that nothing is written from before [`Self::write`] is run.
    pub(super) fn unconnected() -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(OUTGOING)),
            filled: Notify::new(),
            over: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The writer.
    pub(super) async fn write(self, socket: Arc<UnixStream>) -> io::Result<()> {
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

/// What is sent, without a socket. The link is over when it is dropped.
#[cfg(test)]
pub(crate) struct Taker<S: Outgoing>(Sender<S>);

#[cfg(test)]
impl<S: Outgoing> Taker<S> {
    pub(crate) fn new() -> (Sender<S>, Self) {
        let sender = Sender::unconnected();
        (sender.clone(), Self(sender))
    }

    /// The next message; a descriptor on it is closed. Cancel safe.
    pub(crate) async fn recv(&self) -> S {
        match self.0.next().await.expect("nobody finishes it").what {
            What::Message(message) | What::WithDescriptor(message, _) => message,
            What::Raw(bytes) => panic!("{} bytes", bytes.len()),
        }
    }
}

#[cfg(test)]
impl<S: Outgoing> Drop for Taker<S> {
    fn drop(&mut self) {
        drop(Over(&self.0.shared));
    }
}
