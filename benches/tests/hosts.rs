//! Sessions with hosts that come, go, die and last: what the process holds meanwhile and afterwards. One test at a time,
//! alone in its process, since they count what the whole process holds.
//!
//! `CONNECTS` and `SOAK_SECONDS` make the first and the last test longer (docs/testing.md).

#![expect(clippy::disallowed_methods, reason = "hosts run in real time")]

#[path = "support/held.rs"]
mod held;
#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
mod support;

use std::env;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{
    EndReason, ExitPolicy, HostCounts, Manner, RestartPolicy, State, Streamer, StreamerConfig, TestHost,
    WebRtc,
};
use moonlight_mux_benches::viewer::ViewerConfig;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use held::{Held, Memory, held, memory, settle};
use live::{Live, ended, host, in_time, pictures, small, streaming, until};
use support::{join, loopback};

/// Since they count what the process holds.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The host's log of 4096 events fills up meanwhile. More than 600 bytes for each of a thousand would be too much.
const HEAP_GROWTH: usize = 600_000;
/// What an allocator's pages may waver by.
const RESIDENT_GROWTH: usize = 12_000_000;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_came_and_went_leave_nothing() {
    let _alone = ALONE.lock().await;
    let connects = setting("CONNECTS", 100) as usize;
    let live = Live::start(host(Manner::Sunshine)).await;
    live.client("one").await;
    let warm_up = 20;
    let (mut before, mut size) = (held(), memory());
    let mut began = Instant::now();
    for n in 0..warm_up + connects {
        if n == warm_up {
            settled(&live).await;
            (before, size, began) = (held(), memory(), Instant::now());
            eprintln!("warm: {before:?}, {size}");
        }
        if n > warm_up && (n - warm_up) % (connects / 5).max(1) == 0 {
            eprintln!("{} sessions: {}", n - warm_up, memory());
        }
        let streamer = live.streaming("one").await;
        // Some stop at once, some quit the app, some are dropped by the host.
        match n % 4 {
            0 => live.host.end_sessions(),
            1 => streamer.shutdown(ExitPolicy::Quit).await,
            _ => streamer.shutdown(ExitPolicy::LeaveRunning).await,
        }
        if n % 4 == 0 {
            ended(&streamer).await;
        }
        in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
    }
    let took = began.elapsed();
    settle(before).await;
    let after = memory();
    eprintln!("{connects} sessions in {took:?}: {:?}, {size} before, {after} after", held());
    assert!(after.heap < size.heap + HEAP_GROWTH, "{size} before, {after} after");
    assert!(after.resident < size.resident + RESIDENT_GROWTH, "{size} before, {after} after");
}

