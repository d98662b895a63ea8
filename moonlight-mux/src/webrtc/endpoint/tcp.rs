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

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::peer::Peer;
use super::{ERROR_PAUSE, MAX_DATAGRAM, Shared};
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
    let unidentified = Unidentified::default();
    let mut tasks = TaskSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => match Connection::new(stream, from) {
                    Ok(connection) => {
                        let connection = Arc::new(connection);
                        unidentified.get().add(connection.clone());
                        tasks.spawn(serve(Session::new(connection, unidentified.clone()), shared.clone()));
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

async fn serve(mut session: Session, shared: Arc<Shared>) {
    let deadline = task::now() + IDENTIFY_TIMEOUT;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let received = tokio::select! {
            received = session.connection.read(&mut buffer) => received,
            () = task::at(session.peer.is_none().then_some(deadline)) => None,
        };
        if received.and_then(|received| session.receive(received, &shared)).is_none() {
            break;
        }
    }
    if session.peer.is_none() {
        shared.counters.tcp_refused.fetch_add(1, Relaxed);
    }
}

/// Whose a connection's datagrams are. Dropping it closes the connection.
struct Session {
    connection: Arc<Connection>,
    decoder: Decoder,
    peer: Option<Arc<Peer>>,
    unidentified: Unidentified,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unidentified.get().remove(&self.connection);
        if let Some(peer) = &self.peer {
            peer.way().connections.remove(&self.connection);
        }
    }
}

impl Session {
    fn new(connection: Arc<Connection>, unidentified: Unidentified) -> Self {
        Self { connection, decoder: Decoder::new(MAX_DATAGRAM), peer: None, unidentified }
    }

    /// `None` when the connection has to end.
    fn receive(&mut self, mut bytes: &[u8], shared: &Shared) -> Option<()> {
        let Self { connection, decoder, peer, unidentified } = self;
        while let Some(datagram) = decoder.next(&mut bytes).ok()? {
            let peer = match peer {
                Some(peer) => peer,
                None => {
                    let named = connection.attach(shared, stun::local_ufrag(datagram)?)?;
                    unidentified.get().remove(connection);
                    peer.insert(named)
                }
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
        socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
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
        peer.way().connections.add(self.clone());
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
            let interest = if idle { Interest::READABLE } else { Interest::READABLE.add(Interest::WRITABLE) };
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
    open: VecDeque<Arc<Connection>>,
}

impl Connections {
    /// Those of one peer.
    pub(super) fn of_a_peer() -> Self {
        Self::new(CONNECTIONS_PER_PEER)
    }

    fn new(limit: usize) -> Self {
        Self { limit, open: VecDeque::new() }
    }

    fn add(&mut self, connection: Arc<Connection>) {
        self.open.push_back(connection);
        if self.open.len() > self.limit
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.close();
        }
    }

    fn remove(&mut self, connection: &Arc<Connection>) {
        self.open.retain(|open| !Arc::ptr_eq(open, connection));
    }

    /// The connection from `from`, best that to `to`: one port may have several.
    pub(super) fn find(&self, from: SocketAddr, to: IpAddr) -> Option<Arc<Connection>> {
        let mut of_port = self.open.iter().filter(|connection| connection.from == from);
        let first = of_port.next()?;
        Some(
            if first.to == to { first } else { of_port.find(|other| other.to == to).unwrap_or(first) }
                .clone(),
        )
    }

    pub(super) fn close(&mut self) {
        for connection in self.open.drain(..) {
            connection.close();
        }
    }
}

/// Those that have not named a peer.
#[derive(Clone, Debug)]
struct Unidentified(Arc<Mutex<Connections>>);

impl Default for Unidentified {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Connections::new(UNIDENTIFIED))))
    }
}

