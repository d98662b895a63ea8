//! Input packets: the payload of control message 0x0206.
//!
//! ```text
//!  0  u32 BE  bytes behind this field      4  u32 LE  magic, the kind of packet      8  …  body
//! ```
//!
//! Mouse and scroll bodies are big-endian, all others little-endian. Source: protocol document, streams 3.1 to 3.3;
//! vectors of 10.4.

pub(crate) mod controller;
pub(crate) mod pointer;

use self::controller::{Arrival, Battery, Motion, State, Touchpad};
use self::pointer::{Pen, Touch};
use super::control::{Delivery, GENERIC_CHANNEL};
use super::{Malformed, array, check_len};

/// One input event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    /// Once, as the first.
    EnableHaptics,
    Key(Key),
    /// One code point; not a key.
    Text(char),
    MouseMove(MouseMove),
    MousePosition(MousePosition),
    MouseButton {
        button: MouseButton,
        down: bool,
    },
    /// 120 is one notch; positive is up.
    Scroll(i16),
    /// 120 is one notch; positive is right, but v0.23.1 of Sunshine turns it round (streams 3.6).
    ScrollHorizontal(i16),
    Touch(Touch),
    Pen(Pen),
    ControllerArrival(Arrival),
    ControllerState(State),
    ControllerTouchpad(Touchpad),
    ControllerMotion(Motion),
    ControllerBattery(Battery),
}

/// A key goes down or up. Send no repeats (streams 3.3.2).
///
/// ```text
///  8  u8      0x01: the key code is not that of a US layout
///  9  u16 LE  0x8000 | virtual-key code      11  u8  modifiers      12  u16  0
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// A Windows virtual-key code, a position on a US keyboard.
    pub(crate) code: u8,
    pub(crate) down: bool,
    /// See [`modifiers`].
    pub(crate) modifiers: u8,
    /// The code is what the key says, not where it is. Must be the same when the key goes up.
    pub(crate) not_normalised: bool,
}

/// Bits of [`Key::modifiers`].
pub(crate) mod modifiers {
    pub(crate) const SHIFT: u8 = 0x01;
    pub(crate) const CTRL: u8 = 0x02;
    pub(crate) const ALT: u8 = 0x04;
    pub(crate) const META: u8 = 0x08;
    pub(crate) const ALL: u8 = 0x0f;
}

/// By this much; positive is right and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MouseMove {
    pub(crate) dx: i16,
    pub(crate) dy: i16,
}

/// To this place on a plane of any size that the host maps to its screen.
///
/// ```text
///  8  i16 BE  x, y      12  i16  0      14  i16 BE  width − 1, height − 1
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MousePosition {
    pub(crate) x: i16,
    pub(crate) y: i16,
    /// 1 to 32768; Sunshine refuses less than 2.
    pub(crate) width: u16,
    /// 1 to 32768; Sunshine refuses less than 2.
    pub(crate) height: u16,
}

/// A mouse's buttons, with their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum MouseButton {
    Left = 1,
    Middle = 2,
    Right = 3,
    X1 = 4,
    X2 = 5,
}

/// From 0 to 1: a place on the picture, a pressure, a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Fraction(f32);

impl Fraction {
    pub(crate) const ZERO: Self = Self(0.0);

    /// Clamps to 0 to 1; what is no number becomes 0.
    pub(crate) fn new(value: f32) -> Self {
        // `max` would leave a negative zero as it is.
        Self(if value > 0.0 { value.min(1.0) } else { 0.0 })
    }

    pub(crate) fn as_f32(self) -> f32 {
        self.0
    }

    fn parse(body: &[u8], at: usize) -> Result<Self, Malformed> {
        let value = f32::from_le_bytes(array(body, at));
        let fraction = Self::new(value);
        if fraction.0.to_bits() != value.to_bits() {
            return Err(Malformed::Field { field: "fraction", value: value.to_bits() });
        }
        Ok(fraction)
    }

