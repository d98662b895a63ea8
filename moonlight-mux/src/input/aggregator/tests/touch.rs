use super::*;
use crate::input::event::{Pen, PenTool};

fn touch(phase: PointerPhase, contact: u32) -> InputEvent {
    InputEvent::Touch(finger(phase, contact))
}

fn host_touch(phase: PointerPhase, contact: u32) -> HostInput {
    HostInput::Touch(finger(phase, contact))
}

#[test]
fn fingers_have_the_lowest_numbers_that_are_free_whatever_their_viewers_call_them() {
    let (mut room, [one, two]) = Room::new();
    use PointerPhase::{Down, Up};
    assert_eq!(room.told(one, touch(Down, 77)), [host_touch(Down, 0)]);
    assert_eq!(room.told(two, touch(Down, 77)), [host_touch(Down, 1)]);
    assert_eq!(room.told(one, touch(Up, 77)), [host_touch(Up, 0)]);
    assert_eq!(room.told(two, touch(Down, 78)), [host_touch(Down, 0)]);
    assert_eq!(room.told(two, touch(Up, 77)), [host_touch(Up, 1)]);
}

#[test]
fn moves_of_a_finger_are_merged_but_not_over_its_down_and_up() {
    let (mut room, [one, two]) = Room::new();
    let moved = |x| Touch { position: place(x, x), ..finger(PointerPhase::Move, 0) };
    let other = Touch { contact: 1, ..moved(9) };
    room.act(one, touch(PointerPhase::Down, 0));
    room.act(one, InputEvent::Touch(moved(1)));
    room.act(two, touch(PointerPhase::Down, 1));
    room.act(two, InputEvent::Touch(other));
    room.act(one, InputEvent::Touch(moved(2)));
    room.act(one, touch(PointerPhase::Up, 0));
    room.act(one, touch(PointerPhase::Down, 0));
    room.act(one, InputEvent::Touch(moved(3)));
    assert_eq!(
        room.all(),
        [
            host_touch(PointerPhase::Down, 0),
            HostInput::Touch(moved(2)),
            host_touch(PointerPhase::Down, 1),
            HostInput::Touch(other),
            host_touch(PointerPhase::Up, 0),
            host_touch(PointerPhase::Down, 0),
            HostInput::Touch(moved(3)),
        ]
    );
}

#[test]
fn fingers_that_never_went_down_and_phases_that_fingers_do_not_have_are_ignored() {
    let (mut room, [one]) = Room::new();
    use PointerPhase::{Buttons, Cancel, Hover, Leave, Move, Up};
    for phase in [Move, Up, Cancel, Hover, Leave, Buttons] {
        assert_eq!(room.told(one, touch(phase, 0)), [], "{phase:?}");
    }
}

#[test]
fn a_finger_that_goes_down_twice_was_cancelled_in_between() {
    let (mut room, [one]) = Room::new();
    room.told(one, touch(PointerPhase::Down, 5));
    assert_eq!(
        room.told(one, touch(PointerPhase::Down, 5)),
        [host_touch(PointerPhase::Cancel, 0), host_touch(PointerPhase::Down, 0)]
    );
}

#[test]
fn there_are_32_fingers_ten_for_each_viewer_and_those_of_who_leaves_are_cancelled_and_free_again() {
    let (mut room, viewers) = Room::new::<4>();
    use PointerPhase::{Cancel, Down, Move, Up};
    for number in 0..32u32 {
        let viewer = viewers[number as usize / 10];
        assert_eq!(room.told(viewer, touch(Down, number)), [host_touch(Down, number)]);
    }
    let [one, .., four] = viewers;
    for viewer in [one, four] {
        for phase in [Down, Move, Up] {
            assert_eq!(room.told(viewer, touch(phase, 99)), [], "an 11th of one's own, and a 33rd of all");
        }
    }
    // That was none too many.
    let again = [host_touch(Cancel, 9), host_touch(Down, 9)];
    assert_eq!(room.told(one, touch(Down, 9)), again);
    room.aggregator.leave(one);
    let cancelled: Vec<_> = (0..10).map(|contact| host_touch(Cancel, contact)).collect();
    assert_eq!(room.all(), cancelled);
    assert_eq!(room.told(four, touch(Down, 0)), [host_touch(Down, 0)]);
}