/// What one session made once and for all is there, and threads for blocking work are gone.
async fn settled(live: &Live) {
    in_time(live.host.wait_for_counts(|counts| counts.sessions + counts.open_connections == 0)).await;
    let mut last = held();
    loop {
        sleep(Duration::from_secs(11)).await;
        if last == held() {
            return;
        }
        last = held();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_sessions_to_eight_hosts_at_once() {
    let _alone = ALONE.lock().await;
    let manners = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];
    let lives = join_all((0..8).map(|n| Live::start(host(manners[n % 3])))).await;
    let streamers = join_all(lives.iter().map(|live| live.streaming("one"))).await;
    join_all(streamers.iter().map(async |streamer| pictures(&streamer.subscribe(), 60).await)).await;
    for (live, streamer) in lives.iter().zip(&streamers) {
        assert_eq!((live.host.sessions(), streamer.restarts()), (1, 0));
        assert!(matches!(streamer.state(), State::Streaming), "{streamer:?}");
    }
    join_all(streamers.iter().map(|streamer| streamer.shutdown(ExitPolicy::Quit))).await;
    for live in &lives {
        in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_costs_next_to_nothing_and_is_given_up_within_twelve_seconds() {
    let _alone = ALONE.lock().await;
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let live = Live::start(host(manner)).await;
        let source = live.source("one", small()).await;
        let mut config = StreamerConfig::default();
        config.restart = RestartPolicy::Never;
        let streamer = Streamer::start("killed".parse().expect("a name"), source, config);
        streaming(&streamer).await;
        pictures(&streamer.subscribe(), 30).await;
        live.host.kill().await;
        let (began, cpu, sent) = (Instant::now(), processor_time(), datagrams_sent());
        let reason = ended(&streamer).await;
        let (took, cpu, sent) = (began.elapsed(), processor_time() - cpu, datagrams_sent() - sent);
        eprintln!(
            "{manner:?}: given up after {took:?}, {cpu:?} of processor time, {sent} datagrams: {reason:?}"
        );
        assert!(matches!(reason, EndReason::Failed(_)), "{reason:?}");
        assert!(took < Duration::from_secs(12), "{took:?}");
        assert!(cpu < took / 5, "{cpu:?} in {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_started_again_is_streamed_from_again_by_the_same_streamer() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = live.streaming("one").await;
    let frames = streamer.subscribe();
    pictures(&frames, 30).await;
    let config = live.host.config();
    let killed = Instant::now();
    live.host.kill().await;
    until(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    eprintln!("noticed after {:?}", killed.elapsed());
    let again = TestHost::start(config).await.expect("its ports are free");
    let started = Instant::now();
    until(&streamer, |state| matches!(state, State::Streaming)).await;
    // The same subscription, behind a gap or none.
    let keyframe = in_time(async {
        loop {
            match frames.recv().await.expect("the stream goes on") {
                moonlight_mux::Media::Video(frame) if frame.keyframe => return frame,
                _ => {}
            }
        }
    });
    keyframe.await;
    eprintln!("pictures {:?} after its start, {} restarts", started.elapsed(), streamer.restarts());
    assert!(streamer.restarts() >= 1);
    assert_eq!(again.sessions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lives_alone_and_its_memory_does_not_grow() {
    let _alone = ALONE.lock().await;
    let seconds = setting("SOAK_SECONDS", 10);
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = live.streaming("one").await;
    let soak = Soak::begin(&live, &streamer).await;
    let enough = live.host.counts().frames + 30 * seconds;
    live.host.wait_for_counts(|counts| counts.frames >= enough).await;
    let counts = soak.end(&live, &streamer, "alone");
    assert_eq!(counts.keyframe_requests, 0, "nobody wished for one");

    // The same with viewers that come and go. What the first ones make once and for all is there.
    let rtc = loopback();
    for _ in 0..3 {
        visit(&streamer, &rtc).await;
    }
    let soak = Soak::begin(&live, &streamer).await;
    let enough = live.host.counts().frames + 30 * seconds;
    let mut visits = 0;
    while live.host.counts().frames < enough {
        visit(&streamer, &rtc).await;
        visits += 1;
    }
    let counts = soak.end(&live, &streamer, &format!("with {visits} viewers that came and went"));
    assert!(counts.keyframe_requests <= visits, "{} for {visits} viewers", counts.keyframe_requests);
}

/// A viewer comes, sees and goes.
async fn visit(streamer: &Streamer, rtc: &WebRtc) {
    let (viewer, handle) = join(streamer, rtc, ViewerConfig::default()).await;
    in_time(viewer.wait_for(|stats| stats.video.frames >= 10)).await.expect("it shows pictures");
    viewer.close().await;
    in_time(handle.closed()).await;
}

/// A time of streaming.
struct Soak {
    began: Instant,
    frames: u64,
    counts: HostCounts,
    held: Held,
    memory: Memory,
}

impl Soak {
    async fn begin(live: &Live, streamer: &Streamer) -> Self {
        // Allocator and queues reach their size.
        pictures(&streamer.subscribe(), 60).await;
        Self {
            began: Instant::now(),
            frames: streamer.stats().video_frames,
            counts: live.host.counts(),
            held: held(),
            memory: memory(),
        }
    }

    /// Gives what the host counted meanwhile.
    fn end(self, live: &Live, streamer: &Streamer, how: &str) -> HostCounts {
        let (took, counts) = (self.began.elapsed(), live.host.counts());
        let frames = streamer.stats().video_frames - self.frames;
        let sent = counts.frames - self.counts.frames;
        let now = memory();
        eprintln!(
            "{took:.1?} {how}: {frames} frames of {sent} sent, {:?} then {:?}, {} then {now}",
            self.held,
            held(),
            self.memory
        );
        assert!(matches!(streamer.state(), State::Streaming), "{streamer:?}");
        assert_eq!((live.host.sessions(), streamer.restarts()), (1, 0), "one session all the time");
        // Those under way are in one count alone: up to a second's, on a machine that does much else.
        assert!(frames.abs_diff(sent) <= 30, "{frames} of {sent}");
        assert!(now.heap < self.memory.heap + 500_000, "{} then {now}", self.memory);
        assert!(now.resident < self.memory.resident + RESIDENT_GROWTH, "{} then {now}", self.memory);
        let mut during = counts;
        during.keyframe_requests -= self.counts.keyframe_requests;
        during
    }
}

/// Of this process, so far.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<u64> =
        stat.rsplit(')').next().expect("fields").split(' ').filter_map(|field| field.parse().ok()).collect();
    // utime and stime, in hundredths of a second: fields 14 and 15, of which the numbers here begin at 4.
    Duration::from_millis(10 * (fields[10] + fields[11]) as u64)
}

/// Over UDP by everybody on this machine.
fn datagrams_sent() -> u64 {
    let snmp = fs::read_to_string("/proc/self/net/snmp").expect("Linux");
    let mut udp = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (udp.next().expect("names"), udp.next().expect("values"));
    let column = names.split(' ').position(|name| name == "OutDatagrams").expect("a column");
    values.split(' ').nth(column).and_then(|value| value.parse().ok()).expect("a number")
}
