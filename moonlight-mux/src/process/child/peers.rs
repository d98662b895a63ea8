//! The viewers of a streamer's process, whose signalling passes through the server.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::egress::Egress;
use crate::peer::{LeaveReason, PeerConfig, PeerHandle, PeerId, PeerStats};
use crate::process::link::Sender;
use crate::process::message::{FromChild, MAX_STATS_PEERS};
use crate::signalling::{ReportEvent, Signal, SignalError, SignalSink, SignalStream, Signalling};
use crate::streamer::{AddPeerError, Streamer};
use crate::task::TaskSet;
use crate::webrtc::{Offerer, WebRtc};

/// What a viewer said and its connection has not heard yet: a negotiation is some twenty signals, of which many come at once.
/// Full: it says what nobody has to say, and is let go.
const SIGNALS: usize = 128;

pub(super) struct Peers {
    sender: Sender<FromChild>,
    known: BTreeMap<PeerId, Known>,
    /// Whose count was told last.
    counted: Option<PeerId>,
    /// Tells the server of each viewer's beginning and end.
    tasks: TaskSet<PeerId>,
}

struct Known {
    /// `None` when its signalling is over.
    signals: Option<mpsc::Sender<Result<Signal, SignalError>>>,
    stats: watch::Receiver<PeerStats>,
}

impl Peers {
    pub(super) fn new(sender: Sender<FromChild>) -> Self {
        Self { sender, known: BTreeMap::new(), counted: None, tasks: TaskSet::new() }
    }

    /// A viewer joins.
    pub(super) fn add(
        &mut self,
        streamer: Option<&Streamer>,
        webrtc: &WebRtc,
        peer: PeerId,
        offerer: Offerer,
        config: PeerConfig,
    ) {
        if self.known.contains_key(&peer) {
            tracing::warn!(%peer, "the viewer is here already");
            return;
        }
        let (signals, heard) = mpsc::channel(SIGNALS);
        let signalling = RemoteSignalling { peer, sender: self.sender.clone(), signals: heard };
        let egress: Box<dyn Egress> = match offerer {
            Offerer::Viewer => Box::new(webrtc.peer(signalling)),
            Offerer::Server => Box::new(webrtc.offering_peer(signalling)),
        };
        let joined = streamer.map_or(Err(AddPeerError::Ended), |to| to.add_peer_as(peer, egress, config));
        match joined {
            Ok(handle) => {
                self.known.insert(peer, Known { signals: Some(signals), stats: handle.watch_stats() });
                self.tasks.spawn(follow(self.sender.clone(), handle));
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "the viewer cannot join");
                let reason = match error {
                    AddPeerError::Ended => LeaveReason::StreamEnded,
                    // It may try again.
                    AddPeerError::Busy => LeaveReason::ConnectionFailed,
                };
                self.tasks.spawn(refuse(self.sender.clone(), peer, reason));
            }
        }
    }

    /// What a viewer says. Viewers that are gone, and who says too much at once, are not heard.
    pub(super) fn handle(
        &mut self,
        streamer: Option<&Streamer>,
        peer: PeerId,
        said: Result<Signal, SignalError>,
    ) {
        let Some(Known { signals: Some(signals), .. }) = self.known.get(&peer) else { return };
        if let Ok(Signal::Report(report)) = &said
            && report.event == ReportEvent::FirstFrame
        {
            self.sender.tell(FromChild::FirstFrame { peer_id: peer });
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = signals.try_send(said) {
            tracing::warn!(%peer, "the viewer says too much at once");
            streamer.map(|streamer| streamer.kick(peer, LeaveReason::BadSignalling));
        }
    }

    /// A viewer's signalling is over.
    pub(super) fn handle_lost(&mut self, peer: PeerId) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.signals = None;
        }
    }

    /// How viewers' connections do: of as many as a message may have, in turns.
    pub(super) fn stats(&mut self) -> Vec<(PeerId, PeerStats)> {
        let peers: Vec<_> = in_turns(&self.known, self.counted, MAX_STATS_PEERS).collect();
        self.counted = peers.last().map(|&(&peer, _)| peer);
        peers.into_iter().map(|(&peer, known)| (peer, *known.stats.borrow())).collect()
    }

    /// Waits for a viewer that is gone and of whom the server knows it; `None` when there is none at all. Cancel safe.
    pub(super) async fn next_gone(&mut self) -> Option<()> {
        let (_, gone) = self.tasks.join_next().await?;
        if let Ok(peer) = gone {
            self.known.remove(&peer);
        }
        Some(())
    }
}

