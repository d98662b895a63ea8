//! One UDP port for all viewers of a process, a TCP port if there is one, and who gets which datagram.
//!
//! The WebRTC crate wants a socket for itself per connection; it gets a [`PeerSocket`], which shares the real one.
//! A datagram belongs to the peer whose ICE user name fragment a STUN request names; that also ties its source address
//! to the peer, for all that is not STUN. Everything else is dropped before the crate sees it, since the crate keeps
//! state for senders that it has not authenticated (docs/webrtc.md).

mod early;
mod nomination;
mod peer;
mod port;
mod tcp;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use tokio::sync::watch;
use tokio::time::sleep;
use webrtc::runtime::AsyncUdpSocket;

use self::peer::{Inbox, Path, Peer};
use self::port::Port;
use self::tcp::Connection;
use super::heard::LastHeard;
use super::stun::{self, Kind};
use crate::task::{self, Task};

/// Source addresses of one peer: each of its interfaces, and what NATs make of them. More: the oldest is forgotten.
const ADDRESSES_PER_PEER: usize = 16;

pub(super) struct Endpoint {
    shared: Arc<Shared>,
    /// Reads the socket; ends with the endpoint.
    _reader: Task<()>,
    /// Takes TCP connections; ends with the endpoint.
    acceptor: Option<Task<()>>,
}

struct Shared {
    port: Port,
    /// When it began.
    epoch: Instant,
    routes: RwLock<Routes>,
    counters: Counters,
}

/// What was dropped here.
#[derive(Debug, Default)]
struct Counters {
    unknown_source: AtomicU64,
    not_for_us: AtomicU64,
    inbox_full: AtomicU64,
    send_failed: AtomicU64,
    tcp_queue_full: AtomicU64,
    tcp_refused: AtomicU64,
}

#[derive(Default)]
struct Routes {
    by_ufrag: HashMap<String, Arc<Peer>>,
    by_address: HashMap<SocketAddr, Arc<Peer>>,
}

/// What became of datagrams that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// They are on their way.
    Whole,
    /// There was no room, or no way: some are lost, for this peer alone.
    Lost,
}

impl Endpoint {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let port = Port::bind(address)?;
        let (routes, counters) = (RwLock::default(), Counters::default());
        let shared = Arc::new(Shared { port, epoch: task::now(), routes, counters });
        let reader = task::spawn(read(shared.clone()));
        Ok(Self { shared, _reader: reader, acceptor: None })
    }

    /// Opens a TCP port as well, and gives its address.
    pub(super) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = tcp::bind(address)?;
        let address = listener.local_addr()?;
        self.acceptor = Some(task::spawn(tcp::accept(listener, self.shared.clone())));
        Ok(address)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.shared.port.local_addr()
    }

    /// A place for a new peer.
    pub(super) fn peer(&self) -> PeerPort {
        PeerPort { shared: self.shared.clone(), peer: Arc::new(Peer::new()), ufrags: Vec::new() }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_addr", &self.shared.port.local_addr())
            .field("dropped", &self.shared.counters)
            .finish_non_exhaustive()
    }
}

/// A peer's place at the endpoint. Dropping it forgets the peer.
pub(super) struct PeerPort {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    ufrags: Vec<String>,
}

impl PeerPort {
    /// STUN requests for this user name fragment are the peer's from now on.
    pub(super) fn route(&mut self, ufrag: &str) {
        self.shared.write_routes().by_ufrag.insert(ufrag.to_owned(), self.peer.clone());
        self.ufrags.push(ufrag.to_owned());
    }

    /// What makes the peer's sockets.
    pub(super) fn sockets(&self) -> PeerSockets {
        PeerSockets { shared: self.shared.clone(), peer: self.peer.clone() }
    }

    /// What sends past the crate.
    pub(super) fn outlet(&self) -> Outlet {
        Outlet { shared: self.shared.clone(), peer: self.peer.clone() }
    }

    /// Whether the connection is of no use, so that another may be tried, to watch: either side has ended its DTLS handshake,
    /// of which the crate says nothing, or we have [given up](Outlet::give_up).
    pub(super) fn unfit(&self) -> watch::Receiver<bool> {
        self.peer.unfit.subscribe()
    }

    /// When the peer was last heard.
    pub(super) fn heard(&self) -> LastHeard {
        self.peer.heard.clone()
    }
}

