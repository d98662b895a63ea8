//! The last of a stream, which its viewers take each at its own pace. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::media::{AudioFrame, VideoFrame};

/// A second at 60 frames per second, 2.5 MB at 20 Mbit/s: more would be old when it arrives. Full: the oldest is dropped, and
/// who has not taken it goes on with the newest keyframe.
pub(super) const VIDEO_FRAMES: usize = 60;
/// A quarter of a second at 5 ms. Full: the oldest packet is dropped.
pub(super) const AUDIO_FRAMES: usize = 50;

/// Filled by the stream's source, kept once for all who take from it, and empty while nobody does.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) video: Lane<VideoFrame>,
    pub(super) audio: Lane<AudioFrame>,
    /// Where the newest keyframe stands, or stood.
    keyframe: Option<u64>,
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
        Self {
            video: Lane::new(VIDEO_FRAMES),
            audio: Lane::new(AUDIO_FRAMES),
            keyframe: None,
            takers: 0,
            closed: false,
        }
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

    /// Gives what has no place any more, to be freed where nobody waits for it.
    pub(super) fn push_video(&mut self, frame: Arc<VideoFrame>) -> Option<Arc<VideoFrame>> {
        if frame.keyframe {
            self.keyframe = Some(self.video.end);
        }
        self.video.push(frame, self.takers > 0)
    }

    /// As [`Self::push_video`].
    pub(super) fn push_audio(&mut self, frame: Arc<AudioFrame>) -> Option<Arc<AudioFrame>> {
        self.audio.push(frame, self.takers > 0)
    }

    /// Where the newest keyframe stands at or behind this position, whether it is still here or not.
    pub(super) fn newest_keyframe(&self, from: u64) -> Option<u64> {
        self.keyframe.filter(|&position| position >= from)
    }
}

impl<T> Lane<T> {
    fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, end: 0 }
    }

    fn push(&mut self, item: Arc<T>, keep: bool) -> Option<Arc<T>> {
        self.end += 1;
        if !keep {
            return Some(item);
        }
        let oldest = if self.kept.len() == self.limit { self.kept.pop_front() } else { None };
        self.kept.push_back(item);
        oldest
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
