//! The [`Aggregator`] between viewers' tasks and the source's: as the Broadcaster is for media, in the other direction.
//!
//! Each event is a short lock and at most one wake-up. What the Streamer's actor does is what may take its time: it keeps
//! the deadlines, and tells who acts, who points where and whose turn it is, [ten times a second](TELL_EVERY) at most.
//!
//! Nothing is sent to a watcher, and nobody is woken, while the lock is held.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::aggregator::{Aggregator, Full};
use super::event::InputEvent;
use super::host::{GamepadFeedback, HostFeedback, HostInput, InputFeatures, TextChange};
use super::mailbox::Mailbox;
use super::pointers::Pointers;
use super::rights::{DeviceClass, InputMode, Rights};
use super::status::{InputStatus, Pointer};
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

struct State {
    aggregator: Aggregator,
    mode: InputMode,
    /// `None` while no source takes input.
    features: Option<InputFeatures>,
    /// Which of the [`Inputs`] is the source's: the last one.
    connection: u64,
    viewers: HashMap<PeerId, Viewer>,
    pointers: Pointers,
    /// When what has changed is to be told.
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
    /// Since then somebody has left who may still be listed.
    left: bool,
    /// What the hub tells of itself that viewers' input goes to, if that is another process's.
    mirrored: Option<Mirrored>,
}

/// What another process's hub tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// `None` while no source takes input.
    pub(crate) features: Option<InputFeatures>,
    pub(crate) turn: Option<PeerId>,
    /// Who acts.
    pub(crate) acting: Vec<PeerId>,
}

struct Viewer {
    rights: Rights,
    acting: bool,
    /// What `status` says. Not read from there: who has borrowed it may wait for our lock.
    told: InputStatus,
    status: watch::Sender<InputStatus>,
    mailbox: Mailbox,
    mail: Arc<Notify>,
    room: Arc<Notify>,
}

/// A viewer's place in the hub. Dropping it lets go what the viewer holds.
#[derive(Debug)]
pub(crate) struct ViewerInput {
    hub: InputHub,
    peer: PeerId,
    status: watch::Receiver<InputStatus>,
    mail: Arc<Notify>,
    /// The viewer's event may be taken now.
    room: Arc<Notify>,
}

/// The stream of inputs that a source takes ([`SourceIo::inputs`](crate::SourceIo::inputs)). While it exists viewers' input
/// reaches the source.
#[derive(Debug)]
pub struct Inputs {
    hub: InputHub,
    connection: u64,
}

/// What is to be told.
struct News {
    statuses: Vec<(watch::Sender<InputStatus>, InputStatus)>,
    pointers: Option<Arc<[Pointer]>>,
    /// What is listed of viewers: rights, and who acts.
    list: bool,
}

