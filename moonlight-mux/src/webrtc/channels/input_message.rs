//! The messages of the channels `input` and `motion`, layout v1 (docs/http-api.md, What `input` and `motion` carry). Pure.

use bytes::Buf;

use super::{Fault, sequence::Sequence};
use crate::input::{
    Buttons, GamepadButtons, GamepadIndex, GamepadInfo, GamepadKind, GamepadState, GamepadTouch, KeyCode,
    KeySet, Locks, Modifiers, MouseButton, Pen, PenTool, PointerPhase, Position, Sensor, SensorReading,
    Touch,
};

/// A channel that a viewer speaks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webrtc) enum Channel {
    /// Ordered and reliable.
    Input,
    /// Neither: what comes on it is stale soon.
    Motion,
}

/// What a viewer says at once.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::webrtc) struct InputMessage {
    /// Its place among all that the viewer says, on both channels.
    pub(in crate::webrtc) sequence: Sequence,
    pub(in crate::webrtc) body: Body,
}

/// What a viewer says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::webrtc) enum Body {
    Key { code: KeyCode, down: bool, modifiers: Modifiers, locks: Option<Locks> },
    Text(String),
    Button { button: MouseButton, down: bool, place: Place },
    Scroll { dx: i16, dy: i16, place: Place },
    Pointer(Place),
    Touch(Touch),
    Pen(Pen),
    GamepadConnected { index: GamepadIndex, info: GamepadInfo },
    GamepadDisconnected { index: GamepadIndex },
    Gamepad { index: GamepadIndex, state: GamepadState },
    GamepadMotion { index: GamepadIndex, reading: SensorReading },
    GamepadTouch { index: GamepadIndex, touch: GamepadTouch },
    Held { keys: KeySet, buttons: Buttons },
    ReleaseAll,
}

/// Where a viewer's pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webrtc) enum Place {
    /// It does not say.
    Unsaid,
    /// On the picture.
    At(Position),
    /// All its relative movement since the connection began, to the right and down, wrapping.
    Total { x: i32, y: i32 },
}

impl InputMessage {
    /// # Errors
    /// When it has not the layout, or has no place on this channel.
    pub(in crate::webrtc) fn parse(channel: Channel, mut bytes: &[u8]) -> Result<Self, Fault> {
        let message = Self::read(&mut bytes).filter(|_| bytes.is_empty()).ok_or(Fault::Malformed)?;
        if message.body.may_come_on(channel) { Ok(message) } else { Err(Fault::WrongChannel) }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let sequence = Sequence(bytes.try_get_u32().ok()?);
        let body = Body::read(bytes)?;
        Some(Self { sequence, body })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::webrtc) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.sequence.0.to_be_bytes().to_vec();
        self.body.write(&mut bytes);
        bytes
    }
}

