//! Two Chromium pages on one recording: what a person would see, read from the decoded pictures.
//!
//! The recording's picture has a frame counter in its top row: 32 cells, lowest bit first, white for 1. The pages' decoded
//! pictures are compared with each other and with the recording, decoded here by another decoder.

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::path::PathBuf;
use std::time::Duration;

use moonlight_mux::{Recording, State};
use moonlight_mux_benches::chromium::{Chromium, Page};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use support::{Served, serve};

/// How long the pages are watched.
const WATCH: Duration = Duration::from_secs(10);
/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A row of pixels inside the counter's cells.
const CELL_Y: usize = 8;

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
    const cell = frame.codedWidth / 32;
    let counter = 0;
    for (let i = 0; i < 32; i++) {
      const x = Math.floor((i + 0.5) * cell);
      if (planes[luma.offset + CELL_Y * luma.stride + x] > 127) counter += 2 ** i;
    }
    counters.push(counter);
    frame.close();
  }
  const result = { counters, decoded: (await decoded()) - before, ms: performance.now() - started };
  await reader.cancel();
  track.stop();
  return result;
})"#;

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_show_one_recording_and_neither_notices_the_other_leave() {
    let Some(folder) = recordings::recording("v0.23-clear") else { return };
    let recording = Recording::open(&folder).expect("a whole recording");
    let source = source_counters(&recording);
    let fps = f64::from(recording.info().video.fps);
    let served = serve(recording).await;
    let streamer = &served.streamer;

    let mut chromium = Chromium::launch().await.expect("chromium");
    let (first, second) = (open(&mut chromium, &served).await, open(&mut chromium, &served).await);
    // Both at once: the script of the first runs on while that of the second is started.
    let script = READ_COUNTERS.replace("CELL_Y", &CELL_Y.to_string());
    let start = format!("window.counters = {script}({}); undefined", WATCH.as_millis());
    for page in [&first, &second] {
        chromium.evaluate(page, &start).await.expect("the script runs");
    }
    let mut seen = Vec::new();
    for page in [&first, &second] {
        let result = chromium.evaluate(page, "window.counters").await.expect("counters");
        let seconds = result["ms"].as_f64().expect("a time") / 1000.0;
        let rate = result["decoded"].as_f64().expect("a count") / seconds;
        assert!(rate >= 0.95 * fps, "{rate} of {fps} frames per second decoded");
        seen.push(counters(&result));
    }
    for counters in &seen {
        assert!(counters.len() as f64 >= 0.9 * fps * WATCH.as_secs_f64(), "{} pictures read", counters.len());
        assert_follows(counters, &source);
    }
    // The same pictures in the same order in both, but for those at either end.
    let common = common_subsequence(&seen[0], &seen[1]);
    let shorter = seen[0].len().min(seen[1].len());
    assert!(common as f64 >= 0.95 * shorter as f64, "{common} of {shorter} pictures in both");

    let screenshot = chromium.screenshot(&first).await.expect("a picture of the page");
    keep("browser-page.png", &screenshot);

    chromium.close(second).await.expect("the page closes");
    let closed = Instant::now();
    let gone = timeout(Duration::from_secs(10), async {
        while streamer.peers().len() > 1 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("within 10 s nothing of the closed page is left");
    eprintln!("the closed page was gone after {:?}", closed.elapsed());
    let result = chromium.evaluate(&first, &format!("{script}(3000)")).await.expect("counters");
    let rate =
        result["decoded"].as_f64().expect("a count") / (result["ms"].as_f64().expect("a time") / 1000.0);
    assert!(rate >= 0.95 * fps, "the other page noticed: {rate} frames per second");
    assert_follows(&counters(&result), &source);

    chromium.quit().await;
    let gone = timeout(Duration::from_secs(10), async {
        while !streamer.peers().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("within 10 s nothing of the killed browser is left");
    let before = streamer.stats().video_frames;
    let goes_on = timeout(PATIENCE, async {
        while streamer.stats().video_frames < before + 60 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    goes_on.await.expect("the stream goes on with nobody watching");
    assert_eq!(streamer.state(), State::Streaming);
}

/// Opens the page and waits until it shows a picture.
async fn open(chromium: &mut Chromium, served: &Served) -> Page {
    let page = chromium.open(&served.page_url()).await.expect("the page opens");
    let playing = timeout(PATIENCE, async {
        loop {
            let state =
                chromium.evaluate(&page, "window.moonlightMux?.state").await.expect("the page answers");
            if state == "playing" {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    playing.await.expect("the page plays");
    page
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
        let (width, stride) = (picture.dimensions().0, picture.strides().0);
        let white = |i: usize| picture.y()[CELL_Y * stride + (2 * i + 1) * width / 64] > 127;
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
