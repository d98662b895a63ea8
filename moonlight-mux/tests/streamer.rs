//! The Streamer's promises, with a scripted source and scripted viewers on a clock that the tests own.

#![expect(clippy::disallowed_methods, reason = "the clock is paused: it is the test's own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    AddPeerError, Command, CreateError, Egress, EndReason, Ended, ExitPolicy, FrameNumber, LeaveReason,
    Media, PeerConfig, Registry, RestartPolicy, Silent, SourceError, SourceIo, SourceStats, Stage, State,
    StreamInfo, Streamer, StreamerConfig, VideoCodec, VideoFrame, VideoInfo, VideoSource, VideoTimestamp,
    ViewerIo,
};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};

/// What the test tells its source to do.
enum Step {
    Info,
    Frame { number: u64, keyframe: bool },
    Stage(Stage),
    Connected,
    Datagrams(u64),
    End(Result<Ended, SourceError>),
    Panic,
}

struct Scripted {
    steps: Mutex<mpsc::Receiver<Step>>,
    keyframes: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
    quit: Arc<AtomicUsize>,
    runs: Arc<AtomicUsize>,
    deaf: bool,
}

struct Script {
    steps: mpsc::Sender<Step>,
    keyframes: Arc<AtomicUsize>,
    /// How often it was told to stop.
    stopped: Arc<AtomicUsize>,
    /// How often it was told to end the app.
    quit: Arc<AtomicUsize>,
    /// How often it was run.
    runs: Arc<AtomicUsize>,
}

fn scripted() -> (Scripted, Script) {
    let (tx, rx) = mpsc::channel(1000);
    let [keyframes, stopped, quit, runs] = std::array::from_fn(|_| Arc::<AtomicUsize>::default());
    let source = Scripted {
        steps: Mutex::new(rx),
        keyframes: keyframes.clone(),
        stopped: stopped.clone(),
        quit: quit.clone(),
        runs: runs.clone(),
        deaf: false,
    };
    (source, Script { steps: tx, keyframes, stopped, quit, runs })
}

#[async_trait]
impl VideoSource for Scripted {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut steps = self.steps.try_lock().expect("one run at a time");
        self.runs.fetch_add(1, SeqCst);
        loop {
            tokio::select! {
                step = steps.recv() => match step {
                    Some(Step::Info) => io.info(StreamInfo {
                        video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 },
                        audio: None,
                    }),
                    Some(Step::Frame { number, keyframe }) => io.video(VideoFrame {
                        number: FrameNumber(number),
                        timestamp: VideoTimestamp(number * 1500),
                        keyframe,
                        host_latency: None,
                        data: Bytes::from_static(b"picture"),
                    }),
                    Some(Step::Stage(stage)) => io.stage_starting(stage),
                    Some(Step::Connected) => io.connected(),
                    Some(Step::Datagrams(datagrams)) => {
                        let mut stats = SourceStats::default();
                        stats.datagrams = datagrams;
                        io.statistics(stats);
                    }
                    Some(Step::End(result)) => return result,
                    Some(Step::Panic) => panic!("the script says so"),
                    None => std::future::pending().await,
                },
                command = io.command(), if !self.deaf => match command {
                    Some(Command::Keyframe) => { self.keyframes.fetch_add(1, SeqCst); }
                    Some(Command::Quit) => { self.quit.fetch_add(1, SeqCst); }
                    Some(_) => {}
                    None => {
                        self.stopped.fetch_add(1, SeqCst);
                        return Ok(Ended::Stopped);
                    }
                },
            }
        }
    }
}

impl Script {
    async fn step(&self, step: Step) {
        self.steps.send(step).await.expect("the source runs");
    }

    async fn frame(&self, number: u64, keyframe: bool) {
        self.step(Step::Frame { number, keyframe }).await;
    }
}

/// A viewer that reports what it gets and leaves when it is asked to.
struct Watcher {
    got: mpsc::Sender<Media>,
}

#[async_trait]
impl Egress for Watcher {
    async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        viewer.start_media();
        loop {
            tokio::select! {
                biased;
                Some(media) = viewer.media() => drop(self.got.try_send(media)),
                reason = viewer.leaving() => return reason,
            }
        }
    }
}

