//! A host as seen by whoever sits in front of it: what happened on it, and how it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::input::event::{GamepadTouch, Pen, Sensor};

/// Two hosts on which the same happened are equal, however moves were merged on the way.
///
/// Panics on what no user could have done: a key that goes down twice, a finger that moves without having touched down, a
/// gamepad that acts without being plugged in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Desktop {
    /// All of keys, buttons and fingers that may neither be lost nor overtaken, with what it must not have overtaken.
    pub(super) happened: Vec<Happened>,
    /// And of the pen.
    pub(super) drawn: Vec<Happened>,
    /// And of gamepads.
    pub(super) played: Vec<Happened>,
    pub(super) typed: String,
    /// The wheel, by the place where it turned.
    pub(super) wheel: Vec<(Pointer, i64, i64)>,
    pub(super) scrolled: (i64, i64),
    pointer: Pointer,
    keys: BTreeSet<u8>,
    buttons: BTreeSet<u8>,
    fingers: BTreeMap<u32, Touch>,
    pen: Option<Pen>,
    pen_is_down: bool,
    gamepads: BTreeMap<GamepadSlot, Plugged>,
}

/// The last place, and how far it moved from there.
type Pointer = (Option<Position>, i64, i64);

#[derive(Debug, PartialEq)]
pub(super) enum Happened {
    Key(u8, bool, Modifiers),
    /// Where the pointer was, and how far the wheel had turned.
    Button(u8, bool, Pointer, (i64, i64)),
    Finger {
        before: Option<Touch>,
        now: Touch,
    },
    Pen {
        before: Option<Pen>,
        now: Pen,
    },
    Plugged(GamepadSlot, GamepadInfo),
    Unplugged(GamepadSlot),
    Pressed {
        slot: GamepadSlot,
        before: GamepadState,
        now: GamepadState,
    },
    Touchpad {
        slot: GamepadSlot,
        before: Option<GamepadTouch>,
        now: GamepadTouch,
    },
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Plugged {
    state: GamepadState,
    sensors: BTreeMap<u8, [f32; 3]>,
    fingers: BTreeMap<(u8, u32), GamepadTouch>,
}

impl Desktop {
    /// Whether nothing is held on it, and nothing is plugged into it.
    pub(super) fn is_left_alone(&self) -> bool {
        self.keys.is_empty()
            && self.buttons.is_empty()
            && self.fingers.is_empty()
            && self.pen.is_none()
            && self.gamepads.is_empty()
    }

    /// Forgets what happened, but for how it stands.
    pub(super) fn clear(&mut self) {
        for happened in [&mut self.happened, &mut self.drawn, &mut self.played] {
            happened.clear();
        }
        self.typed.clear();
    }

    pub(super) fn handle(&mut self, input: HostInput) {
        match input {
            HostInput::Key { code, down, modifiers } => {
                let changed = if down { self.keys.insert(code.0) } else { self.keys.remove(&code.0) };
                assert!(changed, "{input:?} twice");
                assert_eq!(modifiers, modifiers_of(&self.keys), "{input:?}");
                self.happened.push(Happened::Key(code.0, down, modifiers));
            }
            HostInput::Text(character) => self.typed.push(character),
            HostInput::PointerTo(place) => self.pointer = (Some(place), 0, 0),
            HostInput::PointerBy { dx, dy } => {
                assert_ne!((dx, dy), (0, 0));
                self.pointer.1 += i64::from(dx);
                self.pointer.2 += i64::from(dy);
            }
            HostInput::Scroll { horizontal, amount } => {
                assert_ne!(amount, 0);
                let (dx, dy) = if horizontal { (amount.into(), 0) } else { (0, amount.into()) };
                self.scrolled = (self.scrolled.0 + dx, self.scrolled.1 + dy);
                match self.wheel.last_mut() {
                    Some(here) if here.0 == self.pointer => *here = (here.0, here.1 + dx, here.2 + dy),
                    _ => self.wheel.push((self.pointer, dx, dy)),
                }
            }
            HostInput::Button { button, down } => {
                let number = button as u8;
                let changed = if down { self.buttons.insert(number) } else { self.buttons.remove(&number) };
                assert!(changed, "{input:?} twice");
                self.happened.push(Happened::Button(number, down, self.pointer, self.scrolled));
            }
            HostInput::Touch(touch) => self.touch(touch),
            HostInput::Pen(pen) => self.pen(pen),
            HostInput::GamepadConnected { slot, info } => {
                assert!(self.gamepads.insert(slot, Plugged::default()).is_none(), "{slot:?} is taken");
                self.played.push(Happened::Plugged(slot, info));
            }
            HostInput::Gamepad { slot, state, active } => self.gamepad(slot, state, active),
            HostInput::GamepadMotion { slot, reading } => {
                let gamepad = self.gamepads.get_mut(&slot).expect("plugged in");
                match (reading.sensor, reading.value) {
                    (Sensor::Gyroscope, [0.0, 0.0, 0.0]) => {
                        gamepad.sensors.remove(&(Sensor::Gyroscope as u8))
                    }
                    (sensor, value) => gamepad.sensors.insert(sensor as u8, value),
                };
            }
            HostInput::GamepadTouch { slot, touch } => {
                let fingers = &mut self.gamepads.get_mut(&slot).expect("plugged in").fingers;
                let finger = (touch.touchpad, touch.contact);
                let before = fingers.remove(&finger);
                assert_eq!(before.is_some(), touch.phase != PointerPhase::Down, "{touch:?}");
                if matches!(touch.phase, PointerPhase::Down | PointerPhase::Move) {
                    fingers.insert(finger, touch);
                }
                if touch.phase != PointerPhase::Move {
                    self.played.push(Happened::Touchpad { slot, before, now: touch });
                }
            }
        }
    }

