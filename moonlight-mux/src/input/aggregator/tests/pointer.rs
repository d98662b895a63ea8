use super::*;

fn to(x: u16, y: u16) -> HostInput {
    HostInput::PointerTo(place(x, y))
}

#[test]
fn moves_that_wait_are_one_move() {
    let (mut room, [one, two]) = Room::new();
    room.act(one, InputEvent::PointerBy { dx: 3, dy: -4 });
    room.act(two, InputEvent::PointerBy { dx: 30, dy: 0 });
    assert_eq!(room.all(), [HostInput::PointerBy { dx: 33, dy: -4 }]);
    room.act(one, InputEvent::PointerBy { dx: 5, dy: 5 });
    room.act(two, InputEvent::PointerTo(place(1, 2)));
    room.act(one, InputEvent::PointerTo(place(3, 4)));
    room.act(one, InputEvent::PointerBy { dx: 1, dy: 0 });
    assert_eq!(room.all(), [to(3, 4), HostInput::PointerBy { dx: 1, dy: 0 }]);
}

#[test]
fn moves_that_cancel_each_other_are_none() {
    let (mut room, [one]) = Room::new();
    room.act(one, InputEvent::PointerBy { dx: 3, dy: 0 });
    room.act(one, InputEvent::PointerBy { dx: -3, dy: 0 });
    room.act(one, InputEvent::PointerBy { dx: 0, dy: 0 });
    assert_eq!(room.all(), []);
}

#[test]
fn a_long_way_is_split_and_one_too_long_to_count_ends_at_the_bound() {
    let (mut room, [one]) = Room::new();
    room.act(one, InputEvent::PointerBy { dx: 40_000, dy: -32_769 });
    assert_eq!(
        room.all(),
        [HostInput::PointerBy { dx: 32_767, dy: -32_768 }, HostInput::PointerBy { dx: 7_233, dy: -1 }]
    );
    room.act(one, InputEvent::PointerBy { dx: i32::MAX, dy: i32::MIN });
    room.act(one, InputEvent::PointerBy { dx: i32::MAX, dy: i32::MIN });
    let sum = room.all().iter().fold((0, 0), |sum: (i64, i64), input| match input {
        HostInput::PointerBy { dx, dy } => (sum.0 + i64::from(*dx), sum.1 + i64::from(*dy)),
        other => panic!("{other:?}"),
    });
    assert_eq!(sum, (i32::MAX.into(), i32::MIN.into()));
}

#[test]
fn a_click_is_where_it_was_however_long_it_waits() {
    let (mut room, [one]) = Room::new();
    let click = |down, x| InputEvent::Button { button: MouseButton::Left, down, at: Some(place(x, x)) };
    assert_eq!(room.told(one, click(true, 7)), [to(7, 7), host_button(true)]);
    assert_eq!(room.told(one, click(false, 7)), [to(7, 7), host_button(false)]);
    room.act(one, InputEvent::PointerTo(place(1, 1)));
    room.act(one, click(true, 2));
    room.act(one, InputEvent::PointerTo(place(3, 3)));
    room.act(one, InputEvent::PointerTo(place(4, 4)));
    room.act(one, click(false, 5));
    room.act(one, InputEvent::PointerTo(place(6, 6)));
    assert_eq!(room.all(), [to(2, 2), host_button(true), to(5, 5), host_button(false), to(6, 6)]);
}

#[test]
fn a_button_is_down_from_the_first_who_presses_it_to_the_last_who_lets_go() {
    let (mut room, [one, two]) = Room::new();
    assert_eq!(room.told(one, button(true)), [host_button(true)]);
    assert_eq!(room.told(one, button(true)), []);
    assert_eq!(room.told(two, button(true)), []);
    room.aggregator.leave(one);
    assert_eq!(room.all(), []);
    assert_eq!(room.told(two, button(false)), [host_button(false)]);
    assert_eq!(room.told(two, button(false)), []);
}

#[test]
fn the_wheel_adds_up_where_the_pointer_is_and_turns_before_it_goes_elsewhere() {
    let (mut room, [one]) = Room::new();
    let scroll = |x| InputEvent::Scroll { dx: -30, dy: 120, at: Some(place(x, 0)) };
    room.act(one, scroll(1));
    room.act(one, scroll(1));
    room.act(one, scroll(2));
    room.act(one, InputEvent::PointerBy { dx: 9, dy: 9 });
    let turned = |amount, horizontal| HostInput::Scroll { horizontal, amount };
    assert_eq!(
        room.all(),
        [
            to(1, 0),
            turned(-60, true),
            turned(240, false),
            to(2, 0),
            turned(-30, true),
            turned(120, false),
            HostInput::PointerBy { dx: 9, dy: 9 }
        ]
    );
}

#[test]
fn a_wheel_turned_beyond_all_measure_is_split() {
    let (mut room, [one]) = Room::new();
    room.act(one, InputEvent::Scroll { dx: 0, dy: i16::MAX, at: None });
    room.act(one, InputEvent::Scroll { dx: 0, dy: 1, at: None });
    let turned = |amount| HostInput::Scroll { horizontal: false, amount };
    assert_eq!(room.all(), [turned(i16::MAX), turned(1)]);
}
