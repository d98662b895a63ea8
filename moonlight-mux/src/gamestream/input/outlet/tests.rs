use proptest::prelude::*;

use super::*;
use crate::gamestream::input::tests::any_host_input;
use crate::input::{
    GamepadInfo, GamepadSlot, GamepadState, KeyCode, MouseButton, Pen, PenTool, Position, Touch,
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
        let now = crate::task::now();
        let mut played =
            Self { outlet: Outlet::new(now, HostKind::Usual), now, sent: Vec::new(), ordered: 0 };
        played.pass(ms(1000));
        played
    }

    /// Hands in what there is room for; gives how many that were.
    fn hand(&mut self, inputs: impl IntoIterator<Item = HostInput>) -> usize {
        let mut taken = 0;
        for input in inputs {
            if !self.outlet.has_room() {
                break;
            }
            self.outlet.handle_input(input);
            taken += 1;
            self.drain();
        }
        taken
    }

    fn drain(&mut self) {
        while let Some((input, ordered)) = self.outlet.poll(self.now) {
            self.ordered += usize::from(ordered);
            self.sent.push(HostInput::try_from(&input).unwrap());
        }
    }

    fn acknowledge(&mut self) {
        self.ordered = 0;
        self.outlet.handle_acknowledged(self.now, NOTHING);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.outlet.handle_timeout(self.now);
        self.drain();
    }
}

#[test]
fn text_waits_until_all_before_it_is_acknowledged_and_50_ms_more_and_keys_behind_it_too() {
    let mut played = Played::new();
    let (a, up) = (HostInput::Text('a'), key(b'B', false));
    assert_eq!(played.hand([key(b'B', true), a]), 2);
    assert_eq!(played.sent, [key(b'B', true)]);
    assert_eq!(played.outlet.poll_timeout(), None, "nothing to wait for but the host");
    assert_eq!(played.hand([up, up]), 1, "behind text one more, and no third");
    played.pass(ms(5000));
    assert_eq!(played.sent.len(), 1, "for as long as it takes");

    played.acknowledge();
    assert_eq!(played.outlet.poll_timeout(), Some(played.now + ms(50)));
    played.pass(ms(49));
    assert_eq!(played.sent.len(), 1);
    played.pass(ms(1));
    assert_eq!(played.sent[1..], [a]);
    assert!(!played.outlet.has_room(), "what is behind text may not pass it");
    played.acknowledge();
    played.pass(ms(50));
    assert_eq!(played.sent[2..], [up]);
    assert_eq!(played.outlet.poll_timeout(), None);
    assert!(played.outlet.has_room());
}

#[test]
fn text_that_follows_text_or_a_long_silence_goes_at_once() {
    let mut played = Played::new();
    let text: Vec<_> = "Grüße".chars().map(HostInput::Text).collect();
    assert_eq!(played.hand(text.clone()), 5);
    assert_eq!(played.sent, text);
    played.acknowledge();
    played.pass(ms(60));
    assert_eq!(played.hand([key(b'A', true)]), 1);
    assert_eq!(played.sent[5..], [key(b'A', true)], "and keys behind it");
}

#[test]
fn moves_and_gamepads_do_not_wait_for_text() {
    let mut played = Played::new();
    let slot = GamepadSlot::new(0).unwrap();
    let gamepad = HostInput::Gamepad { slot, state: GamepadState::default(), active: 1 };
    let moves = [point(2), HostInput::PointerBy { dx: 1, dy: 1 }, gamepad, touch(1, PointerPhase::Move)];
    played.hand([key(b'A', true), HostInput::Text('a')]);
    assert_eq!(played.hand(moves), 4);
    assert_eq!(played.sent[1..], moves);

    // But not once a click waits: they would move it.
    let click = HostInput::Button { button: MouseButton::Left, down: true };
    assert_eq!(played.hand([click, point(4)]), 1);
    played.acknowledge();
    played.pass(ms(50));
    assert_eq!(played.sent[5..], [HostInput::Text('a')]);
    assert_eq!(played.hand([point(4)]), 0);
    played.acknowledge();
    played.pass(ms(50));
    assert_eq!(played.sent[6..], [click]);
    assert_eq!(played.hand([point(4)]), 1);
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
    assert_eq!(played.hand(done), done.len());
    // It was never sent.
    assert_eq!(played.hand([HostInput::Text('a'), key(b'C', true)]), 2);
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
    let mut outlet = Outlet::new(crate::task::now(), HostKind::Wolf);
    let mut sent = |input| {
        outlet.handle_input(input);
        let (packet, _) = outlet.poll(crate::task::now()).expect("nothing is waited for");
        HostInput::try_from(&packet).unwrap()
    };
    let plain = HostInput::Key { code: KeyCode(b'A'), down: true, modifiers: Modifiers::default() };
    assert_eq!(sent(key(b'A', true)), plain);
    let HostInput::Touch(touch) = sent(touch(1, PointerPhase::Down)) else { panic!("a touch") };
    assert_eq!(touch.rotation, Some(0));
}

proptest! {
    /// Nothing is lost or doubled, and only moves and gamepads pass something: text.
    #[test]
    fn whatever_is_done_keeps_its_order_but_for_what_passes_text(
        steps in proptest::collection::vec((any_host_input(), 0u8..8), 1..60),
    ) {
        let mut played = Played::new();
        let mut handed = Vec::new();
        for (input, step) in steps {
            if played.hand([input]) == 1 {
                handed.push(input);
            }
            match step {
                0..4 => {}
                4 => played.acknowledge(),
                step => played.pass(ms(20 * u64::from(step - 4))),
            }
        }
        for _ in 0..3 {
            played.acknowledge();
            played.pass(CHANGE);
        }
        prop_assert!(played.outlet.has_room());
        prop_assert_eq!(played.outlet.poll_timeout(), None);
        let mut left = handed;
        for sent in played.sent {
            let at = left.iter().position(|&input| input == sent).expect("it was handed in, and not sent yet");
            let passed = &left[..at];
            let may_pass = !is_ordered(&sent) && passed.iter().all(|input| matches!(input, HostInput::Text(_)));
            prop_assert!(at == 0 || may_pass, "{sent:?} passed {passed:?}");
            left.remove(at);
        }
        prop_assert_eq!(left, []);
    }
}
