//! Streamers in processes of their own, real ones: what kills, stops or confuses one of them, and what the others notice.
//!
//! `CREATES` makes the last test longer (docs/testing.md).

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "processes run in real time")]

#[path = "../../moonlight-mux-cli/tests/support/folder.rs"]
mod folder;
#[path = "support/held.rs"]
mod held;
#[path = "process/held_up.rs"]
mod held_up;
#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
#[path = "process/pauses.rs"]
mod pauses;
mod support;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use moonlight_mux::{
    EndReason, ExitPolicy, HostId, HostOptions, Hosts, InputMode, LeaveReason, Manner, MoonlightSource,
    PeerHandle, ProcessCommand, ProcessConfig, ProcessError, ProcessExit, Registry, RestartBackoff, State,
    Streamer, StreamerConfig, WebRtc,
};
use moonlight_mux_benches::viewer::{Channels, Hand, Offerer, Viewer, ViewerConfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use folder::Folder;
use held::{held, memory, settle};
use live::{Live, ended, host, in_time, pictures, small, streaming, until};
use support::{join, loopback};

/// Since they count processes, and have a machine to share.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What takes a second or two at most is printed, and held to this on a machine that does much else.
const GENEROUS: Duration = Duration::from_secs(10);

/// A process that does something wrong at some time, as `benches/src/bin/streamer_child.rs` has it.
fn process(fault: Option<&str>) -> ProcessConfig {
    let mut command = ProcessCommand::new(env!("CARGO_BIN_EXE_streamer_child"));
    command.envs.extend(fault.map(|fault| ("MMUX_FAULT".into(), fault.into())));
    let mut config = ProcessConfig::default();
    config.command = Some(command);
    config.webrtc.bind = ([127, 0, 0, 1], 0).into();
    config
}

/// Restarts come at once.
fn quick() -> StreamerConfig {
    let mut config = StreamerConfig::default();
    config.backoff.first = Duration::from_millis(100);
    config
}

/// The same, once for all of a streamer's processes, with this file to know it by.
fn process_once(fault: &str, settings: &[(&str, &str)], mark: &Path) -> ProcessConfig {
    let mut config = process(Some(fault));
    let command = config.command.as_mut().expect("one");
    command.envs.push(("MMUX_FAULT_ONCE".into(), mark.into()));
    command.envs.extend(settings.iter().map(|(name, value)| (name.into(), value.into())));
    config
}

async fn spawn(live: &Live, id: &str, config: StreamerConfig, process: ProcessConfig) -> Streamer {
    let source = live.source(id, small()).await;
    Streamer::spawn_process(id.parse().expect("an id"), source, config, process)
}

/// One that streams.
async fn spawned(live: &Live, id: &str, process: ProcessConfig) -> Streamer {
    let streamer = spawn(live, id, quick(), process).await;
    streaming(&streamer).await;
    streamer
}

fn pid(streamer: &Streamer) -> u32 {
    streamer.pid().expect("it runs in a process")
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), signal).expect("a process of ours");
}

fn is_there(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).expect("Linux")
}

