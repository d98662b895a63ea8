use super::*;
use crate::input::event::{GamepadKind, GamepadTouch, Sensor, SensorReading};

fn connected(index: u8) -> InputEvent {
    InputEvent::GamepadConnected { index: pad(index), info: XBOX }
}

fn state(index: u8, state: GamepadState) -> InputEvent {
    InputEvent::Gamepad { index: pad(index), state }
}

fn stick(x: i16) -> GamepadState {
    GamepadState { left_stick: (x, 0), ..GamepadState::default() }
}

/// What the host is told when a gamepad is plugged in.
fn plugged(number: u8, info: GamepadInfo, active: u16) -> [HostInput; 2] {
    let slot = slot(number);
    [
        HostInput::GamepadConnected { slot, info },
        HostInput::Gamepad { slot, state: GamepadState::default(), active },
    ]
}

fn host_state(number: u8, state: GamepadState, active: u16) -> HostInput {
    HostInput::Gamepad { slot: slot(number), state, active }
}

fn unplugged(number: u8, active: u16) -> HostInput {
    host_state(number, GamepadState::default(), active)
}

#[test]
fn gamepads_have_the_lowest_slots_that_are_free_until_they_are_unplugged() {
    let (mut room, [one, two]) = Room::new();
    assert_eq!(room.told(one, connected(3)), plugged(0, XBOX, 0b1));
    assert_eq!(room.told(two, connected(3)), plugged(1, XBOX, 0b11));
    assert_eq!(room.told(one, InputEvent::GamepadDisconnected { index: pad(3) }), [unplugged(0, 0b10)]);
    assert_eq!(room.told(two, connected(0)), plugged(0, XBOX, 0b11));
    assert_eq!(room.told(two, state(3, pressed(1))), [host_state(1, pressed(1), 0b11)]);
    room.aggregator.leave(two);
    assert_eq!(
        room.all(),
        [unplugged(1, 0b11), unplugged(1, 0b01), unplugged(0, 0)],
        "the first rests before"
    );
}

#[test]
fn a_gamepad_that_acts_before_it_is_known_is_plugged_in() {
    let (mut room, [one]) = Room::new();
    let [arrival, rest] = plugged(0, GamepadInfo::default(), 1);
    assert_eq!(room.told(one, state(0, pressed(1))), [arrival, rest, host_state(0, pressed(1), 1)]);
}

#[test]
fn a_gamepad_that_turns_out_to_be_another_is_plugged_in_anew() {
    let (mut room, [one]) = Room::new();
    room.told(one, state(0, pressed(1)));
    let [arrival, rest] = plugged(0, XBOX, 1);
    assert_eq!(room.told(one, connected(0)), [unplugged(0, 1), unplugged(0, 0), arrival, rest]);
    assert_eq!(room.told(one, connected(0)), []);
}

#[test]
fn sticks_are_merged_and_each_change_of_a_button_is_seen_as_the_sticks_were_then() {
    let (mut room, [one]) = Room::new();
    room.told(one, connected(0));
    let firing = |x| GamepadState { buttons: GamepadButtons(0x1000), ..stick(x) };
    for event in [stick(1), stick(2), firing(3), firing(4), firing(4), firing(5), stick(6), stick(6)] {
        room.act(one, state(0, event));
    }
    let told = [stick(2), firing(3), firing(5), stick(6)].map(|event| host_state(0, event, 1));
    assert_eq!(room.all(), told);
}

#[test]
fn a_gamepad_is_never_told_before_it_is_plugged_in_nor_in_anothers_mask_before() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, connected(0));
    room.act(one, state(0, stick(1)));
    room.act(two, connected(0));
    // Merged with what waits in front of the arrival.
    room.act(one, state(0, stick(2)));
    let [arrival, rest] = plugged(1, XBOX, 0b11);
    assert_eq!(room.all(), [host_state(0, stick(2), 0b1), arrival, rest]);
}

#[test]
fn a_viewers_fifth_gamepad_waits_until_it_acts_while_one_of_four_is_unplugged() {
    let (mut room, [one]) = Room::new();
    for index in 0..4 {
        assert_eq!(room.told(one, connected(index)).len(), 2);
    }
    assert_eq!(room.told(one, connected(4)), []);
    assert_eq!(room.told(one, state(4, pressed(1))), []);
    room.told(one, InputEvent::GamepadDisconnected { index: pad(2) });
    let [arrival, rest] = plugged(2, XBOX, 0xf);
    assert_eq!(room.told(one, state(4, pressed(1))), [arrival, rest, host_state(2, pressed(1), 0xf)]);
}

