//! Game controllers: what they are, what is pressed, and their sensors.

use super::super::{Malformed, array, check_len};
use super::pointer::{PointerEvent, Position};
use super::{Fraction, expect, find};

/// Which controller: 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ControllerId(u8);

impl ControllerId {
    /// `None` above 15.
    pub(crate) fn new(number: u8) -> Option<Self> {
        (number < 16).then_some(Self(number))
    }

    /// 0 to 15.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    fn parse(value: u16) -> Result<Self, Malformed> {
        let number = u8::try_from(value).ok().and_then(Self::new);
        number.ok_or(Malformed::Field { field: "controller", value: value.into() })
    }
}

/// A controller was plugged in (streams 3.3.10). Followed by its neutral [`State`].
///
/// ```text
///  8  u8  controller      9  u8  kind      10  u16 LE  capabilities      12  u32 LE  buttons
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) controller: ControllerId,
    pub(crate) kind: ControllerKind,
    /// See [`capabilities`].
    pub(crate) capabilities: u16,
    /// Which it has; bits of [`State::buttons`].
    pub(crate) buttons: u32,
}

/// Whose layout, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ControllerKind {
    Unknown = 0,
    Xbox = 1,
    PlayStation = 2,
    Nintendo = 3,
    Steam = 4,
}

/// Bits of [`Arrival::capabilities`].
pub(crate) mod capabilities {
    pub(crate) const ANALOG_TRIGGERS: u16 = 0x001;
    pub(crate) const RUMBLE: u16 = 0x002;
    pub(crate) const TRIGGER_RUMBLE: u16 = 0x004;
    pub(crate) const TOUCHPAD: u16 = 0x008;
    pub(crate) const ACCELEROMETER: u16 = 0x010;
    pub(crate) const GYROSCOPE: u16 = 0x020;
    pub(crate) const BATTERY: u16 = 0x040;
    pub(crate) const RGB_LED: u16 = 0x080;
    /// With [`TOUCHPAD`].
    pub(crate) const TWO_TOUCHPADS: u16 = 0x100;
}

impl Arrival {
    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 8, 8)?;
        Ok(Self {
            controller: ControllerId::parse(b[0].into())?,
            kind: find(&ControllerKind::ALL, b[1], |kind| kind as u8, "controller kind")?,
            capabilities: u16::from_le_bytes(array(b, 2)),
            buttons: u32::from_le_bytes(array(b, 4)),
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([self.controller.0, self.kind as u8]);
        out.extend(self.capabilities.to_le_bytes());
        out.extend(self.buttons.to_le_bytes());
    }
}

impl ControllerKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Unknown, Self::Xbox, Self::PlayStation, Self::Nintendo, Self::Steam];
}

/// All that is pressed on a controller (streams 3.3.9).
///
/// ```text
///  8  u16 LE  0x001a                       18  u8      left trigger    19  u8  right trigger
/// 10  u16 LE  controller                   20  i16 LE  left stick x, y; right stick x, y
/// 12  u16 LE  active mask                  28  u16 LE  0x009c
/// 14  u16 LE  0x0014                       30  u16 LE  buttons 16 to 31
/// 16  u16 LE  buttons 0 to 15              32  u16 LE  0x0055
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) controller: ControllerId,
    /// A bit for each controller that is plugged in. A neutral state without one's own bit unplugs.
    pub(crate) active: u16,
    /// See [`buttons`].
    pub(crate) buttons: u32,
    pub(crate) left_trigger: u8,
    pub(crate) right_trigger: u8,
    pub(crate) left_stick: Stick,
    pub(crate) right_stick: Stick,
}

/// Positive is right and up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stick {
    pub(crate) x: i16,
    pub(crate) y: i16,
}

