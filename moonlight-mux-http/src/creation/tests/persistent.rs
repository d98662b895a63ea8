//! Persistent ones: what is on the disk, and what is tried again.

use moonlight_mux::RestartPolicy;

use super::super::keeper::end_of;
use super::*;
use crate::kept::tests::{Scratch, kept};

/// With a place to keep streamers.
pub(super) fn keeping(scratch: &Scratch) -> Creation {
    Creation::new(Registry::new(), 3, Some(scratch.open()))
}

pub(super) async fn start_persistent(creation: &Creation, name: &str, source: Scripted) -> Made {
    let kept = kept(name, InputMode::Shared);
    let recipe = recipe(name, source, 1);
    creation.create(recipe, InputMode::Shared, Some(kept), OnConflict::Refuse).await.unwrap()
}

/// What a server that is started now would find.
pub(super) fn on_disk(scratch: &Scratch) -> Vec<String> {
    let text = std::fs::read_to_string(scratch.file()).unwrap_or_else(|_| "{\"streamers\":[]}".to_owned());
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let streamers = document["streamers"].as_array().unwrap().iter();
    streamers.map(|kept| kept["request"]["streamer_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_persistent_streamer_is_on_the_disk_until_it_is_deleted() {
    let scratch = Scratch::new("until-deleted");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let other = start(&creation, "other", source.clone(), 1, OnConflict::Refuse).await.unwrap();
    assert!(!scratch.file().exists(), "nothing changed");
    let desk = start_persistent(&creation, "desk", source).await;
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
    let made = creation.create(recipe, InputMode::Shared, Some(kept), OnConflict::Refuse).await.unwrap();
    creation.until_verdict(&made).await.unwrap_err();
    drop(made);
    assert!(on_disk(&scratch).is_empty() && creation.desk.registry.list().is_empty());
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
    let listed = || creation.desk.registry.get(&id("desk")).expect("it is always there");
    sleep(Duration::from_secs(1)).await;
    assert_eq!((status(&listed()), creation.desk.is_tried_again(&listed())), (Status::Failed, true));
    sleep(Duration::from_secs(200)).await;
    assert_eq!(*times.lock().unwrap(), [0, 2, 6, 14, 30, 62, 122, 182]);
    script.send_replace(Verdict::Streams);
    // The next one is after 242 s. Its only picture is good for 2 s.
    sleep(Duration::from_secs(42)).await;
    assert_eq!((status(&listed()), listed().input_mode()), (Status::Active, mode));
    assert!(!creation.desk.is_tried_again(&listed()) && creation.is_persistent(&listed()));
}

#[tokio::test(start_paused = true)]
async fn one_whose_creator_went_away_is_tried_again_too() {
    let scratch = Scratch::new("unheard");
    let creation = keeping(&scratch);
    let (script, source) = scripted(Verdict::Fails);
    drop(start_persistent(&creation, "desk", source).await);
    sleep(Duration::from_secs(1)).await;
    script.send_replace(Verdict::Streams);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&creation.desk.registry.get(&id("desk")).unwrap()), Status::Active);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_tried_again_is_in_the_way_until_it_is_replaced_or_deleted() {
    let scratch = Scratch::new("in-the-way");
    let creation = keeping(&scratch);
    let (_script, fails) = scripted(Verdict::Fails);
    let (_script, streams) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", fails.clone()).await;
    desk.wait_streaming().await.unwrap_err();
    drop(desk);
    let refused = start(&creation, "desk", streams.clone(), 2, OnConflict::Refuse).await.unwrap_err();
    assert_eq!(refused, Problem::StreamerExists(Some(target(1))));
    let replaced = start(&creation, "desk", streams.clone(), 2, OnConflict::Replace).await.unwrap();
    assert!(on_disk(&scratch).is_empty(), "its successor is not persistent");
    sleep(Duration::from_secs(600)).await;
    assert!(creation.desk.registry.get(&id("desk")).unwrap().is_same(&replaced));

    drop(start_persistent(&creation, "other", fails).await);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(creation.remove(&id("other"), ExitPolicy::LeaveRunning).await, Ok(true));
    sleep(Duration::from_secs(600)).await;
    assert!(creation.desk.registry.get(&id("other")).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_the_host_ended_stays_so_and_is_in_nobodys_way() {
    let scratch = Scratch::new("by-host");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::EndsByHost);
    let desk = start_persistent(&creation, "desk", source).await;
    let streamer = desk.streamer.clone();
    drop(desk);
    sleep(Duration::from_secs(600)).await;
    assert!(creation.desk.registry.get(&id("desk")).unwrap().is_same(&streamer));
    assert_eq!((status(&streamer), on_disk(&scratch)), (Status::Stopped, vec!["desk".to_owned()]));
    let (_script, streams) = scripted(Verdict::Streams);
    start(&creation, "desk", streams, 2, OnConflict::Refuse).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_tried_again_keeps_its_place() {
    let scratch = Scratch::new("place");
    let creation = keeping(&scratch);
    let (_script, fails) = scripted(Verdict::Fails);
    for name in ["a", "b", "c"] {
        let made = start_persistent(&creation, name, fails.clone()).await;
        made.wait_streaming().await.unwrap_err();
    }
    let limit = start(&creation, "d", fails, 1, OnConflict::Refuse).await.unwrap_err();
    assert_eq!(limit, Problem::Limit { what: "streamers", max: 3 });
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_made_nor_replaced_nor_deleted() {
    let scratch = Scratch::new("unwritten");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source.clone()).await;
    creation.until_verdict(&desk).await.unwrap();
    let disk = scratch.refuse();
    for (name, keep) in [("other", true), ("desk", true), ("desk", false)] {
        let keep = keep.then(|| kept(name, InputMode::ViewOnly));
        let recipe = recipe(name, source.clone(), 2);
        let made = creation.create(recipe, InputMode::Shared, keep, OnConflict::Replace).await;
        assert_eq!(made.unwrap_err(), Problem::StateNotKept);
    }
    assert!(creation.desk.registry.get(&id("other")).is_none());
    let third = start(&creation, "third", source, 1, OnConflict::Replace).await;
    third.expect("it has nothing to keep");
    let removed = creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    assert_eq!((removed, status(&desk)), (Err(Problem::StateNotKept), Status::Active));
    assert!(creation.is_persistent(&desk));
    drop(disk);
    creation.kept().unwrap().write().await.unwrap();
    assert_eq!(on_disk(&scratch), ["desk"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_is_on_the_disk_before_and_what_is_refused_then_is_not() {
    let scratch = Scratch::new("before");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let recipe = recipe("desk", source, 1);
    let (make, file) = (recipe.make.clone(), scratch.file());
    let refuses = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let refused = refuses.clone();
    let make = move |registry: &Registry, config: StreamerConfig, on_conflict: OnConflict| {
        assert!(std::fs::read_to_string(&file).unwrap().contains("desk"));
        if refused.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(CreateError::ShutDown);
        }
        make(registry, config, on_conflict)
    };
    let recipe = Recipe { make: Arc::new(make), ..recipe };
    let create = async || {
        let keep = Some(kept("desk", InputMode::Shared));
        creation.create(recipe.clone(), InputMode::Shared, keep, OnConflict::Replace).await
    };
    assert_eq!(create().await.unwrap_err(), Problem::ShuttingDown);
    assert!(on_disk(&scratch).is_empty() && !creation.kept().unwrap().contains(&id("desk")));
    refuses.store(false, std::sync::atomic::Ordering::Relaxed);
    create().await.unwrap();
    assert_eq!(on_disk(&scratch), ["desk"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_room_or_a_shutdown_is_not_written_before() {
    let scratch = Scratch::new("no-room");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    for name in ["a", "b", "c"] {
        start(&creation, name, source.clone(), 1, OnConflict::Refuse).await.unwrap();
    }
    // A write would be told of.
    let _disk = scratch.refuse();
    let create = async || {
        let keep = Some(kept("d", InputMode::Shared));
        let recipe = recipe("d", source.clone(), 1);
        creation.create(recipe, InputMode::Shared, keep, OnConflict::Refuse).await.unwrap_err()
    };
    assert_eq!(create().await, Problem::Limit { what: "streamers", max: 3 });
    creation.desk.registry.shutdown().await;
    assert_eq!(create().await, Problem::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_deleted_is_tried_again_still() {
    let scratch = Scratch::new("undeleted");
    let creation = keeping(&scratch);
    let (script, source) = scripted(Verdict::Fails);
    drop(start_persistent(&creation, "desk", source).await);
    let _disk = scratch.refuse();
    let removed = creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await;
    assert_eq!(removed, Err(Problem::StateNotKept));
    script.send_replace(Verdict::Streams);
    sleep(Duration::from_secs(120)).await;
    let desk = creation.desk.registry.get(&id("desk")).expect("it was not deleted");
    assert!(desk.stats().video_frames > 0, "{:?}", desk.state());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_goes_on_when_nobody_waits_for_it() {
    let scratch = Scratch::new("deleted-unheard");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source).await;
    assert!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).now_or_never().is_none());
    assert_eq!(end_of(&desk.streamer).await, State::Ended(EndReason::Stopped));
    assert!(on_disk(&scratch).is_empty() && creation.desk.registry.list().is_empty());
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
    drop(start_persistent(&creation, "failed", fails).await);
    let (_script, waits) = scripted(Verdict::None);
    let starting = start_persistent(&creation, "starting", waits).await;
    let (verdict, ()) = tokio::join!(creation.until_verdict(&starting), creation.desk.registry.shutdown());
    assert_eq!(verdict, Err(Problem::ShuttingDown));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(on_disk(&scratch), ["failed", "starting"]);
}

#[tokio::test(start_paused = true)]
async fn another_input_mode_is_kept() {
    let scratch = Scratch::new("input-mode");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::Streams);
    let desk = start_persistent(&creation, "desk", source.clone()).await;
    let other = start(&creation, "other", source, 1, OnConflict::Refuse).await.unwrap();
    for streamer in [&desk, &other] {
        creation.note_input_mode(streamer, InputMode::ViewOnly);
        creation.until_noted(streamer).await.unwrap();
    }
    let text = std::fs::read_to_string(scratch.file()).unwrap();
    assert!(text.contains("\"input_mode\": \"view_only\""), "{text}");
    assert_eq!(on_disk(&scratch), ["desk"]);
}

/// Without its own restarts: each failure is its end.
fn once(recipe: Recipe) -> Recipe {
    let make = recipe.make.clone();
    let make = move |registry: &Registry, mut config: StreamerConfig, on_conflict: OnConflict| {
        config.restart = RestartPolicy::Never;
        make(registry, config, on_conflict)
    };
    Recipe { make: Arc::new(make), ..recipe }
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_short_again_after_a_minute_with_pictures_and_not_before() {
    let scratch = Scratch::new("well");
    let creation = keeping(&scratch);
    let ticket = creation.kept().unwrap().insert(id("desk"), kept("desk", InputMode::Shared));
    let (script, source) = scripted(Verdict::Fails);
    let (recipe, times) = timed(once(recipe("desk", source, 1)));
    creation.restore(recipe, InputMode::Shared, ticket);
    // Tried at 0, 2, 6; from 14 on it plays.
    sleep(Duration::from_millis(10_500)).await;
    script.send_replace(Verdict::Plays);
    sleep(Duration::from_secs(50)).await;
    script.send_replace(Verdict::Fails);
    // At 60.5, after 46.5 s. The next try is 16 s later.
    sleep(Duration::from_secs(10)).await;
    script.send_replace(Verdict::Plays);
    sleep(Duration::from_secs(80)).await;
    script.send_replace(Verdict::Fails);
    // At 150.5, after 74 s.
    sleep(Duration::from_secs(8)).await;
    assert_eq!(*times.lock().unwrap(), [0, 2, 6, 14, 76, 152, 156]);
}