#[test]
fn a_17th_gamepad_waits_for_a_slot_until_it_acts_again() {
    let (mut room, [one, two, three, four, five]) = Room::new();
    for viewer in [one, two, three, four] {
        for index in 0..4 {
            room.told(viewer, connected(index));
        }
    }
    assert_eq!(room.told(five, connected(0)), []);
    assert_eq!(room.told(five, state(0, pressed(1))), []);
    room.told(three, InputEvent::GamepadDisconnected { index: pad(1) });
    let [arrival, rest] = plugged(9, XBOX, 0xffff);
    assert_eq!(room.told(five, state(0, pressed(1))), [arrival, rest, host_state(9, pressed(1), 0xffff)]);
}

#[test]
fn who_plugs_in_and_out_without_end_does_so_eight_times_in_four_seconds() {
    let (mut room, [one, two]) = Room::new();
    let flood = |room: &mut Room| {
        let mut told = Vec::new();
        for _ in 0..100 {
            told.extend(room.told(one, connected(0)));
            told.extend(room.told(one, InputEvent::GamepadDisconnected { index: pad(0) }));
        }
        told.len()
    };
    assert_eq!(flood(&mut room), 8 * 3, "an arrival, its rest, an end");
    assert_eq!(room.told(two, connected(0)).len(), 2, "others do as they like");
    room.told(one, connected(0));
    room.wait(Duration::from_millis(3_999));
    assert_eq!(room.told(one, state(0, pressed(1))), []);
    room.wait(Duration::from_millis(1));
    let [arrival, rest] = plugged(1, XBOX, 0b11);
    assert_eq!(room.told(one, state(0, pressed(1))), [arrival, rest, host_state(1, pressed(1), 0b11)]);
    room.told(one, InputEvent::GamepadDisconnected { index: pad(0) });
    assert_eq!(flood(&mut room), 7 * 3);
}

#[test]
fn released_it_rests_and_without_the_right_it_is_unplugged() {
    let (mut room, [one]) = Room::new();
    room.told(one, connected(0));
    room.told(one, state(0, pressed(1)));
    assert_eq!(room.told(one, InputEvent::ReleaseAll), [host_state(0, GamepadState::default(), 1)]);
    assert_eq!(room.told(one, InputEvent::ReleaseAll), []);
    room.aggregator.set_rights(one, Rights::ALL.with(DeviceClass::Gamepad, false));
    assert_eq!(room.all(), [unplugged(0, 0)]);
    assert_eq!(room.told(one, state(0, pressed(1))), []);
    // It is remembered, and comes back when it is used.
    room.aggregator.set_rights(one, Rights::ALL);
    let [arrival, rest] = plugged(0, XBOX, 1);
    assert_eq!(room.told(one, state(0, pressed(1))), [arrival, rest, host_state(0, pressed(1), 1)]);
}

#[test]
fn one_that_comes_while_nobody_may_act_is_plugged_in_when_it_acts() {
    let (mut room, [one]) = Room::in_mode(InputMode::ViewOnly);
    assert_eq!(room.told(one, connected(0)), []);
    assert_eq!(room.told(one, state(0, pressed(1))), []);
    room.aggregator.set_mode(InputMode::Shared);
    let [arrival, rest] = plugged(0, XBOX, 1);
    assert_eq!(room.told(one, state(0, pressed(1))), [arrival, rest, host_state(0, pressed(1), 1)]);
}

#[test]
fn a_new_host_is_told_of_all_that_are_plugged_in_at_rest() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, connected(0));
    room.told(one, state(0, pressed(1)));
    room.aggregator.handle_disconnected();
    room.act(two, connected(0));
    room.act(two, state(0, pressed(1)));
    assert_eq!(room.all(), []);
    room.aggregator.handle_connected();
    let told = [plugged(0, XBOX, 0b1), plugged(1, XBOX, 0b11)].concat();
    assert_eq!(room.all(), told);
    assert_eq!(room.told(one, state(0, pressed(1))), [host_state(0, pressed(1), 0b11)]);
}

#[test]
fn feedback_goes_to_the_owner_under_its_own_number() {
    let (mut room, [one, two]) = Room::new();
    room.told(one, connected(7));
    room.told(two, connected(9));
    let rumble = |number| HostFeedback::Rumble { gamepad: slot(number), low: 1, high: 2 };
    let owned = HostFeedback::Rumble { gamepad: pad(9), low: 1, high: 2 };
    assert_eq!(room.aggregator.route(rumble(1)), Some((two, owned)));
    assert_eq!(room.aggregator.route(rumble(2)), None);
    room.aggregator.leave(two);
    assert_eq!(room.aggregator.route(rumble(1)), None);
}

