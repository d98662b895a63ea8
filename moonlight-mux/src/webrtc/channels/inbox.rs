//! What a viewer's messages mean, in whatever order they arrive: what has been overtaken is left out, running totals become
//! movements. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use super::input_message::{Body, Channel, InputMessage, Place};
use super::sequence::Sequence;
use super::{Decode, Fault, INPUT, MOTION};
use crate::input::{GamepadState, GamepadTouch, InputEvent, Pen, PointerPhase, Position, Sensor, Touch};

/// Reads the channels `input` and `motion` of one viewer (docs/http-api.md, What `input` and `motion` carry).
#[derive(Debug, Default)]
pub(in crate::webrtc) struct Inbox {
    pointer: Pointer,
    /// Of keys, buttons and what is held.
    held: Newest,
    fingers: Fingers<u32>,
    pen: PenTrack,
    gamepads: [Option<Gamepad>; 16],
}

impl Decode for Inbox {
    fn decode(
        &mut self,
        _now: Instant,
        label: &str,
        message: &[u8],
        events: &mut VecDeque<InputEvent>,
    ) -> Result<(), Fault> {
        let channel = match label {
            INPUT => Channel::Input,
            MOTION => Channel::Motion,
            _ => return Err(Fault::WrongChannel),
        };
        self.handle(channel, InputMessage::parse(channel, message)?, events);
        Ok(())
    }
}

impl Inbox {
    /// At most three events come of a message.
    fn handle(&mut self, channel: Channel, message: InputMessage, events: &mut VecDeque<InputEvent>) {
        let InputMessage { sequence, body } = message;
        match body {
            Body::Key { code, down, modifiers, locks } => {
                self.held.take(sequence);
                events.push_back(InputEvent::Key { code, down, modifiers, locks });
            }
            Body::Text(text) => events.push_back(InputEvent::Text(text)),
            Body::Pointer(place) => self.pointer.go(sequence, place, events),
            Body::Button { button, down, place } => {
                self.held.take(sequence);
                self.pointer.act(sequence, place, events, |at| InputEvent::Button { button, down, at });
            }
            Body::Scroll { dx, dy, place } => {
                self.pointer.act(sequence, place, events, |at| InputEvent::Scroll { dx, dy, at });
            }
            Body::Touch(touch) => {
                let Touch { contact, phase, .. } = touch;
                events
                    .extend(self.fingers.take(sequence, contact, phase).then_some(InputEvent::Touch(touch)));
            }
            Body::Pen(pen) => events.extend(self.pen.take(sequence, pen).then_some(InputEvent::Pen(pen))),
            Body::GamepadConnected { index, info } => {
                let gamepad = Gamepad { newest: Newest(Some(sequence)), ..Gamepad::default() };
                self.gamepads[usize::from(index.get())] = Some(gamepad);
                events.push_back(InputEvent::GamepadConnected { index, info });
            }
            Body::GamepadDisconnected { index } => {
                self.gamepads[usize::from(index.get())] = None;
                events.push_back(InputEvent::GamepadDisconnected { index });
            }
            Body::Gamepad { index, state } => {
                let gamepad = &mut self.gamepads[usize::from(index.get())];
                if channel == Channel::Input {
                    gamepad.get_or_insert_default();
                }
                let state = gamepad.as_mut().and_then(|gamepad| gamepad.take_state(sequence, channel, state));
                events.extend(state.map(|state| InputEvent::Gamepad { index, state }));
            }
            Body::GamepadMotion { index, reading } => {
                let gamepad = self.gamepads[usize::from(index.get())].as_mut();
                if gamepad.is_some_and(|gamepad| gamepad.sensor(reading.sensor).take(sequence)) {
                    events.push_back(InputEvent::GamepadMotion { index, reading });
                }
            }
            Body::GamepadTouch { index, touch } => {
                let GamepadTouch { touchpad, contact, phase, .. } = touch;
                let gamepad = self.gamepads[usize::from(index.get())].as_mut();
                if gamepad.is_some_and(|gamepad| gamepad.fingers.take(sequence, (touchpad, contact), phase)) {
                    events.push_back(InputEvent::GamepadTouch { index, touch });
                }
            }
            Body::Held { keys, buttons } => {
                if self.held.take(sequence) {
                    events.push_back(InputEvent::Held { keys, buttons });
                }
            }
            Body::ReleaseAll => {
                self.held.take(sequence);
                self.fingers = Fingers::default();
                self.pen.release(sequence);
                self.gamepads.iter_mut().flatten().for_each(|gamepad| gamepad.release(sequence));
                events.push_back(InputEvent::ReleaseAll);
            }
        }
    }
}

/// The newest of the messages about one thing.
#[derive(Clone, Copy, Debug, Default)]
struct Newest(Option<Sequence>);

impl Newest {
    /// Whether the message is the newest, and then it is that from now on.
    fn take(&mut self, sequence: Sequence) -> bool {
        let newer = self.0.is_none_or(|newest| sequence.is_newer_than(newest));
        if newer {
            self.0 = Some(sequence);
        }
        newer
    }
}

#[derive(Debug, Default)]
struct Pointer {
    newest: Newest,
    /// What the newest message that says a place says.
    place: Option<Place>,
    /// The totals up to which the movement was told.
    told: (i32, i32),
}

