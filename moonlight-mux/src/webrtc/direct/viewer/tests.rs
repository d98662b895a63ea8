use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::watch;

use super::*;
use crate::broadcast::Broadcaster;
use crate::egress::viewer_of;
use crate::media::{AudioTimestamp, FrameNumber, VideoTimestamp};
use crate::peer::MediaPath;
use crate::task::{self, Bell, Listener};
use crate::webrtc::channels::{Quality, VideoQuality};

const VIDEO: u32 = 7;

/// Writes down what it is to send.
#[derive(Default)]
struct Path {
    sent: Arc<Mutex<Vec<String>>>,
    /// The rest of the last picture, and when it leaves.
    rest: Option<(u64, Instant)>,
    /// Pictures leave in two parts.
    large: bool,
    reports_fail: bool,
    at_its_end: bool,
}

impl Path {
    fn note(&self, sent: String) {
        self.sent.lock().expect("no test panics with it").push(sent);
    }
}

impl MediaSender for Path {
    fn takes_media(&self) -> bool {
        self.rest.is_none()
    }

    fn send_video(&mut self, now: Instant, frame: &VideoFrame) -> Option<SentVideo> {
        self.rest = self.large.then_some((frame.number.0, now + ms(1)));
        self.note(format!("v{}", frame.number.0));
        Some(SentVideo {
            begins: true,
            keyframe: frame.keyframe,
            packets: 10,
            last: frame.number.0 as u16,
            failed: 1,
        })
    }

    fn send_audio(&mut self, _: Instant, frame: &AudioFrame) -> u64 {
        self.note(format!("a{}", frame.timestamp.0));
        2
    }

    fn resend(&mut self, lost: &[u16]) -> u64 {
        self.note(format!("again {lost:?}"));
        4
    }

    fn timeout(&self) -> Option<Instant> {
        self.rest.map(|(_, at)| at)
    }

    fn send_waiting(&mut self, _: Instant) -> Option<SentVideo> {
        let (number, _) = self.rest.take()?;
        self.note(format!("rest of v{number}"));
        Some(SentVideo { begins: false, keyframe: false, packets: 5, last: number as u16, failed: 0 })
    }

