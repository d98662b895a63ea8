//! One viewer's end of a stream.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::StreamKey;
use super::outbox::{Next, Outbox};
use crate::media::{AudioFrame, VideoFrame};
use crate::task::Bell;

/// What a viewer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A picture that can be decoded after the ones given before.
    Video(Arc<VideoFrame>),
    /// A packet of sound.
    Audio(Arc<AudioFrame>),
    /// Pictures are missing here; the next one is a keyframe.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// One viewer's share of a stream: a bounded queue that its [`Broadcaster`](super::Broadcaster) fills. Dropping it leaves.
#[derive(Debug)]
pub struct Subscription {
    key: StreamKey,
    viewer: Arc<Viewer>,
    keyframe_wish: Arc<Notify>,
}

impl Subscription {
    pub(super) fn new(key: StreamKey, viewer: Arc<Viewer>, keyframe_wish: Arc<Notify>) -> Self {
        Self { key, viewer, keyframe_wish }
    }

    /// Whose it is.
    pub(crate) fn stream(&self) -> StreamKey {
        self.key
    }

    /// From the next keyframe on, which this asks for, give pictures; sound at once. Again: no effect.
    pub fn start(&self) {
        if self.viewer.queue().outbox.start() {
            self.request_keyframe();
        }
    }

    /// The next picture, packet or gap; `None` when the stream is over. Cancel safe. One caller at a time.
    pub async fn recv(&self) -> Option<Media> {
        loop {
            match self.take() {
                Next::Media(media) => return Some(media),
                Next::Closed => return None,
                Next::Empty => self.viewer.filled.notified().await,
            }
        }
    }

    /// What there is now.
    pub(crate) fn take(&self) -> Next {
        let popped = self.viewer.queue().outbox.pop();
        if popped.wants_keyframe {
            self.request_keyframe();
        }
        popped.next
    }

    /// From now on this bell rings when there is something to [`take`](Self::take), and [`recv`](Self::recv) is not woken.
    pub(crate) fn ring(&self, bell: Arc<Bell>) {
        self.viewer.queue().bell = Some(bell);
    }

    /// Nothing more until [`resume`](Self::resume), and what waits is dropped: for a viewer that does not answer. No
    /// effect before [`start`](Self::start).
    pub fn pause(&self) {
        self.viewer.queue().outbox.pause();
    }

    /// After [`pause`](Self::pause): sound at once, pictures from the next keyframe on. This asks for none by itself,
    /// so that a viewer that comes and goes costs the others no more than its caller lets it.
    pub fn resume(&self) {
        self.viewer.queue().outbox.resume();
    }

    /// No more pictures until a keyframe, and those that wait are dropped: for a viewer that cannot make use of them.
    /// Sound goes on. This asks for no keyframe by itself: one that comes anyway, or that others asked for, will do.
    pub fn skip_to_keyframe(&self) {
        self.viewer.queue().outbox.skip_to_keyframe();
    }

    /// Wishes for a keyframe: what came so far is of no use without one. Wishes are coalesced over all viewers.
    pub fn request_keyframe(&self) {
        self.keyframe_wish.notify_one();
    }
}

/// What a [`Broadcaster`](super::Broadcaster) and a [`Subscription`] share.
#[derive(Debug, Default)]
pub(super) struct Viewer {
    queue: Mutex<Queue>,
    /// For who waits where there is no bell.
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) outbox: Outbox,
    pub(super) bell: Option<Arc<Bell>>,
}

impl Viewer {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}
