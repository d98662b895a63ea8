//! A viewer that is behind or silent costs itself: beside it five others lose nothing.

#![expect(clippy::disallowed_methods, reason = "viewers run in real time")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{LeaveReason, PeerHandle, PeerStats, Streamer, StreamerConfig, WebRtc};
use moonlight_mux_benches::viewer::{FrameCheck, Stats, Viewer, ViewerConfig};
use tokio::time::{Instant, timeout};

use support::machine::Machine;
use support::wire::Wire;
use support::{Pictures, assert_intact, join, loopback};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
const OTHERS: usize = 5;

/// A stream and its good viewers.
struct Audience {
    streamer: Streamer,
    rtc: WebRtc,
    check: Arc<FrameCheck>,
    keyframes_asked: Arc<AtomicU64>,
    others: Vec<(Viewer, PeerHandle)>,
    machine: Machine,
}

impl Audience {
    async fn gather() -> Self {
        let machine = Machine::watch();
        // A round is two minutes: keyframes come when they are asked for, or late.
        let pictures = Pictures::small(3600);
        let (check, keyframes_asked) = (pictures.check(), pictures.keyframes_asked());
        let streamer = Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default());
        let rtc = loopback();
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            let config = ViewerConfig {
                check: Some(check.clone()),
                // The point is that all comes, not how soon.
                patience: Duration::from_secs(10),
                ..ViewerConfig::default()
            };
            others.push(join(&streamer, &rtc, config).await);
        }
        for (viewer, _) in &others {
            until(viewer, |stats| stats.video.frames >= 30).await;
        }
        Self { streamer, rtc, check, keyframes_asked, others, machine }
    }

    /// One more viewer, over a wire of its own, which gets pictures.
    async fn join(&self) -> (Viewer, PeerHandle, Wire) {
        // Less than a second resend takes: who loses much makes wishes.
        let patience = Duration::from_millis(60);
        let config = ViewerConfig { check: Some(self.check.clone()), patience, ..ViewerConfig::default() };
        let (viewer, handle, wire) = Wire::join(&self.streamer, &self.rtc, config).await;
        until(&viewer, |stats| stats.video.frames >= 30).await;
        (viewer, handle, wire)
    }

    /// Each of the others gets so many pictures more.
    async fn watch(&self, frames: u64) {
        let watching = self.others.iter().map(async |(viewer, _)| {
            let before = viewer.stats().video.frames;
            until(viewer, |stats| stats.video.frames >= before + frames).await
        });
        join_all(watching).await;
    }

    /// One viewer's wishes have cost at most so many keyframes since `start`, when there had been `before`: five in 7.5 s,
    /// then 10 s of peace, and again. One more for a wish on its way.
    fn assert_few_requests(&self, start: Instant, before: u64) {
        let (asked, time) = (self.keyframes_asked() - before, start.elapsed());
        eprintln!("{asked} keyframes in {time:?}");
        // Otherwise the others had reasons of their own.
        if self.machine.kept_up() {
            let most = 6 + (time.as_secs_f64() * 5.0 / 17.5).ceil() as u64;
            assert!(asked <= most, "{asked} requests in {time:?}");
        }
    }

    fn keyframes_asked(&self) -> u64 {
        self.keyframes_asked.load(Relaxed)
    }

    /// The others go, and have lost nothing.
    async fn leave(self) {
        let kept_up = self.machine.kept_up();
        for (viewer, handle) in self.others {
            let told = handle.stats();
            let stats = viewer.close().await;
            assert_intact(&stats);
            if !kept_up {
                continue;
            }
            assert_eq!((told.holds, told.pauses), (0, 0), "{told:?}");
            let video = stats.video;
            assert_eq!((video.gaps, video.lost, video.undecodable), (0, 0, 0), "{stats:?}");
        }
    }
}

async fn until(viewer: &Viewer, condition: impl FnMut(&Stats) -> bool) -> Stats {
    let waited = timeout(PATIENCE, viewer.wait_for(condition)).await;
    waited.expect("it comes to that").expect("the viewer stays")
}

async fn until_told(handle: &PeerHandle, condition: impl FnMut(&PeerStats) -> bool) {
    let mut stats = handle.watch_stats();
    timeout(PATIENCE, stats.wait_for(condition)).await.expect("it comes to that").expect("the viewer stays");
}

