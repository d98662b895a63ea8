//! The supervisor and its viewers, with processes that the test plays, on a clock of the test's own.

mod play;
mod viewers;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use play::{Host, Page, reaches, seconds, silent};

use super::*;
use crate::input::{InputMode, Rights};
use crate::media::VideoCodec;
use crate::peer::PeerConfig;
use crate::process::message::StateMessage;
use crate::process::{Limits, ProcessExit};
use crate::source::Stage;
use crate::streamer::RestartBackoff;

fn cause(reason: &EndReason) -> &ProcessError {
    match reason {
        EndReason::Failed(error) => error.cause().downcast_ref().expect("a process's error"),
        reason => panic!("{reason:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_is_told_what_to_be_and_streams_without_viewers() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    assert!(matches!(process.told().await, ToChild::Hello { version: 1, .. }));
    assert!(silent(&mut process).await, "secrets are for whom says hello");
    process.hello(1);
    let ToChild::Init(init) = process.told().await else { panic!() };
    assert_eq!(init.streamer_id.as_str(), "desk");
    assert_eq!(streamer.pid(), Some(process.pid));
    process.say(FromChild::Ready { udp: 1, tcp: None });
    assert!(matches!(process.told().await, ToChild::StartMoonlight));
    process.say(FromChild::State { state: StateMessage::Connected });
    reaches(&streamer, |state| *state == State::Connected).await;
    process.say(FromChild::State { state: StateMessage::Streaming });
    streamer.wait_streaming().await.unwrap();

    let stopping = streamer.shutdown(ExitPolicy::LeaveRunning);
    let obeying = async {
        let ToChild::Stop { quit: false, reason } = process.told().await else { panic!() };
        assert_eq!(reason, LeaveReason::StreamerDeleted);
        process.say(FromChild::Stopped { reason: EndReason::Stopped });
        process.exit(ProcessExit::Code(0));
    };
    tokio::join!(stopping, obeying);
    assert_eq!((streamer.state(), streamer.pid()), (State::Ended(EndReason::Stopped), None));
    assert!(!process.was_killed());
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_a_start_step_by_step_once_each_before_any_viewer() {
    let log = play::Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    let _capturing = tracing::subscriber::set_default(subscriber);
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    process.ready().await;
    for stage in [Stage::ServerInfo, Stage::Launch] {
        process.say(FromChild::StageStarting { stage });
        process.say(FromChild::StageComplete { stage });
    }
    process.say(FromChild::MoonlightConnected);
    let (width, height, codec, fps) = (1920, 1080, VideoCodec::H264, 60);
    process.say(FromChild::ConnectionComplete { width, height, codec, fps });
    process.say(FromChild::FirstPicture { keyframe: true, bytes: 7 });
    process.say(FromChild::State { state: StateMessage::Streaming });
    streamer.wait_streaming().await.unwrap();
    process.exit(ProcessExit::Signal(11));
    reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;

    let lines = log.lines();
    let expected = [
        " INFO streamer{id=desk}: create called",
        " INFO streamer{id=desk}: process spawned pid=1000",
        " INFO streamer{id=desk}: IPC channels created",
        " INFO streamer{id=desk}: Init sent",
        " INFO streamer{id=desk}: StartMoonlight sent (headless mode)",
        " INFO streamer{id=desk}: stage starting stage=server info",
        " INFO streamer{id=desk}: stage complete stage=server info",
        " INFO streamer{id=desk}: stage starting stage=launch",
        " INFO streamer{id=desk}: stage complete stage=launch",
        " INFO streamer{id=desk}: Moonlight connected: stream is live headless",
        " INFO streamer{id=desk}: connection complete width=1920 height=1080 codec=\"H.264\" fps=60",
        " INFO streamer{id=desk}: first frame keyframe=true bytes=7",
        "ERROR streamer{id=desk}: the streamer's process is gone error=the streamer's process ended with signal 11 pid=1000 exit=signal 11",
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert!(lines[expected.len()].starts_with(" WARN streamer{id=desk}: reconnecting"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_fails_ends_the_streamer_with_the_status_and_the_last_words() {
    for exit in [ProcessExit::Signal(11), ProcessExit::Code(101)] {
        let mut host = Host::new();
        let streamer = host.spawn("desk", |_, _| {});
        let mut process = host.process().await;
        process.ready().await;
        process.exit(exit);
        let reason = streamer.wait_streaming().await.unwrap_err();
        let ProcessError::Exited { exit: told, log } = cause(&reason) else { panic!("{reason:?}") };
        assert_eq!((*told, log[..].concat()), (exit, "last words".to_owned()));
        assert_eq!((streamer.pid(), streamer.restarts()), (None, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_process_says_of_its_end_is_the_streamers_end() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    // The last words are heard though the process has ended already.
    process.say(FromChild::Stopped { reason: EndReason::ByHost });
    process.exit(ProcessExit::Code(0));
    reaches(&streamer, |state| *state == State::Ended(EndReason::ByHost)).await;
    streamer.shutdown(ExitPolicy::Quit).await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_process_is_followed_by_another_when_nothing_is_left_of_it() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut first = host.process().await;
    first.stream().await;
    let counted = Stats { video_frames: 100, bytes: 5000, ..Stats::default() };
    let age = Some(Duration::from_millis(20));
    first.count(&Stats { bits_per_second: 1000, last_frame_age: age, ..counted.clone() }, 2);
    streamer.wait_streaming().await.unwrap();
    let crashed = task::now();
    first.exit(ProcessExit::Signal(11));
    let reconnecting = |state: &State| matches!(state, State::Reconnecting { attempt: 1, .. });
    let State::Reconnecting { reason, .. } = reaches(&streamer, reconnecting).await else { panic!() };
    assert!(matches!(cause(&reason), ProcessError::Exited { exit: ProcessExit::Signal(11), .. }));
    assert_eq!(streamer.pid(), None);
    assert_eq!((streamer.stats().bits_per_second, streamer.stats().last_frame_age), (0, age));

    let mut second = host.process().await;
    assert!(first.is_closed(), "nothing is left of the first");
    let waited = task::now() - crashed;
    assert!(Duration::from_millis(800) <= waited && waited <= seconds(1), "{waited:?}");
    second.ready().await;
    second.say(FromChild::State { state: StateMessage::Starting });
    second.count(&counted, 1);
    while streamer.stats().video_frames != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (streamer.stats().bytes, streamer.restarts()),
        (10_000, 4),
        "2 and 1 of sources, 1 of processes"
    );
    assert!(reconnecting(&streamer.state()));
    assert_eq!(
        streamer.stats().last_frame_age,
        age.map(|age| age + waited),
        "that of the first's last frame"
    );
    second.say(FromChild::State { state: StateMessage::Streaming });
    streamer.wait_streaming().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_process_is_stalled_and_then_killed() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    let heard = task::now();
    reaches(&streamer, |state| *state == State::Stalled).await;
    assert_eq!(task::now() - heard, seconds(3));
    let gone = reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    assert_eq!((task::now() - heard, process.was_killed()), (seconds(10), true));
    let State::Reconnecting { reason, .. } = gone else { panic!() };
    assert!(matches!(cause(&reason), ProcessError::Silent { .. }), "{reason:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_too_much_memory_is_killed_and_it_is_said() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, process| {
        process.limits = Limits { memory: Some(1000), ..Limits::default() };
    });
    let mut process = host.process().await;
    process.stream().await;
    process.resident.store(1000, Relaxed);
    streamer.wait_streaming().await.unwrap();
    task::at(Some(task::now() + seconds(2))).await;
    assert!(!process.was_killed());
    process.resident.store(1001, Relaxed);
    let gone = reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
    let State::Reconnecting { reason, .. } = gone else { panic!() };
    assert!(matches!(cause(&reason), ProcessError::OverMemory { resident: 1001, limit: 1000, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_get_memory_is_over_its_limit_if_it_has_one() {
    for memory in [Some(1000), None] {
        let mut host = Host::new();
        let streamer = host.spawn("desk", |_, process| process.limits.memory = memory);
        let mut process = host.process().await;
        process.stream().await;
        process.exit(ProcessExit::Signal(6));
        let gone = reaches(&streamer, |state| matches!(state, State::Reconnecting { .. })).await;
        let State::Reconnecting { reason, .. } = gone else { panic!() };
        match cause(&reason) {
            ProcessError::OutOfMemory { limit: 1000, .. } if memory.is_some() => {}
            ProcessError::Exited { exit: ProcessExit::Signal(6), .. } if memory.is_none() => {}
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_not_ready_is_killed_in_time_and_one_that_cannot_be_says_why() {
    let mut host = Host::new();
    let streamer = host.spawn("slow", |_, _| {});
    let (mut process, began) = (host.process().await, task::now());
    process.hello(1);
    let reason = streamer.wait_streaming().await.unwrap_err();
    assert!(matches!(cause(&reason), ProcessError::NotReady { .. }));
    assert_eq!((task::now() - began, process.was_killed()), (seconds(10), true));

    let streamer = host.spawn("refused", |_, _| {});
    let mut process = host.process().await;
    process.hello(1);
    process.say(FromChild::NotReady { error: "port 5 is somebody else's".to_owned() });
    process.exit(ProcessExit::Code(2));
    let reason = streamer.wait_streaming().await.unwrap_err();
    let ProcessError::NotReady { reason, .. } = cause(&reason) else { panic!("{reason:?}") };
    assert_eq!(reason, "port 5 is somebody else's");
}

#[tokio::test(start_paused = true)]
async fn a_process_of_another_version_learns_no_secrets_and_is_no_use_to_start_again() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    assert!(matches!(process.told().await, ToChild::Hello { .. }));
    process.hello(2);
    let reason = streamer.wait_streaming().await.unwrap_err();
    assert!(matches!(cause(&reason), ProcessError::Version { ours: 1, theirs: 2 }));
    assert!(matches!(&reason, EndReason::Failed(error) if error.is_permanent()));
    assert!(process.was_killed() && silent(&mut process).await);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_stop_is_killed_behind_its_grace() {
    for (policy, grace) in [(ExitPolicy::LeaveRunning, STOP_GRACE), (ExitPolicy::Quit, QUIT_GRACE)] {
        let mut host = Host::new();
        let streamer = host.spawn("desk", |_, _| {});
        let mut process = host.process().await;
        process.stream().await;
        streamer.wait_streaming().await.unwrap();
        let began = task::now();
        streamer.shutdown(policy).await;
        assert_eq!((task::now() - began, process.was_killed()), (grace, true));
        assert!(process.is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_stops_the_process_and_a_dropped_wait_does_not() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |_, _| {});
    let mut process = host.process().await;
    drop(tokio::time::timeout(seconds(1), streamer.wait_streaming()).await);
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    drop(streamer);
    assert!(matches!(process.told().await, ToChild::Stop { quit: false, .. }));
    process.exit(ProcessExit::Code(0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_in_the_breaker() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |config, _| {
        config.backoff =
            RestartBackoff { breaker_failures: 2, breaker_trips: 1, ..RestartBackoff::default() };
    });
    let mut process = host.process().await;
    process.stream().await;
    streamer.wait_streaming().await.unwrap();
    let mut processes = 1;
    loop {
        process.exit(ProcessExit::Signal(6));
        process = tokio::select! {
            process = host.process() => process,
            _ = reaches(&streamer, |state| matches!(state, State::Ended(_))) => break,
        };
        process.ready().await;
        processes += 1;
    }
    assert_eq!(processes, 4, "two failures, the breaker, two failures");
    assert_eq!(streamer.restarts(), 3);
}

#[tokio::test(start_paused = true)]
async fn rights_and_mode_reach_the_process_at_once_and_what_it_says_of_input_reaches_the_handle() {
    let mut host = Host::new();
    let streamer = host.spawn("desk", |config, _| config.input_mode = InputMode::ViewOnly);
    let mut process = host.process().await;
    assert!(matches!(process.told().await, ToChild::Hello { .. }));
    process.hello(1);
    let ToChild::Init(init) = process.told().await else { panic!() };
    assert_eq!(init.config.input_mode, InputMode::ViewOnly);
    // Between Init and Ready.
    streamer.set_input_mode(InputMode::Shared);
    process.say(FromChild::Ready { udp: 1, tcp: None });
    assert!(matches!(process.told().await, ToChild::StartMoonlight));
    let ToChild::SetInputMode { mode: InputMode::Shared } = process.told().await else { panic!() };
    let (egress, _page) = Page::new(true);
    let peer = streamer.add_peer(egress, PeerConfig { rights: Rights::NONE, ..Default::default() }).unwrap();
    let ToChild::AddPeer { peer_id, rights: Rights::NONE, .. } = process.told().await else { panic!() };
    let began = task::now();
    assert!(streamer.set_rights(peer_id, Rights::ALL));
    assert!(matches!(process.told().await, ToChild::SetRights { rights: Rights::ALL, .. }));
    assert_eq!(task::now(), began);

    let features = crate::InputFeatures::default();
    process.say(FromChild::Input { features: Some(features), turn: Some(peer_id), acting: vec![peer_id] });
    let mut peers = streamer.watch_peers();
    peers.wait_for(|peers| peers.iter().any(|peer| peer.acting)).await.unwrap();
    assert_eq!((streamer.input_features(), streamer.input_turn()), (Some(features), Some(peer.id())));
    process.exit(ProcessExit::Signal(9));
    peers.wait_for(|peers| peers.iter().all(|peer| !peer.acting)).await.unwrap();
    assert_eq!((streamer.input_features(), streamer.input_turn()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn launches_of_processes_at_one_host_take_turns_and_a_dead_one_keeps_it_as_long_as_the_host_may() {
    let mut host = Host::new();
    let _one = host.spawn("one", |_, _| {});
    let mut one = host.process().await;
    let _two = host.spawn("two", |_, _| {});
    let mut two = host.process().await;
    one.ready().await;
    two.ready().await;
    one.say(FromChild::LaunchWanted);
    assert!(matches!(one.told().await, ToChild::LaunchGranted));
    two.say(FromChild::LaunchWanted);
    assert!(silent(&mut two).await);
    one.say(FromChild::LaunchOver { pending_ms: 0 });
    assert!(matches!(two.told().await, ToChild::LaunchGranted));
    one.say(FromChild::LaunchWanted);
    assert!(silent(&mut one).await);
    let died = task::now();
    two.exit(ProcessExit::Signal(9));
    let mut granted = Box::pin(one.told_or_beating());
    assert!(matches!((&mut granted).await, ToChild::LaunchGranted));
    assert!(task::now() - died >= seconds(10), "{:?}", task::now() - died);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_or_fails_in_the_parent_ends_the_first_start() {
    let host = Host::new();
    let streamer = host.spawn_failing(None);
    assert_eq!(streamer.wait_streaming().await, Err(EndReason::SourcePanicked));
    let error = SourceError::permanent(std::fmt::Error);
    let streamer = host.spawn_failing(Some(error.clone()));
    assert_eq!(streamer.wait_streaming().await, Err(EndReason::Failed(error)));
}