    fn report(&mut self, _: Instant) -> Option<u64> {
        (!self.at_its_end).then_some(u64::from(self.reports_fail))
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A viewer that watches since `start`, and its surroundings.
struct Setup {
    start: Instant,
    broadcaster: Broadcaster,
    served: DirectViewer<Path>,
    sent: Arc<Mutex<Vec<String>>>,
    reports: mpsc::Sender<(u32, Report)>,
    bell: Bell,
    quality: watch::Receiver<Quality>,
}

impl Setup {
    fn new(path: Path) -> Self {
        let (start, broadcaster) = (task::now(), Broadcaster::new());
        let viewer = Arc::new(viewer_of(&broadcaster));
        viewer.start_media();
        assert!(broadcaster.keyframe_wished().now_or_never().is_some());
        let (reports, receiver) = mpsc::channel(64);
        let feedback = Heard { video: VIDEO, reports: receiver, heard: LastHeard::default() };
        let (told, quality) = watch::channel(Quality::default());
        let told = Told::new(MediaPath::Direct, told, &viewer);
        let sent = path.sent.clone();
        let served = DirectViewer::new(start, path, feedback, viewer, told);
        let bell = Bell::new(Listener::default());
        Self { start, broadcaster, served, sent, reports, bell, quality }
    }

    fn publish(&self, number: u64) {
        self.broadcaster.publish_video(VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(number * 1500),
            keyframe: number == 0,
            host_latency: None,
            data: Bytes::new(),
        });
    }

    fn turn(&mut self, now: Instant) -> Turn {
        Work::turn(&mut self.served, now, self.bell.answer())
    }

    fn report(&self, ssrc: u32, report: Report) {
        self.reports.try_send((ssrc, report)).expect("there is room");
        self.bell.note();
    }

    /// Frames, packets and failures that others see.
    fn stats(&self) -> (u64, u64, u64) {
        let stats = self.served.viewer.stats.borrow();
        (stats.frames, stats.packets, stats.send_failures)
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock().expect("no test panics with it"))
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_there_is_sent_and_counted() {
    let mut setup = Setup::new(Path::default());
    let start = setup.start;
    setup.publish(0);
    setup.publish(1);
    let sound = AudioFrame { timestamp: AudioTimestamp(5), data: Bytes::new() };
    setup.broadcaster.publish_audio(sound);
    let silent_at = start + Duration::from_secs(2);
    assert_eq!(setup.turn(start), Turn::Until(Some(start + COUNTED_LATEST)));
    assert_eq!(setup.sent(), ["a0", "v0", "v1"]);
    assert_eq!(setup.stats(), (0, 0, 0), "not yet");
    let told = Quality { video: VideoQuality::Flowing, path: Some(MediaPath::Direct) };
    assert_eq!(*setup.quality.borrow(), told);
    let due = Turn::Until(Some(silent_at));
    assert_eq!(setup.turn(start + COUNTED_LATEST), due, "it has been heard at the start");
    assert!(setup.sent().is_empty());
    assert_eq!(setup.stats(), (2, 20, 4));
    for number in 2..20 {
        setup.publish(number);
        setup.turn(start + COUNTED_LATEST);
    }
    assert_eq!(setup.stats(), (2 + 16, 180, 20), "or with so many others");
    let viewer = setup.served.viewer.clone();
    drop(setup.served);
    assert_eq!(viewer.stats.borrow().frames, 20);
}

#[tokio::test(start_paused = true)]
async fn a_large_pictures_rest_comes_before_the_next_picture() {
    let mut setup = Setup::new(Path { large: true, ..Path::default() });
    let start = setup.start;
    setup.publish(0);
    setup.publish(1);
    assert_eq!(setup.turn(start), Turn::Until(Some(start + ms(1))));
    assert_eq!(setup.sent(), ["v0"]);
    setup.turn(start + Duration::from_micros(999));
    assert!(setup.sent().is_empty());
    assert_eq!(setup.turn(start + ms(1)), Turn::Until(Some(start + ms(2))));
    assert_eq!(setup.sent(), ["rest of v0", "v1"]);
    setup.turn(start + ms(2));
    setup.turn(start + ms(300));
    assert_eq!(setup.stats(), (2, 30, 2));
}

#[tokio::test(start_paused = true)]
async fn reports_are_answered_in_the_same_turn() {
    let mut setup = Setup::new(Path::default());
    let start = setup.start;
    setup.report(VIDEO + 1, Report::Nack(vec![1]));
    setup.report(VIDEO + 1, Report::KeyframeRequest);
    setup.turn(start);
    assert!(setup.sent().is_empty(), "another stream's");
    assert!(setup.broadcaster.keyframe_wished().now_or_never().is_none());
    setup.report(VIDEO, Report::Nack(vec![2, 3]));
    setup.report(VIDEO, Report::KeyframeRequest);
    setup.turn(start);
    assert_eq!(setup.sent(), ["again [2, 3]"]);
    assert!(setup.broadcaster.keyframe_wished().now_or_never().is_some());
    setup.turn(start + COUNTED_LATEST);
    assert_eq!(setup.stats(), (0, 0, 4));
    let stats = *setup.served.viewer.stats.borrow();
    assert_eq!((stats.nacks, stats.keyframe_requests), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_viewer_gets_nothing_more_and_then_leaves() {
    let mut setup = Setup::new(Path::default());
    let start = setup.start;
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    setup.publish(0);
    setup.turn(start);
    assert_eq!(setup.sent(), ["v0"]);
    setup.publish(1);
    let Turn::Until(Some(next)) = setup.turn(at(2)) else { panic!("it may answer again") };
    assert!(setup.sent().is_empty());
    assert_eq!(setup.quality.borrow().video, VideoQuality::Paused);
    assert_eq!(setup.served.viewer.stats.borrow().pauses, 1);
    assert_eq!(next, at(2) + ms(200));
    let mut now = next;
    let end = loop {
        assert!(now <= at(5));
        match setup.turn(now) {
            Turn::Until(next) => now = next.expect("it is watched"),
            Turn::Ended(end) => break end,
        }
    };
    assert_eq!((end, now), (End::Leaves(LeaveReason::Vanished), at(5)));
}

#[tokio::test(start_paused = true)]
async fn much_that_waits_is_sent_in_several_turns() {
    let mut setup = Setup::new(Path::default());
    let start = setup.start;
    for number in 0..20 {
        setup.publish(number);
    }
    assert_eq!(setup.turn(start), Turn::Until(Some(start)));
    assert_eq!(setup.sent().len(), PER_TURN);
    assert_ne!(setup.turn(start), Turn::Until(Some(start)));
    assert_eq!(setup.sent().len(), 20 - PER_TURN);
    for _ in 0..20 {
        setup.report(VIDEO, Report::Nack(vec![1]));
    }
    assert_eq!(setup.turn(start), Turn::Until(Some(start)));
    setup.turn(start);
    assert_eq!(setup.sent().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_stream_or_the_connection() {
    let mut setup = Setup::new(Path::default());
    setup.publish(0);
    setup.broadcaster.close();
    assert_eq!(setup.turn(setup.start), Turn::Ended(End::StreamOver));
    assert_eq!(setup.sent(), ["v0"], "behind what was queued");

    let vanished = Turn::Ended(End::Leaves(LeaveReason::Vanished));
    let mut setup = Setup::new(Path::default());
    setup.reports = mpsc::channel(1).0;
    setup.bell.note();
    assert_eq!(setup.turn(setup.start), vanished, "nobody reports any more");

    let mut setup = Setup::new(Path { at_its_end: true, ..Path::default() });
    assert_eq!(setup.turn(setup.start), vanished);
}

#[tokio::test(start_paused = true)]
async fn sender_reports_that_do_not_leave_are_counted() {
    let mut setup = Setup::new(Path { reports_fail: true, ..Path::default() });
    assert_eq!(setup.turn(setup.start), Turn::Until(Some(setup.start + COUNTED_LATEST)));
    setup.served.path.reports_fail = false;
    setup.turn(setup.start + COUNTED_LATEST);
    assert_eq!(setup.stats(), (0, 0, 1));
}
