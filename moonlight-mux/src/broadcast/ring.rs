//! The last of a stream, which its viewers take each at its own pace. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::media::{AudioFrame, VideoFrame};

/// A second at 60 frames per second: more would be old when it arrives. Full: the oldest is dropped, and who has not taken it
/// goes on with a keyframe.
pub(super) const VIDEO_FRAMES: usize = 60;
/// A quarter of a second at 5 ms. Full: the oldest packet is dropped.
pub(super) const AUDIO_FRAMES: usize = 50;

/// Filled by the stream's source, kept once for all who take from it, and empty while nobody does.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) video: Lane<VideoFrame>,
    pub(super) audio: Lane<AudioFrame>,
    takers: usize,
    /// The stream is over.
    pub(super) closed: bool,
}

/// One medium. A position counts from the stream's first, whether that is still here or not.
#[derive(Debug)]
pub(super) struct Lane<T> {
    kept: VecDeque<Arc<T>>,
    limit: usize,
    end: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { video: Lane::new(VIDEO_FRAMES), audio: Lane::new(AUDIO_FRAMES), takers: 0, closed: false }
    }

    pub(super) fn has_takers(&self) -> bool {
        self.takers > 0
    }

    /// Somebody takes what comes from now on.
    pub(super) fn join(&mut self) {
        self.takers += 1;
    }

    /// Who joined takes no more.
    pub(super) fn leave(&mut self) {
        self.takers -= 1;
        if self.takers == 0 {
            self.video.kept.clear();
            self.audio.kept.clear();
        }
    }

    pub(super) fn push_video(&mut self, frame: VideoFrame) {
        self.video.push(frame, self.takers > 0);
    }

    pub(super) fn push_audio(&mut self, frame: AudioFrame) {
        self.audio.push(frame, self.takers > 0);
    }
}

impl<T> Lane<T> {
    fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, end: 0 }
    }

    fn push(&mut self, item: T, keep: bool) {
        self.end += 1;
        if !keep {
            return;
        }
        if self.kept.len() == self.limit {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::new(item));
    }

    /// Where the next one will stand.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where the oldest stands that is still here.
    pub(super) fn start(&self) -> u64 {
        self.end - self.kept.len() as u64
    }

    pub(super) fn get(&self, position: u64) -> Option<&Arc<T>> {
        let index = position.checked_sub(self.start())?;
        self.kept.get(usize::try_from(index).ok()?)
    }
}
