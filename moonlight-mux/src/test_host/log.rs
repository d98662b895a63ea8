//! What a test host saw.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::HostStep;
use crate::input::HostInput;

/// One streaming session of a test host, in the order of their launches, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostSessionId(pub u32);

impl fmt::Display for HostSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that a test host saw or did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HostEvent {
    /// A call was answered.
    Called {
        /// What was called.
        step: HostStep,
        /// Whether it came by HTTPS.
        https: bool,
        /// The document's `status_code`; `None` if the connection was closed without an answer.
        status: Option<i32>,
    },
    /// A client began to pair: its user should enter the PIN now.
    PinWanted,
    /// A client knew the PIN.
    Paired,
    /// A client did not know the PIN, or gave up in the middle.
    PairingFailed,
    /// A session is waiting for its control connection.
    Launched {
        /// The session.
        session: HostSessionId,
        /// The app's id.
        app: u32,
        /// Whether the app ran before.
        resumed: bool,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Frames per second.
        fps: u32,
    },
    /// A request of the RTSP dialogue was answered, or the connection closed without a byte.
    Rtsp {
        /// Whose it was; `None` where no session waits.
        session: Option<HostSessionId>,
        /// The first word, if it could be read: `OPTIONS`.
        method: Option<String>,
        /// The answer's status; `None` without one.
        status: Option<u16>,
    },
    /// An RTSP connection was reset, not closed. Wolf's RTSP server dies of it (session 12.2), and so does this one.
    RtspReset,
    /// The control connection stands.
    ControlConnected(HostSessionId),
    /// The client pings for its media and has said PLAY: they begin.
    MediaStarted(HostSessionId),
    /// The client asked for a keyframe.
    KeyframeRequested(HostSessionId),
    /// The client moved, clicked, typed. A pointer's place has lost its lowest bit on the way; what tells of nothing that
    /// somebody did, that haptics are wanted, say, is left out.
    Input(HostSessionId, HostInput),
    /// A session is over.
    Ended {
        /// The session.
        session: HostSessionId,
        /// Why.
        reason: HostEndReason,
    },
}

/// Why a session of a test host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostEndReason {
    /// No control connection within 10 s of the launch.
    LaunchExpired,
    /// The client closed the control connection.
    ByClient,
    /// No ping for media, or nothing on the control connection, for 10 s.
    Silence,
    /// `/cancel`, or a newer session in its place.
    Cancelled,
    /// [`TestHost::end_sessions`](super::TestHost::end_sessions) or
    /// [`TestHost::shutdown`](super::TestHost::shutdown).
    ByHost,
    /// The picture failed.
    Picture,
    /// What the client sent was no GameStream, so the host gave up.
    Protocol,
}

/// What a test host counted since it started, and what it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostCounts {
    /// Sessions that are launched and not over.
    pub sessions: usize,
    /// HTTP and HTTPS connections that are open. Newer Sunshine hosts answer nobody else while a client has not closed
    /// its TLS connection: a client of theirs leaves none open.
    pub open_connections: usize,
    /// RTSP connections that are open.
    pub open_rtsp_connections: usize,
    /// Requests for keyframes.
    pub keyframe_requests: u64,
    /// Frames that were sent, lost datagrams included.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// UDP datagrams that were sent.
    pub datagrams_sent: u64,
    /// UDP datagrams that came.
    pub datagrams_received: u64,
    /// UDP datagrams that [`Faults`](super::Faults) took.
    pub datagrams_lost: u64,
    /// What clients did, of all sessions.
    pub inputs: u64,
    /// Events that are no longer in the log.
    pub events_forgotten: u64,
}

/// The events of a test host, from the first that is still known. Cheap to make; each follows on its own.
#[derive(Debug)]
pub struct HostEvents {
    log: watch::Receiver<Log>,
    /// The number of the next one.
    next: u64,
}

impl HostEvents {
    /// The next event, or the oldest known one if it is forgotten; `None` when the host is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<HostEvent> {
        loop {
            {
                let log = self.log.borrow_and_update();
                self.next = self.next.max(log.forgotten);
                if let Some(event) = log.events.get((self.next - log.forgotten) as usize) {
                    self.next += 1;
                    return Some(event.clone());
                }
            }
            self.log.changed().await.ok()?;
        }
    }

    /// The next event that `wanted` takes; those before it are passed by. `None` when the host is gone. Cancel safe.
    pub async fn find(&mut self, mut wanted: impl FnMut(&HostEvent) -> bool) -> Option<HostEvent> {
        loop {
            let event = self.next().await?;
            if wanted(&event) {
                return Some(event);
            }
        }
    }
}

/// The last [`MAX_EVENTS`] events. Full: the oldest is forgotten, and counted.
#[derive(Debug, Default)]
struct Log {
    events: VecDeque<HostEvent>,
    forgotten: u64,
}

/// Ten seconds of twenty viewers that do a thousand things a second each; some 12 MB.
const MAX_EVENTS: usize = 1 << 18;

/// Where a test host writes down what it sees. Clones write into the same book.
#[derive(Clone, Debug)]
pub(super) struct Book {
    log: Arc<watch::Sender<Log>>,
    counts: Arc<watch::Sender<HostCounts>>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            log: Arc::new(watch::Sender::new(Log::default())),
            counts: Arc::new(watch::Sender::new(HostCounts::default())),
        }
    }

    pub(super) fn note(&self, event: HostEvent) {
        tracing::debug!(?event, "test host");
        let mut forgotten = 0;
        self.log.send_modify(|log| {
            if log.events.len() == MAX_EVENTS {
                log.events.pop_front();
                log.forgotten += 1;
            }
            log.events.push_back(event);
            forgotten = log.forgotten;
        });
        self.count(|counts| counts.events_forgotten = forgotten);
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut HostCounts)) {
        self.counts.send_modify(change);
    }

    pub(super) fn all(&self) -> Vec<HostEvent> {
        self.log.borrow().events.iter().cloned().collect()
    }

    pub(super) fn events(&self) -> HostEvents {
        HostEvents { log: self.log.subscribe(), next: 0 }
    }

    pub(super) fn counts(&self) -> watch::Receiver<HostCounts> {
        self.counts.subscribe()
    }
}
