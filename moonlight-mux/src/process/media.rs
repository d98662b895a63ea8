//! Frames that a process hands over, for whoever watches in this one.

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::frames::Decoder;
use super::media_frames::{MAX_MEDIA, MediaFrame};
use crate::broadcast::Broadcaster;

/// What is read at once.
const READ: usize = 256 * 1024;

/// Publishes what comes, until the process ends it or nobody watches any more.
pub(super) async fn receive(mut socket: UnixStream, broadcaster: Broadcaster) {
    broadcaster.begin_run();
    let mut decoder = Decoder::new(MAX_MEDIA);
    let mut chunk = BytesMut::with_capacity(READ);
    loop {
        chunk.clear();
        match socket.read_buf(&mut chunk).await {
            Ok(0) => return,
            Ok(_) => decoder.push(&chunk),
            Err(error) => {
                tracing::debug!(%error, "the media connection failed");
                return;
            }
        }
        while let Some(payload) = decoder.next() {
            match MediaFrame::decode(payload) {
                Ok(MediaFrame::Video(frame)) => broadcaster.publish_video(frame),
                Ok(MediaFrame::Audio(frame)) => broadcaster.publish_audio(frame),
                // It is told on the control connection too.
                Ok(MediaFrame::Info(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "what the process hands over is no media");
                    return;
                }
            }
        }
        if !broadcaster.is_watched() {
            return;
        }
    }
}
