//! The aggregator does what the plain reference does, whatever viewers do and however slowly the host takes it.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::desktop::Desktop;
use super::reference::Reference;
use super::*;
use crate::input::event::{GamepadTouch, Pen, PenTool, Sensor, SensorReading};
use crate::input::host::Order;
use outbox::SHARE;

/// Something that happens to a stream. Viewers are 0 to 3.
#[derive(Clone, Debug)]
enum Step {
    Act(usize, InputEvent),
    /// Comes, or goes and comes again: with these rights, and whether it says heartbeats.
    Join(usize, Rights, bool),
    Leave(usize),
    /// Its connection says that it is gone, its signalling ended and the like.
    Release(usize),
    Rights(usize, Rights),
    Mode(InputMode),
    Wait(u64),
    /// The host takes so many, and may or may not be told of text where something else came last.
    Take(usize, TextChange),
    /// The host takes all, and the two must be equal.
    TakeAll,
    /// The host goes away.
    Gone,
    /// Another one is there.
    Back,
}

struct Stream {
    aggregator: Aggregator,
    reference: Reference,
    /// Where what the aggregator gave arrives.
    desktop: Desktop,
    /// Where what the reference told has arrived.
    wanted: Desktop,
    viewers: [Option<PeerId>; 4],
    /// What each viewer did and was not taken yet.
    refused: [VecDeque<InputEvent>; 4],
    /// Of each viewer, what it typed and pressed that text may not pass and that is no release, as it was taken; and as it was
    /// told.
    taken: HashMap<PeerId, Vec<HostInput>>,
    told: HashMap<PeerId, Vec<HostInput>>,
    /// What the last one was that was text, or may not pass it.
    last: Order,
    connected: bool,
    /// Whether so much waited once that the wheel may turn elsewhere.
    was_full: bool,
    now: Instant,
}

impl Stream {
    fn new() -> Self {
        let mut aggregator = Aggregator::new(InputMode::Shared);
        aggregator.handle_connected();
        Self {
            aggregator,
            reference: Reference::new(InputMode::Shared),
            desktop: Desktop::default(),
            wanted: Desktop::default(),
            viewers: [None; 4],
            refused: Default::default(),
            taken: HashMap::new(),
            told: HashMap::new(),
            last: Order::Action,
            connected: true,
            was_full: false,
            now: crate::task::now(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Act(viewer, event) => {
                if self.viewers[viewer].is_some() {
                    self.refused[viewer].push_back(event);
                    self.hand_in(viewer);
                }
            }
            Step::Join(viewer, rights, heartbeat) => {
                self.run(Step::Leave(viewer));
                let peer = PeerId::random();
                self.viewers[viewer] = Some(peer);
                self.aggregator.join(peer, rights);
                self.reference.join(peer, rights);
                if heartbeat {
                    self.aggregator.expect_heartbeat(peer, true);
                    self.reference.expect_heartbeat(peer);
                }
            }
            Step::Leave(viewer) => {
                self.refused[viewer].clear();
                if let Some(peer) = self.viewers[viewer].take() {
                    self.aggregator.leave(peer);
                    self.reference.leave(peer);
                }
            }
            Step::Release(viewer) => {
                if let Some(peer) = self.viewers[viewer] {
                    self.aggregator.release(peer);
                    self.reference.release(peer);
                }
            }
            Step::Rights(viewer, rights) => {
                if let Some(peer) = self.viewers[viewer] {
                    self.aggregator.set_rights(peer, rights);
                    self.reference.set_rights(peer, rights);
                }
            }
            Step::Mode(mode) => {
                self.aggregator.set_mode(mode);
                self.reference.set_mode(mode);
            }
            Step::Wait(milliseconds) => self.wait(Duration::from_millis(milliseconds)),
            Step::Take(count, change) => {
                self.take(count, change);
            }
            Step::TakeAll => {
                // With room, what was refused comes too.
                while self.take(usize::MAX, TextChange::Allowed) > 0 {}
                self.check();
                self.compare();
            }
            Step::Gone => {
                self.connected = false;
                self.aggregator.handle_disconnected();
                self.reference.disconnect();
                (0..4).for_each(|viewer| self.hand_in(viewer));
            }
            Step::Back => {
                self.connected = true;
                self.aggregator.handle_disconnected();
                self.reference.disconnect();
                self.aggregator.handle_connected();
                self.reference.connect();
                (self.desktop, self.wanted) = Default::default();
                (self.taken, self.told, self.last) = (HashMap::new(), HashMap::new(), Order::Action);
                self.was_full = false;
                (0..4).for_each(|viewer| self.hand_in(viewer));
            }
        }
        self.check();
    }

    /// As the viewer's task does: in order, and again when there is room.
    fn hand_in(&mut self, viewer: usize) {
        let Some(peer) = self.viewers[viewer] else { return };
        while let Some(event) = self.refused[viewer].front() {
            let places = self.aggregator.host.outbox.places(peer);
            self.was_full |= places.are_full();
            if self.aggregator.handle(self.now, peer, event).is_ok() {
                let before = self.reference.told.len();
                self.reference.act(self.now, peer, event);
                let pressed = self.reference.told[before..].iter().copied().filter(is_pressed);
                self.taken.entry(peer).or_default().extend(pressed);
                self.refused[viewer].pop_front();
            } else {
                let waits_for_own = match event {
                    InputEvent::Text(_) => places.are_before(Order::Text),
                    // Merged, but not in front of the viewer's text.
                    InputEvent::Scroll { .. } => self.text_waits(peer),
                    event => (self.text_waits(peer) || places.are_full()) && !is_merged(event),
                };
                let no_place = places.are_full() && !is_merged(event);
                assert!(self.connected && (waits_for_own || no_place), "refused: {event:?}");
                self.reference.refuse(self.now, peer);
                return;
            }
        }
    }

    /// Whether text of the viewer was taken and not told yet.
    fn text_waits(&self, peer: PeerId) -> bool {
        let count = |log: &HashMap<PeerId, Vec<HostInput>>| {
            let log = log.get(&peer).into_iter().flatten();
            log.filter(|input| matches!(input, HostInput::Text(_))).count()
        };
        count(&self.taken) > count(&self.told)
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.aggregator.timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.aggregator.handle_timeout(self.now);
            assert!(
                self.aggregator.timeout().is_none_or(|next| next > self.now),
                "it would be called for ever"
            );
        }
        self.now = end;
        self.reference.wait(end);
    }

