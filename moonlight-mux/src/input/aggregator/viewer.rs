//! One viewer: what it may do, and what it holds.

use std::time::{Duration, Instant};

use super::gamepads::Gamepads;
use super::keyboard::HeldKeys;
use super::outbox::{Device, Outbox};
use super::pointer::Motion;
use super::touch::Fingers;
use super::{Full, Host};
use crate::input::event::{Buttons, GamepadInfo, InputEvent, KeySet, PointerPhase, Position};
use crate::input::host::HostInput;
use crate::input::rights::{DeviceClass, InputMode, Rights};
use crate::peer::PeerId;

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) rights: Rights,
    keys: HeldKeys,
    buttons: Buttons,
    fingers: Fingers,
    pub(super) gamepads: Gamepads,
    /// Whether it says something at least every [`SILENCE`] while it holds anything.
    pub(super) heartbeat: bool,
    /// When it said something last, whatever it was.
    pub(super) heard: Option<Instant>,
    /// When it acted last; `None` once that is [`ACTING`] ago.
    pub(super) acted: Option<Instant>,
}

impl Viewer {
    pub(super) fn new(rights: Rights) -> Self {
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

    pub(super) fn holds(&self, peer: PeerId, host: &Host) -> bool {
        !self.keys.is_empty()
            || self.buttons != Buttons::default()
            || !self.fingers.is_empty()
            || self.gamepads.hold()
            || host.pen.is_down(peer)
    }

    /// Whether it acted within the last [`ACTING`], or holds something.
    pub(super) fn acts(&self, now: Instant, peer: PeerId, host: &Host) -> bool {
        self.holds(peer, host) || self.acted.is_some_and(|acted| now < acted + ACTING)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn timeout(&self, peer: PeerId, host: &Host) -> Option<Instant> {
        let rests = self.acted.filter(|_| !self.holds(peer, host)).map(|acted| acted + ACTING);
        self.falls_silent(peer, host).into_iter().chain(rests).min()
    }

    /// Lets go what it holds if it fell silent, and forgets when it acted.
    pub(super) fn handle_timeout(&mut self, now: Instant, peer: PeerId, host: &mut Host) {
        if self.falls_silent(peer, host).is_some_and(|due| due <= now) {
            self.let_go(peer, Rights::ALL, host);
        }
        self.acted.take_if(|acted| *acted + ACTING <= now);
    }

    fn falls_silent(&self, peer: PeerId, host: &Host) -> Option<Instant> {
        let heard = self.heard.filter(|_| self.heartbeat && self.holds(peer, host))?;
        Some(heard + SILENCE)
    }

    /// Whether a later event of its kind does not make up for it.
    pub(super) fn must_not_be_lost(&self, peer: PeerId, event: &InputEvent, host: &Host) -> bool {
        match event {
            InputEvent::Key { .. } | InputEvent::Text(_) | InputEvent::Button { .. } => true,
            InputEvent::Touch(touch) => touch.phase != PointerPhase::Move,
            InputEvent::Pen(pen) => !host.pen.goes_on(peer, pen),
            InputEvent::Gamepad { index, state } => self.gamepads.must_see(*index, state),
            InputEvent::GamepadTouch { touch, .. } => touch.phase != PointerPhase::Move,
            _ => false,
        }
    }

    /// What needs neither a turn nor a host: gamepads come and go, and what is held is let go. `room`: whether what must not
    /// be lost is taken.
    pub(super) fn handle_always(
        &mut self,
        peer: PeerId,
        event: &InputEvent,
        mode: InputMode,
        room: bool,
        host: &mut Host,
    ) -> Result<(), Full> {
        match event {
            InputEvent::GamepadConnected { index, info } => {
                let plugs = self.rights.allows(DeviceClass::Gamepad) && mode != InputMode::ViewOnly;
                if plugs && !room {
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
    pub(super) fn act(&mut self, peer: PeerId, event: &InputEvent, host: &mut Host) {
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

    /// It holds nothing any more that the host knows of.
    pub(super) fn forget(&mut self) {
        self.keys.forget();
        self.buttons = Buttons::default();
        self.fingers.forget();
        self.gamepads.forget();
    }

    /// Lets go the keys and buttons that are not among these.
    fn keep(&mut self, keys: &KeySet, buttons: Buttons, host: &mut Host) {
        host.mouse.keep(&mut self.buttons, buttons, &mut host.outbox);
        self.keys.keep(keys, &mut host.keyboard, &mut host.outbox);
    }

    /// Lets go what it holds of these classes; gamepads rest.
    pub(super) fn let_go(&mut self, peer: PeerId, classes: Rights, host: &mut Host) {
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

/// A viewer that holds something, and says something at least every 250 ms, is gone after so long.
const SILENCE: Duration = Duration::from_secs(1);

/// So long after what it did a viewer counts as acting.
const ACTING: Duration = Duration::from_secs(1);
