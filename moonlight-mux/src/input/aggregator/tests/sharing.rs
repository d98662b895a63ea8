use super::*;
use crate::input::event::Pen;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn without(class: DeviceClass) -> Rights {
    Rights::ALL.with(class, false)
}

/// One event of each class that the host is told of when it is allowed.
fn of_each_class() -> [(DeviceClass, InputEvent); 9] {
    let pen = Pen {
        phase: PointerPhase::Down,
        tool: Default::default(),
        buttons: 0,
        position: place(0, 0),
        pressure: 1,
        rotation: None,
        tilt: None,
    };
    [
        (DeviceClass::Keyboard, key(A, true)),
        (DeviceClass::Pointer, InputEvent::PointerTo(place(1, 1))),
        (DeviceClass::Pointer, InputEvent::PointerBy { dx: 1, dy: 1 }),
        (DeviceClass::Pointer, button(true)),
        (DeviceClass::Pointer, InputEvent::Scroll { dx: 1, dy: 1, at: None }),
        (DeviceClass::Touch, InputEvent::Touch(finger(PointerPhase::Down, 1))),
        (DeviceClass::Pen, InputEvent::Pen(pen)),
        (DeviceClass::Gamepad, InputEvent::Gamepad { index: pad(0), state: pressed(1) }),
        (DeviceClass::Text, InputEvent::Text("a".to_owned())),
    ]
}

#[test]
fn what_a_viewer_has_no_right_to_does_nothing_and_all_else_does() {
    for (class, event) in of_each_class() {
        let (mut room, [one]) = Room::new();
        room.aggregator.set_rights(one, without(class));
        assert_eq!(room.told(one, event.clone()), [], "{event:?}");
        assert_eq!(room.aggregator.acting(room.now), [], "{event:?}");
        room.aggregator.set_rights(one, [class].into_iter().collect());
        assert_ne!(room.told(one, event.clone()), [], "{event:?}");
        assert_eq!(room.aggregator.acting(room.now), [one], "{event:?}");
    }
}

#[test]
fn a_gamepad_without_the_right_is_not_plugged_in() {
    let (mut room, [one]) = Room::new();
    room.aggregator.set_rights(one, without(DeviceClass::Gamepad));
    let connected = InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() };
    assert_eq!(room.told(one, connected), []);
}

#[test]
fn losing_a_right_lets_go_what_is_held_by_it_and_nothing_else() {
    for (class, event) in of_each_class() {
        let (mut room, [one]) = Room::new();
        room.told(one, event.clone());
        let held = room.aggregator.viewers[&one].holds(one, &room.aggregator.host);
        for other in DeviceClass::ALL.into_iter().filter(|&other| other != class) {
            room.aggregator.set_rights(one, without(other));
            assert_eq!(room.all(), [], "{event:?}, without {other:?}");
        }
        room.aggregator.set_rights(one, without(class));
        assert_eq!(!room.all().is_empty(), held, "{event:?}");
        assert!(!room.aggregator.viewers[&one].holds(one, &room.aggregator.host), "{event:?}");
    }
}

#[test]
fn who_leaves_lets_go_what_nobody_else_holds() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, key(A, true));
    room.told(two, key(A, true));
    room.told(one, key_with(LEFT_SHIFT, true, Modifiers::SHIFT));
    room.told(one, button(true));
    room.aggregator.leave(one);
    assert_eq!(room.all(), [host_button(false), host_key(LEFT_SHIFT, false, NONE)]);
    assert_eq!(room.told(one, key(0x42, true)), [], "it is gone");
    room.aggregator.leave(two);
    assert_eq!(room.all(), [host_key(A, false, NONE)]);
}

#[test]
fn what_is_released_may_be_held_again() {
    let (mut room, [one]) = Room::new();
    room.told(one, key(A, true));
    assert_eq!(room.told(one, InputEvent::ReleaseAll), [host_key(A, false, NONE)]);
    assert_eq!(room.told(one, key(A, false)), []);
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
}

