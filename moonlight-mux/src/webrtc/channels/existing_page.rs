//! What existing pages say on their data channels, and what they are told there: all their versions. Pure, but for the [`Teller`].
//!
//! Such a page opens its channels itself, each by a label, and repeats nothing of what it holds: that is let go when its
//! signalling closes or it does not answer. Source of the layouts: protocol document, existing page 2. Version A is its v1.1
//! to v1.5, B its v1.6, C its v2.0.

mod message;
mod teller;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::message::{Message, TouchPhase};
pub(in crate::webrtc) use self::teller::Teller;
use super::event_message::VideoQuality;
use super::{Decode, Fault};
use crate::input::{
    GamepadFeedback, GamepadIndex, GamepadInfo, HostFeedback, InputEvent, KeyCode, Modifiers, MouseButton,
    PointerPhase, Position, Touch,
};

/// A data channel of an existing page, as its label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageChannel {
    /// Keys and text.
    Keyboard,
    /// The mouse, or some of it. `ordered`: buttons come in order.
    Mouse { ordered: bool },
    /// Fingers. Nothing is sent on it.
    Touch,
    /// Gamepads come and go; their rumble goes out on it.
    Controllers,
    /// What is pressed on one gamepad.
    Controller(GamepadIndex),
    /// `stats`, or one that no version known here has: what comes on it is not looked at.
    Other,
}

impl PageChannel {
    fn of_label(label: &str) -> Self {
        match label {
            "keyboard" => Self::Keyboard,
            "mouseClicks" => Self::Mouse { ordered: false },
            "mouse" | "mouseAbsolute" | "mouseRelative" | "mouse_reliable" | "mouse_absolute"
            | "mouse_relative" => Self::Mouse { ordered: true },
            "touch" => Self::Touch,
            CONTROLLERS => Self::Controllers,
            _ => Self::controller(label).unwrap_or(Self::Other),
        }
    }

    fn controller(label: &str) -> Option<Self> {
        let number = label.strip_prefix("controller")?;
        let index = GamepadIndex::new(number.parse().ok()?)?;
        // Not `+1`, nor `01`.
        (index.get().to_string() == number).then_some(Self::Controller(index))
    }
}

/// Reads what one existing page says on all its channels.
///
/// It gives events in the viewer's own terms, and makes them whole where the page does not: clicks and wheel carry the place
/// where the pointer was put last, a finger whose end never came is taken away when it comes again or when there are more
/// fingers than anybody has, and a button whose up overtook its down is not left down.
#[derive(Debug, Default)]
pub(in crate::webrtc) struct Decoder {
    /// Where the page's pointer was put; `None` before that, and once it was moved by an amount.
    place: Option<Position>,
    /// What the wheel turned beyond whole units, in fifths of one.
    wheel: (i32, i32),
    clicks: Clicks,
    /// Fingers that are down and where they were last, the longest first. At most [`FINGERS`]: then the first is taken away.
    fingers: Vec<(u32, Position)>,
    /// A bit for each gamepad that is plugged in.
    gamepads: u16,
    /// A bit for each that was unplugged, until it is announced again: its last states may come later than that.
    unplugged: u16,
}

impl Decode for Decoder {
    fn decode(
        &mut self,
        now: Instant,
        label: &str,
        message: &[u8],
        events: &mut VecDeque<InputEvent>,
    ) -> Result<(), Fault> {
        events.extend(self.handle(now, PageChannel::of_label(label), message)?);
        Ok(())
    }
}

