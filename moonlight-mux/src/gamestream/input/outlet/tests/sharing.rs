//! Viewers behind an aggregator, an outlet, and a host that acknowledges what it is sent after a round trip, on a clock of
//! their own.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::input::{
    Aggregator, Full, GamepadButtons, GamepadIndex, InputEvent, InputMode, KeySet, Order, Rights,
};
use crate::peer::PeerId;

struct Room {
    aggregator: Aggregator,
    outlet: Outlet,
    now: Instant,
    /// When the host acknowledges it, and whether it is ordered.
    underway: VecDeque<(Instant, bool)>,
    sent: Vec<(Instant, PeerId, HostInput)>,
}

impl Room {
    fn new<const VIEWERS: usize>() -> (Self, [PeerId; VIEWERS]) {
        let mut aggregator = Aggregator::new(InputMode::Shared);
        aggregator.handle_connected();
        let viewers = [(); VIEWERS].map(|()| PeerId::random());
        viewers.iter().for_each(|&viewer| aggregator.join(viewer, Rights::ALL));
        let outlet = Outlet::new(HostKind::Usual);
        let room =
            Self { aggregator, outlet, now: crate::task::now(), underway: VecDeque::new(), sent: Vec::new() };
        (room, viewers)
    }

    fn act(&mut self, viewer: PeerId, event: &InputEvent) -> Result<(), Full> {
        self.aggregator.handle(self.now, viewer, event)
    }

    /// A millisecond goes by.
    fn step(&mut self) {
        self.now += ms(1);
        self.underway.retain(|(acknowledged, _)| *acknowledged > self.now);
        self.outlet.handle_acknowledged(self.now, self.unacknowledged());
        if self.outlet.poll_timeout().is_some_and(|due| due <= self.now) {
            self.outlet.handle_timeout(self.now);
        }
        self.aggregator.handle_timeout(self.now);
        self.take();
    }

    fn take(&mut self) {
        while self.outlet.has_room()
            && self.underway.len() < WINDOW
            && let Some((viewer, input)) = self.aggregator.poll(self.outlet.change())
        {
            let (_, ordered) = self.outlet.handle_input(input);
            self.underway.push_back((self.now + ROUND_TRIP, ordered));
            self.sent.push((self.now, viewer, input));
        }
        self.outlet.handle_taken(self.now, self.unacknowledged());
    }

    fn unacknowledged(&self) -> Unacknowledged {
        let ordered = self.underway.iter().filter(|(_, ordered)| *ordered).count();
        Unacknowledged { ordered, all: self.underway.len() }
    }

    /// How often text followed an action, or an action text.
    fn changes(&self) -> usize {
        let orders =
            self.sent.iter().map(|(_, _, input)| input.order()).filter(|&order| order != Order::Free);
        let orders: Vec<_> = orders.collect();
        orders.windows(2).filter(|two| two[0] != two[1]).count()
    }

    /// Between text and an action, whoever's, all before was acknowledged and [`CHANGE`] passed.
    fn check(&self) {
        let ordered = self.sent.iter().filter(|(_, _, input)| input.order() != Order::Free);
        let ordered: Vec<_> = ordered.collect();
        for two in ordered.windows(2) {
            let changes = two[0].2.order() != two[1].2.order();
            assert!(!changes || two[1].0 - two[0].0 >= ROUND_TRIP + CHANGE, "{two:?}");
        }
    }

    fn of(&self, viewer: PeerId) -> Vec<HostInput> {
        self.sent.iter().filter(|(_, of, _)| *of == viewer).map(|(_, _, input)| *input).collect()
    }
}

/// A viewer that types a letter and presses a key by turns, as fast as it is let.
#[derive(Default)]
struct Alternating {
    done: usize,
}

impl Alternating {
    fn act(&mut self, room: &mut Room, viewer: PeerId) {
        while room.act(viewer, &Self::event(self.done)).is_ok() {
            self.done += 1;
            assert!(self.done < 100_000, "it is let for ever");
        }
    }

    fn event(n: usize) -> InputEvent {
        match n % 3 {
            0 => InputEvent::Text("x".to_owned()),
            n => press(b'K', n == 1),
        }
    }
}

fn press(code: u8, down: bool) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down, modifiers: Modifiers::default(), locks: None }
}

fn click(down: bool) -> InputEvent {
    InputEvent::Button { button: MouseButton::Left, down, at: None }
}

fn host_click(down: bool) -> HostInput {
    HostInput::Button { button: MouseButton::Left, down }
}

/// How long a click of one more viewer takes to leave, at the most, while so many alternate.
fn longest_click<const VIEWERS: usize>() -> Duration {
    let (mut room, viewers) = Room::new::<VIEWERS>();
    let (clicker, others) = viewers.split_first().unwrap();
    let mut alternating: Vec<_> = others.iter().map(|_| Alternating::default()).collect();
    let mut longest = Duration::ZERO;
    let mut clicked: Option<Instant> = None;
    let (mut down, mut clicks, mut rest) = (true, 0, 0);
    while clicks < 200 {
        for (viewer, alternating) in others.iter().zip(&mut alternating) {
            alternating.act(&mut room, *viewer);
        }
        if clicked.is_none() && rest == 0 {
            room.act(*clicker, &click(down)).expect("it does no more than click");
            clicked = Some(room.now);
        }
        let before = room.sent.len();
        room.take();
        room.step();
        rest = usize::saturating_sub(rest, 1);
        if let Some(at) = clicked
            && let Some(&(left, ..)) = room.sent[before..].iter().find(|(_, of, _)| of == clicker)
        {
            longest = longest.max(left - at);
            // At any time of the others' changes.
            (clicked, down, clicks, rest) = (None, !down, clicks + 1, clicks % 37);
        }
    }
    room.check();
    longest
}

