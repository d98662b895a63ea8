//! One peer's share of the port: what is known of it, where its datagrams wait, and the way to it.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use super::early::Early;
use super::nomination::Nomination;
use super::tcp::{Connection, Connections};
use crate::task;
use crate::webrtc::calm::Calm;
use crate::webrtc::dtls;
use crate::webrtc::heard::LastHeard;
use crate::webrtc::stun::{self, Kind};

/// Datagrams that wait for one peer: DTLS, STUN and RTCP only, so seldom more than a few. Full: the newest is dropped, as
/// the kernel would.
const INBOX: usize = 128;

#[derive(Debug)]
pub(super) struct Peer {
    way: Mutex<Way>,
    pub(super) heard: LastHeard,
    calm: Mutex<Calm>,
    inboxes: Mutex<Vec<Arc<Inbox>>>,
    /// Of the crate's sockets those that are open: it closes them when it ends, whatever it ends by.
    pub(super) sockets: AtomicUsize,
    addresses: Mutex<VecDeque<SocketAddr>>,
    early: Mutex<Early>,
    nomination: Mutex<Nomination>,
    /// Whether the connection is of no use.
    pub(super) unfit: watch::Sender<bool>,
    /// The first RTCP datagram that the crate has sent, for who waits for it.
    pub(super) first_rtcp: watch::Sender<Option<Bytes>>,
    pub(super) rtcp: RtcpReader,
}

/// All that it takes to send to a peer: by one lock, since it is asked for with each picture.
#[derive(Debug)]
pub(super) struct Way {
    /// Where the crate sends what is not STUN, which goes by the pair of candidates that ICE has chosen. It does not say so when
    /// it chooses another one; but then checks go by that one, both ways, as long as the connection stands.
    pub(super) path: Option<Path>,
    /// ICE may have chosen another path since.
    in_doubt: bool,
    /// What goes to where one of them comes from leaves through it.
    pub(super) connections: Connections,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) destination: SocketAddr,
    pub(super) local_ip: IpAddr,
}

impl Way {
    pub(super) fn connection_on(&self, path: Path) -> Option<Arc<Connection>> {
        self.connections.find(path.destination, path.local_ip)
    }

    /// Whether ICE may have chosen another path since this was asked last.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.in_doubt)
    }

    /// STUN comes or goes by this path.
    fn note_check_on(&mut self, checked: Path) {
        if self.path.is_some_and(|path| path != checked) {
            self.in_doubt = true;
        }
    }
}

/// Who gets the peer's RTCP in the crate's place, if somebody does.
#[derive(Default)]
pub(super) struct RtcpReader(Mutex<Option<Box<ReadRtcp>>>);

type ReadRtcp = dyn FnMut(Instant, &[u8]) + Send;

impl RtcpReader {
    pub(super) fn get(&self) -> MutexGuard<'_, Option<Box<ReadRtcp>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for RtcpReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RtcpReader").field(&self.get().is_some()).finish()
    }
}

/// What waits for one of the crate's sockets.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) local_ip: IpAddr,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<(SocketAddr, Bytes)>,
    waker: Option<Waker>,
}

impl Peer {
    pub(super) fn new() -> Self {
        let way = Way { path: None, in_doubt: false, connections: Connections::of_a_peer() };
        Self {
            way: Mutex::new(way),
            heard: LastHeard::default(),
            calm: Mutex::default(),
            inboxes: Mutex::default(),
            sockets: AtomicUsize::new(0),
            addresses: Mutex::default(),
            early: Mutex::default(),
            nomination: Mutex::default(),
            unfit: watch::Sender::new(false),
            first_rtcp: watch::Sender::new(None),
            rtcp: RtcpReader::default(),
        }
    }