/// Bits of [`State::buttons`], by their places on an Xbox controller.
pub(crate) mod buttons {
    pub(crate) const UP: u32 = 0x0001;
    pub(crate) const DOWN: u32 = 0x0002;
    pub(crate) const LEFT: u32 = 0x0004;
    pub(crate) const RIGHT: u32 = 0x0008;
    pub(crate) const START: u32 = 0x0010;
    pub(crate) const BACK: u32 = 0x0020;
    pub(crate) const LEFT_STICK: u32 = 0x0040;
    pub(crate) const RIGHT_STICK: u32 = 0x0080;
    pub(crate) const LEFT_BUMPER: u32 = 0x0100;
    pub(crate) const RIGHT_BUMPER: u32 = 0x0200;
    pub(crate) const GUIDE: u32 = 0x0400;
    pub(crate) const A: u32 = 0x1000;
    pub(crate) const B: u32 = 0x2000;
    pub(crate) const X: u32 = 0x4000;
    pub(crate) const Y: u32 = 0x8000;
    pub(crate) const PADDLE_1: u32 = 0x0001_0000;
    pub(crate) const PADDLE_2: u32 = 0x0002_0000;
    pub(crate) const PADDLE_3: u32 = 0x0004_0000;
    pub(crate) const PADDLE_4: u32 = 0x0008_0000;
    pub(crate) const TOUCHPAD: u32 = 0x0010_0000;
    /// Share, microphone or capture.
    pub(crate) const MISC: u32 = 0x0020_0000;
}

impl State {
    /// Nothing is pressed.
    pub(crate) fn neutral(controller: ControllerId, active: u16) -> Self {
        Self {
            controller,
            active,
            buttons: 0,
            left_trigger: 0,
            right_trigger: 0,
            left_stick: Stick::default(),
            right_stick: Stick::default(),
        }
    }

    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 26, 26)?;
        let number = |at| u16::from_le_bytes(array(b, at));
        for (at, constant) in [(0, HEAD), (6, MIDDLE), (20, TAIL[0]), (24, TAIL[1])] {
            expect("constant of a controller's state", number(at), constant)?;
        }
        let axis = |at| i16::from_le_bytes(array(b, at));
        Ok(Self {
            controller: ControllerId::parse(number(2))?,
            active: number(4),
            buttons: u32::from(number(8)) | u32::from(number(22)) << 16,
            left_trigger: b[10],
            right_trigger: b[11],
            left_stick: Stick { x: axis(12), y: axis(14) },
            right_stick: Stick { x: axis(16), y: axis(18) },
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let head = [HEAD, self.controller.0.into(), self.active, MIDDLE, self.buttons as u16];
        let axes = [self.left_stick.x, self.left_stick.y, self.right_stick.x, self.right_stick.y];
        let tail = [TAIL[0], (self.buttons >> 16) as u16, TAIL[1]];
        out.extend(head.into_iter().flat_map(u16::to_le_bytes));
        out.extend([self.left_trigger, self.right_trigger]);
        out.extend(axes.into_iter().flat_map(i16::to_le_bytes));
        out.extend(tail.into_iter().flat_map(u16::to_le_bytes));
    }
}

/// A finger on a controller's touchpad (streams 3.3.11). Needs a host with feature bit 0x02.
///
/// ```text
///  8  u8  controller      9  u8  event      10  u8  0      11  u8  touchpad
/// 12  u32 LE  pointer id      16  f32 LE  x, y, pressure
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Touchpad {
    pub(crate) controller: ControllerId,
    pub(crate) event: PointerEvent,
    /// 0, or 1 of a controller that has two.
    pub(crate) touchpad: u8,
    /// The same from down to up.
    pub(crate) pointer: u32,
    pub(crate) position: Position,
    pub(crate) pressure: Fraction,
}

