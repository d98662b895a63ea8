//! What waits to be told to a process.

use std::os::fd::OwnedFd;

use tokio::sync::mpsc;

use super::message::ToChild;

/// For one process. Clones are handles to the same.
#[derive(Clone, Debug)]
pub(super) struct Outbox(mpsc::Sender<ToldToChild>);

/// A message, and the socket that comes with it.
#[derive(Debug)]
pub(super) struct ToldToChild {
    pub(super) message: ToChild,
    pub(super) socket: Option<OwnedFd>,
}

/// The process takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process is gone")]
pub(super) struct Gone;

/// Some seconds of everything that all viewers of a stream say. Full: whose message it is waits; wishes are dropped, since an
/// older one stands before them.
const MESSAGES: usize = 256;

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::Receiver<ToldToChild>) {
        let (sender, messages) = mpsc::channel(MESSAGES);
        (Self(sender), messages)
    }

    /// Waits for room. Cancel safe: the message is not sent then.
    pub(super) async fn send(&self, message: ToChild) -> Result<(), Gone> {
        self.0.send(ToldToChild { message, socket: None }).await.map_err(|_| Gone)
    }

    /// Sends it if there is room. False if there is none.
    pub(super) fn offer(&self, message: ToChild, socket: Option<OwnedFd>) -> bool {
        self.0.try_send(ToldToChild { message, socket }).is_ok()
    }
}
