//! Tells an existing page what its gamepads do, and how its connection is.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{oneshot, watch};
use webrtc::data_channel::DataChannel;
use webrtc::error::Error;

use super::{controllers_message, general_message};
use crate::egress::ViewerIo;
use crate::input::GamepadFeedback;
use crate::webrtc::channels::{Quality, VideoQuality};

/// The sending ends of `general` and `controllers`.
pub(in crate::webrtc) struct Teller {
    general: Arc<dyn DataChannel>,
    opens: oneshot::Receiver<()>,
    /// `None` until the page has opened it.
    controllers: watch::Receiver<Option<Arc<dyn DataChannel>>>,
}

impl Teller {
    pub(in crate::webrtc) fn new(
        general: Arc<dyn DataChannel>,
        opens: oneshot::Receiver<()>,
        controllers: watch::Receiver<Option<Arc<dyn DataChannel>>>,
    ) -> Self {
        Self { general, opens, controllers }
    }

    /// Tells the page of each change. A page that is slow to take it gets the newest when it has caught up. Not cancel safe: a
    /// message may be taken for told.
    pub(in crate::webrtc) async fn serve(
        mut self,
        viewer: &ViewerIo,
        mut quality: watch::Receiver<Quality>,
    ) -> Infallible {
        let (mut waits, mut open) = (true, false);
        // What a page takes its connection for.
        let mut told = general_message(VideoQuality::Flowing);
        loop {
            let sent = tokio::select! {
                opened = &mut self.opens, if waits => {
                    (waits, open) = (false, opened.is_ok());
                    continue;
                }
                Ok(()) = quality.changed(), if open => {
                    let status = general_message(quality.borrow_and_update().video);
                    if status == told {
                        continue;
                    }
                    told = status;
                    self.tell_status(status).await
                }
                feedback = viewer.feedback() => self.tell_feedback(feedback).await,
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "the page is not told");
            }
        }
    }

    async fn tell_status(&self, status: &str) -> Result<(), Error> {
        self.general.writable().await?;
        self.general.send_text(status).await
    }

    /// A page without the channel has no gamepads.
    async fn tell_feedback(&self, feedback: GamepadFeedback) -> Result<(), Error> {
        let channel = self.controllers.borrow().clone();
        let (Some(channel), Some(message)) = (channel, controllers_message(feedback)) else { return Ok(()) };
        channel.writable().await?;
        channel.send(BytesMut::from(&message[..])).await
    }
}
