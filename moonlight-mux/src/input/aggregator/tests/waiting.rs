use super::*;
use outbox::LIMIT;

/// A room whose host takes nothing and has as much to take as it may.
fn full<const VIEWERS: usize>() -> (Room, [PeerId; VIEWERS]) {
    let (mut room, viewers) = Room::new();
    for number in 0..LIMIT {
        room.act(viewers[0], key(A, number % 2 == 0));
    }
    (room, viewers)
}

#[test]
fn what_must_not_be_lost_is_refused_when_too_much_waits_and_taken_when_there_is_room() {
    let (mut room, [_, two]) = full();
    let refused = [
        key(0x42, true),
        button(true),
        InputEvent::Text("a".to_owned()),
        InputEvent::Touch(finger(PointerPhase::Down, 1)),
        InputEvent::Gamepad { index: pad(0), state: pressed(1) },
        InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() },
    ];
    for event in &refused {
        assert_eq!(room.try_act(two, event.clone()), Err(Full), "{event:?}");
    }
    assert!(room.aggregator.poll().is_some());
    room.act(two, key(0x42, true));
    let told = room.all();
    assert_eq!(told.len(), LIMIT);
    assert_eq!(told.last(), Some(&host_key(0x42, true, NONE)));
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let (mut room, [_, two]) = full();
    let click = InputEvent::Button { button: MouseButton::Left, down: true, at: Some(place(1, 1)) };
    assert_eq!(room.try_act(two, click), Err(Full));
    assert_eq!(room.aggregator.acting(room.now).len(), 1);
    room.aggregator.leave(two);
    assert_eq!(room.all().len(), LIMIT);
}

#[test]
fn moves_and_releases_are_taken_however_much_waits() {
    let (mut room, [one, two]) = Room::new();
    room.act(two, InputEvent::Touch(finger(PointerPhase::Down, 1)));
    room.act(two, InputEvent::Gamepad { index: pad(0), state: pressed(1) });
    room.act(two, key(0x42, true));
    room.all();
    for number in 0..LIMIT {
        room.act(one, key(A, number % 2 == 0));
    }
    let stick = GamepadState { left_stick: (9, 9), ..pressed(1) };
    for _ in 0..10_000 {
        room.act(two, InputEvent::PointerBy { dx: 1, dy: 0 });
        room.act(two, InputEvent::Scroll { dx: 0, dy: 1, at: Some(place(2, 2)) });
        room.act(two, InputEvent::PointerTo(place(1, 1)));
        room.act(two, InputEvent::Touch(finger(PointerPhase::Move, 1)));
        room.act(two, InputEvent::Gamepad { index: pad(0), state: stick });
    }
    room.act(two, InputEvent::Held { keys: KeySet::default(), buttons: Buttons(0) });
    room.act(two, InputEvent::ReleaseAll);
    let told = room.all().split_off(LIMIT);
    assert_eq!(
        told,
        [
            HostInput::PointerTo(place(1, 1)),
            HostInput::Scroll { horizontal: false, amount: 10_000 },
            HostInput::Touch(Touch { contact: 0, ..finger(PointerPhase::Move, 1) }),
            HostInput::Gamepad { slot: slot(0), state: stick, active: 1 },
            host_key(0x42, false, NONE),
            HostInput::Touch(Touch { contact: 0, ..finger(PointerPhase::Cancel, 1) }),
            HostInput::Gamepad { slot: slot(0), state: GamepadState::default(), active: 1 },
        ]
    );
}

#[test]
fn what_may_not_be_done_is_not_refused() {
    let (mut room, [_, two]) = full();
    room.aggregator.set_rights(two, Rights::NONE);
    room.act(two, key(0x42, true));
    room.act(two, InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() });
    assert_eq!(room.all().len(), LIMIT);
}

#[test]
fn a_refused_event_takes_no_turn() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: Duration::from_millis(100) });
    room.told(one, key(A, true));
    room.act(one, InputEvent::Text("x".repeat(LIMIT)));
    room.act(one, InputEvent::ReleaseAll);
    room.wait(Duration::from_millis(100));
    assert_eq!(room.try_act(two, key(A, true)), Err(Full));
    assert_eq!(room.aggregator.turn(), None);
}

#[test]
fn who_scrolls_and_moves_by_turns_keeps_the_order_while_there_is_room_and_no_longer() {
    let (mut room, [one]) = Room::new();
    for x in 0..5_000 {
        room.act(one, InputEvent::Scroll { dx: 0, dy: 1, at: Some(place(x, 0)) });
    }
    let told = room.all();
    let scrolled: i32 = told
        .iter()
        .map(|input| match input {
            HostInput::Scroll { amount, .. } => i32::from(*amount),
            _ => 0,
        })
        .sum();
    assert_eq!((scrolled, told.len()), (5_000, 2 * LIMIT));
}

#[test]
fn nothing_waits_behind_what_comes_later() {
    let (mut room, [one, two]) = Room::new();
    room.act(one, InputEvent::PointerTo(place(1, 1)));
    // Somebody types faster than the host takes it.
    for down in [true, false, true, false] {
        room.act(two, key(A, down));
    }
    assert_eq!(room.aggregator.poll(), Some(HostInput::PointerTo(place(1, 1))));
}

#[test]
fn what_was_taken_is_not_merged_with() {
    let (mut room, [one]) = Room::new();
    assert_eq!(room.told(one, InputEvent::PointerTo(place(1, 1))), [HostInput::PointerTo(place(1, 1))]);
    // The next in its place in the queue is another's.
    room.act(one, key(A, true));
    room.act(one, InputEvent::PointerTo(place(2, 2)));
    assert_eq!(room.all(), [host_key(A, true, NONE), HostInput::PointerTo(place(2, 2))]);
}

#[test]
fn a_viewer_whose_events_are_refused_is_not_silent() {
    let (mut room, [one, two]) = Room::new();
    room.aggregator.expect_heartbeat(two, true);
    room.told(two, key(0x42, true));
    room.act(one, InputEvent::Text("x".repeat(LIMIT)));
    for _ in 0..8 {
        room.wait(Duration::from_millis(900));
        assert_eq!(room.try_act(two, key(0x42, false)), Err(Full));
    }
    assert_eq!(room.all().len(), LIMIT);
}

#[test]
fn whoever_comes_behind_others_that_wait_leaves_the_room_to_them() {
    let (mut room, [one]) = Room::new();
    let Room { aggregator, now } = &mut room;
    assert_eq!(aggregator.handle_behind(*now, one, &key(A, true)), Err(Full));
    let connected = InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() };
    assert_eq!(aggregator.handle_behind(*now, one, &connected), Err(Full));
    let moved = InputEvent::PointerTo(place(1, 1));
    assert_eq!(aggregator.handle_behind(*now, one, &moved), Ok(()));
    assert_eq!(room.all(), [HostInput::PointerTo(place(1, 1))]);
}
