//! One viewer's end of a stream.

use std::sync::{Arc, Mutex, MutexGuard};

use super::StreamKey;
use super::cursor::{Cursor, Next};
use super::stream::{News, Stream};
use crate::media::{AudioFrame, VideoFrame};
use crate::task::Listener;

/// What a viewer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A picture that can be decoded after the ones given before.
    Video(Arc<VideoFrame>),
    /// A packet of sound.
    Audio(Arc<AudioFrame>),
    /// Pictures are missing here; the next one is a keyframe. Several in a row add up.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// One viewer's share of a stream: it takes what its [`Broadcaster`](super::Broadcaster) publishes at its own pace, as long as
/// it is no more than 60 pictures and 50 packets of sound behind. Dropping it leaves.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<Stream>,
    cursor: Mutex<Cursor>,
}

impl Subscription {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        stream.handle_joined();
        Self { stream, cursor: Mutex::default() }
    }

    /// Whose it is.
    pub(crate) fn stream(&self) -> StreamKey {
        self.stream.key()
    }

    /// From the next keyframe on, which this asks for, give pictures; sound at once. Again: no effect. Take them soon: who is
    /// 60 pictures late has missed that keyframe.
    pub fn start(&self) {
        let first = {
            let mut cursor = self.cursor();
            let mut ring = self.stream.ring();
            let first = cursor.start(&ring);
            if first {
                ring.join();
            }
            first
        };
        if first {
            self.request_keyframe();
        }
    }

    /// The next picture, packet or gap; `None` when the stream is over. Cancel safe. One caller at a time.
    pub async fn recv(&self) -> Option<Media> {
        loop {
            // Made before the look: it hears of what comes meanwhile.
            let published = self.stream.published();
            match self.take() {
                Next::Media(media) => return Some(media),
                Next::Closed => return None,
                Next::Empty => published.await,
            }
        }
    }

    /// What there is now.
    pub(crate) fn take(&self) -> Next {
        let taken = self.cursor().take(&self.stream.ring());
        if taken.wants_keyframe {
            self.request_keyframe();
        }
        taken.next
    }

    /// What counts for `listener` how often there was something new to [`take`](Self::take), for all of its viewers of this
    /// stream, and wakes it each time.
    pub(crate) fn news_for(&self, listener: &Listener) -> Arc<News> {
        self.stream.news_for(listener)
    }

    /// Nothing more until [`resume`](Self::resume), and what waits is dropped: for a viewer that does not answer. No
    /// effect before [`start`](Self::start).
    pub fn pause(&self) {
        self.cursor().pause();
    }

    /// After [`pause`](Self::pause): sound at once, pictures from the next keyframe on. This asks for none by itself,
    /// so that a viewer that comes and goes costs the others no more than its caller lets it.
    pub fn resume(&self) {
        self.cursor().resume(&self.stream.ring());
    }

    /// No more pictures until a keyframe, and those that wait are dropped: for a viewer that cannot make use of them.
    /// Sound goes on. This asks for no keyframe by itself: one that comes anyway, or that others asked for, will do.
    pub fn skip_to_keyframe(&self) {
        self.cursor().skip_to_keyframe(&self.stream.ring());
    }

    /// Wishes for a keyframe: what came so far is of no use without one. Wishes are coalesced over all viewers.
    pub fn request_keyframe(&self) {
        self.stream.wish_keyframe();
    }

    /// Where the [ring](Stream::ring) is locked as well, this is locked first.
    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let started = self.cursor().is_started();
        self.stream.handle_left(started);
    }
}