impl InputHub {
    pub(crate) fn new(mode: InputMode) -> Self {
        let mode = mode.in_range();
        let state = State {
            aggregator: Aggregator::new(mode),
            mode,
            features: None,
            connection: 0,
            viewers: HashMap::new(),
            pointers: Pointers::default(),
            tell_at: None,
            told_at: None,
            left: false,
            mirrored: None,
        };
        let shared = Shared {
            state: Mutex::new(state),
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
        let status = self.change(|state| {
            state.aggregator.join(peer, rights);
            let told = state.status(rights);
            let (sender, status) = watch::channel(told);
            let mailbox = Mailbox::default();
            let (mail, room) = (mail.clone(), room.clone());
            let viewer = Viewer { rights, acting: false, told, status: sender, mailbox, mail, room };
            state.viewers.insert(peer, viewer);
            status
        });
        ViewerInput { hub: self.clone(), peer, status, mail, room }
    }

    /// A viewer goes: what it holds is let go, and what it still does counts for nothing. Again: nothing.
    pub(crate) fn leave(&self, peer: PeerId) {
        let viewer = self.change(|state| {
            let viewer = state.viewers.remove(&peer)?;
            state.left = true;
            state.aggregator.leave(peer);
            state.pointers.remove(peer);
            // Dropped without the lock: that wakes who watches its status.
            Some(viewer)
        });
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

impl State {
    fn handle(&mut self, now: Instant, peer: PeerId, event: &InputEvent) -> Result<(), Full> {
        let Some(viewer) = self.viewers.get(&peer) else { return Ok(()) };
        self.aggregator.handle(now, peer, event)?;
        if viewer.rights.allows(DeviceClass::Pointer) && self.mode != InputMode::ViewOnly {
            self.pointers.handle(now, peer, event);
        }
        Ok(())
    }

    /// Whom to tell that the viewer's event may be taken now, if one waits.
    fn room(&self, peer: PeerId) -> Option<Arc<Notify>> {
        self.viewers.get(&peer).filter(|_| self.aggregator.waits(peer)).map(|viewer| viewer.room.clone())
    }

    /// Only if the rights are still those `before`. Gives whom to tell that there is mail.
    fn set_rights(&mut self, peer: PeerId, before: Rights, rights: Rights) -> Option<Arc<Notify>> {
        let viewer = self.viewers.get_mut(&peer).filter(|viewer| viewer.rights == before)?;
        viewer.rights = rights;
        if !rights.allows(DeviceClass::Gamepad) {
            viewer.mailbox.rest();
        }
        if !rights.allows(DeviceClass::Pointer) {
            self.pointers.remove(peer);
        }
        self.aggregator.set_rights(peer, rights);
        Some(viewer.mail.clone())
    }

    /// Something has changed. True if that makes [`Self::timeout`] earlier.
    ///
    /// Deadlines of the aggregator that it may have set lie farther off than [`TELL_EVERY`] and are not asked for.
    fn will_tell(&mut self, now: Instant) -> bool {
        let sooner = self.tell_at.is_none();
        if sooner {
            self.tell_at = Some(self.told_at.map_or(now, |told| now.max(told + TELL_EVERY)));
        }
        sooner
    }

    fn timeout(&self) -> Option<Instant> {
        // Those that rest are left out by what is told next, which is not at once.
        let next = self.tell_at.or(self.told_at.map(|told| told + TELL_EVERY));
        let pointers = self.pointers.timeout().map(|rests| next.map_or(rests, |next| rests.max(next)));
        [self.tell_at, self.aggregator.timeout(), pointers].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<News> {
        self.aggregator.handle_timeout(now);
        self.will_tell(now);
        if self.tell_at.is_some_and(|at| at > now) {
            return None;
        }
        self.told_at = Some(now);
        self.tell_at = None;
        let acting = match &self.mirrored {
            Some(mirrored) => mirrored.acting.clone(),
            None => self.aggregator.acting(now),
        };
        let pointers = self.pointers.poll(now);
        let list = std::mem::take(&mut self.left);
        let mut news = News { statuses: Vec::new(), pointers, list };
        let stream = self.status(Rights::NONE);
        for (peer, viewer) in &mut self.viewers {
            let status = InputStatus { rights: viewer.rights, ..stream };
            if viewer.told != status {
                news.list |= viewer.told.rights != status.rights;
                viewer.told = status;
                news.statuses.push((viewer.status.clone(), status));
            }
            let acts = acting.binary_search(peer).is_ok();
            news.list |= viewer.acting != acts;
            viewer.acting = acts;
        }
        Some(news)
    }

    /// Whether this is the connection by which a source takes input.
    fn takes(&self, connection: u64) -> bool {
        self.features.is_some() && self.connection == connection
    }

    fn status(&self, rights: Rights) -> InputStatus {
        InputStatus { mode: self.mode, features: self.features, rights, turn: self.turn() }
    }

    fn turn(&self) -> Option<PeerId> {
        self.mirrored.as_ref().map_or_else(|| self.aggregator.turn(), |mirrored| mirrored.turn)
    }
}

impl ViewerInput {
    /// Hands in what the viewer did. Waits while too much of the viewer's waits for the host, or what it must not overtake.
    /// Cancel safe: the event was not taken then.
    pub(crate) async fn send(&self, event: &InputEvent) {
        while self.try_send(event).is_err() {
            // Room that was made before this waits has left its permit.
            self.room.notified().await;
        }
    }

    fn try_send(&self, event: &InputEvent) -> Result<(), Full> {
        let now = task::now();
        let mut state = self.hub.state();
        state.handle(now, self.peer, event)?;
        let sooner = state.will_tell(now);
        drop(state);
        self.hub.shared.filled.notify_one();
        if sooner {
            self.hub.shared.sooner.notify_one();
        }
        Ok(())
    }

    /// Lets go what the viewer holds.
    pub(crate) fn release(&self) {
        self.hub.change(|state| state.aggregator.release(self.peer));
    }

    pub(crate) fn expect_heartbeat(&self, expected: bool) {
        self.hub.change(|state| state.aggregator.expect_heartbeat(self.peer, expected));
    }

    /// What the viewer may do now.
    pub(crate) fn rights(&self) -> Rights {
        self.hub.rights(self.peer)
    }

    /// Makes [`InputHub::changed`] return.
    pub(crate) fn look_again(&self) {
        self.hub.look_again();
    }

    pub(crate) fn watch_status(&self) -> watch::Receiver<InputStatus> {
        self.status.clone()
    }

    pub(crate) fn watch_pointers(&self) -> watch::Receiver<Arc<[Pointer]>> {
        self.hub.shared.pointers.subscribe()
    }

    /// What the host wants of the viewer's gamepads next: of each kind and gamepad the newest. Cancel safe.
    pub(crate) async fn feedback(&self) -> GamepadFeedback {
        loop {
            let next = self.hub.state().viewers.get_mut(&self.peer).and_then(|viewer| viewer.mailbox.poll());
            match next {
                Some(feedback) => return feedback,
                None => self.mail.notified().await,
            }
        }
    }
}

impl Drop for ViewerInput {
    fn drop(&mut self) {
        self.hub.leave(self.peer);
    }
}

impl Inputs {
    /// What the host is to be told next. Take it when the host has room for it: what waits meanwhile is merged, and
    /// viewers whose input may not be lost wait too. Waits for ever once the run has ended, or the source has asked for
    /// inputs again. Cancel safe.
    pub async fn next(&mut self) -> HostInput {
        self.next_with(TextChange::Allowed).await
    }

    /// What the host is to be told next, if there is anything.
    pub fn try_next(&mut self) -> Option<HostInput> {
        self.try_next_with(TextChange::Allowed)
    }

    /// As [`Self::next`]. While no change is allowed what would be one is left waiting. Cancel safe.
    pub(crate) async fn next_with(&mut self, change: TextChange) -> HostInput {
        loop {
            if let Some(input) = self.try_next_with(change) {
                return input;
            }
            if !self.hub.state().takes(self.connection) {
                // The wake-up that this may have taken is its successor's.
                self.hub.shared.filled.notify_one();
                return pending().await;
            }
            // One that came in between has left its permit.
            self.hub.shared.filled.notified().await;
        }
    }

    pub(crate) fn try_next_with(&mut self, change: TextChange) -> Option<HostInput> {
        loop {
            let mut state = self.hub.state();
            if !state.takes(self.connection) {
                return None;
            }
            let (peer, input) = state.aggregator.poll_place(change)?;
            let room = state.room(peer);
            drop(state);
            if let Some(room) = room {
                room.notify_one();
            }
            if input.is_some() {
                return input;
            }
        }
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.hub.disconnect(Some(self.connection));
    }
}

impl fmt::Debug for InputHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputHub").finish_non_exhaustive()
    }
}

/// How often it is told at most who acts, who points where and how input stands.
const TELL_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
