#![expect(clippy::disallowed_methods, reason = "the clock is paused: it is the test's own")]

mod persistent;
mod restart;

use async_trait::async_trait;
use axum::body::Bytes;
use moonlight_mux::{
    Ended, FrameNumber, SourceError, SourceIo, Stage, StreamInfo, VideoCodec, VideoFrame, VideoInfo,
    VideoSource, VideoTimestamp,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::dto::{Status, StreamerInfo};
use crate::recipes::Target;

/// Streams, fails or goes on connecting, as the test says and when it says so.
#[derive(Clone)]
struct Scripted(watch::Receiver<Verdict>);

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    None,
    Streams,
    /// With a picture each second, until it shall do something else.
    Plays,
    Fails,
    FailsForGood,
    EndsByHost,
}

#[derive(Debug, thiserror::Error)]
#[error("the host does not answer")]
struct NoAnswer;

#[async_trait]
impl VideoSource for Scripted {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.stage_starting(Stage::RtspHandshake);
        let mut verdict = self.0.clone();
        let verdict = tokio::select! {
            verdict = verdict.wait_for(|verdict| *verdict != Verdict::None) => *verdict.expect("the test lives"),
            None = io.command() => return Ok(Ended::Stopped),
        };
        match verdict {
            Verdict::Streams | Verdict::Plays => {}
            Verdict::EndsByHost => return Ok(Ended::ByHost),
            Verdict::FailsForGood => {
                return Err(SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake));
            }
            _ => return Err(SourceError::retryable(NoAnswer).in_stage(Stage::RtspHandshake)),
        }
        io.connected();
        let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
        io.info(StreamInfo { video, audio: None });
        let picture = |number| VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(number * VideoTimestamp::HZ),
            keyframe: true,
            host_latency: None,
            data: Bytes::from_static(b"picture"),
        };
        io.video(picture(0));
        let (plays, mut changes) = (verdict == Verdict::Plays, self.0.clone());
        for number in 1.. {
            tokio::select! {
                () = sleep(Duration::from_secs(1)), if plays => io.video(picture(number)),
                _ = changes.wait_for(|verdict| *verdict != Verdict::Plays), if plays => {
                    return Err(SourceError::retryable(NoAnswer));
                }
                command = io.command() => if command.is_none() {
                    break;
                },
            }
        }
        Ok(Ended::Stopped)
    }
}

fn scripted(verdict: Verdict) -> (watch::Sender<Verdict>, Scripted) {
    let (sender, receiver) = watch::channel(verdict);
    (sender, Scripted(receiver))
}

fn target(app_id: u32) -> Target {
    Target {
        host_id: 0,
        app_id: Some(app_id),
        app: None,
        client_unique_id: "me".to_owned(),
        width: 1280,
        height: 720,
        fps: 60,
    }
}

fn id(text: &str) -> StreamerId {
    text.parse().unwrap()
}

fn creation() -> Creation {
    Creation::new(Registry::new(), 3, None)
}

fn recipe(name: &str, source: Scripted, app_id: u32) -> Recipe {
    let id = id(name);
    let make = move |registry: &Registry, config: StreamerConfig, on_conflict: OnConflict| match on_conflict {
        OnConflict::Refuse => registry.create(id.clone(), source.clone(), config),
        OnConflict::Replace => registry.replace(id.clone(), source.clone(), config),
    };
    Recipe { id: self::id(name), target: target(app_id), make: Arc::new(make) }
}

/// One that is not persistent.
async fn start(
    creation: &Creation,
    name: &str,
    source: Scripted,
    app_id: u32,
    on_conflict: OnConflict,
) -> Result<Made, Problem> {
    creation.create(recipe(name, source, app_id), InputMode::Shared, None, on_conflict).await
}

impl std::ops::Deref for Made {
    type Target = Streamer;

    fn deref(&self) -> &Streamer {
        &self.streamer
    }
}