impl Body {
    /// On `motion` nothing may come that must not be lost.
    pub(in crate::webrtc) fn may_come_on(&self, channel: Channel) -> bool {
        match (self, channel) {
            (
                Self::Key { .. }
                | Self::Text(_)
                | Self::Button { .. }
                | Self::Scroll { .. }
                | Self::GamepadConnected { .. }
                | Self::GamepadDisconnected { .. }
                | Self::ReleaseAll,
                channel,
            ) => channel == Channel::Input,
            (Self::Pointer(_) | Self::GamepadMotion { .. } | Self::Held { .. }, channel) => {
                channel == Channel::Motion
            }
            (_, Channel::Input) | (Self::Gamepad { .. }, Channel::Motion) => true,
            (
                Self::Touch(Touch { phase, .. })
                | Self::GamepadTouch { touch: GamepadTouch { phase, .. }, .. },
                _,
            ) => *phase == PointerPhase::Move,
            (Self::Pen(pen), _) => matches!(pen.phase, PointerPhase::Hover | PointerPhase::Move),
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match bytes.try_get_u8().ok()? {
            KEY => {
                let flags = bits(bytes, 0x03)?;
                let code = Some(KeyCode(bytes.try_get_u8().ok()?)).filter(|&code| code != NO_KEY)?;
                let modifiers = Modifiers(bits(bytes, Modifiers::ALL.0)?);
                let known = flags & LOCKS_KNOWN != 0;
                let locks = Locks(bits(bytes, if known { Locks::ALL.0 } else { 0 })?);
                Self::Key { code, down: flags & DOWN != 0, modifiers, locks: known.then_some(locks) }
            }
            TEXT => {
                let text = str::from_utf8(bytes).ok().filter(|text| (1..=MAX_TEXT).contains(&text.len()))?;
                let text = text.to_owned();
                bytes.advance(text.len());
                Self::Text(text)
            }
            BUTTON => {
                let number = bytes.try_get_u8().ok()?;
                let button = MouseButton::ALL.into_iter().find(|&button| button as u8 == number)?;
                Self::Button { button, down: bits(bytes, 0x01)? != 0, place: Place::read(bytes)? }
            }
            SCROLL => Self::Scroll {
                dx: bytes.try_get_i16().ok()?,
                dy: bytes.try_get_i16().ok()?,
                place: Place::read(bytes)?,
            },
            POINTER => Self::Pointer(Place::read(bytes).filter(|&place| place != Place::Unsaid)?),
            TOUCH => Self::Touch(Touch {
                phase: finger_phase(bytes)?,
                contact: bytes.try_get_u32().ok()?,
                position: position(bytes)?,
                pressure: bytes.try_get_u16().ok()?,
                rotation: rotation(bytes)?,
                ellipse: (bytes.try_get_u16().ok()?, bytes.try_get_u16().ok()?),
            }),
            PEN => Self::Pen(Pen {
                phase: one_of(bytes, &PEN_PHASES)?,
                tool: one_of(bytes, &PEN_TOOLS)?,
                buttons: bits(bytes, 0x07)?,
                position: position(bytes)?,
                pressure: bytes.try_get_u16().ok()?,
                rotation: rotation(bytes)?,
                tilt: match bytes.try_get_u8().ok()? {
                    UNKNOWN_TILT => None,
                    tilt => Some(tilt).filter(|&tilt| tilt <= 90)?.into(),
                },
            }),
            GAMEPAD_CONNECTED => Self::GamepadConnected {
                index: index(bytes)?,
                info: GamepadInfo {
                    kind: one_of(bytes, &GAMEPAD_KINDS)?,
                    capabilities: bytes.try_get_u16().ok()? & CAPABILITIES,
                    buttons: gamepad_buttons(bytes)?,
                },
            },
            GAMEPAD_DISCONNECTED => Self::GamepadDisconnected { index: index(bytes)? },
            GAMEPAD => Self::Gamepad {
                index: index(bytes)?,
                state: GamepadState {
                    buttons: gamepad_buttons(bytes)?,
                    left_trigger: bytes.try_get_u8().ok()?,
                    right_trigger: bytes.try_get_u8().ok()?,
                    left_stick: (bytes.try_get_i16().ok()?, bytes.try_get_i16().ok()?),
                    right_stick: (bytes.try_get_i16().ok()?, bytes.try_get_i16().ok()?),
                },
            },
            GAMEPAD_MOTION => Self::GamepadMotion {
                index: index(bytes)?,
                reading: SensorReading {
                    sensor: match bytes.try_get_u8().ok()? {
                        1 => Sensor::Accelerometer,
                        2 => Sensor::Gyroscope,
                        _ => return None,
                    },
                    value: [finite(bytes)?, finite(bytes)?, finite(bytes)?],
                },
            },
            GAMEPAD_TOUCH => Self::GamepadTouch {
                index: index(bytes)?,
                touch: GamepadTouch {
                    phase: finger_phase(bytes)?,
                    touchpad: bits(bytes, 0x01)?,
                    contact: bytes.try_get_u32().ok()?,
                    position: position(bytes)?,
                    pressure: bytes.try_get_u16().ok()?,
                },
            },
            HELD => {
                let buttons = Buttons(bits(bytes, HELD_BUTTONS)?);
                let keys: KeySet = bytes.iter().copied().map(KeyCode).collect();
                if keys.contains(NO_KEY) {
                    return None;
                }
                bytes.advance(bytes.len());
                Self::Held { keys, buttons }
            }
            RELEASE_ALL => Self::ReleaseAll,
            _ => return None,
        })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    fn write(&self, bytes: &mut Vec<u8>) {
        use bytes::BufMut;

        match self {
            Self::Key { code, down, modifiers, locks } => {
                let known = if locks.is_some() { LOCKS_KNOWN } else { 0 };
                let flags = known | if *down { DOWN } else { 0 };
                bytes.put_slice(&[KEY, flags, code.0, modifiers.0, locks.map_or(0, |locks| locks.0)]);
            }
            Self::Text(text) => {
                bytes.put_u8(TEXT);
                bytes.put_slice(text.as_bytes());
            }
            Self::Button { button, down, place } => {
                bytes.put_slice(&[BUTTON, *button as u8, u8::from(*down)]);
                place.write(bytes);
            }
            Self::Scroll { dx, dy, place } => {
                bytes.put_u8(SCROLL);
                bytes.put_i16(*dx);
                bytes.put_i16(*dy);
                place.write(bytes);
            }
            Self::Pointer(place) => {
                bytes.put_u8(POINTER);
                place.write(bytes);
            }
            Self::Touch(touch) => {
                bytes.put_slice(&[TOUCH, number_in(&FINGER_PHASES, touch.phase) + 1]);
                bytes.put_u32(touch.contact);
                put_position(bytes, touch.position);
                bytes.put_u16(touch.pressure);
                bytes.put_u16(touch.rotation.unwrap_or(UNKNOWN_ROTATION));
                bytes.put_u16(touch.ellipse.0);
                bytes.put_u16(touch.ellipse.1);
            }
            Self::Pen(pen) => {
                bytes.put_slice(&[PEN, number_in(&PEN_PHASES, pen.phase), pen.tool as u8, pen.buttons]);
                put_position(bytes, pen.position);
                bytes.put_u16(pen.pressure);
                bytes.put_u16(pen.rotation.unwrap_or(UNKNOWN_ROTATION));
                bytes.put_u8(pen.tilt.unwrap_or(UNKNOWN_TILT));
            }
            Self::GamepadConnected { index, info } => {
                bytes.put_slice(&[GAMEPAD_CONNECTED, index.get(), info.kind as u8]);
                bytes.put_u16(info.capabilities);
                bytes.put_u32(info.buttons.0);
            }
            Self::GamepadDisconnected { index } => bytes.put_slice(&[GAMEPAD_DISCONNECTED, index.get()]),
            Self::Gamepad { index, state } => {
                bytes.put_slice(&[GAMEPAD, index.get()]);
                bytes.put_u32(state.buttons.0);
                bytes.put_slice(&[state.left_trigger, state.right_trigger]);
                for axis in [state.left_stick.0, state.left_stick.1, state.right_stick.0, state.right_stick.1]
                {
                    bytes.put_i16(axis);
                }
            }
            Self::GamepadMotion { index, reading } => {
                bytes.put_slice(&[GAMEPAD_MOTION, index.get(), reading.sensor as u8]);
                for axis in reading.value {
                    bytes.put_f32(axis);
                }
            }
            Self::GamepadTouch { index, touch } => {
                let phase = number_in(&FINGER_PHASES, touch.phase) + 1;
                bytes.put_slice(&[GAMEPAD_TOUCH, index.get(), phase, touch.touchpad]);
                bytes.put_u32(touch.contact);
                put_position(bytes, touch.position);
                bytes.put_u16(touch.pressure);
            }
            Self::Held { keys, buttons } => {
                bytes.put_slice(&[HELD, buttons.0]);
                bytes.extend(keys.iter().map(|code| code.0));
            }
            Self::ReleaseAll => bytes.put_u8(RELEASE_ALL),
        }
    }
}

impl Place {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match bytes.try_get_u8().ok()? {
            0 => Self::Unsaid,
            1 => Self::At(position(bytes)?),
            2 => Self::Total { x: bytes.try_get_i32().ok()?, y: bytes.try_get_i32().ok()? },
            _ => return None,
        })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    fn write(self, bytes: &mut Vec<u8>) {
        use bytes::BufMut;

        match self {
            Self::Unsaid => bytes.put_u8(0),
            Self::At(position) => {
                bytes.put_u8(1);
                put_position(bytes, position);
            }
            Self::Total { x, y } => {
                bytes.put_u8(2);
                bytes.put_i32(x);
                bytes.put_i32(y);
            }
        }
    }
}