    fn touch(&mut self, touch: Touch) {
        assert!(touch.contact < 32);
        let before = self.fingers.remove(&touch.contact);
        assert_eq!(before.is_some(), touch.phase != PointerPhase::Down, "{touch:?}");
        if matches!(touch.phase, PointerPhase::Down | PointerPhase::Move) {
            self.fingers.insert(touch.contact, touch);
        }
        if touch.phase != PointerPhase::Move {
            self.happened.push(Happened::Finger { before, now: touch });
        }
    }

    fn pen(&mut self, pen: Pen) {
        let before = self.pen.take();
        assert!(
            before.is_some() || matches!(pen.phase, PointerPhase::Hover | PointerPhase::Down),
            "{pen:?} out of nowhere"
        );
        if !matches!(pen.phase, PointerPhase::Cancel | PointerPhase::Leave) {
            self.pen = Some(pen);
        }
        let (was_down, down) = (self.pen_is_down, pen.phase == PointerPhase::Move);
        self.pen_is_down = match pen.phase {
            PointerPhase::Down | PointerPhase::Move => true,
            PointerPhase::Buttons => was_down,
            _ => false,
        };
        let goes_on = matches!(pen.phase, PointerPhase::Hover | PointerPhase::Move)
            && was_down == down
            && before.is_some_and(|before| (before.buttons, before.tool) == (pen.buttons, pen.tool));
        if !goes_on {
            self.drawn.push(Happened::Pen { before, now: pen });
        }
    }

    fn gamepad(&mut self, slot: GamepadSlot, state: GamepadState, active: u16) {
        if active & 1 << slot.get() == 0 {
            assert_eq!(state, GamepadState::default());
            assert!(self.gamepads.remove(&slot).is_some(), "{slot:?} is free");
            self.played.push(Happened::Unplugged(slot));
        } else {
            let gamepad = self.gamepads.get_mut(&slot).expect("plugged in");
            let before = std::mem::replace(&mut gamepad.state, state);
            if before.buttons != state.buttons {
                self.played.push(Happened::Pressed { slot, before, now: state });
            }
        }
        let plugged = self.gamepads.keys().fold(0, |mask, slot| mask | 1 << slot.get());
        assert_eq!(active, plugged, "what is plugged in");
    }
}

/// As the table of virtual keys has them.
pub(super) fn modifiers_of(keys: &BTreeSet<u8>) -> Modifiers {
    let any = |codes: &[u8]| codes.iter().any(|code| keys.contains(code));
    let mut bits = 0;
    if any(&[0x10, 0xa0, 0xa1]) {
        bits |= 1;
    }
    if any(&[0x11, 0xa2, 0xa3]) {
        bits |= 2;
    }
    if any(&[0x12, 0xa4, 0xa5]) {
        bits |= 4;
    }
    if any(&[0x5b, 0x5c]) {
        bits |= 8;
    }
    Modifiers(bits)
}
