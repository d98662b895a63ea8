//! The measuring programs measure: their viewers get what the product sends, and count it.

use std::time::Duration;

use moonlight_mux_benches::crowd::{Crowd, CrowdConfig};
use moonlight_mux_benches::measure::frame::Rate;
use moonlight_mux_benches::measure::load::{Load, load};
use moonlight_mux_benches::measure::server::{Egress, Server};
use moonlight_mux_benches::measure::troublemakers::Troublemakers;
use moonlight_mux_benches::measure::{Flow, MeasuredSource};
use moonlight_mux_benches::viewer::Codec;
use tokio::time::{sleep, timeout};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
const RATE: Rate = Rate { mbps: 1.0, fps: 30 };

async fn server(audio: bool, egress: Egress) -> (MeasuredSource, Server) {
    let source = MeasuredSource::new(RATE, audio);
    let server = Server::start(source.clone(), egress).await.expect("a free port");
    (source, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_opens_what_the_product_sends_and_leaves_nobody_behind() {
    for egress in [Egress::Direct, Egress::Standard] {
        a_crowd_opens_what_comes(egress).await;
    }
}

async fn a_crowd_opens_what_comes(egress: Egress) {
    let (source, server) = server(true, egress).await;
    let (crowd, times) = Crowd::join(server.url(), 3, CrowdConfig::default()).await.expect("all join");
    assert_eq!((times.len(), crowd.connected(), server.viewers()), (3, 3, 3));
    source.set_flow(Flow::Full);
    let mut all = crowd.take();
    let arriving = async {
        while all.iter().any(|counts| counts.frames.len() < 30 || counts.packets < 300) {
            sleep(Duration::from_millis(20)).await;
            for (sum, more) in all.iter_mut().zip(crowd.take()) {
                sum.add(more);
            }
        }
    };
    timeout(PATIENCE, arriving).await.expect("media come");
    for counts in &all {
        assert_eq!((counts.forged, counts.unknown), (0, 0), "{counts:?}");
        assert_eq!(counts.opened, counts.packets, "{counts:?}");
        // Three packets each, and more than as many of sound.
        assert!(counts.packets > 6 * counts.frames.len() as u64, "{counts:?}");
    }
    let direct = egress == Egress::Direct;
    assert_eq!(crowd.with_aes_128_gcm(), if direct { 3 } else { 0 }, "the direct way has no other key");
    crowd.leave().await;
    let gone = async {
        while server.viewers() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("all have left");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_watches_through_the_real_signalling() {
    let (source, server) = server(true, Egress::Direct).await;
    source.set_flow(Flow::Full);
    let wanted = Load {
        url: server.url().clone(),
        viewers: 2,
        time: Duration::from_secs(1),
        codec: Codec::H264,
        check: None,
        check_every: 1,
    };
    let report = timeout(PATIENCE, load(&wanted)).await.expect("it ends").expect("it joins");
    assert_eq!((report.viewers, report.ended_early, report.wrong), (2, 0, 0), "{report:?}");
    assert_eq!(report.first_frame_ms.expect("pictures came").count, 2);
    assert!(report.frames > 2 && report.audio_packets > 0 && report.frame_gap_ms.is_some(), "{report:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn troublemakers_make_trouble() {
    let (source, server) = server(false, Egress::Direct).await;
    source.set_flow(Flow::Full);
    let joined = Troublemakers::join(&server.url().to_string(), 20_000).await;
    let troublemakers = joined.expect("all three join");
    assert_eq!(server.viewers(), 3);
    timeout(PATIENCE, troublemakers.suffer()).await.expect("they suffer").expect("they stay");
    let report = troublemakers.end().await;
    // A line of a sixth of the stream loses packets whatever the machine does.
    assert!(report.narrow.keyframes_asked > 0, "{report:?}");
    server.stop().await;
}