    /// Tells how many there were.
    fn take(&mut self, count: usize, change: TextChange) -> usize {
        let mut taken = 0;
        while taken < count
            && let Some((peer, input)) = self.aggregator.poll(change)
        {
            taken += 1;
            self.desktop.handle(input);
            if is_pressed(&input) {
                self.told.entry(peer).or_default().push(input);
            }
            let order = input.order();
            if order != Order::Free {
                assert!(order == self.last || change == TextChange::Allowed, "{input:?} is a change");
                self.last = order;
            }
        }
        (0..4).for_each(|viewer| self.hand_in(viewer));
        taken
    }

    /// What has to be equal at any time.
    fn check(&mut self) {
        self.wait(Duration::ZERO);
        for input in self.reference.told.drain(..) {
            assert!(self.connected, "told nobody: {input:?}");
            self.wanted.handle(input);
        }
        assert_eq!(self.aggregator.turn(), self.reference.turn.map(|(peer, _)| peer));
        assert_eq!(self.aggregator.acting(self.now), self.reference.acting(self.now));
        for peer in self.viewers.into_iter().flatten() {
            let holds = self.aggregator.viewers[&peer].holds(peer, &self.aggregator.host);
            assert_eq!(holds, self.reference.holds(peer));
        }
        assert!(self.aggregator.host.outbox.len() <= 4 * (SHARE + TEXT) + 500, "bounded");
    }

    /// What has to be equal when nothing waits.
    fn compare(&mut self) {
        assert!(self.refused.iter().all(VecDeque::is_empty));
        if !self.connected {
            return; // What waited for the host was dropped.
        }
        if self.was_full {
            self.desktop.wheel.clear();
            self.wanted.wheel.clear();
        }
        assert_eq!(self.desktop, self.wanted);
        for (peer, taken) in self.taken.drain() {
            assert_eq!(taken, self.told.remove(&peer).unwrap_or_default(), "in each viewer's own order");
        }
        assert!(self.told.values().all(Vec::is_empty));
        // So that a failure shows what went wrong since.
        self.desktop.clear();
        self.wanted.clear();
    }
}

