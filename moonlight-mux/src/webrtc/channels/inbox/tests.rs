use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::input::{
    Buttons, GamepadButtons, GamepadIndex, GamepadInfo, KeyCode, KeySet, Modifiers, MouseButton, PenTool,
    SensorReading,
};
use crate::webrtc::channels::input_message::tests::{bodies, vectors};

use Channel::{Input, Motion};

impl Inbox {
    fn hear(&mut self, channel: Channel, sequence: u32, body: Body) -> Vec<InputEvent> {
        assert!(body.may_come_on(channel));
        let mut events = VecDeque::new();
        self.handle(channel, InputMessage { sequence: Sequence(sequence), body }, &mut events);
        events.into()
    }
}

fn at(x: u16) -> Position {
    Position { x, y: 0 }
}

fn to(x: u16) -> Body {
    Body::Pointer(Place::At(at(x)))
}

fn total(x: i32) -> Place {
    Place::Total { x, y: 0 }
}

fn left(down: bool, place: Place) -> Body {
    Body::Button { button: MouseButton::Left, down, place }
}

fn clicked(down: bool, at: Option<Position>) -> InputEvent {
    InputEvent::Button { button: MouseButton::Left, down, at }
}

fn by(dx: i32) -> InputEvent {
    InputEvent::PointerBy { dx, dy: 0 }
}

fn touch(contact: u32, phase: PointerPhase) -> Touch {
    Touch { phase, contact, position: at(9), pressure: 0, rotation: None, ellipse: (0, 0) }
}

fn finger(contact: u32, phase: PointerPhase) -> Body {
    Body::Touch(touch(contact, phase))
}

fn pen(phase: PointerPhase) -> Pen {
    Pen { phase, tool: PenTool::Pen, buttons: 0, position: at(9), pressure: 0, rotation: None, tilt: None }
}

fn first() -> GamepadIndex {
    GamepadIndex::new(0).expect("below 16")
}

fn state(buttons: u32, stick: i16) -> GamepadState {
    GamepadState { buttons: GamepadButtons(buttons), left_stick: (stick, 0), ..GamepadState::default() }
}

fn gamepad(buttons: u32, stick: i16) -> Body {
    Body::Gamepad { index: first(), state: state(buttons, stick) }
}

fn gamepad_is(buttons: u32, stick: i16) -> Vec<InputEvent> {
    vec![InputEvent::Gamepad { index: first(), state: state(buttons, stick) }]
}

fn key(code: u8, down: bool) -> Body {
    Body::Key { code: KeyCode(code), down, modifiers: Modifiers(0), locks: None }
}

fn held(keys: &[u8]) -> Body {
    Body::Held { keys: keys.iter().copied().map(KeyCode).collect(), buttons: Buttons(0) }
}

#[test]
fn a_late_move_never_lands_behind_the_click_that_it_came_before() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Motion, 1, to(1)), [InputEvent::PointerTo(at(1))]);
    assert_eq!(inbox.hear(Motion, 3, to(3)), [InputEvent::PointerTo(at(3))]);
    assert_eq!(inbox.hear(Motion, 2, to(2)), []);
    assert_eq!(inbox.hear(Input, 5, left(true, Place::At(at(5)))), [clicked(true, Some(at(5)))]);
    assert_eq!(inbox.hear(Motion, 4, to(4)), []);
    let wheel = Body::Scroll { dx: 0, dy: 120, place: Place::At(at(7)) };
    assert_eq!(inbox.hear(Input, 7, wheel), [InputEvent::Scroll { dx: 0, dy: 120, at: Some(at(7)) }]);
    assert_eq!(inbox.hear(Motion, 6, to(6)), []);
    // A click without a place has its turn among the moves too.
    assert_eq!(inbox.hear(Input, 9, left(false, Place::Unsaid)), [clicked(false, None)]);
    assert_eq!(inbox.hear(Motion, 8, to(8)), []);
    assert_eq!(inbox.hear(Motion, 10, to(10)), [InputEvent::PointerTo(at(10))]);
}

#[test]
fn a_click_that_a_move_overtook_happens_at_its_own_place_and_the_pointer_goes_on() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Motion, 2, to(2)), [InputEvent::PointerTo(at(2))]);
    assert_eq!(
        inbox.hear(Input, 1, left(true, Place::At(at(1)))),
        [clicked(true, Some(at(1))), InputEvent::PointerTo(at(2))]
    );
    // Where it stayed there is nothing to go on to.
    assert_eq!(inbox.hear(Motion, 4, to(4)), [InputEvent::PointerTo(at(4))]);
    assert_eq!(inbox.hear(Input, 3, left(false, Place::At(at(4)))), [clicked(false, Some(at(4)))]);

    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Motion, 2, Body::Pointer(total(50))), [by(50)]);
    assert_eq!(inbox.hear(Input, 1, left(true, total(40))), [by(-10), clicked(true, None), by(10)]);
    assert_eq!(inbox.hear(Input, 3, left(false, total(50))), [clicked(false, None)]);
}

