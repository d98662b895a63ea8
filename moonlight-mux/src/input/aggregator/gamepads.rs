//! Gamepads, and the host's slots for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::outbox::{Device, Writer};
use crate::input::event::{
    GamepadIndex, GamepadInfo, GamepadState, GamepadTouch, PointerPhase, Sensor, SensorReading,
};
use crate::input::host::{GamepadSlot, HostInput};
use crate::peer::PeerId;

/// Whose gamepad each of the host's slots is for.
#[derive(Debug, Default)]
pub(super) struct Slots([Option<(PeerId, GamepadIndex)>; GamepadSlot::COUNT]);

impl Slots {
    pub(super) fn owner(&self, slot: GamepadSlot) -> Option<(PeerId, GamepadIndex)> {
        self.0[usize::from(slot.get())]
    }

    /// By their slots.
    pub(super) fn owners(&self) -> impl Iterator<Item = (PeerId, GamepadIndex)> {
        self.0.iter().copied().flatten()
    }

    fn take(&mut self, owner: (PeerId, GamepadIndex)) -> Option<GamepadSlot> {
        let (number, free) = (0..).zip(&mut self.0).find(|(_, slot)| slot.is_none())?;
        *free = Some(owner);
        GamepadSlot::new(number)
    }

    fn free(&mut self, slot: GamepadSlot) {
        self.0[usize::from(slot.get())] = None;
    }
}

/// The gamepads of one viewer.
#[derive(Debug, Default)]
pub(super) struct Gamepads {
    known: Vec<Gamepad>,
    /// When the last ones were plugged in at the host, at most [`PLUGS`].
    plugs: VecDeque<Instant>,
}

#[derive(Debug)]
struct Gamepad {
    index: GamepadIndex,
    info: GamepadInfo,
    /// The host's, while it is plugged in there.
    slot: Option<GamepadSlot>,
    /// As the host was told last.
    state: GamepadState,
    /// Whether the gyroscope turned last: games go on turning until they are told.
    turning: bool,
    /// Fingers on its touchpads, as they were told last.
    fingers: Vec<GamepadTouch>,
}

impl Gamepads {
    /// Whether something is pressed on any.
    pub(super) fn hold(&self) -> bool {
        self.known.iter().any(|gamepad| !is_at_rest(&gamepad.state) || !gamepad.fingers.is_empty())
    }

    /// Whether the state must be seen: a button goes down or up, or the gamepad is not plugged in at the host yet.
    pub(super) fn must_see(&self, index: GamepadIndex, state: &GamepadState) -> bool {
        self.find(index)
            .is_none_or(|gamepad| gamepad.slot.is_none() || gamepad.state.buttons != state.buttons)
    }

    pub(super) fn knows(&self, index: GamepadIndex) -> bool {
        self.find(index).is_some()
    }

    /// Knows it from now on. It is not plugged in at the host by this.
    pub(super) fn connect(
        &mut self,
        index: GamepadIndex,
        info: GamepadInfo,
        slots: &mut Slots,
        outbox: &mut Writer<'_>,
    ) {
        if self.find(index).is_some_and(|known| known.info == info) {
            return;
        }
        self.disconnect(index, slots, outbox);
        self.known.push(Gamepad {
            index,
            info,
            slot: None,
            state: GamepadState::default(),
            turning: false,
            fingers: Vec::new(),
        });
    }

    pub(super) fn disconnect(&mut self, index: GamepadIndex, slots: &mut Slots, outbox: &mut Writer<'_>) {
        if let Some(place) = self.known.iter().position(|gamepad| gamepad.index == index) {
            self.known.remove(place).unplug(slots, outbox);
        }
    }

