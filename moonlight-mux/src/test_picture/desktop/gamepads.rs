//! What is pressed on gamepads, in letters that the picture has.

use crate::input::{GamepadSlot, GamepadState};

/// All gamepads that are plugged in.
#[derive(Debug, Default)]
pub(super) struct Gamepads {
    states: [Option<GamepadState>; GamepadSlot::COUNT],
}

impl Gamepads {
    pub(super) fn handle_connected(&mut self, slot: GamepadSlot) {
        self.states[usize::from(slot.get())] = Some(GamepadState::default());
    }

    pub(super) fn handle(&mut self, slot: GamepadSlot, state: GamepadState, active: u16) {
        self.states[usize::from(slot.get())] = Some(state);
        for (number, state) in self.states.iter_mut().enumerate() {
            state.take_if(|_| active & 1 << number == 0);
        }
    }

    pub(super) fn unplug_all(&mut self) {
        *self = Self::default();
    }

    /// Number and buttons of each, as in `PAD0 A LB PAD3`.
    pub(super) fn names(&self) -> String {
        let plugged = self.states.iter().enumerate().filter_map(|(i, state)| Some((i, state.as_ref()?)));
        let words =
            plugged.flat_map(|(number, state)| [format!("PAD{number}")].into_iter().chain(pressed(state)));
        words.collect::<Vec<_>>().join(" ")
    }
}

fn pressed(state: &GamepadState) -> impl Iterator<Item = String> {
    let names = BUTTONS.into_iter().enumerate().filter(|(bit, _)| state.buttons.0 & 1 << bit != 0);
    let buttons = names.map(|(_, name)| name).filter(|name| !name.is_empty());
    let axes = [
        (state.left_trigger > 0, "LT"),
        (state.right_trigger > 0, "RT"),
        (state.left_stick != (0, 0), "LEFT*"),
        (state.right_stick != (0, 0), "RIGHT*"),
    ];
    let moved = axes.into_iter().filter_map(|(moved, name)| moved.then_some(name));
    buttons.chain(moved).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// By their bits (streams 3.3.9); the eleventh has no meaning.
const BUTTONS: [&str; 22] = [
    "UP", "DOWN", "LEFT", "RIGHT", "START", "BACK", "LS", "RS", "LB", "RB", "HOME", "", "A", "B", "X", "Y",
    "P1", "P2", "P3", "P4", "PAD", "MISC",
];
