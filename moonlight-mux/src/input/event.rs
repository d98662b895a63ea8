//! What a viewer did, in its own terms.

/// Something that a viewer did.
///
/// In the order in which it happened: whoever carries events over a wire that reorders or loses them hands on none that a
/// later one has overtaken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum InputEvent {
    /// A key went down or up. Repeats are ignored.
    Key {
        /// Which.
        code: KeyCode,
        /// Down or up.
        down: bool,
        /// What the viewer's system says of its modifier keys at this moment, this key included.
        modifiers: Modifiers,
        /// And of its lock keys; `None` when it cannot tell.
        locks: Option<Locks>,
    },
    /// Text, not keys: pasted, or from a soft keyboard.
    Text(String),
    /// The pointer is at this place.
    PointerTo(Position),
    /// The pointer moved by this much, in pixels of whatever it moves over; positive is right and down.
    PointerBy {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// A mouse button went down or up.
    Button {
        /// Which.
        button: MouseButton,
        /// Down or up.
        down: bool,
        /// Where, if the viewer's pointer has a place.
        at: Option<Position>,
    },
    /// The wheel turned: 120 is one notch, positive is right and up (away from the user).
    Scroll {
        /// To the right.
        dx: i16,
        /// Up.
        dy: i16,
        /// Where, if the viewer's pointer has a place.
        at: Option<Position>,
    },
    /// A finger on the viewer's screen.
    Touch(Touch),
    /// A pen on the viewer's screen.
    Pen(Pen),
    /// A gamepad was plugged in at the viewer's. The host has four of a viewer's at most, and is told of eight that are plugged
    /// in within 4 s at most: others wait until they are used when there is room.
    GamepadConnected {
        /// Which of the viewer's.
        index: GamepadIndex,
        /// What it is.
        info: GamepadInfo,
    },
    /// What is pressed on a gamepad. One that was not plugged in is, by this, with [`GamepadInfo::default`].
    Gamepad {
        /// Which of the viewer's.
        index: GamepadIndex,
        /// All that is pressed on it.
        state: GamepadState,
    },
    /// A gamepad's sensor, as the host asked for it.
    GamepadMotion {
        /// Which of the viewer's.
        index: GamepadIndex,
        /// What it measured.
        reading: SensorReading,
    },
    /// A finger on a gamepad's touchpad.
    GamepadTouch {
        /// Which of the viewer's.
        index: GamepadIndex,
        /// The finger.
        touch: GamepadTouch,
    },
    /// A gamepad was unplugged.
    GamepadDisconnected {
        /// Which of the viewer's.
        index: GamepadIndex,
    },
    /// The keys and buttons that the viewer holds now, and that it is there: what it holds beside these, by what it said
    /// before, is let go. Nothing is pressed by this.
    Held {
        /// Keys.
        keys: KeySet,
        /// Mouse buttons.
        buttons: Buttons,
    },
    /// Everything that the viewer holds is let go: its window lost the focus. Its gamepads rest, but stay plugged in.
    ReleaseAll,
}

/// A place on the picture, in shares of its size: 0 is the left (upper) edge, 65535 the right (lower) one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// From the left.
    pub x: u16,
    /// From the top.
    pub y: u16,
}

/// A Windows virtual-key code: a place on a US keyboard, whatever is printed on the key. Left and right modifiers have codes
/// of their own (0xa0 to 0xa5, 0x5b, 0x5c). Source: protocol document, streams 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyCode(pub u8);

/// Modifier keys that are down, left and right alike. Bits beyond [`ALL`](Self::ALL) mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modifiers(pub u8);

impl Modifiers {
    /// Shift.
    pub const SHIFT: Self = Self(0x01);
    /// Control.
    pub const CTRL: Self = Self(0x02);
    /// Alt.
    pub const ALT: Self = Self(0x04);
    /// The Windows or command key.
    pub const META: Self = Self(0x08);
    /// All of them.
    pub const ALL: Self = Self(0x0f);

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Lock keys that are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locks(pub u8);

impl Locks {
    /// Caps Lock.
    pub const CAPS: Self = Self(0x01);
    /// Num Lock.
    pub const NUM: Self = Self(0x02);
    /// Scroll Lock.
    pub const SCROLL: Self = Self(0x04);
    /// All of them.
    pub const ALL: Self = Self(0x07);

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A set of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeySet([u64; 4]);

impl KeySet {
    /// Whether it has the key.
    #[must_use]
    pub fn contains(&self, code: KeyCode) -> bool {
        self.0[usize::from(code.0 >> 6)] & 1 << (code.0 & 63) != 0
    }

    /// Takes the key up; tells whether it is new.
    pub fn insert(&mut self, code: KeyCode) -> bool {
        let new = !self.contains(code);
        self.0[usize::from(code.0 >> 6)] |= 1 << (code.0 & 63);
        new
    }