impl Decoder {
    /// What the viewer did, by a message on one of its channels: nothing where the message is one that pages are known to
    /// send by mistake.
    fn handle(&mut self, now: Instant, channel: PageChannel, bytes: &[u8]) -> Result<Vec<InputEvent>, Fault> {
        let message = match channel {
            // Bytes of an earlier message may stand in front of a later one.
            PageChannel::Keyboard => match message::keyboard(bytes) {
                Some(message) => message,
                None => return Ok(Vec::new()),
            },
            PageChannel::Mouse { .. } => message::mouse(bytes).ok_or(Fault::Malformed)?,
            PageChannel::Touch => message::touch(bytes).ok_or(Fault::Malformed)?,
            PageChannel::Controllers => message::controllers(bytes).ok_or(Fault::Malformed)?,
            PageChannel::Controller(_) => message::controller(bytes).ok_or(Fault::Malformed)?,
            PageChannel::Other => return Ok(Vec::new()),
        };
        Ok(match (message, channel) {
            (Message::Key { down, modifiers, code }, _) => {
                let (code, modifiers) = (KeyCode(code), Modifiers(modifiers));
                vec![InputEvent::Key { code, down, modifiers, locks: None }]
            }
            (Message::Text(text), _) => vec![InputEvent::Text(text.to_owned())],
            (Message::MouseBy { dx, dy }, _) => self.move_by(dx, dy),
            (Message::MouseTo { x, y, width, height }, _) => {
                let position = Position { x: share(x, width), y: share(y, height) };
                self.place = Some(position);
                vec![InputEvent::PointerTo(position)]
            }
            (Message::MouseButton { down, button }, PageChannel::Mouse { ordered: false }) => {
                self.clicks.handle(now, button, down).map(|down| self.button(button, down)).collect()
            }
            (Message::MouseButton { down, button }, _) => vec![self.button(button, down)],
            (Message::Wheel { dx, dy }, _) => self.scroll(dx, dy),
            (Message::Touch { phase, contact, position, pressure, rotation }, _) => {
                let touch = |phase| Touch { phase, contact, position, pressure, rotation, ellipse: (0, 0) };
                self.touch(phase, touch)
            }
            (Message::ControllerAdded { index, buttons, capabilities }, _) => {
                self.gamepads |= bit(index);
                self.unplugged &= !bit(index);
                let capabilities = capabilities | GamepadInfo::default().capabilities;
                let info = GamepadInfo { buttons, capabilities, ..GamepadInfo::default() };
                vec![InputEvent::GamepadConnected { index, info }]
            }
            (Message::ControllerRemoved { id }, _) => self.remove_gamepad(id),
            (Message::ControllerState(_), PageChannel::Controller(index))
                if self.unplugged & bit(index) != 0 =>
            {
                Vec::new()
            }
            (Message::ControllerState(state), PageChannel::Controller(index)) => {
                self.gamepads |= bit(index);
                vec![InputEvent::Gamepad { index, state }]
            }
            (Message::ControllerState(_), _) => return Err(Fault::Malformed),
        })
    }

    fn move_by(&mut self, dx: i16, dy: i16) -> Vec<InputEvent> {
        if (dx, dy) == (0, 0) {
            return Vec::new();
        }
        self.place = None;
        vec![InputEvent::PointerBy { dx: dx.into(), dy: dy.into() }]
    }

    fn button(&self, button: MouseButton, down: bool) -> InputEvent {
        InputEvent::Button { button, down, at: self.place }
    }

    /// A notch of a mouse wheel is 100 pixels in most browsers, and 120 at the host.
    fn scroll(&mut self, dx: i16, dy: i16) -> Vec<InputEvent> {
        let (dx, dy) = (units(dx, &mut self.wheel.0), units(dy, &mut self.wheel.1));
        if (dx, dy) == (0, 0) {
            return Vec::new();
        }
        vec![InputEvent::Scroll { dx, dy, at: self.place }]
    }

    fn touch(&mut self, phase: TouchPhase, touch: impl Fn(PointerPhase) -> Touch) -> Vec<InputEvent> {
        let Touch { contact, position, .. } = touch(PointerPhase::Move);
        let known = self.fingers.iter().position(|(finger, _)| *finger == contact);
        let mut events = Vec::new();
        let phase = match (phase, known) {
            (TouchPhase::Start, _) => {
                let full = (self.fingers.len() == FINGERS).then_some(0);
                if let Some(stale) = known.or(full) {
                    let (contact, position) = self.fingers.remove(stale);
                    events.push(InputEvent::Touch(taken_away(contact, position)));
                }
                self.fingers.push((contact, position));
                PointerPhase::Down
            }
            (TouchPhase::Move, Some(known)) => {
                self.fingers[known].1 = position;
                PointerPhase::Move
            }
            (TouchPhase::End, Some(known)) => {
                self.fingers.remove(known);
                PointerPhase::Up
            }
            // It was taken away.
            (_, None) => return events,
        };
        events.push(InputEvent::Touch(touch(phase)));
        events
    }

