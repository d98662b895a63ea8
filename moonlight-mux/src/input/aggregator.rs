//! Many viewers become one user of the host. Pure.

mod gamepads;
mod keyboard;
mod locks;
mod outbox;
mod pen;
mod pointer;
mod touch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gamepads::{Gamepads, Slots, is_at_rest};
use keyboard::{HeldKeys, Keyboard};
use outbox::{Device, Outbox};
use pen::HostPen;
use pointer::{Motion, Mouse};
use touch::{Contacts, Fingers};

use super::event::{Buttons, GamepadInfo, InputEvent, KeySet, PointerPhase, Position};
use super::host::{GamepadFeedback, GamepadSlot, HostFeedback, HostInput};
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

/// So much waits for the host already that an event that must not be lost was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// One at a time: whose time it is.
#[derive(Debug)]
struct Turn {
    peer: PeerId,
    /// When last.
    acted: Instant,
}

/// A viewer, and what it holds.
#[derive(Debug)]
struct Viewer {
    rights: Rights,
    keys: HeldKeys,
    buttons: Buttons,
    fingers: Fingers,
    gamepads: Gamepads,
    /// Whether it says something at least every [`SILENCE`] while it holds anything.
    heartbeat: bool,
    /// When it said something last, whatever it was.
    heard: Option<Instant>,
    /// When it acted last; `None` once that is [`ACTING`] ago.
    acted: Option<Instant>,
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
            viewer.gamepads.unplug(&mut self.host.slots, &mut self.host.outbox);
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
    /// is what makes no sense: a repeat, the release of what is not held, a 33rd finger, a 17th gamepad (which is plugged in
    /// by what it does once there is a slot).
    ///
    /// # Errors
    /// When too much waits for the host: the event is not taken, and may be handed in again once [`Self::poll`] has given
    /// something. Never for what may be merged with what waits: moves, wheel, sticks, sensors, `Held` and `ReleaseAll`.
    pub(crate) fn handle(&mut self, now: Instant, peer: PeerId, event: &InputEvent) -> Result<(), Full> {
        if self.turn_ends().is_some_and(|end| end <= now) {
            self.end_turn();
        }
        let Some(viewer) = self.viewers.get_mut(&peer) else { return Ok(()) };
        viewer.heard = Some(now);
        let held = viewer.holds(peer, &self.host);
        let begins = if let Some(class) = class_that_acts(event) {
            let begins = begins(event);
            let turn = match (self.mode, &self.turn) {
                (InputMode::Shared, _) => true,
                (InputMode::OneAtATime { .. }, Some(turn)) => turn.peer == peer,
                (InputMode::OneAtATime { .. }, None) => begins,
                (InputMode::ViewOnly, _) => false,
            };
            if !turn || !viewer.rights.allows(class) || !self.host.outbox.is_connected() {
                return Ok(());
            }
            if self.host.outbox.is_full() && viewer.must_not_be_lost(peer, event, &self.host) {
                return Err(Full);
            }
            viewer.act(peer, event, &mut self.host);
            begins
        } else {
            viewer.handle_always(peer, event, self.mode, &mut self.host)?;
            false
        };
        if begins || held {
            viewer.acted = Some(now);
            if let InputMode::OneAtATime { .. } = self.mode {
                self.turn = Some(Turn { peer, acted: now });
            }
        }
        Ok(())
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
            viewer.gamepads.unplug(&mut self.host.slots, &mut self.host.outbox);
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
                viewer.gamepads.announce(index, &mut self.host.outbox);
            }
        }
    }

    /// The host is gone: what waits for it is dropped, and so is what viewers do until there is one again.
    pub(crate) fn handle_disconnected(&mut self) {
        self.forget();
        self.host.outbox.disconnect();
    }

    /// What the host is to be told next.
    pub(crate) fn poll(&mut self) -> Option<HostInput> {
        self.host.outbox.poll()
    }

    /// When [`Self::handle_timeout`] is due. Changes with whatever viewers do.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let viewers = self.viewers.iter().filter_map(|(&peer, viewer)| viewer.timeout(peer, &self.host));
        viewers.chain(self.turn_ends()).min()
    }

    /// Lets go what silent viewers hold, ends turns, and forgets who acted. Nothing when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for (&peer, viewer) in &mut self.viewers {
            if viewer.falls_silent(peer, &self.host).is_some_and(|due| due <= now) {
                viewer.let_go(peer, Rights::ALL, &mut self.host);
            }
            viewer.acted.take_if(|acted| *acted + ACTING <= now);
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

    /// Who acts now: who acted within the last second, or holds something. Whoever stops by time alone does so at a
    /// [`Self::timeout`].
    pub(crate) fn acting(&self, now: Instant) -> Vec<PeerId> {
        let acts = |&(&peer, viewer): &(&PeerId, &Viewer)| {
            viewer.holds(peer, &self.host) || viewer.acted.is_some_and(|acted| now < acted + ACTING)
        };
        self.viewers.iter().filter(acts).map(|(&peer, _)| peer).collect()
    }

    /// Whose turn it is, one at a time; `None` where nobody's, or in another mode.
    pub(crate) fn turn(&self) -> Option<PeerId> {
        self.turn.as_ref().map(|turn| turn.peer)
    }

    fn turn_ends(&self) -> Option<Instant> {
        let (InputMode::OneAtATime { idle }, Some(turn)) = (self.mode, &self.turn) else { return None };
        let holds = self.viewers.get(&turn.peer).is_some_and(|viewer| viewer.holds(turn.peer, &self.host));
        if holds { None } else { turn.acted.checked_add(idle) }
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
        for viewer in self.viewers.values_mut() {
            viewer.keys.forget();
            viewer.buttons = Buttons::default();
            viewer.fingers.forget();
            viewer.gamepads.forget();
        }
    }
}

