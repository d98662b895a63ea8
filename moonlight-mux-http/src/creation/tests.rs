#![expect(clippy::disallowed_methods, reason = "the clock is paused: it is the test's own")]

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
use crate::kept::tests::{Scratch, kept};

/// Streams, fails or goes on connecting, as the test says and when it says so.
#[derive(Clone)]
struct Scripted(watch::Receiver<Verdict>);

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    None,
    Streams,
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
            Verdict::Streams => {}
            Verdict::EndsByHost => return Ok(Ended::ByHost),
            Verdict::FailsForGood => {
                return Err(SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake));
            }
            _ => return Err(SourceError::retryable(NoAnswer).in_stage(Stage::RtspHandshake)),
        }
        io.connected();
        let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
        io.info(StreamInfo { video, audio: None });
        io.video(VideoFrame {
            number: FrameNumber(0),
            timestamp: VideoTimestamp(0),
            keyframe: true,
            host_latency: None,
            data: Bytes::from_static(b"picture"),
        });
        while io.command().await.is_some() {}
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
fn start(
    creation: &Creation,
    name: &str,
    source: Scripted,
    app_id: u32,
    on_conflict: OnConflict,
) -> Result<Made, Problem> {
    creation.start(recipe(name, source, app_id), InputMode::Shared, None, on_conflict)
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
            start(&creation, "desk", source, n, OnConflict::Refuse).map(|_| n)
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
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
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
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
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
        let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
        let problem = creation.until_verdict(&streamer).await.unwrap_err();
        assert!(matches!(problem, Problem::Failure(_)), "{problem:?}");
        assert!(creation.registry.get(&id("desk")).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_leaves_the_stream_running() {
    let creation = creation();
    let (script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
    let dropped = time::timeout(Duration::from_secs(1), creation.until_verdict(&streamer)).await;
    assert!(dropped.is_err(), "it was waiting");
    drop(streamer);
    script.send_replace(Verdict::Streams);
    let streamer = creation.registry.get(&id("desk")).expect("it is the registry's");
    streamer.wait_streaming().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_streamer_that_is_deleted_while_it_starts_was_stopped() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
    let (verdict, removed) = tokio::join!(
        creation.until_verdict(&streamer),
        creation.registry.remove(streamer.id(), ExitPolicy::LeaveRunning)
    );
    assert_eq!((verdict, removed), (Err(Problem::StreamerStopped), true));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_says_so_to_those_who_wait() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::None);
    let streamer = start(&creation, "desk", source, 1, OnConflict::Refuse).unwrap();
    let (verdict, ()) = tokio::join!(creation.until_verdict(&streamer), creation.registry.shutdown());
    assert_eq!(verdict, Err(Problem::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn the_one_that_fails_does_not_take_its_successor_with_it() {
    let creation = creation();
    let (_script, fails) = scripted(Verdict::Fails);
    let failed = start(&creation, "desk", fails, 1, OnConflict::Refuse).unwrap();
    failed.wait_streaming().await.unwrap_err();
    // The failed one is there, but is in nobody's way.
    let (_script, streams) = scripted(Verdict::Streams);
    let streamer = start(&creation, "desk", streams, 2, OnConflict::Refuse).unwrap();
    creation.until_verdict(&failed).await.unwrap_err();
    assert!(creation.registry.get(&id("desk")).unwrap().is_same(&streamer));
}

#[tokio::test(start_paused = true)]
async fn one_is_replaced_when_that_is_asked() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Streams);
    let first = start(&creation, "desk", source.clone(), 1, OnConflict::Replace).unwrap();
    first.wait_streaming().await.unwrap();
    let refused = start(&creation, "desk", source.clone(), 2, OnConflict::Refuse);
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(1))));

    let second = start(&creation, "desk", source.clone(), 2, OnConflict::Replace).unwrap();
    assert_eq!(creation.until_verdict(&second).await, Ok(()));
    assert_eq!(first.state(), State::Ended(EndReason::Stopped));
    let refused = start(&creation, "desk", source, 3, OnConflict::Refuse);
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(Some(target(2))));
}