/// Pictures that can be shown.
fn shown(stats: &Stats) -> u64 {
    stats.video.frames - stats.video.undecodable
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_viewer_gets_no_more_media_and_is_given_up() {
    let audience = Audience::gather().await;
    let (viewer, handle, wire) = audience.join().await;
    viewer.pause().await.expect("it stops");
    let stopped = Instant::now();
    until_told(&handle, |stats| stats.pauses == 1).await;
    let reason = timeout(PATIENCE, handle.closed()).await.expect("it is given up");
    let (gone, last) = (Instant::now(), wire.last_rtp());
    assert_eq!(reason, LeaveReason::Vanished);
    // By the design 2 s and 5 s after its last word, which is up to a second before it stopped.
    assert!(
        gone - last > Duration::from_millis(1500),
        "media went on until {:?} before the end",
        gone - last
    );
    assert!(gone - stopped > Duration::from_millis(3500), "{:?}", gone - stopped);
    assert!(gone - stopped < Duration::from_secs(30), "{:?}", gone - stopped);
    eprintln!("stopped: media for {:?} more, gone after {:?}", last - stopped, gone - stopped);
    assert_eq!(audience.streamer.peers().len(), OTHERS);
    audience.watch(30).await;
    audience.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_answers_again_goes_on_with_a_keyframe() {
    let audience = Audience::gather().await;
    let (viewer, handle, _wire) = audience.join().await;
    viewer.pause().await.expect("it stops");
    until_told(&handle, |stats| stats.pauses == 1).await;
    let before = viewer.stats();
    viewer.resume();
    // What waited in its socket comes first.
    let stats = until(&viewer, |stats| stats.video.keyframes > before.video.keyframes).await;
    until(&viewer, |later| shown(later) >= shown(&stats) + 30).await;
    assert_intact(&viewer.close().await);
    audience.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_loses_a_fifth_costs_the_others_few_keyframes_and_sees_pictures_again() {
    let audience = Audience::gather().await;
    let (viewer, handle, wire) = audience.join().await;
    let (asked, start) = (audience.keyframes_asked(), Instant::now());
    wire.lose_of_ten(2);
    audience.watch(300).await;
    assert!(handle.stats().nacks > 0, "{:?}", handle.stats());
    wire.lose_of_ten(0);
    let before = viewer.stats();
    until(&viewer, |stats| shown(stats) >= shown(&before) + 30).await;
    audience.assert_few_requests(start, asked);
    eprintln!("a fifth lost: {:?}", handle.stats());
    assert_intact(&viewer.close().await);
    audience.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_keyframe_requests_reaches_the_source_as_a_few() {
    let audience = Audience::gather().await;
    let (viewer, handle, _wire) = audience.join().await;
    let (asked, start) = (audience.keyframes_asked(), Instant::now());
    let storm = async {
        loop {
            let sent = viewer.stats().plis;
            viewer.request_keyframe();
            until(&viewer, |stats| stats.plis > sent).await;
            // One for each picture, about.
            let heard = handle.stats().packets;
            until_told(&handle, |stats| stats.packets > heard).await;
        }
    };
    tokio::select! {
        () = storm => {}
        () = audience.watch(300) => {}
    }
    audience.assert_few_requests(start, asked);
    let told = handle.stats();
    assert!(told.keyframe_requests > audience.keyframes_asked() - asked, "{told:?}");
    eprintln!("a storm: {told:?}");
    assert_intact(&viewer.close().await);
    audience.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_rtcp_is_served_as_long_as_it_answers_consent_checks() {
    let audience = Audience::gather().await;
    let (viewer, handle, wire) = audience.join().await;
    wire.mute();
    let asked = audience.keyframes_asked();
    let before = viewer.stats().video.frames;
    // Longer than silence would be borne.
    audience.watch(200).await;
    let stats = until(&viewer, |stats| stats.video.frames >= before + 100).await;
    assert_intact(&stats);
    assert_eq!(audience.streamer.peers().len(), OTHERS + 1);
    if audience.machine.kept_up() {
        let told = handle.stats();
        assert_eq!((told.pauses, told.holds), (0, 0), "{told:?}");
        assert_eq!(audience.keyframes_asked(), asked, "nobody pays for it");
    }
    viewer.close().await;
    audience.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_loss_holds_a_viewer_until_it_can_catch_up_and_ends_it_when_it_never_does() {
    let audience = Audience::gather().await;
    let (viewer, handle, wire) = audience.join().await;
    wire.lose_of_ten(9);
    until_told(&handle, |stats| stats.holds == 1).await;
    wire.lose_of_ten(0);
    let before = viewer.stats();
    let stats = until(&viewer, |stats| stats.video.keyframes > before.video.keyframes).await;
    let stats = until(&viewer, |later| shown(later) >= shown(&stats) + 30).await;
    // Sound went on all the time.
    assert!(stats.audio.packets > before.audio.packets, "{stats:?}");

    wire.lose_of_ten(9);
    let (asked, start) = (audience.keyframes_asked(), Instant::now());
    let reason = timeout(PATIENCE, handle.closed()).await.expect("it has to go");
    assert_eq!(reason, LeaveReason::TooSlow);
    audience.assert_few_requests(start, asked);
    eprintln!("heavy loss: {:?}", handle.stats());
    let told = timeout(PATIENCE, viewer.closed()).await.expect("the viewer hears of it");
    assert!(told.to_string().contains("could not keep up"), "{told}");
    audience.leave().await;
}