impl Viewer {
    fn new(rights: Rights) -> Self {
        Self {
            rights,
            keys: HeldKeys::default(),
            buttons: Buttons::default(),
            fingers: Fingers::default(),
            gamepads: Gamepads::default(),
            heartbeat: false,
            heard: None,
            acted: None,
        }
    }

    fn holds(&self, peer: PeerId, host: &Host) -> bool {
        !self.keys.is_empty()
            || self.buttons != Buttons::default()
            || !self.fingers.is_empty()
            || self.gamepads.hold()
            || host.pen.is_down(peer)
    }

    fn timeout(&self, peer: PeerId, host: &Host) -> Option<Instant> {
        let rests = self.acted.filter(|_| !self.holds(peer, host)).map(|acted| acted + ACTING);
        self.falls_silent(peer, host).into_iter().chain(rests).min()
    }

    fn falls_silent(&self, peer: PeerId, host: &Host) -> Option<Instant> {
        let heard = self.heard.filter(|_| self.heartbeat && self.holds(peer, host))?;
        Some(heard + SILENCE)
    }

    fn must_not_be_lost(&self, peer: PeerId, event: &InputEvent, host: &Host) -> bool {
        match event {
            InputEvent::Key { .. } | InputEvent::Text(_) | InputEvent::Button { .. } => true,
            InputEvent::Touch(touch) => touch.phase != PointerPhase::Move,
            InputEvent::Pen(pen) => !host.pen.goes_on(peer, pen),
            InputEvent::Gamepad { index, state } => self.gamepads.must_see(*index, state),
            InputEvent::GamepadTouch { touch, .. } => touch.phase != PointerPhase::Move,
            _ => false,
        }
    }

    /// What needs neither a turn nor a host: gamepads come and go, and what is held is let go.
    fn handle_always(
        &mut self,
        peer: PeerId,
        event: &InputEvent,
        mode: InputMode,
        host: &mut Host,
    ) -> Result<(), Full> {
        match event {
            InputEvent::GamepadConnected { index, info } => {
                let plugs = self.rights.allows(DeviceClass::Gamepad) && mode != InputMode::ViewOnly;
                if plugs && host.outbox.is_full() {
                    return Err(Full);
                }
                self.gamepads.connect(*index, *info, &mut host.slots, &mut host.outbox);
                if plugs {
                    self.gamepads.plug(peer, *index, &mut host.slots, &mut host.outbox);
                }
            }
            InputEvent::GamepadDisconnected { index } => {
                self.gamepads.disconnect(*index, &mut host.slots, &mut host.outbox);
            }
            InputEvent::Held { keys, buttons } => self.keep(keys, *buttons, host),
            InputEvent::ReleaseAll => self.let_go(peer, Rights::ALL, host),
            _ => {}
        }
        Ok(())
    }