    /// The page may name another gamepad than it added: where there is but one, that is meant.
    fn remove_gamepad(&mut self, id: u8) -> Vec<InputEvent> {
        let named = GamepadIndex::new(id).filter(|index| self.gamepads & bit(*index) != 0);
        let only = (self.gamepads.count_ones() == 1).then(|| self.gamepads.trailing_zeros());
        let only = only.and_then(|index| GamepadIndex::new(index.try_into().ok()?));
        let Some(index) = named.or(only) else { return Vec::new() };
        self.gamepads &= !bit(index);
        self.unplugged |= bit(index);
        vec![InputEvent::GamepadDisconnected { index }]
    }
}

/// Buttons that come on a channel without order: `mouseClicks` of version B.
#[derive(Debug, Default)]
struct Clicks {
    /// A bit for each button that is down.
    down: u8,
    /// When an up came for a button that was not down: the up of a down that is still to come, or of a press elsewhere.
    early: [Option<Instant>; MouseButton::ALL.len()],
}

impl Clicks {
    /// What the button does by a message, down or up.
    fn handle(
        &mut self,
        now: Instant,
        button: MouseButton,
        down: bool,
    ) -> impl Iterator<Item = bool> + use<> {
        let bit = 1 << button as u8;
        let was_down = self.down & bit != 0;
        let early = &mut self.early[usize::from(button as u8) - 1];
        let overtaken = early.take().is_some_and(|early| now.saturating_duration_since(early) < OVERTAKEN);
        if !down && !was_down {
            *early = Some(now);
        }
        let released_at_once = down && overtaken;
        self.down = if down && !released_at_once { self.down | bit } else { self.down & !bit };
        [down].into_iter().chain(released_at_once.then_some(false))
    }
}

/// The message on `controllers` that tells a page of its gamepad; `None` for what such pages do not know: lights and sensors.
fn controllers_message(feedback: GamepadFeedback) -> Option<[u8; 6]> {
    let (kind, gamepad, a, b) = match feedback {
        HostFeedback::Rumble { gamepad, low, high } => (0, gamepad, low, high),
        HostFeedback::TriggerRumble { gamepad, left, right } => (1, gamepad, left, right),
        HostFeedback::Led { .. } | HostFeedback::Motion { .. } => return None,
    };
    let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
    Some([kind, gamepad.get(), a, b, c, d])
}

/// The text on `general` that tells a page of its connection. It takes it for well until told otherwise.
fn general_message(quality: VideoQuality) -> &'static str {
    match quality {
        VideoQuality::Flowing => r#"{"ConnectionStatusUpdate":{"status":"Ok"}}"#,
        VideoQuality::Held | VideoQuality::Paused => r#"{"ConnectionStatusUpdate":{"status":"Poor"}}"#,
    }
}

/// A place between 0 and `size` as a share.
fn share(place: u16, size: u16) -> u16 {
    let (place, size) = (u32::from(place.min(size)), u32::from(size.max(1)));
    let share = (place * u32::from(u16::MAX) + size / 2) / size;
    u16::try_from(share).unwrap_or(u16::MAX)
}

/// Pixels as wheel units, of which 120 are 100 pixels. `rest` is what earlier ones left, and takes what these leave.
/// Beyond what fits, some 27,000 pixels at once, they are cut.
fn units(pixels: i16, rest: &mut i32) -> i16 {
    let fifths = i32::from(pixels) * 6 + *rest;
    *rest = fifths % 5;
    let units = fifths / 5;
    i16::try_from(units).unwrap_or(if units < 0 { i16::MIN } else { i16::MAX })
}

fn taken_away(contact: u32, position: Position) -> Touch {
    let phase = PointerPhase::Cancel;
    Touch { phase, contact, position, pressure: 0, rotation: None, ellipse: (0, 0) }
}

fn bit(index: GamepadIndex) -> u16 {
    1 << index.get()
}

/// The channel that the server makes. Nothing comes on it.
pub(super) const GENERAL: &str = "general";
/// The channel on which a page says what gamepads it has, and is told what they do.
pub(super) const CONTROLLERS: &str = "controllers";
/// More nobody has.
const FINGERS: usize = 10;
/// By how much an up may overtake its down: SCTP sends a lost message again after a second or two.
const OVERTAKEN: Duration = Duration::from_secs(2);
