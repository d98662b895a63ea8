//! The byte layouts of an existing page's messages: protocol document, existing page 2. All numbers are big-endian.

use bytes::Buf;

use crate::input::{GamepadButtons, GamepadIndex, GamepadState, Modifiers, MouseButton, Position};
use crate::webrtc::channels::input_message::GAMEPAD_BUTTONS;

/// A message from a page, whatever its channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Message<'a> {
    /// A key. `code` is a Windows virtual-key code, not 0.
    Key { down: bool, modifiers: u8, code: u8 },
    /// Text. Not empty.
    Text(&'a str),
    /// The pointer moved by so many of the host's pixels, to the right and down.
    MouseBy { dx: i16, dy: i16 },
    /// The pointer is here, in a picture of this size.
    MouseTo { x: u16, y: u16, width: u16, height: u16 },
    /// A mouse button.
    MouseButton { down: bool, button: MouseButton },
    /// The wheel turned by so many pixels, to the right and up.
    Wheel { dx: i16, dy: i16 },
    /// A finger.
    Touch { phase: TouchPhase, contact: u32, position: Position, pressure: u16, rotation: Option<u16> },
    /// A gamepad was plugged in.
    ControllerAdded { index: GamepadIndex, buttons: GamepadButtons, capabilities: u16 },
    /// A gamepad was unplugged; not always the one that is named.
    ControllerRemoved { id: u8 },
    /// What is pressed on the channel's gamepad.
    ControllerState(GamepadState),
}

/// What became of a finger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TouchPhase {
    /// 0
    Start,
    /// 1
    Move,
    /// 2
    End,
}

/// On `keyboard`. Key: 0, u8 down, u8 modifiers, u16 code. Text: 1, u8 length that is not to be trusted, UTF-8.
pub(super) fn keyboard(bytes: &[u8]) -> Option<Message<'_>> {
    match *bytes {
        [0, down, modifiers, 0, code] if code != 0 && modifiers & !Modifiers::ALL.0 == 0 => {
            Some(Message::Key { down: flag(down)?, modifiers, code })
        }
        [1, _, ref text @ ..] if (1..=MAX_TEXT).contains(&text.len()) => {
            let text = str::from_utf8(text).ok()?;
            // An earlier text in front of this one ends with the head of this one: 1, length.
            text.chars().all(is_text).then_some(Message::Text(text))
        }
        _ => None,
    }
}

/// On every channel of the mouse. By: 0, i16 dx, dy. To: 1, i16 x, y, width, height. Button: 2, u8 down, u8 button. Wheel: 3,
/// i16 dx, dy, or 4, i8 dx, dy.
pub(super) fn mouse(bytes: &[u8]) -> Option<Message<'static>> {
    let (&kind, mut rest) = bytes.split_first()?;
    Some(match (kind, rest.len()) {
        (0, 4) => Message::MouseBy { dx: rest.get_i16(), dy: rest.get_i16() },
        (1, 8) => {
            // Beside the picture is at its edge.
            let mut place = || rest.get_i16().max(0).cast_unsigned();
            let (x, y, width, height) = (place(), place(), place(), place());
            if width == 0 || height == 0 {
                return None;
            }
            Message::MouseTo { x, y, width, height }
        }
        (2, 2) => Message::MouseButton { down: flag(rest.get_u8())?, button: button(rest.get_u8())? },
        (3, 4) => Message::Wheel { dx: rest.get_i16(), dy: rest.get_i16() },
        (4, 2) => Message::Wheel { dx: rest.get_i8().into(), dy: rest.get_i8().into() },
        _ => return None,
    })
}

/// On `touch`: u8 phase, u32 contact, f32 x, y (0 to 1), f32 force, 2 f32 radii in the page's pixels, u16 rotation. The radii
/// say nothing without the size of the page, and are not read.
pub(super) fn touch(bytes: &[u8]) -> Option<Message<'static>> {
    if bytes.len() != 27 {
        return None;
    }
    let mut rest = bytes;
    let phase = match rest.get_u8() {
        0 => TouchPhase::Start,
        1 => TouchPhase::Move,
        2 => TouchPhase::End,
        _ => return None,
    };
    let contact = rest.get_u32();
    let position = Position { x: share(rest.get_f32())?, y: share(rest.get_f32())? };
    let pressure = share(rest.get_f32()).unwrap_or(0);
    rest.advance(8);
    let rotation = Some(rest.get_u16()).filter(|degrees| *degrees <= 360);
    Some(Message::Touch { phase, contact, position, pressure, rotation })
}

/// On `controllers`. Added: 0, u8 id, u32 buttons, u16 capabilities. Removed: 1, u8 id.
pub(super) fn controllers(bytes: &[u8]) -> Option<Message<'static>> {
    let (&kind, mut rest) = bytes.split_first()?;
    Some(match (kind, rest.len()) {
        (0, 7) => {
            let index = GamepadIndex::new(rest.get_u8())?;
            let buttons = GamepadButtons(rest.get_u32() & GAMEPAD_BUTTONS);
            Message::ControllerAdded { index, buttons, capabilities: rest.get_u16() & CAPABILITIES }
        }
        (1, 1) => Message::ControllerRemoved { id: rest.get_u8() },
        _ => return None,
    })
}

/// On `controller0` to `controller15`: 0, u32 buttons, u8 left, right trigger, i16 left x, y, right x, y (up is positive).
pub(super) fn controller(bytes: &[u8]) -> Option<Message<'static>> {
    let (&kind, mut rest) = bytes.split_first()?;
    (kind == 0 && rest.len() == 14).then(|| {
        Message::ControllerState(GamepadState {
            buttons: GamepadButtons(rest.get_u32() & GAMEPAD_BUTTONS),
            left_trigger: rest.get_u8(),
            right_trigger: rest.get_u8(),
            left_stick: (rest.get_i16(), rest.get_i16()),
            right_stick: (rest.get_i16(), rest.get_i16()),
        })
    })
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn button(number: u8) -> Option<MouseButton> {
    MouseButton::ALL.into_iter().find(|button| *button as u8 == number)
}

fn is_text(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r')
}

/// `None` for what is no number. Beyond the edge is at the edge.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 65535")]
fn share(share: f32) -> Option<u16> {
    share.is_finite().then(|| (share.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16)
}

/// As on our own channels. Pages count a text's length in a byte.
const MAX_TEXT: usize = 4096;
/// Rumble, trigger rumble: pages know no others.
const CAPABILITIES: u16 = 0x06;
