//! What people do at the desktop that the picture stands for. Pure: strokes get their time when they are drawn.

mod gamepads;
mod keys;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use self::gamepads::Gamepads;
use super::PictureSize;
use super::font::{self, glyph};
use crate::input::{HostInput, MouseButton, Pen, PointerPhase, Position, Touch};

/// What people do to a host: who holds a clone hands it input, the picture shows it.
///
/// The pointer is a disc that is drawn like a mouse: of its upper half the left, middle and right part are coloured while
/// that button is down, of its lower half the two parts of the side buttons. Behind it stays a line, for a second, and a
/// broad one for five seconds where a button was down. Each finger is a disc with a broad line behind it, and so is the
/// pen; that is white while it is only near. The keys that are down stand below, oldest first; above them what was typed
/// as text, the last 40 characters in capitals, and above that the gamepads that are plugged in and what is pressed on them.
/// The wheel, and sensors and touchpads of gamepads, do not show.
#[derive(Clone, Debug)]
pub(crate) struct Desktop {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    size: PictureSize,
    /// None before the first move.
    pointer: Option<Point>,
    buttons: Buttons,
    /// Virtual-key codes, in the order in which they went down; each once, so at most 256.
    keys: Vec<u8>,
    /// Fingers that are down, by contact. At most [`MAX_FINGERS`]; what is beyond does not show.
    fingers: BTreeMap<u32, Point>,
    /// While it is near, and whether it touches.
    pen: Option<(Point, bool)>,
    /// At most [`MAX_TEXT`]; beyond, the oldest is left out.
    text: VecDeque<char>,
    gamepads: Gamepads,
    /// That were not drawn yet. At most [`MAX_STROKES`]; beyond, the oldest is left out.
    strokes: VecDeque<Stroke>,
}

/// Pixels from the picture's upper left corner, within the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: usize,
    pub(super) y: usize,
}

/// The buttons that are down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buttons(u8);

/// The pointer moved, or a button went down where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) from: Point,
    pub(super) to: Point,
    /// A button was down.
    pub(super) pressed: bool,
}

/// What is shown as a disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    Finger,
    Pen {
        /// It touches.
        down: bool,
    },
}

/// What is to be drawn now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) pointer: Option<(Point, Buttons)>,
    /// Names of the keys that are down, as in `CTRL A`.
    pub(super) keys: String,
    /// What touches or is near.
    pub(super) contacts: Vec<(Point, Contact)>,
    /// What was typed.
    pub(super) text: String,
    /// Gamepads and what is pressed on them, as in `PAD0 A LB`.
    pub(super) gamepads: String,
    /// The strokes since the last scene.
    pub(super) strokes: VecDeque<Stroke>,
}

/// The strokes that still show. At most [`MAX_STROKES`], which together cross the picture at most [`MAX_CROSSINGS`] times;
/// beyond, the oldest are left out.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// With the time at which each was drawn first.
    strokes: VecDeque<(Duration, Stroke)>,
    /// Of all of them, in pixels.
    length: usize,
}

