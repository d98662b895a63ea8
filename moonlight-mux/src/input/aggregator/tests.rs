//! What viewers do, and what the host is told.

mod desktop;
mod gamepads;
mod keyboard;
mod pointer;
mod property;
mod reference;
mod sharing;
mod touch;
mod waiting;

use std::time::{Duration, Instant};

use super::*;
use crate::input::event::{
    Buttons, GamepadButtons, GamepadIndex, GamepadInfo, GamepadState, KeyCode, KeySet, Locks, Modifiers,
    MouseButton, Position, Touch,
};

/// Viewers in front of a host.
struct Room {
    aggregator: Aggregator,
    now: Instant,
}

impl Room {
    /// With a host, and so many viewers that may do everything.
    fn new<const VIEWERS: usize>() -> (Self, [PeerId; VIEWERS]) {
        Self::in_mode(InputMode::Shared)
    }

    fn in_mode<const VIEWERS: usize>(mode: InputMode) -> (Self, [PeerId; VIEWERS]) {
        let mut aggregator = Aggregator::new(mode);
        aggregator.handle_connected();
        let viewers = [(); VIEWERS].map(|()| PeerId::random());
        for viewer in viewers {
            aggregator.join(viewer, Rights::ALL);
        }
        (Self { aggregator, now: crate::task::now() }, viewers)
    }

    /// The viewer does this, and it is taken.
    fn act(&mut self, viewer: PeerId, event: InputEvent) {
        self.try_act(viewer, event).expect("taken");
    }

    fn try_act(&mut self, viewer: PeerId, event: InputEvent) -> Result<(), Full> {
        self.aggregator.handle(self.now, viewer, &event)
    }

    /// The viewer does this, and the host is told.
    fn told(&mut self, viewer: PeerId, event: InputEvent) -> Vec<HostInput> {
        self.act(viewer, event);
        self.all()
    }

    /// All that waits for the host.
    fn all(&mut self) -> Vec<HostInput> {
        std::iter::from_fn(|| self.aggregator.poll(TextChange::Allowed)).map(|(_, input)| input).collect()
    }

    /// Time goes by, and what is due is done then.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.aggregator.timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.aggregator.handle_timeout(self.now);
            let next = self.aggregator.timeout();
            assert!(next.is_none_or(|next| next > self.now), "it would be called for ever");
        }
        self.now = end;
    }
}

fn key(code: u8, down: bool) -> InputEvent {
    key_with(code, down, Modifiers::default())
}

fn key_with(code: u8, down: bool, modifiers: Modifiers) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down, modifiers, locks: None }
}

fn button(down: bool) -> InputEvent {
    InputEvent::Button { button: MouseButton::Left, down, at: None }
}

fn place(x: u16, y: u16) -> Position {
    Position { x, y }
}

fn finger(phase: PointerPhase, contact: u32) -> Touch {
    Touch { phase, contact, position: place(1, 2), pressure: 3, rotation: None, ellipse: (0, 0) }
}

fn pad(index: u8) -> GamepadIndex {
    GamepadIndex::new(index).unwrap()
}

fn slot(number: u8) -> GamepadSlot {
    GamepadSlot::new(number).unwrap()
}

fn pressed(buttons: u32) -> GamepadState {
    GamepadState { buttons: GamepadButtons(buttons), ..GamepadState::default() }
}

/// What the host is told of keys.
fn host_key(code: u8, down: bool, modifiers: Modifiers) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers }
}

fn host_button(down: bool) -> HostInput {
    HostInput::Button { button: MouseButton::Left, down }
}

const NONE: Modifiers = Modifiers(0);
const A: u8 = 0x41;
const LEFT_SHIFT: u8 = 0xa0;
const LEFT_CTRL: u8 = 0xa2;
const RIGHT_CTRL: u8 = 0xa3;
const RIGHT_ALT: u8 = 0xa5;
const CAPS_LOCK: u8 = 0x14;
const NUM_LOCK: u8 = 0x90;
