//! A process's turn to launch at its host, among all processes and streamers that do.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::gamestream::host::{LaunchSlot, Launching};

pub(super) struct Launch {
    slot: Arc<Mutex<LaunchSlot>>,
    turn: Turn,
}

enum Turn {
    Unwanted,
    Wanted(Pin<Box<dyn Future<Output = Launching> + Send>>),
    /// If the process dies now, the host may keep what it was asked for as pending.
    Granted(Launching),
}

impl Launch {
    pub(super) fn new(slot: Arc<Mutex<LaunchSlot>>) -> Self {
        Self { slot, turn: Turn::Unwanted }
    }

    pub(super) fn want(&mut self) {
        if let Turn::Unwanted = self.turn {
            self.turn = Turn::Wanted(Box::pin(Launching::begin(self.slot.clone())));
        }
    }

    /// Waits until it is the process's turn; for ever if that wants none. Cancel safe.
    pub(super) async fn granted(&mut self) {
        let Turn::Wanted(turn) = &mut self.turn else { return pending().await };
        let mut launching = turn.await;
        launching.asked();
        self.turn = Turn::Granted(launching);
    }

    pub(super) fn is_granted(&self) -> bool {
        matches!(self.turn, Turn::Granted(_))
    }

    /// The process says that it is over, or that it wants none any more.
    pub(super) fn over(&mut self, now: Instant, pending: Duration) {
        if let Turn::Granted(launching) = std::mem::replace(&mut self.turn, Turn::Unwanted) {
            launching.over(now, pending);
        }
    }
}
