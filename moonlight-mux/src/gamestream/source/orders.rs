//! What the streamer wants of a source that is busy with something else.

use std::future::Future;

use crate::source::{Command, SourceIo};

/// Hears the streamer's wishes.
pub(super) struct Orders<'a> {
    pub(super) io: &'a mut SourceIo,
    /// The app on the host shall end too.
    pub(super) quit: bool,
    /// The source shall end.
    pub(super) stopped: bool,
}

impl<'a> Orders<'a> {
    pub(super) fn new(io: &'a mut SourceIo) -> Self {
        Self { io, quit: false, stopped: false }
    }

    /// Takes the next wish; true if it is for a keyframe. Waits for ever once the source shall end. Cancel safe.
    pub(super) async fn next(&mut self) -> bool {
        if self.stopped {
            return std::future::pending().await;
        }
        match self.io.command().await {
            Some(Command::Keyframe) => return true,
            Some(Command::Quit) => self.quit = true,
            None => self.stopped = true,
        }
        false
    }

    /// What `work` comes to; `None` if the source shall end before that, and `work` is dropped.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        while !self.stopped {
            tokio::select! {
                result = &mut work => return Some(result),
                // There is no stream yet that a keyframe could be wished of.
                _ = self.next() => {}
            }
        }
        None
    }
}
