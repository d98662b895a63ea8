//! Recordings through the real server to viewers of another WebRTC stack, and what bad viewers cost: themselves.

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use moonlight_mux::{LeaveReason, PeerConfig, Recording, Streamer};
use moonlight_mux_benches::viewer::{
    self, AccessUnit, Closed, Codec, FrameCheck, Message, Offerer, Transport, Viewer, ViewerConfig,
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use support::machine::Machine;
use support::{InProcess, Pictures, Served, assert_intact, loopback, serve};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(served: &Served, codec: Codec, check: Arc<FrameCheck>) -> Viewer {
    let url = served.peer_url().parse().expect("a URL");
    let config = ViewerConfig { codecs: vec![codec], check: Some(check), ..ViewerConfig::default() };
    Viewer::connect(&url, None, config).await.expect("the server takes viewers")
}

async fn frames(viewer: &Viewer, count: u64) {
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

async fn leave_clean(viewer: Viewer) {
    let stats = viewer.close().await;
    assert_intact(&stats);
}

async fn a_recording_arrives_byte_for_byte(test: &str, name: &str, codec: Codec) {
    let Some(folder) = recordings::recording(test, name) else { return };
    let recording = Recording::open(folder).expect("a whole recording");
    let units: Vec<_> = recording
        .frames()
        .map(|frame| AccessUnit::parse(codec, &frame.data).expect("an access unit"))
        .collect();
    let check = Arc::new(FrameCheck::new(&units));
    let served = serve(recording).await;
    let (a, b) = (connect(&served, codec, check.clone()).await, connect(&served, codec, check).await);
    // A whole round and more, over the seam.
    let round = units.len() as u64;
    for viewer in [&a, &b] {
        frames(viewer, round + 60).await;
    }
    for viewer in [a, b] {
        let stats = viewer.stats();
        assert!(stats.audio.packets > 0, "{stats:?}");
        leave_clean(viewer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sunshine_session_arrives_byte_for_byte() {
    a_recording_arrives_byte_for_byte("a_sunshine_session_arrives_byte_for_byte", "v0.23-clear", Codec::H264)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wolf_session_arrives_byte_for_byte() {
    a_recording_arrives_byte_for_byte("a_wolf_session_arrives_byte_for_byte", "wolf-default", Codec::H264)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hevc_session_of_sunshine_arrives_byte_for_byte() {
    let test = "an_hevc_session_of_sunshine_arrives_byte_for_byte";
    a_recording_arrives_byte_for_byte(test, "v0.23-hevc-all-encrypted", Codec::Hevc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hevc_session_of_wolf_arrives_byte_for_byte() {
    let test = "an_hevc_session_of_wolf_arrives_byte_for_byte";
    a_recording_arrives_byte_for_byte(test, "wolf-hevc", Codec::Hevc).await;
}

/// As existing pages do.
#[tokio::test(flavor = "multi_thread")]
async fn an_hevc_session_reaches_a_viewer_that_waits_for_the_offer() {
    let test = "an_hevc_session_reaches_a_viewer_that_waits_for_the_offer";
    let Some(folder) = recordings::recording(test, "wolf-hevc") else { return };
    let served = serve(Recording::open(folder).expect("a whole recording")).await;
    let url = served.peer_url().parse().expect("a URL");
    let config =
        ViewerConfig { codecs: vec![Codec::Hevc], offerer: Offerer::Server, ..ViewerConfig::default() };
    let viewer = Viewer::connect(&url, None, config).await.expect("the server takes viewers");
    frames(&viewer, 30).await;
    leave_clean(viewer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_av1_session_arrives_byte_for_byte() {
    a_recording_arrives_byte_for_byte("an_av1_session_arrives_byte_for_byte", "v0.23-av1", Codec::Av1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_of_an_av1_session_are_sent_again() {
    let test = "lost_packets_of_an_av1_session_are_sent_again";
    let Some(folder) = recordings::recording(test, "v0.23-av1") else { return };
    let served = serve(Recording::open(folder).expect("a whole recording")).await;
    let config = ViewerConfig {
        codecs: vec![Codec::Av1],
        drop_every: std::num::NonZeroU32::new(20),
        // The point is that they come, not how soon.
        patience: Duration::from_secs(5),
        ..ViewerConfig::default()
    };
    let url = served.peer_url().parse().expect("a URL");
    let viewer = Viewer::connect(&url, None, config).await.expect("the server takes viewers");
    let machine = Machine::watch();
    frames(&viewer, 120).await;
    let kept_up = machine.kept_up();
    let stats = viewer.stats();
    assert!(stats.dropped_on_purpose > 30, "{stats:?}");
    assert!(stats.video.recovered > 20, "{stats:?}");
    if kept_up {
        assert_eq!(stats.video.lost, 0, "{stats:?}");
    }
    leave_clean(viewer).await;
}

/// A page that says what it wants.
struct RawPage(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl RawPage {
    async fn open(served: &Served) -> Self {
        let url = served.peer_url().parse().expect("a URL");
        let request = ClientRequestBuilder::new(url).with_sub_protocol("moonlight-mux.v1");
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("an upgrade");
        let first = socket.next().await.expect("a message").expect("a message");
        assert!(first.to_text().expect("a text").contains("WebRtcConfig"), "{first:?}");
        Self(socket)
    }

    async fn say(&mut self, text: impl Into<String>) {
        // The server may have closed already: what it says is read below.
        let _ = self.0.send(Frame::text(text.into())).await;
    }

    async fn offer(&mut self, sdp: &str) {
        self.say(json!({"Signaling": {"Description": {"ty": "offer", "sdp": sdp}}}).to_string()).await;
    }

    /// Reads to the end and gives the close code.
    async fn close_code(mut self) -> Option<u16> {
        timeout(PATIENCE, async {
            while let Some(Ok(frame)) = self.0.next().await {
                if let Frame::Close(close) = frame {
                    return close.map(|close| close.code.into());
                }
            }
            None
        })
        .await
        .expect("the server closes")
    }
}

async fn alone_again(streamer: &Streamer) {
    let mut watched = streamer.watch_peers();
    let alone = watched.wait_for(|peers| peers.len() == 1);
    timeout(PATIENCE, alone).await.expect("bad viewers leave nothing").expect("the streamer is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_signalling_costs_its_sender_alone() {
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let served = serve(pictures).await;
    let good = connect(&served, Codec::H264, check).await;
    frames(&good, 30).await;

    let mut babbler = RawPage::open(&served).await;
    for n in 0..25 {
        babbler.say(["{", "[]", "7", "\"Nonsense\"", "{\"Signaling\":{}}"][n % 5]).await;
    }
    assert_eq!(babbler.close_code().await, Some(4008));

    for sdp in ["", "v=0", "nonsense\r\nm=video", &"v=0\r\n".repeat(1000)] {
        let mut page = RawPage::open(&served).await;
        page.offer(sdp).await;
        // Without H.264 in it an offer is first of all one that cannot play the stream.
        assert_eq!(page.close_code().await, Some(4009), "{sdp:.20?}");
    }
    for sdp in
        ["a=rtpmap:96 H264/90000\r\n", "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n"]
    {
        let mut page = RawPage::open(&served).await;
        page.offer(sdp).await;
        assert_eq!(page.close_code().await, Some(4008), "{sdp:?}");
    }

    let mut huge = RawPage::open(&served).await;
    huge.say("x".repeat(100_000)).await;
    assert_eq!(huge.close_code().await, Some(1009));

    let mut candidates = RawPage::open(&served).await;
    for n in 0..200 {
        let candidate =
            json!({"candidate": format!("candidate:{n} nonsense"), "sdp_mid": null, "sdp_mline_index": 7});
        candidates.say(json!({"Signaling": {"AddIceCandidate": candidate}}).to_string()).await;
    }
    assert_eq!(candidates.close_code().await, Some(4008));

    alone_again(&served.streamer).await;
    let before = good.stats().video.frames;
    frames(&good, before + 60).await;
    leave_clean(good).await;
}

/// Sends a viewer's own offer, changed.
struct Tampered<T> {
    inner: T,
    tamper: Box<dyn Fn(String) -> String + Send + Sync>,
}

#[async_trait::async_trait]
impl<T: Transport> Transport for Tampered<T> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let message = match message {
            Message::Offer(sdp) => Message::Offer((self.tamper)(sdp)),
            other => other,
        };
        self.inner.send(message).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        self.inner.recv().await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// Each line of a real offer left out, cut short, doubled, or filled with digits: whatever that makes of the viewer,
/// it ends with a reason, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn tampered_offers_cost_their_sender_alone() {
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let served = serve(pictures).await;
    let good = connect(&served, Codec::H264, check).await;
    frames(&good, 30).await;

    let rtc = loopback();
    let tampering: [fn(&str) -> String; 4] = [
        |_| String::new(),
        |line| line[..line.len() / 2].to_owned(),
        |line| format!("{line}\r\n{line}"),
        |line| line.replace(|c: char| c.is_ascii_digit(), "99999999999"),
    ];
    let cases = (0..80).flat_map(|line| [0, 1].map(|i| (line, tampering[(2 * line + i) % 4])));
    let outcomes = futures_util::stream::iter(cases).map(async |(line, tamper)| {
        let (transport, server) = viewer::channel();
        let change = move |sdp: String| {
            let lines = sdp.lines().enumerate();
            let lines = lines.map(|(i, text)| if i == line { tamper(text) } else { text.to_owned() });
            lines.collect::<Vec<_>>().join("\r\n") + "\r\n"
        };
        let transport = Tampered { inner: transport, tamper: Box::new(change) };
        let egress = rtc.peer(InProcess(server));
        let handle = served.streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
        let viewer = Viewer::join(transport, ViewerConfig::default()).await.expect("a viewer");
        // Either it gets through all the same, or it is told why not.
        tokio::select! {
            _ = viewer.joined() => {}
            _ = handle.closed() => {}
        }
        viewer.vanish().await;
        let reason = timeout(PATIENCE, handle.closed()).await.expect("the viewer ends");
        assert_ne!(reason, LeaveReason::Internal, "line {line}");
    });
    // Fewer at once than the streamer takes.
    let count = outcomes.buffer_unordered(50).count().await;
    assert_eq!(count, 160);
    alone_again(&served.streamer).await;
    let before = good.stats().video.frames;
    frames(&good, before + 60).await;
    leave_clean(good).await;
}

#[tokio::test]
async fn a_port_in_use_is_said_in_words() {
    let first = loopback();
    let mut config = moonlight_mux::WebRtcConfig::default();
    config.bind = first.local_addr();
    let error = moonlight_mux::WebRtc::bind(config).expect_err("the port is taken");
    let address = first.local_addr();
    assert_eq!(
        error.to_string(),
        format!(
            "UDP address {address} cannot be opened: another program uses this port; choose another one, or 0 for a free one"
        )
    );
}