    /// Plugs it in at the host, if it is not, into the lowest slot that is free. Without one, and if the viewer has
    /// [`PLUGGED`] there or plugged in [`PLUGS`] within [`PLUGS_IN`], it waits for the next attempt.
    pub(super) fn plug(
        &mut self,
        now: Instant,
        peer: PeerId,
        index: GamepadIndex,
        slots: &mut Slots,
        outbox: &mut Writer<'_>,
    ) {
        let plugged = self.known.iter().filter(|gamepad| gamepad.slot.is_some()).count();
        let Some(gamepad) = self.known.iter_mut().find(|gamepad| gamepad.index == index) else { return };
        let recent = self.plugs.iter().filter(|&&plug| now < plug + PLUGS_IN).count();
        if gamepad.slot.is_some() || plugged >= PLUGGED || recent >= PLUGS {
            return;
        }
        gamepad.slot = slots.take((peer, index));
        if gamepad.slot.is_some() {
            self.plugs.truncate(PLUGS - 1);
            self.plugs.push_front(now);
            gamepad.announce(outbox);
        }
    }

    pub(super) fn handle_state(&mut self, index: GamepadIndex, state: GamepadState, outbox: &mut Writer<'_>) {
        let Some((gamepad, slot)) = self.plugged(index) else { return };
        let pressed = gamepad.state.buttons != state.buttons;
        if gamepad.state == state {
            return;
        }
        gamepad.state = state;
        if pressed {
            outbox.push_gamepad(slot, state);
        } else {
            outbox.replace_gamepad(slot, state);
        }
    }

    pub(super) fn handle_motion(
        &mut self,
        index: GamepadIndex,
        reading: SensorReading,
        outbox: &mut Writer<'_>,
    ) {
        let Some((gamepad, slot)) = self.plugged(index) else { return };
        if reading.sensor == Sensor::Gyroscope {
            gamepad.turning = reading.value != [0.0; 3];
        }
        outbox.replace(Device::Sensor(slot, reading.sensor), HostInput::GamepadMotion { slot, reading });
    }

    /// Fingers beyond [`FINGERS`], and such that never went down, are ignored. One that goes down twice was taken away in
    /// between.
    pub(super) fn handle_touch(&mut self, index: GamepadIndex, touch: GamepadTouch, outbox: &mut Writer<'_>) {
        let Some((gamepad, slot)) = self.plugged(index) else { return };
        let known = gamepad
            .fingers
            .iter()
            .position(|finger| (finger.touchpad, finger.contact) == (touch.touchpad, touch.contact));
        let device = Device::Touchpad(slot, touch.touchpad, touch.contact);
        let input = HostInput::GamepadTouch { slot, touch };
        match (touch.phase, known) {
            (PointerPhase::Down, Some(known)) => {
                let lost = std::mem::replace(&mut gamepad.fingers[known], touch);
                let touch = GamepadTouch { phase: PointerPhase::Cancel, ..lost };
                outbox.push(device, HostInput::GamepadTouch { slot, touch });
                outbox.push(device, input);
            }
            (PointerPhase::Down, None) if gamepad.fingers.len() < FINGERS => {
                gamepad.fingers.push(touch);
                outbox.push(device, input);
            }
            (PointerPhase::Move, Some(known)) => {
                gamepad.fingers[known] = touch;
                outbox.replace(device, input);
            }
            (PointerPhase::Up | PointerPhase::Cancel, Some(known)) => {
                gamepad.fingers.remove(known);
                outbox.push(device, input);
            }
            _ => {}
        }
    }

    /// They rest from now on, and stay plugged in.
    pub(super) fn rest(&mut self, outbox: &mut Writer<'_>) {
        for gamepad in &mut self.known {
            gamepad.rest(outbox);
        }
    }

    /// Unplugs all of them at the host; they are still known.
    pub(super) fn unplug(&mut self, slots: &mut Slots, outbox: &mut Writer<'_>) {
        for gamepad in &mut self.known {
            gamepad.unplug(slots, outbox);
        }
    }

