//! Many viewers become one user of the host. Pure.

mod gamepads;
mod keyboard;
mod locks;
mod motion;
mod outbox;
mod pen;
mod pointer;
mod touch;
mod viewer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use gamepads::{Slots, is_at_rest};
use keyboard::Keyboard;
use outbox::Outbox;
use pen::HostPen;
use pointer::Mouse;
use touch::Contacts;
use viewer::Viewer;

use super::event::{InputEvent, PointerPhase};
use super::host::{GamepadFeedback, GamepadSlot, HostFeedback, HostInput, TextChange};
use super::rights::{DeviceClass, InputMode, Rights};
use crate::peer::PeerId;

/// The input of all viewers of one stream.
#[derive(Debug)]
pub(crate) struct Aggregator {
    mode: InputMode,
    turn: Option<Turn>,
    viewers: BTreeMap<PeerId, Viewer>,
    host: Host,
}

/// So much of the viewer's waits for the host already, or such, that an event that must not be lost was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// One at a time: whose time it is.
#[derive(Debug)]
struct Turn {
    peer: PeerId,
    /// When last.
    acted: Instant,
}

/// The host as it will be when it has taken all that waits for it.
#[derive(Debug, Default)]
struct Host {
    keyboard: Keyboard,
    mouse: Mouse,
    contacts: Contacts,
    pen: HostPen,
    slots: Slots,
    outbox: Outbox,
}

impl Aggregator {
    /// With nobody there, and no host.
    pub(crate) fn new(mode: InputMode) -> Self {
        Self { mode, turn: None, viewers: BTreeMap::new(), host: Host::default() }
    }

    /// A viewer comes.
    pub(crate) fn join(&mut self, peer: PeerId, rights: Rights) {
        self.leave(peer);
        self.viewers.insert(peer, Viewer::new(rights));
    }

