//! Streamers that have ended, made once more.

use super::super::keeper::end_of;
use super::persistent::{keeping, on_disk, start_persistent};
use super::*;
use crate::kept::tests::{Scratch, kept};

fn listed(creation: &Creation) -> Streamer {
    creation.desk.registry.get(&id("desk")).expect("it is there")
}

#[tokio::test(start_paused = true)]
async fn one_that_has_ended_is_made_as_it_was_and_one_that_fails_again_stays_listed() {
    let creation = creation();
    for end in [Verdict::Fails, Verdict::EndsByHost] {
        let (script, source) = scripted(end);
        let first = start(&creation, "desk", source, 7, OnConflict::Replace).await.unwrap().streamer;
        end_of(&first).await;
        first.set_input_mode(InputMode::ViewOnly);

        let again = creation.restart(&first).unwrap();
        assert!(matches!(creation.verdict(&again).await, Err(Problem::Failure(_))));
        assert!(listed(&creation).is_same(&again) && !again.is_same(&first));

        script.send_replace(Verdict::Streams);
        let runs = creation.restart(&again).unwrap();
        assert_eq!(creation.verdict(&runs).await, Ok(()));
        assert_eq!((status(&runs), runs.input_mode()), (Status::Active, InputMode::ViewOnly));
        assert_eq!(creation.restart(&runs).unwrap_err(), Problem::StreamerExists(Some(target(7))));
        assert_eq!(creation.restart(&first).unwrap_err(), Problem::NotRestartable, "it is no more");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_not_created_here_is_not_made_again() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Fails);
    let other = creation.desk.registry.create(id("desk"), source, StreamerConfig::default()).unwrap();
    end_of(&other).await;
    assert_eq!(creation.restart(&other).unwrap_err(), Problem::NotRestartable);
    assert!(listed(&creation).is_same(&other));
}

#[tokio::test(start_paused = true)]
async fn a_persistent_one_is_tried_at_once_and_goes_on_as_before() {
    let scratch = Scratch::new("restart");
    let creation = keeping(&scratch);
    let (script, source) = scripted(Verdict::Fails);
    let (recipe, times) = timed(recipe("desk", source, 1));
    let keep = Some(kept("desk", InputMode::Shared));
    let made = creation.create(recipe, InputMode::Shared, keep, OnConflict::Refuse).await.unwrap();
    end_of(&made.streamer).await;
    drop(made);
    // Tried at 0, 2, 6, and else at 14.
    sleep(Duration::from_secs(7)).await;
    let failed = creation.restart(&listed(&creation)).unwrap();
    creation.verdict(&failed).await.unwrap_err();
    assert!(creation.is_persistent(&failed));
    // Each is tried by one keeper alone.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(*times.lock().unwrap(), [0, 2, 6, 7, 9, 13]);
    script.send_replace(Verdict::Streams);
    let runs = creation.restart(&listed(&creation)).unwrap();
    assert_eq!(creation.verdict(&runs).await, Ok(()));
    assert_eq!(on_disk(&scratch), ["desk"]);
    assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(true));
    assert!(on_disk(&scratch).is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_restarted_while_it_is_deleted_is_there_or_gone_here_and_on_the_disk() {
    let scratch = Scratch::new("restart-deleted");
    let creation = keeping(&scratch);
    let (_script, source) = scripted(Verdict::EndsByHost);
    let first = start_persistent(&creation, "desk", source).await.streamer.clone();
    end_of(&first).await;
    let desk = id("desk");
    let mut removing = Box::pin(creation.remove(&desk, ExitPolicy::LeaveRunning));
    assert!(removing.as_mut().now_or_never().is_none());
    // The disk may be written by now or not: the removal decides when it is.
    let restarted = creation.restart(&first).is_ok();
    let removed = removing.await.unwrap();
    assert_eq!(removed, !restarted);
    assert_eq!(on_disk(&scratch).is_empty(), removed);
    assert_eq!(creation.kept().unwrap().contains(&id("desk")), restarted);
    assert_eq!(creation.desk.registry.get(&id("desk")).is_some(), restarted);
}