    /// Tells a host that knows of nothing of a gamepad that is plugged in.
    pub(super) fn announce(&self, index: GamepadIndex, outbox: &mut Writer<'_>) {
        if let Some(gamepad) = self.find(index) {
            gamepad.announce(outbox);
        }
    }

    /// What is pressed on them is forgotten; the host knows nothing of it.
    pub(super) fn forget(&mut self) {
        for gamepad in &mut self.known {
            gamepad.state = GamepadState::default();
            gamepad.turning = false;
            gamepad.fingers.clear();
        }
    }

    fn find(&self, index: GamepadIndex) -> Option<&Gamepad> {
        self.known.iter().find(|gamepad| gamepad.index == index)
    }

    fn find_mut(&mut self, index: GamepadIndex) -> Option<&mut Gamepad> {
        self.known.iter_mut().find(|gamepad| gamepad.index == index)
    }

    fn plugged(&mut self, index: GamepadIndex) -> Option<(&mut Gamepad, GamepadSlot)> {
        let gamepad = self.find_mut(index)?;
        let slot = gamepad.slot?;
        Some((gamepad, slot))
    }
}

impl Gamepad {
    fn announce(&self, outbox: &mut Writer<'_>) {
        if let Some(slot) = self.slot {
            outbox.push(Device::Gamepad(slot), HostInput::GamepadConnected { slot, info: self.info });
            outbox.push_gamepad(slot, GamepadState::default());
        }
    }

    fn rest(&mut self, outbox: &mut Writer<'_>) {
        let Some(slot) = self.slot else { return };
        for finger in self.fingers.drain(..) {
            let touch = GamepadTouch { phase: PointerPhase::Cancel, ..finger };
            let device = Device::Touchpad(slot, touch.touchpad, touch.contact);
            outbox.push(device, HostInput::GamepadTouch { slot, touch });
        }
        if std::mem::take(&mut self.turning) {
            let reading = SensorReading { sensor: Sensor::Gyroscope, value: [0.0; 3] };
            let device = Device::Sensor(slot, reading.sensor);
            outbox.replace(device, HostInput::GamepadMotion { slot, reading });
        }
        let (before, state) = (std::mem::take(&mut self.state), GamepadState::default());
        if before.buttons != state.buttons {
            outbox.push_gamepad(slot, state);
        } else if before != state {
            // What was moved alone is never refused, so that this must not add to it each time.
            outbox.replace_gamepad(slot, state);
        }
    }

    fn unplug(&mut self, slots: &mut Slots, outbox: &mut Writer<'_>) {
        self.rest(outbox);
        if let Some(slot) = self.slot.take() {
            slots.free(slot);
            outbox.unplug(slot);
        }
    }
}

/// Whether nothing is pressed, and nothing is moved further than a worn gamepad moves by itself.
pub(super) fn is_at_rest(state: &GamepadState) -> bool {
    let GamepadState { buttons, left_trigger, right_trigger, left_stick, right_stick } = *state;
    let sticks = [left_stick.0, left_stick.1, right_stick.0, right_stick.1];
    buttons.0 == 0
        && left_trigger.max(right_trigger) <= TRIGGER_REST
        && sticks.iter().all(|axis| axis.unsigned_abs() <= STICK_REST)
}

/// Of one viewer, at once: as many as browsers show. So four viewers can fill the host, and no fewer.
pub(super) const PLUGGED: usize = 4;

/// How often a viewer plugs in within [`PLUGS_IN`]: all it may have, and each once more when it turns out to be another. A
/// host makes a device each time, which takes it longer than anything else that viewers do.
pub(super) const PLUGS: usize = 2 * PLUGGED;

pub(super) const PLUGS_IN: Duration = Duration::from_secs(4);

/// On one gamepad's touchpads: two of two fingers each, and those that a page says twice.
const FINGERS: usize = 8;

const TRIGGER_REST: u8 = 30;

/// A quarter of its way.
const STICK_REST: u16 = 8192;
