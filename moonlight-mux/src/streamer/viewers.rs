//! The viewers of one stream: a task each, owned here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError};
use tokio::time::timeout;
use tracing::Instrument;

use crate::egress::{Egress, ViewerIo};
use crate::peer::{LeaveReason, PeerInfo, PeerName, ask_to_leave};
use crate::task::{self, TaskSet};

/// How long an egress may take to end when it is told to (contract of `Egress`).
const EGRESS_GRACE: Duration = Duration::from_secs(5);

/// A viewer on its way in.
pub(super) struct Join {
    pub(super) viewer: ViewerIo,
    pub(super) name: Option<PeerName>,
    pub(super) egress: Box<dyn Egress>,
    pub(super) leave: watch::Sender<Option<LeaveReason>>,
    pub(super) gone: watch::Sender<Option<LeaveReason>>,
}

pub(super) struct Viewers {
    max: usize,
    tasks: TaskSet<LeaveReason>,
    entries: HashMap<Id, Entry>,
    list: watch::Sender<Arc<[PeerInfo]>>,
    joined: u64,
}

struct Entry {
    info: PeerInfo,
    order: u64,
    leave: watch::Sender<Option<LeaveReason>>,
    gone: watch::Sender<Option<LeaveReason>>,
}

/// A viewer's end: its task, and what it returned.
pub(super) type Gone = (Id, Result<LeaveReason, JoinError>);

impl Viewers {
    pub(super) fn new(max: usize, list: watch::Sender<Arc<[PeerInfo]>>) -> Self {
        Self { max, tasks: TaskSet::new(), entries: HashMap::new(), list, joined: 0 }
    }

    pub(super) fn add(&mut self, join: Join) {
        if self.entries.len() >= self.max {
            tracing::warn!(peer = %join.viewer.id, max = self.max, "viewer refused: the streamer is full");
            ask_to_leave(&join.leave, LeaveReason::StreamerFull);
        }
        let Join { viewer, name, egress, leave, gone } = join;
        let info = PeerInfo { id: viewer.id, connected_at: task::wall_clock(), name };
        let span = tracing::info_span!("peer", id = %viewer.id);
        let task = self.tasks.spawn(serve(egress, viewer).instrument(span));
        self.entries.insert(task, Entry { info, order: self.joined, leave, gone });
        self.joined += 1;
        self.publish();
    }

    /// The next viewer to have left; `None` when there is none at all. Cancel safe.
    pub(super) async fn next_gone(&mut self) -> Option<Gone> {
        self.tasks.join_next().await
    }

    pub(super) fn remove(&mut self, (task, result): Gone) {
        let Some(entry) = self.entries.remove(&task) else { return };
        let reason = result.unwrap_or_else(|error| {
            tracing::error!(peer = %entry.info.id, %error, "a viewer's egress panicked");
            LeaveReason::Internal
        });
        tracing::info!(peer = %entry.info.id, %reason, "viewer gone");
        self.publish();
        entry.gone.send_replace(Some(reason));
    }

    /// Asks all to leave, and waits until they have.
    pub(super) async fn leave(&mut self, reason: LeaveReason) {
        for entry in self.entries.values() {
            ask_to_leave(&entry.leave, reason);
        }
        while let Some(gone) = self.next_gone().await {
            self.remove(gone);
        }
    }

    fn publish(&self) {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.order);
        self.list.send_replace(entries.into_iter().map(|entry| entry.info.clone()).collect());
    }
}

/// Runs an egress to its end. One that was asked to leave has [`EGRESS_GRACE`] to do so.
async fn serve(egress: Box<dyn Egress>, viewer: ViewerIo) -> LeaveReason {
    tracing::info!("viewer joins");
    let mut leave = viewer.leave.clone();
    let serving = egress.run(viewer);
    tokio::pin!(serving);
    let asked = tokio::select! {
        reason = &mut serving => return reason,
        asked = leave.wait_for(Option::is_some) => asked.ok().and_then(|asked| *asked),
    };
    timeout(EGRESS_GRACE, serving).await.unwrap_or_else(|_| {
        tracing::warn!("the viewer's egress did not end within {EGRESS_GRACE:?}: dropped");
        asked.unwrap_or(LeaveReason::StreamerDeleted)
    })
}
