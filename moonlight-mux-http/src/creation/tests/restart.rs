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
        // Of two at once, the later one has a handle to what was there before.
        assert_eq!(creation.restart(&first).unwrap_err(), Problem::StreamerExists(Some(target(7))));
        assert_eq!(creation.remove(&id("desk"), ExitPolicy::LeaveRunning).await, Ok(true));
        for gone in [&runs, &first] {
            assert_eq!(creation.restart(gone).unwrap_err(), Problem::StreamerNotFound);
        }
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
async fn one_that_is_restarted_beside_its_deletion_is_gone_here_and_on_the_disk() {
    for (name, persistent) in [("deleted-kept", true), ("deleted", false)] {
        for restart_first in [true, false] {
            let scratch = Scratch::new(name);
            let creation = keeping(&scratch);
            let (_script, source) = scripted(Verdict::EndsByHost);
            let made = if persistent {
                start_persistent(&creation, "desk", source).await
            } else {
                start(&creation, "desk", source, 1, OnConflict::Refuse).await.unwrap()
            };
            let first = made.streamer.clone();
            end_of(&first).await;
            let desk = id("desk");
            let mut removing = Box::pin(creation.remove(&desk, ExitPolicy::LeaveRunning));
            // It is decided which one is deleted, and no more.
            assert!(removing.as_mut().now_or_never().is_none());
            if restart_first {
                let again = creation.restart(&first).unwrap();
                assert_eq!(creation.is_persistent(&again), persistent);
                assert_eq!(removing.await, Ok(true));
                assert!(matches!(again.state(), State::Ended(_)));
            } else {
                assert_eq!(removing.await, Ok(true));
                assert_eq!(creation.restart(&first).unwrap_err(), Problem::StreamerNotFound);
            }
            assert!(on_disk(&scratch).is_empty() && !creation.kept().unwrap().contains(&desk));
            assert!(creation.desk.registry.get(&desk).is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_recipe_of_one_that_was_replaced_does_not_take_its_replacements_place() {
    let creation = creation();
    let (_script, source) = scripted(Verdict::Streams);
    let first = start(&creation, "desk", source.clone(), 1, OnConflict::Refuse).await.unwrap();
    let second = start(&creation, "desk", source.clone(), 2, OnConflict::Replace).await.unwrap();
    let desk = &creation.desk;
    desk.recipes.insert(&desk.registry, &first, recipe("desk", source, 1));
    assert_eq!(desk.recipes.of(&second).expect("its own").target, target(2));
    assert!(desk.recipes.of(&first).is_none());
}