    fn bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl Input {
    /// Reads a packet.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        check_len(bytes, HEADER_LEN, MAX_LEN)?;
        let size = u32::from_be_bytes(array(bytes, 0));
        if size as usize != bytes.len() - 4 {
            return Err(Malformed::Field { field: "input size", value: size });
        }
        let magic = u32::from_le_bytes(array(bytes, 4));
        let body = &bytes[HEADER_LEN..];
        let need = |len| check_len(body, len, len);
        let amount = |at| i16::from_be_bytes(array(body, at));
        Ok(match magic {
            magic::HAPTICS => {
                need(2)?;
                expect("haptics", u16::from_le_bytes(array(body, 0)), 1)?;
                Self::EnableHaptics
            }
            magic::KEY_DOWN | magic::KEY_UP => Self::Key(Key::parse(body, magic == magic::KEY_DOWN)?),
            magic::TEXT => Self::Text(parse_char(body)?),
            magic::MOUSE_MOVE => {
                need(4)?;
                Self::MouseMove(MouseMove { dx: amount(0), dy: amount(2) })
            }
            magic::MOUSE_POSITION => Self::MousePosition(MousePosition::parse(body)?),
            magic::BUTTON_DOWN | magic::BUTTON_UP => {
                need(1)?;
                let button = MouseButton::parse(body[0])?;
                Self::MouseButton { button, down: magic == magic::BUTTON_DOWN }
            }
            magic::SCROLL => {
                need(6)?;
                expect("second amount", amount(2) as u16, amount(0) as u16)?;
                expect("third amount", amount(4) as u16, 0)?;
                Self::Scroll(amount(0))
            }
            magic::SCROLL_HORIZONTAL => {
                need(2)?;
                Self::ScrollHorizontal(amount(0))
            }
            magic::TOUCH => Self::Touch(Touch::parse(body)?),
            magic::PEN => Self::Pen(Pen::parse(body)?),
            magic::CONTROLLER_ARRIVAL => Self::ControllerArrival(Arrival::parse(body)?),
            magic::CONTROLLER_STATE => Self::ControllerState(State::parse(body)?),
            magic::CONTROLLER_TOUCHPAD => Self::ControllerTouchpad(Touchpad::parse(body)?),
            magic::CONTROLLER_MOTION => Self::ControllerMotion(Motion::parse(body)?),
            magic::CONTROLLER_BATTERY => Self::ControllerBattery(Battery::parse(body)?),
            value => return Err(Malformed::Field { field: "input magic", value }),
        })
    }

    /// Appends the packet.
    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 4]);
        out.extend(self.magic().to_le_bytes());
        match self {
            Self::EnableHaptics => out.extend(1u16.to_le_bytes()),
            Self::Key(key) => key.emit(out),
            Self::Text(text) => out.extend(text.encode_utf8(&mut [0; 4]).bytes()),
            Self::MouseMove(by) => out.extend([by.dx, by.dy].into_iter().flat_map(i16::to_be_bytes)),
            Self::MousePosition(position) => position.emit(out),
            Self::MouseButton { button, .. } => out.push(*button as u8),
            Self::Scroll(amount) => out.extend([*amount, *amount, 0].into_iter().flat_map(i16::to_be_bytes)),
            Self::ScrollHorizontal(amount) => out.extend(amount.to_be_bytes()),
            Self::Touch(touch) => touch.emit(out),
            Self::Pen(pen) => pen.emit(out),
            Self::ControllerArrival(arrival) => arrival.emit(out),
            Self::ControllerState(state) => state.emit(out),
            Self::ControllerTouchpad(touchpad) => touchpad.emit(out),
            Self::ControllerMotion(motion) => motion.emit(out),
            Self::ControllerBattery(battery) => battery.emit(out),
        }
        let size = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// The ENet channel (streams 3.2).
    pub(crate) fn channel(&self) -> u8 {
        match self {
            Self::EnableHaptics => GENERIC_CHANNEL,
            Self::Key(_) => 0x02,
            Self::MouseMove(_)
            | Self::MousePosition(_)
            | Self::MouseButton { .. }
            | Self::Scroll(_)
            | Self::ScrollHorizontal(_) => 0x03,
            Self::Pen(_) => 0x04,
            Self::Touch(_) => 0x05,
            Self::Text(_) => 0x06,
            Self::ControllerArrival(Arrival { controller, .. })
            | Self::ControllerState(State { controller, .. })
            | Self::ControllerTouchpad(Touchpad { controller, .. })
            | Self::ControllerBattery(Battery { controller, .. }) => 0x10 + controller.number(),
            Self::ControllerMotion(Motion { controller, .. }) => 0x20 + controller.number(),
        }
    }

    /// Streams 3.2. A pen's move counts as one with unchanged buttons: those that change have an event of their own.
    pub(crate) fn delivery(&self) -> Delivery {
        let transient = match self {
            Self::Touch(Touch { event, .. })
            | Self::Pen(Pen { event, .. })
            | Self::ControllerTouchpad(Touchpad { event, .. }) => event.is_transient(),
            Self::ControllerMotion(motion) => !motion.is_stop(),
            _ => false,
        };
        if transient { Delivery::Unreliable } else { Delivery::Reliable }
    }

    fn magic(&self) -> u32 {
        match self {
            Self::EnableHaptics => magic::HAPTICS,
            Self::Key(Key { down: true, .. }) => magic::KEY_DOWN,
            Self::Key(Key { down: false, .. }) => magic::KEY_UP,
            Self::Text(_) => magic::TEXT,
            Self::MouseMove(_) => magic::MOUSE_MOVE,
            Self::MousePosition(_) => magic::MOUSE_POSITION,
            Self::MouseButton { down: true, .. } => magic::BUTTON_DOWN,
            Self::MouseButton { down: false, .. } => magic::BUTTON_UP,
            Self::Scroll(_) => magic::SCROLL,
            Self::ScrollHorizontal(_) => magic::SCROLL_HORIZONTAL,
            Self::Touch(_) => magic::TOUCH,
            Self::Pen(_) => magic::PEN,
            Self::ControllerArrival(_) => magic::CONTROLLER_ARRIVAL,
            Self::ControllerState(_) => magic::CONTROLLER_STATE,
            Self::ControllerTouchpad(_) => magic::CONTROLLER_TOUCHPAD,
            Self::ControllerMotion(_) => magic::CONTROLLER_MOTION,
            Self::ControllerBattery(_) => magic::CONTROLLER_BATTERY,
        }
    }
}

