//! What is down at the host.

use std::collections::BTreeMap;

use crate::input::{
    Buttons, GamepadSlot, GamepadState, GamepadTouch, HostInput, KeyCode, KeySet, Modifiers, MouseButton,
    Pen, PointerPhase, Touch,
};

/// What the host was told that is down, and not yet that it is up. Pure.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: KeySet,
    buttons: Buttons,
    /// By the host's number. Bounded by whoever gives contacts their numbers.
    touches: BTreeMap<u32, Touch>,
    /// Where it was last, while it is near.
    pen: Option<Pen>,
    /// A bit for each slot that is taken.
    gamepads: u16,
    /// Fingers on gamepads, by slot, touchpad and contact. Bounded as `touches`.
    gamepad_touches: BTreeMap<(GamepadSlot, u8, u32), GamepadTouch>,
}

impl Held {
    /// The host is told this.
    pub(super) fn handle(&mut self, input: &HostInput) {
        match *input {
            HostInput::Key { code, down: true, .. } => {
                self.keys.insert(code);
            }
            HostInput::Key { code, down: false, .. } => {
                self.keys.remove(code);
            }
            HostInput::Button { button, down } => {
                let bit = 1 << button as u8;
                self.buttons.0 = if down { self.buttons.0 | bit } else { self.buttons.0 & !bit };
            }
            HostInput::Touch(touch) => follow(&mut self.touches, touch.contact, touch.phase, touch),
            HostInput::Pen(pen) => {
                let gone = matches!(pen.phase, PointerPhase::Leave);
                let down = match pen.phase {
                    PointerPhase::Hover | PointerPhase::Up | PointerPhase::Cancel => PointerPhase::Hover,
                    PointerPhase::Down | PointerPhase::Move => PointerPhase::Down,
                    PointerPhase::Buttons | PointerPhase::Leave => {
                        self.pen.map_or(PointerPhase::Hover, |pen| pen.phase)
                    }
                };
                self.pen = (!gone).then_some(Pen { phase: down, ..pen });
            }
            HostInput::GamepadConnected { slot, .. } => self.gamepads |= 1 << slot.get(),
            HostInput::Gamepad { slot, active, .. } => {
                self.gamepads = active;
                if active & 1 << slot.get() == 0 {
                    self.gamepad_touches.retain(|&(of, ..), _| of != slot);
                }
            }
            HostInput::GamepadTouch { slot, touch } => {
                follow(&mut self.gamepad_touches, (slot, touch.touchpad, touch.contact), touch.phase, touch);
            }
            HostInput::Text(_)
            | HostInput::PointerTo(_)
            | HostInput::PointerBy { .. }
            | HostInput::Scroll { .. }
            | HostInput::GamepadMotion { .. } => {}
        }
    }

    /// What lets all of it go; then nothing is down. At most some hundreds: 256 keys, 5 buttons, 16 gamepads, a pen, and
    /// the contacts.
    pub(super) fn release(&mut self) -> Vec<HostInput> {
        let Self { keys, buttons, touches, pen, gamepads, gamepad_touches } = std::mem::take(self);
        let mut releases = Vec::new();
        releases.extend(gamepad_touches.into_iter().map(|((slot, ..), touch)| {
            let touch = GamepadTouch { phase: PointerPhase::Cancel, ..touch };
            HostInput::GamepadTouch { slot, touch }
        }));
        let mut active = gamepads;
        for slot in (0..).map_while(GamepadSlot::new).filter(|slot| gamepads & 1 << slot.get() != 0) {
            active &= !(1 << slot.get());
            releases.push(HostInput::Gamepad { slot, state: GamepadState::default(), active });
        }
        let cancelled = |touch| HostInput::Touch(Touch { phase: PointerPhase::Cancel, ..touch });
        releases.extend(touches.into_values().map(cancelled));
        if let Some(pen) = pen {
            if pen.phase == PointerPhase::Down {
                releases.push(HostInput::Pen(Pen { phase: PointerPhase::Cancel, ..pen }));
            }
            releases.push(HostInput::Pen(Pen { phase: PointerPhase::Leave, ..pen }));
        }
        let down = MouseButton::ALL.into_iter().filter(|&button| buttons.contains(button));
        releases.extend(down.map(|button| HostInput::Button { button, down: false }));
        // Modifiers that tell left from right have the highest codes but for signs: letters go first.
        let up = |code: KeyCode| HostInput::Key { code, down: false, modifiers: Modifiers::default() };
        releases.extend(keys.iter().map(up));
        releases
    }
}

/// Keeps the last of each contact that is down.
fn follow<K: Ord, T>(contacts: &mut BTreeMap<K, T>, key: K, phase: PointerPhase, touch: T) {
    match phase {
        PointerPhase::Down => {
            contacts.insert(key, touch);
        }
        PointerPhase::Up | PointerPhase::Cancel => {
            contacts.remove(&key);
        }
        PointerPhase::Move => {
            contacts.entry(key).and_modify(|last| *last = touch);
        }
        PointerPhase::Hover | PointerPhase::Leave | PointerPhase::Buttons => {}
    }
}
