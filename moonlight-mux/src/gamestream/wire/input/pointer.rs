//! Touches and pens. They need a host with feature bit 0x01 (`x-ss-general.featureFlags`, streams 0).

use super::super::{Malformed, array, check_len};
use super::{Fraction, expect, find};

/// What happened to a finger or a pen, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PointerEvent {
    Hover = 0,
    Down = 1,
    Up = 2,
    Move = 3,
    Cancel = 4,
    /// Of a pen alone.
    ButtonOnly = 5,
    HoverLeave = 6,
    CancelAll = 7,
}

impl PointerEvent {
    pub(crate) const ALL: [Self; 8] = [
        Self::Hover,
        Self::Down,
        Self::Up,
        Self::Move,
        Self::Cancel,
        Self::ButtonOnly,
        Self::HoverLeave,
        Self::CancelAll,
    ];

    /// Whether the next one makes up for a lost one.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::Hover | Self::Move)
    }

    pub(super) fn parse(value: u8) -> Result<Self, Malformed> {
        find(&Self::ALL, value, |event| event as u8, "pointer event")
    }
}

/// A place on the picture: 0 to 1, left to right and top to bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Position {
    pub(crate) x: Fraction,
    pub(crate) y: Fraction,
}

/// The axes of the ellipse that touches; 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Contact {
    pub(crate) major: Fraction,
    pub(crate) minor: Fraction,
}

/// A finger on the picture (streams 3.3.14).
///
/// ```text
///  8  u8      event                  9  u8  0
/// 10  u16 LE  rotation              12  u32 LE  pointer id
/// 16  f32 LE  x, y, pressure        28  f32 LE  contact's major and minor axis
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Touch {
    pub(crate) event: PointerEvent,
    /// The same from down to up.
    pub(crate) pointer: u32,
    pub(crate) position: Position,
    /// 0 is unknown. Of a hovering finger: its distance.
    pub(crate) pressure: Fraction,
    /// 0 to 360 degrees from the vertical.
    pub(crate) rotation: Option<u16>,
    pub(crate) contact: Contact,
}

impl Touch {
    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 28, 28)?;
        expect("behind the event", b[1].into(), 0)?;
        Ok(Self {
            event: PointerEvent::parse(b[0])?,
            pointer: u32::from_le_bytes(array(b, 4)),
            position: Position::parse(b, 8)?,
            pressure: Fraction::parse(b, 16)?,
            rotation: parse_rotation(u16::from_le_bytes(array(b, 2)))?,
            contact: Contact::parse(b, 20)?,
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([self.event as u8, 0]);
        out.extend(rotation_bytes(self.rotation));
        out.extend(self.pointer.to_le_bytes());
        self.position.emit(out);
        out.extend(self.pressure.bytes());
        self.contact.emit(out);
    }
}

/// A pen on or above the picture (streams 3.3.15).
///
/// ```text
///  8  u8      event      9  u8  tool      10  u8  buttons      11  u8  0
/// 12  f32 LE  x, y, pressure
/// 24  u16 LE  rotation  26  u8  tilt      27  u8  0
/// 28  f32 LE  contact's major and minor axis
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pen {
    pub(crate) event: PointerEvent,
    pub(crate) tool: Tool,
    /// 0x01 primary, 0x02 secondary, 0x04 tertiary.
    pub(crate) buttons: u8,
    pub(crate) position: Position,
    /// 0 is unknown. Of a hovering pen: its distance.
    pub(crate) pressure: Fraction,
    /// 0 to 360 degrees.
    pub(crate) rotation: Option<u16>,
    /// 0 to 90 degrees from the vertical.
    pub(crate) tilt: Option<u8>,
    pub(crate) contact: Contact,
}

/// Which end of a pen, with its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tool {
    Unknown = 0,
    Pen = 1,
    Eraser = 2,
}

impl Pen {
    pub(super) fn parse(b: &[u8]) -> Result<Self, Malformed> {
        check_len(b, 28, 28)?;
        let [event, tool, buttons, reserved] = array(b, 0);
        expect("pen buttons", u16::from(buttons & !BUTTONS), 0)?;
        expect("behind the buttons", reserved.into(), 0)?;
        expect("behind the tilt", b[19].into(), 0)?;
        let tilt = match b[18] {
            UNKNOWN_TILT => None,
            tilt if tilt <= 90 => Some(tilt),
            tilt => return Err(Malformed::Field { field: "tilt", value: tilt.into() }),
        };
        Ok(Self {
            event: PointerEvent::parse(event)?,
            tool: find(&[Tool::Unknown, Tool::Pen, Tool::Eraser], tool, |tool| tool as u8, "tool")?,
            buttons,
            position: Position::parse(b, 4)?,
            pressure: Fraction::parse(b, 12)?,
            rotation: parse_rotation(u16::from_le_bytes(array(b, 16)))?,
            tilt,
            contact: Contact::parse(b, 20)?,
        })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend([self.event as u8, self.tool as u8, self.buttons & BUTTONS, 0]);
        self.position.emit(out);
        out.extend(self.pressure.bytes());
        out.extend(rotation_bytes(self.rotation));
        out.extend([self.tilt.map_or(UNKNOWN_TILT, |tilt| tilt.min(90)), 0]);
        self.contact.emit(out);
    }
}

impl Position {
    pub(super) fn parse(b: &[u8], at: usize) -> Result<Self, Malformed> {
        Ok(Self { x: Fraction::parse(b, at)?, y: Fraction::parse(b, at + 4)? })
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.x.bytes());
        out.extend(self.y.bytes());
    }
}

impl Contact {
    fn parse(b: &[u8], at: usize) -> Result<Self, Malformed> {
        Ok(Self { major: Fraction::parse(b, at)?, minor: Fraction::parse(b, at + 4)? })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.major.bytes());
        out.extend(self.minor.bytes());
    }
}

fn parse_rotation(value: u16) -> Result<Option<u16>, Malformed> {
    match value {
        UNKNOWN_ROTATION => Ok(None),
        degrees if degrees <= 360 => Ok(Some(degrees)),
        _ => Err(Malformed::Field { field: "rotation", value: value.into() }),
    }
}

fn rotation_bytes(rotation: Option<u16>) -> [u8; 2] {
    rotation.map_or(UNKNOWN_ROTATION, |degrees| degrees.min(360)).to_le_bytes()
}

const UNKNOWN_ROTATION: u16 = 0xffff;
const UNKNOWN_TILT: u8 = 0xff;
const BUTTONS: u8 = 0x07;
