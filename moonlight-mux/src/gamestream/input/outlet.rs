//! When viewers' input goes to the host.

use std::time::{Duration, Instant};

use super::held::Held;
use crate::gamestream::wire::input::Input;
use crate::input::{HostInput, Modifiers, Order, TextChange};

/// Says when input may be taken for the control stream, and what becomes of it. Pure.
///
/// What is taken goes at once and in order. But hosts apply text by another path than keys, and on another channel, so
/// between the two nothing [ordered](is_ordered) goes until the host has acknowledged all that came before, and [`CHANGE`]
/// longer (streams 3.3.3). When much is unacknowledged, input is taken once per millisecond, so that moves merge where they
/// come from (streams 3.4).
///
/// Call [`Self::handle_timeout`] when [`Self::poll_timeout`] says.
#[derive(Debug)]
pub(crate) struct Outlet {
    kind: HostKind,
    path: Path,
    /// Nothing is taken before.
    pause: Option<Instant>,
    held: Held,
}

/// How far the host is with all that is [ordered](is_ordered).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// It has not acknowledged all.
    Underway,
    /// It has, and has done it by then.
    Acknowledged { done: Instant },
    /// It has done all.
    Done,
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
    pub(crate) fn new(kind: HostKind) -> Self {
        Self { kind, path: Path::Done, pause: None, held: Held::default() }
    }

    /// Whether [`Self::handle_input`] may be called.
    pub(crate) fn has_room(&self) -> bool {
        self.pause.is_none()
    }

    /// Whether what is taken next may be a change between text and anything that is ordered against it.
    pub(crate) fn change(&self) -> TextChange {
        if self.path == Path::Done { TextChange::Allowed } else { TextChange::NotYet }
    }

    /// Takes what is done next, while there is [room](Self::has_room), and no [change](Self::change) that is not allowed. Gives
    /// what is to be sent, and whether it is [ordered](is_ordered).
    pub(crate) fn handle_input(&mut self, input: HostInput) -> (Input, bool) {
        let ordered = is_ordered(&input);
        if ordered {
            self.path = Path::Underway;
        }
        self.held.handle(&input);
        (self.packet(input), ordered)
    }

    /// All that there was to be taken now was taken.
    pub(crate) fn handle_taken(&mut self, now: Instant, unacknowledged: Unacknowledged) {
        if unacknowledged.all > AT_ONCE {
            self.pause = Some(now + EACH);
        }
    }

    /// The host may have acknowledged something.
    pub(crate) fn handle_acknowledged(&mut self, now: Instant, unacknowledged: Unacknowledged) {
        if unacknowledged.ordered == 0 && self.path == Path::Underway {
            self.path = Path::Acknowledged { done: now + CHANGE };
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let done = match self.path {
            Path::Acknowledged { done } => Some(done),
            Path::Underway | Path::Done => None,
        };
        [self.pause, done].into_iter().flatten().min()
    }

    /// Time has passed; nothing when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.pause = self.pause.filter(|&until| now < until);
        if let Path::Acknowledged { done } = self.path
            && done <= now
        {
            self.path = Path::Done;
        }
    }

    /// What lets go all that is down at the host.
    pub(crate) fn release(&mut self) -> Vec<Input> {
        let releases = self.held.release();
        releases.into_iter().map(|input| self.packet(input)).collect()
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

/// Whether it is text, or text may not pass it.
fn is_ordered(input: &HostInput) -> bool {
    input.order() != Order::Free
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
