//! Data channels and server-made offers, with viewers of another WebRTC stack.

#![expect(clippy::disallowed_methods, reason = "a message per second is a promise in real time")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use moonlight_mux::{LeaveReason, PeerConfig, Streamer, StreamerConfig, WebRtc};
use moonlight_mux_benches::viewer::{
    self, Channels, Closed, Codec, Event, Hand, Keep, Message, Offerer, Transport, Trickle, Viewer,
    ViewerConfig,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use support::machine::Machine;
use support::{InProcess, Pictures, assert_intact, join, loopback, serve};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(pictures: Pictures) -> Streamer {
    Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default())
}

fn with_channels() -> ViewerConfig {
    ViewerConfig { channels: Channels::Negotiated, keep: Keep::Lifecycle, ..ViewerConfig::default() }
}

async fn frames(viewer: &Viewer, count: u64) {
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

/// The next message on `events` of this name.
async fn next(viewer: &mut Viewer, name: &str) -> Value {
    let found = async {
        loop {
            if let Some(body) = viewer.next_told().await.expect("it stays").get_mut(name) {
                return body.take();
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("nothing of {name} comes"))
}

/// The next list of viewers that counts `count` of them.
async fn viewers(viewer: &mut Viewer, count: u64) -> Value {
    loop {
        let viewers = next(viewer, "Viewers").await;
        if viewers["count"] == count {
            return viewers;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_who_is_here_and_how_the_stream_is() {
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    streamer.wait_streaming().await.expect("pictures");
    let (transport, server) = viewer::channel();
    let mut config = PeerConfig::default();
    config.name = Some("Ann".parse().expect("a name"));
    let ann = streamer.add_peer(rtc.peer(InProcess(server)), config).expect("it takes viewers");
    let mut first = Viewer::join(transport, with_channels()).await.expect("a viewer");

    assert_eq!(
        next(&mut first, "Stream").await,
        json!({"status": "active", "codec": "H.264", "width": 640, "height": 360, "fps": 60})
    );
    let alone = viewers(&mut first, 1).await;
    assert_eq!(alone["you"], ann.id().to_string());
    assert_eq!(alone["viewers"][0]["name"], "Ann");

    let (mut second, nobody) = join(&streamer, &rtc, with_channels()).await;
    for (viewer, you) in [(&mut first, ann.id()), (&mut second, nobody.id())] {
        let both = viewers(viewer, 2).await;
        assert_eq!(both["you"], you.to_string());
        let listed = [(ann.id(), json!("Ann")), (nobody.id(), Value::Null)];
        for (i, (id, name)) in listed.into_iter().enumerate() {
            assert_eq!(both["viewers"][i]["id"], id.to_string());
            assert_eq!(both["viewers"][i]["name"], name);
            assert!(both["viewers"][i]["since_ms"].is_u64());
        }
    }
    second.close().await;
    viewers(&mut first, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_joins_at_once_are_few_messages() {
    let (streamer, rtc) = (start(Pictures::synthetic(20)), loopback());
    let (mut watches, _handle) = join(&streamer, &rtc, with_channels()).await;
    viewers(&mut watches, 1).await;
    let mut waiting = Vec::new();
    let begin = Instant::now();
    for _ in 0..300 {
        // They never make an offer: what counts is that they are there.
        let (transport, server) = viewer::channel();
        let handle =
            streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
        waiting.push((transport, handle));
        // More at once than the streamer takes would be refused.
        let mut peers = streamer.watch_peers();
        peers.wait_for(|peers| peers.len() == waiting.len() + 1).await.expect("it is here");
    }
    let mut told = 1;
    while next(&mut watches, "Viewers").await["count"] != 301 {
        told += 1;
    }
    let seconds = begin.elapsed().as_secs();
    assert!(told <= seconds + 3, "{told} messages in {seconds} s");
}

/// A good viewer, and what it is worth: no frame may be missing.
async fn good(streamer: &Streamer, rtc: &WebRtc, pictures: &Pictures) -> (Viewer, moonlight_mux::PeerHandle) {
    // The point is that frames come, not how soon.
    let patience = Duration::from_secs(10);
    let config = ViewerConfig { check: Some(pictures.check()), patience, ..with_channels() };
    let good = join(streamer, rtc, config).await;
    frames(&good.0, 30).await;
    good
}

async fn lost_nothing(good: Viewer, machine: &Machine) {
    let before = good.stats().video.frames;
    frames(&good, before + 60).await;
    let kept_up = machine.kept_up();
    let stats = good.close().await;
    let video = stats.video;
    assert_intact(&stats);
    if kept_up {
        assert_eq!((video.lost, video.gaps), (0, 0), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_used_cost_their_sender_alone() {
    let pictures = Pictures::synthetic(100);
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let machine = Machine::watch();
    let (good, _good) = good(&streamer, &rtc, &pictures).await;

    for (channel, length) in
        [("events", 1), ("input", 1), ("input", 32 * 1024), ("motion", 4), ("motion", 1025)]
    {
        let (viewer, handle) = join(&streamer, &rtc, with_channels()).await;
        let bad = Bytes::from(vec![7; length]);
        let mut hand = Hand::default();
        // Good ones in between buy nothing.
        for _ in 0..10 {
            hand.text(&viewer, "a").await.expect("it is here");
        }
        // More than enough, since those on `motion` may be lost.
        for _ in 0..40 {
            // It may be gone before the last one.
            let _ = viewer.send(channel, bad.clone()).await;
        }
        let reason = timeout(PATIENCE, handle.closed()).await;
        assert_eq!(reason, Ok(LeaveReason::BadInput), "{channel}, {length} bytes");
        let told = timeout(PATIENCE, viewer.closed()).await.expect("it is told");
        assert!(told.to_string().contains(LeaveReason::BadInput.message()), "{told}");
    }
    assert_eq!(streamer.peers().len(), 1);
    lost_nothing(good, &machine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_with_19_bad_messages_and_any_number_of_good_ones_stays() {
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let (mut viewer, _handle) = join(&streamer, &rtc, with_channels()).await;
    for _ in 0..19 {
        viewer.send("events", Bytes::from_static(&[1])).await.expect("it is here");
    }
    let mut hand = Hand::default();
    for n in 1..=100 {
        hand.text(&viewer, &"a".repeat(40 * n)).await.expect("it is here");
        hand.held(&viewer, 0, &vec![0x41; 2 * n]).await.expect("it is here");
    }
    let sent = viewer.wait_for(|stats| stats.messages_sent == 219);
    timeout(PATIENCE, sent).await.expect("they are taken").expect("it stays");
    let (_other, _other_handle) = join(&streamer, &rtc, ViewerConfig::default()).await;
    // The channels work on behind them.
    viewers(&mut viewer, 2).await;
    frames(&viewer, 30).await;
}

/// Does not care for the largest message that the server takes.
struct Careless<T>(T);

#[async_trait::async_trait]
impl<T: Transport> Transport for Careless<T> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        self.0.send(message).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        Ok(match self.0.recv().await? {
            Message::Answer(sdp) => {
                assert!(sdp.contains("a=max-message-size:32768\r\n"), "{sdp}");
                Message::Answer(sdp.replace("a=max-message-size:32768", "a=max-message-size:1048576"))
            }
            other => other,
        })
    }

    async fn close(&mut self) {
        self.0.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_what_the_server_takes_costs_its_sender_alone() {
    let pictures = Pictures::synthetic(100);
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let machine = Machine::watch();
    let (good, _good) = good(&streamer, &rtc, &pictures).await;
    for length in [32 * 1024 + 1, 64 * 1024, 256 * 1024] {
        let (transport, server) = viewer::channel();
        let handle =
            streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
        let mut viewer = Viewer::join(Careless(transport), with_channels()).await.expect("a viewer");
        for _ in 0..3 {
            viewer.send("input", Bytes::from(vec![7; length])).await.expect("it is here");
        }
        viewer.send("motion", Bytes::from_static(&[1])).await.expect("it is here");
        let sent = viewer.wait_for(|stats| stats.messages_sent >= 1);
        timeout(PATIENCE, sent).await.expect("it is sent").expect("it stays");
        // It goes on watching, and is told of others.
        frames(&viewer, 120).await;
        viewers(&mut viewer, 2).await;
        viewer.close().await;
        assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::Left), "{length} bytes");
    }
    lost_nothing(good, &machine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_have_no_place_are_closed_and_cost_their_sender() {
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let config = ViewerConfig { channels: Channels::InBand(25), ..ViewerConfig::default() };
    let (viewer, handle) = join(&streamer, &rtc, config).await;
    assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::BadInput));
    timeout(PATIENCE, viewer.closed()).await.expect("it is told");
}

fn waiting() -> ViewerConfig {
    ViewerConfig { offerer: Offerer::Server, keep: Keep::Lifecycle, ..ViewerConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_the_subprotocol_gets_an_offer_and_every_frame() {
    let pictures = Pictures::synthetic(100);
    let check = pictures.check();
    let served = serve(pictures).await;
    let url = served.peer_url().parse().expect("a URL");
    for trickle in [Trickle::InOffer, Trickle::Trickled] {
        let config =
            ViewerConfig { check: Some(check.clone()), trickle, channels: Channels::InBand(24), ..waiting() };
        let mut viewer = Viewer::connect(&url, None, config).await.expect("the server takes viewers");
        frames(&viewer, 300).await;
        eprintln!(
            "{trickle:?}: joined {:?}, keyframe {:?}",
            viewer.stats().joined_after,
            viewer.stats().first_keyframe_after
        );
        // Its own, and the server's.
        let open = viewer.wait_for(|stats| stats.channels_open == 25);
        timeout(PATIENCE, open).await.expect("they open").expect("it stays");
        for _ in 0..100 {
            viewer.send("7", Bytes::from_static(&[0, 1, 0, 0, 65])).await.expect("it is here");
            viewer.send("8", Bytes::from_static(&[0])).await.expect("it is here");
        }
        let sent = viewer.wait_for(|stats| stats.messages_sent == 200);
        timeout(PATIENCE, sent).await.expect("they are taken").expect("it stays");
        let stats = viewer.stats();
        frames(&viewer, stats.video.frames + 30).await;
        let stats = viewer.stats();
        assert_intact(&stats);
        assert!(stats.audio.packets > 900, "{stats:?}");
        assert_eq!(stats.messages_received, 0, "nothing that such a page does not know");
        let mut labels = Vec::new();
        let mut notices = Vec::new();
        while labels.len() < 25 {
            match viewer.next_event().await.expect("an event") {
                Event::Channel(label) => labels.push(label),
                Event::Notice(name) => notices.push(name),
                _ => {}
            }
        }
        assert!(labels.iter().any(|label| label == "general"), "{labels:?}");
        assert_eq!(notices, ["ConnectionComplete"]);
        viewer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_take_the_codec_of_our_offer_is_told_so() {
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let (viewer, handle) =
        join(&streamer, &rtc, ViewerConfig { codecs: vec![Codec::Av1], ..waiting() }).await;
    assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::UnsupportedCodec));
    timeout(PATIENCE, viewer.closed()).await.expect("it is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_used_costs_its_sender_alone() {
    let pictures = Pictures::synthetic(100);
    let (streamer, rtc) = (start(Pictures::synthetic(100)), loopback());
    let machine = Machine::watch();
    let (good, _good) = good(&streamer, &rtc, &pictures).await;
    for answer in ["", "v=0", "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 H264/90000\r\n"] {
        let (transport, server) = viewer::channel();
        let handle = streamer
            .add_peer(rtc.offering_peer(InProcess(server)), PeerConfig::default())
            .expect("it takes viewers");
        let mut transport = transport;
        assert_eq!(transport.recv().await, Ok(Message::Config));
        assert!(matches!(transport.recv().await, Ok(Message::Offer(_))));
        transport.send(Message::Answer(answer.to_owned())).await.expect("it listens");
        let expected =
            if answer.contains("H264") { LeaveReason::BadSignalling } else { LeaveReason::UnsupportedCodec };
        assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(expected), "{answer:?}");
    }
    lost_nothing(good, &machine).await;
}
