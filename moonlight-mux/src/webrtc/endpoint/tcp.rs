//! One TCP port for all viewers of a process (ICE-TCP, passive: RFC 6544).
//!
//! A connection carries the datagrams that would come over UDP, framed. The crate does not see the difference: to it they
//! come from the connection's remote address to the UDP socket of the same interface, and what it sends to that address
//! leaves through the connection. The first frame must be a STUN request that names a peer; from then on the connection is
//! the peer's and ends with it.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{ERROR_PAUSE, MAX_DATAGRAM, Peer, Shared};
use crate::task::{self, TaskSet};
use crate::webrtc::framing::{self, Decoder};
use crate::webrtc::stun::{self, Kind};

/// From the connection to its first frame: a browser sends that at once, so this is for a bad network.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that have not named a peer. More: the oldest is closed, which a browser is not unless 64 others come within
/// its round trip.
const UNIDENTIFIED: usize = 64;
/// Connections of one peer: each of its interfaces to each of ours. More: the oldest is closed.
const CONNECTIONS_PER_PEER: usize = 16;
/// Bytes that wait for one viewer: a second of an 8 Mbit/s stream, or a large keyframe. Full: media is lost in whole
/// datagrams, the newest first, for this viewer alone; NACK and keyframe requests repair what they can.
const MEDIA_QUEUE: usize = 1 << 20;
/// What is not media (STUN, DTLS, RTCP) has this much room beyond, so that a slow viewer's connection lives on. Full: it is
/// lost as media is, and its own time-outs tell.
const QUEUE: usize = MEDIA_QUEUE + (64 << 10);
/// Bytes that the kernel takes before it has sent them: what waits here instead could still be dropped.
#[cfg(any(target_os = "linux", target_os = "android"))]
const KERNEL_UNSENT: u32 = 128 << 10;
/// Viewers send little: a few datagrams at a time.
const READ_BUFFER: usize = 4096;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart does not wait for connections of the time before.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes connections until it is dropped, and with it all of them.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let unidentified = Arc::new(Connections::new(UNIDENTIFIED));
    let mut tasks = TaskSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => match Connection::new(stream, from) {
                    Ok(connection) => {
                        let connection = Arc::new(connection);
                        unidentified.add(connection.clone());
                        tasks.spawn(serve(connection, unidentified.clone(), shared.clone()));
                    }
                    // It is gone already.
                    Err(error) => tracing::debug!(%error, "a TCP connection cannot be used"),
                },
                // As with UDP: an error that stays, as too many descriptors, must not become a busy loop.
                Err(error) => {
                    tracing::debug!(%error, "the TCP port reports an error");
                    sleep(ERROR_PAUSE).await;
                }
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn serve(connection: Arc<Connection>, unidentified: Arc<Connections>, shared: Arc<Shared>) {
    let mut session = Session { connection, decoder: Decoder::new(MAX_DATAGRAM), peer: None };
    let deadline = task::now() + IDENTIFY_TIMEOUT;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let received = tokio::select! {
            received = session.connection.read(&mut buffer) => received,
            () = task::at(session.peer.is_none().then_some(deadline)) => None,
        };
        let unnamed = session.peer.is_none();
        let goes_on = received.is_some_and(|received| session.receive(received, &shared).is_some());
        if unnamed && (session.peer.is_some() || !goes_on) {
            unidentified.remove(&session.connection);
        }
        if !goes_on {
            break;
        }
    }
    match session.peer {
        Some(peer) => peer.connections.remove(&session.connection),
        None => _ = shared.counters.tcp_refused.fetch_add(1, Relaxed),
    }
}

/// Whose a connection's datagrams are.
struct Session {
    connection: Arc<Connection>,
    decoder: Decoder,
    peer: Option<Arc<Peer>>,
}

impl Session {
    /// `None` when the connection has to end.
    fn receive(&mut self, mut bytes: &[u8], shared: &Shared) -> Option<()> {
        let Self { connection, decoder, peer } = self;
        while let Some(datagram) = decoder.next(&mut bytes).ok()? {
            let peer = match peer {
                Some(peer) => peer,
                None => peer.insert(connection.attach(shared, stun::local_ufrag(datagram)?)?),
            };
            if Kind::of(datagram) == Kind::Other {
                shared.counters.not_for_us.fetch_add(1, Relaxed);
            } else if !peer.deliver(connection.from, Some(connection.to), datagram) {
                shared.counters.inbox_full.fetch_add(1, Relaxed);
            }
        }
        Some(())
    }
}

/// One viewer's TCP connection.
pub(super) struct Connection {
    stream: TcpStream,
    from: SocketAddr,
    to: IpAddr,
    queue: Mutex<Queue>,
    /// The connection's task has something new to see to: bytes that the kernel did not take, or the end.
    changed: Notify,
}

