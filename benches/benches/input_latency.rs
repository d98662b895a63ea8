//! How long what a viewer does takes to the host: from the message that it sends on a data channel to the host's event.
//!
//! `cargo bench -p moonlight-mux-benches --bench input_latency [-- SECONDS]`
//!
//! Twenty viewers watch a test host's picture, and each moves its mouse 60 times a second and types ten keys. Both ends and
//! the server are in one process on loopback, so the times are between two moments of one clock: just before the viewer
//! hands its message to its WebRTC stack, and when the host's control connection has given the packet out. A move that a
//! later one of anybody has overtaken before the host was told is none.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it is what the bench is for")]

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::try_join_all;
use live::{Live, in_time, streaming};
use moonlight_mux::{HostEvent, HostInput, KeyCode, Position, TestHostConfig};
use moonlight_mux_benches::viewer::{CloseReason, Hand, Viewer};
use support::input::{acting, keys_of};
use support::loopback;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

const VIEWERS: usize = 20;
/// Of a bench; a test run makes sure only that it works.
const SECONDS: u64 = 20;
const SECONDS_OF_A_TEST: u64 = 1;
/// Sixty moves a second; each sixth comes with a key.
const MOVE: Duration = Duration::from_micros(16_667);
const MOVES_A_KEY: u64 = 6;
/// How long after the last message events are waited for.
const REST: Duration = Duration::from_secs(1);

/// When what was said: of each viewer's keys the last change, and of the pointer each place.
#[derive(Default)]
struct Said {
    keys: HashMap<(u8, bool), Instant>,
    places: HashMap<(u16, u16), Instant>,
}

#[tokio::main]
async fn main() {
    let seconds = wanted_seconds();
    let live = Live::start(TestHostConfig::default()).await;
    let streamer = live.streamer("bench").await;
    streaming(&streamer).await;
    let rtc = loopback();
    let viewers = in_time(acting(&streamer, &rtc, VIEWERS)).await;

    let said = Mutex::new(Said::default());
    let start = Instant::now() + Duration::from_millis(100);
    let acting = viewers.iter().enumerate().map(|(n, (viewer, _))| {
        // Each at a time of its own.
        let start = start + MOVE * n as u32 / VIEWERS as u32;
        act(n, viewer, start, seconds, &said)
    });
    let mut events = live.host.events();
    let (mut keys, mut moves) = (Vec::new(), Vec::new());
    let listen = async {
        loop {
            let event = events.next().await.expect("the host is here");
            let now = Instant::now();
            let mut said = said.lock().expect("no holder of this lock panics");
            match event {
                HostEvent::Input(_, HostInput::Key { code: KeyCode(code), down, .. }) => {
                    keys.extend(said.keys.remove(&(code, down)).map(|at| now - at));
                }
                HostEvent::Input(_, HostInput::PointerTo(Position { x, y })) => {
                    moves.extend(said.places.remove(&(x >> 1, y >> 1)).map(|at| now - at));
                }
                _ => {}
            }
        }
    };
    let act = async {
        try_join_all(acting).await.expect("all stay");
        sleep(REST).await;
    };
    tokio::select! {
        () = act => {}
        () = listen => unreachable!("it listens for ever"),
    }
    let unheard = said.lock().expect("no holder of this lock panics").keys.len();
    assert_eq!(unheard, 0, "no key is lost");
    println!("{VIEWERS} viewers for {seconds} s, in milliseconds from the message to the host");
    println!();
    println!(
        "| {:<5} | {:>6} | {:>7} | {:>15} | {:>7} |",
        "", "events", "median", "99th percentile", "slowest"
    );
    println!("| --- | --- | --- | --- | --- |");
    figures("keys", keys);
    figures("moves", moves);
    for (viewer, _) in viewers {
        viewer.close().await;
    }
}

/// The number among the arguments, which a bench gets behind `--bench` and a test does not.
fn wanted_seconds() -> u64 {
    let mut arguments = std::env::args().skip(1);
    if !arguments.any(|argument| argument == "--bench") {
        return SECONDS_OF_A_TEST;
    }
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS).max(1)
}

async fn act(
    n: usize,
    viewer: &Viewer,
    start: Instant,
    seconds: u64,
    said: &Mutex<Said>,
) -> Result<(), CloseReason> {
    let mut hand = Hand::default();
    let [key, _] = keys_of(n);
    let mut ticks = interval_at(start, MOVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let moves = seconds * 60 / (2 * MOVES_A_KEY) * 2 * MOVES_A_KEY;
    for count in 0..moves {
        ticks.tick().await;
        // The host's plane has half as many places: no two viewers' are the same there.
        let (x, y) = (2 * n as u16, 2 * (count % 0x7fff) as u16);
        note(said, |said| _ = said.places.insert((x >> 1, y >> 1), Instant::now()));
        hand.point(viewer, x, y).await?;
        if count % MOVES_A_KEY == 0 {
            let down = (count / MOVES_A_KEY).is_multiple_of(2);
            note(said, |said| _ = said.keys.insert((key, down), Instant::now()));
            hand.key(viewer, key, down).await?;
        }
    }
    Ok(())
}

fn note(said: &Mutex<Said>, note: impl FnOnce(&mut Said)) {
    note(&mut said.lock().expect("no holder of this lock panics"));
}

fn figures(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    println!("| {name:<5} | {:>6} | {:>7.2} | {:>15.2} | {:>7.2} |", times.len(), at(50), at(99), at(100));
}