/// Typed or pressed: no release of what is held gives it, and those may pass text.
fn is_pressed(input: &HostInput) -> bool {
    match input {
        HostInput::Text(_) => true,
        HostInput::Key { down, .. } | HostInput::Button { down, .. } => *down,
        HostInput::Touch(touch) => touch.phase == PointerPhase::Down,
        HostInput::Pen(pen) => pen.phase == PointerPhase::Down,
        _ => false,
    }
}

/// Never refused, whatever it comes upon, but for the wheel.
fn is_merged(event: &InputEvent) -> bool {
    match event {
        InputEvent::PointerTo(_)
        | InputEvent::PointerBy { .. }
        | InputEvent::Scroll { .. }
        | InputEvent::GamepadMotion { .. }
        | InputEvent::GamepadDisconnected { .. }
        | InputEvent::Held { .. }
        | InputEvent::ReleaseAll => true,
        InputEvent::Touch(Touch { phase, .. })
        | InputEvent::GamepadTouch { touch: GamepadTouch { phase, .. }, .. } => *phase == PointerPhase::Move,
        _ => false,
    }
}

fn event() -> impl Strategy<Value = InputEvent> {
    let place = || (0..3u16, 0..3u16).prop_map(|(x, y)| place(x, y));
    let phase = || {
        prop::sample::select(vec![
            PointerPhase::Hover,
            PointerPhase::Down,
            PointerPhase::Down,
            PointerPhase::Move,
            PointerPhase::Move,
            PointerPhase::Up,
            PointerPhase::Cancel,
            PointerPhase::Leave,
            PointerPhase::Buttons,
        ])
    };
    let index = || (0..6u8).prop_map(pad);
    let code = || prop::sample::select(KEYS.to_vec()).prop_map(KeyCode);
    let modifiers = prop_oneof![3 => Just(0), 1 => 0..16u8].prop_map(Modifiers);
    let locks = prop::option::of((0..8u8).prop_map(Locks));
    let button = || prop::sample::select(MouseButton::ALL[..2].to_vec());
    let amount = || prop::sample::select(vec![0, 1, -7, 120, i16::MIN, i16::MAX]);
    let way = || prop_oneof![-3..4i32, Just(40_000), Just(-100_000)];
    let state = prop::sample::select(vec![
        GamepadState::default(),
        pressed(1),
        pressed(2),
        GamepadState { left_stick: (9_000, 0), ..pressed(0) },
        GamepadState { left_stick: (0, -9_000), ..pressed(1) },
        GamepadState { right_stick: (100, 0), ..pressed(0) },
        GamepadState { left_trigger: 255, ..pressed(0) },
    ]);
    let sensor = prop::sample::select(vec![Sensor::Accelerometer, Sensor::Gyroscope]);
    let reading =
        (sensor, 0..3u8).prop_map(|(sensor, x)| SensorReading { sensor, value: [f32::from(x), 0.0, 0.0] });
    let info = prop::sample::select(vec![0x01, 0x03])
        .prop_map(|capabilities| GamepadInfo { capabilities, ..GamepadInfo::default() });
    let keys = prop::collection::vec(code(), 0..4).prop_map(|codes| codes.into_iter().collect::<KeySet>());
    prop_oneof![
        10 => (code(), any::<bool>(), modifiers, locks)
            .prop_map(|(code, down, modifiers, locks)| InputEvent::Key { code, down, modifiers, locks }),
        3 => "[a-c]{0,3}".prop_map(InputEvent::Text),
        1 => Just(InputEvent::Text("x".repeat(TEXT))),
        4 => place().prop_map(InputEvent::PointerTo),
        4 => (way(), way()).prop_map(|(dx, dy)| InputEvent::PointerBy { dx, dy }),
        4 => (button(), any::<bool>(), prop::option::of(place()))
            .prop_map(|(button, down, at)| InputEvent::Button { button, down, at }),
        4 => (amount(), amount(), prop::option::of(place()))
            .prop_map(|(dx, dy, at)| InputEvent::Scroll { dx, dy, at }),
        6 => (phase(), 0..12u32, place()).prop_map(|(phase, contact, position)| {
            InputEvent::Touch(Touch { position, ..finger(phase, contact) })
        }),
        6 => (phase(), 0..2u8, place()).prop_map(|(phase, buttons, position)| {
            let (tool, pressure, rotation, tilt) = (PenTool::Pen, 1, None, None);
            InputEvent::Pen(Pen { phase, tool, buttons, position, pressure, rotation, tilt })
        }),
        3 => (index(), info).prop_map(|(index, info)| InputEvent::GamepadConnected { index, info }),
        6 => (index(), state).prop_map(|(index, state)| InputEvent::Gamepad { index, state }),
        2 => (index(), reading).prop_map(|(index, reading)| InputEvent::GamepadMotion { index, reading }),
        3 => (index(), phase(), 0..10u32, place()).prop_map(|(index, phase, contact, position)| {
            let touch = GamepadTouch { phase, touchpad: 0, contact, position, pressure: 0 };
            InputEvent::GamepadTouch { index, touch }
        }),
        1 => index().prop_map(|index| InputEvent::GamepadDisconnected { index }),
        2 => (keys, 0..8u8).prop_map(|(keys, buttons)| InputEvent::Held { keys, buttons: Buttons(buttons) }),
        1 => Just(InputEvent::ReleaseAll),
    ]
}