#[test]
fn totals_become_movements_and_lost_messages_lose_none() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Motion, 1, Body::Pointer(total(3))), [by(3)]);
    // 2 and 3 are lost.
    assert_eq!(inbox.hear(Motion, 4, Body::Pointer(total(-20))), [by(-23)]);
    // Absolute places in between change nothing.
    assert_eq!(inbox.hear(Motion, 5, to(1)), [InputEvent::PointerTo(at(1))]);
    assert_eq!(inbox.hear(Input, 6, left(true, total(-20))), [clicked(true, None)]);
    let wheel = Body::Scroll { dx: 1, dy: 0, place: total(-21) };
    assert_eq!(inbox.hear(Input, 7, wheel), [by(-1), InputEvent::Scroll { dx: 1, dy: 0, at: None }]);
}

#[test]
fn totals_wrap_and_nobody_moves_further_than_a_hand_does() {
    let mut inbox = Inbox::default();
    let mut moved = |sequence, x| inbox.hear(Motion, sequence, Body::Pointer(total(x)));
    assert_eq!(moved(1, i32::MAX), [by(32767)]);
    assert_eq!(moved(2, i32::MIN + 9), [by(10)]);
    assert_eq!(moved(3, 0), [by(32767)]);
    assert_eq!(moved(4, -5), [by(-5)]);
}

#[test]
fn sequence_numbers_wrap() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Motion, u32::MAX, to(1)).len(), 1);
    assert_eq!(inbox.hear(Motion, 1, to(3)).len(), 1);
    assert_eq!(inbox.hear(Motion, 0, to(2)), []);
    assert_eq!(inbox.hear(Motion, 1, to(3)), []);
}

#[test]
fn a_finger_moves_only_while_it_is_down_and_never_back() {
    use PointerPhase::{Cancel, Down, Move, Up};

    let mut inbox = Inbox::default();
    let mut heard = |channel, sequence, contact, phase| {
        let events = inbox.hear(channel, sequence, finger(contact, phase));
        assert!(events.is_empty() || events == [InputEvent::Touch(touch(contact, phase))], "{events:?}");
        !events.is_empty()
    };
    assert!(!heard(Motion, 11, 1, Move), "it overtook its down");
    assert!(heard(Input, 10, 1, Down));
    assert!(heard(Motion, 13, 1, Move));
    assert!(!heard(Motion, 12, 1, Move), "it was overtaken");
    assert!(heard(Input, 14, 2, Down));
    assert!(heard(Motion, 15, 2, Move));
    assert!(heard(Input, 16, 1, Move), "what is said on input may move it too");
    assert!(heard(Input, 18, 1, Up));
    assert!(!heard(Motion, 17, 1, Move), "it is up");
    assert!(!heard(Input, 19, 1, Cancel), "it is up");
    assert!(heard(Input, 21, 1, Down));
    assert!(!heard(Motion, 17, 1, Move), "it is another finger's");
    assert!(heard(Input, 22, 2, Cancel));
}

#[test]
fn more_fingers_than_anybody_has_are_left_out() {
    let mut inbox = Inbox::default();
    for contact in 0..100 {
        let events = inbox.hear(Input, contact, finger(contact, PointerPhase::Down));
        assert_eq!(events.len(), usize::from(contact < 32), "{contact}");
    }
    assert_eq!(inbox.hear(Input, 100, finger(50, PointerPhase::Up)), []);
    assert_eq!(inbox.hear(Input, 101, finger(5, PointerPhase::Up)).len(), 1);
    assert_eq!(inbox.hear(Input, 102, finger(50, PointerPhase::Down)).len(), 1);
}

