//! Many who come and go in any order, beside a few who stay.

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{LeaveReason, PeerHandle, Streamer, StreamerConfig};
use moonlight_mux_benches::viewer::{Channels, Offerer, Trickle, Viewer, ViewerConfig};
use tokio::time::timeout;

use support::machine::Machine;
use support::random::Random;
use support::{Pictures, assert_intact, join, loopback};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
const SEED: u64 = 24_11;
const STAY: usize = 5;
const COME_AND_GO: usize = 100;
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn five_lose_nothing_while_a_hundred_come_and_go_in_random_order() {
    eprintln!("seed {SEED}");
    let mut random = Random::new(SEED);
    let machine = Machine::watch();
    let pictures = Pictures::small(3600);
    let check = pictures.check();
    let streamer = Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default());
    let rtc = loopback();
    let mut stay = Vec::new();
    for _ in 0..STAY {
        // The point is that all comes, not how soon.
        let patience = Duration::from_secs(10);
        let config = ViewerConfig { check: Some(check.clone()), patience, ..ViewerConfig::default() };
        stay.push(join(&streamer, &rtc, config).await);
    }
    more_frames(&stay, 30).await;

    let (mut came, mut here, mut left) = (0, Vec::new(), Vec::new());
    while came < COME_AND_GO || !here.is_empty() {
        let one_comes =
            came < COME_AND_GO && (here.is_empty() || here.len() < AT_ONCE && random.below(2) == 0);
        if one_comes {
            came += 1;
            let (viewer, handle) = join(&streamer, &rtc, any_config(&mut random)).await;
            // The others are still at it when the next thing happens.
            if random.below(2) == 0 {
                let _ = timeout(PATIENCE, viewer.joined()).await.expect("it joins or ends");
            }
            here.push((viewer, handle));
        } else {
            let (viewer, handle) = here.swap_remove(random.below(here.len()));
            match random.below(3) {
                0 => _ = viewer.close().await,
                1 => _ = viewer.vanish().await,
                _ => handle.leave(LeaveReason::Kicked),
            }
            left.push(handle);
        }
    }
    assert_eq!(left.len(), COME_AND_GO);
    join_all(left.iter().map(async |handle| timeout(PATIENCE, handle.closed()).await.expect("it is gone")))
        .await;
    assert_eq!(streamer.peers().len(), STAY);
    more_frames(&stay, 60).await;

    let kept_up = machine.kept_up();
    for (viewer, handle) in stay {
        let told = handle.stats();
        let stats = viewer.close().await;
        let video = stats.video;
        // The source's bytes, each frame in its place.
        assert_eq!(video.verified + video.skipped, video.frames, "{stats:?}");
        assert_intact(&stats);
        if kept_up {
            assert_eq!((video.gaps, video.lost, video.undecodable), (0, 0, 0), "{stats:?}");
            assert_eq!((told.holds, told.pauses), (0, 0), "{told:?}");
        }
    }
}

fn any_config(random: &mut Random) -> ViewerConfig {
    ViewerConfig {
        trickle: [Trickle::InOffer, Trickle::Trickled][random.below(2)],
        offerer: [Offerer::Viewer, Offerer::Server][random.below(2)],
        channels: [Channels::Nothing, Channels::Negotiated, Channels::InBand(4)][random.below(3)],
        ..ViewerConfig::default()
    }
}

/// Each of them gets so many frames more.
async fn more_frames(viewers: &[(Viewer, PeerHandle)], frames: u64) {
    let watching = viewers.iter().map(async |(viewer, _)| {
        let before = viewer.stats().video.frames;
        let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= before + frames)).await;
        waited.expect("frames come").expect("the viewer stays")
    });
    join_all(watching).await;
}
