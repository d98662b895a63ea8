//! Fan-out: one stream's frames to any number of viewers, none of whom can slow the source or another viewer.

mod cursor;
mod rate;
mod ring;
mod stream;
mod subscription;
mod timeline;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub(crate) use self::cursor::Next;
use self::rate::RateMeter;
use self::ring::Ring;
pub(crate) use self::stream::News;
use self::stream::Stream;
pub use self::subscription::{Media, Subscription};
use self::timeline::Timeline;
use crate::media::{AudioFrame, VideoFrame};
use crate::task;

/// Hands each frame of one stream to all of its viewers.
///
/// It owns the outgoing timeline: as viewers see them, frame numbers and timestamps rise over the stream's whole
/// life, through reconnects and host restarts. Publishing never waits, and only wakes: viewers take what they get themselves, from
/// the stream's last 60 pictures and 50 packets of sound. One that is further behind misses frames, and whoever missed one gets
/// nothing more until a keyframe. With nobody watching nothing is kept. Clones are handles to the same broadcaster.
#[derive(Clone)]
pub struct Broadcaster {
    shared: Arc<Shared>,
}

struct Shared {
    stream: Arc<Stream>,
    publishing: Mutex<Publishing>,
}

struct Publishing {
    timeline: Timeline,
    stats: Stats,
    rate: RateMeter,
    /// What is told instead of what passed through here, and since when.
    told: Option<(Instant, Stats)>,
}

/// Tells the streams of a process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey(u64);

impl StreamKey {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// What passed through a [`Broadcaster`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stats {
    /// Pictures since the start.
    pub video_frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Packets of sound since the start.
    pub audio_frames: u64,
    /// Bytes of video and sound since the start.
    pub bytes: u64,
    /// Bits per second of video and sound, over the last whole second.
    pub bits_per_second: u64,
    /// How long ago the last picture came.
    pub last_frame_age: Option<Duration>,
    /// Subscriptions that exist now.
    pub viewers: usize,
}

impl Broadcaster {
    /// A broadcaster that nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                stream: Arc::new(Stream::new(StreamKey::next())),
                publishing: Mutex::new(Publishing {
                    timeline: Timeline::default(),
                    stats: Stats::default(),
                    rate: RateMeter::default(),
                    told: None,
                }),
            }),
        }
    }

    /// A new viewer. It gets nothing before [`Subscription::start`].
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(self.shared.stream.clone())
    }

    /// The source starts again: its numbers and timestamps may begin anywhere.
    pub fn begin_run(&self) {
        self.lock().timeline.begin_run();
    }

    /// Hands a picture to all viewers. Never waits for one of them.
    pub fn publish_video(&self, frame: VideoFrame) {
        let mut publishing = self.lock();
        let now = task::now();
        publishing.stats.video_frames += 1;
        publishing.stats.keyframes += u64::from(frame.keyframe);
        publishing.count_bytes(now, frame.data.len());
        let frame = Arc::new(publishing.timeline.video(now, frame));
        self.put(|ring| ring.push_video(frame));
    }

    /// Hands a packet of sound to all viewers. Never waits for one of them.
    pub fn publish_audio(&self, frame: AudioFrame) {
        let mut publishing = self.lock();
        let now = task::now();
        publishing.stats.audio_frames += 1;
        publishing.count_bytes(now, frame.data.len());
        let frame = Arc::new(publishing.timeline.audio(now, frame));
        self.put(|ring| ring.push_audio(frame));
    }

    fn put<T>(&self, push: impl FnOnce(&mut Ring) -> Option<T>) {
        let mut ring = self.shared.stream.ring();
        let gone = push(&mut ring);
        let is_watched = ring.has_takers();
        drop(ring);
        drop(gone);
        if is_watched {
            self.shared.stream.tell();
        }
    }

    /// Wishes for a keyframe, as a viewer can.
    pub fn wish_keyframe(&self) {
        self.shared.stream.wish_keyframe();
    }

    /// Waits until a viewer wishes for a keyframe. Any number of wishes that nobody waited for count as one.
    /// Cancel safe. For the one owner of the source.
    pub async fn keyframe_wished(&self) {
        self.shared.stream.keyframe_wished().await;
    }

    /// The stream is over: viewers get what they have not taken yet, as far as it is among the last, then the end.
    pub fn close(&self) {
        self.shared.stream.ring().closed = true;
        self.shared.stream.tell();
    }

    /// The stream is published elsewhere, and only what somebody here asks for passes through: `stats` says what passed there.
    pub(crate) fn mirror(&self, stats: Stats) {
        self.lock().told = Some((task::now(), stats));
    }

    /// Whether anybody has started and wants frames.
    pub(crate) fn is_watched(&self) -> bool {
        self.shared.stream.ring().has_takers()
    }

    /// What passed through so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = task::now();
        let mut publishing = self.lock();
        let viewers = self.shared.stream.viewers();
        if let Some((since, told)) = &publishing.told {
            return Stats {
                last_frame_age: told
                    .last_frame_age
                    .map(|age| age.saturating_add(now.saturating_duration_since(*since))),
                viewers,
                ..told.clone()
            };
        }
        Stats {
            bits_per_second: publishing.rate.bits_per_second(now),
            last_frame_age: publishing.timeline.last_video().map(|at| now - at),
            viewers,
            ..publishing.stats.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Publishing> {
        self.shared.publishing.lock().expect("no holder of this lock panics")
    }
}

impl Publishing {
    fn count_bytes(&mut self, now: Instant, bytes: usize) {
        self.stats.bytes += bytes as u64;
        self.rate.add(now, bytes as u64);
    }
}

impl Default for Broadcaster {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcaster").field("stats", &self.stats()).finish()
    }
}

#[cfg(test)]
mod tests;