impl Pointer {
    fn go(&mut self, sequence: Sequence, place: Place, events: &mut VecDeque<InputEvent>) {
        if self.newest.take(sequence) {
            self.place = Some(place);
            self.tell(place, events);
        }
    }

    /// Something is done at a place. If the pointer has gone on already, it does so again behind it.
    fn act(
        &mut self,
        sequence: Sequence,
        place: Place,
        events: &mut VecDeque<InputEvent>,
        event: impl FnOnce(Option<Position>) -> InputEvent,
    ) {
        let overtaken = !self.newest.take(sequence);
        match place {
            Place::Unsaid => events.push_back(event(None)),
            Place::At(position) => events.push_back(event(Some(position))),
            Place::Total { .. } => {
                self.tell(place, events);
                events.push_back(event(None));
            }
        }
        if place != Place::Unsaid {
            match self.place.filter(|newer| overtaken && *newer != place) {
                Some(newer) => self.tell(newer, events),
                None => self.place = Some(place),
            }
        }
    }

    fn tell(&mut self, place: Place, events: &mut VecDeque<InputEvent>) {
        match place {
            Place::Unsaid => {}
            Place::At(position) => events.push_back(InputEvent::PointerTo(position)),
            Place::Total { x, y } => {
                let step = |from: i32, to: i32| to.wrapping_sub(from).clamp(-MAX_STEP, MAX_STEP);
                let (dx, dy) = (step(self.told.0, x), step(self.told.1, y));
                self.told = (x, y);
                if (dx, dy) != (0, 0) {
                    events.push_back(InputEvent::PointerBy { dx, dy });
                }
            }
        }
    }
}

/// Fingers that are down, each with the newest that was said of it. At most [`MAX_FINGERS`]: more are left out, each to its
/// end.
#[derive(Debug)]
struct Fingers<K>(Vec<(K, Newest)>);

impl<K> Default for Fingers<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Fingers<K> {
    /// Whether what is said of the finger counts.
    fn take(&mut self, sequence: Sequence, contact: K, phase: PointerPhase) -> bool {
        let known = self.0.iter().position(|(known, _)| *known == contact);
        match (phase, known) {
            (PointerPhase::Down, None) => {
                let taken = self.0.len() < MAX_FINGERS;
                if taken {
                    self.0.push((contact, Newest(Some(sequence))));
                }
                taken
            }
            // It overtook the finger's down, or its up overtook it.
            (_, None) => false,
            (PointerPhase::Up | PointerPhase::Cancel, Some(known)) => {
                self.0.swap_remove(known);
                true
            }
            (PointerPhase::Down, Some(known)) => {
                self.0[known].1 = Newest(Some(sequence));
                true
            }
            (_, Some(known)) => self.0[known].1.take(sequence),
        }
    }
}

#[derive(Debug, Default)]
struct PenTrack {
    newest: Newest,
    down: bool,
}

impl PenTrack {
    /// Whether what is said of the pen counts.
    fn take(&mut self, sequence: Sequence, pen: Pen) -> bool {
        let newer = self.newest.take(sequence);
        match pen.phase {
            // Of the other kind are those that overtook its down or up.
            PointerPhase::Hover => newer && !self.down,
            PointerPhase::Move => newer && self.down,
            PointerPhase::Down => {
                self.down = true;
                true
            }
            PointerPhase::Up | PointerPhase::Cancel | PointerPhase::Leave => {
                self.down = false;
                true
            }
            PointerPhase::Buttons => true,
        }
    }

    fn release(&mut self, sequence: Sequence) {
        self.newest.take(sequence);
        self.down = false;
    }
}

/// One that is plugged in.
#[derive(Debug, Default)]
struct Gamepad {
    /// Of sticks and triggers.
    newest: Newest,
    /// Buttons of the last state on `input`, sticks and triggers of the newest one.
    state: GamepadState,
    accelerometer: Newest,
    gyroscope: Newest,
    fingers: Fingers<(u8, u32)>,
}

impl Gamepad {
    /// All that is pressed now, if the message counts.
    fn take_state(
        &mut self,
        sequence: Sequence,
        channel: Channel,
        said: GamepadState,
    ) -> Option<GamepadState> {
        let newer = self.newest.take(sequence);
        let buttons = if channel == Channel::Input { said.buttons } else { self.state.buttons };
        self.state = GamepadState { buttons, ..if newer { said } else { self.state } };
        (newer || channel == Channel::Input).then_some(self.state)
    }

    fn sensor(&mut self, sensor: Sensor) -> &mut Newest {
        match sensor {
            Sensor::Accelerometer => &mut self.accelerometer,
            Sensor::Gyroscope => &mut self.gyroscope,
        }
    }

    fn release(&mut self, sequence: Sequence) {
        self.newest.take(sequence);
        self.state = GamepadState::default();
        self.fingers = Fingers::default();
    }
}

/// Of a movement at once, in either direction: what the host takes in one message. More is no hand's.
const MAX_STEP: i32 = i16::MAX as i32;
/// On one screen or gamepad: far more than anybody has.
const MAX_FINGERS: usize = 32;

#[cfg(test)]
mod tests;