impl Connection {
    fn new(stream: TcpStream, from: SocketAddr) -> io::Result<Self> {
        // Without, each burst's last packet waits for an acknowledgement.
        stream.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
        // On a wildcard of IPv6, addresses of IPv4 come in its clothes.
        let to = stream.local_addr()?.ip().to_canonical();
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Ok(Self { stream, from, to, queue: Mutex::default(), changed: Notify::new() })
    }

    /// Sends datagrams, and says how many found no room. Never waits.
    pub(super) fn send<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut queue = self.queue();
        let idle = queue.bytes.is_empty();
        let mut lost = 0;
        for datagram in datagrams {
            lost += u64::from(!queue.push(datagram));
        }
        // Otherwise the task waits for the kernel to take more already.
        if idle {
            queue.flush(&self.stream);
            if !queue.bytes.is_empty() || queue.closed {
                self.changed.notify_one();
            }
        }
        lost
    }

    /// Ends the connection. What is in the queue is lost.
    fn close(&self) {
        self.queue().closed = true;
        self.changed.notify_one();
    }

    /// The peer with this user name fragment: the connection is its own from now on.
    fn attach(self: &Arc<Self>, shared: &Shared, ufrag: &str) -> Option<Arc<Peer>> {
        // Held until the connection has its place: a peer that leaves takes its fragment away, then closes all that it has.
        let routes = shared.read_routes();
        let peer = routes.by_ufrag.get(ufrag)?;
        peer.connections.add(self.clone());
        Some(peer.clone())
    }

    /// Reads some bytes, while it writes what waits. `None` at the end of the connection.
    async fn read<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        loop {
            let (idle, closed) = {
                let queue = self.queue();
                (queue.bytes.is_empty(), queue.closed)
            };
            if closed {
                return None;
            }
            let interest =
                if idle { Interest::READABLE } else { Interest::READABLE.add(Interest::WRITABLE) };
            let ready = tokio::select! {
                ready = self.stream.ready(interest) => ready.ok()?,
                () = self.changed.notified() => continue,
            };
            if ready.is_writable() {
                self.queue().flush(&self.stream);
            }
            if ready.is_readable() {
                match self.stream.try_read(buffer) {
                    Ok(0) => return None,
                    Ok(len) => return Some(&buffer[..len]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return None,
                }
            }
            // A viewer that sends without end must not have the thread for itself.
            tokio::task::consume_budget().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

/// What waits to be sent, framed.
#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Queue {
    /// False when there is no room.
    fn push(&mut self, datagram: &[u8]) -> bool {
        // RTP alone is none of the kinds that a viewer may send.
        let limit = if Kind::of(datagram) == Kind::Other { MEDIA_QUEUE } else { QUEUE };
        let Some(header) = framing::header(datagram) else { return false };
        if self.bytes.len() + header.len() + datagram.len() > limit {
            return false;
        }
        self.bytes.extend(header);
        self.bytes.extend(datagram);
        true
    }

    /// Gives the kernel what it takes.
    fn flush(&mut self, stream: &TcpStream) {
        while !self.bytes.is_empty() {
            let (front, back) = self.bytes.as_slices();
            match stream.try_write_vectored(&[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(taken) => drop(self.bytes.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

/// Open connections, oldest first. Full: the oldest is closed.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    open: Mutex<VecDeque<Arc<Connection>>>,
}

impl Connections {
    /// Those of one peer.
    pub(super) fn of_a_peer() -> Self {
        Self::new(CONNECTIONS_PER_PEER)
    }

    fn new(limit: usize) -> Self {
        Self { limit, open: Mutex::default() }
    }

    fn add(&self, connection: Arc<Connection>) {
        let mut open = self.open();
        open.push_back(connection);
        if open.len() > self.limit
            && let Some(oldest) = open.pop_front()
        {
            oldest.close();
        }
    }

    fn remove(&self, connection: &Arc<Connection>) {
        self.open().retain(|open| !Arc::ptr_eq(open, connection));
    }

    /// The connection from `from`, best that to `to`: one port may have several.
    pub(super) fn find(&self, from: SocketAddr, to: IpAddr) -> Option<Arc<Connection>> {
        let open = self.open();
        let mut of_port = open.iter().filter(|connection| connection.from == from);
        let first = of_port.next()?;
        Some(if first.to == to { first } else { of_port.find(|other| other.to == to).unwrap_or(first) }.clone())
    }

    pub(super) fn close(&self) {
        for connection in self.open().drain(..) {
            connection.close();
        }
    }

    fn open(&self) -> MutexGuard<'_, VecDeque<Arc<Connection>>> {
        self.open.lock().expect("no holder of this lock panics")
    }
}
