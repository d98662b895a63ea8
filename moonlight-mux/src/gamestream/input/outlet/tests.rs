mod sharing;

use super::*;
use crate::input::{
    GamepadInfo, GamepadSlot, GamepadState, KeyCode, MouseButton, Pen, PenTool, PointerPhase, Position, Touch,
};

const NOTHING: Unacknowledged = Unacknowledged { ordered: 0, all: 0 };

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn key(code: u8, down: bool) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::SHIFT }
}

fn point(x: u16) -> HostInput {
    HostInput::PointerTo(Position { x, y: 0 })
}

fn touch(contact: u32, phase: PointerPhase) -> HostInput {
    let position = Position { x: 7, y: 8 };
    HostInput::Touch(Touch { phase, contact, position, pressure: 9, rotation: None, ellipse: (0, 0) })
}

/// An outlet and what it let through. The host acknowledges when the test says so.
struct Played {
    outlet: Outlet,
    now: Instant,
    sent: Vec<HostInput>,
    ordered: usize,
}

impl Played {
    fn new() -> Self {
        let outlet = Outlet::new(HostKind::Usual);
        Self { outlet, now: crate::task::now(), sent: Vec::new(), ordered: 0 }
    }

    fn hand(&mut self, inputs: impl IntoIterator<Item = HostInput>) {
        for input in inputs {
            assert!(self.outlet.has_room());
            let (packet, ordered) = self.outlet.handle_input(input);
            self.ordered += usize::from(ordered);
            self.sent.push(HostInput::try_from(&packet).unwrap());
        }
    }

    fn acknowledge(&mut self) {
        self.ordered = 0;
        self.outlet.handle_acknowledged(self.now, NOTHING);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.outlet.handle_timeout(self.now);
    }
}

#[test]
fn a_change_between_text_and_the_rest_may_come_when_all_before_it_is_acknowledged_and_50_ms_later() {
    for input in [key(b'B', true), HostInput::Text('a'), touch(1, PointerPhase::Down)] {
        let mut played = Played::new();
        assert_eq!(played.outlet.change(), TextChange::Allowed, "nothing came before");
        played.hand([input]);
        assert_eq!(played.outlet.change(), TextChange::NotYet);
        assert_eq!(played.outlet.poll_timeout(), None, "nothing to wait for but the host");
        played.pass(ms(5000));
        played.outlet.handle_acknowledged(played.now, Unacknowledged { ordered: 1, all: 1 });
        assert_eq!((played.outlet.change(), played.outlet.poll_timeout()), (TextChange::NotYet, None));

        played.acknowledge();
        let done = Some(played.now + ms(50));
        assert_eq!((played.outlet.change(), played.outlet.poll_timeout()), (TextChange::NotYet, done));
        played.pass(ms(49));
        played.acknowledge();
        assert_eq!((played.outlet.change(), played.outlet.poll_timeout()), (TextChange::NotYet, done));
        played.pass(ms(1));
        assert_eq!((played.outlet.change(), played.outlet.poll_timeout()), (TextChange::Allowed, None));
        played.hand([key(b'B', false)]);
        assert_eq!(played.outlet.change(), TextChange::NotYet);
    }
}

#[test]
fn what_comes_within_the_50_ms_is_waited_for_too() {
    let mut played = Played::new();
    played.hand([key(b'B', true)]);
    played.acknowledge();
    played.pass(ms(40));
    played.hand([key(b'B', false)]);
    played.pass(ms(10));
    assert_eq!((played.outlet.change(), played.outlet.poll_timeout()), (TextChange::NotYet, None));
}

#[test]
fn nobody_waits_for_moves_and_gamepads() {
    let mut played = Played::new();
    let slot = GamepadSlot::new(0).unwrap();
    let gamepad = HostInput::Gamepad { slot, state: GamepadState::default(), active: 1 };
    let moves = [point(2), HostInput::PointerBy { dx: 1, dy: 1 }, gamepad, touch(1, PointerPhase::Move)];
    played.hand(moves);
    assert_eq!((played.outlet.change(), played.ordered), (TextChange::Allowed, 0));
    assert_eq!(played.sent, moves);
}

#[test]
fn when_much_is_unacknowledged_input_is_taken_once_per_millisecond() {
    let mut played = Played::new();
    let now = played.now;
    played.outlet.handle_taken(now, Unacknowledged { ordered: 0, all: AT_ONCE });
    assert!(played.outlet.has_room());
    played.outlet.handle_taken(now, Unacknowledged { ordered: 0, all: AT_ONCE + 1 });
    assert!(!played.outlet.has_room());
    assert_eq!(played.outlet.poll_timeout(), Some(now + ms(1)));
    played.pass(ms(1));
    assert!(played.outlet.has_room());
    assert_eq!(played.outlet.poll_timeout(), None);
}

#[test]
fn what_is_down_is_let_go_once_and_nothing_else() {
    let mut played = Played::new();
    let slot = |number| GamepadSlot::new(number).unwrap();
    let pen = |phase| {
        let position = Position { x: 1, y: 2 };
        HostInput::Pen(Pen {
            phase,
            tool: PenTool::Pen,
            buttons: 0,
            position,
            pressure: 0,
            rotation: None,
            tilt: None,
        })
    };
    let button = |button, down| HostInput::Button { button, down };
    let plugged = |number| HostInput::GamepadConnected { slot: slot(number), info: GamepadInfo::default() };
    let gamepad =
        |number, active| HostInput::Gamepad { slot: slot(number), state: GamepadState::default(), active };
    let done = [
        key(0xa2, true),
        key(b'A', true),
        key(b'B', true),
        key(b'B', false),
        button(MouseButton::Right, true),
        button(MouseButton::Left, true),
        button(MouseButton::Left, false),
        touch(3, PointerPhase::Down),
        touch(4, PointerPhase::Down),
        touch(3, PointerPhase::Up),
        pen(PointerPhase::Hover),
        pen(PointerPhase::Down),
        plugged(0),
        gamepad(0, 1),
        plugged(2),
        gamepad(2, 5),
        plugged(5),
        gamepad(5, 0x25),
        gamepad(0, 0x24),
    ];
    played.hand(done);
    let mut let_go = || {
        let packets = played.outlet.release();
        packets.iter().map(|packet| HostInput::try_from(packet).unwrap()).collect::<Vec<_>>()
    };
    let up = |code| HostInput::Key { code: KeyCode(code), down: false, modifiers: Modifiers::default() };
    let expected = [
        gamepad(2, 0x20),
        gamepad(5, 0),
        touch(4, PointerPhase::Cancel),
        pen(PointerPhase::Cancel),
        pen(PointerPhase::Leave),
        button(MouseButton::Right, false),
        up(b'A'),
        up(0xa2),
    ];
    assert_eq!(let_go(), expected);
    assert_eq!(let_go(), []);
}

#[test]
fn wolf_is_told_of_no_modifiers_and_of_no_unknown_rotation() {
    let mut outlet = Outlet::new(HostKind::Wolf);
    let mut sent = |input| HostInput::try_from(&outlet.handle_input(input).0).unwrap();
    let plain = HostInput::Key { code: KeyCode(b'A'), down: true, modifiers: Modifiers::default() };
    assert_eq!(sent(key(b'A', true)), plain);
    let HostInput::Touch(touch) = sent(touch(1, PointerPhase::Down)) else { panic!("a touch") };
    assert_eq!(touch.rotation, Some(0));
}