/// A byte that has no other bits than these.
fn bits(bytes: &mut &[u8], known: u8) -> Option<u8> {
    bytes.try_get_u8().ok().filter(|byte| byte & !known == 0)
}

/// A byte that is a number in the table.
fn one_of<T: Copy>(bytes: &mut &[u8], table: &[T]) -> Option<T> {
    table.get(usize::from(bytes.try_get_u8().ok()?)).copied()
}

/// Fingers' phases are numbered from 1.
fn finger_phase(bytes: &mut &[u8]) -> Option<PointerPhase> {
    FINGER_PHASES.get(usize::from(bytes.try_get_u8().ok()?.checked_sub(1)?)).copied()
}

fn position(bytes: &mut &[u8]) -> Option<Position> {
    Some(Position { x: bytes.try_get_u16().ok()?, y: bytes.try_get_u16().ok()? })
}

/// `Some(None)` for one that is not known.
fn rotation(bytes: &mut &[u8]) -> Option<Option<u16>> {
    match bytes.try_get_u16().ok()? {
        UNKNOWN_ROTATION => Some(None),
        rotation => (rotation <= 360).then_some(Some(rotation)),
    }
}

fn index(bytes: &mut &[u8]) -> Option<GamepadIndex> {
    GamepadIndex::new(bytes.try_get_u8().ok()?)
}