    /// What it may do, it does.
    fn act(&mut self, peer: PeerId, event: &InputEvent, host: &mut Host) {
        let outbox = &mut host.outbox;
        match event {
            InputEvent::Key { code, down, modifiers, locks } => {
                self.keys.handle((*code, *down), *modifiers, *locks, &mut host.keyboard, outbox);
            }
            InputEvent::Text(text) => {
                for character in text.chars() {
                    outbox.push(Device::Keyboard, HostInput::Text(character));
                }
            }
            InputEvent::PointerTo(place) => outbox.move_pointer(Motion::To(*place)),
            InputEvent::PointerBy { dx, dy } => outbox.move_pointer(Motion::By(*dx, *dy)),
            InputEvent::Button { button, down, at } => {
                move_to(*at, outbox);
                host.mouse.handle(&mut self.buttons, *button, *down, outbox);
            }
            InputEvent::Scroll { dx, dy, at } => {
                move_to(*at, outbox);
                outbox.move_pointer(Motion::Scroll(*dx, *dy));
            }
            InputEvent::Touch(touch) => self.fingers.handle(touch, &mut host.contacts, outbox),
            InputEvent::Pen(pen) => host.pen.handle(peer, pen, outbox),
            InputEvent::Gamepad { index, state } => {
                if !self.gamepads.knows(*index) {
                    self.gamepads.connect(*index, GamepadInfo::default(), &mut host.slots, outbox);
                }
                self.gamepads.plug(peer, *index, &mut host.slots, outbox);
                self.gamepads.handle_state(*index, *state, outbox);
            }
            InputEvent::GamepadMotion { index, reading } => {
                self.gamepads.handle_motion(*index, *reading, outbox);
            }
            InputEvent::GamepadTouch { index, touch } => self.gamepads.handle_touch(*index, *touch, outbox),
            InputEvent::GamepadConnected { .. }
            | InputEvent::GamepadDisconnected { .. }
            | InputEvent::Held { .. }
            | InputEvent::ReleaseAll => {}
        }
    }

    /// Lets go the keys and buttons that are not among these.
    fn keep(&mut self, keys: &KeySet, buttons: Buttons, host: &mut Host) {
        host.mouse.keep(&mut self.buttons, buttons, &mut host.outbox);
        self.keys.keep(keys, &mut host.keyboard, &mut host.outbox);
    }

    /// Lets go what it holds of these classes; gamepads rest.
    fn let_go(&mut self, peer: PeerId, classes: Rights, host: &mut Host) {
        let outbox = &mut host.outbox;
        if classes.allows(DeviceClass::Pointer) {
            host.mouse.keep(&mut self.buttons, Buttons::default(), outbox);
        }
        if classes.allows(DeviceClass::Touch) {
            self.fingers.release(&mut host.contacts, outbox);
        }
        if classes.allows(DeviceClass::Pen) {
            host.pen.release(peer, outbox);
        }
        if classes.allows(DeviceClass::Gamepad) {
            self.gamepads.rest(outbox);
        }
        if classes.allows(DeviceClass::Keyboard) {
            self.keys.release(&mut host.keyboard, outbox);
        }
    }
}

fn move_to(at: Option<Position>, outbox: &mut Outbox) {
    if let Some(place) = at {
        outbox.move_pointer(Motion::To(place));
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

/// A viewer that holds something, and says something at least every 250 ms, is gone after so long.
const SILENCE: Duration = Duration::from_secs(1);

/// So long after what it did a viewer counts as acting.
const ACTING: Duration = Duration::from_secs(1);
