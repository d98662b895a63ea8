//! What a page decodes: its pictures' frame counters, and the pitch of its sound.

use std::time::Duration;

use moonlight_mux_benches::chromium::{Chromium, Page};
use serde::Deserialize;

use super::page::evaluate;

/// What a page showed.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Of the pictures that were read, in order.
    pub(crate) counters: Vec<u32>,
    /// When each of them was read, since 1970: one clock for all pages.
    pub(crate) times: Vec<Duration>,
    /// How many pictures the browser decoded meanwhile.
    pub(crate) decoded: f64,
    /// For how long it was watched.
    pub(crate) time: Duration,
}

/// Begins to watch a page for a time. [`watched`] gives the result.
pub(crate) async fn watch(chromium: &mut Chromium, page: &Page, time: Duration) {
    let script = READ_COUNTERS.replace("COUNTER_Y", &COUNTER_Y.to_string());
    evaluate(chromium, page, &format!("window.watched = {script}({}); undefined", time.as_millis())).await;
}

/// What was seen in a page since [`watch`], when its time is over.
pub(crate) async fn watched(chromium: &mut Chromium, page: &Page) -> Decoded {
    #[derive(Deserialize)]
    struct Watched {
        counters: Vec<u32>,
        times: Vec<f64>,
        decoded: f64,
        ms: f64,
    }

    let result = evaluate(chromium, page, "window.watched").await;
    let Watched { counters, times, decoded, ms } = serde_json::from_value(result).expect("a result");
    let duration = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
    Decoded { counters, times: times.into_iter().map(duration).collect(), decoded, time: duration(ms) }
}

/// The loudest frequency of the left and the right channel, in Hz, over two seconds.
pub(crate) async fn pitches(chromium: &mut Chromium, page: &Page) -> [f64; 2] {
    serde_json::from_value(evaluate(chromium, page, READ_PITCHES).await).expect("two numbers")
}

/// The counter is read at this part of the picture's height, inside its cells: row 8 of 720.
pub(crate) const COUNTER_Y: usize = 90;

/// Counts decoded pictures for as long as asked, and gives their counters in order, and when each came, in milliseconds
/// since 1970. A page's own video element shows the same track.
const READ_COUNTERS: &str = r#"(async (ms) => {
  const { pc, video } = window.moonlightMux;
  const decoded = async () => {
    for (const report of (await pc.getStats()).values())
      if (report.type === "inbound-rtp" && report.kind === "video") return report.framesDecoded;
  };
  const track = video.srcObject.getVideoTracks()[0].clone();
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 30 }).readable.getReader();
  const [counters, times, started, before] = [[], [], performance.now(), await decoded()];
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
    times.push(performance.timeOrigin + performance.now());
    frame.close();
  }
  const result = { counters, times, decoded: (await decoded()) - before, ms: performance.now() - started };
  await reader.cancel();
  track.stop();
  return result;
})"#;

/// Listens for two seconds, and gives the loudest frequency of each channel, in Hz: the median over that time.
const READ_PITCHES: &str = r#"(async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const source = context.createMediaStreamSource(window.moonlightMux.video.srcObject);
  const splitter = source.connect(context.createChannelSplitter(2));
  const analysers = [0, 1].map((channel) => {
    const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
    splitter.connect(analyser, channel);
    return analyser;
  });
  const pitches = [[], []];
  const levels = new Float32Array(8192);
  for (let i = 0; i < 40; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    analysers.forEach((analyser, channel) => {
      analyser.getFloatFrequencyData(levels);
      pitches[channel].push(levels.indexOf(Math.max(...levels)) * 48000 / 16384);
    });
  }
  await context.close();
  return pitches.map((pitches) => pitches.sort((a, b) => a - b)[20]);
})()"#;
