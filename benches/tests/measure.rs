//! The measuring programs measure: their viewers get what the product sends, and count it.

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;

use std::sync::Arc;
use std::time::Duration;

use live::Live;
use moonlight_mux::{Recording, TestHostConfig};
use moonlight_mux_benches::crowd::{Crowd, CrowdConfig};
use moonlight_mux_benches::measure::frame::Rate;
use moonlight_mux_benches::measure::load::{Load, load};
use moonlight_mux_benches::measure::server::{Egress, Server};
use moonlight_mux_benches::measure::troublemakers::Troublemakers;
use moonlight_mux_benches::measure::{Flow, MeasuredSource};
use moonlight_mux_benches::viewer::{AccessUnit, Codec, FrameCheck};
use serde_json::Value;
use tokio::process::Command;
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
    let report = timeout(PATIENCE, load(&two(&server))).await.expect("it ends").expect("it joins");
    assert_eq!((report.viewers, report.ended_early, report.wrong), (2, 0, 0), "{report:?}");
    assert_eq!(report.first_frame_ms.expect("pictures came").count, 2);
    assert!(report.frames > 2 && report.audio_packets > 0 && report.frame_gap_ms.is_some(), "{report:?}");
    server.stop().await;
}

/// Two viewers for a second.
fn two(server: &Server) -> Load {
    Load {
        url: server.url().clone(),
        viewers: 2,
        time: Duration::from_secs(1),
        codec: Codec::H264,
        check: None,
        check_every: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_tells_how_long_a_hosts_picture_was_under_way() {
    let live = Live::start(TestHostConfig::default()).await;
    let source = live.source("load", live::small()).await;
    let server = Server::start(source, Egress::Direct).await.expect("a free port");
    let report = timeout(PATIENCE, load(&two(&server))).await.expect("it ends").expect("it joins");
    let latency = report.host_latency_ms.expect("the picture has a clock");
    assert!(latency.count > 2 && latency.median > 0.0, "{report:?}");
    assert!(latency.max < PATIENCE.as_secs_f64() * 1000.0, "it is of this test: {report:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_compares_each_frame_of_a_recording() {
    compares("v2025-all-encrypted", Codec::H264).await;
    compares("v0.23-hevc-all-encrypted", Codec::Hevc).await;
}

async fn compares(name: &str, codec: Codec) {
    let test = "load_compares_each_frame_of_a_recording";
    let Some(folder) = recordings::recording(test, name) else { return };
    let recording = Recording::open(folder).expect("a whole recording");

    let units: Vec<_> = recording
        .frames()
        .map(|frame| AccessUnit::parse(codec, &frame.data).expect("an access unit"))
        .collect();
    let server = Server::start(Arc::new(recording), Egress::Direct).await.expect("a free port");
    let check = Some(Arc::new(FrameCheck::new(&units)));
    let wanted = Load { codec, check, check_every: 2, ..two(&server) };
    let report = timeout(PATIENCE, load(&wanted)).await.expect("it ends").expect("it joins");
    assert_eq!((report.wrong, report.host_latency_ms), (0, None), "{report:?}");
    assert!(report.verified > 2 && report.verified < report.frames, "one of two compares: {report:?}");

    // Against frames of which one in ten is another one.
    let others = units.iter().enumerate().filter(|(n, _)| n % 10 != 5).map(|(_, unit)| unit);
    let check = Some(Arc::new(FrameCheck::new(others)));
    let report = timeout(PATIENCE, load(&Load { codec, check, ..two(&server) })).await.expect("it ends");
    let report = report.expect("it joins");
    assert!(report.wrong > 0, "{report:?}");
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

/// In processes of their own, as a person runs it. What it says of a machine that is slow is no matter here.
#[tokio::test]
async fn a_frame_is_followed_from_the_hosts_socket_to_the_viewers() {
    let program = Command::new(env!("CARGO_BIN_EXE_latency"))
        .args(["--viewers", "2", "--mbps", "1", "--fps", "30", "--seconds", "2", "--workers", "1", "--json"])
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, program).await.expect("it ends").expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["received"]["connected"], &report["received"]["forged"]), (&2.into(), &0.into()));
    let hops = &report["hops"];
    assert!(hops["frames"].as_u64() > Some(2), "{report:#}");
    let [whole, before, behind] = ["host_to_viewer_ms", "host_to_stream_ms", "last_to_viewer_ms"]
        .map(|hop| hops[hop]["median"].as_f64().expect("a time"));
    assert!(whole > 0.0 && before > 0.0 && behind <= whole, "{report:#}");
}
