//! Many viewers become one user of the host. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::event::{GamepadIndex, InputEvent};
use super::host::{GamepadFeedback, GamepadSlot, HostFeedback, HostInput};
use super::rights::{InputMode, Rights};
use crate::peer::PeerId;

/// The input of all viewers of one stream.
#[derive(Debug)]
pub(crate) struct Aggregator {
    mode: InputMode,
    connected: bool,
    viewers: HashMap<PeerId, Rights>,
    out: VecDeque<HostInput>,
}

/// So much waits for the host already that an event that must not be lost was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Aggregator {
    /// With nobody there, and no host.
    pub(crate) fn new(mode: InputMode) -> Self {
        Self { mode, connected: false, viewers: HashMap::new(), out: VecDeque::new() }
    }

    /// A viewer comes.
    pub(crate) fn join(&mut self, peer: PeerId, rights: Rights) {
        self.viewers.insert(peer, rights);
    }

    /// A viewer is gone: what it held is let go, its gamepads are unplugged.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        self.viewers.remove(&peer);
    }

    /// Whether the viewer says `Held` every 250 ms while it holds anything: what it holds is let go when it has said nothing
    /// for 1 s. Not so at first.
    pub(crate) fn expect_heartbeat(&mut self, _peer: PeerId, _expected: bool) {}

    /// Takes what a viewer did. An event that the viewer has no right to, or not the turn for, is taken and does nothing.
    ///
    /// # Errors
    /// When too much waits for the host: the event is not taken, and may be handed in again once [`Self::poll`] has given
    /// something. Never for what may be merged with what waits: moves, wheel, sticks, sensors, `Held` and `ReleaseAll`.
    pub(crate) fn handle(&mut self, _now: Instant, _peer: PeerId, _event: &InputEvent) -> Result<(), Full> {
        Ok(())
    }

    /// Lets everything go that the viewer holds; it is still there.
    pub(crate) fn release(&mut self, _peer: PeerId) {}

    /// What it holds of a class that it may not use any more is let go. Nothing for a viewer that is gone.
    pub(crate) fn set_rights(&mut self, peer: PeerId, rights: Rights) {
        self.viewers.entry(peer).and_modify(|held| *held = rights);
    }

    pub(crate) fn set_mode(&mut self, mode: InputMode) {
        self.mode = mode;
    }

    /// A host takes input from now on, and knows of nothing that viewers hold: their gamepads are plugged in again, their
    /// keys and buttons are not pressed again.
    pub(crate) fn handle_connected(&mut self) {
        self.connected = true;
    }

    /// The host is gone: what waits for it is dropped, and so is what viewers do until there is one again.
    pub(crate) fn handle_disconnected(&mut self) {
        self.connected = false;
        self.out.clear();
    }

    /// What the host is to be told next.
    pub(crate) fn poll(&mut self) -> Option<HostInput> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        None
    }

    /// Lets go what silent viewers hold, and ends turns. Nothing when called early.
    pub(crate) fn handle_timeout(&mut self, _now: Instant) {}

    /// Whose gamepad this is for, as that viewer calls it; `None` where the slot is free.
    pub(crate) fn route(
        &mut self,
        _feedback: HostFeedback<GamepadSlot>,
    ) -> Option<(PeerId, GamepadFeedback)> {
        let _: Option<GamepadIndex> = None;
        None
    }

    /// Who acts now: who acted within the last second, or holds something.
    pub(crate) fn acting(&self, _now: Instant) -> Vec<PeerId> {
        Vec::new()
    }

    /// Whose turn it is, one at a time; `None` where nobody's, or in another mode.
    pub(crate) fn turn(&self) -> Option<PeerId> {
        None
    }
}