impl Key {
    fn parse(body: &[u8], down: bool) -> Result<Self, Malformed> {
        check_len(body, 6, 6)?;
        let [flags, code, high, modifiers] = array(body, 0);
        expect("key flags", u16::from(flags & !NOT_NORMALISED), 0)?;
        expect("high byte of the key code", high.into(), KEY_CODE_HIGH.into())?;
        expect("modifiers", u16::from(modifiers & !modifiers::ALL), 0)?;
        expect("behind the modifiers", u16::from_le_bytes(array(body, 4)), 0)?;
        Ok(Self { code, down, modifiers, not_normalised: flags != 0 })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let flags = if self.not_normalised { NOT_NORMALISED } else { 0 };
        out.extend([flags, self.code, KEY_CODE_HIGH, self.modifiers & modifiers::ALL, 0, 0]);
    }
}

impl MousePosition {
    fn parse(body: &[u8]) -> Result<Self, Malformed> {
        check_len(body, 10, 10)?;
        let number = |at| i16::from_be_bytes(array(body, at));
        expect("behind the position", number(4) as u16, 0)?;
        let size = |at| {
            let last = u16::try_from(number(at));
            last.map(|last| last + 1)
                .map_err(|_| Malformed::Field { field: "plane", value: number(at) as u16 as u32 })
        };
        Ok(Self { x: number(0), y: number(2), width: size(6)?, height: size(8)? })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let last = |size: u16| size.saturating_sub(1).min(i16::MAX as u16) as i16;
        let numbers = [self.x, self.y, 0, last(self.width), last(self.height)];
        out.extend(numbers.into_iter().flat_map(i16::to_be_bytes));
    }
}

impl MouseButton {
    fn parse(value: u8) -> Result<Self, Malformed> {
        let all = [Self::Left, Self::Middle, Self::Right, Self::X1, Self::X2];
        find(&all, value, |button| button as u8, "mouse button")
    }
}

/// Exactly one code point.
fn parse_char(body: &[u8]) -> Result<char, Malformed> {
    check_len(body, 1, 4)?;
    let mut chars = str::from_utf8(body).unwrap_or_default().chars();
    match (chars.next(), chars.next()) {
        (Some(text), None) => Ok(text),
        _ => Err(Malformed::Field { field: "text", value: body[0].into() }),
    }
}

/// The value among `all` that has this number on the wire.
fn find<T: Copy>(all: &[T], value: u8, number: fn(T) -> u8, field: &'static str) -> Result<T, Malformed> {
    all.iter()
        .copied()
        .find(|&one| number(one) == value)
        .ok_or(Malformed::Field { field, value: value.into() })
}

/// Checks a field that always holds the same.
fn expect(field: &'static str, value: u16, expected: u16) -> Result<(), Malformed> {
    if value == expected { Ok(()) } else { Err(Malformed::Field { field, value: value.into() }) }
}

/// The kinds of packets, for hosts from generation 5 on.
mod magic {
    pub(super) const KEY_DOWN: u32 = 0x03;
    pub(super) const KEY_UP: u32 = 0x04;
    pub(super) const MOUSE_POSITION: u32 = 0x05;
    pub(super) const MOUSE_MOVE: u32 = 0x07;
    pub(super) const BUTTON_DOWN: u32 = 0x08;
    pub(super) const BUTTON_UP: u32 = 0x09;
    pub(super) const SCROLL: u32 = 0x0a;
    pub(super) const CONTROLLER_STATE: u32 = 0x0c;
    pub(super) const HAPTICS: u32 = 0x0d;
    pub(super) const TEXT: u32 = 0x17;
    pub(super) const SCROLL_HORIZONTAL: u32 = 0x5500_0001;
    pub(super) const TOUCH: u32 = 0x5500_0002;
    pub(super) const PEN: u32 = 0x5500_0003;
    pub(super) const CONTROLLER_ARRIVAL: u32 = 0x5500_0004;
    pub(super) const CONTROLLER_TOUCHPAD: u32 = 0x5500_0005;
    pub(super) const CONTROLLER_MOTION: u32 = 0x5500_0006;
    pub(super) const CONTROLLER_BATTERY: u32 = 0x5500_0007;
}

const HEADER_LEN: usize = 8;
/// The longest packet is a touch or a pen.
const MAX_LEN: usize = 36;
const NOT_NORMALISED: u8 = 0x01;
const KEY_CODE_HIGH: u8 = 0x80;

#[cfg(test)]
pub(crate) mod tests;
