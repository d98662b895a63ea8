//! The [`Aggregator`](super::aggregator::Aggregator) between viewers' tasks and the source's: as the Broadcaster is for media, in the other direction.
//!
//! Each event is a short lock and at most one wake-up. What the Streamer's actor does is what may take its time: it keeps
//! the deadlines, and tells who acts, who points where and whose turn it is, [ten times a second](state::TELL_EVERY) at most.
//!
//! Nothing is sent to a watcher, and nobody is woken, while the lock is held.

mod inputs;
mod state;
mod viewer_input;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

pub use self::inputs::Inputs;
pub(crate) use self::state::Mirrored;
use self::state::{News, State, Viewer};
pub(crate) use self::viewer_input::ViewerInput;
use super::host::{HostFeedback, InputFeatures};
use super::rights::{InputMode, Rights};
use super::status::Pointer;
use crate::peer::{PeerId, PeerInfo};
use crate::task;

/// The input of one stream. Clones are handles to the same.
#[derive(Clone)]
pub(crate) struct InputHub {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Held by who changes the mode, while it works out to what. Guards nothing, so that a panic there harms nothing.
    changes_mode: Mutex<()>,
    /// Something may wait for the host. Only the source waits for it.
    filled: Notify,
    /// Something is due earlier than [`InputHub::keep_time`] knows.
    sooner: Notify,
    pointers: watch::Sender<Arc<[Pointer]>>,
}

