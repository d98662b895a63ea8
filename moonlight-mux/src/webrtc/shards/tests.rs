use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::broadcast::{Broadcaster, Subscription};
use crate::media::{FrameNumber, VideoFrame, VideoTimestamp};

/// Tells of its turns and of its end, and does as it is told.
struct Told {
    name: &'static str,
    tells: mpsc::Sender<String>,
    then: Box<dyn FnMut(Instant) -> Turn + Send>,
}

impl Work for Told {
    fn turn(&mut self, now: Instant, _: bool) -> Turn {
        let _ = self.tells.send(self.name.to_owned());
        (self.then)(now)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.tells.send(format!("{} is gone", self.name));
    }
}

struct Log {
    tells: mpsc::Sender<String>,
    told: mpsc::Receiver<String>,
}

impl Log {
    fn new() -> Self {
        let (tells, told) = mpsc::channel();
        Self { tells, told }
    }

    fn work(&self, name: &'static str, then: impl FnMut(Instant) -> Turn + Send + 'static) -> Box<dyn Work> {
        Box::new(Told { name, tells: self.tells.clone(), then: Box::new(then) })
    }

    fn take(&self) -> Vec<String> {
        self.told.try_iter().collect()
    }
}

fn one_shard() -> Shards {
    Shards::new(NonZeroUsize::MIN)
}

impl Place {
    /// Of a stream without news.
    async fn serve(self, work: Box<dyn Work>) -> End {
        let news = Broadcaster::new().subscribe().news_for(self.listener());
        self.run(work, news).await
    }
}

/// Somebody watches, so that something published is news.
fn stream() -> (Broadcaster, Subscription) {
    let broadcaster = Broadcaster::new();
    let watches = broadcaster.subscribe();
    watches.start();
    (broadcaster, watches)
}

fn publish(broadcaster: &Broadcaster) {
    broadcaster.publish_video(VideoFrame {
        number: FrameNumber(0),
        timestamp: VideoTimestamp(0),
        keyframe: true,
        host_latency: None,
        data: bytes::Bytes::new(),
    });
}

fn rests(_: Instant) -> Turn {
    Turn::Until(None)
}

