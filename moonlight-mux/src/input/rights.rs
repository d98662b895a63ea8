//! Who may do what.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A class of devices, as rights are given for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum DeviceClass {
    /// Keys.
    Keyboard = 0,
    /// Mouse: moves, buttons, wheel.
    Pointer = 1,
    /// Fingers.
    Touch = 2,
    /// Pens.
    Pen = 3,
    /// Gamepads, with their sensors and touchpads.
    Gamepad = 4,
    /// Text that is no keys: pasted, or from a soft keyboard.
    Text = 5,
}

impl DeviceClass {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Keyboard, Self::Pointer, Self::Touch, Self::Pen, Self::Gamepad, Self::Text];

    /// Its name in the HTTP API and on data channels: `keyboard`, `pointer`, `touch`, `pen`, `gamepad`, `text`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyboard => "keyboard",
            Self::Pointer => "pointer",
            Self::Touch => "touch",
            Self::Pen => "pen",
            Self::Gamepad => "gamepad",
            Self::Text => "text",
        }
    }
}

/// The classes of devices that a viewer may use. By default all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Default for Rights {
    fn default() -> Self {
        Self::ALL
    }
}

impl Rights {
    /// Every class.
    pub const ALL: Self = Self(0x3f);
    /// None: to watch only.
    pub const NONE: Self = Self(0);

    /// Whether this class may be used.
    #[must_use]
    pub fn allows(self, class: DeviceClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// The same, with or without this class.
    #[must_use]
    pub fn with(self, class: DeviceClass, allowed: bool) -> Self {
        let bit = 1 << class as u8;
        Self(if allowed { self.0 | bit } else { self.0 & !bit })
    }
}

/// A list of classes.
impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(DeviceClass::ALL.into_iter().filter(|&class| self.allows(class)))
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<DeviceClass>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl FromIterator<DeviceClass> for Rights {
    fn from_iter<I: IntoIterator<Item = DeviceClass>>(classes: I) -> Self {
        classes.into_iter().fold(Self::NONE, |rights, class| rights.with(class, true))
    }
}

/// How viewers share the host's keyboard, pointer and the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InputMode {
    /// All at once: keys and buttons are down while anybody holds them, the pointer goes where it was moved last.
    #[default]
    Shared,
    /// One at a time: whoever acts first has the turn, until it has neither acted nor held anything for `idle`. What others
    /// do meanwhile is dropped.
    OneAtATime {
        /// How long the one whose turn it is must rest. 100 ms to 60 s.
        idle: Duration,
    },
    /// Nobody: everybody watches.
    ViewOnly,
}

impl InputMode {
    /// One at a time, with the usual gap of two seconds.
    #[must_use]
    pub fn one_at_a_time() -> Self {
        Self::OneAtATime { idle: Duration::from_secs(2) }
    }

    /// Its name in the HTTP API and on data channels: `shared`, `one_at_a_time`, `view_only`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::OneAtATime { .. } => "one_at_a_time",
            Self::ViewOnly => "view_only",
        }
    }

    /// With the gap within its range.
    pub(crate) fn in_range(self) -> Self {
        match self {
            Self::OneAtATime { idle } => {
                Self::OneAtATime { idle: idle.clamp(Duration::from_millis(100), Duration::from_secs(60)) }
            }
            mode => mode,
        }
    }
}

/// The text is no [`InputMode::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an input mode is shared, one_at_a_time or view_only")]
pub struct InvalidInputMode;

impl FromStr for InputMode {
    type Err = InvalidInputMode;

    /// By its [`name`](Self::name); one at a time has the usual gap.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let modes = [Self::Shared, Self::one_at_a_time(), Self::ViewOnly];
        modes.into_iter().find(|mode| mode.name() == name).ok_or(InvalidInputMode)
    }
}