impl InputHub {
    pub(crate) fn new(mode: InputMode) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(mode.in_range())),
            changes_mode: Mutex::new(()),
            filled: Notify::new(),
            sooner: Notify::new(),
            pointers: watch::Sender::new(Arc::from([])),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A viewer comes.
    pub(crate) fn join(&self, peer: PeerId, rights: Rights) -> ViewerInput {
        let [mail, room] = [(); 2].map(|()| Arc::new(Notify::new()));
        let status = self.change(|state| state.join(peer, rights, mail.clone(), room.clone()));
        ViewerInput { hub: self.clone(), peer, status, mail, room }
    }

    /// A viewer goes: what it holds is let go, and what it still does counts for nothing. Again: nothing.
    pub(crate) fn leave(&self, peer: PeerId) {
        let viewer = self.change(|state| state.leave(peer));
        // Its egress may go on for a while.
        if let Some(viewer) = viewer {
            viewer.room.notify_one();
        }
    }

    /// Changes what a viewer may do, and gives what that is now; `None` if there is no such viewer. `change` is others' code,
    /// so it runs outside the lock, and once more if the rights were changed meanwhile.
    pub(crate) fn update_rights(
        &self,
        peer: PeerId,
        mut change: impl FnMut(Rights) -> Rights,
    ) -> Option<Rights> {
        loop {
            let before = self.state().viewers.get(&peer)?.rights;
            let rights = change(before);
            if let Some(mail) = self.change(|state| state.set_rights(peer, before, rights)) {
                mail.notify_one();
                return Some(rights);
            }
        }
    }

    pub(crate) fn mode(&self) -> InputMode {
        self.state().mode
    }

    pub(crate) fn set_mode(&self, mode: InputMode) {
        let Ok(_) = self.update_mode(|_| Ok::<_, Infallible>(mode));
    }

    /// Changes the mode by what it is so far, unless `change` refuses; gives what it is now. `change` is others' code, so it
    /// runs without the state's lock; other changes of the mode wait for it.
    pub(crate) fn update_mode<E>(
        &self,
        change: impl FnOnce(InputMode) -> Result<InputMode, E>,
    ) -> Result<InputMode, E> {
        let _only = self.shared.changes_mode.lock().unwrap_or_else(PoisonError::into_inner);
        let mode = change(self.mode())?.in_range();
        self.change(|state| {
            state.mode = mode;
            state.aggregator.set_mode(mode);
            if mode == InputMode::ViewOnly {
                state.pointers.clear();
            }
        });
        Ok(mode)
    }

    /// What the source does with input; `None` while it takes none.
    pub(crate) fn features(&self) -> Option<InputFeatures> {
        self.state().features
    }

    pub(crate) fn turn(&self) -> Option<PeerId> {
        self.state().turn()
    }

    /// What viewers do goes to another process's hub: this one keeps who may do what, and tells what that one says. To be called
    /// from the start, and whenever that has changed.
    pub(crate) fn mirror(&self, mut mirrored: Mirrored) {
        mirrored.acting.sort_unstable();
        if self.state().mirrored.as_ref() == Some(&mirrored) {
            return;
        }
        self.change(|state| {
            state.features = mirrored.features;
            state.mirrored = Some(mirrored);
        });
    }

    /// Waits until rights or the mode may have changed. For the one who tells them to another process's hub. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.shared.filled.notified().await;
    }

    /// Makes [`Self::changed`] return.
    pub(crate) fn look_again(&self) {
        self.shared.filled.notify_one();
    }

    /// What a viewer may do; nothing if there is no such viewer.
    pub(crate) fn rights(&self, peer: PeerId) -> Rights {
        self.state().viewers.get(&peer).map_or(Rights::NONE, |viewer| viewer.rights)
    }

    /// A source takes input from now on, until what is returned is dropped, the run ends, or this is called again.
    pub(crate) fn connect(&self, features: InputFeatures) -> Inputs {
        self.disconnect(None);
        let connection = self.change(|state| {
            state.aggregator.handle_connected();
            state.features = Some(features);
            state.connection += 1;
            state.connection
        });
        Inputs { hub: self.clone(), connection }
    }

    /// The run has ended: no source takes input, though it may have left its [`Inputs`] somewhere.
    pub(crate) fn handle_end(&self) {
        self.disconnect(None);
    }

    /// Ends this connection, or any.
    fn disconnect(&self, connection: Option<u64>) {
        let mails: Vec<_> = self.change(|state| {
            if connection.is_some_and(|ending| !state.takes(ending)) || state.features.take().is_none() {
                return Vec::new();
            }
            state.aggregator.handle_disconnected();
            let rest = |viewer: &mut Viewer| {
                viewer.mailbox.rest();
                viewer.mail.clone()
            };
            state.viewers.values_mut().map(rest).collect()
        });
        mails.iter().for_each(|mail| mail.notify_one());
    }

    /// The host wants something of a gamepad. What is for no gamepad that is there is dropped.
    pub(crate) fn feedback(&self, feedback: HostFeedback) {
        let mut state = self.state();
        let Some((peer, feedback)) = state.aggregator.route(feedback) else { return };
        let Some(viewer) = state.viewers.get_mut(&peer) else { return };
        viewer.mailbox.handle(feedback);
        let mail = viewer.mail.clone();
        drop(state);
        mail.notify_one();
    }

    /// Does what is due by time and tells what has changed, until something listed of viewers has: then it returns, to be
    /// called again. One task's business. Cancel safe.
    pub(crate) async fn keep_time(&self) {
        loop {
            let due = self.state().timeout();
            tokio::select! {
                () = task::at(due) => {
                    let news = self.state().handle_timeout(task::now());
                    self.shared.filled.notify_one();
                    let Some(News { statuses, pointers, list }) = news else { continue };
                    for (sender, status) in statuses {
                        sender.send_replace(status);
                    }
                    if let Some(pointers) = pointers {
                        self.shared.pointers.send_replace(pointers);
                    }
                    if list {
                        return;
                    }
                }
                // One that came before this waits has left its permit.
                () = self.shared.sooner.notified() => {}
            }
        }
    }

    /// Fills in what viewers may do and who acts; tells whether anything is new. Those that are gone may do nothing.
    pub(crate) fn describe(&self, peers: &mut [PeerInfo]) -> bool {
        let state = self.state();
        let mut changed = false;
        for peer in peers {
            let viewer = state.viewers.get(&peer.id);
            let (rights, acting) = viewer.map_or((Rights::NONE, false), |known| (known.rights, known.acting));
            changed |= (peer.rights, peer.acting) != (rights, acting);
            (peer.rights, peer.acting) = (rights, acting);
        }
        changed
    }

    /// For all that may give the host something, make room, make events be dropped that wait, or change what is told.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        let sooner = state.will_tell(task::now());
        let rooms: Vec<_> = state.viewers.keys().filter_map(|&peer| state.room(peer)).collect();
        drop(state);
        self.shared.filled.notify_one();
        rooms.iter().for_each(|room| room.notify_one());
        if sooner {
            self.shared.sooner.notify_one();
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for InputHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputHub").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
