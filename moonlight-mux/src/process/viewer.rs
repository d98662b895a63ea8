//! A viewer whom the process serves: its signalling passes through here, its media do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::Sender;
use super::message::ToChild;
use crate::egress::{Egress, Relocated, ViewerIo};
use crate::input::Rights;
use crate::lifecycle::State;
use crate::peer::{LeaveReason, PeerId, PeerName, PeerStats};
use crate::signalling::{Signal, SignalError, SignalSink, SignalStream};
use crate::webrtc::Offerer;

/// The process that serves viewers now.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) outbox: Sender<ToChild>,
    /// Cancelled when nothing of the process is left.
    pub(super) over: CancellationToken,
}

/// What the process says to a viewer.
#[derive(Debug)]
pub(super) enum ToViewer {
    Signal(Signal),
    /// Why its session ends; its signalling is closed.
    Closing(LeaveReason),
    /// Nothing is left of it in the process.
    Closed(LeaveReason),
}

/// What waits for one viewer: a negotiation is some twenty signals. Full: its transport takes nothing any more, and the viewer
/// is asked to leave.
const WORDS: usize = 64;
/// Signals that may come before there is a process: an offer and its candidates. More are dropped.
const EARLY: usize = 72;
/// How long a process may take to let a viewer go. Less than an egress has.
const FAREWELL: Duration = Duration::from_secs(4);
/// The farewell to a viewer that takes no more messages.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a process's words for viewers are told apart. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Switchboard(Arc<Mutex<HashMap<PeerId, Line>>>);

#[derive(Debug)]
struct Line {
    words: mpsc::Sender<ToViewer>,
    stats: watch::Sender<PeerStats>,
    /// What the process was told that the viewer may do.
    rights: Option<Rights>,
}

/// A viewer's end of its line.
#[derive(Debug)]
struct Listener {
    words: mpsc::Receiver<ToViewer>,
    stats: watch::Receiver<PeerStats>,
}

impl Switchboard {
    fn open(&self, peer: PeerId) -> Listener {
        let (words_tx, words) = mpsc::channel(WORDS);
        let (stats_tx, stats) = watch::channel(PeerStats::default());
        self.lock().insert(peer, Line { words: words_tx, stats: stats_tx, rights: None });
        Listener { words, stats }
    }

    fn close(&self, peer: PeerId) {
        self.lock().remove(&peer);
    }

    /// The process knows that the viewer may do this.
    fn tell(&self, peer: PeerId, rights: Rights) {
        if let Some(line) = self.lock().get_mut(&peer) {
            line.rights = Some(rights);
        }
    }

    /// Has the process told of viewers that may do something else `now` than it knows. `tell` says whether that could be.
    pub(super) fn tell_rights(
        &self,
        now: impl Fn(PeerId) -> Rights,
        mut tell: impl FnMut(PeerId, Rights) -> bool,
    ) {
        for (&peer, line) in self.lock().iter_mut() {
            let rights = now(peer);
            if line.rights.is_some_and(|known| known != rights) && tell(peer, rights) {
                line.rights = Some(rights);
            }
        }
    }

    /// Hands on what the process says. False when the viewer does not listen any more.
    pub(super) fn say(&self, peer: PeerId, word: ToViewer) -> bool {
        match self.lock().get(&peer) {
            Some(line) => line.words.try_send(word).is_ok(),
            // Its last words may cross.
            None => true,
        }
    }