impl Unidentified {
    fn get(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::IoSliceMut;
    use std::net::Ipv4Addr;

    use quinn_udp::{RecvMeta, Transmit};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use webrtc::runtime::AsyncUdpSocket;

    use super::super::{Endpoint, PeerPort, PeerSocket};
    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn endpoint() -> (Endpoint, SocketAddr) {
        let any_port = SocketAddr::from((LOCALHOST, 0));
        let mut endpoint = Endpoint::bind(any_port).expect("a free port");
        let address = endpoint.listen(any_port).expect("a free port");
        (endpoint, address)
    }

    fn peer(endpoint: &Endpoint, ufrag: &str) -> (PeerPort, PeerSocket) {
        let mut port = endpoint.peer();
        port.route(ufrag);
        let socket = port.sockets().open(LOCALHOST);
        port.sockets().handle_ice_connected();
        (port, socket)
    }

    /// A STUN binding request with nothing but a user name (RFC 8489, 5).
    fn request(ufrag: &str) -> Vec<u8> {
        let username = format!("{ufrag}:theirs");
        let padded = username.len().next_multiple_of(4);
        let mut datagram = vec![0, 1, 0, padded as u8 + 4, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend([7; 12]);
        datagram.extend([0, 6, 0, username.len() as u8]);
        datagram.extend(username.as_bytes());
        datagram.resize(24 + padded, 0);
        datagram
    }

    fn framed(datagram: &[u8]) -> Vec<u8> {
        [&framing::header(datagram).expect("short"), datagram].concat()
    }

    async fn receive(socket: &PeerSocket) -> (SocketAddr, Vec<u8>) {
        let (mut buffer, mut meta) = ([0; MAX_DATAGRAM], [RecvMeta::default()]);
        let received =
            poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta)).await;
        assert_eq!(received.expect("no error"), 1);
        (meta[0].addr, buffer[..meta[0].len].to_vec())
    }

    async fn send(
        socket: &PeerSocket,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) {
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        let sent = poll_fn(|cx| socket.poll_send(cx, &transmit)).await;
        assert_eq!(sent.expect("no error"), contents.len());
    }

    async fn connect(address: SocketAddr, first: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(address).await.expect("a listener");
        client.write_all(first).await.expect("the kernel takes it");
        client
    }

