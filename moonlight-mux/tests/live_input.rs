//! Input from viewers to a test host over real sockets, in each manner, and feedback back to them.

#![cfg(all(feature = "test-host", feature = "test-picture"))]

mod live;

use async_trait::async_trait;
use moonlight_mux::{
    Egress, ExitPolicy, GamepadButtons, GamepadFeedback, GamepadIndex, GamepadInfo, GamepadKind, GamepadSlot,
    GamepadState, GamepadTouch, HostEvent, HostFeedback, HostInput, HostSessionId, InputEvent, KeyCode,
    LeaveReason, Manner, Modifiers, MouseButton, PeerConfig, PeerHandle, Pen, PenTool, PointerPhase,
    Position, Sensor, SensorReading, Streamer, Touch, ViewerIo,
};
use tokio::sync::mpsc;

use self::live::{Live, host, in_time};

const MANNERS: [Manner; 3] = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];

/// A viewer that does what the test says, and tells what it feels.
struct Hands {
    does: mpsc::Receiver<InputEvent>,
    feels: mpsc::Sender<GamepadFeedback>,
}

#[async_trait]
impl Egress for Hands {
    async fn run(mut self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        loop {
            tokio::select! {
                does = self.does.recv() => match does {
                    Some(event) => viewer.input(&event).await,
                    None => return LeaveReason::Left,
                },
                feedback = viewer.feedback() => {
                    let _ = self.feels.send(feedback).await;
                }
                reason = viewer.leaving() => return reason,
            }
        }
    }
}

/// A viewer's hands. They let go when it is dropped, for the viewer leaves then.
struct Viewer {
    hands: mpsc::Sender<InputEvent>,
    felt: mpsc::Receiver<GamepadFeedback>,
    _handle: PeerHandle,
}

impl Viewer {
    fn new(streamer: &Streamer) -> Self {
        let (hands, does) = mpsc::channel(1000);
        let (feels, felt) = mpsc::channel(100);
        let handle = streamer.add_peer(Hands { does, feels }, PeerConfig::default()).expect("there is room");
        Self { hands, felt, _handle: handle }
    }

    async fn does(&self, events: impl IntoIterator<Item = InputEvent>) {
        for event in events {
            in_time(self.hands.send(event)).await.expect("the viewer is there");
        }
    }
}

/// The next so many inputs that the host saw.
async fn seen(live: &Live, count: usize) -> Vec<HostInput> {
    in_time(live.host.wait_for_counts(|counts| counts.inputs as usize >= count)).await;
    let inputs = live.host.log().into_iter().filter_map(|event| match event {
        HostEvent::Input(_, input) => Some(input),
        _ => None,
    });
    inputs.collect()
}

fn key(code: u8, down: bool) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down, modifiers: Modifiers::default(), locks: None }
}

fn host_key(code: u8, down: bool) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::default() }
}

fn touch(phase: PointerPhase, contact: u32, x: u16) -> Touch {
    let position = Position { x, y: 0x1234 };
    Touch { phase, contact, position, pressure: 0x8000, rotation: Some(90), ellipse: (100, 50) }
}

fn pen(phase: PointerPhase) -> Pen {
    let position = Position { x: 0x2000, y: 0x3000 };
    let (tool, rotation, tilt) = (PenTool::Eraser, Some(45), Some(30));
    Pen { phase, tool, buttons: 1, position, pressure: 0x4000, rotation, tilt }
}

