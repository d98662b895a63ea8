//! Viewers of another WebRTC stack against the library, on loopback, within the process.

mod support;

use std::time::Duration;

use moonlight_mux::{ExitPolicy, LeaveReason, MediaPath, Streamer, StreamerConfig, WebRtc};
use moonlight_mux_benches::viewer::{Trickle, Viewer, ViewerConfig};
use tokio::time::timeout;

use support::machine::Machine;
use support::{Pictures, join, loopback, standard};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(pictures: Pictures) -> Streamer {
    Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default())
}

async fn frames(viewer: &Viewer, count: u64) {
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_get_the_sources_frames_byte_for_byte() {
    frames_arrive_byte_for_byte(loopback(), MediaPath::Direct).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_get_them_on_the_standard_path_too() {
    frames_arrive_byte_for_byte(standard(), MediaPath::Standard).await;
}

async fn frames_arrive_byte_for_byte(rtc: WebRtc, path: MediaPath) {
    let pictures = Pictures::synthetic(100);
    let config = ViewerConfig { check: Some(pictures.check()), ..ViewerConfig::default() };
    let trickled = ViewerConfig { trickle: Trickle::Trickled, ..config.clone() };
    let streamer = start(pictures);
    let (a, with_a) = join(&streamer, &rtc, config).await;
    let (b, with_b) = join(&streamer, &rtc, trickled).await;
    frames(&a, 300).await;
    frames(&b, 300).await;
    assert_eq!([with_a, with_b].map(|handle| handle.stats().path), [Some(path); 2]);
    for viewer in [a, b] {
        let stats = viewer.close().await;
        assert_eq!(stats.video.mismatches, 0, "{stats:?}");
        assert_eq!(stats.video.misplaced, 0, "{stats:?}");
        assert_eq!(stats.video.malformed, 0, "{stats:?}");
        assert_eq!(stats.video.backwards, 0, "{stats:?}");
        // A machine that stands still for long may lose a packet for good: then no frame is shown that misses it.
        assert!(stats.video.verified + stats.video.skipped >= 300, "{stats:?}");
        assert!(stats.audio.packets > 900, "{stats:?}");
    }
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again() {
    losses_are_made_good(loopback()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again_on_the_standard_path_too() {
    losses_are_made_good(standard()).await;
}

async fn losses_are_made_good(rtc: WebRtc) {
    let pictures = Pictures::synthetic(100);
    let config = ViewerConfig {
        check: Some(pictures.check()),
        drop_every: std::num::NonZeroU32::new(20),
        // The point is that they come, not how soon.
        patience: Duration::from_secs(5),
        ..ViewerConfig::default()
    };
    let streamer = start(pictures);
    let (viewer, _handle) = join(&streamer, &rtc, config).await;
    let machine = Machine::watch();
    frames(&viewer, 300).await;
    let kept_up = machine.kept_up();
    let stats = viewer.close().await;
    assert!(stats.dropped_on_purpose > 50, "{stats:?}");
    assert!(stats.video.recovered > 40, "{stats:?}");
    assert_eq!((stats.video.mismatches, stats.video.misplaced), (0, 0), "{stats:?}");
    if kept_up {
        assert_eq!(stats.video.lost, 0, "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_leaves_or_vanishes_is_forgotten_and_the_others_stay() {
    let pictures = Pictures::synthetic(100);
    let config = ViewerConfig { check: Some(pictures.check()), ..ViewerConfig::default() };
    let (streamer, rtc) = (start(pictures), loopback());
    let (stays, _stays) = join(&streamer, &rtc, config.clone()).await;
    let (leaves, left) = join(&streamer, &rtc, config.clone()).await;
    let (vanishes, vanished) = join(&streamer, &rtc, config).await;
    for viewer in [&stays, &leaves, &vanishes] {
        frames(viewer, 30).await;
    }
    leaves.close().await;
    assert_eq!(timeout(PATIENCE, left.closed()).await, Ok(LeaveReason::Left));
    vanishes.vanish().await;
    assert_eq!(timeout(PATIENCE, vanished.closed()).await, Ok(LeaveReason::Left));
    assert_eq!(streamer.peers().len(), 1);

    let before = stays.stats().video.frames;
    frames(&stays, before + 60).await;
    let stats = stays.close().await;
    assert_eq!((stats.video.mismatches, stats.video.misplaced), (0, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_goes_on_without_viewers_and_a_late_one_starts_with_a_keyframe() {
    let pictures = Pictures::synthetic(100);
    let config = ViewerConfig { check: Some(pictures.check()), ..ViewerConfig::default() };
    let (streamer, rtc) = (start(pictures), loopback());
    let (first, _first) = join(&streamer, &rtc, config.clone()).await;
    frames(&first, 30).await;
    first.close().await;
    let before = streamer.stats().video_frames;
    timeout(PATIENCE, async {
        while streamer.stats().video_frames < before + 60 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it streams with nobody watching");
    let (late, _late) = join(&streamer, &rtc, config).await;
    frames(&late, 30).await;
    let stats = late.close().await;
    assert_eq!((stats.video.mismatches, stats.video.undecodable), (0, 0), "{stats:?}");
    assert!(stats.first_keyframe_after.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_streamer_says_so_to_its_viewers() {
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let (viewer, handle) = join(&streamer, &rtc, ViewerConfig::default()).await;
    frames(&viewer, 30).await;
    timeout(PATIENCE, streamer.shutdown(ExitPolicy::LeaveRunning)).await.expect("it stops");
    assert_eq!(handle.closed().await, LeaveReason::StreamerDeleted);
    let reason = timeout(PATIENCE, viewer.closed()).await.expect("the viewer hears of it");
    assert!(reason.to_string().contains("the streamer was deleted"), "{reason}");
}
