//! Fan-out: one stream's frames to any number of viewers, none of whom can slow the source or another viewer.

mod outbox;
mod rate;
mod subscription;
mod timeline;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::outbox::Next;
use self::outbox::Outbox;
use self::rate::RateMeter;
use self::subscription::Viewer;
pub use self::subscription::{Media, Subscription};
use self::timeline::Timeline;
use crate::media::{AudioFrame, VideoFrame};
use crate::task::{self, Rings};

/// Hands each frame of one stream to all of its viewers.
///
/// It owns the outgoing timeline: as viewers see them, frame numbers and timestamps rise over the stream's whole
/// life, through reconnects and host restarts. Publishing never waits: a viewer that is behind misses frames, and
/// whoever missed one gets nothing more until a keyframe. With nobody watching, a frame costs a lock and a few
/// additions. Clones are handles to the same broadcaster.
#[derive(Clone)]
pub struct Broadcaster {
    shared: Arc<Shared>,
}

struct Shared {
    key: StreamKey,
    publishing: Mutex<Publishing>,
    keyframe_wish: Arc<Notify>,
}

struct Publishing {
    timeline: Timeline,
    viewers: Vec<Weak<Viewer>>,
    stats: Stats,
    rate: RateMeter,
    /// What is told instead of what passed through here, and since when.
    told: Option<(Instant, Stats)>,
    closed: bool,
    /// Empty but while something is handed out.
    rings: Rings,
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
                key: StreamKey::next(),
                publishing: Mutex::new(Publishing {
                    timeline: Timeline::default(),
                    viewers: Vec::new(),
                    stats: Stats::default(),
                    rate: RateMeter::default(),
                    told: None,
                    closed: false,
                    rings: Rings::default(),
                }),
                keyframe_wish: Arc::new(Notify::new()),
            }),
        }
    }

    /// A new viewer. It gets nothing before [`Subscription::start`].
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let mut publishing = self.lock();
        let viewer = Arc::new(Viewer::default());
        if publishing.closed {
            viewer.queue().outbox.close();
        }
        publishing.viewers.retain(|viewer| viewer.strong_count() > 0);
        publishing.viewers.push(Arc::downgrade(&viewer));
        Subscription::new(self.shared.key, viewer, self.shared.keyframe_wish.clone())
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
        let mut wish = false;
        publishing.for_each_viewer(|outbox| {
            let pushed = outbox.push_video(&frame);
            wish |= pushed.wants_keyframe;
            pushed.filled
        });
        if wish {
            self.shared.keyframe_wish.notify_one();
        }
    }

    /// Hands a packet of sound to all viewers. Never waits for one of them.
    pub fn publish_audio(&self, frame: AudioFrame) {
        let mut publishing = self.lock();
        let now = task::now();
        publishing.stats.audio_frames += 1;
        publishing.count_bytes(now, frame.data.len());
        let frame = Arc::new(publishing.timeline.audio(now, frame));
        publishing.for_each_viewer(|outbox| outbox.push_audio(&frame));
    }

    /// Wishes for a keyframe, as a viewer can.
    pub fn wish_keyframe(&self) {
        self.shared.keyframe_wish.notify_one();
    }

    /// Waits until a viewer wishes for a keyframe. Any number of wishes that nobody waited for count as one.
    /// Cancel safe. For the one owner of the source.
    pub async fn keyframe_wished(&self) {
        self.shared.keyframe_wish.notified().await;
    }

    /// The stream is over: viewers get what is queued for them, then the end.
    pub fn close(&self) {
        let mut publishing = self.lock();
        publishing.closed = true;
        publishing.for_each_viewer(Outbox::close);
    }

    /// The stream is published elsewhere, and only what somebody here asks for passes through: `stats` says what passed there.
    pub(crate) fn mirror(&self, stats: Stats) {
        self.lock().told = Some((task::now(), stats));
    }

    /// Whether anybody has started and wants frames.
    pub(crate) fn is_watched(&self) -> bool {
        let publishing = self.lock();
        publishing.viewers.iter().filter_map(Weak::upgrade).any(|viewer| viewer.queue().outbox.is_started())
    }

    /// What passed through so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = task::now();
        let mut publishing = self.lock();
        publishing.viewers.retain(|viewer| viewer.strong_count() > 0);
        if let Some((since, told)) = &publishing.told {
            return Stats {
                last_frame_age: told
                    .last_frame_age
                    .map(|age| age.saturating_add(now.saturating_duration_since(*since))),
                viewers: publishing.viewers.len(),
                ..told.clone()
            };
        }
        Stats {
            bits_per_second: publishing.rate.bits_per_second(now),
            last_frame_age: publishing.timeline.last_video().map(|at| now - at),
            viewers: publishing.viewers.len(),
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

    /// Calls `push` for each viewer, wakes those for whom it says that there is something to fetch, and forgets those
    /// who are gone. Whoever listens for many is woken once, when all of them have what they get.
    fn for_each_viewer(&mut self, mut push: impl FnMut(&mut Outbox) -> bool) {
        let rings = &mut self.rings;
        self.viewers.retain(|viewer| {
            let Some(viewer) = viewer.upgrade() else { return false };
            let mut queue = viewer.queue();
            if push(&mut queue.outbox) {
                match &queue.bell {
                    Some(bell) => bell.ring_with(rings),
                    None => viewer.filled.notify_one(),
                }
            }
            true
        });
        rings.ring();
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