#[test]
fn one_viewer_takes_no_more_than_ten_fingers() {
    let (mut room, [one, two]) = Room::new();
    for contact in 0..32 {
        room.act(one, touch(PointerPhase::Down, contact));
    }
    assert_eq!(room.all().len(), 10);
    assert_eq!(room.told(two, touch(PointerPhase::Down, 0)), [host_touch(PointerPhase::Down, 10)]);
}

fn pen(phase: PointerPhase, x: u16) -> Pen {
    Pen {
        phase,
        tool: PenTool::Pen,
        buttons: 0,
        position: place(x, x),
        pressure: 9,
        rotation: Some(90),
        tilt: None,
    }
}

#[test]
fn hovering_and_moving_pens_are_merged_but_not_over_what_else_they_do() {
    let (mut room, [one]) = Room::new();
    use PointerPhase::{Buttons, Down, Hover, Leave, Move, Up};
    let barrel = Pen { buttons: 1, ..pen(Move, 6) };
    // Each, and whether it is told.
    let script = [
        (pen(Hover, 1), true),
        (pen(Hover, 2), false),
        (pen(Hover, 3), true),
        (pen(Down, 4), true),
        (pen(Move, 5), false),
        (pen(Move, 6), true),
        (Pen { phase: Buttons, ..barrel }, true),
        (barrel, true),
        (pen(Up, 7), true),
        (pen(Hover, 8), false),
        (pen(Hover, 9), true),
        (pen(Leave, 9), true),
    ];
    for (event, _) in script {
        room.act(one, InputEvent::Pen(event));
    }
    let told: Vec<_> = script.iter().filter(|event| event.1).map(|event| HostInput::Pen(event.0)).collect();
    assert_eq!(room.all(), told);
}

#[test]
fn the_pen_is_one_viewers_until_anothers_touches_down_while_it_hovers() {
    let (mut room, [one, two]) = Room::new();
    use PointerPhase::{Down, Hover, Leave, Move, Up};
    let told = |event| [HostInput::Pen(event)];
    assert_eq!(room.told(one, InputEvent::Pen(pen(Hover, 1))), told(pen(Hover, 1)));
    assert_eq!(room.told(two, InputEvent::Pen(pen(Hover, 2))), []);
    assert_eq!(room.told(two, InputEvent::Pen(pen(Leave, 2))), []);
    assert_eq!(
        room.told(two, InputEvent::Pen(pen(Down, 2))),
        [HostInput::Pen(pen(Leave, 1)), HostInput::Pen(pen(Down, 2))]
    );
    assert_eq!(room.told(one, InputEvent::Pen(pen(Down, 1))), []);
    assert_eq!(room.told(one, InputEvent::Pen(pen(Move, 1))), []);
    assert_eq!(room.told(two, InputEvent::Pen(pen(Up, 2))), told(pen(Up, 2)));
    assert_eq!(room.told(two, InputEvent::Pen(pen(Leave, 2))), told(pen(Leave, 2)));
    assert_eq!(room.told(one, InputEvent::Pen(pen(Hover, 1))), told(pen(Hover, 1)));
}

#[test]
fn a_pen_that_is_let_go_is_cancelled_if_it_was_down_and_leaves_otherwise() {
    let (mut room, [one, two]) = Room::new();
    use PointerPhase::{Cancel, Down, Hover, Leave};
    room.told(one, InputEvent::Pen(pen(Down, 1)));
    room.aggregator.release(two);
    assert_eq!(room.all(), []);
    room.aggregator.release(one);
    assert_eq!(room.all(), [HostInput::Pen(pen(Cancel, 1))]);
    room.told(one, InputEvent::Pen(pen(Hover, 2)));
    room.aggregator.leave(one);
    assert_eq!(room.all(), [HostInput::Pen(pen(Leave, 2))]);
}

#[test]
fn a_pen_that_leaves_while_it_is_down_is_cancelled() {
    let (mut room, [one]) = Room::new();
    room.told(one, InputEvent::Pen(pen(PointerPhase::Down, 1)));
    assert_eq!(
        room.told(one, InputEvent::Pen(pen(PointerPhase::Leave, 1))),
        [HostInput::Pen(pen(PointerPhase::Cancel, 1))]
    );
}