#[test]
fn what_a_viewer_holds_is_let_go_a_second_after_it_fell_silent() {
    let (mut room, [one]) = Room::new();
    room.aggregator.expect_heartbeat(one, true);
    room.told(one, key(A, true));
    let held = InputEvent::Held { keys: [KeyCode(A)].into_iter().collect(), buttons: Buttons(0) };
    for _ in 0..8 {
        room.wait(seconds(0.25));
        assert_eq!(room.told(one, held.clone()), []);
    }
    room.wait(seconds(0.999));
    assert_eq!(room.all(), []);
    room.wait(seconds(0.001));
    assert_eq!(room.all(), [host_key(A, false, NONE)]);
    assert_eq!(room.told(one, held), []);
}

#[test]
fn whoever_says_no_heartbeat_holds_until_it_lets_go() {
    let (mut room, [one]) = Room::new();
    room.told(one, key(A, true));
    room.wait(seconds(3600.0));
    assert_eq!(room.all(), []);
}

#[test]
fn a_gamepad_that_is_pushed_to_no_side_counts_as_not_held() {
    let (mut room, [one]) = Room::new();
    room.aggregator.expect_heartbeat(one, true);
    let stick = |x| GamepadState { left_stick: (x, -x), left_trigger: 10, ..GamepadState::default() };
    room.told(one, InputEvent::Gamepad { index: pad(0), state: stick(5_000) });
    room.wait(seconds(5.0));
    assert_eq!(room.all(), []);
    room.told(one, InputEvent::Gamepad { index: pad(0), state: stick(10_000) });
    room.wait(seconds(1.0));
    let state = GamepadState::default();
    assert_eq!(room.all(), [HostInput::Gamepad { slot: slot(0), state, active: 1 }]);
}

#[test]
fn whoever_acted_within_a_second_or_holds_something_acts() {
    let (mut room, [one, two]) = Room::new();
    assert_eq!(room.aggregator.acting(room.now), []);
    room.told(one, InputEvent::PointerTo(place(0, 0)));
    room.told(two, key(A, true));
    room.wait(seconds(0.999));
    assert_eq!(room.aggregator.acting(room.now).len(), 2);
    room.wait(seconds(0.001));
    assert_eq!(room.aggregator.acting(room.now), [two]);
    room.wait(seconds(60.0));
    assert_eq!(room.aggregator.acting(room.now), [two]);
    room.told(two, key(A, false));
    room.wait(seconds(0.999));
    assert_eq!(room.aggregator.acting(room.now), [two]);
    room.wait(seconds(0.001));
    assert_eq!(room.aggregator.acting(room.now), []);
    assert_eq!(room.aggregator.timeout(), None);
}

#[test]
fn nobody_acts_in_view_only_and_what_was_held_is_let_go() {
    let (mut room, [one]) = Room::new();
    for (_, event) in of_each_class() {
        room.told(one, event);
    }
    room.aggregator.set_mode(InputMode::ViewOnly);
    assert_ne!(room.all(), []);
    assert!(!room.aggregator.viewers[&one].holds(one, &room.aggregator.host));
    for (_, event) in of_each_class() {
        assert_eq!(room.told(one, event.clone()), [], "{event:?}");
    }
    room.aggregator.set_mode(InputMode::Shared);
    assert_eq!(room.all(), []);
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
}

#[test]
fn one_at_a_time_the_first_has_the_turn_until_it_has_rested_for_the_gap() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: seconds(2.0) });
    assert_eq!(room.aggregator.turn(), None);
    room.told(one, InputEvent::PointerTo(place(1, 1)));
    assert_eq!(room.aggregator.turn(), Some(one));
    for (_, event) in of_each_class() {
        assert_eq!(room.told(two, event.clone()), [], "{event:?}");
    }
    assert_eq!(room.aggregator.acting(room.now), [one]);
    room.wait(seconds(1.999));
    assert_eq!(room.told(two, key(A, true)), []);
    room.wait(seconds(0.001));
    assert_eq!(room.aggregator.turn(), None);
    assert_eq!(room.told(two, key(A, true)), [host_key(A, true, NONE)]);
    assert_eq!(room.aggregator.turn(), Some(two));
}

#[test]
fn a_turn_that_is_over_is_over_before_the_timer_says_so() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: seconds(2.0) });
    room.told(one, InputEvent::PointerTo(place(1, 1)));
    room.now += seconds(2.0);
    assert_eq!(room.told(two, key(A, true)), [host_key(A, true, NONE)]);
}

