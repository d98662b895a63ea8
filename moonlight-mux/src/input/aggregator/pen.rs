//! The host's one pen.

use super::outbox::{Device, Writer};
use crate::input::event::{Pen, PointerPhase};
use crate::input::host::HostInput;
use crate::peer::PeerId;

/// Belongs to one viewer while it is near. Somebody else's takes its place by touching down while it only hovers; otherwise
/// it is ignored.
#[derive(Debug, Default)]
pub(super) struct HostPen(Option<Near>);

#[derive(Debug)]
struct Near {
    peer: PeerId,
    down: bool,
    /// As it was told last.
    last: Pen,
}

impl HostPen {
    pub(super) fn is_down(&self, peer: PeerId) -> bool {
        self.0.as_ref().is_some_and(|near| near.peer == peer && near.down)
    }

    /// Whether it goes on as it did, so that only the next one matters after this.
    pub(super) fn goes_on(&self, peer: PeerId, pen: &Pen) -> bool {
        matches!(pen.phase, PointerPhase::Hover | PointerPhase::Move)
            && self.0.as_ref().is_some_and(|near| {
                near.peer == peer && (near.last.buttons, near.last.tool) == (pen.buttons, pen.tool)
            })
    }

    pub(super) fn handle(&mut self, peer: PeerId, pen: &Pen, outbox: &mut Writer<'_>) {
        let goes_on = self.goes_on(peer, pen);
        let near = self.0.as_ref().map(|near| (near.peer == peer, near.down));
        let down = match (pen.phase, near) {
            (PointerPhase::Hover, None | Some((true, false))) => false,
            (PointerPhase::Down, None | Some((_, false))) => true,
            (PointerPhase::Move, Some((true, true))) => true,
            (PointerPhase::Up, Some((true, true))) => false,
            (PointerPhase::Buttons, Some((true, down))) => down,
            (PointerPhase::Cancel | PointerPhase::Leave, Some((true, _))) => return self.leave(outbox),
            _ => return,
        };
        if near.is_some_and(|(own, _)| !own) {
            self.leave(outbox);
        }
        self.0 = Some(Near { peer, down, last: *pen });
        if goes_on {
            outbox.replace(Device::Pen, HostInput::Pen(*pen));
        } else {
            outbox.push(Device::Pen, HostInput::Pen(*pen));
        }
    }

    /// Takes it away if it is this viewer's.
    pub(super) fn release(&mut self, peer: PeerId, outbox: &mut Writer<'_>) {
        if self.0.as_ref().is_some_and(|near| near.peer == peer) {
            self.leave(outbox);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    fn leave(&mut self, outbox: &mut Writer<'_>) {
        if let Some(Near { down, last, .. }) = self.0.take() {
            let phase = if down { PointerPhase::Cancel } else { PointerPhase::Leave };
            outbox.push(Device::Pen, HostInput::Pen(Pen { phase, ..last }));
        }
    }
}