fn rights() -> impl Strategy<Value = Rights> {
    let some = prop::sample::subsequence(DeviceClass::ALL.to_vec(), 0..=6)
        .prop_map(|classes| classes.into_iter().collect());
    prop_oneof![3 => Just(Rights::ALL), 1 => some]
}

fn step() -> impl Strategy<Value = Step> {
    let viewer = || 0..4usize;
    let mode = prop_oneof![
        2 => Just(InputMode::Shared),
        2 => prop::sample::select(vec![100, 700, 3_000])
            .prop_map(|idle| InputMode::OneAtATime { idle: Duration::from_millis(idle) }),
        1 => Just(InputMode::ViewOnly),
    ];
    let change = prop::sample::select(vec![TextChange::Allowed, TextChange::NotYet]);
    prop_oneof![
        60 => (viewer(), event()).prop_map(|(viewer, event)| Step::Act(viewer, event)),
        3 => (viewer(), rights(), any::<bool>()).prop_map(|(who, rights, beats)| Step::Join(who, rights, beats)),
        2 => viewer().prop_map(Step::Leave),
        1 => viewer().prop_map(Step::Release),
        2 => (viewer(), rights()).prop_map(|(viewer, rights)| Step::Rights(viewer, rights)),
        2 => mode.prop_map(Step::Mode),
        5 => prop::sample::select(vec![1, 100, 250, 600, 1_000, 5_000]).prop_map(Step::Wait),
        8 => (prop::sample::select(vec![1, 5, 2_000]), change).prop_map(|(count, change)| Step::Take(count, change)),
        2 => Just(Step::TakeAll),
        1 => Just(Step::Gone),
        1 => Just(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_hosts_log_is_the_references_and_after_all_have_left_nothing_is_held(
        steps in prop::collection::vec(step(), 1..300)
    ) {
        let mut stream = Stream::new();
        for viewer in 0..3 {
            stream.run(Step::Join(viewer, Rights::ALL, viewer == 0));
        }
        for step in steps {
            stream.run(step);
        }
        if !stream.connected {
            stream.run(Step::Back);
        }
        stream.run(Step::TakeAll);
        (0..4).for_each(|viewer| stream.run(Step::Leave(viewer)));
        stream.run(Step::TakeAll);
        prop_assert!(stream.desktop.is_left_alone(), "{:?}", stream.desktop);
        prop_assert_eq!(stream.aggregator.host.slots.owners().count(), 0);
        prop_assert_eq!(stream.aggregator.turn(), None);
        prop_assert_eq!(stream.aggregator.timeout(), None);
    }
}

/// Modifiers, lock keys, and some that lock keys matter to.
const KEYS: [u8; 14] = [
    A, b'B', b'0', 0x60, 0x25, 0x10, LEFT_SHIFT, 0xa1, LEFT_CTRL, RIGHT_CTRL, RIGHT_ALT, 0x5b, CAPS_LOCK,
    NUM_LOCK,
];

/// Fills all of one viewer's places.
const TEXT: usize = SHARE;