impl Drop for PeerPort {
    fn drop(&mut self) {
        let mut routes = self.shared.write_routes();
        for ufrag in &self.ufrags {
            routes.by_ufrag.remove(ufrag);
        }
        for address in self.peer.addresses().drain(..) {
            routes.by_address.remove(&address);
        }
        drop(routes);
        *self.peer.rtcp.get() = None;
        self.peer.way().connections.close();
    }
}

/// Makes a peer's sockets, one per local interface.
#[derive(Clone)]
pub(super) struct PeerSockets {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl PeerSockets {
    /// A socket that shares the endpoint's port and is reached at `local_ip`.
    pub(super) fn open(&self, local_ip: IpAddr) -> PeerSocket {
        let inbox = self.peer.open_inbox(local_ip);
        self.peer.sockets.fetch_add(1, Relaxed);
        PeerSocket { shared: self.shared.clone(), peer: self.peer.clone(), inbox }
    }

    /// ICE has chosen a way: the crate takes DTLS from now on.
    pub(super) fn handle_ice_connected(&self) {
        self.peer.end_early();
    }

    /// When a timer of the peer's connection shall ring that is wanted for `deadline`.
    pub(super) fn ring_at(&self, now: Instant, deadline: Instant) -> Instant {
        self.peer.calm().ring_at(now, deadline, self.shared.epoch)
    }
}

impl fmt::Debug for PeerSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSockets").finish_non_exhaustive()
    }
}

/// The way to a peer past the WebRTC crate, beside the sockets that the crate has.
#[derive(Clone)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl Outlet {
    /// How many datagrams leave with one call at most; 1 where the system cannot send several.
    pub(super) fn max_segments(&self) -> usize {
        self.shared.port.max_gso_segments()
    }

    /// Sends datagrams that stand one behind the other, all of `segment_size` bytes but the last, which may be shorter: at
    /// most [`max_segments`](Self::max_segments). Never waits. They leave the way that the crate's own leave now.
    pub(super) fn send(&self, contents: &[u8], segment_size: usize) -> Sent {
        let (path, connection) = {
            let way = self.peer.way();
            let Some(path) = way.path else { return Sent::Lost };
            (path, way.connection_on(path))
        };
        self.shared.send(path, connection, None, contents, Some(segment_size))
    }

    /// Whether the crate still has a socket of the peer's. If not its connection is at its end, though it may not say so.
    pub(super) fn is_open(&self) -> bool {
        self.peer.sockets.load(Relaxed) > 0
    }

    /// Whether ICE may have chosen another path since this was asked last. Then something that is not STUN should go through the
    /// crate, which shows its path.
    pub(super) fn take_path_doubt(&self) -> bool {
        self.peer.way().take_doubt()
    }

    /// The connection is of no use, though it stands.
    pub(super) fn give_up(&self) {
        self.peer.unfit.send_replace(true);
    }

    /// The peer's RTCP goes to `read` from now on, which is not to wait, and not to the crate.
    pub(super) fn take_rtcp(&self, read: impl FnMut(Instant, &[u8]) + Send + 'static) {
        *self.peer.rtcp.get() = Some(Box::new(read));
    }

    /// The first RTCP datagram that the crate has sent to the peer. Waits for it. Cancel safe.
    pub(super) async fn first_rtcp(&self) -> Bytes {
        let mut first = self.peer.first_rtcp.subscribe();
        let first = first.wait_for(Option::is_some).await.ok().and_then(|first| first.clone());
        first.expect("its sender lives as long as we do, and it is there")
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("path", &self.peer.way().path).finish_non_exhaustive()
    }
}

/// A peer's socket: its own inbox, the shared port's outlet, and that of the peer's TCP connections.
pub(super) struct PeerSocket {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    inbox: Arc<Inbox>,
}

impl Drop for PeerSocket {
    fn drop(&mut self) {
        self.peer.sockets.fetch_sub(1, Relaxed);
    }
}

impl AsyncUdpSocket for PeerSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.inbox.local_ip, self.shared.port.local_addr().port()))
    }

    fn max_gso_segments(&self) -> usize {
        self.shared.port.max_gso_segments()
    }

    /// Never waits: a datagram that the kernel does not take at once is lost, for this peer alone.
    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let Transmit { destination, ecn, contents, segment_size, .. } = *transmit;
        let path = Path { destination, local_ip: self.inbox.local_ip };
        self.peer.handle_sending(path, contents);
        let connection = self.peer.way().connection_on(path);
        let _ = self.shared.send(path, connection, ecn, contents, segment_size);
        Poll::Ready(Ok(contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let (from, datagram) = ready!(self.inbox.poll_pop(cx));
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = len;
        meta.stride = len.max(1);
        Poll::Ready(Ok(1))
    }
}