#[tokio::test(start_paused = true)]
async fn a_streamer_that_was_not_created_here_has_no_target() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Streams);
    start(&creation, "desk", source.clone(), 1, OnConflict::Refuse).unwrap();
    creation.registry.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    creation.registry.create(id("desk"), source.clone(), StreamerConfig::default()).unwrap();
    let refused = start(&creation, "desk", source, 2, OnConflict::Refuse);
    assert_eq!(refused.unwrap_err(), Problem::StreamerExists(None));
}

#[tokio::test(start_paused = true)]
async fn there_are_so_many_streamers_and_no_more() {
    let creation = creation();
    let start = |name: &str, verdict| {
        let (script, source) = scripted(verdict);
        script.send_replace(verdict);
        // The script's end is of no interest to a source that has its verdict.
        self::start(&creation, name, source, 1, OnConflict::Replace)
    };
    let failed = start("a", Verdict::Fails).unwrap();
    failed.wait_streaming().await.unwrap_err();
    for name in ["b", "c", "d"] {
        start(name, Verdict::Streams).unwrap().wait_streaming().await.unwrap();
    }
    let names: Vec<_> = creation.registry.list().iter().map(|s| s.id().to_string()).collect();
    assert_eq!(names, ["b", "c", "d"], "the failed one gave its place");
    let limit = start("e", Verdict::Streams).unwrap_err();
    assert_eq!(limit, Problem::Limit { what: "streamers", max: 3 });
    start("d", Verdict::Streams).expect("in its own place");
    creation.registry.shutdown().await;
    assert_eq!(start("d", Verdict::Streams).unwrap_err(), Problem::ShuttingDown);
}

/// With a place to keep streamers.
fn keeping(scratch: &Scratch) -> Creation {
    Creation::new(Registry::new(), 3, Some(scratch.open()))
}

fn start_persistent(creation: &Creation, name: &str, source: Scripted) -> Made {
    let kept = kept(name, InputMode::Shared);
    creation.start(recipe(name, source, 1), InputMode::Shared, Some(kept), OnConflict::Refuse).unwrap()
}

/// What a server that is started now would find.
fn on_disk(scratch: &Scratch) -> Vec<String> {
    let text = std::fs::read_to_string(scratch.file()).unwrap_or_else(|_| "{\"streamers\":[]}".to_owned());
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let streamers = document["streamers"].as_array().unwrap().iter();
    streamers.map(|kept| kept["request"]["streamer_id"].as_str().unwrap().to_owned()).collect()
}

/// The same, and when it was made.
fn timed(recipe: Recipe) -> (Recipe, Arc<Mutex<Vec<u64>>>) {
    let (start, times) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let (make, noted) = (recipe.make.clone(), times.clone());
    let make = move |registry: &Registry, config: StreamerConfig, on_conflict: OnConflict| {
        noted.lock().unwrap().push(start.elapsed().as_secs());
        make(registry, config, on_conflict)
    };
    (Recipe { make: Arc::new(make), ..recipe }, times)
}

#[tokio::test(start_paused = true)]
async fn a_persistent_streamer_is_on_the_disk_until_it_is_deleted() {
    let scratch = Scratch::new("until-deleted");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let other = start(&creation, "other", source.clone(), 1, OnConflict::Refuse).unwrap();
    creation.until_kept(&other).await.unwrap();
    assert!(!scratch.file().exists(), "nothing changed");
    let desk = start_persistent(&creation, "desk", source);
    creation.until_kept(&desk).await.unwrap();
    assert_eq!(on_disk(&scratch), ["desk"]);
    creation.until_verdict(&desk).await.unwrap();
    assert!(creation.is_persistent(&desk) && !creation.is_persistent(&other));

    assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(true));
    assert_eq!(desk.state(), State::Ended(EndReason::Stopped));
    assert!(on_disk(&scratch).is_empty());
    assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_fails_is_not_kept_either() {
    let scratch = Scratch::new("fails-first");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Fails);
    let (recipe, times) = timed(recipe("desk", source, 1));
    let kept = kept("desk", InputMode::Shared);
    let made = creation.start(recipe, InputMode::Shared, Some(kept), OnConflict::Refuse).unwrap();
    creation.until_kept(&made).await.unwrap();
    creation.until_verdict(&made).await.unwrap_err();
    drop(made);
    assert!(on_disk(&scratch).is_empty() && creation.registry.list().is_empty());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(*times.lock().unwrap(), [0], "nobody tries it again");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_restored_is_tried_again_until_it_runs() {
    let scratch = Scratch::new("restored");
    let creation = keeping(&scratch);
    let mode = InputMode::ViewOnly;
    let ticket = creation.kept().unwrap().insert(id("desk"), kept("desk", mode));
    let (script, source) = scripted(Verdict::Fails);
    let (recipe, times) = timed(recipe("desk", source, 1));
    creation.restore(recipe, mode, ticket);
    let listed = || creation.registry.get(&id("desk")).expect("it is always there");
    sleep(Duration::from_secs(1)).await;
    assert_eq!((status(&listed()), creation.is_tried_again(&listed())), (Status::Failed, true));
    sleep(Duration::from_secs(200)).await;
    assert_eq!(*times.lock().unwrap(), [0, 2, 6, 14, 30, 62, 122, 182]);
    script.send_replace(Verdict::Streams);
    // The next one is after 242 s. Its only picture is good for 2 s.
    sleep(Duration::from_secs(42)).await;
    assert_eq!((status(&listed()), listed().input_mode()), (Status::Active, mode));
    assert!(!creation.is_tried_again(&listed()) && creation.is_persistent(&listed()));
}

