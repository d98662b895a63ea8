//! The hub as the source has it.

use std::future::pending;

use super::InputHub;
use crate::input::host::{HostInput, TextChange};

/// The stream of inputs that a source takes ([`SourceIo::inputs`](crate::SourceIo::inputs)). While it exists viewers' input
/// reaches the source.
#[derive(Debug)]
pub struct Inputs {
    pub(super) hub: InputHub,
    pub(super) connection: u64,
}

impl Inputs {
    /// What the host is to be told next. Take it when the host has room for it: what waits meanwhile is merged, and
    /// viewers whose input may not be lost wait too. Waits for ever once the run has ended, or the source has asked for
    /// inputs again. Cancel safe.
    pub async fn next(&mut self) -> HostInput {
        self.next_with(TextChange::Allowed).await
    }

    /// What the host is to be told next, if there is anything.
    pub fn try_next(&mut self) -> Option<HostInput> {
        self.try_next_with(TextChange::Allowed)
    }

    /// As [`Self::next`]. While no change is allowed what would be one is left waiting. Cancel safe.
    pub(crate) async fn next_with(&mut self, change: TextChange) -> HostInput {
        loop {
            if let Some(input) = self.try_next_with(change) {
                return input;
            }
            if !self.hub.state().takes(self.connection) {
                // The wake-up that this may have taken is its successor's.
                self.hub.shared.filled.notify_one();
                return pending().await;
            }
            // One that came in between has left its permit.
            self.hub.shared.filled.notified().await;
        }
    }

    pub(crate) fn try_next_with(&mut self, change: TextChange) -> Option<HostInput> {
        loop {
            let mut state = self.hub.state();
            if !state.takes(self.connection) {
                return None;
            }
            let (peer, input) = state.aggregator.poll_place(change)?;
            let room = state.room(peer);
            drop(state);
            if let Some(room) = room {
                room.notify_one();
            }
            if input.is_some() {
                return input;
            }
        }
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.hub.disconnect(Some(self.connection));
    }
}