fn turned(x: f32) -> SensorReading {
    SensorReading { sensor: Sensor::Gyroscope, value: [x, 0.0, 0.0] }
}

#[test]
fn sensors_are_merged_each_for_itself_and_a_gyroscope_that_is_let_go_stops() {
    let (mut room, [one]) = Room::new();
    room.told(one, connected(0));
    let down = SensorReading { sensor: Sensor::Accelerometer, value: [0.0, 9.8, 0.0] };
    for reading in [turned(1.0), down, turned(2.0)] {
        room.act(one, InputEvent::GamepadMotion { index: pad(0), reading });
    }
    let told = |reading| HostInput::GamepadMotion { slot: slot(0), reading };
    assert_eq!(room.all(), [told(turned(2.0)), told(down)]);
    room.aggregator.release(one);
    assert_eq!(room.all(), [told(turned(0.0))]);
    room.aggregator.release(one);
    assert_eq!(room.all(), []);
}

#[test]
fn sensors_and_touchpads_of_gamepads_that_are_not_plugged_in_are_ignored() {
    let (mut room, [one]) = Room::new();
    let motion = InputEvent::GamepadMotion { index: pad(0), reading: turned(1.0) };
    assert_eq!(room.told(one, motion), []);
    assert_eq!(room.told(one, on_touchpad(PointerPhase::Down, 1, 1)), []);
}

fn touch(phase: PointerPhase, contact: u32, x: u16) -> GamepadTouch {
    GamepadTouch { phase, touchpad: 0, contact, position: place(x, 0), pressure: 0 }
}

fn on_touchpad(phase: PointerPhase, contact: u32, x: u16) -> InputEvent {
    InputEvent::GamepadTouch { index: pad(0), touch: touch(phase, contact, x) }
}

fn host_touch(phase: PointerPhase, contact: u32, x: u16) -> HostInput {
    HostInput::GamepadTouch { slot: slot(0), touch: touch(phase, contact, x) }
}

#[test]
fn fingers_on_a_touchpad_are_merged_as_they_move_and_cancelled_when_let_go() {
    let (mut room, [one]) = Room::new();
    room.told(one, connected(0));
    use PointerPhase::{Cancel, Down, Move, Up};
    for (phase, contact, x) in
        [(Down, 1, 1), (Move, 1, 2), (Down, 2, 3), (Move, 1, 4), (Up, 2, 5), (Move, 2, 6)]
    {
        room.act(one, on_touchpad(phase, contact, x));
    }
    let told = [(Down, 1, 1), (Move, 1, 4), (Down, 2, 3), (Up, 2, 5)];
    assert_eq!(room.all(), told.map(|(phase, contact, x)| host_touch(phase, contact, x)));
    let again = room.told(one, on_touchpad(Down, 1, 7));
    assert_eq!(again, [host_touch(Cancel, 1, 4), host_touch(Down, 1, 7)]);
    room.aggregator.release(one);
    assert_eq!(room.all(), [host_touch(Cancel, 1, 7)]);
}

#[test]
fn a_touchpad_has_eight_fingers() {
    let (mut room, [one]) = Room::new();
    room.told(one, connected(0));
    for contact in 0..8 {
        assert_eq!(room.told(one, on_touchpad(PointerPhase::Down, contact, 1)).len(), 1);
    }
    assert_eq!(room.told(one, on_touchpad(PointerPhase::Down, 8, 1)), []);
}

const XBOX: GamepadInfo =
    GamepadInfo { kind: GamepadKind::Xbox, capabilities: 0x07, buttons: GamepadButtons::XBOX };

#[test]
fn a_reading_of_the_next_gamepad_in_a_slot_is_not_merged_with_one_of_the_last() {
    let (mut room, [one, two]) = Room::new();
    let connected = InputEvent::GamepadConnected { index: pad(0), info: GamepadInfo::default() };
    let reading = |x| crate::input::event::SensorReading {
        sensor: crate::input::event::Sensor::Accelerometer,
        value: [x, 0.0, 0.0],
    };
    room.told(one, connected.clone());
    room.act(one, InputEvent::GamepadMotion { index: pad(0), reading: reading(1.0) });
    room.act(one, InputEvent::GamepadDisconnected { index: pad(0) });
    room.act(two, connected);
    room.act(two, InputEvent::GamepadMotion { index: pad(0), reading: reading(2.0) });
    let told = room.all();
    let moved = |x| HostInput::GamepadMotion { slot: slot(0), reading: reading(x) };
    assert_eq!((told.first(), told.last()), (Some(&moved(1.0)), Some(&moved(2.0))), "{told:?}");
}
