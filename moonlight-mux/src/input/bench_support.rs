//! What the benches call: viewers that act by turns, before a host that takes all at once. No public interface.

use std::time::Instant;

use super::aggregator::Aggregator;
use super::event::{
    GamepadButtons, GamepadIndex, GamepadInfo, GamepadState, InputEvent, KeyCode, Modifiers, MouseButton,
    Position,
};
use super::host::TextChange;
use super::rights::{InputMode, Rights};
use crate::peer::PeerId;

/// Viewers of one stream. Each has a gamepad plugged in while there are slots, and holds a key.
#[derive(Debug)]
pub struct Crowd {
    aggregator: Aggregator,
    viewers: Vec<PeerId>,
    now: Instant,
    /// How often it acted.
    count: usize,
}

/// What the viewers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// The pointer goes to another place.
    Move,
    /// A key goes down, and up the next time.
    Key,
    /// A button goes down at a place, and up the next time.
    Click,
    /// A stick moves.
    Stick,
}

impl Crowd {
    /// So many, with all rights.
    #[must_use]
    pub fn new(viewers: usize) -> Self {
        let mut aggregator = Aggregator::new(InputMode::Shared);
        aggregator.handle_connected();
        let now = crate::task::now();
        let viewers: Vec<_> = std::iter::repeat_with(PeerId::random).take(viewers).collect();
        for &viewer in &viewers {
            aggregator.join(viewer, Rights::ALL);
            let key = InputEvent::Key {
                code: KeyCode(0x57),
                down: true,
                modifiers: Modifiers::default(),
                locks: None,
            };
            let gamepad =
                InputEvent::GamepadConnected { index: first_gamepad(), info: GamepadInfo::default() };
            for event in [key, gamepad] {
                aggregator.handle(now, viewer, &event).expect("the host takes all at once");
            }
        }
        let mut crowd = Self { aggregator, viewers, now, count: 0 };
        crowd.take();
        crowd
    }

    /// The next viewer does something. Whether it was taken.
    pub fn act(&mut self, doing: Doing) -> bool {
        let round = self.count / self.viewers.len();
        let viewer = self.viewers[self.count % self.viewers.len()];
        self.count += 1;
        let down = round.is_multiple_of(2);
        #[allow(clippy::cast_possible_truncation, reason = "any number does")]
        let x = round as u16;
        let event = match doing {
            Doing::Move => InputEvent::PointerTo(Position { x, y: 0 }),
            Doing::Key => {
                InputEvent::Key { code: KeyCode(0x41), down, modifiers: Modifiers::default(), locks: None }
            }
            Doing::Click => {
                InputEvent::Button { button: MouseButton::Left, down, at: Some(Position { x, y: 0 }) }
            }
            Doing::Stick => InputEvent::Gamepad {
                index: first_gamepad(),
                state: GamepadState {
                    buttons: GamepadButtons(0),
                    left_stick: (x.cast_signed(), 0),
                    ..GamepadState::default()
                },
            },
        };
        self.aggregator.handle(self.now, viewer, &event).is_ok()
    }

    /// The host takes all that waits; how much that was.
    pub fn take(&mut self) -> usize {
        std::iter::from_fn(|| self.aggregator.poll(TextChange::Allowed)).count()
    }
}

fn first_gamepad() -> GamepadIndex {
    GamepadIndex::new(0).expect("at most 15")
}
