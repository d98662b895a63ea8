//! What of viewers' input goes to the host, and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::held::Held;
use crate::gamestream::wire::input::Input;
use crate::input::{HostInput, Modifiers, PointerPhase};

/// Lets input through to the control stream. Pure.
///
/// Most goes at once and in order. But hosts apply text by another path than keys, and on another channel, so at each change
/// between the two it waits until the host has acknowledged all that came before, and [`CHANGE`] longer (streams 3.3.3);
/// moves and gamepads do not wait for text. When much is unacknowledged, input is taken once per millisecond, so that
/// moves merge where they come from (streams 3.4).
///
/// After each call of any other method empty [`Self::poll`], and call [`Self::handle_timeout`] when [`Self::poll_timeout`]
/// says.
#[derive(Debug)]
pub(crate) struct Outlet {
    kind: HostKind,
    /// Text that waits, and behind it at most one that may not pass it; or that one alone.
    waiting: VecDeque<HostInput>,
    /// What the last one was that went and is [ordered](is_ordered).
    text: bool,
    /// Since when the host has acknowledged all that is ordered; `None` while it has not.
    settled: Option<Instant>,
    /// Nothing is taken before.
    pause: Option<Instant>,
    held: Held,
}

/// How a host takes input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// As the document has it.
    Usual,
    /// Wolf presses and releases a modifier around each key that is said to be pressed with it, and takes the unknown
    /// rotation of a finger for a number (streams 3.6): it is told of neither.
    Wolf,
}

/// How much the host has not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unacknowledged {
    /// Inputs that are [ordered](is_ordered).
    pub(crate) ordered: usize,
    /// All that is on its way, these included.
    pub(crate) all: usize,
}

impl Outlet {
    /// Nothing was sent yet.
    pub(crate) fn new(now: Instant, kind: HostKind) -> Self {
        Self {
            kind,
            waiting: VecDeque::new(),
            text: false,
            settled: Some(now),
            pause: None,
            held: Held::default(),
        }
    }

    /// Whether [`Self::handle_input`] may be called.
    pub(crate) fn has_room(&self) -> bool {
        let room = match self.waiting.front() {
            None => true,
            Some(HostInput::Text(_)) => self.waiting.len() == 1,
            Some(_) => false,
        };
        room && self.pause.is_none()
    }

    /// Takes what is to be done next, while there is [room](Self::has_room).
    pub(crate) fn handle_input(&mut self, input: HostInput) {
        self.waiting.push_back(input);
    }

    /// All that there was to be taken now was taken.
    pub(crate) fn handle_taken(&mut self, now: Instant, unacknowledged: Unacknowledged) {
        if unacknowledged.all > AT_ONCE {
            self.pause = Some(now + EACH);
        }
    }

    /// The host may have acknowledged something.
    pub(crate) fn handle_acknowledged(&mut self, now: Instant, unacknowledged: Unacknowledged) {
        if unacknowledged.ordered == 0 && self.settled.is_none() {
            self.settled = Some(now);
        }
    }

    /// What is to be sent now, and whether it is [ordered](is_ordered).
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(Input, bool)> {
        let input = self.next(now)?;
        let ordered = is_ordered(&input);
        if ordered {
            self.text = matches!(input, HostInput::Text(_));
            self.settled = None;
        }
        self.held.handle(&input);
        Some((self.packet(input), ordered))
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let change = self.settled.filter(|_| !self.waiting.is_empty()).map(|settled| settled + CHANGE);
        [self.pause, change].into_iter().flatten().min()
    }

    /// Time has passed; nothing when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.pause = self.pause.filter(|&until| now < until);
    }

    /// What lets go all that is down at the host. What waits is dropped: it is down nowhere.
    pub(crate) fn release(&mut self) -> Vec<Input> {
        self.waiting.clear();
        let releases = self.held.release();
        releases.into_iter().map(|input| self.packet(input)).collect()
    }

    fn next(&mut self, now: Instant) -> Option<HostInput> {
        let first = self.waiting.front()?;
        let is_text = matches!(first, HostInput::Text(_));
        let changed = || self.settled.is_some_and(|settled| settled + CHANGE <= now);
        if !is_ordered(first) || is_text == self.text || changed() {
            return self.waiting.pop_front();
        }
        // Only text has something behind it.
        if self.waiting.back().is_some_and(|last| !is_ordered(last)) { self.waiting.pop_back() } else { None }
    }

    fn packet(&self, input: HostInput) -> Input {
        Input::from(match (self.kind, input) {
            (HostKind::Wolf, HostInput::Key { code, down, .. }) => {
                HostInput::Key { code, down, modifiers: Modifiers::default() }
            }
            (HostKind::Wolf, HostInput::Touch(mut touch)) => {
                touch.rotation = Some(touch.rotation.unwrap_or(0));
                HostInput::Touch(touch)
            }
            (_, input) => input,
        })
    }
}

/// Whether text may not pass it, nor it text: it may move what text is typed into, or be part of it.
fn is_ordered(input: &HostInput) -> bool {
    let touches = |phase| !matches!(phase, PointerPhase::Hover | PointerPhase::Move);
    match input {
        HostInput::Key { .. } | HostInput::Text(_) | HostInput::Button { .. } | HostInput::Scroll { .. } => {
            true
        }
        HostInput::Touch(touch) => touches(touch.phase),
        HostInput::Pen(pen) => touches(pen.phase),
        HostInput::PointerTo(_)
        | HostInput::PointerBy { .. }
        | HostInput::GamepadConnected { .. }
        | HostInput::Gamepad { .. }
        | HostInput::GamepadMotion { .. }
        | HostInput::GamepadTouch { .. } => false,
    }
}

/// How long between text and anything else once the host has acknowledged what came before (streams 3.3.3).
const CHANGE: Duration = Duration::from_millis(50);

/// As long as no more than this is unacknowledged, each input is sent when it comes: on a path of 30 ms those of two
/// mice at their fastest.
const AT_ONCE: usize = 64;

/// Behind that, how often input is taken (streams 3.4).
const EACH: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
