use super::*;
use crate::input::event::{Sensor, SensorReading};
use outbox::SHARE;

/// A room whose host takes nothing, and whose first viewer has as much in front of it as it may.
fn full<const VIEWERS: usize>() -> (Room, [PeerId; VIEWERS]) {
    let (mut room, viewers) = Room::new();
    fill(&mut room, viewers[0]);
    (room, viewers)
}

fn fill(room: &mut Room, viewer: PeerId) {
    for number in 0..SHARE {
        room.act(viewer, key(A, number % 2 == 0));
    }
}

fn text(text: &str) -> InputEvent {
    InputEvent::Text(text.to_owned())
}

fn typed(text: &str) -> Vec<HostInput> {
    text.chars().map(HostInput::Text).collect()
}

fn scroll(amount: i16, at: Option<Position>) -> InputEvent {
    InputEvent::Scroll { dx: 0, dy: amount, at }
}

fn turned(amount: i16) -> HostInput {
    HostInput::Scroll { horizontal: false, amount }
}

fn to(x: u16) -> InputEvent {
    InputEvent::PointerTo(place(x, 0))
}

/// All that the host may be told of now without a change between text and the rest.
fn without_change(room: &mut Room) -> Vec<HostInput> {
    std::iter::from_fn(|| room.aggregator.poll(TextChange::NotYet)).map(|(_, input)| input).collect()
}

fn pen(phase: PointerPhase) -> InputEvent {
    InputEvent::Pen(crate::input::Pen {
        phase,
        tool: Default::default(),
        buttons: 0,
        position: place(0, 0),
        pressure: 1,
        rotation: None,
        tilt: None,
    })
}

#[test]
fn what_must_not_be_lost_is_refused_when_too_much_of_the_viewer_waits_and_nobody_elses_is() {
    let (mut room, [one]) = full();
    for event in [
        key(0x42, true),
        button(true),
        text("a"),
        InputEvent::Touch(finger(PointerPhase::Down, 1)),
        pen(PointerPhase::Down),
        InputEvent::Gamepad { index: pad(0), state: pressed(1) },
        InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() },
    ] {
        assert_eq!(room.try_act(one, event.clone()), Err(Full), "{event:?}");
        let another = PeerId::random();
        room.aggregator.join(another, Rights::ALL);
        room.act(another, event);
    }
    room.aggregator.poll(TextChange::Allowed).expect("much waits");
    room.act(one, key(0x43, true));
    assert_eq!(room.try_act(one, key(0x43, false)), Err(Full));
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let (mut room, [one]) = full();
    let click = InputEvent::Button { button: MouseButton::Left, down: true, at: Some(place(1, 1)) };
    assert_eq!(room.try_act(one, click), Err(Full));
    room.aggregator.leave(one);
    assert_eq!(room.all().len(), SHARE);
}

#[test]
fn moves_and_releases_are_taken_however_much_waits() {
    let (mut room, [one, two, three]) = Room::new();
    room.told(three, InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() });
    room.act(two, InputEvent::Touch(finger(PointerPhase::Down, 1)));
    room.act(two, InputEvent::Gamepad { index: pad(0), state: pressed(1) });
    room.act(two, key(0x42, true));
    room.all();
    fill(&mut room, two);
    let stick = GamepadState { left_stick: (9, 9), ..pressed(1) };
    let tilted = GamepadState { left_stick: (9_000, 0), ..pressed(0) };
    let turning = SensorReading { sensor: Sensor::Gyroscope, value: [1.0; 3] };
    for _ in 0..10_000 {
        // What is moved alone, and let go.
        room.act(three, InputEvent::Gamepad { index: pad(0), state: tilted });
        room.act(three, InputEvent::GamepadMotion { index: pad(0), reading: turning });
        room.act(three, InputEvent::ReleaseAll);
        room.act(two, InputEvent::PointerBy { dx: 1, dy: 0 });
        room.act(two, scroll(1, Some(place(2, 2))));
        room.act(one, InputEvent::PointerTo(place(1, 1)));
        room.act(two, InputEvent::PointerTo(place(1, 1)));
        room.act(two, InputEvent::Touch(finger(PointerPhase::Move, 1)));
        room.act(two, InputEvent::Gamepad { index: pad(0), state: stick });
    }
    room.act(two, InputEvent::Held { keys: KeySet::default(), buttons: Buttons(0) });
    room.act(two, InputEvent::ReleaseAll);
    let told = room.all();
    assert!(told.len() <= 4 * SHARE + 8, "{} wait", told.len());
    let scrolled: i32 = told
        .iter()
        .map(|input| if let HostInput::Scroll { amount, .. } = input { i32::from(*amount) } else { 0 })
        .sum();
    assert_eq!(scrolled, 10_000);
    let last = [
        HostInput::Touch(Touch { contact: 0, ..finger(PointerPhase::Move, 1) }),
        HostInput::Gamepad { slot: slot(1), state: stick, active: 3 },
        host_key(0x42, false, NONE),
        HostInput::Touch(Touch { contact: 0, ..finger(PointerPhase::Cancel, 1) }),
        HostInput::Gamepad { slot: slot(1), state: GamepadState::default(), active: 3 },
    ];
    let at_rest = HostInput::Gamepad { slot: slot(0), state: GamepadState::default(), active: 3 };
    let still = SensorReading { value: [0.0; 3], ..turning };
    assert!(
        told.contains(&at_rest) && told.contains(&HostInput::GamepadMotion { slot: slot(0), reading: still })
    );
    let rest: Vec<_> = told.into_iter().filter(|input| last.contains(input)).collect();
    assert_eq!(rest, last);
}