#[test]
fn a_pen_that_hovers_or_moves_out_of_turn_does_nothing() {
    use PointerPhase::{Buttons, Cancel, Down, Hover, Leave, Move, Up};

    let mut inbox = Inbox::default();
    let mut heard = |channel, sequence, phase| {
        let events = inbox.hear(channel, sequence, Body::Pen(pen(phase)));
        assert!(events.is_empty() || events == [InputEvent::Pen(pen(phase))], "{events:?}");
        !events.is_empty()
    };
    assert!(heard(Motion, 1, Hover));
    assert!(!heard(Motion, 3, Move), "it overtook its down");
    assert!(heard(Input, 2, Down));
    assert!(heard(Motion, 5, Move));
    assert!(!heard(Motion, 4, Move), "it was overtaken");
    assert!(heard(Input, 6, Buttons));
    assert!(!heard(Motion, 9, Hover), "it overtook its up");
    assert!(heard(Input, 8, Up));
    assert!(!heard(Motion, 7, Move), "it is up");
    assert!(heard(Motion, 10, Hover));
    assert!(heard(Input, 11, Leave) && heard(Input, 12, Down) && heard(Input, 13, Cancel));
    assert!(heard(Motion, 14, Hover));
}

#[test]
fn a_gamepads_buttons_go_by_input_and_its_sticks_by_the_newest() {
    let mut inbox = Inbox::default();
    assert_eq!(inbox.hear(Input, 1, gamepad(0, 0)), gamepad_is(0, 0));
    assert_eq!(inbox.hear(Motion, 4, gamepad(0, 40)), gamepad_is(0, 40));
    assert_eq!(inbox.hear(Motion, 3, gamepad(0, 30)), []);
    // Pressed and let go before the stick moved, and later to arrive.
    assert_eq!(inbox.hear(Input, 2, gamepad(0x1000, 20)), gamepad_is(0x1000, 40));
    assert_eq!(inbox.hear(Input, 3, gamepad(0, 30)), gamepad_is(0, 40));
    // The button comes by itself.
    assert_eq!(inbox.hear(Motion, 6, gamepad(0x2000, 60)), gamepad_is(0, 60));
    assert_eq!(inbox.hear(Input, 5, gamepad(0x2000, 50)), gamepad_is(0x2000, 60));
    assert_eq!(inbox.hear(Motion, 7, gamepad(0x2000, 0)), gamepad_is(0x2000, 0));
}

#[test]
fn a_gamepad_that_is_unplugged_is_not_plugged_in_by_what_comes_late() {
    let mut inbox = Inbox::default();
    let reading = SensorReading { sensor: Sensor::Gyroscope, value: [1.0, 2.0, 3.0] };
    let motion = || Body::GamepadMotion { index: first(), reading };
    let swipe = |phase| Body::GamepadTouch {
        index: first(),
        touch: GamepadTouch { phase, touchpad: 0, contact: 7, position: at(1), pressure: 0 },
    };
    let connected = || Body::GamepadConnected { index: first(), info: GamepadInfo::default() };
    assert_eq!(inbox.hear(Motion, 1, gamepad(0, 10)), []);
    assert_eq!(inbox.hear(Motion, 1, motion()), []);
    assert_eq!(inbox.hear(Input, 2, swipe(PointerPhase::Down)), []);
    assert_eq!(inbox.hear(Input, 5, connected()).len(), 1);
    assert_eq!(inbox.hear(Motion, 4, gamepad(0, 10)), [], "it is of the one before");
    assert_eq!(inbox.hear(Motion, 6, motion()).len(), 1);
    assert_eq!(inbox.hear(Input, 7, swipe(PointerPhase::Down)).len(), 1);
    assert_eq!(inbox.hear(Motion, 9, swipe(PointerPhase::Move)).len(), 1);
    // Each thing by itself: what is newer of one makes nothing else late.
    assert_eq!(inbox.hear(Motion, 8, gamepad(0, 10)), gamepad_is(0, 10));
    assert_eq!(inbox.hear(Motion, 5, motion()), []);
    assert_eq!(inbox.hear(Input, 10, Body::GamepadDisconnected { index: first() }).len(), 1);
    for late in [gamepad(0, 11), motion(), swipe(PointerPhase::Move)] {
        assert_eq!(inbox.hear(Motion, 11, late), []);
    }
}

#[test]
fn what_is_held_is_not_said_by_a_message_that_a_key_or_a_button_overtook() {
    let mut inbox = Inbox::default();
    let said = |keys: &[u8]| {
        let keys: KeySet = keys.iter().copied().map(KeyCode).collect();
        [InputEvent::Held { keys, buttons: Buttons(0) }]
    };
    assert_eq!(inbox.hear(Motion, 1, held(&[])), said(&[]));
    inbox.hear(Input, 3, key(0x41, true));
    assert_eq!(inbox.hear(Motion, 2, held(&[])), [], "the key would be let go");
    assert_eq!(inbox.hear(Motion, 4, held(&[0x41])), said(&[0x41]));
    inbox.hear(Input, 6, left(true, Place::Unsaid));
    assert_eq!(inbox.hear(Motion, 5, held(&[0x41])), []);
    assert_eq!(inbox.hear(Motion, 8, held(&[0x41])), said(&[0x41]));
    assert_eq!(inbox.hear(Motion, 7, held(&[0x42])), []);
}

