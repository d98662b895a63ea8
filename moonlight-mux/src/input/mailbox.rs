//! What one viewer is to be told of its gamepads. Pure.

use super::event::{GamepadIndex, Sensor};
use super::host::GamepadFeedback;

/// Of each gamepad and kind the newest, in the order in which their first came. So it is bounded: five kinds for each of 16
/// gamepads.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    waiting: Vec<GamepadFeedback>,
    /// What was said last and goes on until it is taken back.
    lasting: Vec<GamepadFeedback>,
}

impl Mailbox {
    /// The host wants this.
    pub(super) fn handle(&mut self, feedback: GamepadFeedback) {
        replace(&mut self.waiting, feedback);
        replace(&mut self.lasting, feedback);
        self.lasting.retain(|said| resting(said).is_some_and(|rest| rest != *said));
    }

    /// What the viewer is to be told next.
    pub(super) fn poll(&mut self) -> Option<GamepadFeedback> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    /// The host is out of reach: what it began ends.
    pub(super) fn rest(&mut self) {
        for said in std::mem::take(&mut self.lasting) {
            if let Some(rest) = resting(&said) {
                replace(&mut self.waiting, rest);
            }
        }
    }
}

fn replace(list: &mut Vec<GamepadFeedback>, feedback: GamepadFeedback) {
    match list.iter_mut().find(|known| key(known) == key(&feedback)) {
        Some(known) => *known = feedback,
        None => list.push(feedback),
    }
}

fn key(feedback: &GamepadFeedback) -> (GamepadIndex, u8, Option<Sensor>) {
    let (kind, sensor) = match feedback {
        GamepadFeedback::Rumble { .. } => (0, None),
        GamepadFeedback::TriggerRumble { .. } => (1, None),
        GamepadFeedback::Led { .. } => (2, None),
        GamepadFeedback::Motion { sensor, .. } => (3, Some(*sensor)),
    };
    (feedback.gamepad(), kind, sensor)
}

/// The same at rest; `None` for what is harmless when it stays.
fn resting(feedback: &GamepadFeedback) -> Option<GamepadFeedback> {
    match *feedback {
        GamepadFeedback::Rumble { gamepad, .. } => Some(GamepadFeedback::Rumble { gamepad, low: 0, high: 0 }),
        GamepadFeedback::TriggerRumble { gamepad, .. } => {
            Some(GamepadFeedback::TriggerRumble { gamepad, left: 0, right: 0 })
        }
        GamepadFeedback::Motion { gamepad, sensor, .. } => {
            Some(GamepadFeedback::Motion { gamepad, sensor, rate: 0 })
        }
        GamepadFeedback::Led { .. } => None,
    }
}