/// Without those that have no meaning yet: a newer page may know more.
fn gamepad_buttons(bytes: &mut &[u8]) -> Option<GamepadButtons> {
    Some(GamepadButtons(bytes.try_get_u32().ok()? & GAMEPAD_BUTTONS))
}

fn finite(bytes: &mut &[u8]) -> Option<f32> {
    bytes.try_get_f32().ok().filter(|number| number.is_finite())
}

#[cfg(any(test, feature = "fuzzing"))]
fn put_position(bytes: &mut Vec<u8>, position: Position) {
    bytes.extend(position.x.to_be_bytes());
    bytes.extend(position.y.to_be_bytes());
}

/// The number in the table of something that a message can say.
#[cfg(any(test, feature = "fuzzing"))]
fn number_in<T: PartialEq>(table: &[T], wanted: T) -> u8 {
    let number = table.iter().position(|known| *known == wanted).expect("a message has no other phases");
    u8::try_from(number).expect("the tables are short")
}

const KEY: u8 = 0x01;
const TEXT: u8 = 0x02;
const BUTTON: u8 = 0x03;
const SCROLL: u8 = 0x04;
const POINTER: u8 = 0x05;
const TOUCH: u8 = 0x06;
const PEN: u8 = 0x07;
const GAMEPAD_CONNECTED: u8 = 0x08;
const GAMEPAD_DISCONNECTED: u8 = 0x09;
const GAMEPAD: u8 = 0x0a;
const GAMEPAD_MOTION: u8 = 0x0b;
const GAMEPAD_TOUCH: u8 = 0x0c;
const HELD: u8 = 0x0d;
const RELEASE_ALL: u8 = 0x0e;

/// Flags of a key.
const DOWN: u8 = 0x01;
const LOCKS_KNOWN: u8 = 0x02;
/// Bytes of a text.
const MAX_TEXT: usize = 4096;
const UNKNOWN_ROTATION: u16 = 0xffff;
const UNKNOWN_TILT: u8 = 0xff;
/// Buttons 1 to 5.
const HELD_BUTTONS: u8 = 0x3e;
/// No key has this code.
const NO_KEY: KeyCode = KeyCode(0);
/// Those that have a meaning.
pub(super) const GAMEPAD_BUTTONS: u32 = 0x003f_f7ff;
const CAPABILITIES: u16 = 0x01ff;

/// From 1.
const FINGER_PHASES: [PointerPhase; 4] =
    [PointerPhase::Down, PointerPhase::Move, PointerPhase::Up, PointerPhase::Cancel];
/// From 0.
const PEN_PHASES: [PointerPhase; 7] = [
    PointerPhase::Hover,
    PointerPhase::Down,
    PointerPhase::Move,
    PointerPhase::Up,
    PointerPhase::Cancel,
    PointerPhase::Leave,
    PointerPhase::Buttons,
];
const PEN_TOOLS: [PenTool; 3] = [PenTool::Unknown, PenTool::Pen, PenTool::Eraser];
const GAMEPAD_KINDS: [GamepadKind; 5] = [
    GamepadKind::Unknown,
    GamepadKind::Xbox,
    GamepadKind::PlayStation,
    GamepadKind::Nintendo,
    GamepadKind::Steam,
];

#[cfg(test)]
pub(in crate::webrtc) mod tests;
