//! What the host is told, and what it tells of gamepads.

use serde::{Deserialize, Serialize};

use super::event::{
    GamepadIndex, GamepadInfo, GamepadState, GamepadTouch, KeyCode, Modifiers, MouseButton, Pen,
    PointerPhase, Position, Sensor, SensorReading, Touch,
};

/// Which of the host's gamepads: 0 to 15. A slot belongs to one gamepad of one viewer until that is unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamepadSlot(u8);

impl GamepadSlot {
    /// How many there are.
    pub const COUNT: usize = 16;

    /// `None` above 15.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (usize::from(number) < Self::COUNT).then_some(Self(number))
    }

    /// 0 to 15.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What the host's one user does, whoever of the viewers did it. In order; none may be left out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HostInput {
    /// A key. Down once, and up once.
    Key {
        /// Which.
        code: KeyCode,
        /// Down or up.
        down: bool,
        /// The modifier keys that are down at the host, this one included.
        modifiers: Modifiers,
    },
    /// A character, not a key.
    Text(char),
    /// The pointer is at this place.
    PointerTo(Position),
    /// The pointer moved by this much; positive is right and down.
    PointerBy {
        /// To the right.
        dx: i16,
        /// Down.
        dy: i16,
    },
    /// A mouse button, where the pointer is.
    Button {
        /// Which.
        button: MouseButton,
        /// Down or up.
        down: bool,
    },
    /// The wheel: 120 is one notch, positive is right or up.
    Scroll {
        /// Sideways.
        horizontal: bool,
        /// By how much; never 0.
        amount: i16,
    },
    /// A finger. `contact` is the host's own number here, unique over all viewers.
    Touch(Touch),
    /// The pen: there is one, and it belongs to one viewer while it is near.
    Pen(Pen),
    /// A gamepad is plugged in; its resting state follows.
    GamepadConnected {
        /// Where.
        slot: GamepadSlot,
        /// What it is.
        info: GamepadInfo,
    },
    /// What is pressed on a gamepad.
    Gamepad {
        /// Which.
        slot: GamepadSlot,
        /// All that is pressed on it.
        state: GamepadState,
        /// A bit for each slot that is taken. Without its own bit, the gamepad is unplugged by this.
        active: u16,
    },
    /// A gamepad's sensor.
    GamepadMotion {
        /// Which.
        slot: GamepadSlot,
        /// What it measured.
        reading: SensorReading,
    },
    /// A finger on a gamepad's touchpad.
    GamepadTouch {
        /// Which.
        slot: GamepadSlot,
        /// The finger.
        touch: GamepadTouch,
    },
}

/// How an input stands to text, which hosts may take by a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is text.
    Text,
    /// Text may not pass it, nor it text: it may move what text is typed into, or be part of it.
    Action,
    /// It may pass text, and whatever waits for text: moves and gamepads.
    Free,
}

/// Whether the host may be told of text next where [`Order::Action`] came last, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextChange {
    /// It may.
    Allowed,
    /// Not yet: it may still be about to do the one, and would do the other before.
    NotYet,
}

impl HostInput {
    pub(crate) fn order(&self) -> Order {
        match self {
            Self::Text(_) => Order::Text,
            Self::Key { .. } | Self::Button { .. } | Self::Scroll { .. } => Order::Action,
            Self::Touch(Touch { phase, .. }) | Self::Pen(Pen { phase, .. }) => phase.order(),
            Self::PointerTo(_)
            | Self::PointerBy { .. }
            | Self::GamepadConnected { .. }
            | Self::Gamepad { .. }
            | Self::GamepadMotion { .. }
            | Self::GamepadTouch { .. } => Order::Free,
        }
    }
}

impl PointerPhase {
    /// Of a finger or a pen in this phase.
    pub(super) fn order(self) -> Order {
        match self {
            Self::Hover | Self::Move => Order::Free,
            Self::Down | Self::Up | Self::Cancel | Self::Leave | Self::Buttons => Order::Action,
        }
    }
}

/// What the host wants of a gamepad. As a source gives it, `G` is the [`GamepadSlot`]; as a viewer gets it, its own
/// [`GamepadIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostFeedback<G = GamepadSlot> {
    /// How strongly it rumbles from now on, 0 to 65535 each.
    Rumble {
        /// Which.
        gamepad: G,
        /// The low-frequency motor.
        low: u16,
        /// The high-frequency motor.
        high: u16,
    },
    /// How strongly its triggers rumble from now on, 0 to 65535 each.
    TriggerRumble {
        /// Which.
        gamepad: G,
        /// The left one.
        left: u16,
        /// The right one.
        right: u16,
    },
    /// The colour of its light.
    Led {
        /// Which.
        gamepad: G,
        /// Red, green, blue.
        rgb: [u8; 3],
    },
    /// How often a sensor is wanted from now on.
    Motion {
        /// Which.
        gamepad: G,
        /// Which sensor.
        sensor: Sensor,
        /// Hz; 0 is not at all.
        rate: u16,
    },
}

impl<G: Copy> HostFeedback<G> {
    /// Which gamepad it is for.
    pub fn gamepad(&self) -> G {
        match *self {
            Self::Rumble { gamepad, .. }
            | Self::TriggerRumble { gamepad, .. }
            | Self::Led { gamepad, .. }
            | Self::Motion { gamepad, .. } => gamepad,
        }
    }

    /// The same for a gamepad as somebody else names it.
    pub fn with_gamepad<H>(self, gamepad: H) -> HostFeedback<H> {
        match self {
            Self::Rumble { low, high, .. } => HostFeedback::Rumble { gamepad, low, high },
            Self::TriggerRumble { left, right, .. } => HostFeedback::TriggerRumble { gamepad, left, right },
            Self::Led { rgb, .. } => HostFeedback::Led { gamepad, rgb },
            Self::Motion { sensor, rate, .. } => HostFeedback::Motion { gamepad, sensor, rate },
        }
    }
}

/// What a viewer is told of its gamepads.
pub type GamepadFeedback = HostFeedback<GamepadIndex>;

/// What a source can do with input, beside keys, pointer and resting gamepads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InputFeatures {
    /// Fingers and pens. Without it, [`HostInput::Touch`] and [`HostInput::Pen`] do nothing.
    pub touch: bool,
    /// Sensors and touchpads of gamepads.
    pub gamepad_sensors: bool,
}
