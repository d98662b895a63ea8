//! One viewer: what it may do, and what it holds.

use std::time::{Duration, Instant};

use super::gamepads::Gamepads;
use super::keyboard::HeldKeys;
use super::motion::Motion;
use super::outbox::Writer;
use super::touch::Fingers;
use super::{Full, Host};
use crate::input::event::{Buttons, GamepadInfo, InputEvent, KeySet, Pen, PointerPhase, Position, Touch};
use crate::input::host::Order;
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
    /// Its last event was not taken yet, so that it cannot be heard.
    pub(super) waits: bool,
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
            waits: false,
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
        let heard = self.heard.filter(|_| self.heartbeat && !self.waits && self.holds(peer, host))?;
        Some(heard + SILENCE)
    }

    /// Whether an event of which the host is to be told has to wait: it must not be lost, and there is no place for it, or it
    /// must not overtake what waits.
    pub(super) fn must_wait(&self, peer: PeerId, event: &InputEvent, host: &Host) -> bool {
        let places = host.outbox.places(peer);
        places.are_before(order(event)) || places.are_full() && self.must_not_be_lost(peer, event, host)
    }

    /// Whether a later event of its kind does not make up for it.
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
    pub(super) fn handle_always(
        &mut self,
        now: Instant,
        peer: PeerId,
        event: &InputEvent,
        mode: InputMode,
        host: &mut Host,
    ) -> Result<(), Full> {
        let full = host.outbox.places(peer).are_full();
        let outbox = &mut host.outbox.by(peer);
        match event {
            InputEvent::GamepadConnected { index, info } => {
                let plugs = self.rights.allows(DeviceClass::Gamepad) && mode != InputMode::ViewOnly;
                if plugs && full {
                    return Err(Full);
                }
                self.gamepads.connect(*index, *info, &mut host.slots, outbox);
                if plugs {
                    self.gamepads.plug(now, peer, *index, &mut host.slots, outbox);
                }
            }
            InputEvent::GamepadDisconnected { index } => {
                self.gamepads.disconnect(*index, &mut host.slots, outbox);
            }
            InputEvent::Held { keys, buttons } => self.keep(peer, keys, *buttons, host),
            InputEvent::ReleaseAll => self.let_go(peer, Rights::ALL, host),
            _ => {}
        }
        Ok(())
    }

    /// What it may do, it does.
    pub(super) fn act(&mut self, now: Instant, peer: PeerId, event: &InputEvent, host: &mut Host) {
        let outbox = &mut host.outbox.by(peer);
        match event {
            InputEvent::Key { code, down, modifiers, locks } => {
                self.keys.handle((*code, *down), *modifiers, *locks, &mut host.keyboard, outbox);
            }
            InputEvent::Text(text) => outbox.push_text(text),
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
                self.gamepads.plug(now, peer, *index, &mut host.slots, outbox);
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
    fn keep(&mut self, peer: PeerId, keys: &KeySet, buttons: Buttons, host: &mut Host) {
        let outbox = &mut host.outbox.by(peer);
        host.mouse.keep(&mut self.buttons, buttons, outbox);
        self.keys.keep(keys, &mut host.keyboard, outbox);
    }

    /// Lets go what it holds of these classes; gamepads rest.
    pub(super) fn let_go(&mut self, peer: PeerId, classes: Rights, host: &mut Host) {
        let outbox = &mut host.outbox.by(peer);
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

/// As what the host is told of it.
fn order(event: &InputEvent) -> Order {
    match event {
        InputEvent::Text(_) => Order::Text,
        InputEvent::Key { .. } | InputEvent::Button { .. } | InputEvent::Scroll { .. } => Order::Action,
        InputEvent::Touch(Touch { phase, .. }) | InputEvent::Pen(Pen { phase, .. }) => phase.order(),
        InputEvent::PointerTo(_)
        | InputEvent::PointerBy { .. }
        | InputEvent::GamepadConnected { .. }
        | InputEvent::Gamepad { .. }
        | InputEvent::GamepadMotion { .. }
        | InputEvent::GamepadTouch { .. }
        | InputEvent::GamepadDisconnected { .. }
        | InputEvent::Held { .. }
        | InputEvent::ReleaseAll => Order::Free,
    }
}

fn move_to(at: Option<Position>, outbox: &mut Writer<'_>) {
    if let Some(place) = at {
        outbox.move_pointer(Motion::To(place));
    }
}

/// A viewer that holds something, and says something at least every 250 ms, is gone after so long.
const SILENCE: Duration = Duration::from_secs(1);

/// So long after what it did a viewer counts as acting.
const ACTING: Duration = Duration::from_secs(1);
