//! What the tasks of a host share.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{mpsc, oneshot, watch};

use super::answer::Answer;
use super::launches::Launches;
use super::log::Book;
use super::pairing::Clients;
use super::stream::{Order, Stream};
use super::{
    Faults, Freeze, HostEndReason, HostPorts, HostSessionId, HostStep, HostileAnswer, TestApp, TestHostConfig,
};
use crate::gamestream::pairing::Pin;

/// One host's.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: TestHostConfig,
    /// As they were bound.
    pub(super) ports: HostPorts,
    pub(super) book: Book,
    pub(super) faults: watch::Sender<Faults>,
    /// To whoever owns the tasks. Full: a launch waits.
    pub(super) streams: mpsc::Sender<Stream>,
    /// Sunshine serves one HTTPS client at a time, and newer ones until that client has closed its connection.
    pub(super) https_turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) clients: Clients,
    pub(super) launches: Launches,
    pub(super) apps: Vec<TestApp>,
    /// How the running sessions are reached.
    pub(super) orders: HashMap<HostSessionId, mpsc::Sender<Order>>,
    /// Wolf's RTSP server died of a reset, or of a request that it cannot bear.
    pub(super) rtsp_is_dead: bool,
    /// Clients whose user has yet to enter the PIN. At most [`MAX_WAITING`]. Full: the oldest gets no answer.
    waiting: VecDeque<oneshot::Sender<Pin>>,
    /// That was entered before anybody waited for it.
    next_pin: Option<Pin>,
}

const MAX_WAITING: usize = 16;

impl Shared {
    pub(super) fn new(
        config: TestHostConfig,
        ports: HostPorts,
        clients: Clients,
        streams: mpsc::Sender<Stream>,
    ) -> Self {
        let state = State {
            clients,
            launches: Launches::new(config.manner, config.max_sessions, config.session_addresses),
            apps: config.apps.clone(),
            orders: HashMap::new(),
            rtsp_is_dead: false,
            waiting: VecDeque::new(),
            next_pin: None,
        };
        Self {
            faults: watch::Sender::new(config.faults.clone()),
            book: Book::new(),
            https_turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
            config,
            ports,
            streams,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Waits until the host would answer in this step.
    pub(super) async fn answers(&self, step: HostStep) {
        let answers = |faults: &Faults| faults.freeze != Freeze::Everything && !faults.silent.contains(&step);
        self.faults.subscribe().wait_for(answers).await.expect("the sender is in `self`");
    }

    /// The answer as [`Faults`] spoils it.
    pub(super) fn spoil(&self, answer: Answer, step: HostStep) -> Answer {
        let hostile = self.faults.borrow().hostile;
        match hostile {
            Some((at, hostile)) if at == step => answer.spoilt(hostile, step, self.config.manner),
            _ => answer,
        }
    }

    /// The answer to the `n`-th request of an RTSP dialogue as [`Faults`] spoils it.
    pub(super) fn spoil_rtsp(&self, n: u8, answer: Vec<u8>) -> Vec<u8> {
        let hostile = match self.faults.borrow().hostile {
            Some((HostStep::Rtsp, hostile)) => hostile,
            Some((HostStep::RtspRequest(at), hostile)) if at == n => hostile,
            _ => return answer,
        };
        match hostile {
            HostileAnswer::Nothing => Vec::new(),
            HostileAnswer::Garbage => vec![0xa5; 1000],
            HostileAnswer::Truncated => answer[..answer.len() * 2 / 3].to_vec(),
            HostileAnswer::Endless => vec![b' '; 64 << 20],
            _ => answer,
        }
    }

    /// How the session is reached to which an RTSP connection from there belongs, on which this came so far.
    pub(super) fn session_of(
        &self,
        from: IpAddr,
        received: &[u8],
    ) -> Option<(HostSessionId, mpsc::Sender<Order>)> {
        let state = self.state();
        let id = match (state.launches.has_session_addresses(), named_host(received)) {
            (true, Some(address)) => state.launches.session_at(address)?,
            _ => state.launches.session_of(from)?,
        };
        Some((id, state.orders.get(&id)?.clone()))
    }

    /// Ends these sessions.
    pub(super) fn end(&self, sessions: &[HostSessionId], reason: HostEndReason) {
        let state = self.state();
        for order in sessions.iter().filter_map(|id| state.orders.get(id)) {
            // Full: it has a dozen requests to answer first, and is told to end already or is of no use to anybody.
            let _ = order.try_send(Order::End(reason));
        }
    }
}

/// Whom the `Host` header of a request names, if it is there yet; `None` also for the address that names nobody.
fn named_host(request: &[u8]) -> Option<Ipv4Addr> {
    let text = str::from_utf8(request).ok()?;
    let (_, host) = text.split_once("\r\nHost: ")?;
    let (host, _) = host.split_once("\r\n")?;
    host.parse().ok().filter(|address: &Ipv4Addr| !address.is_unspecified())
}

impl State {
    /// What the user enters for a client that has begun to pair.
    pub(super) fn pin(&mut self) -> oneshot::Receiver<Pin> {
        let (sender, receiver) = oneshot::channel();
        match self.next_pin.take() {
            Some(pin) => drop(sender.send(pin)),
            None => {
                self.waiting.retain(|waiting| !waiting.is_closed());
                if self.waiting.len() == MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(sender);
            }
        }
        receiver
    }

    pub(super) fn enter_pin(&mut self, pin: Pin) {
        let mut pin = pin;
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(pin) {
                Ok(()) => return,
                Err(back) => pin = back,
            }
        }
        self.next_pin = Some(pin);
    }
}