#[test]
fn what_may_not_be_done_is_not_refused() {
    let (mut room, [one]) = full();
    room.aggregator.set_rights(one, Rights::NONE);
    room.act(one, key(0x42, true));
    room.act(one, InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() });
    assert_eq!(room.all().len(), SHARE);
}

#[test]
fn a_refused_event_takes_no_turn_and_keeps_the_turn_that_there_is() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: Duration::from_millis(100) });
    fill(&mut room, one);
    room.wait(Duration::from_millis(100));
    assert_eq!(room.aggregator.turn(), None, "nothing is held, and nothing waits outside");
    assert_eq!(room.try_act(one, key(A, true)), Err(Full));
    assert_eq!(room.aggregator.turn(), None);

    room.all();
    room.act(one, text("a"));
    assert_eq!(room.try_act(one, key(A, true)), Err(Full));
    room.wait(Duration::from_secs(5));
    room.act(two, key(0x42, true));
    assert_eq!(room.all(), typed("a"), "the other has no turn while the event waits");
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
    assert_eq!(room.told(one, key(A, false)), [host_key(A, false, NONE)]);
    room.wait(Duration::from_millis(100));
    assert_eq!(room.aggregator.turn(), None);
}

#[test]
fn the_gap_of_a_turn_begins_when_what_waited_was_taken() {
    let (mut room, [one, two]) = Room::in_mode(InputMode::OneAtATime { idle: Duration::from_millis(100) });
    room.act(one, text("a"));
    // Nothing is down that this lets go.
    assert_eq!(room.try_act(one, button(false)), Err(Full));
    room.wait(Duration::from_secs(1));
    assert_eq!(room.all(), typed("a"));
    room.act(one, button(false));
    // What the viewer did next comes right behind it.
    room.wait(Duration::from_millis(99));
    room.act(two, button(true));
    assert_eq!(room.told(one, key(A, true)), [host_key(A, true, NONE)]);
}

#[test]
fn who_scrolls_and_moves_by_turns_keeps_the_order_while_there_are_places_and_no_longer() {
    let (mut room, [one]) = Room::new();
    for x in 0..5_000 {
        room.act(one, scroll(1, Some(place(x, 0))));
    }
    let told = room.all();
    let scrolled: i32 = told
        .iter()
        .map(|input| match input {
            HostInput::Scroll { amount, .. } => i32::from(*amount),
            _ => 0,
        })
        .sum();
    assert_eq!((scrolled, told.len()), (5_000, 2 * SHARE));
}

#[test]
fn nothing_waits_behind_what_comes_later() {
    let (mut room, [one, two]) = Room::new();
    room.act(one, to(1));
    // Somebody types faster than the host takes it.
    for down in [true, false, true, false] {
        room.act(two, key(A, down));
    }
    assert_eq!(room.all()[0], HostInput::PointerTo(place(1, 0)));
}

#[test]
fn what_was_taken_is_not_merged_with() {
    let (mut room, [one]) = Room::new();
    assert_eq!(room.told(one, to(1)), [HostInput::PointerTo(place(1, 0))]);
    // The next in its place in the queue is another's.
    room.act(one, key(A, true));
    room.act(one, to(2));
    assert_eq!(room.all(), [host_key(A, true, NONE), HostInput::PointerTo(place(2, 0))]);
}