#[test]
fn whoever_alternates_text_and_keys_delays_nobodys_click_by_more_than_two_changes() {
    // And each change is noticed up to a millisecond late.
    let bound = 2 * (ROUND_TRIP + CHANGE + ms(2));
    for longest in [longest_click::<2>(), longest_click::<3>(), longest_click::<21>()] {
        assert!((ROUND_TRIP + CHANGE..=bound).contains(&longest), "{longest:?}");
    }
}

#[test]
fn moves_and_gamepads_wait_for_nobodys_text_though_others_keys_and_clicks_do() {
    let (mut room, [one, two, three]) = Room::new();
    let mut alternating = Alternating::default();
    let mut clicks = 0;
    let mut newest = 0;
    for x in 1..2000u16 {
        alternating.act(&mut room, one);
        clicks += usize::from(room.act(two, &press(b'B', clicks % 2 == 0)).is_ok());
        let place = Position { x, y: 0 };
        let buttons = GamepadButtons(u32::from(x));
        let index = GamepadIndex::new(0).unwrap();
        let pressed = GamepadState { buttons, ..GamepadState::default() };
        room.act(three, &InputEvent::PointerTo(place)).unwrap();
        room.act(three, &InputEvent::Gamepad { index, state: pressed }).unwrap();
        room.step();
        room.take();
        let mine = room.of(three);
        let gamepad =
            |input: &&HostInput| matches!(input, HostInput::Gamepad { state, .. } if *state == pressed);
        assert!(mine[newest..].contains(&HostInput::PointerTo(place)), "at {x}");
        assert!(mine[newest..].iter().find(gamepad).is_some(), "at {x}");
        newest = mine.len();
    }
    assert!(room.changes() > 20);
    room.check();
}

#[test]
fn nothing_of_those_who_wait_for_their_turn_is_lost_or_overtaken() {
    let (mut room, [one, two]) = Room::new();
    let mut alternating = Alternating::default();
    let mut clicks = Vec::new();
    for n in 0..3000 {
        alternating.act(&mut room, one);
        if n % 11 == 0 {
            let down = clicks.len() % 2 == 0;
            room.act(two, &click(down)).expect("it stays within its bound");
            clicks.push(host_click(down));
        }
        room.step();
    }
    for _ in 0..1000 {
        room.step();
    }
    assert_eq!(room.of(two), clicks);
    let typed: Vec<_> = (0..alternating.done)
        .map(|n| match Alternating::event(n) {
            InputEvent::Key { code, down, modifiers, .. } => HostInput::Key { code, down, modifiers },
            _ => HostInput::Text('x'),
        })
        .collect();
    assert_eq!(room.of(one), typed);
    assert!(typed.len() > 30, "it is let go on too: {}", typed.len());
    room.check();
}

#[test]
fn what_many_type_and_press_at_once_costs_two_changes() {
    let (mut room, viewers) = Room::new::<20>();
    for (viewer, code) in viewers.into_iter().zip(b'A'..) {
        if code % 2 == 0 {
            room.act(viewer, &InputEvent::Text("Hello".to_owned())).unwrap();
        } else {
            room.act(viewer, &press(code, true)).unwrap();
        }
    }
    for _ in 0..1000 {
        room.step();
    }
    assert_eq!((room.sent.len(), room.changes()), (10 * 5 + 10, 2));
    room.check();
}

#[test]
fn a_long_text_is_not_split_by_what_others_do_and_delays_them_by_its_own_time() {
    let (mut room, [one, two]) = Room::new();
    room.act(two, &click(true)).unwrap();
    room.step();
    room.act(one, &InputEvent::Text("x".repeat(4096))).unwrap();
    let pasted = room.now;
    while room.of(two).len() < 2 {
        let _ = room.act(two, &click(false));
        room.step();
    }
    let texts: Vec<_> = room.sent.iter().map(|(_, _, input)| input.order() == Order::Text).collect();
    assert_eq!(texts.iter().filter(|is_text| **is_text).count(), 4096);
    assert_eq!(room.changes(), 2, "in one piece");
    // A window is acknowledged each round trip.
    let itself = ROUND_TRIP * (4096 / WINDOW as u32);
    assert!(room.now - pasted <= 2 * (ROUND_TRIP + CHANGE) + itself + ms(10), "{:?}", room.now - pasted);
    room.check();
}

#[test]
fn keys_that_two_hold_are_up_when_the_last_has_let_go_whatever_waits() {
    let (mut room, [one, two, three]) = Room::new();
    let mut alternating = Alternating::default();
    let mut down = BTreeMap::<u8, bool>::new();
    for n in 0..4000usize {
        alternating.act(&mut room, three);
        // Each presses and lets go of the same two keys, at a pace of its own.
        let _ = room.act(one, &press(b'A' + (n % 2) as u8, n % 7 < 3));
        let _ = room.act(two, &press(b'A' + (n % 2) as u8, n % 5 < 3));
        room.step();
    }
    for viewer in [one, two, three] {
        room.act(viewer, &InputEvent::Held { keys: KeySet::default(), buttons: Default::default() }).unwrap();
    }
    for _ in 0..1000 {
        room.step();
    }
    for (_, _, input) in &room.sent {
        if let HostInput::Key { code, down: now, .. } = input {
            assert_ne!(down.insert(code.0, *now).unwrap_or(false), *now, "once down, once up");
        }
    }
    assert!(down.len() == 3 && down.values().all(|down| !down), "{down:?}");
    room.check();
}

const ROUND_TRIP: Duration = Duration::from_millis(30);

/// What ENet may have underway.
const WINDOW: usize = 1024;
