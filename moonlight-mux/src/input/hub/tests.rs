//! Who waits for room, on a clock that the tests own.

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::input::{DeviceClass, HostInput, InputEvent, KeyCode, Modifiers};
use crate::task::Task;

/// A hub with a host, whose time is kept.
struct Hub {
    hub: InputHub,
    inputs: Inputs,
    _time: Task<()>,
}

impl Hub {
    fn new(mode: InputMode) -> Self {
        let hub = InputHub::new(mode);
        let inputs = hub.connect(InputFeatures::default());
        let kept = hub.clone();
        let _time = task::spawn(async move {
            loop {
                kept.keep_time().await;
            }
        });
        Self { hub, inputs, _time }
    }

    fn join(&self) -> Arc<ViewerInput> {
        Arc::new(self.hub.join(PeerId::random(), Rights::ALL))
    }

    /// All that waits for the host.
    fn all(&mut self) -> Vec<HostInput> {
        std::iter::from_fn(|| self.inputs.try_next()).collect()
    }
}

fn key(code: u8, down: bool) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down, modifiers: Modifiers::default(), locks: None }
}

fn host_key(code: u8, down: bool) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::default() }
}

/// Presses and lets go until no more is taken; gives how often.
fn fill(viewer: &ViewerInput, code: u8) -> usize {
    (0..).take_while(|n| viewer.try_send(&key(code, n % 2 == 0)).is_ok()).count()
}

/// Hands in one more, as the viewer's task does.
fn send(viewer: &Arc<ViewerInput>, event: InputEvent) -> Task<()> {
    let viewer = viewer.clone();
    task::spawn(async move { viewer.send(&event).await })
}