#[test]
fn a_viewer_whose_event_waits_is_not_silent_however_seldom_it_is_handed_in() {
    let (mut room, [one]) = Room::new();
    room.aggregator.expect_heartbeat(one, true);
    room.told(one, key(0x42, true));
    fill(&mut room, one);
    assert_eq!(room.try_act(one, key(0x42, false)), Err(Full));
    room.wait(Duration::from_secs(60));
    assert_eq!(room.all().len(), SHARE, "nothing was let go");
    room.act(one, key(0x43, true));
    room.wait(Duration::from_millis(999));
    assert_eq!(room.all(), [host_key(0x43, true, NONE)]);
    room.wait(Duration::from_millis(1));
    assert_eq!(
        room.all(),
        [host_key(0x42, false, NONE), host_key(0x43, false, NONE)],
        "silent since it was taken"
    );
}

#[test]
fn a_viewers_text_and_actions_do_not_wait_for_the_host_at_once() {
    let (mut room, [one]) = Room::new();
    room.act(one, text("ab"));
    let touched = InputEvent::Touch(finger(PointerPhase::Down, 1));
    for action in [key(A, true), button(true), scroll(120, None), touched, pen(PointerPhase::Down)] {
        assert_eq!(room.try_act(one, action.clone()), Err(Full), "{action:?}");
    }
    // Whatever lets go is taken, and so is more text, moves and gamepads.
    for event in
        [text("c"), to(1), InputEvent::Gamepad { index: pad(0), state: pressed(1) }, InputEvent::ReleaseAll]
    {
        room.act(one, event);
    }
    assert_eq!(room.all()[..3], typed("abc"));
    room.act(one, key(A, true));
    assert_eq!(room.try_act(one, text("d")), Err(Full));
    assert_eq!(room.all(), [host_key(A, true, NONE)]);
    room.act(one, text("d"));
    assert_eq!(room.all(), typed("d"));
}

#[test]
fn without_a_change_moves_and_gamepads_pass_text_and_what_waits_for_it() {
    let (mut room, [one, two]) = Room::new();
    room.told(two, InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() });
    room.act(one, text("a"));
    room.act(two, key(A, true));
    room.act(two, InputEvent::Gamepad { index: pad(0), state: pressed(1) });
    room.act(two, to(1));
    room.act(two, button(true));
    room.act(two, to(2));
    let gamepad = HostInput::Gamepad { slot: slot(0), state: pressed(1), active: 1 };
    // The second move would move the click. The first key could still go, but for the text that is older.
    assert_eq!(without_change(&mut room), [gamepad, HostInput::PointerTo(place(1, 0))]);
    let rest =
        [typed("a"), vec![host_key(A, true, NONE), host_button(true), HostInput::PointerTo(place(2, 0))]];
    assert_eq!(room.all(), rest.concat());
}

#[test]
fn the_wheel_does_not_pass_text_nor_does_a_move_pass_the_wheel() {
    let (mut room, [one, two]) = Room::new();
    room.act(one, text("a"));
    room.act(two, scroll(120, Some(place(1, 0))));
    room.act(two, to(2));
    assert_eq!(without_change(&mut room), [HostInput::PointerTo(place(1, 0))]);
    assert_eq!(
        room.all(),
        [vec![HostInput::Text('a'), turned(120)], vec![HostInput::PointerTo(place(2, 0))]].concat()
    );
}

#[test]
fn text_behind_ones_own_wheel_does_not_pass_it_though_others_scroll_too() {
    let (mut room, [one, two]) = Room::new();
    room.act(one, scroll(1, None));
    room.act(two, scroll(2, None));
    assert_eq!(room.try_act(two, text("a")), Err(Full));
    assert_eq!(room.aggregator.poll(TextChange::Allowed), Some((one, turned(1))));
    assert_eq!(room.try_act(two, text("a")), Err(Full));
    assert_eq!(room.aggregator.poll(TextChange::Allowed), Some((two, turned(2))));
    room.act(two, text("a"));
}

#[test]
fn text_and_actions_take_turns_and_each_turn_takes_all_that_waits() {
    let (mut room, [one, two, three, four]) = Room::new();
    room.act(one, text("ab"));
    room.act(two, key(A, true));
    room.act(three, text("cd"));
    room.act(four, key(0x42, true));
    assert_eq!(room.aggregator.poll(TextChange::Allowed), Some((one, HostInput::Text('a'))));
    // Too late for this turn, as somebody waits for the other one.
    room.act(one, text("e"));
    room.act(two, key(A, false));
    assert_eq!(without_change(&mut room), typed("bcd"));
    assert_eq!(room.aggregator.poll(TextChange::Allowed), Some((two, host_key(A, true, NONE))));
    room.act(four, key(0x42, false));
    assert_eq!(without_change(&mut room), [host_key(0x42, true, NONE), host_key(A, false, NONE)]);
    assert_eq!(room.aggregator.poll(TextChange::Allowed), Some((one, HostInput::Text('e'))));
    assert_eq!(room.all(), [host_key(0x42, false, NONE)]);
}