fn watcher() -> (Watcher, mpsc::Receiver<Media>) {
    let (got, watched) = mpsc::channel(1000);
    (Watcher { got }, watched)
}

/// A viewer that does not leave.
struct Clinging;

#[async_trait]
impl Egress for Clinging {
    async fn run(self: Box<Self>, _viewer: ViewerIo) -> LeaveReason {
        std::future::pending().await
    }
}

struct Panicking;

#[async_trait]
impl Egress for Panicking {
    async fn run(self: Box<Self>, _viewer: ViewerIo) -> LeaveReason {
        panic!("the test says so")
    }
}

fn id(text: &str) -> moonlight_mux::StreamerId {
    text.parse().expect("a valid id")
}

fn start() -> (Streamer, Script) {
    start_with(RestartPolicy::default())
}

fn start_with(restart: RestartPolicy) -> (Streamer, Script) {
    let (source, script) = scripted();
    let mut config = StreamerConfig::default();
    config.restart = restart;
    (Streamer::start(id("test"), source, config), script)
}

/// A failure that may pass.
fn lost() -> Result<Ended, SourceError> {
    Err(SourceError::retryable(std::io::Error::other("the host is gone")))
}

/// The restart in a row that the streamer is at.
fn attempt(streamer: &Streamer) -> Option<u32> {
    match streamer.state() {
        State::Reconnecting { attempt, .. } => Some(attempt),
        _ => None,
    }
}

fn numbers(watched: &mut mpsc::Receiver<Media>) -> Vec<u64> {
    std::iter::from_fn(|| watched.try_recv().ok())
        .filter_map(|media| if let Media::Video(frame) = media { Some(frame.number.0) } else { None })
        .collect()
}

/// Lets every other task run until all of them wait.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn it_streams_with_nobody_watching() {
    let (streamer, script) = start();
    assert_eq!(streamer.state(), State::Starting);
    script.step(Step::Stage(Stage::RtspHandshake)).await;
    settle().await;
    assert_eq!(streamer.state(), State::Connecting(Stage::RtspHandshake));
    script.step(Step::Info).await;
    for n in 0..600 {
        script.frame(n, n == 0).await;
        sleep(Duration::from_millis(16)).await;
    }
    streamer.wait_streaming().await.expect("frames flow");
    assert_eq!(streamer.stats().video_frames, 600);
    assert_eq!(streamer.stats().bits_per_second / 8, 63 * 7, "a second has 62.5 frames of 7 bytes");
    assert_eq!(streamer.info().map(|info| info.video.width), Some(1280));
    assert_eq!(script.keyframes.load(SeqCst), 0, "nobody asks for keyframes that nobody needs");
}