#[test]
fn what_comes_behind_a_release_of_all_brings_nothing_of_it_back() {
    let mut inbox = Inbox::default();
    inbox.hear(Input, 1, gamepad(0x1000, 10));
    inbox.hear(Input, 2, finger(1, PointerPhase::Down));
    inbox.hear(Input, 3, Body::Pen(pen(PointerPhase::Down)));
    assert_eq!(inbox.hear(Input, 9, Body::ReleaseAll), [InputEvent::ReleaseAll]);
    assert_eq!(inbox.hear(Motion, 4, gamepad(0x1000, 20)), []);
    assert_eq!(inbox.hear(Motion, 5, finger(1, PointerPhase::Move)), []);
    assert_eq!(inbox.hear(Motion, 6, Body::Pen(pen(PointerPhase::Move))), []);
    assert_eq!(inbox.hear(Motion, 7, Body::Pen(pen(PointerPhase::Hover))), []);
    assert_eq!(inbox.hear(Motion, 8, held(&[])), []);
    assert_eq!(inbox.hear(Motion, 10, gamepad(0x1000, 20)), gamepad_is(0, 20));
}

#[test]
fn other_channels_and_malformed_messages_are_faults_that_change_nothing() {
    let mut inbox = Inbox::default();
    let mut events = VecDeque::new();
    let now = crate::task::now();
    for (label, message, fault) in [
        ("events", &[0, 0, 0, 1, 0x0e][..], Fault::WrongChannel),
        ("motion", &[0, 0, 0, 1, 0x0e], Fault::WrongChannel),
        ("input", &[0, 0, 0, 1, 0x0f], Fault::Malformed),
        ("input", &[], Fault::Malformed),
    ] {
        assert_eq!(inbox.decode(now, label, message, &mut events), Err(fault), "{label} {message:?}");
    }
    assert!(events.is_empty());
    for (name, channel, bytes, _) in vectors() {
        let label = if channel == Input { INPUT } else { MOTION };
        assert_eq!(inbox.decode(now, label, &bytes, &mut events), Ok(()), "{name}");
    }
}

/// A viewer's messages as they were sent, each with how much later it arrives; `None`: it is lost. Those on `input` are never
/// lost, and arrive in order.
fn sent() -> impl Strategy<Value = Vec<(Body, bool, Option<usize>)>> {
    prop::collection::vec((bodies(), any::<bool>(), prop::option::weighted(0.9, 0usize..6)), 0..80)
}

/// The messages in the order in which they arrive.
fn arrivals(first: u32, sent: Vec<(Body, bool, Option<usize>)>) -> Vec<(Channel, u32, Body)> {
    let mut arriving = Vec::new();
    let mut input_at = 0;
    for (n, (body, prefers_motion, late)) in sent.into_iter().enumerate() {
        let channel = match prefers_motion && body.may_come_on(Motion) || !body.may_come_on(Input) {
            true => Motion,
            false => Input,
        };
        let at = match (channel, late) {
            (Motion, None) => continue,
            (Motion, Some(late)) => n + late,
            (Input, late) => {
                input_at = input_at.max(n + late.unwrap_or(10));
                input_at
            }
        };
        arriving.push((at, channel, first.wrapping_add(n as u32), body));
    }
    // Stable: what arrives at once arrives as it was sent.
    arriving.sort_by_key(|(at, ..)| *at);
    arriving.into_iter().map(|(_, channel, sequence, body)| (channel, sequence, body)).collect()
}

/// What of `input` must come out as it went in, one for one.
fn is_kept(body: &Body) -> bool {
    !matches!(body, Body::Touch(_) | Body::Pen(_) | Body::GamepadTouch { .. })
}

