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
    assert_eq!(quick_got, (0..200).map(|n| format!("v{n}")).collect::<Vec<_>>(), "the others lose nothing");
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
    broadcaster.publish_video(frame(0, true));
    assert_eq!(drain(&viewer), ["v0"]);
    for n in 1..200 {
        broadcaster.publish_video(frame(n, false));
    }
    assert!(!wished(&broadcaster));
    assert!(drain(&viewer).is_empty());
    assert!(wished(&broadcaster));
    broadcaster.publish_video(frame(200, false));
    broadcaster.publish_video(frame(201, true));
    assert_eq!(drain(&viewer), ["lost 200", "v201"]);
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
async fn who_takes_for_many_viewers_is_woken_once_for_a_frame() {
    let broadcaster = Broadcaster::new();
    let (listener, own) = (Listener::default(), broadcaster.subscribe());
    own.start();
    let viewers = [broadcaster.subscribe(), broadcaster.subscribe()];
    let news = viewers[0].news_for(&listener);
    assert!(Arc::ptr_eq(&news, &viewers[1].news_for(&listener)));
    assert!(!Arc::ptr_eq(&news, &viewers[1].news_for(&Listener::default())));
    viewers[0].start();
    broadcaster.publish_video(frame(0, true));
    assert!(listener.rung().now_or_never().is_some() && listener.rung().now_or_never().is_none());
    assert_eq!(news.count(), 1);
    assert_eq!(drain(&own), ["v0"]);
    assert!(matches!(viewers[0].take(), Next::Media(Media::Video(_))));
    assert!(matches!(viewers[0].take(), Next::Empty));
    assert!(matches!(viewers[1].take(), Next::Empty), "it is not ready");
    broadcaster.close();
    assert!(listener.rung().now_or_never().is_some());
    assert_eq!(news.count(), 2);
    assert!(matches!(viewers[1].take(), Next::Closed));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_of_what_comes() {
    let broadcaster = Broadcaster::new();
    let viewers = [broadcaster.subscribe(), broadcaster.subscribe()];
    viewers.iter().for_each(Subscription::start);
    let waiting = viewers.each_ref().map(|viewer| Box::pin(viewer.recv()));
    let mut waiting = futures_util::future::join_all(waiting);
    assert!((&mut waiting).now_or_never().is_none());
    broadcaster.publish_video(frame(0, true));
    let got = waiting.now_or_never().expect("both have it");
    assert!(got.iter().all(|media| matches!(media, Some(Media::Video(_)))));

    let mut waits = Box::pin(viewers[0].recv());
    assert!((&mut waits).now_or_never().is_none());
    broadcaster.close();
    assert_eq!(waits.now_or_never(), Some(None));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_gone_leaves_nothing_behind() {
    let broadcaster = Broadcaster::new();
    for _ in 0..100 {
        let viewer = broadcaster.subscribe();
        viewer.start();
        viewer.news_for(&Listener::default());
    }
    assert_eq!(broadcaster.shared.stream.listeners(), 1, "each makes room for the next");
    let stays = broadcaster.subscribe();
    assert!(!broadcaster.is_watched());
    stays.start();
    broadcaster.publish_video(frame(0, true));
    assert_eq!(broadcaster.stats().viewers, 1);
    assert_eq!(broadcaster.shared.stream.listeners(), 0);
}