#[tokio::test(start_paused = true)]
async fn twenty_joins_in_a_second_cost_two_keyframes_and_each_starts_with_one() {
    let (streamer, script) = start();
    script.frame(0, true).await;
    settle().await;
    let mut viewers = Vec::new();
    let mut asked = 0;
    for n in 1..=20 {
        let (egress, watched) = watcher();
        let handle = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
        viewers.push((handle, watched));
        sleep(Duration::from_millis(45)).await;
        let keyframe = script.keyframes.load(SeqCst) > asked;
        asked += usize::from(keyframe);
        script.frame(n, keyframe).await;
    }
    assert_eq!(asked, 2);
    sleep(Duration::from_millis(500)).await;
    script.frame(21, true).await;
    script.frame(22, false).await;
    settle().await;
    for (_, watched) in &mut viewers {
        let got = numbers(watched);
        assert!(got.ends_with(&[21, 22]));
        assert!(got[0] == 1 || got[0] == 21 || got[0] == 12, "starts at a keyframe: {got:?}");
        assert!(got.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    }
    assert_eq!(streamer.peers().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_viewers_handle_asks_it_to_leave_and_nobody_else_notices() {
    let (streamer, script) = start();
    let (stays, mut watched) = watcher();
    let (leaves, _) = watcher();
    let stays = streamer.add_peer(stays, PeerConfig::default()).expect("it takes viewers");
    let leaves = streamer.add_peer(leaves, PeerConfig::default()).expect("it takes viewers");
    script.frame(0, true).await;
    settle().await;
    assert_eq!(streamer.peers().len(), 2);
    drop(leaves);
    settle().await;
    assert_eq!(streamer.peers().iter().map(|peer| peer.id).collect::<Vec<_>>(), [stays.id()]);
    script.frame(1, false).await;
    settle().await;
    assert_eq!(numbers(&mut watched), [0, 1]);
    stays.leave(LeaveReason::Kicked);
    stays.leave(LeaveReason::TooSlow);
    assert_eq!(stays.closed().await, LeaveReason::Kicked, "the first reason counts");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_clings_is_dropped_after_five_seconds() {
    let (streamer, _script) = start();
    let handle = streamer.add_peer(Clinging, PeerConfig::default()).expect("it takes viewers");
    settle().await;
    let before = Instant::now();
    handle.leave(LeaveReason::Kicked);
    assert_eq!(handle.closed().await, LeaveReason::Kicked);
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_panics_costs_itself() {
    let (streamer, script) = start();
    let (egress, mut watched) = watcher();
    let _stays = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    let panics = streamer.add_peer(Panicking, PeerConfig::default()).expect("it takes viewers");
    assert_eq!(panics.closed().await, LeaveReason::Internal);
    script.frame(0, true).await;
    settle().await;
    assert_eq!(numbers(&mut watched), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_full_streamer_says_so() {
    let (source, _script) = scripted();
    let mut config = StreamerConfig::default();
    config.max_peers = 1;
    let streamer = Streamer::start(id("small"), source, config);
    let (first, second) = (watcher(), watcher());
    let _first = streamer.add_peer(first.0, PeerConfig::default()).expect("it takes viewers");
    let second = streamer.add_peer(second.0, PeerConfig::default()).expect("the answer comes by its handle");
    assert_eq!(second.closed().await, LeaveReason::StreamerFull);
    assert_eq!(streamer.peers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutdown_tells_everybody_and_leaves_nothing() {
    let (streamer, script) = start();
    let (egress, _watched) = watcher();
    let viewer = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    script.frame(0, true).await;
    settle().await;
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    assert_eq!(viewer.closed().await, LeaveReason::StreamerDeleted);
    assert_eq!(script.stopped.load(SeqCst), 1);
    assert_eq!(streamer.state(), State::Ended(EndReason::Stopped));
    assert!(streamer.peers().is_empty());
    let (egress, _watched) = watcher();
    assert_eq!(streamer.add_peer(egress, PeerConfig::default()).err(), Some(AddPeerError::Ended));
    timeout(Duration::from_secs(1), streamer.shutdown(ExitPolicy::Quit)).await.expect("again: no effect");
}

#[tokio::test(start_paused = true)]
async fn a_deaf_source_is_dropped_after_two_seconds_and_twelve_if_it_may_ask_its_host() {
    for (policy, seconds) in [(ExitPolicy::LeaveRunning, 2), (ExitPolicy::Quit, 12)] {
        let (mut source, script) = scripted();
        source.deaf = true;
        let streamer = Streamer::start(id("deaf"), source, StreamerConfig::default());
        script.frame(0, true).await;
        streamer.wait_streaming().await.expect("frames flow");
        let before = Instant::now();
        streamer.shutdown(policy).await;
        assert_eq!(before.elapsed().as_secs(), seconds);
        assert!(script.steps.is_closed(), "the source is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_source_and_dropping_another_does_not() {
    let (streamer, script) = start();
    drop(streamer.clone());
    script.frame(0, true).await;
    streamer.wait_streaming().await.expect("still there");
    drop(streamer);
    settle().await;
    assert_eq!(script.stopped.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_ends_its_viewers_with_the_reason_in_the_state() {
    let (streamer, script) = start();
    let (egress, mut watched) = watcher();
    let viewer = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    settle().await;
    script.frame(0, true).await;
    let error = SourceError::permanent(std::io::Error::other("gone")).in_stage(Stage::RtspHandshake);
    script.step(Step::End(Err(error))).await;
    assert_eq!(viewer.closed().await, LeaveReason::StreamEnded);
    assert_eq!(numbers(&mut watched), [0], "what came before the end is delivered");
    let State::Ended(EndReason::Failed(error)) = streamer.state() else { panic!("{:?}", streamer.state()) };
    assert_eq!(error.to_string(), "RTSP handshake: gone");
    assert_eq!(streamer.wait_streaming().await, Err(EndReason::Failed(error)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_its_stream_only() {
    let (streamer, script) = start();
    script.step(Step::Panic).await;
    assert_eq!(streamer.wait_streaming().await, Err(EndReason::SourcePanicked));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_source_is_asked_once_and_then_called_stalled() {
    let (streamer, script) = start();
    script.frame(0, true).await;
    streamer.wait_streaming().await.expect("frames flow");
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(script.keyframes.load(SeqCst), 1);
    assert_eq!(streamer.state(), State::Streaming);
    sleep(Duration::from_millis(1000)).await;
    assert_eq!(streamer.state(), State::Stalled);
    script.frame(1, true).await;
    settle().await;
    assert_eq!(streamer.state(), State::Streaming);
}

#[tokio::test(start_paused = true)]
async fn who_waits_from_the_start_costs_no_keyframe() {
    let (streamer, script) = start();
    let (egress, mut watched) = watcher();
    let _viewer = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    sleep(Duration::from_secs(5)).await;
    script.frame(0, true).await;
    settle().await;
    assert_eq!(numbers(&mut watched), [0]);
    assert_eq!(script.keyframes.load(SeqCst), 0, "a run begins with a keyframe by itself");
}

#[tokio::test(start_paused = true)]
async fn five_viewers_stay_while_the_source_is_run_again_and_their_time_goes_on() {
    let (streamer, script) = start();
    let mut viewers: Vec<_> = (0..5)
        .map(|_| {
            let (egress, watched) = watcher();
            (streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers"), watched)
        })
        .collect();
    settle().await;
    script.step(Step::Info).await;
    for n in 0..3 {
        script.frame(n, n == 0).await;
    }
    script.step(Step::End(lost())).await;
    settle().await;
    assert_eq!(attempt(&streamer), Some(1));
    assert!(streamer.info().is_some(), "who joins now can be answered");
    let (egress, mut late) = watcher();
    let _late = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers meanwhile");

    sleep(Duration::from_secs(1)).await;
    assert_eq!((script.runs.load(SeqCst), streamer.restarts()), (2, 1));
    assert_eq!(attempt(&streamer), Some(1), "until its first frame");
    // Sources count as they like.
    script.frame(50, true).await;
    script.frame(51, false).await;
    settle().await;
    assert_eq!(streamer.state(), State::Streaming);
    assert_eq!(streamer.peers().len(), 6);
    for (_, watched) in &mut viewers {
        let frames: Vec<_> = std::iter::from_fn(|| watched.try_recv().ok())
            .map(|media| match media {
                Media::Video(frame) => (frame.number.0, frame.timestamp.0),
                media => panic!("{media:?}"),
            })
            .collect();
        assert_eq!(frames.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(frames.windows(2).all(|pair| pair[0].1 < pair[1].1), "{frames:?}");
        let pause = frames[3].1 - frames[2].1;
        assert!((70_000..100_000).contains(&pause), "a pause of its real length, about a second: {pause}");
    }
    assert_eq!(numbers(&mut late), [3, 4]);
    assert_eq!(script.keyframes.load(SeqCst), 0, "a run begins with a keyframe by itself");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_at_the_breaker() {
    let (streamer, script) = start();
    let before = Instant::now();
    let crash = async {
        loop {
            if script.steps.send(Step::Frame { number: 0, keyframe: true }).await.is_err() {
                break;
            }
            let runs = script.runs.load(SeqCst);
            if script.steps.send(Step::End(lost())).await.is_err() {
                break;
            }
            while script.runs.load(SeqCst) == runs && !script.steps.is_closed() {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    crash.await;
    let State::Ended(EndReason::Failed(error)) = streamer.state() else { panic!("{:?}", streamer.state()) };
    assert_eq!(error.to_string(), "the host is gone");
    assert_eq!((script.runs.load(SeqCst), streamer.restarts()), (55, 54), "five failures, eleven times");
    let waited = before.elapsed().as_secs();
    assert!(
        (11 * 12 + 300..=11 * 16 + 300).contains(&waited),
        "{waited} s: 1, 2, 4, 8 and 30 s again and again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_fails_is_told_at_once_though_it_may_pass() {
    let (streamer, script) = start_with(RestartPolicy::Always);
    script.step(Step::Connected).await;
    script.step(Step::End(lost())).await;
    let Err(EndReason::Failed(error)) = streamer.wait_streaming().await else { panic!("it has failed") };
    assert!(!error.is_permanent());
    assert_eq!((script.runs.load(SeqCst), streamer.restarts()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_run_again_by_policy() {
    for (policy, again) in [(RestartPolicy::Never, false), (RestartPolicy::OnFailure, true)] {
        let (streamer, script) = start_with(policy);
        script.frame(0, true).await;
        script.step(Step::Panic).await;
        settle().await;
        let state = streamer.state();
        match again {
            true => assert!(
                matches!(state, State::Reconnecting { reason: EndReason::SourcePanicked, .. }),
                "{state:?}"
            ),
            false => assert_eq!(state, State::Ended(EndReason::SourcePanicked)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_host_ended_goes_on_only_if_it_always_shall() {
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure] {
        let (streamer, script) = start_with(policy);
        script.frame(0, true).await;
        script.step(Step::End(Ok(Ended::ByHost))).await;
        settle().await;
        assert_eq!(streamer.state(), State::Ended(EndReason::ByHost), "{policy:?}");
    }
    let (streamer, script) = start_with(RestartPolicy::Always);
    script.frame(0, true).await;
    script.step(Step::End(Ok(Ended::ByHost))).await;
    sleep(Duration::from_secs(1)).await;
    script.frame(0, true).await;
    settle().await;
    assert_eq!((streamer.state(), streamer.restarts()), (State::Streaming, 1));
    script.step(Step::End(Ok(Ended::Stopped))).await;
    settle().await;
    assert_eq!(
        streamer.state(),
        State::Ended(EndReason::Stopped),
        "a source that says that it was stopped was"
    );
}

#[tokio::test(start_paused = true)]
async fn a_streamer_that_waits_to_reconnect_stops_at_once() {
    let (streamer, script) = start();
    let (egress, _watched) = watcher();
    let viewer = streamer.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    script.frame(0, true).await;
    script.step(Step::End(lost())).await;
    settle().await;
    assert_eq!(attempt(&streamer), Some(1));
    let before = Instant::now();
    streamer.shutdown(ExitPolicy::Quit).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(viewer.closed().await, LeaveReason::StreamerDeleted);
    assert_eq!(streamer.state(), State::Ended(EndReason::Stopped));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(script.runs.load(SeqCst), 1, "it is not run again");
    assert_eq!(script.quit.load(SeqCst), 0, "there is nobody who could end the app");
}

#[tokio::test(start_paused = true)]
async fn a_running_source_is_told_to_end_the_app() {
    let (streamer, script) = start();
    script.frame(0, true).await;
    settle().await;
    streamer.shutdown(ExitPolicy::Quit).await;
    assert_eq!((script.quit.load(SeqCst), script.stopped.load(SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_stops_it_first_says_what_becomes_of_the_app() {
    for (first, second, quit) in
        [(ExitPolicy::Quit, ExitPolicy::LeaveRunning, 1), (ExitPolicy::LeaveRunning, ExitPolicy::Quit, 0)]
    {
        let (streamer, script) = start();
        script.frame(0, true).await;
        settle().await;
        tokio::join!(biased; streamer.shutdown(first), streamer.shutdown(second));
        assert_eq!((script.quit.load(SeqCst), script.stopped.load(SeqCst)), (quit, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_source_is_stopped_and_run_again() {
    for deaf in [false, true] {
        let (mut source, script) = scripted();
        source.deaf = deaf;
        let streamer = Streamer::start(id("frozen"), source, StreamerConfig::default());
        script.frame(0, true).await;
        settle().await;
        sleep(Duration::from_secs(12)).await;
        if deaf {
            assert_eq!(streamer.state(), State::Stalled, "it does not let go");
            sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(attempt(&streamer), Some(1));
        assert_eq!(script.stopped.load(SeqCst), usize::from(!deaf));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(script.runs.load(SeqCst), 2);
        script.frame(0, true).await;
        settle().await;
        assert_eq!(streamer.state(), State::Streaming);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_sends_no_picture_fails_after_thirty_seconds_and_what_came_is_told() {
    let (streamer, script) = start();
    sleep(Duration::from_secs(100)).await;
    script.step(Step::Connected).await;
    script.step(Step::Datagrams(17)).await;
    let before = Instant::now();
    let Err(EndReason::Failed(error)) = streamer.wait_streaming().await else { panic!("it has failed") };
    assert_eq!(before.elapsed().as_secs(), 30);
    let silent = Silent::NoFirstFrame { waited: Duration::from_secs(30), datagrams: 17 };
    assert_eq!(error.cause().downcast_ref(), Some(&silent));
    assert_eq!(script.stopped.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_sources_counters_are_those_of_its_last_run() {
    let (streamer, script) = start();
    assert_eq!(streamer.source_stats(), SourceStats::default());
    script.step(Step::Datagrams(5)).await;
    script.step(Step::Datagrams(9)).await;
    script.frame(0, true).await;
    settle().await;
    assert_eq!(streamer.source_stats().datagrams, 9);
    script.step(Step::End(lost())).await;
    settle().await;
    assert_eq!(streamer.source_stats().datagrams, 9, "they can be read when it is over");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(streamer.source_stats().datagrams, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_when_its_streamer_has_ended_and_only_that_one_is_removed() {
    let registry = Registry::new();
    let (source, script) = scripted();
    let first = registry.create(id("same"), source, StreamerConfig::default()).expect("the name is free");
    script.step(Step::End(lost())).await;
    first.wait_streaming().await.expect_err("it has failed");
    assert!(registry.get(&id("same")).is_some_and(|entry| entry.is_same(&first)), "its reason can be read");

    let (source, _script) = scripted();
    let second = registry.create(id("same"), source, StreamerConfig::default()).expect("the name is free");
    assert!(!second.is_same(&first));
    assert!(!registry.remove_if_same(&first, ExitPolicy::LeaveRunning).await, "it is another one's name now");
    assert_eq!(second.state(), State::Starting);
    assert!(registry.remove_if_same(&second, ExitPolicy::LeaveRunning).await);
    assert!(registry.get(&id("same")).is_none());
    assert_eq!(second.state(), State::Ended(EndReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn of_many_creates_with_one_name_one_succeeds() {
    let registry = Registry::new();
    let results: Vec<_> =
        (0..64).map(|_| registry.create(id("same"), scripted().0, StreamerConfig::default())).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().skip(1).all(|result| matches!(result, Err(CreateError::Exists { .. }))));
    assert!((0..400).all(|_| registry.get(&id("same")).is_some()));

    let (source, script) = scripted();
    registry.create(id("other"), source, StreamerConfig::default()).expect("the name is free");
    assert_eq!(registry.list().iter().map(|s| s.id().to_string()).collect::<Vec<_>>(), ["other", "same"]);
    assert!(registry.remove(&id("other"), ExitPolicy::LeaveRunning).await);
    assert_eq!(script.stopped.load(SeqCst), 1);
    assert!(!registry.remove(&id("other"), ExitPolicy::LeaveRunning).await);

    let (egress, _watched) = watcher();
    let same = registry.get(&id("same")).expect("it is there");
    let viewer = same.add_peer(egress, PeerConfig::default()).expect("it takes viewers");
    registry.shutdown().await;
    assert_eq!(viewer.closed().await, LeaveReason::ServerShutdown);
    let late = registry.create(id("late"), scripted().0, StreamerConfig::default());
    assert_eq!(late.err(), Some(CreateError::ShutDown));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_streamer_has_stopped_before_its_successor_begins() {
    let registry = Registry::new();
    let (mut clinging, _first_script) = scripted();
    clinging.deaf = true;
    let first = registry.replace(id("desk"), clinging, StreamerConfig::default()).expect("the name is free");
    settle().await;

    let start = Instant::now();
    let (source, script) = scripted();
    let second =
        registry.replace(id("desk"), source, StreamerConfig::default()).expect("the first gives way");
    assert!(registry.get(&id("desk")).expect("it has the name").is_same(&second));
    script.step(Step::Info).await;
    script.frame(0, true).await;
    second.wait_streaming().await.expect("frames flow");
    assert_eq!(first.state(), State::Ended(EndReason::Stopped));
    assert_eq!(start.elapsed().as_secs(), 2, "a deaf source is dropped then");

    registry.shutdown().await;
    let late = registry.replace(id("desk"), scripted().0, StreamerConfig::default());
    assert_eq!(late.err(), Some(CreateError::ShutDown));
}

/// A source for a process, which says when it is asked, and is none.
#[cfg(unix)]
struct Asked(tokio::sync::mpsc::UnboundedSender<Instant>);

#[cfg(unix)]
#[async_trait]
impl moonlight_mux::SpawnableSource for Asked {
    async fn moonlight(&self) -> Result<moonlight_mux::MoonlightSource, SourceError> {
        self.0.send(Instant::now()).expect("the test listens");
        Err(SourceError::permanent(std::fmt::Error))
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn who_replaces_a_streamer_that_waits_for_another_waits_for_that_too() {
    let registry = Registry::new();
    let (mut clinging, _first_script) = scripted();
    clinging.deaf = true;
    registry.replace(id("desk"), clinging, StreamerConfig::default()).expect("the name is free");
    settle().await;

    let start = Instant::now();
    let (asked, mut when) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..3 {
        let (source, config) = (Asked(asked.clone()), StreamerConfig::default());
        registry.replace_process(id("desk"), source, config, Default::default()).expect("it gives way");
        settle().await;
    }
    let when = when.recv().await.expect("the last is asked");
    assert_eq!((when - start).as_secs(), 2, "a deaf source is dropped then");
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_while_it_waits_for_another_is_gone_when_that_is() {
    for shuts_down in [false, true] {
        let registry = Registry::new();
        let (mut clinging, _first_script) = scripted();
        clinging.deaf = true;
        let first =
            registry.create(id("desk"), clinging, StreamerConfig::default()).expect("the name is free");
        settle().await;

        let start = Instant::now();
        for _ in 0..2 {
            registry.replace(id("desk"), scripted().0, StreamerConfig::default()).expect("it gives way");
            settle().await;
        }
        if shuts_down {
            registry.shutdown().await;
        } else {
            assert!(registry.remove(&id("desk"), ExitPolicy::LeaveRunning).await);
        }
        let took = start.elapsed();
        assert_eq!(took.as_secs(), 2, "a deaf source is dropped then");
        first.shutdown(ExitPolicy::LeaveRunning).await;
        assert_eq!(start.elapsed(), took, "nothing was left of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_streamer_ends_though_nobody_waits_for_it() {
    let registry = Registry::new();
    let first =
        registry.create(id("desk"), scripted().0, StreamerConfig::default()).expect("the name is free");
    registry.replace(id("desk"), scripted().0, StreamerConfig::default()).expect("it gives way");
    // Before the one that has replaced it does anything, and given up at once.
    drop(timeout(Duration::ZERO, registry.remove(&id("desk"), ExitPolicy::LeaveRunning)).await);
    let mut state = first.watch_state();
    let ended = state.wait_for(|state| *state == State::Ended(EndReason::Stopped));
    timeout(Duration::from_secs(5), ended).await.expect("it was told to").expect("the last state stays");
}

#[test]
fn ids_are_checked() {
    assert!("a.B_9-".parse::<moonlight_mux::StreamerId>().is_ok());
    assert!("a".repeat(128).parse::<moonlight_mux::StreamerId>().is_ok());
    for bad in ["", "a b", "ä", "a/b", "a\n", &"a".repeat(129)] {
        assert!(bad.parse::<moonlight_mux::StreamerId>().is_err(), "{bad:?}");
    }
}