/// Lets all tasks go on until none can.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn whose_event_waits_is_not_silent_for_as_long_as_it_waits_and_then_has_its_second() {
    let mut hub = Hub::new(InputMode::Shared);
    let ann = hub.join();
    ann.expect_heartbeat(true);
    ann.send(&key(b'A', true)).await;
    assert_eq!(hub.all(), [host_key(b'A', true)]);

    let filled = fill(&ann, b'B');
    // Its heartbeats stand behind this.
    let waits = send(&ann, key(b'C', true));
    sleep(Duration::from_secs(60)).await;
    let told = hub.all();
    assert_eq!(told.len(), filled);
    assert!(!told.contains(&host_key(b'A', false)), "it was not let go");
    waits.await.expect("it was taken");
    assert_eq!(hub.all(), [host_key(b'C', true)]);

    sleep(Duration::from_millis(990)).await;
    assert_eq!(hub.all(), []);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(hub.all(), [host_key(b'A', false), host_key(b'C', false)]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_holds_up_nobody_else() {
    let mut hub = Hub::new(InputMode::Shared);
    let [ann, ben] = [hub.join(), hub.join()];
    let filled = fill(&ann, b'A');
    let waits = send(&ann, key(b'C', true));
    settle().await;
    let (taken, mut told) = tokio::sync::oneshot::channel();
    let sends = task::spawn(async move {
        ben.send(&key(b'B', true)).await;
        let _ = taken.send(ben);
    });
    settle().await;
    let ben = told.try_recv().expect("it waits for nothing");
    sends.await.expect("it has sent");

    // A place of the other's is none of hers.
    assert_eq!((0..filled).filter_map(|_| hub.inputs.try_next()).count(), filled);
    waits.await.expect("it has room now");
    assert_eq!(hub.all(), [host_key(b'B', true), host_key(b'C', true)]);
    drop(ben);
}

#[tokio::test(start_paused = true)]
async fn each_place_that_is_left_is_taken_at_once_by_its_viewers_next_event() {
    let mut hub = Hub::new(InputMode::Shared);
    let [ann, ben] = [hub.join(), hub.join()];
    let sends = [(&ann, b'A'), (&ben, b'B')].map(|(viewer, code)| {
        let viewer = viewer.clone();
        task::spawn(async move {
            for n in 0..1000 {
                viewer.send(&key(code, n % 2 == 0)).await;
            }
        })
    });
    let mut told = Vec::new();
    while told.len() < 2000 {
        settle().await;
        told.push(hub.inputs.try_next().expect("both go on as long as the host takes one"));
    }
    for sent in sends {
        sent.await.expect("all was taken");
    }
    for code in [b'A', b'B'] {
        let own = told
            .iter()
            .filter(|input| matches!(input, HostInput::Key { code: KeyCode(of), .. } if *of == code));
        assert!(own.copied().eq((0..1000).map(|n| host_key(code, n % 2 == 0))), "in order");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_when_its_event_is_to_be_dropped() {
    for way in 0..5 {
        let mut hub = Hub::new(InputMode::Shared);
        let ann = hub.join();
        fill(&ann, b'A');
        let waits = send(&ann, key(b'B', true));
        settle().await;
        match way {
            0 => hub.hub.leave(ann.peer),
            1 => {
                hub.hub.update_rights(ann.peer, |_| Rights::NONE);
            }
            2 => hub.hub.set_mode(InputMode::ViewOnly),
            3 => hub.hub.handle_end(),
            _ => drop(hub.hub.connect(InputFeatures::default())),
        }
        tokio::time::timeout(Duration::from_millis(1), waits).await.expect("it goes on").expect("and ends");
        assert!(!hub.all().contains(&host_key(b'B', true)), "way {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_waits_for_any_more_was_not_taken_and_the_next_one_is() {
    let mut hub = Hub::new(InputMode::Shared);
    let ann = hub.join();
    let filled = fill(&ann, b'A');
    let waits = send(&ann, key(b'B', true));
    settle().await;
    waits.abort();
    assert!(waits.await.is_err());
    assert_eq!(hub.all().len(), filled);
    ann.send(&key(b'C', true)).await;
    assert_eq!(hub.all(), [host_key(b'C', true)]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_lasts_while_its_holders_event_waits() {
    let mut hub = Hub::new(InputMode::OneAtATime { idle: Duration::from_millis(100) });
    let [ann, ben] = [hub.join(), hub.join()];
    ann.send(&InputEvent::Text("a".to_owned())).await;
    let waits = send(&ann, key(b'A', true));
    sleep(Duration::from_secs(1)).await;
    ben.send(&key(b'B', true)).await;
    assert_eq!(hub.hub.turn(), Some(ann.peer));
    assert_eq!(hub.all(), [HostInput::Text('a')]);
    waits.await.expect("it was taken");
    assert_eq!(hub.all(), [host_key(b'A', true)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_changes_rights_may_call_the_hub_meanwhile_and_loses_nobody_elses_change() {
    let hub = Hub::new(InputMode::Shared);
    let ann = hub.join();
    let mut calls = 0;
    let without = |rights: Rights, class| rights.with(class, false);
    let rights = hub.hub.update_rights(ann.peer, |rights| {
        calls += 1;
        if calls == 1 {
            hub.hub.update_rights(ann.peer, |rights| without(rights, DeviceClass::Text));
        }
        without(rights, DeviceClass::Pen)
    });
    let both = without(without(Rights::ALL, DeviceClass::Text), DeviceClass::Pen);
    assert_eq!((rights, calls), (Some(both), 2));

    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        hub.hub.update_rights(ann.peer, |_| panic!("it is others' code"))
    }));
    assert!(panics.is_err());
    assert_eq!(hub.hub.update_rights(ann.peer, |rights| rights), Some(both), "the hub works on");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_behind_moves_that_cancel_each_other_is_taken_when_nothing_is_told_of_them() {
    let mut hub = Hub::new(InputMode::Shared);
    let [ann, ben] = [hub.join(), hub.join()];
    // With another's behind them, or nothing.
    for behind in [vec![], vec![host_key(b'B', true)]] {
        for dx in [5, -5] {
            ann.send(&InputEvent::PointerBy { dx, dy: 0 }).await;
        }
        ann.send(&InputEvent::Scroll { dx: 0, dy: 1, at: None }).await;
        ann.send(&InputEvent::Scroll { dx: 0, dy: -1, at: None }).await;
        let waits = send(&ann, InputEvent::Text("a".to_owned()));
        settle().await;
        if !behind.is_empty() {
            ben.send(&key(b'B', true)).await;
        }
        assert_eq!(hub.inputs.try_next(), behind.first().copied());
        tokio::time::timeout(Duration::from_millis(1), waits).await.expect("it goes on").expect("and ends");
        assert_eq!(hub.all(), [HostInput::Text('a')]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pointer_that_comes_to_rest_between_two_tells_is_left_out_by_the_next_one_alone() {
    let hub = InputHub::new(InputMode::Shared);
    let _inputs = hub.connect(InputFeatures::default());
    let [ann, ben] = [(); 2].map(|()| hub.join(PeerId::random(), Rights::ALL));
    let start = task::now();
    let after = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut state = hub.state();
    let does = |state: &mut State, now, viewer: &ViewerInput, event| {
        state.handle(now, viewer.peer, &event).expect("taken");
        state.will_tell(now);
    };
    let to = |x| InputEvent::PointerTo(crate::input::Position { x, y: 0 });
    does(&mut state, start, &ann, to(1));
    assert!(state.handle_timeout(start).expect("told").pointers.is_some());
    does(&mut state, after(4_950), &ben, to(2));
    assert!(state.handle_timeout(after(4_950)).expect("told").pointers.is_some());
    let mut all = Vec::new();
    // With something else to tell, and nothing.
    for (acts, from) in [(true, 4_960), (false, 9_910)] {
        if acts {
            does(&mut state, after(from), &ben, key(b'B', true));
        }
        let mut turns = Vec::new();
        while turns.len() < 100
            && let Some(due) = state.timeout().filter(|&due| due < after(from + 1_000))
        {
            turns.push(due.saturating_duration_since(start));
            state.handle_timeout(due);
        }
        all.push((turns, state.pointers.poll(after(from + 1_000))));
    }
    drop(state);
    for (turns, pointers) in all {
        assert!(turns.len() < 20 && turns.is_sorted_by(|one, next| one < next), "{turns:?}");
        assert_eq!(pointers, None, "it was left out in time");
    }
}

#[tokio::test(start_paused = true)]
async fn inputs_that_were_asked_for_before_take_no_wake_up_from_the_new_ones() {
    let Hub { hub, inputs: mut old, _time } = Hub::new(InputMode::Shared);
    let ann = hub.join(PeerId::random(), Rights::ALL);
    let waits = task::spawn(async move { old.next().await });
    settle().await;
    let mut new = hub.connect(InputFeatures::default());
    settle().await;
    let next = task::spawn(async move { new.next().await });
    settle().await;
    ann.send(&InputEvent::PointerTo(crate::input::Position { x: 1, y: 0 })).await;
    let told = tokio::time::timeout(Duration::from_millis(1), next).await.expect("it is woken");
    assert_eq!(told.expect("it ends"), HostInput::PointerTo(crate::input::Position { x: 1, y: 0 }));
    waits.abort();
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_mode_that_panics_harms_nobody_and_two_changes_do_not_undo_one_another() {
    let hub = InputHub::new(InputMode::Shared);
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        hub.update_mode(|_| -> Result<_, ()> { panic!("it is others' code") })
    }));
    assert!(panics.is_err());
    assert_eq!(hub.mode(), InputMode::Shared);
    // What is asked meanwhile is answered.
    let asks = hub.update_mode(|_| {
        hub.join(PeerId::random(), Rights::ALL);
        if hub.mode() == InputMode::Shared { Ok(InputMode::ViewOnly) } else { Err(()) }
    });
    assert_eq!((asks, hub.mode()), (Ok(InputMode::ViewOnly), InputMode::ViewOnly));
    assert_eq!(hub.update_mode(|_| Err("no")), Err("no"));
}

#[tokio::test]
async fn whoever_watches_a_viewer_is_woken_without_the_lock_when_it_leaves() {
    struct Waker(InputHub, std::sync::mpsc::Sender<bool>);
    impl std::task::Wake for Waker {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0.shared.state.try_lock().is_ok()).expect("the test goes on");
        }
    }
    let hub = InputHub::new(InputMode::Shared);
    let ann = hub.join(PeerId::random(), Rights::ALL);
    let mut status = ann.watch_status();
    let (sender, woken) = std::sync::mpsc::channel();
    let waker = Arc::new(Waker(hub.clone(), sender)).into();
    let mut gone = std::pin::pin!(status.wait_for(|_| false));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(gone.as_mut().poll(&mut context).is_pending());
    hub.leave(ann.peer);
    assert_eq!(woken.try_iter().collect::<Vec<_>>(), [true], "it may use the hub");
    assert!(gone.as_mut().poll(&mut context).is_ready());
}