#[tokio::test(start_paused = true)]
async fn one_whose_creator_went_away_is_tried_again_too() {
    let scratch = Scratch::new("unheard");
    let creation = keeping(&scratch);
    let (script, source) = scripted(Verdict::Fails);
    drop(start_persistent(&creation, "desk", source));
    sleep(Duration::from_secs(1)).await;
    script.send_replace(Verdict::Streams);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&creation.registry.get(&id("desk")).unwrap()), Status::Active);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_tried_again_is_in_the_way_until_it_is_replaced_or_deleted() {
    let scratch = Scratch::new("in-the-way");
    let creation = keeping(&scratch);
    let (_script, fails) = scripted(Verdict::Fails);
    let (_script, streams) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", fails.clone());
    creation.until_kept(&desk).await.unwrap();
    desk.wait_streaming().await.unwrap_err();
    drop(desk);
    let refused = start(&creation, "desk", streams.clone(), 2, OnConflict::Refuse).unwrap_err();
    assert_eq!(refused, Problem::StreamerExists(Some(target(1))));
    let replaced = start(&creation, "desk", streams.clone(), 2, OnConflict::Replace).unwrap();
    creation.until_kept(&replaced).await.unwrap();
    assert!(on_disk(&scratch).is_empty(), "its successor is not persistent");
    sleep(Duration::from_secs(600)).await;
    assert!(creation.registry.get(&id("desk")).unwrap().is_same(&replaced));

    drop(start_persistent(&creation, "other", fails));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(creation.remove(&id("other"), ExitPolicy::LeaveRunning).await, Ok(true));
    sleep(Duration::from_secs(600)).await;
    assert!(creation.registry.get(&id("other")).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_the_host_ended_stays_so_and_is_in_nobodys_way() {
    let scratch = Scratch::new("by-host");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::EndsByHost);
    let desk = start_persistent(&creation, "desk", source);
    creation.until_kept(&desk).await.unwrap();
    let streamer = desk.streamer.clone();
    drop(desk);
    sleep(Duration::from_secs(600)).await;
    assert!(creation.registry.get(&id("desk")).unwrap().is_same(&streamer));
    assert_eq!((status(&streamer), on_disk(&scratch)), (Status::Stopped, vec!["desk".to_owned()]));
    let (_script, streams) = scripted(Verdict::Streams);
    start(&creation, "desk", streams, 2, OnConflict::Refuse).unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_tried_again_keeps_its_place() {
    let scratch = Scratch::new("place");
    let creation = keeping(&scratch);
    let (_script, fails) = scripted(Verdict::Fails);
    for name in ["a", "b", "c"] {
        let made = start_persistent(&creation, name, fails.clone());
        made.wait_streaming().await.unwrap_err();
    }
    let limit = start(&creation, "d", fails, 1, OnConflict::Refuse).unwrap_err();
    assert_eq!(limit, Problem::Limit { what: "streamers", max: 3 });
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_made_nor_deleted() {
    let scratch = Scratch::new("unwritten");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source.clone());
    creation.until_kept(&desk).await.unwrap();
    creation.until_verdict(&desk).await.unwrap();
    // Where the temporary file would be.
    std::fs::create_dir(scratch.file().with_extension("new")).unwrap();
    let other = start_persistent(&creation, "other", source);
    assert_eq!(creation.until_kept(&other).await, Err(Problem::StateNotKept));
    assert!(creation.registry.get(&id("other")).is_none());
    // A create asks first: what runs would be lost otherwise.
    assert_eq!(creation.can_keep(&id("desk"), false).await, Err(Problem::StateNotKept));
    assert_eq!(creation.can_keep(&id("third"), true).await, Err(Problem::StateNotKept));
    assert_eq!(creation.can_keep(&id("third"), false).await, Ok(()), "it has nothing to keep");
    let removed = creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    assert_eq!((removed, status(&desk)), (Err(Problem::StateNotKept), Status::Active));
    assert!(creation.is_persistent(&desk));
    std::fs::remove_dir(scratch.file().with_extension("new")).unwrap();
    creation.kept().unwrap().write().await.unwrap();
    assert_eq!(on_disk(&scratch), ["desk"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_deleted_is_tried_again_still() {
    let scratch = Scratch::new("undeleted");
    let creation = keeping(&scratch);
    let (script, source) = scripted(Verdict::Fails);
    drop(start_persistent(&creation, "desk", source));
    std::fs::create_dir(scratch.file().with_extension("new")).unwrap();
    let removed = creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    assert_eq!(removed, Err(Problem::StateNotKept));
    script.send_replace(Verdict::Streams);
    sleep(Duration::from_secs(120)).await;
    let desk = creation.registry.get(&id("desk")).expect("it was not deleted");
    assert!(desk.stats().video_frames > 0, "{:?}", desk.state());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_goes_on_when_nobody_waits_for_it() {
    let scratch = Scratch::new("deleted-unheard");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source);
    creation.until_kept(&desk).await.unwrap();
    assert!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).now_or_never().is_none());
    assert_eq!(end_of(&desk.streamer).await, State::Ended(EndReason::Stopped));
    assert!(on_disk(&scratch).is_empty() && creation.registry.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_without_a_streamer_can_be_deleted() {
    let scratch = Scratch::new("no-streamer");
    let creation = keeping(&scratch);
    creation.kept().unwrap().insert(id("desk"), kept("desk", InputMode::Shared));
    assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(true));
    assert!(on_disk(&scratch).is_empty() && !creation.kept().unwrap().contains(&id("desk")));
    assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_tried_again_by_the_minute() {
    let scratch = Scratch::new("for-good");
    let creation = keeping(&scratch);
    let ticket = creation.kept().unwrap().insert(id("desk"), kept("desk", InputMode::Shared));
    let (_script, source) = scripted(Verdict::FailsForGood);
    let (recipe, times) = timed(recipe("desk", source, 1));
    creation.restore(recipe, InputMode::Shared, ticket);
    sleep(Duration::from_secs(130)).await;
    assert_eq!(*times.lock().unwrap(), [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_forgets_nothing() {
    let scratch = Scratch::new("shutdown");
    let creation = keeping(&scratch);
    let (_script, fails) = scripted(Verdict::Fails);
    drop(start_persistent(&creation, "failed", fails));
    let (_script, waits) = scripted(Verdict::None);
    let starting = start_persistent(&creation, "starting", waits);
    creation.until_kept(&starting).await.unwrap();
    let (verdict, ()) = tokio::join!(creation.until_verdict(&starting), creation.registry.shutdown());
    assert_eq!(verdict, Err(Problem::ShuttingDown));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(on_disk(&scratch), ["failed", "starting"]);
}

#[tokio::test(start_paused = true)]
async fn another_input_mode_is_kept() {
    let scratch = Scratch::new("input-mode");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source.clone());
    let other = start(&creation, "other", source, 1, OnConflict::Refuse).unwrap();
    for streamer in [&desk, &other] {
        creation.note_input_mode(streamer, InputMode::ViewOnly);
        creation.until_noted(streamer).await.unwrap();
    }
    let text = std::fs::read_to_string(scratch.file()).unwrap();
    assert!(text.contains("\"input_mode\": \"view_only\""), "{text}");
    assert_eq!(on_disk(&scratch), ["desk"]);
}
