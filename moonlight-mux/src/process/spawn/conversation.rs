//! What passes between the supervisor and its process.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::sync::mpsc;

use crate::process::link::{Link, Received, Sender};
use crate::process::message::{FromChild, ToChild};
use crate::task::{self, Task};

/// Words of the process that the supervisor has not heard yet. Full: they wait in the socket, and then in the process.
const WORDS: usize = 256;

/// The tasks that pass messages on. Dropping it ends them.
pub(super) struct Conversation {
    writing: Task<io::Result<()>>,
    reading: Task<()>,
}

impl Conversation {
    pub(super) fn begin(
        socket: UnixStream,
    ) -> io::Result<(Sender<ToChild>, mpsc::Receiver<FromChild>, Self)> {
        let Link { sender, mut receiver, writer: writing } = Link::<ToChild, FromChild>::open(socket.into())?;
        let (hear, words) = mpsc::channel(WORDS);
        let reading = task::spawn(async move {
            while let Some(Received { message, .. }) = receiver.recv().await {
                if hear.send(message).await.is_err() {
                    break;
                }
            }
            let skipped = receiver.counts();
            if skipped.total() > 0 {
                tracing::warn!(?skipped, "the process said what cannot be understood");
            }
        });
        Ok((sender, words, Self { writing, reading }))
    }

    /// Ends it, and waits until nothing of it is left.
    pub(super) async fn close(self) {
        let Self { writing, reading } = self;
        writing.abort();
        reading.abort();
        let _ = tokio::join!(writing, reading);
    }
}