/// That of a process or a thread, by its folder in /proc; `None` when it is not there.
fn state(folder: &Path) -> Option<char> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // Its name is in parentheses, and its state behind them.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until a process that is not ours to reap has ended. Gives how long that took.
async fn gone(pid: u32) -> Duration {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let runs = || state(&process).is_some_and(|state| !['Z', 'X'].contains(&state));
    let began = Instant::now();
    in_time(async {
        while runs() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    began.elapsed()
}

/// Stops a process, and waits until all of its threads have stopped: one that is about to is none of the stopped processes whom
/// the system ends with their parent.
async fn stop(pid: u32) {
    let is_stopped = |task: fs::DirEntry| state(&task.path()) == Some('T');
    send(pid, Signal::SIGSTOP);
    in_time(async {
        loop {
            let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there").flatten();
            if tasks.all(is_stopped) {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// As a process has that touches what is not there. The first is taken for a stack that has overflowed.
async fn segfault(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
    while kill(pid, Signal::SIGSEGV).is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Children of this process that are streamers'.
fn children() -> BTreeSet<u32> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").filter_map(Result::ok);
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Why the process before is gone.
async fn crashed(streamer: &Streamer) -> EndReason {
    match until(streamer, |state| matches!(state, State::Reconnecting { .. })).await {
        State::Reconnecting { reason, .. } => reason,
        state => unreachable!("{state:?}"),
    }
}

fn cause(reason: &EndReason) -> &ProcessError {
    match reason {
        EndReason::Failed(error) => error.cause().downcast_ref().expect("a process's error"),
        reason => panic!("{reason:?}"),
    }
}

async fn watching(streamer: &Streamer, rtc: &WebRtc) -> (Viewer, PeerHandle) {
    let (viewer, handle) = join(streamer, rtc, ViewerConfig::default()).await;
    in_time(viewer.wait_for(|stats| stats.video.frames > 5)).await.expect("it sees pictures");
    (viewer, handle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_streams_to_viewers_and_to_whoever_subscribes_and_takes_input() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    let streamer = spawned(&live, "one", process(None)).await;
    let child = pid(&streamer);
    assert_eq!(children(), BTreeSet::from([child]));
    assert_eq!(streamer.info().expect("it streams").video.width, 320);

    let config = ViewerConfig { channels: Channels::Negotiated, ..ViewerConfig::default() };
    let (viewer, handle) = join(&streamer, &rtc, config).await;
    in_time(viewer.wait_for(|stats| stats.video.frames > 30)).await.expect("it sees pictures");
    let mut stats = handle.watch_stats();
    in_time(stats.wait_for(|stats| stats.frames > 30)).await.expect("it is counted");
    let frames = streamer.subscribe();
    assert_eq!(pictures(&frames, 30).await.len(), 30);
    drop(frames);
    in_time(async {
        while streamer.stats().video_frames < 60 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(streamer.stats().last_frame_age.is_some_and(|age| age < Duration::from_secs(5)));
    assert!(streamer.input_features().is_some());

    let mut peers = streamer.watch_peers();
    let mut hand = Hand::default();
    in_time(hand.key(&viewer, 0x41, true)).await.expect("it acts");
    in_time(peers.wait_for(|peers| peers[0].acting)).await.expect("it is seen to act");
    in_time(live.host.wait_for_counts(|counts| counts.inputs > 0)).await;
    streamer.set_input_mode(InputMode::ViewOnly);
    assert_eq!(streamer.input_mode(), InputMode::ViewOnly);

    assert!(streamer.kick(handle.id(), LeaveReason::Kicked));
    assert_eq!(in_time(handle.closed()).await, LeaveReason::Kicked);
    drop(viewer);
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    assert_eq!((is_there(child), streamer.pid(), children()), (false, None, BTreeSet::new()));
    in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_streams_on_when_a_whole_service_is_told_to_end_until_its_server_stops_it() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = spawned(&live, "one", process(None)).await;
    let child = pid(&streamer);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        send(child, signal);
    }
    let frames = streamer.subscribe();
    assert_eq!(pictures(&frames, 60).await.len(), 60);
    assert_eq!((streamer.pid(), streamer.restarts()), (Some(child), 0));
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    assert_eq!(streamer.state(), State::Ended(EndReason::Stopped));
    in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_pages_are_served_by_processes() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    let streamer = spawned(&live, "one", process(None)).await;
    let config = ViewerConfig { offerer: Offerer::Server, ..ViewerConfig::default() };
    let (viewer, handle) = join(&streamer, &rtc, config).await;
    in_time(viewer.wait_for(|stats| stats.video.frames > 30)).await.expect("it sees pictures");
    send(pid(&streamer), Signal::SIGKILL);
    assert_eq!(in_time(handle.closed()).await, LeaveReason::ConnectionFailed);
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_seen_at_once_and_the_next_one_has_its_viewers() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    for signal in [Signal::SIGSEGV, Signal::SIGKILL] {
        let streamer = spawned(&live, "one", process(None)).await;
        let (viewer, handle) = watching(&streamer, &rtc).await;
        let frames = streamer.subscribe();
        pictures(&frames, 5).await;
        let (first, began) = (pid(&streamer), Instant::now());
        let (reason, ()) = tokio::join!(crashed(&streamer), async {
            match signal {
                Signal::SIGSEGV => segfault(first).await,
                signal => send(first, signal),
            }
        });
        let seen = began.elapsed();
        let ProcessError::Exited { exit, .. } = cause(&reason) else { panic!("{reason:?}") };
        assert_eq!(*exit, ProcessExit::Signal(signal as i32));
        assert!(seen < GENEROUS, "{seen:?}");
        assert!(!is_there(first), "it is reaped before it is told");
        streaming(&streamer).await;
        assert_ne!(pid(&streamer), first);
        let again = viewer.wait_for(|stats| stats.connected_anew == 1 && stats.video.frames > 10);
        in_time(again).await.expect("it sees pictures again");
        eprintln!("{signal}: seen after {seen:?}, pictures at the viewer again after {:?}", began.elapsed());
        assert_eq!(streamer.peers().len(), 1);
        in_time(async { while frames.recv().await.is_some_and(|_| streamer.stats().video_frames < 30) {} })
            .await;
        viewer.close().await;
        assert_eq!(in_time(handle.closed()).await, LeaveReason::Left);
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
    assert_eq!(children(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_panics_or_exits_is_told_with_its_code_and_last_words_and_a_loop_of_it_ends() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    for (fault, exit) in [("panic", ProcessExit::Code(101)), ("exit", ProcessExit::Code(3))] {
        let mut config = quick();
        config.backoff = RestartBackoff::default();
        (config.backoff.first, config.backoff.breaker_failures) = (Duration::from_millis(50), 2);
        (config.backoff.breaker_pause, config.backoff.breaker_trips) = (Duration::from_millis(50), 1);
        let streamer = spawn(&live, "one", config, process(Some(fault))).await;
        let reason = ended(&streamer).await;
        let ProcessError::Exited { exit: told, log } = cause(&reason) else { panic!("{reason:?}") };
        assert_eq!(*told, exit, "{fault}: {log:?}");
        assert!(log.len() <= 20, "{log:?}");
        assert!(fault == "exit" || log.iter().any(|line| line.contains("as it was told to")), "{log:?}");
        assert_eq!(streamer.restarts(), 3, "two failures, the breaker, two failures");
        assert_eq!(children(), BTreeSet::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_stalled_then_killed_and_started_again() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    let streamer = spawned(&live, "one", process(None)).await;
    let (viewer, _handle) = watching(&streamer, &rtc).await;
    let (first, began) = (pid(&streamer), Instant::now());
    send(first, Signal::SIGSTOP);
    until(&streamer, |state| *state == State::Stalled).await;
    let stalled = began.elapsed();
    let reason = crashed(&streamer).await;
    assert!(matches!(cause(&reason), ProcessError::Silent { .. }), "{reason:?}");
    let killed = began.elapsed();
    streaming(&streamer).await;
    in_time(viewer.wait_for(|stats| stats.connected_anew == 1 && stats.video.frames > 10))
        .await
        .expect("it sees pictures again");
    eprintln!("stalled after {stalled:?}, killed after {killed:?}, seen again after {:?}", began.elapsed());
    assert!(!is_there(first));
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_for_a_moment_goes_on() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let mut config = process(None);
    config.silence_killed = Duration::from_secs(60);
    let streamer = spawned(&live, "one", config).await;
    let first = pid(&streamer);
    send(first, Signal::SIGSTOP);
    until(&streamer, |state| *state == State::Stalled).await;
    send(first, Signal::SIGCONT);
    until(&streamer, |state| *state == State::Streaming).await;
    assert_eq!(pid(&streamer), first);
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_on_the_socket_and_on_the_standard_streams_ends_nothing() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    for fault in ["garbage", "unknown", "long", "println"] {
        let streamer = spawned(&live, "one", process(Some(fault))).await;
        let first = pid(&streamer);
        let frames = streamer.subscribe();
        assert_eq!(pictures(&frames, 90).await.len(), 90, "{fault}");
        assert_eq!((pid(&streamer), streamer.restarts()), (first, 0), "{fault}");
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_slow_to_say_hello_is_waited_for_and_one_that_never_does_is_not() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let streamer = spawned(&live, "one", process(Some("slow_hello"))).await;
    streamer.shutdown(ExitPolicy::LeaveRunning).await;

    let mut config = process(Some("no_hello"));
    config.ready_timeout = Duration::from_secs(1);
    let streamer = spawn(&live, "one", quick(), config.clone()).await;
    let reason = ended(&streamer).await;
    assert!(matches!(cause(&reason), ProcessError::NotReady { .. }), "{reason:?}");
    // A program that knows nothing of this, and one that is not there.
    config.command = Some(ProcessCommand::new("/bin/false"));
    let streamer = spawn(&live, "one", quick(), config.clone()).await;
    let reason = ended(&streamer).await;
    assert!(matches!(cause(&reason), ProcessError::Exited { exit: ProcessExit::Code(1), .. }), "{reason:?}");
    config.command = Some(ProcessCommand::new("/nowhere/at/all"));
    let streamer = spawn(&live, "one", quick(), config).await;
    let reason = ended(&streamer).await;
    assert!(matches!(cause(&reason), ProcessError::Spawn { .. }), "{reason:?}");
    assert_eq!(children(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_takes_too_much_memory_or_hangs_is_killed_and_the_next_one_streams() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let folder = Folder::new("process");
    for fault in ["memory", "much_memory", "hang"] {
        let mut config = process_once(fault, &[("MMUX_FAULT_FRAMES", "30")], &folder.file(fault));
        config.limits.memory = Some(200_000_000);
        config.silence_killed = Duration::from_secs(5);
        let streamer = spawned(&live, "one", config).await;
        let first = pid(&streamer);
        let reason = crashed(&streamer).await;
        match cause(&reason) {
            ProcessError::OverMemory { resident, limit: 200_000_000, .. } if fault == "memory" => {
                assert!(*resident > 256_000_000, "{resident}");
            }
            // It was refused, and not looked at: nobody looks as quickly as this is asked for.
            ProcessError::OutOfMemory { limit: 200_000_000, .. } if fault == "much_memory" => {}
            ProcessError::Silent { .. } if fault == "hang" => {}
            _ => panic!("{fault}: {reason:?}"),
        }
        streaming(&streamer).await;
        assert!(!is_there(first) && streamer.pid().is_some_and(|pid| pid != first));
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_request_stops_nothing_and_a_second_create_finds_the_name_taken() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let registry = Registry::new();
    let source = live.source("one", small()).await;
    let id = "one".parse().expect("an id");
    let create = async {
        let streamer = registry.create_process("one".parse().expect("an id"), source, quick(), process(None));
        streamer.expect("a free name").wait_streaming().await
    };
    // The client is gone before the process says anything.
    drop(timeout(Duration::from_millis(1), create).await);
    let streamer = registry.get(&id).expect("it is there");
    streaming(&streamer).await;
    let again = live.source("one", small()).await;
    assert!(registry.create_process("one".parse().expect("an id"), again, quick(), process(None)).is_err());
    for _ in 0..400 {
        assert!(registry.get(&id).is_some_and(|found| found.is_same(&streamer)));
    }
    let first = pid(&streamer);
    let next = live.source("one", small()).await;
    let next = registry
        .replace_process("one".parse().expect("an id"), next, quick(), process(None))
        .expect("it replaces");
    streaming(&next).await;
    assert!(!is_there(first) && pid(&next) != first);
    registry.shutdown().await;
    assert_eq!(children(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_at_one_host_at_once_are_all_served_each_with_a_port_of_the_range() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    // Who takes turns at a host is known there, not by each identity.
    let (hosts, id) = (Hosts::in_memory(), HostId(0));
    hosts.declare(id, live.host.address(), HostOptions::default()).expect("in memory");
    let mut config = process(None);
    config.udp_ports = Some(40_210..=40_219);
    let mut streamers = Vec::new();
    for name in ["one", "two", "three"] {
        let identity = name.parse().expect("a name");
        let pairing = hosts.begin_pairing(id, &identity).await.expect("a PIN");
        live.host.enter_pin(pairing.pin().digits());
        in_time(pairing.outcome()).await.expect("the PIN is right");
        let source = in_time(hosts.source(id, &identity, small())).await.expect("a host that is known");
        streamers.push((name, source));
    }
    let spawn = |(name, source): (&str, MoonlightSource)| {
        Streamer::spawn_process(name.parse().expect("an id"), source, quick(), config.clone())
    };
    let streamers: Vec<_> = streamers.into_iter().map(spawn).collect();
    for streamer in &streamers {
        streaming(streamer).await;
    }
    let pids: BTreeSet<u32> = streamers.iter().map(pid).collect();
    assert_eq!((pids.len(), children()), (3, pids));
    join_all(streamers.iter().map(|streamer| streamer.shutdown(ExitPolicy::Quit))).await;
    assert_eq!(children(), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_noticed_by_nobody_but_its_own_viewers() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    let ids = ["zero", "one", "two", "three", "four", "five"];
    let mut streamers = Vec::new();
    for id in ids {
        streamers.push(spawned(&live, id, process(None)).await);
    }
    let viewers = join_all(streamers.iter().map(|streamer| watching(streamer, &rtc))).await;
    let machine = support::machine::Machine::watch();
    let before: Vec<_> = viewers.iter().map(|(viewer, _)| viewer.stats().video.frames).collect();
    let pids: Vec<_> = streamers.iter().map(pid).collect();
    segfault(pids[0]).await;
    in_time(viewers[0].0.wait_for(|stats| stats.connected_anew == 1 && stats.video.frames > 30))
        .await
        .expect("it sees pictures again");
    for (index, (viewer, _)) in viewers.iter().enumerate().skip(1) {
        let stats = in_time(viewer.wait_for(|stats| stats.video.frames > before[index] + 60)).await;
        let stats = stats.expect("it goes on");
        assert_eq!((stats.connected_anew, pid(&streamers[index])), (0, pids[index]));
        support::assert_intact(&stats);
        eprintln!("viewer {index}: {:?}", stats.video);
        if machine.kept_up() {
            assert_eq!(stats.video.lost, 0, "{stats:?}");
        }
    }
    join_all(streamers.iter().map(|streamer| streamer.shutdown(ExitPolicy::LeaveRunning))).await;
}

/// Makes this test's process a server that is killed; see below.
const PARENT: &str = "MMUX_TEST_PARENT";

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_is_killed_its_processes_end_within_two_seconds_stopped_ones_too() {
    if env::var_os(PARENT).is_some() {
        let live = Live::start(host(Manner::Sunshine)).await;
        let streamer = spawned(&live, "one", process(None)).await;
        println!("\nstreams {}", pid(&streamer));
        return std::future::pending().await;
    }
    let _alone = ALONE.lock().await;
    for is_stopped in [false, true] {
        let test = "when_the_server_is_killed_its_processes_end_within_two_seconds_stopped_ones_too";
        let mut server = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", test, "--nocapture"])
            .env(PARENT, "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = std::io::BufReader::new(server.stdout.take().expect("piped"));
        let streams = tokio::task::spawn_blocking(move || {
            let mut lines = output.lines().map_while(Result::ok);
            lines.find_map(|line| line.strip_prefix("streams ").and_then(|pid| pid.parse().ok()))
        });
        let child: u32 = in_time(streams).await.expect("no panic").expect("it streams");
        assert!(is_there(child));
        if is_stopped {
            stop(child).await;
        }
        server.kill().expect("it is ours");
        server.wait().expect("it is ours");
        let took = gone(child).await;
        eprintln!("the process is gone {took:?} after its server (stopped: {is_stopped})");
        assert!(took < GENEROUS, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_runtime_is_dropped_its_processes_end_with_it() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let source = live.source("one", small()).await;
    let dropped = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (child, _streamer) = runtime.block_on(async {
            let streamer =
                Streamer::spawn_process("one".parse().expect("an id"), source, quick(), process(None));
            streaming(&streamer).await;
            (pid(&streamer), streamer)
        });
        drop(runtime);
        child
    });
    let child = in_time(dropped).await.expect("no panic");
    let took = gone(child).await;
    assert!(took < GENEROUS, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_and_deletes_leave_nothing() {
    let _alone = ALONE.lock().await;
    let creates: usize = env::var("CREATES").map_or(20, |value| value.parse().expect("a number"));
    let live = Live::start(host(Manner::Sunshine)).await;
    live.client("one").await;
    let registry = Registry::new();
    // The host's log of 262,144 events fills up meanwhile.
    let warm_up = 60;
    let (mut before, mut size, mut began) = (held(), memory(), Instant::now());
    for n in 0..warm_up + creates {
        if n == warm_up {
            settle_down().await;
            (before, size, began) = (held(), memory(), Instant::now());
            eprintln!("warm: {before:?}, {size}");
        }
        let source = live.source("one", small()).await;
        let id = format!("n{n}").parse().expect("an id");
        let streamer = registry.create_process(id, source, quick(), process(None)).expect("a free name");
        streaming(&streamer).await;
        let child = pid(&streamer);
        if n > warm_up && (n - warm_up) % (creates / 5).max(1) == 0 {
            eprintln!("{} creates: {:?}, {}", n - warm_up, held(), memory());
        }
        assert!(registry.remove(streamer.id(), ExitPolicy::LeaveRunning).await);
        assert!(!is_there(child));
        // One picture at a time is encoded: what an encoder had is not given back to the system.
        in_time(live.host.wait_for_counts(|counts| counts.sessions == 0)).await;
    }
    let took = began.elapsed();
    settle(before).await;
    let after = memory();
    eprintln!("{creates} creates and deletes in {took:?}: {:?}, {size} before, {after} after", held());
    assert_eq!(children(), BTreeSet::new(), "no process is left, and no zombie");
    assert!(after.heap < size.heap + 1_000_000, "{size} before, {after} after");
    assert!(after.resident < size.resident + 12_000_000, "{size} before, {after} after");
}

/// Until what was closed is gone and the threads for blocking work, too.
async fn settle_down() {
    let mut last = held();
    in_time(async {
        loop {
            sleep(Duration::from_secs(11)).await;
            let now = held();
            if std::mem::replace(&mut last, now) == now {
                return;
            }
        }
    })
    .await;
}
