//! The hub as a viewer has it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::InputHub;
use crate::input::aggregator::Full;
use crate::input::event::InputEvent;
use crate::input::host::GamepadFeedback;
use crate::input::rights::Rights;
use crate::input::status::{InputStatus, Pointer};
use crate::peer::PeerId;
use crate::task;

/// A viewer's place in the hub. Dropping it lets go what the viewer holds.
#[derive(Debug)]
pub(crate) struct ViewerInput {
    pub(super) hub: InputHub,
    pub(super) peer: PeerId,
    pub(super) status: watch::Receiver<InputStatus>,
    pub(super) mail: Arc<Notify>,
    /// The viewer's event may be taken now.
    pub(super) room: Arc<Notify>,
}

impl ViewerInput {
    /// Hands in what the viewer did. Waits while too much of the viewer's waits for the host, or what it must not overtake.
    /// Cancel safe: the event was not taken then.
    pub(crate) async fn send(&self, event: &InputEvent) {
        while self.try_send(event).is_err() {
            // Room that was made before this waits has left its permit.
            self.room.notified().await;
        }
    }

    pub(super) fn try_send(&self, event: &InputEvent) -> Result<(), Full> {
        let now = task::now();
        let mut state = self.hub.state();
        state.handle(now, self.peer, event)?;
        let sooner = state.will_tell(now);
        drop(state);
        self.hub.shared.filled.notify_one();
        if sooner {
            self.hub.shared.sooner.notify_one();
        }
        Ok(())
    }

    /// Lets go what the viewer holds.
    pub(crate) fn release(&self) {
        self.hub.change(|state| state.aggregator.release(self.peer));
    }

    pub(crate) fn expect_heartbeat(&self, expected: bool) {
        self.hub.change(|state| state.aggregator.expect_heartbeat(self.peer, expected));
    }

    /// What the viewer may do now.
    pub(crate) fn rights(&self) -> Rights {
        self.hub.rights(self.peer)
    }

    /// Makes [`InputHub::changed`] return.
    pub(crate) fn look_again(&self) {
        self.hub.look_again();
    }

    pub(crate) fn watch_status(&self) -> watch::Receiver<InputStatus> {
        self.status.clone()
    }

    pub(crate) fn watch_pointers(&self) -> watch::Receiver<Arc<[Pointer]>> {
        self.hub.shared.pointers.subscribe()
    }

    /// What the host wants of the viewer's gamepads next: of each kind and gamepad the newest. Cancel safe.
    pub(crate) async fn feedback(&self) -> GamepadFeedback {
        loop {
            let next = self.hub.state().viewers.get_mut(&self.peer).and_then(|viewer| viewer.mailbox.poll());
            match next {
                Some(feedback) => return feedback,
                None => self.mail.notified().await,
            }
        }
    }
}

impl Drop for ViewerInput {
    fn drop(&mut self) {
        self.hub.leave(self.peer);
    }
}