proptest! {
    /// However messages are reordered and lost: what comes on `input` happens in order and whole, and each message makes at
    /// most three events.
    #[test]
    fn what_comes_on_input_happens_in_order(first in any::<u32>(), sent in sent()) {
        let mut inbox = Inbox::default();
        for (channel, sequence, body) in arrivals(first, sent) {
            let events = inbox.hear(channel, sequence, body.clone());
            prop_assert!(events.len() <= 3);
            let whole: Vec<_> = events
                .iter()
                .filter(|event| !matches!(event, InputEvent::PointerTo(_) | InputEvent::PointerBy { .. }))
                .collect();
            if channel == Input && is_kept(&body) {
                let [event] = whole[..] else { return Err(TestCaseError::fail(format!("{body:?}: {events:?}"))) };
                let same = match (&body, event) {
                    (Body::Key { code, down, modifiers, locks }, InputEvent::Key { code: c, down: d, modifiers: m, locks: l }) =>
                        (code, down, modifiers, locks) == (c, d, m, l),
                    (Body::Text(text), InputEvent::Text(said)) => text == said,
                    (Body::Button { button, down, place }, InputEvent::Button { button: b, down: d, at }) =>
                        (button, down) == (b, d) && at.map(Place::At) == Some(*place).filter(|place| matches!(place, Place::At(_))),
                    (Body::Scroll { dx, dy, place }, InputEvent::Scroll { dx: x, dy: y, at }) =>
                        (dx, dy) == (x, y) && at.map(Place::At) == Some(*place).filter(|place| matches!(place, Place::At(_))),
                    (Body::GamepadConnected { index, info }, InputEvent::GamepadConnected { index: i, info: n }) =>
                        (index, info) == (i, n),
                    (Body::GamepadDisconnected { index }, InputEvent::GamepadDisconnected { index: i }) => index == i,
                    (Body::Gamepad { index, state }, InputEvent::Gamepad { index: i, state: s }) =>
                        (index, state.buttons) == (i, s.buttons),
                    (Body::ReleaseAll, InputEvent::ReleaseAll) => true,
                    _ => false,
                };
                prop_assert!(same, "{:?}: {:?}", body, events);
            }
        }
    }

    /// However messages are reordered and lost: once the newest place has arrived the pointer is there, and has moved by as
    /// much as was said.
    #[test]
    fn the_pointer_ends_where_it_was_said_last(
        first in any::<u32>(),
        steps in prop::collection::vec((-300i32..300, -300i32..300, 0u8..5, prop::option::weighted(0.8, 0usize..6)), 1..80),
    ) {
        let (mut x, mut y) = (0i32, 0);
        let mut sent: Vec<_> = steps
            .into_iter()
            .map(|(dx, dy, act, late)| {
                (x, y) = (x + dx, y + dy);
                let place = if act == 4 { Place::At(at(dx.unsigned_abs() as u16)) } else { Place::Total { x, y } };
                (if act == 0 { left(dx > 0, place) } else { Body::Pointer(place) }, true, late)
            })
            .collect();
        // These arrive, the latest of all.
        sent.push((Body::Pointer(Place::At(at(12345))), true, Some(20)));
        sent.push((Body::Pointer(Place::Total { x, y }), true, Some(20)));
        let mut inbox = Inbox::default();
        let (mut sum, mut place) = ((0, 0), None);
        for (channel, sequence, body) in arrivals(first, sent) {
            for event in inbox.hear(channel, sequence, body) {
                match event {
                    InputEvent::PointerBy { dx, dy } => sum = (sum.0 + dx, sum.1 + dy),
                    InputEvent::PointerTo(to) => place = Some(to),
                    _ => {}
                }
            }
        }
        prop_assert_eq!((sum, place), ((x, y), Some(at(12345))));
    }

    /// However messages are reordered and lost: fingers and gamepads do nothing that is not between their coming and going.
    #[test]
    fn nothing_moves_that_is_not_there(first in any::<u32>(), sent in sent()) {
        let mut inbox = Inbox::default();
        let (mut fingers, mut gamepads) = (HashSet::new(), HashSet::new());
        for (channel, sequence, body) in arrivals(first, sent) {
            for event in inbox.hear(channel, sequence, body.clone()) {
                match event {
                    InputEvent::Touch(Touch { contact, phase: PointerPhase::Down, .. }) => {
                        fingers.insert(contact);
                    }
                    InputEvent::Touch(Touch { contact, phase: PointerPhase::Move, .. }) => {
                        prop_assert!(fingers.contains(&contact));
                    }
                    InputEvent::Touch(Touch { contact, .. }) => prop_assert!(fingers.remove(&contact)),
                    InputEvent::ReleaseAll => fingers.clear(),
                    InputEvent::GamepadConnected { index, .. } => {
                        gamepads.insert(index);
                    }
                    InputEvent::Gamepad { index, .. } if channel == Input => {
                        gamepads.insert(index);
                    }
                    InputEvent::GamepadDisconnected { index } => {
                        gamepads.remove(&index);
                    }
                    InputEvent::Gamepad { index, .. }
                    | InputEvent::GamepadMotion { index, .. }
                    | InputEvent::GamepadTouch { index, .. } => prop_assert!(gamepads.contains(&index)),
                    _ => {}
                }
            }
        }
    }
}
