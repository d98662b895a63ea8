//! Tells a viewer on its channel `events` who is here, how the stream is, what it may do, and what its gamepads do.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use webrtc::data_channel::DataChannel;

use super::event_message::{EventMessage, Input, Quality, Stream};
use super::pacing::{Pacing, Topic};
use crate::egress::ViewerIo;
use crate::task;

/// The sending end of `events`.
pub(in crate::webrtc) struct Announcer {
    channel: Arc<dyn DataChannel>,
    opens: oneshot::Receiver<()>,
}

impl Announcer {
    pub(super) fn new(channel: Arc<dyn DataChannel>, opens: oneshot::Receiver<()>) -> Self {
        Self { channel, opens }
    }

    /// Tells the viewer once its channel is open, and on each change from then on. A viewer that is slow to take it gets
    /// the newest when it has caught up. Not cancel safe: a message may be taken for told.
    pub(in crate::webrtc) async fn serve(
        self,
        viewer: &ViewerIo,
        mut quality: watch::Receiver<Quality>,
    ) -> Infallible {
        let Self { channel, opens } = self;
        if opens.await.is_err() {
            return pending().await;
        }
        let (mut peers, mut state, mut info) =
            (viewer.watch_peers(), viewer.watch_state(), viewer.watch_info());
        let (mut input, mut pointers) = (viewer.watch_input(), viewer.watch_pointers());
        let mut pacing = Pacing::default();
        for topic in [Topic::Stream, Topic::Input, Topic::Viewers, Topic::Pointers] {
            pacing.handle_change(topic);
        }
        let (mut stream_told, mut input_told) = (None, None);
        let mut pointers_told = Vec::new();
        loop {
            if channel.writable().await.is_err() {
                // The viewer closed it, or the connection is going: others tell.
                return pending().await;
            }
            match pacing.poll(task::now()) {
                Some(Topic::Viewers) => {
                    let peers = peers.borrow_and_update().clone();
                    let now = task::wall_clock();
                    tell(&*channel, &EventMessage::viewers(viewer.id(), &peers, now)).await;
                }
                Some(Topic::Stream) => {
                    let stream = Stream::new(&state.borrow_and_update(), info.borrow_and_update().as_deref());
                    if stream_told.as_ref() == Some(&stream) {
                        continue;
                    }
                    stream_told = Some(stream.clone());
                    tell(&*channel, &EventMessage::Stream(stream)).await;
                }
                Some(Topic::Input) => {
                    let status = Input::new(&input.borrow_and_update());
                    if input_told.as_ref() == Some(&status) {
                        continue;
                    }
                    input_told = Some(status.clone());
                    tell(&*channel, &EventMessage::Input(status)).await;
                }
                Some(Topic::Pointers) => {
                    let others = EventMessage::pointers(viewer.id(), &pointers.borrow_and_update());
                    if others == pointers_told {
                        continue;
                    }
                    pointers_told.clone_from(&others);
                    tell(&*channel, &EventMessage::Pointers(others)).await;
                }
                Some(Topic::Quality) => {
                    let quality = *quality.borrow_and_update();
                    tell(&*channel, &EventMessage::Quality(quality)).await;
                }
                None => {
                    let changed = tokio::select! {
                        feedback = viewer.feedback() => {
                            tell(&*channel, &EventMessage::feedback(feedback)).await;
                            continue;
                        }
                        Ok(()) = peers.changed() => Topic::Viewers,
                        Ok(()) = state.changed() => Topic::Stream,
                        Ok(()) = info.changed() => Topic::Stream,
                        Ok(()) = quality.changed() => Topic::Quality,
                        Ok(()) = input.changed() => Topic::Input,
                        Ok(()) = pointers.changed() => Topic::Pointers,
                        () = task::at(pacing.timeout()) => continue,
                    };
                    pacing.handle_change(changed);
                }
            }
        }
    }
}

async fn tell(channel: &dyn DataChannel, message: &EventMessage<'_>) {
    if let Err(error) = channel.send_text(&message.to_json()).await {
        tracing::debug!(%error, "the viewer is not told");
    }
}
