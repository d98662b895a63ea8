//! Two Chromium pages on one recording: what a person would see, read from the decoded pictures.
//!
//! The recording's picture has a frame counter in its top row: 32 cells, lowest bit first, white for 1. The pages' decoded
//! pictures are compared with each other and with the recording, decoded here by another decoder.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::path::PathBuf;
use std::time::Duration;

use moonlight_mux::{Recording, State, Streamer};
use moonlight_mux_benches::chromium::{Chromium, Page};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use support::{Served, loopback_with_tcp, serve, serve_through};

/// How long the pages are watched.
const WATCH: Duration = Duration::from_secs(10);
/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// The counter is read at this part of the picture's height, inside its cells: row 8 of 720.
const COUNTER_Y: usize = 90;

/// Counts decoded pictures for as long as asked, and gives their counters in order. A page's own video element shows the
/// same track.
const READ_COUNTERS: &str = r#"(async (ms) => {
  const { pc, video } = window.moonlightMux;
  const decoded = async () => {
    for (const report of (await pc.getStats()).values())
      if (report.type === "inbound-rtp" && report.kind === "video") return report.framesDecoded;
  };
  const track = video.srcObject.getVideoTracks()[0].clone();
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 30 }).readable.getReader();
  const [counters, started, before] = [[], performance.now(), await decoded()];
  while (performance.now() - started < ms) {
    const { value: frame, done } = await reader.read();
    if (done) break;
    const planes = new Uint8Array(frame.allocationSize());
    const [luma] = await frame.copyTo(planes);
    const [cell, y] = [frame.codedWidth / 32, Math.floor(frame.codedHeight / COUNTER_Y)];
    let counter = 0;
    for (let i = 0; i < 32; i++) {
      const x = Math.floor((i + 0.5) * cell);
      if (planes[luma.offset + y * luma.stride + x] > 127) counter += 2 ** i;
    }
    counters.push(counter);
    frame.close();
  }
  const result = { counters, decoded: (await decoded()) - before, ms: performance.now() - started };
  await reader.cancel();
  track.stop();
  return result;
})"#;

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
    let pages = [open(&mut chromium, &served).await, open(&mut chromium, &served).await];

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
    let pages = [open(&mut chromium, &served).await, open(&mut chromium, &served).await];
    watch(&mut chromium, &served, &pages, WATCH).await;
    keep("page-wolf.png", &chromium.screenshot(&pages[0]).await.expect("a picture of the page"));
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
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
    let pages = [open(&mut chromium, &served).await, open(&mut chromium, &served).await];
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
    let page = open(&mut chromium, &served).await;
    let protocols = chromium.evaluate(&page, SELECTED_PROTOCOLS).await.expect("the page answers");
    assert_eq!(protocols, serde_json::json!(["tcp", "tcp"]));
    let [watched] = watch(&mut chromium, &served, &[page], WATCH).await;
    assert_follows(&watched.counters, &source);
    chromium.quit().await;
    wait_for_peers(&served.streamer, 0).await;
}

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

/// What one page showed.
struct Watched {
    counters: Vec<u32>,
}

/// Watches pages, all at once, and checks that each decodes what the stream sends: at least 95 % of its rate.
async fn watch<const N: usize>(
    chromium: &mut Chromium,
    served: &Served,
    pages: &[Page; N],
    time: Duration,
) -> [Watched; N] {
    let script = READ_COUNTERS.replace("COUNTER_Y", &COUNTER_Y.to_string());
    let start = format!("window.watched = {script}({}); undefined", time.as_millis());
    let before = (Instant::now(), served.streamer.stats().video_frames);
    for page in pages {
        chromium.evaluate(page, &start).await.expect("the script runs");
    }
    let mut results = Vec::new();
    for page in pages {
        results.push(chromium.evaluate(page, "window.watched").await.expect("a result"));
    }
    let sent = (served.streamer.stats().video_frames - before.1) as f64 / before.0.elapsed().as_secs_f64();
    let mut results = results.into_iter();
    std::array::from_fn(|i| {
        let result = results.next().expect("one per page");
        let number = |name: &str| result[name].as_f64().expect("a number");
        let (decoded, read) = (number("decoded"), counters(&result));
        let seconds = number("ms") / 1000.0;
        eprintln!(
            "page {i}: {:.1} of {sent:.1} frames per second decoded, {} pictures read",
            decoded / seconds,
            read.len()
        );
        assert!(decoded / seconds >= 0.95 * sent, "{:.1} of {sent:.1} frames per second", decoded / seconds);
        assert!(read.len() as f64 >= 0.9 * decoded, "{} of {decoded} pictures read", read.len());
        Watched { counters: read }
    })
}

async fn wait_for_peers(streamer: &Streamer, count: usize) {
    let before = Instant::now();
    let mut peers = streamer.watch_peers();
    let fewer = timeout(Duration::from_secs(10), peers.wait_for(|peers| peers.len() <= count));
    fewer.await.expect("within 10 s nothing of a closed page is left").expect("the streamer is there");
    eprintln!("{count} viewers left after {:?}", before.elapsed());
}

/// Opens the page and waits until it shows a picture.
async fn open(chromium: &mut Chromium, served: &Served) -> Page {
    let page = chromium.open(&served.page_url()).await.expect("the page opens");
    reach(chromium, &page, "playing").await;
    page
}

/// Waits until the page is in a state.
async fn reach(chromium: &mut Chromium, page: &Page, wanted: &str) {
    let reached = timeout(PATIENCE, async {
        loop {
            let state =
                chromium.evaluate(page, "window.moonlightMux?.state").await.expect("the page answers");
            if state == wanted {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("the page is not {wanted}"));
}

fn counters(result: &Value) -> Vec<u32> {
    let counters = result["counters"].as_array().expect("a list").iter();
    counters.map(|counter| counter.as_u64().and_then(|n| u32::try_from(n).ok()).expect("32 bits")).collect()
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

/// Keeps a screenshot where a person can look at it: `target/screenshots/`.
fn keep(name: &str, png: &[u8]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), png).expect("the screenshot is written");
    eprintln!("screenshot: target/screenshots/{name}");
}
