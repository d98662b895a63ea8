//! The viewers of one stream: a task each, owned here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError};
use tokio::time::timeout;
use tracing::Instrument;

use crate::egress::{Egress, ViewerIo};
use crate::input::{InputHub, Rights};
use crate::peer::{LeaveReason, PeerId, PeerInfo, PeerName, PeerStats, ask_to_leave};
use crate::task::{self, TaskSet};

/// How long an egress may take to end when it is told to (contract of `Egress`).
const EGRESS_GRACE: Duration = Duration::from_secs(5);

/// A viewer on its way in.
pub(crate) struct Join {
    pub(crate) viewer: ViewerIo,
    pub(crate) name: Option<PeerName>,
    pub(crate) egress: Box<dyn Egress>,
    pub(crate) leave: watch::Sender<Option<LeaveReason>>,
    pub(crate) gone: watch::Sender<Option<LeaveReason>>,
}

/// How each viewer is asked to leave, and how it does, by its id: for handles of the Streamer. Clones are handles to the same.
#[derive(Clone, Default)]
pub(crate) struct Doors(Arc<Mutex<HashMap<PeerId, Door>>>);

pub(crate) struct Door {
    pub(crate) leave: watch::Sender<Option<LeaveReason>>,
    pub(crate) stats: watch::Receiver<PeerStats>,
}

impl Doors {
    pub(crate) fn insert(&self, peer: PeerId, door: Door) {
        self.lock().insert(peer, door);
    }

    pub(crate) fn remove(&self, peer: PeerId) {
        self.lock().remove(&peer);
    }

    /// False if there is no such viewer.
    pub(crate) fn ask_to_leave(&self, peer: PeerId, reason: LeaveReason) -> bool {
        let leave = self.lock().get(&peer).map(|door| door.leave.clone());
        leave.inspect(|leave| ask_to_leave(leave, reason)).is_some()
    }

    /// `None` if there is no such viewer.
    pub(crate) fn stats(&self, peer: PeerId) -> Option<PeerStats> {
        self.lock().get(&peer).map(|door| *door.stats.borrow())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Door>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

pub(crate) struct Viewers {
    max: usize,
    tasks: TaskSet<LeaveReason>,
    entries: HashMap<Id, Entry>,
    list: watch::Sender<Arc<[PeerInfo]>>,
    input: InputHub,
    doors: Doors,
    joined: u64,
}

struct Entry {
    info: PeerInfo,
    order: u64,
    leave: watch::Sender<Option<LeaveReason>>,
    gone: watch::Sender<Option<LeaveReason>>,
}

/// A viewer's end: its task, and what it returned.
pub(crate) type Gone = (Id, Result<LeaveReason, JoinError>);

impl Viewers {
    pub(crate) fn new(
        max: usize,
        list: watch::Sender<Arc<[PeerInfo]>>,
        input: InputHub,
        doors: Doors,
    ) -> Self {
        Self { max, tasks: TaskSet::new(), entries: HashMap::new(), list, input, doors, joined: 0 }
    }

    pub(crate) fn add(&mut self, join: Join) {
        if self.entries.len() >= self.max {
            tracing::warn!(peer = %join.viewer.id, max = self.max, "viewer refused: the streamer is full");
            ask_to_leave(&join.leave, LeaveReason::StreamerFull);
        }
        let Join { viewer, name, egress, leave, gone } = join;
        let (id, connected_at) = (viewer.id, task::wall_clock());
        let info = PeerInfo { id, connected_at, name, rights: Rights::NONE, acting: false };
        let span = tracing::info_span!("peer", %id);
        let task = self.tasks.spawn(serve(egress, viewer, self.input.clone()).instrument(span));
        self.entries.insert(task, Entry { info, order: self.joined, leave, gone });
        self.joined += 1;
        self.publish();
    }

    /// The next viewer to have left; `None` when there is none at all. Cancel safe.
    pub(crate) async fn next_gone(&mut self) -> Option<Gone> {
        self.tasks.join_next().await
    }

    pub(crate) fn remove(&mut self, (task, result): Gone) {
        let Some(entry) = self.entries.remove(&task) else { return };
        let reason = result.unwrap_or_else(|error| {
            tracing::error!(peer = %entry.info.id, %error, "a viewer's egress panicked");
            LeaveReason::Internal
        });
        tracing::info!(peer = %entry.info.id, %reason, "viewer gone");
        self.doors.remove(entry.info.id);
        self.publish();
        entry.gone.send_replace(Some(reason));
    }

    /// Asks all to leave, and waits until they have.
    pub(crate) async fn leave(&mut self, reason: LeaveReason) {
        for entry in self.entries.values() {
            ask_to_leave(&entry.leave, reason);
        }
        while let Some(gone) = self.next_gone().await {
            self.remove(gone);
        }
    }

    /// Lists anew what viewers may do and who acts.
    pub(crate) fn refresh(&self) {
        self.list.send_if_modified(|list| {
            let mut peers = list.to_vec();
            let changed = self.input.describe(&mut peers);
            if changed {
                *list = peers.into();
            }
            changed
        });
    }

    fn publish(&self) {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.order);
        let mut peers: Vec<_> = entries.into_iter().map(|entry| entry.info.clone()).collect();
        self.input.describe(&mut peers);
        self.list.send_replace(peers.into());
    }
}

/// Runs an egress to its end. One that was asked to leave has [`EGRESS_GRACE`] to do so, and acts no more.
async fn serve(egress: Box<dyn Egress>, viewer: ViewerIo, input: InputHub) -> LeaveReason {
    tracing::info!("viewer joins");
    let (id, mut leave) = (viewer.id, viewer.leave.clone());
    let serving = egress.run(viewer);
    tokio::pin!(serving);
    let asked = tokio::select! {
        biased;
        asked = leave.wait_for(Option::is_some) => asked.ok().and_then(|asked| *asked),
        reason = &mut serving => return reason,
    };
    input.leave(id);
    timeout(EGRESS_GRACE, serving).await.unwrap_or_else(|_| {
        tracing::warn!("the viewer's egress did not end within {EGRESS_GRACE:?}: dropped");
        asked.unwrap_or(LeaveReason::StreamerDeleted)
    })
}
