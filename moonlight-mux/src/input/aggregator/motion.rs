//! Where the mouse goes, merged as it waits.

use crate::input::event::Position;
use crate::input::host::HostInput;

/// What the pointer does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Motion {
    To(Position),
    By(i32, i32),
    Scroll(i16, i16),
}

impl Motion {
    pub(super) fn is_none(self) -> bool {
        matches!(self, Self::By(0, 0) | Self::Scroll(0, 0))
    }

    pub(super) fn scrolls(self) -> bool {
        matches!(self, Self::Scroll(..))
    }
}

/// Moves and the wheel, merged: to a place, from there by so much, and there the wheel.
#[derive(Debug, Default)]
pub(super) struct Moves {
    to: Option<Position>,
    by: (i32, i32),
    scroll: (i32, i32),
}

impl Moves {
    pub(super) fn is_empty(&self) -> bool {
        !self.moves() && self.scroll == (0, 0)
    }

    /// Whether [`next`](Self::next) gives a move, and not the wheel.
    pub(super) fn moves(&self) -> bool {
        self.to.is_some() || self.by != (0, 0)
    }

    /// Whether [`add`](Self::add) leaves the wheel turning where it turned.
    pub(super) fn keep_order(&self, motion: Motion) -> bool {
        self.scroll == (0, 0)
            || match motion {
                Motion::To(place) => self.to == Some(place) && self.by == (0, 0),
                Motion::By(..) => false,
                Motion::Scroll(..) => true,
            }
    }

    /// Sums stop at the bounds of an `i32`.
    pub(super) fn add(&mut self, motion: Motion) {
        match motion {
            Motion::To(place) => {
                self.to = Some(place);
                self.by = (0, 0);
            }
            Motion::By(dx, dy) => self.by = (self.by.0.saturating_add(dx), self.by.1.saturating_add(dy)),
            Motion::Scroll(dx, dy) => {
                self.scroll.0 = self.scroll.0.saturating_add(dx.into());
                self.scroll.1 = self.scroll.1.saturating_add(dy.into());
            }
        }
    }

    /// The next part, taken away.
    pub(super) fn next(&mut self) -> Option<HostInput> {
        if let Some(place) = self.to.take() {
            return Some(HostInput::PointerTo(place));
        }
        let (dx, dy) = (take(&mut self.by.0), take(&mut self.by.1));
        if (dx, dy) != (0, 0) {
            return Some(HostInput::PointerBy { dx, dy });
        }
        let (amount, horizontal) = match take(&mut self.scroll.0) {
            0 => (take(&mut self.scroll.1), false),
            amount => (amount, true),
        };
        (amount != 0).then_some(HostInput::Scroll { horizontal, amount })
    }
}

/// As much of a sum as can be told at once.
fn take(sum: &mut i32) -> i16 {
    let part = (*sum).clamp(i16::MIN.into(), i16::MAX.into());
    *sum -= part;
    i16::try_from(part).expect("clamped")
}
