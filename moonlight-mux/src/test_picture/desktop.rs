//! What people do at the desktop that the picture stands for. Pure: strokes get their time when they are drawn.

mod keys;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::PictureSize;
use crate::input::{HostInput, MouseButton, PointerPhase, Position, Touch};

/// A pointer, mouse buttons and keys: who holds a clone hands it input, the picture shows it.
///
/// The pointer is a disc that is drawn like a mouse: of its upper half the left, middle and right part are coloured while
/// that button is down, of its lower half the two parts of the side buttons. Behind it stays a line, for a second, and a
/// broad one for five seconds where a button was down. The keys that are down stand below, oldest first.
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

/// What is to be drawn now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) pointer: Option<(Point, Buttons)>,
    /// Names of the keys that are down, as in `CTRL A`.
    pub(super) keys: String,
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
            strokes: VecDeque::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Takes what somebody did. A touch moves the pointer, with the left button; scrolling, text, pens and controllers do
    /// not show.
    pub(crate) fn handle(&self, input: &HostInput) {
        self.state().handle(input);
    }

    /// Whoever held keys and buttons is gone.
    pub(crate) fn release_all(&self) {
        let mut state = self.state();
        state.buttons = Buttons::default();
        state.keys.clear();
    }

    pub(super) fn scene(&self) -> Scene {
        let mut state = self.state();
        Scene {
            pointer: state.pointer.map(|pointer| (pointer, state.buttons)),
            keys: state.keys.iter().map(|&code| keys::name(code)).collect::<Vec<_>>().join(" "),
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
            _ => {}
        }
    }

    fn touch(&mut self, Touch { phase, position, .. }: Touch) {
        let point = self.place(position);
        match phase {
            PointerPhase::Hover | PointerPhase::Move => self.point_to(point),
            PointerPhase::Down => {
                // A finger comes from nowhere: no stroke leads there.
                self.pointer = Some(self.within(point));
                self.press(MouseButton::Left, true);
            }
            PointerPhase::Up | PointerPhase::Cancel => self.press(MouseButton::Left, false),
            PointerPhase::Buttons | PointerPhase::Leave => {}
        }
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
/// Drawing this many lines across the picture takes less time than encoding it.
const MAX_CROSSINGS: usize = 40;

#[cfg(test)]
mod tests;