    /// A viewer is gone: what it held is let go, its gamepads are unplugged.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        if let Some(mut viewer) = self.viewers.remove(&peer) {
            viewer.let_go(peer, Rights::ALL, &mut self.host);
            viewer.gamepads.unplug(&mut self.host.slots, &mut self.host.outbox.by(peer));
        }
        self.turn.take_if(|turn| turn.peer == peer);
    }

    /// Whether the viewer says `Held` every 250 ms while it holds anything: what it holds is let go when it has said nothing
    /// for 1 s. Not so at first.
    pub(crate) fn expect_heartbeat(&mut self, peer: PeerId, expected: bool) {
        if let Some(viewer) = self.viewers.get_mut(&peer) {
            viewer.heartbeat = expected;
        }
    }

    /// Takes what a viewer did. An event that the viewer has no right to, or not the turn for, is taken and does nothing. So
    /// is what makes no sense: a repeat, the release of what is not held, a viewer's 11th finger, or the 33rd of all, a gamepad that there is no slot for
    /// (which is plugged in by what it does once there is one).
    ///
    /// # Errors
    /// When too much of the same viewer waits for the host, or text waits that the event must not overtake, or what text must
    /// not overtake: the event is not taken, and may be handed in again once [`Self::poll_place`] has given something of that
    /// viewer. Never for moves, sticks, sensors, `Held` and `ReleaseAll`, which are merged with what waits; for the wheel
    /// behind text alone.
    pub(crate) fn handle(&mut self, now: Instant, peer: PeerId, event: &InputEvent) -> Result<(), Full> {
        if self.turn_ends().is_some_and(|end| end <= now) {
            self.end_turn();
        }
        let Some(viewer) = self.viewers.get_mut(&peer) else { return Ok(()) };
        viewer.heard = Some(now);
        let waited = std::mem::take(&mut viewer.waits);
        let held = viewer.holds(peer, &self.host);
        let begins = begins(event);
        if let Some(class) = class_that_acts(event) {
            let turn = match (self.mode, &self.turn) {
                (InputMode::Shared, _) => true,
                (InputMode::OneAtATime { .. }, Some(turn)) => turn.peer == peer,
                (InputMode::OneAtATime { .. }, None) => begins,
                (InputMode::ViewOnly, _) => false,
            };
            if !turn || !viewer.rights.allows(class) || !self.host.outbox.is_connected() {
                return Ok(());
            }
            if viewer.must_wait(peer, event, &self.host) {
                viewer.waits = true;
                return Err(Full);
            }
            viewer.act(now, peer, event, &mut self.host);
        } else if let Err(full) = viewer.handle_always(now, peer, event, self.mode, &mut self.host) {
            viewer.waits = true;
            return Err(full);
        }
        // What was held until now counts as acting until now.
        if begins || held {
            viewer.acted = Some(now);
            if let InputMode::OneAtATime { .. } = self.mode {
                self.turn = Some(Turn { peer, acted: now });
            }
        } else if let Some(turn) = self.turn.as_mut().filter(|turn| waited && turn.peer == peer) {
            // It has not rested: what it did next waited behind this.
            turn.acted = now;
        }
        Ok(())
    }

    /// Whether the viewer's last event was not taken.
    pub(crate) fn waits(&self, peer: PeerId) -> bool {
        self.viewers.get(&peer).is_some_and(|viewer| viewer.waits)
    }

    /// Lets everything go that the viewer holds; it is still there.
    pub(crate) fn release(&mut self, peer: PeerId) {
        if let Some(viewer) = self.viewers.get_mut(&peer) {
            viewer.let_go(peer, Rights::ALL, &mut self.host);
        }
    }

    /// What it holds of a class that it may not use any more is let go. Nothing for a viewer that is gone.
    pub(crate) fn set_rights(&mut self, peer: PeerId, rights: Rights) {
        let Some(viewer) = self.viewers.get_mut(&peer) else { return };
        viewer.rights = rights;
        let lost = DeviceClass::ALL.into_iter().filter(|&class| !rights.allows(class)).collect();
        viewer.let_go(peer, lost, &mut self.host);
        if lost.allows(DeviceClass::Gamepad) {
            viewer.gamepads.unplug(&mut self.host.slots, &mut self.host.outbox.by(peer));
        }
    }

    /// What is held by viewers that may not hold it in this mode is let go.
    pub(crate) fn set_mode(&mut self, mode: InputMode) {
        let before = std::mem::replace(&mut self.mode, mode);
        if std::mem::discriminant(&before) == std::mem::discriminant(&mode) {
            return;
        }
        self.turn = None;
        if mode != InputMode::Shared {
            for (&peer, viewer) in &mut self.viewers {
                viewer.let_go(peer, Rights::ALL, &mut self.host);
            }
        }
    }

    /// A host takes input from now on, and knows of nothing that viewers hold: their gamepads are plugged in again, their
    /// keys and buttons are not pressed again.
    pub(crate) fn handle_connected(&mut self) {
        self.forget();
        self.host.outbox.connect();
        for (peer, index) in self.host.slots.owners() {
            if let Some(viewer) = self.viewers.get(&peer) {
                viewer.gamepads.announce(index, &mut self.host.outbox.by(peer));
            }
        }
    }

    /// The host is gone: what waits for it is dropped, and so is what viewers do until there is one again.
    pub(crate) fn handle_disconnected(&mut self) {
        self.forget();
        self.host.outbox.disconnect();
    }

    /// Whose place is free next, so that more of that viewer's may be taken now, and what the host is to be told of it:
    /// nothing where moves have cancelled each other. To be called again until it gives `None`.
    pub(crate) fn poll_place(&mut self, change: TextChange) -> Option<(PeerId, Option<HostInput>)> {
        self.host.outbox.poll(change)
    }

    /// What the host is to be told next, and whose it was, where nobody sleeps until there is a place.
    #[cfg(any(test, feature = "bench-support"))]
    pub(crate) fn poll(&mut self, change: TextChange) -> Option<(PeerId, HostInput)> {
        loop {
            if let (peer, Some(input)) = self.poll_place(change)? {
                return Some((peer, input));
            }
        }
    }

    /// When [`Self::handle_timeout`] is due. Changes with whatever viewers do.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let viewers = self.viewers.iter().filter_map(|(&peer, viewer)| viewer.timeout(peer, &self.host));
        viewers.chain(self.turn_ends()).min()
    }

    /// Lets go what silent viewers hold, ends turns, and forgets who acted. Nothing when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for (&peer, viewer) in &mut self.viewers {
            viewer.handle_timeout(now, peer, &mut self.host);
        }
        if self.turn_ends().is_some_and(|end| end <= now) {
            self.end_turn();
        }
    }

    /// Whose gamepad this is for, as that viewer calls it; `None` where the slot is free.
    pub(crate) fn route(&self, feedback: HostFeedback<GamepadSlot>) -> Option<(PeerId, GamepadFeedback)> {
        let (peer, index) = self.host.slots.owner(feedback.gamepad())?;
        Some((peer, feedback.with_gamepad(index)))
    }

    /// Who acts now, in order: who acted within the last second, or holds something. Whoever stops by time alone does so at a
    /// [`Self::timeout`].
    pub(crate) fn acting(&self, now: Instant) -> Vec<PeerId> {
        let viewers = self.viewers.iter().filter(|&(&peer, viewer)| viewer.acts(now, peer, &self.host));
        viewers.map(|(&peer, _)| peer).collect()
    }

    /// Whose turn it is, one at a time; `None` where nobody's, or in another mode.
    pub(crate) fn turn(&self) -> Option<PeerId> {
        self.turn.as_ref().map(|turn| turn.peer)
    }

    fn turn_ends(&self) -> Option<Instant> {
        let (InputMode::OneAtATime { idle }, Some(turn)) = (self.mode, &self.turn) else { return None };
        let goes_on = |viewer: &Viewer| viewer.waits || viewer.holds(turn.peer, &self.host);
        if self.viewers.get(&turn.peer).is_some_and(goes_on) { None } else { turn.acted.checked_add(idle) }
    }

    fn end_turn(&mut self) {
        if let Some(Turn { peer, .. }) = self.turn.take() {
            self.release(peer);
        }
    }

    /// The host that is gone or new has none of it.
    fn forget(&mut self) {
        self.host.keyboard.forget();
        self.host.mouse.forget();
        self.host.contacts.forget();
        self.host.pen.forget();
        self.viewers.values_mut().for_each(Viewer::forget);
    }
}

