//! Tells a viewer on its channel `events` who is here and how the stream is.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use webrtc::data_channel::DataChannel;

use super::event_message::{EventMessage, Stream, VideoQuality};
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
        mut quality: watch::Receiver<VideoQuality>,
    ) -> Infallible {
        let Self { channel, opens } = self;
        if opens.await.is_err() {
            return pending().await;
        }
        let (mut peers, mut state, mut info) =
            (viewer.watch_peers(), viewer.watch_state(), viewer.watch_info());
        let mut pacing = Pacing::default();
        pacing.handle_change(Topic::Stream);
        pacing.handle_change(Topic::Viewers);
        let mut stream_told = None;
        loop {
            let Some(topic) = pacing.poll(task::now()) else {
                tokio::select! {
                    Ok(()) = peers.changed() => pacing.handle_change(Topic::Viewers),
                    Ok(()) = state.changed() => pacing.handle_change(Topic::Stream),
                    Ok(()) = info.changed() => pacing.handle_change(Topic::Stream),
                    Ok(()) = quality.changed() => pacing.handle_change(Topic::Quality),
                    () = task::at(pacing.timeout()) => {}
                }
                continue;
            };
            if channel.writable().await.is_err() {
                // The viewer closed it, or the connection is going: others tell.
                return pending().await;
            }
            let json = match topic {
                Topic::Viewers => {
                    let peers = peers.borrow_and_update().clone();
                    EventMessage::viewers(viewer.id(), &peers, task::wall_clock()).to_json()
                }
                Topic::Stream => {
                    let stream = Stream::new(&state.borrow_and_update(), info.borrow_and_update().as_deref());
                    if stream_told.as_ref() == Some(&stream) {
                        continue;
                    }
                    stream_told = Some(stream.clone());
                    EventMessage::Stream(stream).to_json()
                }
                Topic::Quality => EventMessage::Quality { video: *quality.borrow_and_update() }.to_json(),
            };
            if let Err(error) = channel.send_text(&json).await {
                tracing::debug!(%error, "the viewer is not told");
            }
        }
    }
}
