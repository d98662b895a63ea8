//! The [`Aggregator`] between viewers' tasks and the source's: as the Broadcaster is for media, in the other direction.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use super::aggregator::Aggregator;
use super::event::InputEvent;
use super::host::{GamepadFeedback, HostFeedback, HostInput, InputFeatures};
use super::rights::{InputMode, Rights};
use crate::peer::PeerId;
use crate::task;

/// The input of one stream. Clones are handles to the same.
#[derive(Clone)]
pub(crate) struct InputHub {
    shared: Arc<Shared>,
}

struct Shared {
    aggregator: Mutex<Aggregator>,
    /// Something waits for the host.
    filled: Notify,
    /// The host took something, or is gone.
    room: Notify,
    /// A deadline, a turn, or who acts has changed.
    changed: Notify,
    features: watch::Sender<Option<InputFeatures>>,
    viewers: Mutex<HashMap<PeerId, watch::Sender<Rights>>>,
}

/// A viewer's place in the hub. Dropping it lets go what the viewer holds.
#[derive(Debug)]
pub(crate) struct ViewerInput {
    hub: InputHub,
    peer: PeerId,
    rights: watch::Receiver<Rights>,
}

/// The stream of inputs that a source takes ([`SourceIo::inputs`](crate::SourceIo::inputs)). While it exists viewers' input
/// reaches the source.
#[derive(Debug)]
pub struct Inputs {
    hub: InputHub,
}

impl InputHub {
    pub(crate) fn new(mode: InputMode) -> Self {
        let shared = Shared {
            aggregator: Mutex::new(Aggregator::new(mode)),
            filled: Notify::new(),
            room: Notify::new(),
            changed: Notify::new(),
            features: watch::Sender::new(None),
            viewers: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A viewer comes.
    pub(crate) fn join(&self, peer: PeerId, rights: Rights) -> ViewerInput {
        let (known, rights_seen) = watch::channel(rights);
        self.aggregator().join(peer, rights);
        self.viewers().insert(peer, known);
        ViewerInput { hub: self.clone(), peer, rights: rights_seen }
    }

    /// Changes what a viewer may do; false if there is no such viewer.
    pub(crate) fn set_rights(&self, peer: PeerId, rights: Rights) -> bool {
        let viewers = self.viewers();
        let Some(known) = viewers.get(&peer) else { return false };
        self.aggregator().set_rights(peer, rights);
        known.send_replace(rights);
        drop(viewers);
        self.shared.filled.notify_one();
        true
    }

    pub(crate) fn set_mode(&self, mode: InputMode) {
        self.aggregator().set_mode(mode);
        self.shared.filled.notify_one();
        self.shared.changed.notify_one();
    }

    /// A source takes input from now on, until what is returned is dropped.
    pub(crate) fn connect(&self, features: InputFeatures) -> Inputs {
        self.aggregator().handle_connected();
        self.shared.features.send_replace(Some(features));
        Inputs { hub: self.clone() }
    }

    /// The host wants something of a gamepad. What is for no gamepad that is there is dropped.
    pub(crate) fn feedback(&self, feedback: HostFeedback) {
        let _ = self.aggregator().route(feedback);
    }

    /// Does what is due by time, whenever it is; ends never. One task's business. Cancel safe.
    pub(crate) async fn keep_time(&self) {
        loop {
            let due = self.aggregator().timeout();
            tokio::select! {
                () = task::at(due) => {
                    self.aggregator().handle_timeout(task::now());
                    self.shared.filled.notify_one();
                }
                () = self.shared.changed.notified() => {}
            }
        }
    }

    fn aggregator(&self) -> MutexGuard<'_, Aggregator> {
        self.shared.aggregator.lock().expect("no holder of this lock panics")
    }

    fn viewers(&self) -> MutexGuard<'_, HashMap<PeerId, watch::Sender<Rights>>> {
        self.shared.viewers.lock().expect("no holder of this lock panics")
    }
}

impl ViewerInput {
    /// Hands in what the viewer did. Waits while too much waits for the host and the event must not be lost. Cancel safe: the
    /// event was not taken then.
    pub(crate) async fn send(&self, event: &InputEvent) {
        loop {
            // Before the try, so that room made in between is not missed.
            let room = self.hub.shared.room.notified();
            if self.hub.aggregator().handle(task::now(), self.peer, event).is_ok() {
                self.hub.shared.filled.notify_one();
                self.hub.shared.changed.notify_one();
                return;
            }
            room.await;
        }
    }

    /// Lets go what the viewer holds.
    pub(crate) fn release(&self) {
        self.hub.aggregator().release(self.peer);
        self.hub.shared.filled.notify_one();
    }

    pub(crate) fn expect_heartbeat(&self, expected: bool) {
        self.hub.aggregator().expect_heartbeat(self.peer, expected);
    }

    pub(crate) fn watch_rights(&self) -> watch::Receiver<Rights> {
        self.rights.clone()
    }

    /// What the host can do with input; `None` while there is none that takes any.
    pub(crate) fn watch_features(&self) -> watch::Receiver<Option<InputFeatures>> {
        self.hub.shared.features.subscribe()
    }

    /// What the host wants of the viewer's gamepads next: of each kind and gamepad the newest. Cancel safe.
    pub(crate) async fn feedback(&self) -> GamepadFeedback {
        std::future::pending().await
    }
}

impl Drop for ViewerInput {
    fn drop(&mut self) {
        self.hub.aggregator().leave(self.peer);
        self.hub.viewers().remove(&self.peer);
        self.hub.shared.filled.notify_one();
    }
}

impl Inputs {
    /// What the host is to be told next. Take it when the host has room for it: what waits meanwhile is merged, and
    /// viewers whose input may not be lost wait too. Cancel safe.
    pub async fn next(&mut self) -> HostInput {
        loop {
            if let Some(input) = self.try_next() {
                return input;
            }
            // One that came in between has left its permit.
            self.hub.shared.filled.notified().await;
        }
    }

    /// What the host is to be told next, if there is anything.
    pub fn try_next(&mut self) -> Option<HostInput> {
        let input = self.hub.aggregator().poll();
        if input.is_some() {
            self.hub.shared.room.notify_waiters();
        }
        input
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.hub.aggregator().handle_disconnected();
        self.hub.shared.features.send_replace(None);
        self.hub.shared.room.notify_waiters();
    }
}

impl fmt::Debug for InputHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputHub").finish_non_exhaustive()
    }
}
