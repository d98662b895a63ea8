//! Viewers that come over TCP, what strangers at the TCP port cost, and what viewers are told of the ways here.

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use moonlight_mux::{
    LeaveReason, PeerConfig, Recording, Streamer, StreamerConfig, TurnSecret, WebRtc, WebRtcConfig,
};
use moonlight_mux_benches::viewer::{
    self, AccessUnit, Closed, Codec, FrameCheck, Message, Path, Stats, Transport, Viewer, ViewerConfig,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;

use support::machine::Machine;
use support::{InProcess, Pictures, assert_intact, join, loopback_with_tcp, serve_through};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(pictures: Pictures) -> Streamer {
    Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default())
}

fn over_tcp(check: Arc<FrameCheck>) -> ViewerConfig {
    ViewerConfig { path: Path::Tcp, check: Some(check), ..ViewerConfig::default() }
}

async fn frames(viewer: &Viewer, count: u64) {
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

/// TCP loses nothing, so neither does its viewer while the machine keeps up.
fn assert_whole(stats: &Stats, machine: &Machine) {
    let video = stats.video;
    assert_intact(stats);
    if machine.kept_up() {
        assert_eq!((video.lost, stats.audio.lost), (0, 0), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_over_tcp_and_udp_get_the_same_frames_byte_for_byte() {
    let machine = Machine::watch();
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let (streamer, rtc) = (start(pictures), loopback_with_tcp());
    let (tcp, tcp_handle) = join(&streamer, &rtc, over_tcp(check.clone())).await;
    let udp = ViewerConfig { check: Some(check), ..ViewerConfig::default() };
    let (udp, _udp_handle) = join(&streamer, &rtc, udp).await;
    frames(&tcp, 300).await;
    frames(&udp, 300).await;
    let stats = tcp.close().await;
    assert_whole(&stats, &machine);
    assert!(stats.audio.packets > 900, "{stats:?}");
    assert_eq!(timeout(PATIENCE, tcp_handle.closed()).await, Ok(LeaveReason::Left));
    assert_eq!(udp.close().await.video.mismatches, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sunshine_session_arrives_byte_for_byte_over_tcp() {
    let test = "a_sunshine_session_arrives_byte_for_byte_over_tcp";
    let Some(folder) = recordings::recording(test, "v0.23-clear") else { return };
    let recording = Recording::open(folder).expect("a whole recording");
    let units: Vec<_> = recording
        .frames()
        .map(|frame| AccessUnit::parse(Codec::H264, &frame.data).expect("an access unit"))
        .collect();
    let machine = Machine::watch();
    let served = serve_through(recording, loopback_with_tcp()).await;
    let url = served.peer_url().parse().expect("a URL");
    let config = over_tcp(Arc::new(FrameCheck::new(&units)));
    let viewer = Viewer::connect(&url, None, config).await.expect("the server takes viewers");
    // A whole round and more, over the seam.
    frames(&viewer, units.len() as u64 + 60).await;
    assert_whole(&viewer.close().await, &machine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_over_tcp_that_reads_nothing_costs_the_others_nothing() {
    let machine = Machine::watch();
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let (streamer, rtc) = (start(pictures), loopback_with_tcp());
    let (good, _good) = join(&streamer, &rtc, over_tcp(check.clone())).await;
    let small = ViewerConfig { receive_buffer: 1 << 14, ..over_tcp(check) };
    let (stuck, handle) = join(&streamer, &rtc, small).await;
    frames(&good, 30).await;
    frames(&stuck, 30).await;
    timeout(PATIENCE, stuck.pause()).await.expect("it stops").expect("it is there");
    let before = good.stats().video.frames;
    // It answers no consent check, so it is given up; until then its queue is full and its media is dropped.
    assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::Vanished));
    frames(&good, before + 300).await;
    assert_whole(&good.close().await, &machine);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_tcp_port_change_nothing() {
    let machine = Machine::watch();
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let (streamer, rtc) = (start(pictures), loopback_with_tcp());
    let address = rtc.tcp_addr().expect("TCP");
    let (good, _good) = join(&streamer, &rtc, over_tcp(check.clone())).await;
    frames(&good, 30).await;

    let mut strangers = Vec::new();
    for n in 0..200u8 {
        let mut stranger = TcpStream::connect(address).await.expect("a listener");
        // The server may have closed it already.
        let _ = match n % 4 {
            0 => Ok(()),
            1 => stranger.write_all(&[n.wrapping_mul(31); 3000]).await,
            2 => {
                stranger
                    .write_all(b"\0\x24\0\x01\0\x0c\x21\x12\xa4\x42123456789012\0\x06\0\x05abc:d\0\0\0")
                    .await
            }
            _ => stranger.write_all(&[0, 100, n]).await,
        };
        strangers.push(stranger);
    }
    let before = good.stats().video.frames;
    frames(&good, before + 60).await;
    let (late, _late) = join(&streamer, &rtc, over_tcp(check)).await;
    frames(&late, 60).await;
    assert_whole(&late.close().await, &machine);
    assert_whole(&good.close().await, &machine);
    for mut stranger in strangers {
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, stranger.read_to_end(&mut rest)).await.expect("the server closes it");
        assert!(closed.is_err() || rest.is_empty(), "it says nothing to a stranger: {rest:?}");
    }
}

/// Keeps the answer that passes through.
struct Overheard<T> {
    inner: T,
    answer: Arc<Mutex<String>>,
}

#[async_trait::async_trait]
impl<T: Transport> Transport for Overheard<T> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        self.inner.send(message).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        let message = self.inner.recv().await?;
        if let Message::Answer(sdp) = &message {
            self.answer.lock().expect("no panic").clone_from(sdp);
        }
        Ok(message)
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_the_interface_the_public_addresses_and_the_tcp_port() {
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.tcp = Some(([127, 0, 0, 1], 0).into());
    // Nobody is there: the viewer finds its way by the other one.
    config.public_addresses = vec!["203.0.113.9".parse().expect("an address")];
    let rtc = WebRtc::bind(config).expect("free ports");
    let streamer = start(Pictures::synthetic(20));
    let (transport, server) = viewer::channel();
    let _handle = streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("room");
    let answer = Arc::new(Mutex::new(String::new()));
    let transport = Overheard { inner: transport, answer: answer.clone() };
    let viewer = Viewer::join(transport, ViewerConfig::default()).await.expect("a viewer");
    frames(&viewer, 30).await;
    let answer = answer.lock().expect("no panic").clone();
    let mut candidates: Vec<_> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"))
        .map(|line| line.split(' ').skip(2).collect::<Vec<_>>())
        .map(|fields| (fields[1].parse::<u32>().expect("a priority"), fields[0], fields[2], fields[3]))
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates.reverse();
    let (udp, tcp) = (rtc.local_addr().port().to_string(), rtc.tcp_addr().expect("TCP").port().to_string());
    let ways: Vec<_> =
        candidates.iter().map(|(_, transport, address, port)| (*transport, *address, *port)).collect();
    assert_eq!(
        ways,
        [
            ("udp", "127.0.0.1", &udp[..]),
            ("udp", "203.0.113.9", &udp),
            ("tcp", "127.0.0.1", &tcp),
            ("tcp", "203.0.113.9", &tcp)
        ],
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_gets_turn_credentials_of_its_own() {
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.turn_secrets = vec![TurnSecret::new(vec!["turn:turn.example:3478".to_owned()], b"north")];
    let served = serve_through(Pictures::synthetic(20), WebRtc::bind(config).expect("a free port")).await;
    let mut names = Vec::new();
    // Who closes is gone from the list.
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let url = served.peer_url().parse().expect("a URL");
        let request = ClientRequestBuilder::new(url).with_sub_protocol("moonlight-mux.v1");
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("an upgrade");
        let first = socket.next().await.expect("a message").expect("a message");
        let message: Value = serde_json::from_str(first.to_text().expect("a text")).expect("JSON");
        let server = &message["WebRtcConfig"]["ice_servers"][0];
        assert_eq!(server["urls"][0], "turn:turn.example:3478");
        // 20 bytes in base64.
        assert_eq!(server["credential"].as_str().map(str::len), Some(28));
        names.push(server["username"].as_str().expect("a name").to_owned());
        sockets.push(socket);
    }
    let names: Vec<_> = names.iter().map(|name| name.split_once(':').expect("a time and a name")).collect();
    let ends: u64 = names[0].0.parse().expect("a time");
    let joined =
        served.streamer.peers()[0].connected_at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    assert!(ends.abs_diff(joined.as_secs() + 24 * 60 * 60) < PATIENCE.as_secs(), "{ends}");
    assert_ne!(names[0].1, names[1].1);
}

#[tokio::test]
async fn a_tcp_port_in_use_and_an_address_of_nobody_are_said_in_words() {
    let first = loopback_with_tcp();
    let address = first.tcp_addr().expect("TCP");
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.tcp = Some(address);
    let error = WebRtc::bind(config.clone()).expect_err("the port is taken");
    assert_eq!(
        error.to_string(),
        format!(
            "TCP address {address} cannot be opened: another program uses this port; choose another one, or 0 for a free one"
        )
    );
    config.tcp = None;
    config.public_addresses = vec![[0, 0, 0, 0].into()];
    let error = WebRtc::bind(config).expect_err("no address");
    assert_eq!(error.to_string(), "0.0.0.0 is no public address: it names no single machine");
}