    /// Leaves the key out; tells whether it was there.
    pub fn remove(&mut self, code: KeyCode) -> bool {
        let there = self.contains(code);
        self.0[usize::from(code.0 >> 6)] &= !(1 << (code.0 & 63));
        there
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Its keys, by rising codes.
    pub fn iter(&self) -> impl Iterator<Item = KeyCode> + use<> {
        let set = *self;
        (0..=u8::MAX).map(KeyCode).filter(move |&code| set.contains(code))
    }
}

impl FromIterator<KeyCode> for KeySet {
    fn from_iter<I: IntoIterator<Item = KeyCode>>(codes: I) -> Self {
        let mut set = Self::default();
        for code in codes {
            set.insert(code);
        }
        set
    }
}

/// A mouse button, with its number on every wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MouseButton {
    /// 1
    Left = 1,
    /// 2
    Middle = 2,
    /// 3
    Right = 3,
    /// 4, on the side: back.
    X1 = 4,
    /// 5, on the side: forward.
    X2 = 5,
}

impl MouseButton {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Left, Self::Middle, Self::Right, Self::X1, Self::X2];
}

/// Mouse buttons that are down: bit n is the button with the number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Buttons(pub u8);

impl Buttons {
    /// Whether this one is among them.
    #[must_use]
    pub fn contains(self, button: MouseButton) -> bool {
        self.0 & 1 << button as u8 != 0
    }
}

/// What became of a finger or a pen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PointerPhase {
    /// It is above the surface (pens).
    Hover,
    /// It touches down.
    Down,
    /// It moves on the surface.
    Move,
    /// It lifts.
    Up,
    /// It is taken away, and what it did shall count for nothing.
    Cancel,
    /// It is no longer above the surface.
    Leave,
    /// Of a pen: only its buttons have changed.
    Buttons,
}

/// A finger. Shares are 0 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// What became of it.
    pub phase: PointerPhase,
    /// Which: the viewer's own number, the same from down to up.
    pub contact: u32,
    /// Where.
    pub position: Position,
    /// 0 is unknown.
    pub pressure: u16,
    /// 0 to 360 degrees from the vertical.
    pub rotation: Option<u16>,
    /// The axes of the ellipse that touches, the longer first, in shares of the picture's width; 0 is unknown.
    pub ellipse: (u16, u16),
}

/// A pen. A viewer has one. Shares are 0 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pen {
    /// What became of it.
    pub phase: PointerPhase,
    /// Which end.
    pub tool: PenTool,
    /// 0x01 primary, 0x02 secondary, 0x04 tertiary.
    pub buttons: u8,
    /// Where.
    pub position: Position,
    /// 0 is unknown. Of a hovering pen: its distance.
    pub pressure: u16,
    /// The azimuth, 0 to 360 degrees.
    pub rotation: Option<u16>,
    /// 0 to 90 degrees from the vertical.
    pub tilt: Option<u8>,
}

/// Which end of a pen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PenTool {
    /// 0
    #[default]
    Unknown = 0,
    /// 1
    Pen = 1,
    /// 2
    Eraser = 2,
}

/// Which of a viewer's gamepads: 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GamepadIndex(u8);

impl GamepadIndex {
    /// `None` above 15.
    #[must_use]
    pub fn new(index: u8) -> Option<Self> {
        (index < 16).then_some(Self(index))
    }

    /// 0 to 15.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// What a gamepad is. By default unknown, with the buttons of an Xbox controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GamepadInfo {
    /// Whose layout.
    pub kind: GamepadKind,
    /// Analog triggers 0x01, rumble 0x02, trigger rumble 0x04, touchpad 0x08, accelerometer 0x10, gyroscope 0x20, battery
    /// 0x40, RGB light 0x80, two touchpads 0x100 (with 0x08). Source: streams 3.3.10.
    pub capabilities: u16,
    /// Which buttons it has.
    pub buttons: GamepadButtons,
}

impl Default for GamepadInfo {
    fn default() -> Self {
        Self { kind: GamepadKind::Unknown, capabilities: 0x01, buttons: GamepadButtons::XBOX }
    }
}

/// Whose layout a gamepad has, with its number on the wire (streams 3.3.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GamepadKind {
    /// 0
    #[default]
    Unknown = 0,
    /// 1
    Xbox = 1,
    /// 2
    PlayStation = 2,
    /// 3
    Nintendo = 3,
    /// 4
    Steam = 4,
}

/// Buttons of a gamepad, by their places on an Xbox controller: up 0x1, down 0x2, left 0x4, right 0x8, start 0x10, back 0x20,
/// left stick 0x40, right stick 0x80, left bumper 0x100, right bumper 0x200, guide 0x400, A 0x1000, B 0x2000, X 0x4000,
/// Y 0x8000, paddles 0x10000 to 0x80000, touchpad 0x100000, misc 0x200000. Source: streams 3.3.9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GamepadButtons(pub u32);

impl GamepadButtons {
    /// Those of an Xbox controller.
    pub const XBOX: Self = Self(0xf7ff);
}

/// All that is pressed on a gamepad. Sticks are −32768 to 32767, positive is right and up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GamepadState {
    /// Buttons that are down.
    pub buttons: GamepadButtons,
    /// 0 to 255.
    pub left_trigger: u8,
    /// 0 to 255.
    pub right_trigger: u8,
    /// x, y.
    pub left_stick: (i16, i16),
    /// x, y.
    pub right_stick: (i16, i16),
}

/// A finger on a gamepad's touchpad. Shares are 0 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GamepadTouch {
    /// What became of it.
    pub phase: PointerPhase,
    /// 0, or 1 of a gamepad that has two.
    pub touchpad: u8,
    /// Which finger: the same from down to up.
    pub contact: u32,
    /// Where on the touchpad.
    pub position: Position,
    /// 0 is unknown.
    pub pressure: u16,
}

/// Which of a gamepad's sensors, with its number on the wire (streams 3.3.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Sensor {
    /// m/s², gravity included.
    Accelerometer = 1,
    /// Degrees per second.
    Gyroscope = 2,
}

/// What a gamepad's sensor measured, in SDL's directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SensorReading {
    /// Which sensor.
    pub sensor: Sensor,
    /// x, y, z in the sensor's unit. Finite.
    pub value: [f32; 3],
}