impl Desktop {
    pub(super) fn new(size: PictureSize) -> Self {
        let state = State {
            size,
            pointer: None,
            buttons: Buttons::default(),
            keys: Vec::new(),
            fingers: BTreeMap::new(),
            pen: None,
            text: VecDeque::new(),
            gamepads: Gamepads::default(),
            strokes: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Takes what somebody did.
    pub(crate) fn handle(&self, input: &HostInput) {
        self.state().handle(input);
    }

    /// Whoever held anything is gone.
    pub(crate) fn release_all(&self) {
        let mut state = self.state();
        state.buttons = Buttons::default();
        state.keys.clear();
        state.fingers.clear();
        state.pen = None;
        state.gamepads.unplug_all();
    }

    pub(super) fn scene(&self) -> Scene {
        let mut state = self.state();
        Scene {
            pointer: state.pointer.map(|pointer| (pointer, state.buttons)),
            keys: state.keys.iter().map(|&code| keys::name(code)).collect::<Vec<_>>().join(" "),
            contacts: state.contacts().collect(),
            text: state.text.iter().collect(),
            gamepads: state.gamepads.names(),
            strokes: std::mem::take(&mut state.strokes),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn handle(&mut self, input: &HostInput) {
        match *input {
            HostInput::PointerTo(position) => self.point_to(self.place(position)),
            HostInput::PointerBy { dx, dy } => {
                let Point { x, y } = self.pointer.unwrap_or(self.middle());
                let moved = |from: usize, by: i16| from.saturating_add_signed(by.into());
                self.point_to(Point { x: moved(x, dx), y: moved(y, dy) });
            }
            HostInput::Button { button, down } => self.press(button, down),
            HostInput::Touch(touch) => self.touch(touch),
            HostInput::Key { code, down, .. } => {
                self.keys.retain(|&held| held != code.0);
                if down {
                    self.keys.push(code.0);
                }
            }
            HostInput::Pen(pen) => self.draw(pen),
            HostInput::Text(character) => self.type_in(character),
            HostInput::GamepadConnected { slot, .. } => self.gamepads.handle_connected(slot),
            HostInput::Gamepad { slot, state, active } => self.gamepads.handle(slot, state, active),
            HostInput::Scroll { .. } | HostInput::GamepadMotion { .. } | HostInput::GamepadTouch { .. } => {}
        }
    }

    fn touch(&mut self, Touch { phase, contact, position, .. }: Touch) {
        let to = self.within(self.place(position));
        match phase {
            PointerPhase::Down if self.fingers.len() < MAX_FINGERS => {
                self.fingers.insert(contact, to);
                self.stroke(Stroke { from: to, to, pressed: true });
            }
            PointerPhase::Move => {
                let Some(at) = self.fingers.get_mut(&contact) else { return };
                let from = std::mem::replace(at, to);
                self.stroke(Stroke { from, to, pressed: true });
            }
            PointerPhase::Up | PointerPhase::Cancel => {
                self.fingers.remove(&contact);
            }
            PointerPhase::Down | PointerPhase::Hover | PointerPhase::Leave | PointerPhase::Buttons => {}
        }
    }

    fn draw(&mut self, Pen { phase, position, .. }: Pen) {
        let to = self.within(self.place(position));
        let before = self.pen.take();
        let down = match phase {
            PointerPhase::Leave => return,
            PointerPhase::Down | PointerPhase::Move => true,
            PointerPhase::Hover | PointerPhase::Up | PointerPhase::Cancel => false,
            PointerPhase::Buttons => before.is_some_and(|(_, down)| down),
        };
        if down {
            let from = before.filter(|&(_, down)| down).map_or(to, |(from, _)| from);
            self.stroke(Stroke { from, to, pressed: true });
        }
        self.pen = Some((to, down));
    }

    fn type_in(&mut self, character: char) {
        let shown = |letter: &char| letter.is_whitespace() || glyph(*letter) != [0; font::HEIGHT];
        let mut capitals = character.to_uppercase();
        let letter = capitals.next().filter(shown).unwrap_or(font::MISSING);
        if self.text.len() == MAX_TEXT {
            self.text.pop_front();
        }
        self.text.push_back(letter);
    }

    fn contacts(&self) -> impl Iterator<Item = (Point, Contact)> {
        let fingers = self.fingers.values().map(|&at| (at, Contact::Finger));
        fingers.chain(self.pen.map(|(at, down)| (at, Contact::Pen { down })))
    }

    fn press(&mut self, button: MouseButton, down: bool) {
        self.buttons.set(button, down);
        let pointer = self.pointer.unwrap_or(self.middle());
        self.pointer = Some(pointer);
        if down {
            self.stroke(Stroke { from: pointer, to: pointer, pressed: true });
        }
    }

    fn point_to(&mut self, to: Point) {
        let to = self.within(to);
        let from = self.pointer.unwrap_or(to);
        self.pointer = Some(to);
        if from != to {
            self.stroke(Stroke { from, to, pressed: self.buttons.any() });
        }
    }

    fn stroke(&mut self, stroke: Stroke) {
        if self.strokes.len() == MAX_STROKES {
            self.strokes.pop_front();
        }
        self.strokes.push_back(stroke);
    }

    fn place(&self, Position { x, y }: Position) -> Point {
        let pixels = |share: u16, side: u32| usize::from(share) * side as usize / (usize::from(u16::MAX) + 1);
        Point { x: pixels(x, self.size.width()), y: pixels(y, self.size.height()) }
    }

    fn middle(&self) -> Point {
        Point { x: self.size.width() as usize / 2, y: self.size.height() as usize / 2 }
    }

    fn within(&self, Point { x, y }: Point) -> Point {
        Point { x: x.min(self.size.width() as usize - 1), y: y.min(self.size.height() as usize - 1) }
    }
}

impl Buttons {
    pub(super) fn has(self, button: MouseButton) -> bool {
        self.0 & 1 << button as u8 != 0
    }

    fn any(self) -> bool {
        self.0 != 0
    }

    fn set(&mut self, button: MouseButton, down: bool) {
        let bit = 1 << button as u8;
        self.0 = if down { self.0 | bit } else { self.0 & !bit };
    }
}

impl Stroke {
    /// The longer of its extents, in pixels.
    pub(super) fn length(&self) -> usize {
        self.from.x.abs_diff(self.to.x).max(self.from.y.abs_diff(self.to.y))
    }

    fn lifetime(&self) -> Duration {
        if self.pressed { DRAWN_FOR } else { SEEN_FOR }
    }
}

impl Trail {
    /// Takes the new strokes and forgets those that have faded, or are too many for a picture of this width.
    pub(super) fn handle(&mut self, fresh: VecDeque<Stroke>, now: Duration, width: usize) {
        self.length += fresh.iter().map(Stroke::length).sum::<usize>();
        self.strokes.extend(fresh.into_iter().map(|stroke| (now, stroke)));
        self.strokes.retain(|(since, stroke)| {
            let shows = now.saturating_sub(*since) < stroke.lifetime();
            if !shows {
                self.length -= stroke.length();
            }
            shows
        });
        while self.strokes.len() > MAX_STROKES || self.length > MAX_CROSSINGS * width {
            let Some((_, stroke)) = self.strokes.pop_front() else { break };
            self.length -= stroke.length();
        }
    }

    /// The strokes, oldest first, each with what is left of it: 1 when it is new, towards 0 as it fades.
    pub(super) fn strokes(&self, now: Duration) -> impl Iterator<Item = (Stroke, f32)> {
        self.strokes.iter().map(move |&(since, stroke)| {
            let age = now.saturating_sub(since).as_secs_f32() / stroke.lifetime().as_secs_f32();
            (stroke, 1.0 - age.min(1.0))
        })
    }
}

/// For how long a stroke shows that was made with a button down.
const DRAWN_FOR: Duration = Duration::from_secs(5);
/// For how long any other does.
const SEEN_FOR: Duration = Duration::from_secs(1);
/// Several seconds of moves, as often as a mouse sends them.
const MAX_STROKES: usize = 4096;
/// All that all viewers together may have, and some to spare.
const MAX_FINGERS: usize = 64;
/// Characters of typed text.
const MAX_TEXT: usize = 40;
/// Drawing this many lines across the picture takes less time than encoding it.
const MAX_CROSSINGS: usize = 40;

#[cfg(test)]
mod tests;