/// The right that an event needs; `None` of those that are heeded whoever's turn it is.
fn class_that_acts(event: &InputEvent) -> Option<DeviceClass> {
    match event {
        InputEvent::Key { .. } => Some(DeviceClass::Keyboard),
        InputEvent::Text(_) => Some(DeviceClass::Text),
        InputEvent::PointerTo(_)
        | InputEvent::PointerBy { .. }
        | InputEvent::Button { .. }
        | InputEvent::Scroll { .. } => Some(DeviceClass::Pointer),
        InputEvent::Touch(_) => Some(DeviceClass::Touch),
        InputEvent::Pen(_) => Some(DeviceClass::Pen),
        InputEvent::Gamepad { .. } | InputEvent::GamepadMotion { .. } | InputEvent::GamepadTouch { .. } => {
            Some(DeviceClass::Gamepad)
        }
        InputEvent::GamepadConnected { .. }
        | InputEvent::GamepadDisconnected { .. }
        | InputEvent::Held { .. }
        | InputEvent::ReleaseAll => None,
    }
}

/// Whether an event is enough to take a turn that is free: something is pressed or moved, and not let go, and it is none of
/// what gamepads say while nobody touches them.
fn begins(event: &InputEvent) -> bool {
    match event {
        InputEvent::Key { down, .. } | InputEvent::Button { down, .. } => *down,
        InputEvent::Text(text) => !text.is_empty(),
        InputEvent::PointerTo(_) => true,
        InputEvent::PointerBy { dx, dy } => (*dx, *dy) != (0, 0),
        InputEvent::Scroll { dx, dy, .. } => (*dx, *dy) != (0, 0),
        InputEvent::Touch(touch) => touch.phase == PointerPhase::Down,
        InputEvent::Pen(pen) => matches!(pen.phase, PointerPhase::Hover | PointerPhase::Down),
        InputEvent::Gamepad { state, .. } => !is_at_rest(state),
        InputEvent::GamepadTouch { touch, .. } => touch.phase == PointerPhase::Down,
        _ => false,
    }
}
