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

#[cfg(test)]
mod tests {
    use super::*;

    fn gamepad(index: u8) -> GamepadIndex {
        GamepadIndex::new(index).unwrap()
    }

    fn rumble(index: u8, low: u16) -> GamepadFeedback {
        GamepadFeedback::Rumble { gamepad: gamepad(index), low, high: 7 }
    }

    fn led(index: u8, red: u8) -> GamepadFeedback {
        GamepadFeedback::Led { gamepad: gamepad(index), rgb: [red, 0, 0] }
    }

    fn motion(index: u8, sensor: Sensor, rate: u16) -> GamepadFeedback {
        GamepadFeedback::Motion { gamepad: gamepad(index), sensor, rate }
    }

    fn all(mailbox: &mut Mailbox) -> Vec<GamepadFeedback> {
        std::iter::from_fn(|| mailbox.poll()).collect()
    }

    #[test]
    fn of_each_gamepad_and_kind_the_newest_is_told_in_the_place_of_the_first() {
        let mut mailbox = Mailbox::default();
        for feedback in [
            rumble(0, 1),
            led(0, 1),
            rumble(1, 1),
            motion(0, Sensor::Gyroscope, 100),
            motion(0, Sensor::Accelerometer, 50),
            rumble(0, 2),
            motion(0, Sensor::Gyroscope, 0),
        ] {
            mailbox.handle(feedback);
        }
        let told = [
            rumble(0, 2),
            led(0, 1),
            rumble(1, 1),
            motion(0, Sensor::Gyroscope, 0),
            motion(0, Sensor::Accelerometer, 50),
        ];
        assert_eq!(all(&mut mailbox), told);

        mailbox.handle(rumble(0, 2));
        assert_eq!(all(&mut mailbox), [rumble(0, 2)], "said again, told again");
    }

    #[test]
    fn whatever_a_host_says_a_viewer_that_hears_nothing_has_a_bounded_list() {
        let mut mailbox = Mailbox::default();
        for low in 0..1000 {
            for index in 0..16 {
                mailbox.handle(rumble(index, low));
                mailbox.handle(led(index, low as u8));
                mailbox.handle(GamepadFeedback::TriggerRumble {
                    gamepad: gamepad(index),
                    left: low,
                    right: 0,
                });
                mailbox.handle(motion(index, Sensor::Gyroscope, low));
                mailbox.handle(motion(index, Sensor::Accelerometer, low));
            }
        }
        assert_eq!((mailbox.waiting.len(), mailbox.lasting.len()), (80, 64));
    }

    #[test]
    fn what_a_lost_host_began_ends_once() {
        let mut mailbox = Mailbox::default();
        let stopped = GamepadFeedback::Rumble { gamepad: gamepad(1), low: 0, high: 0 };
        for feedback in [rumble(0, 1), rumble(1, 1), stopped, led(0, 1), motion(2, Sensor::Gyroscope, 100)] {
            mailbox.handle(feedback);
        }
        all(&mut mailbox);
        mailbox.handle(rumble(0, 2));
        mailbox.rest();
        let rest = GamepadFeedback::Rumble { gamepad: gamepad(0), low: 0, high: 0 };
        assert_eq!(all(&mut mailbox), [rest, motion(2, Sensor::Gyroscope, 0)]);
        mailbox.rest();
        assert_eq!(all(&mut mailbox), []);
    }
}
