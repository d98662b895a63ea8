//! Two Chromium pages on one recording: what a person would see, read from the decoded pictures.
//!
//! The recording's picture has a frame counter in its top row: 32 cells, lowest bit first, white for 1. The pages' decoded
//! pictures are compared with each other and with the recording, decoded here by another decoder. So has the test picture.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::time::Duration;

use moonlight_mux::{Recording, State, Streamer, TestPicture, TestPictureConfig};
use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_benches::relay::{Policy, Relay};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use support::decoded::{COUNTER_Y, Decoded, pitches, watch as start_watching, watched};
use support::log::MediaPaths;
use support::page::{keep, open, open_with_script, reach, until};
use support::relay::WithoutAes128Gcm;
use support::{Served, loopback_with_tcp, serve, serve_through};

/// How long the pages are watched.
const WATCH: Duration = Duration::from_secs(10);
/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_show_a_sunshine_session_and_neither_notices_the_other_leave() {
    let Some(folder) = recordings::recording(
        "two_pages_show_a_sunshine_session_and_neither_notices_the_other_leave",
        "v0.23-clear",
    ) else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let recording = Recording::open(&folder).expect("a whole recording");
    let source = source_counters(&recording);
    let served = serve(recording).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [open(&mut chromium, &served.page_url()).await, open(&mut chromium, &served.page_url()).await];

    let seen = watch(&mut chromium, &served, &pages, WATCH).await.map(|watched| watched.counters);
    for counters in &seen {
        assert_follows(counters, &source);
    }
    assert_same(&seen);
    keep("page.png", &chromium.screenshot(&pages[0]).await.expect("a picture of the page"));

    let [stays, closes] = pages;
    chromium.close(closes).await.expect("the page closes");
    wait_for_peers(&served.streamer, 1).await;
    let [watched] = watch(&mut chromium, &served, &[stays], Duration::from_secs(3)).await;
    assert_follows(&watched.counters, &source);

    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
    let before = served.streamer.stats().video_frames;
    let goes_on = timeout(PATIENCE, async {
        while served.streamer.stats().video_frames < before + 60 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    goes_on.await.expect("the stream goes on with nobody watching");
    assert_eq!(served.streamer.state(), State::Streaming);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_show_a_wolf_session() {
    let Some(folder) = recordings::recording("two_pages_show_a_wolf_session", "wolf-default") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Recording::open(&folder).expect("a whole recording")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [open(&mut chromium, &served.page_url()).await, open(&mut chromium, &served.page_url()).await];
    watch(&mut chromium, &served, &pages, WATCH).await;
    keep("page-wolf.png", &chromium.screenshot(&pages[0]).await.expect("a picture of the page"));
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

/// What an existing page does with the WebSocket: it names no subprotocol, takes the server's offer, and opens channels of
/// its own.
const EXISTING_PAGE: &str = r#"(() => {
  const page = { state: "connecting", video: document.createElement("video"), labels: [], errors: [], started: performance.now() };
  window.existing = page;
  page.video.muted = true;
  document.body.append(page.video);
  const socket = new WebSocket("PEER_URL");
  const send = (message) => socket.send(JSON.stringify(message));
  let received = Promise.resolve();
  socket.onmessage = ({ data }) => {
    received = received.then(() => receive(JSON.parse(data))).catch((error) => page.errors.push(String(error)));
  };
  socket.onclose = ({ code, reason }) => page.errors.push(`closed: ${code} ${reason}`);
  async function receive(message) {
    if (message.WebRtcConfig) {
      const pc = (page.pc = new RTCPeerConnection({ iceServers: message.WebRtcConfig.ice_servers }));
      pc.onicecandidate = ({ candidate }) => {
        if (!candidate) return;
        send({ Signaling: { AddIceCandidate: { candidate: candidate.candidate, sdp_mid: candidate.sdpMid,
          sdp_mline_index: candidate.sdpMLineIndex, username_fragment: candidate.usernameFragment } } });
      };
      pc.ontrack = ({ track, streams }) => {
        if (track.kind !== "video") return;
        page.video.srcObject = streams[0];
        page.video.requestVideoFrameCallback(() => {
          page.after = performance.now() - page.started;
          page.state = "playing";
        });
        page.video.play();
      };
      pc.ondatachannel = ({ channel }) => page.labels.push(channel.label);
      for (const label of ["keyboard", "mouseClicks", "mouseAbsolute", "mouseRelative", "touch", "controllers"]) {
        const channel = pc.createDataChannel(label);
        channel.onopen = () => {
          page.labels.push(label);
          channel.send(new Uint8Array([0, 1, 0, 0, 65]));
          channel.send("");
        };
      }
    } else if (message.Signaling?.Description) {
      const { ty, sdp } = message.Signaling.Description;
      await page.pc.setRemoteDescription({ type: ty, sdp });
      if (REJECT_AUDIO) page.pc.getTransceivers().find(({ receiver }) => receiver.track.kind === "audio").stop();
      await page.pc.setLocalDescription(await page.pc.createAnswer());
      send({ Signaling: { Description: { ty: "answer", sdp: page.pc.localDescription.sdp } } });
    } else if (message.ConnectionComplete) {
      page.complete = message.ConnectionComplete;
    } else {
      page.errors.push(JSON.stringify(message));
    }
  }
})()"#;

/// Whether the browser has decoded so many pictures: only what was encrypted as was agreed is one.
const DECODED_60: &str = r#"String(existing.video.getVideoPlaybackQuality().totalVideoFrames -
  existing.video.getVideoPlaybackQuality().droppedVideoFrames >= 60)"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_page_plays_within_a_few_seconds() {
    let test = "an_existing_page_plays_within_a_few_seconds";
    let Some(folder) = recordings::recording(test, "v0.23-clear") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let paths = MediaPaths::listen();
    let served = serve(Recording::open(&folder).expect("a whole recording")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    for reject_audio in ["false", "true"] {
        // Of the same origin, and without a stream of its own.
        let page = chromium.open(&served.list_url()).await.expect("the page opens");
        let ready = r#"location.protocol === "http:" && document.readyState"#;
        becomes(&mut chromium, &page, ready, "complete").await;
        let script = EXISTING_PAGE.replace("PEER_URL", &served.peer_url());
        let script = script.replace("REJECT_AUDIO", reject_audio);
        chromium.evaluate(&page, &script).await.expect("the script runs");
        becomes(&mut chromium, &page, "existing.errors[0] ?? existing.state", "playing").await;
        becomes(&mut chromium, &page, "String(existing.labels.length)", "7").await;
        becomes(&mut chromium, &page, "String(existing.complete?.width)", "1280").await;
        let seen = "({ after: existing.after, labels: existing.labels, time: existing.video.currentTime })";
        let seen = chromium.evaluate(&page, seen).await.expect("the page answers");
        eprintln!("audio rejected: {reject_audio}: {seen}");
        assert!(seen["labels"].as_array().expect("a list").contains(&json!("general")), "{seen}");
        assert!(seen["after"].as_f64().expect("a number") < 5_000.0, "{seen}");
        let later = format!("String(existing.video.currentTime > {} + 1)", seen["time"]);
        becomes(&mut chromium, &page, &later, "true").await;
        assert_eq!(cipher(&mut chromium, &page, "existing.pc").await, "AES_CM_128_HMAC_SHA1_80");
        assert_eq!(paths.take(), ["direct"]);
        becomes(&mut chromium, &page, DECODED_60, "true").await;
        let errors = chromium.evaluate(&page, "existing.errors").await.expect("the page answers");
        assert_eq!(errors, json!([]));
        keep("page-existing.png", &chromium.screenshot(&page).await.expect("a picture of the page"));
        chromium.close(page).await.expect("the page closes");
    }
    wait_for_peers(&served.streamer, 0).await;
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_are_told_of_each_other_and_empty_input_costs_its_sender_alone() {
    let test = "two_pages_are_told_of_each_other_and_empty_input_costs_its_sender_alone";
    let Some(folder) = recordings::recording(test, "v0.23-clear") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Recording::open(&folder).expect("a whole recording")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [open(&mut chromium, &served.page_url()).await, open(&mut chromium, &served.page_url()).await];
    for page in &pages {
        becomes(&mut chromium, page, "String(moonlightMux.events.Viewers?.count)", "2").await;
        becomes(&mut chromium, page, "moonlightMux.events.Stream?.status", "active").await;
    }
    let listed = chromium.evaluate(&pages[0], "moonlightMux.events.Viewers").await.expect("the page answers");
    eprintln!("{listed}");
    assert_eq!(listed["you"], listed["viewers"][0]["id"]);
    assert_eq!(listed["viewers"].as_array().map(Vec::len), Some(2));

    let [stays, misbehaves] = pages;
    let empty = "for (let i = 0; i < 20; i++) moonlightMux.input.send('')";
    chromium.evaluate(&misbehaves, empty).await.expect("the script runs");
    reach(&mut chromium, &misbehaves, "ended").await;
    let message = chromium.evaluate(&misbehaves, r#"document.getElementById("message").textContent"#).await;
    let message = message.expect("the page answers");
    assert!(message.as_str().is_some_and(|message| message.contains("input")), "{message}");
    becomes(&mut chromium, &stays, "String(moonlightMux.events.Viewers?.count)", "1").await;
    watch(&mut chromium, &served, &[stays], Duration::from_secs(2)).await;
    chromium.quit().await;
}

/// There is no second AV1 decoder here: the pages' pictures are compared with each other.
#[tokio::test(flavor = "multi_thread")]
async fn two_pages_show_an_av1_session() {
    let Some(folder) = recordings::recording("two_pages_show_an_av1_session", "v0.23-av1") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let recording = Recording::open(&folder).expect("a whole recording");
    let round = recording.frames().count();
    let served = serve(recording).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [open(&mut chromium, &served.page_url()).await, open(&mut chromium, &served.page_url()).await];
    let seen = watch(&mut chromium, &served, &pages, WATCH).await.map(|watched| watched.counters);
    for (i, counters) in seen.iter().enumerate() {
        // It falls where the recording begins anew, and nowhere else.
        let falls = counters.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(falls <= counters.len().div_ceil(round), "page {i}: {counters:?}");
        let rises = counters.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!(rises as f64 >= 0.9 * counters.len() as f64, "page {i}: {counters:?}");
    }
    assert_same(&seen);
    keep("page-av1.png", &chromium.screenshot(&pages[0]).await.expect("a picture of the page"));
    keep("page-av1-second.png", &chromium.screenshot(&pages[1]).await.expect("a picture of the page"));
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

/// The browser's decoders are the independent ones here, for picture and sound.
#[tokio::test(flavor = "multi_thread")]
async fn two_pages_show_and_play_the_test_picture() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(TestPicture::new(TestPictureConfig::default()).expect("in range")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [open(&mut chromium, &served.page_url()).await, open(&mut chromium, &served.page_url()).await];
    let seen = watch(&mut chromium, &served, &pages, WATCH).await.map(|watched| watched.counters);
    for (i, counters) in seen.iter().enumerate() {
        assert!(counters.is_sorted_by(|a, b| a < b), "page {i}: {counters:?}");
    }
    assert_same(&seen);
    for (heard, hz) in pitches(&mut chromium, &pages[0]).await.into_iter().zip([440.0, 660.0]) {
        assert!((heard - hz).abs() < 6.0, "{heard} Hz instead of {hz} Hz");
    }
    keep("page-test-picture.png", &chromium.screenshot(&pages[0]).await.expect("a picture of the page"));
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_udp_plays_over_tcp() {
    let Some(folder) = recordings::recording("a_page_without_udp_plays_over_tcp", "v0.23-clear") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let recording = Recording::open(&folder).expect("a whole recording");
    let source = source_counters(&recording);
    let served = serve_through(recording, loopback_with_tcp()).await;
    let mut chromium = Chromium::launch_with(&[WITHOUT_UDP]).await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    let protocols = chromium.evaluate(&page, SELECTED_PROTOCOLS).await.expect("the page answers");
    assert_eq!(protocols, serde_json::json!(["tcp", "tcp"]));
    let [watched] = watch(&mut chromium, &served, &[page], WATCH).await;
    assert_follows(&watched.counters, &source);
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

/// As a browser without AEAD_AES_128_GCM, which the first connection must have: here a relay takes it out of what that one
/// says. The second has AES_CM_128_HMAC_SHA1_80.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_the_first_connections_encryption_makes_another_unseen() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(TestPicture::new(TestPictureConfig::default()).expect("in range")).await;
    let server = served.rtc.local_addr();
    let relay = Relay::bind(Some(server), WithoutAes128Gcm::default()).await.expect("free ports");
    let mut chromium = Chromium::launch().await.expect("chromium");
    let ports = [server.port(), relay.address().port()].map(|port| port.to_string());
    let script = FIRST_THROUGH_RELAY.replace("SERVER", &ports[0]).replace("RELAY", &ports[1]);
    let page = open_with_script(&mut chromium, &served.page_url(), &script).await;
    becomes(&mut chromium, &page, "document.getElementById('viewer')?.dataset.state", "playing").await;
    becomes(&mut chromium, &page, "String(window.moonlightMux.events.Quality?.path)", "direct").await;
    let cipher = cipher(&mut chromium, &page, "moonlightMux.pc").await;
    assert_eq!(cipher, "AES_CM_128_HMAC_SHA1_80");
    watch(&mut chromium, &served, std::array::from_ref(&page), Duration::from_secs(2)).await;
    let seen = chromium.evaluate(&page, "seen").await.expect("the page answers");
    eprintln!("{seen}");
    assert_eq!(seen["connections"], 2, "{seen}");
    let states = seen["states"].as_array().expect("a list");
    assert!(states.iter().all(|state| state == "connecting" || state == "playing"), "{seen}");
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

/// As behind a NAT that has forgotten the connection. The WebRTC crate keeps to the path that ICE chose first.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_from_another_port_connects_anew_by_itself() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(TestPicture::new(TestPictureConfig::default()).expect("in range")).await;
    let server = served.rtc.local_addr();
    let relay = Relay::bind(Some(server), Everything).await.expect("free ports");
    let mut chromium = Chromium::launch().await.expect("chromium");
    let ports = [server.port(), relay.address().port()].map(|port| port.to_string());
    let script = FIRST_THROUGH_RELAY.replace("SERVER", &ports[0]).replace("RELAY", &ports[1]);
    let page = open_with_script(&mut chromium, &served.page_url(), &script).await;
    becomes(&mut chromium, &page, "document.getElementById('viewer')?.dataset.state", "playing").await;
    relay.rebind();
    becomes(&mut chromium, &page, "String(seen.connections)", "2").await;
    becomes(&mut chromium, &page, "document.getElementById('viewer')?.dataset.state", "playing").await;
    watch(&mut chromium, &served, &[page], Duration::from_secs(2)).await;
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

struct Everything;

impl Policy for Everything {}

/// The server hears of none of the first connection's candidates: it would check them itself, and the answers would lead the
/// browser round the relay. Of those that the browser's own checks come from it hears through the relay.
const FIRST_THROUGH_RELAY: &str = r#"
window.seen = { connections: 0, states: [] };
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  const { Description: offer, AddIceCandidate: candidate } = JSON.parse(data).Signaling ?? {};
  if (offer) seen.connections++;
  if (!candidate || seen.connections > 1) send.call(this, data);
};
const take = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
  if (seen.connections === 1) sdp = sdp.replaceAll(" SERVER ", " RELAY ");
  return take.call(this, { type, sdp });
};
addEventListener("DOMContentLoaded", () => {
  const viewer = document.getElementById("viewer");
  const note = () => seen.states.push(viewer.dataset.state);
  new MutationObserver(note).observe(viewer, { attributes: true, attributeFilter: ["data-state"] });
});
"#;

/// No UDP that a proxy does not carry, and there is no proxy.
const WITHOUT_UDP: &str = "--webrtc-ip-handling-policy=disable_non_proxied_udp";

/// The transport protocols of the two ends of the pair that carries the media.
const SELECTED_PROTOCOLS: &str = r#"(async () => {
  const stats = await window.moonlightMux.pc.getStats();
  const transport = [...stats.values()].find(report => report.type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return [stats.get(pair.localCandidateId).protocol, stats.get(pair.remoteCandidateId).protocol];
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_it_cannot_play_hevc() {
    let Some(folder) =
        recordings::recording("a_page_says_that_it_cannot_play_hevc", "v0.23-hevc-all-encrypted")
    else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Recording::open(&folder).expect("a whole recording")).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.page_url()).await.expect("the page opens");
    reach(&mut chromium, &page, "ended").await;
    let message = chromium.evaluate(&page, r#"document.getElementById("message").textContent"#).await;
    let message = message.expect("the page answers");
    assert!(message.as_str().is_some_and(|message| message.contains("HEVC")), "{message}");
    keep("page-hevc.png", &chromium.screenshot(&page).await.expect("a picture of the page"));
    chromium.quit().await;
}

/// Watches pages, all at once, and checks that each decodes what the stream sends: at least 95 % of its rate.
async fn watch<const N: usize>(
    chromium: &mut Chromium,
    served: &Served,
    pages: &[Page; N],
    time: Duration,
) -> [Decoded; N] {
    let before = (Instant::now(), served.streamer.stats().video_frames);
    for page in pages {
        start_watching(chromium, page, time).await;
    }
    let mut results = Vec::new();
    for page in pages {
        results.push(watched(chromium, page).await);
    }
    let sent = (served.streamer.stats().video_frames - before.1) as f64 / before.0.elapsed().as_secs_f64();
    for (i, Decoded { counters, decoded, time, .. }) in results.iter().enumerate() {
        let rate = decoded / time.as_secs_f64();
        let read = counters.len();
        eprintln!("page {i}: {rate:.1} of {sent:.1} frames per second decoded, {read} pictures read");
        assert!(rate >= 0.95 * sent, "{rate:.1} of {sent:.1} frames per second");
        assert!(read as f64 >= 0.9 * decoded, "{read} of {decoded} pictures read");
    }
    let mut results = results.into_iter();
    std::array::from_fn(|_| results.next().expect("one per page"))
}

async fn wait_for_peers(streamer: &Streamer, count: usize) {
    let before = Instant::now();
    let mut peers = streamer.watch_peers();
    let fewer = timeout(Duration::from_secs(10), peers.wait_for(|peers| peers.len() <= count));
    fewer.await.expect("within 10 s nothing of a closed page is left").expect("the streamer is there");
    eprintln!("{count} viewers left after {:?}", before.elapsed());
}

/// How a connection's media are encrypted, as the browser says.
async fn cipher(chromium: &mut Chromium, page: &Page, connection: &str) -> String {
    let script = format!(
        "(async () => [...(await {connection}.getStats()).values()].find(it => it.type === 'transport').srtpCipher)()"
    );
    let cipher = chromium.evaluate(page, &script).await.expect("the page answers");
    cipher.as_str().expect("a name").to_owned()
}

/// Waits until an expression has this value in the page.
async fn becomes(chromium: &mut Chromium, page: &Page, expression: &str, wanted: &str) {
    until(chromium, page, &format!("({expression}) === '{wanted}'")).await;
}

/// The counter of each of the recording's pictures, in order.
fn source_counters(recording: &Recording) -> Vec<u32> {
    let mut decoder = Decoder::new().expect("a decoder");
    let frames: Vec<_> = recording.frames().collect();
    let decoded = frames.iter().filter_map(|frame| {
        let picture = decoder.decode(&frame.data).expect("the recording decodes")?;
        let ((width, height), stride) = (picture.dimensions(), picture.strides().0);
        let white = |i: usize| picture.y()[height / COUNTER_Y * stride + (2 * i + 1) * width / 64] > 127;
        Some((0..32).filter(|&i| white(i)).map(|i| 1 << i).sum())
    });
    let counters: Vec<u32> = decoded.collect();
    assert_eq!(counters.len(), frames.len());
    counters
}

/// Each picture comes behind the one before it in the recording, or begins it anew; a few may be skipped.
fn assert_follows(counters: &[u32], source: &[u32]) {
    const SKIP: usize = 30;
    let mut at = None;
    for (i, counter) in counters.iter().enumerate() {
        let next = match at {
            None => source.iter().position(|c| c == counter),
            Some(at) => {
                let onwards = (at + 1..at + SKIP).chain(0..SKIP).map(|at| at % source.len());
                onwards.into_iter().find(|&at| source[at] == *counter)
            }
        };
        assert!(next.is_some(), "picture {i} has counter {counter} behind {at:?}: {:?}", &counters[..=i]);
        at = next;
    }
}

/// The same pictures in the same order in both, but for those at either end.
fn assert_same([a, b]: &[Vec<u32>; 2]) {
    let (common, shorter) = (common_subsequence(a, b), a.len().min(b.len()));
    assert!(common as f64 >= 0.95 * shorter as f64, "{common} of {shorter} pictures in both");
}

/// The length of the longest common subsequence.
fn common_subsequence(a: &[u32], b: &[u32]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