#[test]
fn a_turn_lasts_while_anything_is_held_and_the_gap_begins_when_it_is_let_go() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: seconds(2.0) });
    room.told(one, key(A, true));
    room.wait(seconds(30.0));
    assert_eq!(room.told(two, button(true)), []);
    assert_eq!(room.told(one, key(A, false)), [host_key(A, false, NONE)]);
    room.wait(seconds(1.999));
    assert_eq!(room.told(two, button(true)), []);
    room.wait(seconds(0.001));
    assert_eq!(room.told(two, button(true)), [host_button(true)]);
}

#[test]
fn a_turn_is_not_begun_by_what_is_let_go_nor_by_a_gamepad_that_nobody_touches() {
    let (mut room, [one]) = Room::in_mode(InputMode::one_at_a_time());
    let reading = crate::input::SensorReading { sensor: crate::input::Sensor::Gyroscope, value: [1.0; 3] };
    let idle = [
        key(A, false),
        button(false),
        InputEvent::PointerBy { dx: 0, dy: 0 },
        InputEvent::Text(String::new()),
        InputEvent::Touch(finger(PointerPhase::Move, 1)),
        InputEvent::Gamepad { index: pad(0), state: GamepadState::default() },
        InputEvent::GamepadMotion { index: pad(0), reading },
        InputEvent::Held { keys: KeySet::default(), buttons: Buttons(0) },
        InputEvent::ReleaseAll,
    ];
    for event in idle {
        room.act(one, event.clone());
        assert_eq!(room.aggregator.turn(), None, "{event:?}");
        assert_eq!(room.aggregator.acting(room.now), [], "{event:?}");
    }
}

#[test]
fn a_gamepad_of_whose_turn_is_over_rests() {
    let (mut room, [one]) = Room::in_mode(InputMode::OneAtATime { idle: seconds(2.0) });
    room.told(one, InputEvent::PointerTo(place(1, 1)));
    let worn = GamepadState { left_stick: (1_000, 0), ..GamepadState::default() };
    room.told(one, InputEvent::Gamepad { index: pad(0), state: worn });
    room.wait(seconds(2.0));
    let rest = HostInput::Gamepad { slot: slot(0), state: GamepadState::default(), active: 1 };
    assert_eq!(room.all(), [rest]);
}

#[test]
fn a_turn_ends_with_who_has_it_and_with_the_mode() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::one_at_a_time());
    room.told(one, key(A, true));
    room.aggregator.leave(one);
    assert_eq!((room.all(), room.aggregator.turn()), (vec![host_key(A, false, NONE)], None));
    room.told(two, key(A, true));
    // Another gap is no other mode.
    room.aggregator.set_mode(InputMode::OneAtATime { idle: seconds(1.0) });
    assert_eq!((room.all(), room.aggregator.turn()), (vec![], Some(two)));
    room.aggregator.set_mode(InputMode::Shared);
    assert_eq!((room.all(), room.aggregator.turn()), (vec![], None));
    room.aggregator.set_mode(InputMode::one_at_a_time());
    assert_eq!((room.all(), room.aggregator.turn()), (vec![host_key(A, false, NONE)], None));
}

#[test]
fn without_a_host_nothing_is_done_nor_kept_for_the_next_one() {
    let (mut room, [one]) = Room::new();
    let touch = |phase| InputEvent::Touch(finger(phase, 1));
    for event in [key(A, true), button(true), touch(PointerPhase::Down)] {
        room.told(one, event);
    }
    room.act(one, key(0x42, true));
    room.aggregator.handle_disconnected();
    assert_eq!(room.all(), []);
    assert_eq!(room.aggregator.acting(room.now + seconds(2.0)), []);
    for (_, event) in of_each_class().into_iter().filter(|(class, _)| *class != DeviceClass::Gamepad) {
        assert_eq!(room.told(one, event), []);
    }
    room.aggregator.handle_connected();
    assert_eq!(room.all(), []);
    // The new host knows of nothing that is held.
    for event in [key(A, false), button(false), touch(PointerPhase::Up)] {
        assert_eq!(room.told(one, event), []);
    }
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
    assert_eq!(room.told(one, button(true)), [host_button(true)]);
    let first = Touch { contact: 0, ..finger(PointerPhase::Down, 1) };
    assert_eq!(room.told(one, touch(PointerPhase::Down)), [HostInput::Touch(first)]);
}