/// What a viewer does, and what the host sees of it. Each alone: what comes before it has arrived.
fn everything() -> Vec<(InputEvent, Vec<HostInput>)> {
    let index = GamepadIndex::new(3).expect("below 16");
    let slot = GamepadSlot::new(0).expect("below 16");
    let info =
        GamepadInfo { kind: GamepadKind::PlayStation, capabilities: 0x3b, buttons: GamepadButtons::XBOX };
    let rest = GamepadState::default();
    let state = GamepadState {
        buttons: GamepadButtons(0x1001),
        left_trigger: 200,
        left_stick: (i16::MIN, 7),
        ..rest
    };
    let reading = SensorReading { sensor: Sensor::Gyroscope, value: [1.5, -2.0, 0.25] };
    let position = Position { x: 0x4000, y: 0x8000 };
    let on_pad = |phase| GamepadTouch { phase, touchpad: 0, contact: 4, position, pressure: 0x8000 };
    let button = |down| HostInput::Button { button: MouseButton::Right, down };
    let scroll = |horizontal, amount| HostInput::Scroll { horizontal, amount };
    vec![
        (key(b'A', true), vec![host_key(b'A', true)]),
        (key(b'A', false), vec![host_key(b'A', false)]),
        (InputEvent::Text("é€".to_owned()), vec![HostInput::Text('é'), HostInput::Text('€')]),
        (InputEvent::PointerTo(position), vec![HostInput::PointerTo(position)]),
        (InputEvent::PointerBy { dx: -3, dy: 4 }, vec![HostInput::PointerBy { dx: -3, dy: 4 }]),
        (
            InputEvent::Button { button: MouseButton::Right, down: true, at: Some(Position { x: 2, y: 4 }) },
            vec![HostInput::PointerTo(Position { x: 2, y: 4 }), button(true)],
        ),
        (InputEvent::Button { button: MouseButton::Right, down: false, at: None }, vec![button(false)]),
        (InputEvent::Scroll { dx: 0, dy: -120, at: None }, vec![scroll(false, -120)]),
        (InputEvent::Scroll { dx: 60, dy: 0, at: None }, vec![scroll(true, 60)]),
        (
            InputEvent::Touch(touch(PointerPhase::Down, 77, 1)),
            vec![HostInput::Touch(touch(PointerPhase::Down, 0, 1))],
        ),
        (
            InputEvent::Touch(touch(PointerPhase::Move, 77, 2)),
            vec![HostInput::Touch(touch(PointerPhase::Move, 0, 2))],
        ),
        (
            InputEvent::Touch(touch(PointerPhase::Up, 77, 3)),
            vec![HostInput::Touch(touch(PointerPhase::Up, 0, 3))],
        ),
        (InputEvent::Pen(pen(PointerPhase::Hover)), vec![HostInput::Pen(pen(PointerPhase::Hover))]),
        (InputEvent::Pen(pen(PointerPhase::Down)), vec![HostInput::Pen(pen(PointerPhase::Down))]),
        (InputEvent::Pen(pen(PointerPhase::Up)), vec![HostInput::Pen(pen(PointerPhase::Up))]),
        (InputEvent::Pen(pen(PointerPhase::Leave)), vec![HostInput::Pen(pen(PointerPhase::Leave))]),
        (
            InputEvent::GamepadConnected { index, info },
            vec![
                HostInput::GamepadConnected { slot, info },
                HostInput::Gamepad { slot, state: rest, active: 1 },
            ],
        ),
        (InputEvent::Gamepad { index, state }, vec![HostInput::Gamepad { slot, state, active: 1 }]),
        (InputEvent::GamepadMotion { index, reading }, vec![HostInput::GamepadMotion { slot, reading }]),
        (
            InputEvent::GamepadTouch { index, touch: on_pad(PointerPhase::Down) },
            vec![HostInput::GamepadTouch { slot, touch: on_pad(PointerPhase::Down) }],
        ),
        (
            InputEvent::GamepadTouch { index, touch: on_pad(PointerPhase::Up) },
            vec![HostInput::GamepadTouch { slot, touch: on_pad(PointerPhase::Up) }],
        ),
        (
            // It comes to rest first.
            InputEvent::GamepadDisconnected { index },
            vec![
                HostInput::GamepadMotion { slot, reading: SensorReading { value: [0.0; 3], ..reading } },
                HostInput::Gamepad { slot, state: rest, active: 1 },
                HostInput::Gamepad { slot, state: rest, active: 0 },
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_viewer_does_arrives_at_every_host() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let streamer = live.streaming("one").await;
        let viewer = Viewer::new(&streamer);
        let mut expected = Vec::new();
        for (event, inputs) in everything() {
            let story = format!("{manner:?}: {event:?}");
            viewer.does([event]).await;
            expected.extend(inputs);
            assert_eq!(seen(&live, expected.len()).await, expected, "{story}");
        }
        in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
        in_time(live.host.shutdown()).await;
    }
}

/// Keys, text and clicks go by channels of their own, and keys and text by paths of their own within the host.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_text_arrive_in_the_order_in_which_they_were_typed() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let streamer = live.streaming("one").await;
        let viewer = Viewer::new(&streamer);
        let mut expected = Vec::new();
        for letter in ['h', 'o', 'ß', 't'] {
            viewer.does([InputEvent::Text(letter.to_string()), key(0x0d, true), key(0x0d, false)]).await;
            expected.extend([HostInput::Text(letter), host_key(0x0d, true), host_key(0x0d, false)]);
        }
        assert_eq!(seen(&live, expected.len()).await, expected, "{manner:?}");
        in_time(live.host.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_is_gone_holds_nothing_and_neither_does_a_stream_that_stopped() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let streamer = live.streaming("one").await;
        let (first, second) = (Viewer::new(&streamer), Viewer::new(&streamer));
        first.does([key(b'W', true), key(0xa0, true)]).await;
        seen(&live, 2).await;
        drop(first);
        let all = seen(&live, 4).await;
        for code in [b'W', 0xa0] {
            assert!(all[2..].iter().any(|input| is_up(input, code)), "{manner:?}: {all:?}");
        }

        second.does([key(b'S', true)]).await;
        seen(&live, 5).await;
        in_time(streamer.shutdown(ExitPolicy::LeaveRunning)).await;
        let all = seen(&live, 6).await;
        assert!(is_up(&all[5], b'S'), "{manner:?}: {all:?}");
        assert_eq!(all.len(), 6, "{manner:?}");
        drop(second);
        in_time(live.host.shutdown()).await;
    }
}

fn is_up(input: &HostInput, wanted: u8) -> bool {
    matches!(*input, HostInput::Key { code: KeyCode(code), down: false, .. } if code == wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_wants_of_a_gamepad_comes_to_whose_it_is() {
    for manner in MANNERS {
        let live = Live::start(host(manner)).await;
        let streamer = live.streaming("one").await;
        let mut other = Viewer::new(&streamer);
        let mut viewer = Viewer::new(&streamer);
        let own = GamepadIndex::new(5).expect("below 16");
        let info = GamepadInfo::default();
        other.does([InputEvent::GamepadConnected { index: own, info }]).await;
        seen(&live, 2).await;
        viewer.does([InputEvent::GamepadConnected { index: own, info }]).await;
        let all = seen(&live, 4).await;
        let HostInput::GamepadConnected { slot, .. } = all[2] else { panic!("{all:?}") };

        let wanted: [fn(GamepadSlot) -> HostFeedback; 4] = [
            |gamepad| HostFeedback::Rumble { gamepad, low: 1000, high: 65_535 },
            |gamepad| HostFeedback::TriggerRumble { gamepad, left: 1, right: 2 },
            |gamepad| HostFeedback::Led { gamepad, rgb: [1, 2, 3] },
            |gamepad| HostFeedback::Motion { gamepad, sensor: Sensor::Gyroscope, rate: 100 },
        ];
        for wanted in wanted {
            let feedback = wanted(slot);
            assert!(in_time(live.host.send_feedback(HostSessionId(0), feedback)).await);
            assert_eq!(in_time(viewer.felt.recv()).await, Some(feedback.with_gamepad(own)), "{manner:?}");
        }
        assert!(!in_time(live.host.send_feedback(HostSessionId(9), wanted[0](slot))).await);
        assert!(other.felt.try_recv().is_err(), "{manner:?}");
        in_time(live.host.shutdown()).await;
    }
}