impl Touchpad {
    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 20, 20)?;
        let [controller, event, reserved, touchpad] = array(b, 0);
        expect("behind the event", reserved.into(), 0)?;
        if touchpad > 1 {
            return Err(Malformed::Field { field: "touchpad", value: touchpad.into() });
        }
        Ok(Self {
            controller: ControllerId::parse(controller.into())?,
            event: PointerEvent::parse(event)?,
            touchpad,
            pointer: u32::from_le_bytes(array(b, 4)),
            position: Position::parse(b, 8)?,
            pressure: Fraction::parse(b, 16)?,
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([self.controller.0, self.event as u8, 0, self.touchpad.min(1)]);
        out.extend(self.pointer.to_le_bytes());
        self.position.emit(out);
        out.extend(self.pressure.bytes());
    }
}

/// A sample of a controller's sensor (streams 3.3.12). Only once the host asked for it; needs feature bit 0x02.
///
/// ```text
///  8  u8  controller      9  u8  sensor      10  u16  0      12  f32 LE  x, y, z
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Motion {
    pub(crate) controller: ControllerId,
    pub(crate) sensor: Sensor,
    /// m/s² with gravity, or degrees per second. What is not finite is sent as 0.
    pub(crate) axes: [f32; 3],
}

/// A kind of sensor, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sensor {
    Accelerometer = 1,
    Gyroscope = 2,
}

impl Motion {
    /// Whether it says that the controller turns no more: nothing would make up for its loss.
    pub(crate) fn is_stop(&self) -> bool {
        self.sensor == Sensor::Gyroscope && self.axes == [0.0; 3]
    }

    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 16, 16)?;
        expect("behind the sensor", u16::from_le_bytes(array(b, 2)), 0)?;
        let axis = |at| {
            let value = f32::from_le_bytes(array(b, at));
            let finite = value.is_finite().then_some(value);
            finite.ok_or(Malformed::Field { field: "axis", value: value.to_bits() })
        };
        let all = [Sensor::Accelerometer, Sensor::Gyroscope];
        Ok(Self {
            controller: ControllerId::parse(b[0].into())?,
            sensor: find(&all, b[1], |sensor| sensor as u8, "sensor")?,
            axes: [axis(4)?, axis(8)?, axis(12)?],
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([self.controller.0, self.sensor as u8, 0, 0]);
        let finite = self.axes.map(|axis| if axis.is_finite() { axis } else { 0.0 });
        out.extend(finite.into_iter().flat_map(f32::to_le_bytes));
    }
}

/// How full a controller's battery is (streams 3.3.13).
///
/// ```text
///  8  u8  controller      9  u8  state      10  u8  percent      11  u8  0
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Battery {
    pub(crate) controller: ControllerId,
    pub(crate) state: BatteryState,
    /// 0 to 100.
    pub(crate) percent: Option<u8>,
}

/// What a battery does, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BatteryState {
    Unknown = 0,
    Absent = 1,
    Discharging = 2,
    Charging = 3,
    PluggedIn = 4,
    Full = 5,
}

impl Battery {
    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 4, 4)?;
        let [controller, state, percent, reserved] = array(b, 0);
        expect("behind the percentage", reserved.into(), 0)?;
        let percent = match percent {
            UNKNOWN_PERCENT => None,
            percent if percent <= 100 => Some(percent),
            percent => return Err(Malformed::Field { field: "percent", value: percent.into() }),
        };
        Ok(Self {
            controller: ControllerId::parse(controller.into())?,
            state: find(&BatteryState::ALL, state, |state| state as u8, "battery state")?,
            percent,
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let percent = self.percent.map_or(UNKNOWN_PERCENT, |percent| percent.min(100));
        out.extend([self.controller.0, self.state as u8, percent, 0]);
    }
}

impl BatteryState {
    pub(crate) const ALL: [Self; 6] =
        [Self::Unknown, Self::Absent, Self::Discharging, Self::Charging, Self::PluggedIn, Self::Full];
}

/// What the reference client writes around a controller's state; nobody knows why (streams 11, item 6).
const HEAD: u16 = 0x001a;
const MIDDLE: u16 = 0x0014;
const TAIL: [u16; 2] = [0x009c, 0x0055];
const UNKNOWN_PERCENT: u8 = 0xff;