    /// For a socket that is reached at `local_ip`.
    pub(super) fn open_inbox(&self, local_ip: IpAddr) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox { local_ip, queue: Mutex::default() });
        self.inboxes().push(inbox.clone());
        inbox
    }

    /// False when the inbox is full or there is none.
    pub(super) fn deliver(&self, from: SocketAddr, to: Option<IpAddr>, datagram: &[u8]) -> bool {
        let kind = Kind::of(datagram);
        if kind == Kind::Dtls {
            let mut early = self.early();
            if !early.is_over() {
                return early.keep(from, to, datagram);
            }
        }
        let nomination = self.nomination().handle_datagram(from, datagram);
        self.put(kind, from, to, datagram)
            && nomination.is_none_or(|again| self.put(Kind::Stun, from, to, &again))
    }

    fn put(&self, kind: Kind, from: SocketAddr, to: Option<IpAddr>, datagram: &[u8]) -> bool {
        self.heard.note();
        match kind {
            Kind::Dtls => {
                self.calm().handle_dtls(task::now());
                self.note_alert(datagram);
            }
            Kind::Rtcp => {
                if let Some(read) = &mut *self.rtcp.get() {
                    read(task::now(), datagram);
                    return true;
                }
            }
            _ => {}
        }
        let inbox = {
            let inboxes = self.inboxes();
            inboxes.iter().find(|inbox| Some(inbox.local_ip) == to).or(inboxes.first()).cloned()
        };
        let Some(inbox) = inbox else { return false };
        if kind == Kind::Stun {
            if stun::is_success(datagram) {
                self.calm().handle_answer();
            }
            self.way().note_check_on(Path { destination: from, local_ip: inbox.local_ip });
        }
        inbox.push(from, datagram)
    }

    /// Whoever takes datagrams is there: those that came before are delivered.
    pub(super) fn end_early(&self) {
        // Locked until all is there: what comes meanwhile is behind it.
        let mut early = self.early();
        for datagram in early.end() {
            self.put(Kind::Dtls, datagram.from, datagram.to, &datagram.bytes);
        }
    }

    /// The crate sends this.
    pub(super) fn handle_sending(&self, path: Path, datagram: &[u8]) {
        let kind = Kind::of(datagram);
        if kind == Kind::Stun {
            if stun::is_check(datagram) {
                self.calm().handle_check(task::now());
            }
            self.way().note_check_on(path);
            return;
        }
        if kind == Kind::Dtls {
            self.calm().handle_dtls(task::now());
            self.note_alert(datagram);
        }
        self.way().path = Some(path);
        if kind == Kind::Rtcp {
            self.first_rtcp.send_if_modified(|first| {
                let is_first = first.is_none();
                if is_first {
                    *first = Some(Bytes::copy_from_slice(datagram));
                }
                is_first
            });
        }
    }

    fn note_alert(&self, datagram: &[u8]) {
        if dtls::is_fatal_alert(datagram) {
            self.unfit.send_replace(true);
        }
    }

    pub(super) fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().expect("no holder of this lock panics")
    }

    pub(super) fn addresses(&self) -> MutexGuard<'_, VecDeque<SocketAddr>> {
        self.addresses.lock().expect("no holder of this lock panics")
    }

    pub(super) fn calm(&self) -> MutexGuard<'_, Calm> {
        self.calm.lock().expect("no holder of this lock panics")
    }

    fn early(&self) -> MutexGuard<'_, Early> {
        self.early.lock().expect("no holder of this lock panics")
    }

    fn inboxes(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        self.inboxes.lock().expect("no holder of this lock panics")
    }

    fn nomination(&self) -> MutexGuard<'_, Nomination> {
        self.nomination.lock().expect("no holder of this lock panics")
    }
}

impl Inbox {
    /// False when it is full.
    fn push(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut queue = self.queue();
        if queue.datagrams.len() == INBOX {
            return false;
        }
        queue.datagrams.push_back((from, Bytes::copy_from_slice(datagram)));
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        let mut queue = self.queue();
        match queue.datagrams.pop_front() {
            Some(datagram) => Poll::Ready(datagram),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}