impl fmt::Debug for PeerSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSocket").field("local_ip", &self.inbox.local_ip).finish_non_exhaustive()
    }
}

async fn read(shared: Arc<Shared>) {
    let mut buffer = vec![0; shared.port.gro_segments() * MAX_DATAGRAM];
    loop {
        match shared.port.recv(&mut buffer).await {
            Ok(meta) => {
                let received = &buffer[..meta.len.min(buffer.len())];
                for datagram in received.chunks(meta.stride.max(1)) {
                    shared.dispatch(meta.addr, meta.dst_ip, datagram);
                }
            }
            // An ICMP error of some peer's address says nothing about the socket. An error that stays must not become a
            // busy loop: the peers' time-outs tell.
            Err(error) => {
                tracing::debug!(%error, "the UDP port reports an error");
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// No datagram of a browser is larger than an Ethernet frame.
const MAX_DATAGRAM: usize = 2048;

impl Shared {
    /// By the connection that its peer has on this path, if it has one. Never waits: what is not taken at once is lost, for this
    /// peer alone.
    fn send(
        &self,
        path: Path,
        connection: Option<Arc<Connection>>,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> Sent {
        let Path { destination, local_ip } = path;
        if let Some(connection) = connection {
            let size = segment_size.unwrap_or(contents.len()).max(1);
            let lost = connection.send(contents.chunks(size));
            self.counters.tcp_queue_full.fetch_add(lost, Relaxed);
            return if lost == 0 { Sent::Whole } else { Sent::Lost };
        }
        // On a wildcard socket the answer must leave from the address that the peer knows.
        let src_ip = self.port.local_addr().ip().is_unspecified().then_some(local_ip);
        let src_ip = src_ip.filter(|ip| !ip.is_unspecified());
        // One datagram is none to be cut up: some systems refuse that.
        let segment_size = segment_size.filter(|&size| size < contents.len());
        let transmit = Transmit { destination, ecn, contents, segment_size, src_ip };
        if self.port.send(&transmit).is_err() {
            self.counters.send_failed.fetch_add(1, Relaxed);
            return Sent::Lost;
        }
        Sent::Whole
    }

    fn dispatch(&self, from: SocketAddr, to: Option<IpAddr>, datagram: &[u8]) {
        let kind = Kind::of(datagram);
        // Without a second one beside it, one may be longer than those that were asked for.
        if kind == Kind::Other || datagram.len() > MAX_DATAGRAM {
            self.counters.not_for_us.fetch_add(1, Relaxed);
            return;
        }
        let peer = match stun::local_ufrag(datagram).filter(|_| kind == Kind::Stun) {
            Some(ufrag) => self.learn(from, ufrag),
            None => self.read_routes().by_address.get(&from).cloned(),
        };
        let Some(peer) = peer else {
            self.counters.unknown_source.fetch_add(1, Relaxed);
            return;
        };
        if !peer.deliver(from, to, datagram) {
            self.counters.inbox_full.fetch_add(1, Relaxed);
        }
    }

    /// The peer with this user name fragment; `from` is its address from now on.
    fn learn(&self, from: SocketAddr, ufrag: &str) -> Option<Arc<Peer>> {
        let peer = {
            let routes = self.read_routes();
            let peer = routes.by_ufrag.get(ufrag)?.clone();
            if routes.by_address.get(&from).is_some_and(|at| Arc::ptr_eq(at, &peer)) {
                return Some(peer);
            }
            peer
        };
        let mut routes = self.write_routes();
        // The peer may have left in between.
        routes.by_ufrag.get(ufrag).filter(|at| Arc::ptr_eq(at, &peer))?;
        if let Some(former) = routes.by_address.insert(from, peer.clone()) {
            // A browser that uses its port again for a new connection.
            former.addresses().retain(|address| *address != from);
        }
        let mut addresses = peer.addresses();
        addresses.push_back(from);
        if addresses.len() > ADDRESSES_PER_PEER
            && let Some(oldest) = addresses.pop_front()
        {
            routes.by_address.remove(&oldest);
        }
        drop(addresses);
        Some(peer)
    }

    fn read_routes(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().expect("no holder of this lock panics")
    }

    fn write_routes(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().expect("no holder of this lock panics")
    }
}
