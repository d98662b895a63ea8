//! Nothing is left of viewers that have gone. Alone in its process, since it counts what the whole process holds.

mod support;

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{LeaveReason, PeerConfig, Streamer, StreamerConfig, WebRtc};
use moonlight_mux_benches::viewer::{
    self, Channels, Message, Offerer, Path, Transport, Viewer, ViewerConfig,
};
use tokio::time::timeout;

use support::{InProcess, Pictures, join, loopback_with_tcp};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the system says that this process holds.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
}

fn held() -> Held {
    let count = |folder| fs::read_dir(folder).expect("Linux").count();
    Held { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task") }
}

/// Waits until no more is held than before: a TCP connection's own task closes it, a moment after its peer is gone.
async fn back_at(before: &Held) {
    let back = timeout(PATIENCE, async {
        while held() != *before {
            tokio::task::yield_now().await;
        }
    });
    assert!(back.await.is_ok(), "{:?}, and {before:?} before", held());
}

fn resident_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Viewers that come and go in every way: by leaving, by vanishing, sent away, and in the middle of signalling.
async fn round(streamer: &Streamer, rtc: &WebRtc, path: Path) {
    let mut staying = Vec::new();
    let plain = ViewerConfig { path, ..ViewerConfig::default() };
    let with_channels = ViewerConfig { channels: Channels::Negotiated, ..plain.clone() };
    let waiting = ViewerConfig { offerer: Offerer::Server, channels: Channels::InBand(8), ..plain.clone() };
    for config in [&with_channels, &waiting, &with_channels, &waiting, &plain] {
        staying.push(join(streamer, rtc, config.clone()).await);
    }
    let leaving = staying.into_iter().enumerate().map(async |(i, (viewer, handle))| {
        timeout(PATIENCE, viewer.joined()).await.expect("it joins").expect("it stays");
        match i {
            0 | 1 => _ = viewer.close().await,
            2 => _ = viewer.vanish().await,
            3 => handle.leave(LeaveReason::Kicked),
            _ => drop(viewer),
        }
        timeout(PATIENCE, handle.closed()).await.expect("it is gone");
    });
    join_all(leaving).await;
    // One that goes before it has made an offer, and one whose offer is no use.
    let (transport, server) = viewer::channel();
    let handle =
        streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
    drop(transport);
    assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::Left));
    let (transport, server) = viewer::channel();
    let handle =
        streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
    let config = ViewerConfig { codecs: vec![viewer::Codec::Av1], ..ViewerConfig::default() };
    let viewer = Viewer::join(transport, config).await.expect("a viewer");
    assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::UnsupportedCodec));
    viewer.close().await;
    // One that does not answer our offer, and one whose answer is no use.
    for answer in [None, Some("v=0")] {
        let (mut transport, server) = viewer::channel();
        let egress = rtc.offering_peer(InProcess(server));
        let handle = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
        while !matches!(transport.recv().await, Ok(Message::Offer(_))) {}
        if let Some(answer) = answer {
            transport.send(Message::Answer(answer.to_owned())).await.expect("it listens");
            assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::UnsupportedCodec));
        } else {
            drop(transport);
            assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::Left));
        }
    }
}

#[tokio::test]
async fn viewers_that_are_gone_leave_no_descriptor_and_no_thread() {
    let streamer =
        Streamer::start("test".parse().expect("an id"), Pictures::synthetic(20), StreamerConfig::default());
    let rtc = loopback_with_tcp();
    // What is made once and kept.
    round(&streamer, &rtc, Path::Udp).await;
    let before = held();
    round(&streamer, &rtc, Path::Tcp).await;
    back_at(&before).await;
    let memory = resident_kilobytes();
    for _ in 0..2 {
        join_all(
            [Path::Udp, Path::Tcp, Path::Udp, Path::Tcp, Path::Udp].map(|path| round(&streamer, &rtc, path)),
        )
        .await;
    }
    back_at(&before).await;
    eprintln!("{memory} kB before 90 joins, {} kB after", resident_kilobytes());
    assert!(streamer.peers().is_empty());
}