/// Lets the shard do all that it has to: in a paused test time goes on when nobody has anything to do.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn news_are_for_all_of_a_stream_and_a_bell_is_for_one() {
    let (shards, log) = (one_shard(), Log::new());
    let ((one, watches_one), (other, watches_other)) = (stream(), stream());
    let places = [shards.place(), shards.place(), shards.place()];
    let bells = places.each_ref().map(Place::bell);
    let streams = [("a", &watches_one), ("b", &watches_other), ("c", &watches_one)];
    let served = places.into_iter().zip(streams).map(|(place, (name, stream))| {
        let news = stream.news_for(place.listener());
        place.run(log.work(name, rests), news)
    });
    let _served: Vec<_> = served.map(task::spawn).collect();
    settle().await;
    assert_eq!(log.take(), ["a", "b", "c"], "everyone has a first turn");
    settle().await;
    assert!(log.take().is_empty());

    publish(&one);
    publish(&one);
    settle().await;
    assert_eq!(log.take(), ["a", "c"], "for both pictures");
    publish(&other);
    settle().await;
    assert_eq!(log.take(), ["b"]);
    bells[2].ring();
    bells[2].ring();
    settle().await;
    assert_eq!(log.take(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_comes_when_it_is_due() {
    let (shards, log, start) = (one_shard(), Log::new(), task::now());
    let mut dues = [30, 10, 40].into_iter().map(move |ms| start + Duration::from_millis(ms));
    let late = log.work("late", move |_| Turn::Until(dues.next()));
    let mut soon = vec![task::now(), task::now()].into_iter();
    let again = log.work("again", move |_| Turn::Until(soon.next()));
    let _served = [late, again].map(|work| task::spawn(shards.place().serve(work)));
    let mut told = Vec::new();
    for _ in 0..60 {
        settle().await;
        let at = (task::now() - start).as_millis();
        told.extend(log.take().into_iter().map(|name| (name, at)));
    }
    let of = |name: &str| -> Vec<_> { told.iter().filter(|it| it.0 == name).map(|it| it.1).collect() };
    assert_eq!(of("again"), [1, 1, 1], "what is past is due at once");
    let late = of("late");
    // A timer rings in the millisecond behind its deadline at the latest.
    assert!(matches!(late[..], [1, 30..=32, 30..=32, 40..=42]), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn who_ends_or_leaves_is_gone_and_leaves_its_place() {
    let (shards, log) = (one_shard(), Log::new());
    let places = || shards.0[0].shared.places.load(Relaxed);
    let end = End::Leaves(LeaveReason::TooSlow);
    let ends = task::spawn(shards.place().serve(log.work("ends", move |_| Turn::Ended(end))));
    let leaving = shards.place();
    let bell = leaving.bell();
    let leaves = task::spawn(leaving.serve(log.work("leaves", rests)));
    assert_eq!(places(), 2);
    assert_eq!(ends.await.expect("it ends"), end);
    settle().await;
    assert_eq!(log.take(), ["ends", "ends is gone", "leaves"]);
    assert_eq!(places(), 1);

    leaves.abort();
    assert!(leaves.await.is_err());
    assert_eq!(log.take(), ["leaves is gone"], "when it has left, nothing of it is there");
    assert_eq!(places(), 0);
    settle().await;
    assert_eq!(Arc::strong_count(&bell), 1, "nor is its seat");
    bell.ring();
    settle().await;
    assert!(log.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_its_first_turn_has_none() {
    let (shards, log) = (one_shard(), Log::new());
    assert!(shards.place().serve(log.work("gone", rests)).now_or_never().is_none());
    settle().await;
    assert_eq!(log.take(), ["gone is gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_end_of_one_viewer_and_nobody_elses() {
    let (shards, log) = (one_shard(), Log::new());
    let place = shards.place();
    let bell = place.bell();
    let other = task::spawn(place.serve(log.work("other", rests)));
    settle().await;
    let panics = shards.place().serve(log.work("panics", |_| panic!("as the test wants")));
    assert_eq!(panics.await, End::Leaves(LeaveReason::Internal));
    settle().await;
    assert_eq!(log.take(), ["other", "panics", "panics is gone"]);
    bell.ring();
    settle().await;
    assert_eq!(log.take(), ["other"]);
    let again = shards.place().serve(log.work("joins", |_| Turn::Ended(End::StreamOver)));
    assert_eq!(again.await, End::StreamOver);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn who_always_has_something_to_do_holds_up_neither_the_others_nor_the_thread() {
    let (shards, log) = (one_shard(), Log::new());
    let (busy, place) = (shards.place(), shards.place());
    let _busy = task::spawn(busy.serve(Box::new(Busy)));
    let bell = place.bell();
    let _other = task::spawn(place.serve(log.work("other", rests)));
    let mut seen = 0;
    // The test is a task of the same thread.
    while seen < 3 {
        bell.ring();
        task::yield_now().await;
        seen += log.take().len();
    }
}

struct Busy;

impl Work for Busy {
    fn turn(&mut self, now: Instant, _: bool) -> Turn {
        Turn::Until(Some(now))
    }
}

#[tokio::test(start_paused = true)]
async fn shards_are_used_as_they_are_needed_and_evenly() {
    let shards = Shards::new(NonZeroUsize::new(3).expect("3"));
    let counts = || shards.0.iter().map(|shard| shard.shared.places.load(Relaxed)).collect::<Vec<_>>();
    let mut places: Vec<_> = (0..FULL).map(|_| shards.place()).collect();
    assert_eq!(counts(), [FULL, 0, 0]);
    places.extend((0..FULL).map(|_| shards.place()));
    assert_eq!(counts(), [FULL, FULL, 0]);
    places.extend((0..4 * FULL).map(|_| shards.place()));
    assert_eq!(counts(), [2 * FULL; 3]);
    places.drain(..10);
    places.extend((0..10).map(|_| shards.place()));
    assert_eq!(counts(), [2 * FULL; 3]);
    places.clear();
    assert_eq!(counts(), [0; 3]);
}