/// Up to `limit` entries, each once, from behind `last` on.
fn in_turns<K: Ord + Copy, V>(
    entries: &BTreeMap<K, V>,
    last: Option<K>,
    limit: usize,
) -> impl Iterator<Item = (&K, &V)> {
    let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
    let before = last.into_iter().flat_map(move |last| entries.range(..=last));
    entries.range((behind, Bound::Unbounded)).chain(before).take(limit)
}

async fn follow(sender: Sender<FromChild>, handle: PeerHandle) -> PeerId {
    let peer_id = handle.id();
    // A server that does not listen hears nothing of its end either.
    let _ = sender.send(FromChild::PeerJoined { peer_id }).await;
    let reason = handle.closed().await;
    let _ = sender.send(FromChild::PeerClosed { peer_id, reason }).await;
    peer_id
}

async fn refuse(sender: Sender<FromChild>, peer_id: PeerId, reason: LeaveReason) -> PeerId {
    let _ = sender.send(FromChild::PeerClosing { peer_id, reason }).await;
    let _ = sender.send(FromChild::PeerClosed { peer_id, reason }).await;
    peer_id
}

/// A viewer's signalling through the server.
struct RemoteSignalling {
    peer: PeerId,
    sender: Sender<FromChild>,
    signals: mpsc::Receiver<Result<Signal, SignalError>>,
}

struct RemoteSink {
    peer: PeerId,
    sender: Sender<FromChild>,
}

struct RemoteStream(mpsc::Receiver<Result<Signal, SignalError>>);

impl Signalling for RemoteSignalling {
    type Sink = RemoteSink;
    type Stream = RemoteStream;

    fn split(self) -> (RemoteSink, RemoteStream) {
        let Self { peer, sender, signals } = self;
        (RemoteSink { peer, sender }, RemoteStream(signals))
    }
}

#[async_trait]
impl SignalSink for RemoteSink {
    async fn send(&mut self, signal: Signal) -> Result<(), SignalError> {
        let message = FromChild::ToPeer { peer_id: self.peer, signal };
        self.sender.send(message).await.map_err(|_| SignalError::Closed)
    }

    async fn close(&mut self, reason: LeaveReason) {
        let _ = self.sender.send(FromChild::PeerClosing { peer_id: self.peer, reason }).await;
    }
}

#[async_trait]
impl SignalStream for RemoteStream {
    async fn recv(&mut self) -> Result<Signal, SignalError> {
        self.0.recv().await.unwrap_or(Err(SignalError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_take_turns_however_many_there_are() {
        let mut entries: BTreeMap<u32, ()> = (0..5).map(|n| (n, ())).collect();
        let mut last = None;
        let mut turn = |entries: &BTreeMap<u32, ()>, limit| {
            let turn: Vec<_> = in_turns(entries, last, limit).map(|(&n, _)| n).collect();
            last = turn.last().copied();
            turn
        };
        assert_eq!(turn(&entries, 2), [0, 1]);
        assert_eq!(turn(&entries, 2), [2, 3]);
        entries.remove(&3);
        assert_eq!(turn(&entries, 2), [4, 0]);
        assert_eq!(turn(&entries, 9), [1, 2, 4, 0], "each once");
        entries.clear();
        assert_eq!(turn(&entries, 2), [0; 0]);
        entries.insert(7, ());
        assert_eq!(turn(&entries, 2), [7]);
    }
}