fn status(streamer: &Streamer) -> Status {
    StreamerInfo::from(streamer).status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_creates_at_once_one_is_made_and_the_others_are_told_what_it_streams() {
    let creation = Arc::new(creation());
    let (_script, source) = scripted(Verdict::Streams);
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let mut creates = JoinSet::new();
    for n in 0..64 {
        let (creation, source, barrier) = (creation.clone(), source.clone(), barrier.clone());
        creates.spawn(async move {
            barrier.wait().await;
            start(&creation, "desk", source, n, OnConflict::Refuse).await.map(|_| n)
        });
    }
    let results = creates.join_all().await;
    let made: Vec<_> = results.iter().flatten().collect();
    let &[&made] = &made[..] else { panic!("{made:?}") };
    let refused = results.iter().filter(
        |result| matches!(result, Err(Problem::StreamerExists(Some(taken))) if *taken == target(made)),
    );
    assert_eq!(refused.count(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_runs_is_the_verdict() {
    let creation = creation();
    let (script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
    let start = Instant::now();
    let (verdict, ()) = tokio::join!(creation.until_verdict(&streamer), async {
        sleep(Duration::from_secs(3)).await;
        script.send_replace(Verdict::Streams);
    });
    assert_eq!(verdict, Ok(()));
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(status(&streamer), Status::Active);
}

#[tokio::test(start_paused = true)]
async fn after_25_seconds_it_is_starting_and_goes_on() {
    let creation = creation();
    let (script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
    let start = Instant::now();
    assert_eq!(creation.until_verdict(&streamer).await, Ok(()));
    assert_eq!(start.elapsed().as_secs(), 25);
    assert_eq!(status(&streamer), Status::Starting);
    script.send_replace(Verdict::Streams);
    streamer.wait_streaming().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_fails_leaves_no_entry() {
    let creation = creation();
    for verdict in [Verdict::Fails, Verdict::EndsByHost] {
        let (_script, source) = scripted(verdict);
        let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
        let problem = creation.until_verdict(&streamer).await.unwrap_err();
        assert!(matches!(problem, Problem::Failure(_)), "{problem:?}");
        assert!(creation.desk.registry.get(&id("desk")).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_leaves_the_stream_running() {
    let creation = creation();
    let (script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
    let dropped = time::timeout(Duration::from_secs(1), creation.until_verdict(&streamer)).await;
    assert!(dropped.is_err(), "it was waiting");
    drop(streamer);
    script.send_replace(Verdict::Streams);
    let streamer = creation.desk.registry.get(&id("desk")).expect("it is the registry's");
    streamer.wait_streaming().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_streamer_that_is_deleted_while_it_starts_was_stopped() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
    let (verdict, removed) = tokio::join!(
        creation.until_verdict(&streamer),
        creation.desk.registry.remove(streamer.id(), ExitPolicy::LeaveRunning)
    );
    assert_eq!((verdict, removed), (Err(Problem::StreamerStopped), true));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_says_so_to_those_who_wait() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap();
    let (verdict, ()) = tokio::join!(creation.until_verdict(&streamer), creation.desk.registry.shutdown());
    assert_eq!(verdict, Err(Problem::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn the_one_that_fails_does_not_take_its_successor_with_it() {
    let creation = creation();
    let (_script, fails) = scripted(Verdict::Fails);
    let failed = start(&creation, "desk", fails, 1, OnConflict::Refuse).await.unwrap();
    failed.wait_streaming().await.unwrap_err();
    // The failed one is there, but is in nobody's way.
    let (_script, streams) = scripted(Verdict::Streams);
    let streamer = start(&creation, "desk", streams, 2, OnConflict::Refuse).await.unwrap();
    creation.until_verdict(&failed).await.unwrap_err();
    assert!(creation.desk.registry.get(&id("desk")).unwrap().is_same(&streamer));
}

#[tokio::test(start_paused = true)]
async fn one_is_replaced_when_that_is_asked() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Streams);
    let first = start(&creation, "desk", source.clone(), 1, OnConflict::Replace).await.unwrap();
    first.wait_streaming().await.unwrap();
    let refused = start(&creation, "desk", source.clone(), 2, OnConflict::Refuse).await;
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(1))));

    let second = start(&creation, "desk", source.clone(), 2, OnConflict::Replace).await.unwrap();
    assert_eq!(creation.until_verdict(&second).await, Ok(()));
    assert_eq!(first.state(), State::Ended(EndReason::Stopped));
    let refused = start(&creation, "desk", source, 3, OnConflict::Refuse).await;
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(2))));
}

#[tokio::test(start_paused = true)]
async fn a_streamer_that_was_not_created_here_has_no_target() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Streams);
    start(&creation, "desk", source.clone(), 1, OnConflict::Refuse).await.unwrap();
    creation.desk.registry.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    creation.desk.registry.create(id("desk"), source.clone(), StreamerConfig::default()).unwrap();
    let refused = start(&creation, "desk", source, 2, OnConflict::Refuse).await;
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(None));
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_streamers_and_no_more() {
    let creation = creation();
    let start = async |name: &str, verdict| {
        // The script's end is of no interest to a source that has its verdict.
        let (_script, source) = scripted(verdict);
        self::start(&creation, name, source, 1, OnConflict::Replace).await
    };
    let failed = start("a", Verdict::Fails).await.unwrap();
    failed.wait_streaming().await.unwrap_err();
    for name in ["b", "c", "d"] {
        start(name, Verdict::Streams).await.unwrap().wait_streaming().await.unwrap();
    }
    let names: Vec<_> = creation.desk.registry.list().iter().map(|s| s.id().to_string()).collect();
    assert_eq!(names, ["b", "c", "d"], "the failed one gave its place");
    let limit = start("e", Verdict::Streams).await.unwrap_err();
    assert_eq!(limit, Problem::Limit { what: "streamers", max: 3 });
    start("d", Verdict::Streams).await.expect("in its own place");
    creation.desk.registry.shutdown().await;
    assert_eq!(start("d", Verdict::Streams).await.unwrap_err(), Problem::ShuttingDown);
}

/// The same recipe, and when it was followed.
fn timed(recipe: Recipe) -> (Recipe, Arc<Mutex<Vec<u64>>>) {
    let (start, times) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let (make, noted) = (recipe.make.clone(), times.clone());
    let make = move |registry: &Registry, config: StreamerConfig, on_conflict: OnConflict| {
        noted.lock().unwrap().push(start.elapsed().as_secs());
        make(registry, config, on_conflict)
    };
    (Recipe { make: Arc::new(make), ..recipe }, times)
}
