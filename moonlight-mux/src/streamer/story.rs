//! What the log tells of one run of a source. Operators know its lines: each comes once, in this order.

use crate::media::{StreamInfo, VideoFrame};
use crate::source::Stage;

#[derive(Debug, Default)]
pub(super) struct Story {
    connected: bool,
    info: Option<StreamInfo>,
    complete: bool,
    has_pictures: bool,
}

impl Story {
    pub(super) fn stage_starting(&self, stage: Stage) {
        tracing::info!(%stage, "stage starting");
    }

    pub(super) fn stage_complete(&self, stage: Stage) {
        tracing::info!(%stage, "stage complete");
    }

    pub(super) fn connected(&mut self) {
        if !self.connected {
            self.connected = true;
            tracing::info!("Moonlight connected: stream is live headless");
            self.complete();
        }
    }

    /// A source may know its format before it is connected.
    pub(super) fn info(&mut self, info: &StreamInfo) {
        if self.info.as_ref() != Some(info) {
            self.info = Some(info.clone());
            if self.complete {
                self.tell_format("stream format changed");
            } else if self.connected {
                self.complete();
            }
        }
    }

    pub(super) fn video(&mut self, frame: &VideoFrame) {
        if !self.has_pictures {
            self.has_pictures = true;
            // A source that is never connected to anything says so by its frames.
            self.complete();
            tracing::info!(keyframe = frame.keyframe, bytes = frame.data.len(), "first frame");
        }
    }

    fn complete(&mut self) {
        if !self.complete && self.info.is_some() {
            self.complete = true;
            self.tell_format("connection complete");
        }
    }

    fn tell_format(&self, message: &str) {
        if let Some(StreamInfo { video, .. }) = &self.info {
            let codec = video.codec.name();
            tracing::info!(width = video.width, height = video.height, codec, fps = video.fps, "{message}");
        }
    }
}
