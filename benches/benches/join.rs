//! How long a Chromium page takes to show a stream that others watch already, step by step.
//!
//! `cargo bench -p moonlight-mux-benches --bench join [-- JOINS]`
//!
//! The stream comes from a test host over the whole protocol, which sends no keyframe unless asked; host and server are
//! real ones on loopback. The steps are the marks that the page itself leaves (docs/page.md).

#![expect(clippy::print_stdout, reason = "it is what the bench is for")]

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use live::Live;
use moonlight_mux::TestHostConfig;
use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_benches::viewer::ViewerConfig;
use serde_json::json;
use support::page::{command, evaluate};
use support::{Served, serve};
use tokio::time::{MissedTickBehavior, interval};

/// From one join to the next.
const SPACING: Duration = Duration::from_secs(1);
/// Joins of a bench; a test run makes sure only that it works.
const JOINS: usize = 50;
const JOINS_OF_A_TEST: usize = 2;

/// What is done between the page's marks, each up to its mark.
const STEPS: [(&str, &str); 9] = [
    ("start", "navigation, to the page's script"),
    ("socket", "WebSocket"),
    ("config", "ICE servers"),
    ("offer", "offer"),
    ("answer", "answer"),
    ("ice", "ICE"),
    ("dtls", "DTLS"),
    ("keyframe", "keyframe received"),
    ("picture", "decoded and presented"),
];
/// The step in which the page begins to join.
const START: usize = 0;

/// The marks of [`STEPS`] in milliseconds since the navigation, once there is a picture.
const MARKS: &str = r#"(async (steps) => {
  const at = (step) => performance.getEntriesByName(`join:${step}`).at(0)?.startTime;
  while (at("picture") === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
  return steps.map(at);
})"#;

/// When each of [`STEPS`] was done, in milliseconds since the navigation.
type Join = [f64; STEPS.len()];

#[tokio::main]
async fn main() {
    let joins = wanted_joins();
    let live = Live::start(TestHostConfig::default()).await;
    let mut config = live::small();
    (config.width, config.height, config.fps) = (1280, 720, 60);
    let served = serve(live.source("bench", config).await).await;
    // Somebody watches all along, so that the joins meet a stream whose only keyframe is old.
    let (watching, _peer) = support::join(&served.streamer, &served.rtc, ViewerConfig::default()).await;
    watching.wait_for(|stats| stats.video.frames > 0).await.expect("it stays");
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    command(&mut chromium, &page, "Page.enable", json!({})).await;

    let mut ticks = interval(SPACING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut measured = Vec::with_capacity(joins);
    for _ in 0..joins {
        ticks.tick().await;
        measured.push(join(&mut chromium, &page, &served).await);
    }
    chromium.quit().await;
    print(&measured);
}

/// The number among the arguments, which a bench gets behind `--bench` and a test does not.
fn wanted_joins() -> usize {
    let mut arguments = std::env::args().skip(1);
    if !arguments.any(|argument| argument == "--bench") {
        return JOINS_OF_A_TEST;
    }
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(JOINS).max(1)
}

/// From the list of streams to the picture, and back to the list.
async fn join(chromium: &mut Chromium, page: &Page, served: &Served) -> Join {
    command(chromium, page, "Page.navigate", json!({ "url": served.page_url() })).await;
    let steps = STEPS.map(|(mark, _)| mark);
    let marks = evaluate(chromium, page, &format!("{MARKS}({})", json!(steps))).await;
    command(chromium, page, "Page.navigate", json!({ "url": served.list_url() })).await;
    serde_json::from_value(marks).expect("a time for each step")
}

fn print(joins: &[Join]) {
    println!("{} joins, {SPACING:?} apart, in milliseconds", joins.len());
    println!();
    row(["step", "median", "95th percentile", "slowest"]);
    row(["---", "---", "---", "---"]);
    for (step, (_, name)) in STEPS.iter().enumerate() {
        let before = |join: &Join| step.checked_sub(1).map_or(0.0, |before| join[before]);
        figures(name, joins.iter().map(|join| join[step] - before(join)));
    }
    let picture = |join: &Join| join[STEPS.len() - 1];
    figures("from the page's join to the picture", joins.iter().map(|join| picture(join) - join[START]));
    figures("from the navigation to the picture", joins.iter().map(picture));
}

fn figures(name: &str, times: impl Iterator<Item = f64>) {
    let mut times: Vec<_> = times.collect();
    times.sort_by(f64::total_cmp);
    let figure = |percent| format!("{:.1}", percentile(&times, percent));
    row([name, &figure(50), &figure(95), &figure(100)]);
}

/// The smallest of the sorted times that at least so many percent do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

fn row([step, median, late, slowest]: [&str; 4]) {
    println!("| {step:<36} | {median:>7} | {late:>15} | {slowest:>7} |");
}