    /// Waits until the server has closed the connection: in order, or for bytes that it did not read.
    async fn closed(client: &mut TcpStream) {
        match client.read(&mut [0; 64]).await {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn datagrams_go_both_ways_to_the_peer_that_the_first_one_names() {
        let (endpoint, address) = endpoint();
        let ((_port, socket), (_other_port, other)) = (peer(&endpoint, "ours"), peer(&endpoint, "other"));
        let mut client = connect(address, &framed(&request("ours"))).await;
        let from = client.local_addr().expect("an address");
        assert_eq!(receive(&socket).await, (from, request("ours")));

        // What names another peer later stays with the first; media and empty frames go nowhere.
        let frames =
            [framed(&[0x80, 96, 1]), framed(&[]), framed(&request("other")), framed(&[22, 254, 253])];
        client.write_all(&frames.concat()).await.expect("the kernel takes it");
        assert_eq!(receive(&socket).await, (from, request("other")));
        assert_eq!(receive(&socket).await, (from, vec![22, 254, 253]));

        send(&socket, from, &[1, 2, 3, 4, 5], Some(2)).await;
        let mut received = [0; 11];
        client.read_exact(&mut received).await.expect("three frames");
        assert_eq!(received, [0, 2, 1, 2, 0, 2, 3, 4, 0, 1, 5]);

        // Another peer has no way to it.
        send(&other, from, &[9], None).await;
        send(&socket, from, &[6], None).await;
        client.read_exact(&mut received[..3]).await.expect("a frame");
        assert_eq!(received[..3], [0, 1, 6]);
    }

    #[tokio::test]
    async fn whoever_names_no_peer_is_closed() {
        let (endpoint, address) = endpoint();
        let (_port, _socket) = peer(&endpoint, "ours");
        let too_long = (MAX_DATAGRAM as u16 + 1).to_be_bytes();
        let strangers = [
            framed(&request("nobody")),
            framed(&[22, 254, 253]),
            framed(&[]),
            too_long.to_vec(),
            b"GET /".to_vec(),
        ];
        for first in strangers {
            closed(&mut connect(address, &first).await).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_request_are_closed_after_a_while() {
        let (endpoint, address) = endpoint();
        let (_port, socket) = peer(&endpoint, "ours");
        let start = task::now();
        let mut silent = connect(address, &[]).await;
        closed(&mut silent).await;
        assert!(task::now() - start >= IDENTIFY_TIMEOUT);
        closed(&mut connect(address, &framed(&request("ours"))[..20]).await).await;
        // One that has named a peer may be silent for as long as it likes.
        let mut named = connect(address, &framed(&request("ours"))).await;
        receive(&socket).await;
        sleep(10 * IDENTIFY_TIMEOUT).await;
        named.write_all(&framed(&[22, 254, 253])).await.expect("it is open");
        assert_eq!(receive(&socket).await.1, [22, 254, 253]);
    }

    #[tokio::test]
    async fn the_oldest_connection_makes_room() {
        let listener = bind((LOCALHOST, 0).into()).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut connections = Connections::new(2);
        let mut opened = Vec::new();
        for _ in 0..3 {
            let client = TcpStream::connect(address).await.expect("a listener");
            let (stream, from) = listener.accept().await.expect("a connection");
            let connection = Arc::new(Connection::new(stream, from).expect("a socket"));
            assert!(connection.stream.nodelay().expect("a socket"));
            connections.add(connection.clone());
            opened.push((client, connection));
        }
        let is_closed: Vec<_> = opened.iter().map(|(_, connection)| connection.queue().closed).collect();
        assert_eq!(is_closed, [true, false, false]);
        assert!(connections.find(opened[0].1.from, LOCALHOST).is_none());
        assert!(connections.find(opened[1].1.from, LOCALHOST).is_some());
        connections.remove(&opened[1].1);
        assert!(connections.find(opened[1].1.from, LOCALHOST).is_none());
    }

    #[tokio::test]
    async fn a_viewer_that_does_not_read_loses_whole_media_datagrams_and_no_more_memory_is_held() {
        let (endpoint, address) = endpoint();
        let (port, socket) = peer(&endpoint, "ours");
        let mut client = connect(address, &framed(&request("ours"))).await;
        let from = receive(&socket).await.0;
        let lost = || port.shared.counters.tcp_queue_full.load(Relaxed);
        let media = |n: u32| {
            let mut datagram = [0x80, 96].repeat(600);
            datagram[2..6].copy_from_slice(&n.to_be_bytes());
            datagram
        };

        let mut sent = 0;
        while lost() < 100 {
            send(&socket, from, &media(sent), None).await;
            sent += 1;
        }
        let connection = port.peer.way().connections.find(from, LOCALHOST).expect("it is open");
        assert!(connection.queue().bytes.len() <= MEDIA_QUEUE);
        // It hears the rest all the same, until that is too much as well.
        send(&socket, from, &[22; 1200], None).await;
        assert_eq!(lost(), 100);
        while lost() < 101 {
            send(&socket, from, &[22; 1200], None).await;
        }
        assert!(connection.queue().bytes.len() <= QUEUE);

        let (mut decoder, mut buffer) = (Decoder::new(MAX_DATAGRAM), vec![0; 1 << 16]);
        let (mut media_received, mut newest) = (0, None);
        while media_received < sent - 100 {
            let len = client.read(&mut buffer).await.expect("it is open");
            assert_ne!(len, 0);
            let mut bytes = &buffer[..len];
            while let Some(frame) = decoder.next(&mut bytes).expect("frames") {
                if frame[0] == 22 {
                    continue;
                }
                let n = u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]);
                assert_eq!(frame, media(n));
                assert!(newest < Some(n), "{n} behind {newest:?}");
                newest = Some(n);
                media_received += 1;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_peer_and_all_with_the_endpoint() {
        let (endpoint, address) = endpoint();
        let ((port, socket), (_stays, other)) = (peer(&endpoint, "ours"), peer(&endpoint, "other"));
        let mut client = connect(address, &framed(&request("ours"))).await;
        let mut stays = connect(address, &framed(&request("other"))).await;
        let (_, from) = (receive(&socket).await, receive(&other).await.0);
        drop(port);
        closed(&mut client).await;
        closed(&mut connect(address, &framed(&request("ours"))).await).await;

        send(&other, from, &[6], None).await;
        let mut received = [0; 3];
        stays.read_exact(&mut received).await.expect("a frame");
        drop(endpoint);
        closed(&mut stays).await;
        let refused = TcpStream::connect(address).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_connection_that_its_viewer_closes_is_forgotten() {
        let (endpoint, address) = endpoint();
        let (port, socket) = peer(&endpoint, "ours");
        let client = connect(address, &framed(&request("ours"))).await;
        let from = receive(&socket).await.0;
        let connection =
            Arc::downgrade(&port.peer.way().connections.find(from, LOCALHOST).expect("it is open"));
        drop(client);
        while connection.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(port.peer.way().connections.find(from, LOCALHOST).is_none());
    }
}