    pub(super) fn count(&self, peer: PeerId, stats: PeerStats) {
        if let Some(line) = self.lock().get(&peer) {
            line.stats.send_replace(stats);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Line>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// The egress of a viewer whom the process serves.
pub(super) struct RemoteViewer {
    sink: Box<dyn SignalSink>,
    stream: Box<dyn SignalStream>,
    viewer_offers: bool,
    name: Option<PeerName>,
    switchboard: Switchboard,
    service: watch::Receiver<Option<Service>>,
    /// Its signalling is over.
    is_deaf: bool,
    /// It was told why its session ends.
    is_closed: bool,
}

/// A viewer in a process. Whoever stops serving it, however that comes, has it removed there.
struct Presence {
    viewer: PeerId,
    switchboard: Switchboard,
    outbox: Sender<ToChild>,
    /// The process knows, or is gone.
    is_over: bool,
}

impl Presence {
    fn new(viewer: PeerId, switchboard: &Switchboard, service: &Service) -> Self {
        Self { viewer, switchboard: switchboard.clone(), outbox: service.outbox.clone(), is_over: false }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.switchboard.close(self.viewer);
        if !self.is_over {
            let (peer_id, reason) = (self.viewer, LeaveReason::Internal);
            self.outbox.offer(ToChild::RemovePeer { peer_id, reason }, None);
        }
    }
}

/// What comes of one process.
enum Served {
    Gone(LeaveReason),
    /// The process is gone.
    Orphaned,
}

impl RemoteViewer {
    pub(super) fn new(
        relocated: Relocated,
        name: Option<PeerName>,
        switchboard: Switchboard,
        service: watch::Receiver<Option<Service>>,
    ) -> Self {
        let Relocated { sink, stream, viewer_offers } = relocated;
        Self { sink, stream, viewer_offers, name, switchboard, service, is_deaf: false, is_closed: false }
    }

    async fn serve(&mut self, viewer: &ViewerIo) -> LeaveReason {
        // Whoever does not wait for our first word loses nothing.
        let mut early = Vec::new();
        let mut room = EARLY;
        loop {
            let service = match self.wait_for_service(viewer, &mut early, room).await {
                Ok(service) => service,
                Err(reason) => return reason,
            };
            let mut listener = self.switchboard.open(viewer.id());
            let mut presence = Presence::new(viewer.id(), &self.switchboard, &service);
            let served = self.serve_by(&service, viewer, &mut listener, std::mem::take(&mut early)).await;
            presence.is_over = true;
            match served {
                Served::Gone(reason) => return reason,
                Served::Orphaned if matches!(*viewer.state.borrow(), State::Ended(_)) => {
                    return LeaveReason::StreamEnded;
                }
                Served::Orphaned if self.is_closed => return LeaveReason::ConnectionFailed,
                // Nobody can tell it to connect anew: it has to join again.
                Served::Orphaned if self.is_deaf || !self.viewer_offers => {
                    return LeaveReason::ConnectionFailed;
                }
                Served::Orphaned => tracing::info!("the viewer waits for the next process"),
            }
            // What it says until then is about a connection that is gone.
            room = 0;
        }
    }

    async fn wait_for_service(
        &mut self,
        viewer: &ViewerIo,
        early: &mut Vec<Signal>,
        room: usize,
    ) -> Result<Service, LeaveReason> {
        loop {
            tokio::select! {
                biased;
                reason = viewer.leaving() => return Err(reason),
                service = self.service.wait_for(|service| {
                    service.as_ref().is_some_and(|service| !service.over.is_cancelled())
                }) => {
                    let service = service.ok().and_then(|service| service.clone());
                    return service.ok_or(LeaveReason::StreamEnded);
                }
                signal = self.stream.recv() => match signal {
                    Ok(signal) if early.len() < room => early.push(signal),
                    Ok(_) | Err(SignalError::Malformed { .. }) => {}
                    Err(SignalError::Closed) => return Err(LeaveReason::Left),
                },
            }
        }
    }

    async fn serve_by(
        &mut self,
        service: &Service,
        viewer: &ViewerIo,
        listener: &mut Listener,
        early: Vec<Signal>,
    ) -> Served {
        let peer_id = viewer.id();
        let rights = viewer.input.rights();
        let offerer = if self.viewer_offers { Offerer::Viewer } else { Offerer::Server };
        let add = ToChild::AddPeer { peer_id, offerer, name: self.name.clone(), rights };
        let early = early.into_iter().map(|signal| ToChild::FromPeer { peer_id, signal });
        for message in std::iter::once(add).chain(early) {
            if let Some(served) = tell(service, viewer, message).await {
                return self.follow(served, service, viewer, listener).await;
            }
        }
        self.switchboard.tell(peer_id, rights);
        // They may have been changed meanwhile.
        viewer.input.look_again();
        loop {
            let message = tokio::select! {
                biased;
                reason = viewer.leaving() => {
                    return self.follow(Served::Gone(reason), service, viewer, listener).await;
                }
                word = listener.words.recv() => {
                    match word {
                        // Whether the stream has ended is not the process's to say: there may be another one.
                        Some(
                            ToViewer::Closing(LeaveReason::StreamEnded)
                            | ToViewer::Closed(LeaveReason::StreamEnded),
                        ) => {
                            tokio::select! {
                                biased;
                                reason = viewer.leaving() => return Served::Gone(reason),
                                () = service.over.cancelled() => return Served::Orphaned,
                            }
                        }
                        Some(ToViewer::Closed(reason)) => return Served::Gone(reason),
                        Some(word) => {
                            // Its transport may take nothing; a farewell has a deadline of its own.
                            let heard = match word {
                                ToViewer::Signal(_) => tokio::select! {
                                    biased;
                                    reason = viewer.leaving() => {
                                        return self.follow(Served::Gone(reason), service, viewer, listener).await;
                                    }
                                    heard = self.hear(word) => heard,
                                },
                                word => self.hear(word).await,
                            };
                            if heard.is_err() && !self.is_deaf {
                                self.is_deaf = true;
                                ToChild::PeerLost { peer_id }
                            } else {
                                continue;
                            }
                        }
                        None => return Served::Gone(LeaveReason::Internal),
                    }
                }
                () = service.over.cancelled() => return Served::Orphaned,
                Ok(()) = listener.stats.changed() => {
                    let stats = *listener.stats.borrow_and_update();
                    viewer.update_stats(|known| *known = stats);
                    continue;
                }
                signal = self.stream.recv(), if !self.is_deaf => match signal {
                    Ok(signal) => ToChild::FromPeer { peer_id, signal },
                    Err(SignalError::Malformed { .. }) => ToChild::PeerMalformed { peer_id },
                    Err(SignalError::Closed) => {
                        self.is_deaf = true;
                        ToChild::PeerLost { peer_id }
                    }
                },
            };
            if let Some(served) = tell(service, viewer, message).await {
                return self.follow(served, service, viewer, listener).await;
            }
        }
    }

    /// Lets the process let the viewer go, if that is how it ends.
    async fn follow(
        &mut self,
        served: Served,
        service: &Service,
        viewer: &ViewerIo,
        listener: &mut Listener,
    ) -> Served {
        let Served::Gone(reason) = served else { return served };
        let farewell = async {
            let remove = ToChild::RemovePeer { peer_id: viewer.id(), reason };
            if service.outbox.send(remove).await.is_err() {
                return;
            }
            loop {
                tokio::select! {
                    biased;
                    word = listener.words.recv() => match word {
                        Some(ToViewer::Closed(_)) | None => return,
                        Some(word) => drop(self.hear(word).await),
                    },
                    () = service.over.cancelled() => return,
                }
            }
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!("the process does not say that it has let the viewer go");
        }
        Served::Gone(reason)
    }

    async fn hear(&mut self, word: ToViewer) -> Result<(), SignalError> {
        match word {
            ToViewer::Signal(_) if self.is_closed => Ok(()),
            ToViewer::Signal(signal) => self.sink.send(signal).await,
            ToViewer::Closing(reason) => {
                self.farewell(reason).await;
                Ok(())
            }
            ToViewer::Closed(_) => Ok(()),
        }
    }

    async fn farewell(&mut self, reason: LeaveReason) {
        if !std::mem::replace(&mut self.is_closed, true)
            && timeout(CLOSE_TIMEOUT, self.sink.close(reason)).await.is_err()
        {
            tracing::debug!("the viewer's signalling takes no farewell");
        }
    }
}

/// Tells the process, unless that ends or the viewer has to leave before it listens.
async fn tell(service: &Service, viewer: &ViewerIo, message: ToChild) -> Option<Served> {
    tokio::select! {
        biased;
        reason = viewer.leaving() => Some(Served::Gone(reason)),
        () = service.over.cancelled() => Some(Served::Orphaned),
        sent = service.outbox.send(message) => match sent {
            Ok(()) => None,
            // Its end follows.
            Err(_) => {
                service.over.cancelled().await;
                Some(Served::Orphaned)
            }
        },
    }
}

#[async_trait]
impl Egress for RemoteViewer {
    async fn run(mut self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        let reason = self.serve(&viewer).await;
        self.farewell(reason).await;
        reason
    }
}
