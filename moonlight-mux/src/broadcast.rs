//! Fan-out: one stream's frames to any number of viewers, none of whom can slow the source or another viewer.

mod outbox;
mod rate;
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
use self::timeline::Timeline;
use crate::media::{AudioFrame, VideoFrame};
use crate::task::{self, Bell, Rings};

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

#[derive(Debug)]
struct Viewer {
    queue: Mutex<Queue>,
    /// For who waits where there is no bell.
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    outbox: Outbox,
    bell: Option<Arc<Bell>>,
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
        let mut queue = Queue::default();
        if publishing.closed {
            queue.outbox.close();
        }
        let viewer = Arc::new(Viewer { queue: Mutex::new(queue), filled: Notify::new() });
        publishing.viewers.retain(|viewer| viewer.strong_count() > 0);
        publishing.viewers.push(Arc::downgrade(&viewer));
        Subscription { key: self.shared.key, viewer, keyframe_wish: self.shared.keyframe_wish.clone() }
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

impl Viewer {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
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

/// One viewer's share of a stream: a bounded queue that its [`Broadcaster`] fills. Dropping it leaves.
#[derive(Debug)]
pub struct Subscription {
    key: StreamKey,
    viewer: Arc<Viewer>,
    keyframe_wish: Arc<Notify>,
}

impl Subscription {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;
    use crate::media::{AudioTimestamp, FrameNumber, VideoTimestamp};
    use crate::task::Listener;

    fn frame(number: u64, keyframe: bool) -> VideoFrame {
        VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(number * 1500),
            keyframe,
            host_latency: None,
            data: Bytes::from(number.to_be_bytes().to_vec()),
        }
    }

    fn audio(number: u64) -> AudioFrame {
        AudioFrame { timestamp: AudioTimestamp(number * 240), data: Bytes::from_static(&[0]) }
    }

    /// What `subscription` has now, as numbers: pictures `v12`, sound `a3`, gaps `lost 4`.
    fn drain(subscription: &Subscription) -> Vec<String> {
        std::iter::from_fn(|| subscription.recv().now_or_never().flatten())
            .map(|media| match media {
                Media::Video(frame) => format!("v{}", frame.number.0),
                Media::Audio(frame) => format!("a{}", frame.timestamp.0 / 240),
                Media::Gap { lost } => format!("lost {lost}"),
            })
            .collect()
    }

    fn wished(broadcaster: &Broadcaster) -> bool {
        broadcaster.keyframe_wished().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn late_joiner_starts_at_the_next_keyframe() {
        let broadcaster = Broadcaster::new();
        let viewer = broadcaster.subscribe();
        broadcaster.publish_video(frame(0, true));
        assert!(drain(&viewer).is_empty(), "a viewer that is not ready costs nothing and gets nothing");
        assert!(!wished(&broadcaster));

        viewer.start();
        assert!(wished(&broadcaster));
        broadcaster.publish_video(frame(1, false));
        broadcaster.publish_audio(audio(0));
        broadcaster.publish_video(frame(2, true));
        broadcaster.publish_video(frame(3, false));
        assert_eq!(drain(&viewer), ["a0", "v2", "v3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_falls_behind_skips_to_a_keyframe_alone() {
        let broadcaster = Broadcaster::new();
        let (slow, quick) = (broadcaster.subscribe(), broadcaster.subscribe());
        slow.start();
        quick.start();
        assert!(wished(&broadcaster));
        let mut quick_got = Vec::new();
        for n in 0..200 {
            broadcaster.publish_video(frame(n, n == 0 || n == 150));
            quick_got.extend(drain(&quick));
            if n == 0 {
                assert_eq!(drain(&slow), ["v0"]);
            }
        }
        assert_eq!(
            quick_got,
            (0..200).map(|n| format!("v{n}")).collect::<Vec<_>>(),
            "the others lose nothing"
        );
        let expected: Vec<_> =
            std::iter::once("lost 149".to_owned()).chain((150..200).map(|n| format!("v{n}"))).collect();
        assert_eq!(drain(&slow), expected);
        assert!(!wished(&broadcaster), "a slow viewer makes nobody pay for a keyframe while it is behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_caught_up_without_a_keyframe_asks_for_one() {
        let broadcaster = Broadcaster::new();
        let viewer = broadcaster.subscribe();
        viewer.start();
        assert!(wished(&broadcaster));
        for n in 0..200 {
            broadcaster.publish_video(frame(n, n == 0));
        }
        let got = drain(&viewer);
        assert_eq!(got.first().map(String::as_str), Some("v0"));
        assert_eq!(got.len(), outbox::VIDEO_FRAMES, "what is whole is given");
        assert!(wished(&broadcaster));
        broadcaster.publish_video(frame(200, false));
        broadcaster.publish_video(frame(201, true));
        assert_eq!(drain(&viewer), [format!("lost {}", 201 - outbox::VIDEO_FRAMES), "v201".to_owned()]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_behind_what_is_queued() {
        let broadcaster = Broadcaster::new();
        let viewer = broadcaster.subscribe();
        viewer.start();
        broadcaster.publish_video(frame(0, true));
        broadcaster.close();
        assert_eq!(drain(&viewer), ["v0"]);
        assert_eq!(viewer.recv().now_or_never(), Some(None));
        assert_eq!(
            broadcaster.subscribe().recv().now_or_never(),
            Some(None),
            "who joins after the end hears of it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_listens_for_many_viewers_is_woken_once_for_a_frame() {
        let broadcaster = Broadcaster::new();
        let (listener, own) = (Listener::default(), broadcaster.subscribe());
        own.start();
        let seats: Vec<_> = (0..3)
            .map(|_| {
                let (seat, bell) = (broadcaster.subscribe(), Arc::new(Bell::new(listener.clone())));
                seat.ring(bell.clone());
                (seat, bell)
            })
            .collect();
        seats[..2].iter().for_each(|(seat, _)| seat.start());
        let rung = || -> Vec<bool> { seats.iter().map(|(_, bell)| bell.take()).collect() };
        broadcaster.publish_video(frame(0, true));
        assert!(listener.rung().now_or_never().is_some() && listener.rung().now_or_never().is_none());
        assert_eq!(rung(), [true, true, false], "who is not ready is left in peace");
        assert_eq!(drain(&own), ["v0"]);
        for (seat, _) in &seats[..2] {
            assert!(matches!(seat.take(), Next::Media(Media::Video(_))));
            assert!(matches!(seat.take(), Next::Empty));
        }
        broadcaster.close();
        assert!(listener.rung().now_or_never().is_some());
        assert_eq!(rung(), [true; 3]);
        assert!(matches!(seats[2].0.take(), Next::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_is_gone_leaves_nothing_behind() {
        let broadcaster = Broadcaster::new();
        for _ in 0..100 {
            let viewer = broadcaster.subscribe();
            viewer.start();
        }
        broadcaster.publish_video(frame(0, true));
        assert_eq!(broadcaster.lock().viewers.len(), 0);
    }
}
