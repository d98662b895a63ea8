//! Input over our data channels, with viewers of another WebRTC stack: what they do reaches the source, what they must not do
//! does not, and nobody pays for another.

mod support;

use std::time::Duration;

use moonlight_mux::{
    DeviceClass, GamepadSlot, HostFeedback, HostInput, InputMode, KeyCode, LeaveReason, MouseButton,
    PeerConfig, PeerHandle, PointerPhase, Position, Rights, Streamer, StreamerConfig, WebRtc,
};
use moonlight_mux_benches::viewer::{
    self, Channels, Closed, Hand, Keep, Message, Place, Transport, Viewer, ViewerConfig,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use support::machine::Machine;
use support::random::Random;
use support::{Desktop, InProcess, Pictures, assert_intact, join, loopback};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

async fn stage() -> (Streamer, WebRtc, Desktop) {
    let (pictures, desktop) = Pictures::small(100).of_a_desktop();
    let streamer = Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default());
    streamer.wait_streaming().await.expect("pictures");
    (streamer, loopback(), desktop)
}

fn with_channels() -> ViewerConfig {
    ViewerConfig { channels: Channels::Negotiated, keep: Keep::Lifecycle, ..ViewerConfig::default() }
}

async fn join_with(streamer: &Streamer, rtc: &WebRtc, config: PeerConfig) -> (Viewer, PeerHandle) {
    let (transport, server) = viewer::channel();
    let handle = streamer.add_peer(rtc.peer(InProcess(server)), config).expect("it takes viewers");
    (Viewer::join(transport, with_channels()).await.expect("a viewer"), handle)
}

/// Reads what a viewer is told until the newest of all kinds are so; gives those.
async fn told(viewer: &mut Viewer, are_so: impl Fn(&Value) -> bool) -> Value {
    let mut newest = json!({});
    let waited = timeout(PATIENCE, async {
        while !are_so(&newest) {
            let Value::Object(told) = viewer.next_told().await.expect("it stays") else { continue };
            newest.as_object_mut().expect("it is one").extend(told);
        }
    });
    if waited.await.is_err() {
        panic!("it is told no more than {newest}");
    }
    newest
}

async fn more_frames(viewer: &Viewer, count: u64) {
    let before = viewer.stats().video.frames;
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= before + count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

fn is_key(input: &HostInput, wanted: u8, wanted_down: bool) -> bool {
    matches!(input, HostInput::Key { code: KeyCode(code), down, .. } if (*code, *down) == (wanted, wanted_down))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_does_reaches_the_source() {
    let (streamer, rtc, mut desktop) = stage().await;
    let (viewer, _handle) = join(&streamer, &rtc, with_channels()).await;
    let mut hand = Hand::default();
    let here = "it is here";

    hand.key(&viewer, 0x41, true).await.expect(here);
    assert!(is_key(&desktop.next().await, 0x41, true));
    hand.key(&viewer, 0x41, false).await.expect(here);
    assert!(is_key(&desktop.next().await, 0x41, false));

    hand.button_at(&viewer, 1, true, Place::At(1, 65535)).await.expect(here);
    assert_eq!(desktop.next().await, HostInput::PointerTo(Position { x: 1, y: 65535 }));
    assert_eq!(desktop.next().await, HostInput::Button { button: MouseButton::Left, down: true });
    // Whichever of these is lost or late, the sum is there by the click.
    for _ in 0..20 {
        hand.move_by(&viewer, 3, -1).await.expect(here);
    }
    hand.button_at(&viewer, 1, false, Place::Total).await.expect(here);
    let moved = desktop.until(|input| matches!(input, HostInput::Button { down: false, .. })).await;
    let sum = moved.iter().fold((0, 0), |(x, y), input| match *input {
        HostInput::PointerBy { dx, dy } => (x + i32::from(dx), y + i32::from(dy)),
        _ => (x, y),
    });
    assert_eq!(sum, (60, -20), "{moved:?}");

    hand.scroll(&viewer, 0, -120, Place::Unsaid).await.expect(here);
    assert_eq!(desktop.next().await, HostInput::Scroll { horizontal: false, amount: -120 });
    hand.text(&viewer, "ü🙂").await.expect(here);
    assert_eq!(desktop.next().await, HostInput::Text('ü'));
    assert_eq!(desktop.next().await, HostInput::Text('🙂'));

    hand.touch(&viewer, 1, 77, 5, 6).await.expect(here);
    hand.touch(&viewer, 3, 77, 7, 8).await.expect(here);
    for (phase, x) in [(PointerPhase::Down, 5), (PointerPhase::Up, 7)] {
        let HostInput::Touch(touch) = desktop.next().await else { panic!("no finger") };
        assert_eq!((touch.phase, touch.position.x, touch.contact), (phase, x, 0));
    }
    hand.gamepad_connected(&viewer, 9).await.expect(here);
    assert!(matches!(desktop.next().await, HostInput::GamepadConnected { slot, .. } if slot.get() == 0));
    hand.gamepad(&viewer, 9, 0x1000, (-32768, 32767)).await.expect(here);
    let pressed = desktop
        .until(|input| matches!(input, HostInput::Gamepad { state, .. } if state.buttons.0 == 0x1000))
        .await;
    let Some(HostInput::Gamepad { state, active: 1, .. }) = pressed.last() else { panic!("{pressed:?}") };
    assert_eq!(state.left_stick, (-32768, 32767));
    hand.gamepad_disconnected(&viewer, 9).await.expect(here);
    desktop.until(|input| matches!(input, HostInput::Gamepad { active: 0, .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_garbage_costs_its_senders_alone() {
    let (streamer, rtc, mut desktop) = stage().await;
    let machine = Machine::watch();
    let (good, _good) = join(&streamer, &rtc, with_channels()).await;
    more_frames(&good, 10).await;
    let mut hand = Hand::default();
    for seed in 0..4 {
        let (bad, handle) = join(&streamer, &rtc, with_channels()).await;
        let mut random = Random::new(seed);
        let mut keys = 0;
        loop {
            // No byte of it is a kind.
            let garbage: Vec<u8> = (0..=random.below(64)).map(|_| random.next() as u8 | 0x80).collect();
            let channel = if random.below(2) == 0 { "input" } else { "motion" };
            if bad.send(channel, garbage.into()).await.is_err() {
                break;
            }
            // The good one goes on between them.
            hand.key(&good, 0x42, keys % 2 == 0).await.expect("it is here");
            assert!(is_key(&desktop.next().await, 0x42, keys % 2 == 0), "{keys}");
            keys += 1;
        }
        assert_eq!(timeout(PATIENCE, handle.closed()).await, Ok(LeaveReason::BadInput));
        let told = timeout(PATIENCE, bad.closed()).await.expect("it is told");
        assert!(told.to_string().contains(LeaveReason::BadInput.message()), "{told}");
        if keys % 2 == 1 {
            hand.key(&good, 0x42, false).await.expect("it is here");
            assert!(is_key(&desktop.next().await, 0x42, false));
        }
    }
    more_frames(&good, 30).await;
    let kept_up = machine.kept_up();
    let stats = good.close().await;
    assert_intact(&stats);
    if kept_up {
        assert_eq!((stats.video.lost, stats.video.gaps), (0, 0), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_only_viewers_raw_messages_move_nothing() {
    let (streamer, rtc, mut desktop) = stage().await;
    let mut config = PeerConfig::default();
    config.rights = Rights::NONE;
    let (mut watcher, watching) = join_with(&streamer, &rtc, config).await;
    let may = told(&mut watcher, |told| told["Input"]["takes"] == true).await;
    let rights = may["Input"]["rights"].as_object().expect("they are named");
    assert!(rights.len() == 6 && rights.values().all(|right| right == false), "{may}");

    // Every message that there is, whatever the page says that it may do.
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../moonlight-mux/src/webrtc/channels/vectors.json"))
            .expect("a list");
    for vector in &vectors {
        let hex = vector["hex"].as_str().expect("bytes");
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
            .collect();
        let channel = vector["channel"].as_str().expect("a channel");
        watcher.send(channel, bytes.into()).await.expect("none of it is malformed");
    }
    // Once it may, what it says is heard behind all of these.
    let sent = watcher.wait_for(|stats| stats.messages_sent == vectors.len() as u64);
    timeout(PATIENCE, sent).await.expect("it is sent").expect("it stays");
    let may_type = Rights::NONE.with(DeviceClass::Keyboard, true);
    let mut hand = Hand::default();
    hand.text(&watcher, "not").await.expect("it is here");
    // A round through the connection, so that they were read before it may: SCTP's order, and a list of viewers back.
    let (_other, _other_handle) = join(&streamer, &rtc, with_channels()).await;
    told(&mut watcher, |told| told["Viewers"]["count"] == 2).await;
    assert!(streamer.set_rights(watching.id(), may_type));
    told(&mut watcher, |told| told["Input"]["rights"]["keyboard"] == true).await;
    hand.button_at(&watcher, 1, true, Place::At(3, 3)).await.expect("it is here");
    hand.key(&watcher, 0x43, true).await.expect("it is here");
    assert!(is_key(&desktop.next().await, 0x43, true), "the first that it may");
    // And nobody may.
    streamer.set_input_mode(InputMode::ViewOnly);
    assert!(is_key(&desktop.next().await, 0x43, false), "it is let go");
    told(&mut watcher, |told| told["Input"]["mode"] == "view_only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_holds_is_let_go_when_it_leaves_vanishes_or_falls_silent() {
    let (streamer, rtc, mut desktop) = stage().await;
    let press = async |desktop: &mut Desktop| {
        let (viewer, handle) = join(&streamer, &rtc, with_channels()).await;
        let mut hand = Hand::default();
        hand.key(&viewer, 0x41, true).await.expect("it is here");
        assert!(is_key(&desktop.next().await, 0x41, true));
        (viewer, handle, hand)
    };
    let (leaves, _handle, _) = press(&mut desktop).await;
    leaves.close().await;
    assert!(is_key(&desktop.next().await, 0x41, false));

    let (vanishes, _handle, _) = press(&mut desktop).await;
    vanishes.vanish().await;
    assert!(is_key(&desktop.next().await, 0x41, false));

    // It says nothing any more, and is there.
    let (silent, handle, mut hand) = press(&mut desktop).await;
    assert!(is_key(&desktop.next().await, 0x41, false));
    more_frames(&silent, 10).await;
    hand.key(&silent, 0x41, true).await.expect("it is here");
    assert!(is_key(&desktop.next().await, 0x41, true));
    handle.leave(LeaveReason::Kicked);
    assert!(is_key(&desktop.next().await, 0x41, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_says_what_it_holds_holds_it_until_its_signalling_ends() {
    let (streamer, rtc, mut desktop) = stage().await;
    let machine = Machine::watch();
    let (end, ends) = watch::channel(false);
    let (transport, server) = viewer::channel();
    let _handle =
        streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
    let transport = Severed { transport: Some(transport), ends };
    let viewer = Viewer::join(transport, with_channels()).await.expect("a viewer");
    let mut hand = Hand::default();
    hand.key(&viewer, 0x41, true).await.expect("it is here");
    assert!(is_key(&desktop.next().await, 0x41, true));

    let heartbeats = async {
        let mut beats = tokio::time::interval(Duration::from_millis(100));
        for beat in 0.. {
            beats.tick().await;
            let held = if beat > 30 { &[0x41, 0x42][..] } else { &[0x41] };
            hand.held(&viewer, 0, held).await.expect("it is here");
            // Three times as long as it is believed without a word.
            if beat == 30 {
                hand.key(&viewer, 0x42, true).await.expect("it is here");
            }
            if beat == 31 {
                end.send_replace(true);
            }
        }
    };
    let arrivals = async {
        let inputs = desktop.until(|input| is_key(input, 0x42, true)).await;
        // Where the machine is late its heartbeats are too.
        let late = machine.lag() > Duration::from_millis(200);
        assert!(inputs.len() == 1 || late, "it was let go before: {inputs:?}");
        desktop.until(|input| is_key(input, 0x41, false) || is_key(input, 0x42, false)).await
    };
    tokio::select! {
        () = heartbeats => unreachable!("it goes on"),
        let_go = arrivals => assert_eq!(let_go.len(), 1),
    }
    // Its picture goes on.
    more_frames(&viewer, 10).await;
}

/// Its server's end is told that it is closed, though the viewer goes on.
struct Severed<T> {
    transport: Option<T>,
    ends: watch::Receiver<bool>,
}

#[async_trait::async_trait]
impl<T: Transport> Transport for Severed<T> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        match &mut self.transport {
            Some(transport) => transport.send(message).await,
            None => Ok(()),
        }
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        let Some(transport) = &mut self.transport else { return std::future::pending().await };
        tokio::select! {
            message = transport.recv() => message,
            () = ended(&mut self.ends) => {
                self.transport = None;
                std::future::pending().await
            }
        }
    }

    async fn close(&mut self) {}
}

async fn ended(ends: &mut watch::Receiver<bool>) {
    ends.wait_for(|ended| *ended).await.expect("the test goes on");
}

/// A viewer that clicks in one place again and again.
struct Clicks {
    hand: Hand,
    interval: tokio::time::Interval,
}

impl Clicks {
    fn new() -> Self {
        Self { hand: Hand::default(), interval: tokio::time::interval(Duration::from_millis(100)) }
    }

    async fn next(&mut self, viewer: &Viewer) -> bool {
        self.interval.tick().await;
        self.click(viewer).await
    }

    /// False once the viewer is gone.
    async fn click(&mut self, viewer: &Viewer) -> bool {
        let pressed = self.hand.button_at(viewer, 1, true, Place::At(100, 200)).await;
        pressed.is_ok() && self.hand.button_at(viewer, 1, false, Place::At(100, 200)).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_who_may_what_who_acts_and_where_others_point() {
    let (streamer, rtc, _desktop) = stage().await;
    streamer.set_input_mode(InputMode::one_at_a_time());
    let (mut ann, ann_is) = join(&streamer, &rtc, with_channels()).await;
    let (mut bob, bob_is) = join(&streamer, &rtc, with_channels()).await;
    let may = json!({
        "mode": "one_at_a_time", "turn": null, "takes": true, "touch": true, "gamepad_sensors": true,
        "rights": {"keyboard": true, "pointer": true, "touch": true, "pen": true, "gamepad": true, "text": true},
    });
    let id = |handle: &PeerHandle| Value::String(handle.id().to_string());
    for viewer in [&mut ann, &mut bob] {
        let told = told(viewer, |told| told["Input"].is_object() && told["Viewers"]["count"] == 2).await;
        assert_eq!(told["Input"], may);
        assert_eq!(told["Viewers"]["viewers"][0]["acting"], false);
    }

    let pointers = json!([{"id": id(&ann_is), "x": 100, "y": 200}]);
    let has_turn = |told: &Value| {
        let (viewers, turn) = (&told["Viewers"]["viewers"], &told["Input"]["turn"]);
        *turn == id(&ann_is)
            && viewers[0]["id"] == *turn
            && viewers[0]["acting"] == true
            && viewers[1]["acting"] == false
    };
    // Who acts passes with time, and is told once a second at most: Ann goes on until both know.
    let mut clicks = Clicks::new();
    let knows = told(&mut bob, |told| has_turn(told) && told["Pointers"] == pointers);
    tokio::select! {
        _ = knows => {}
        () = async { while clicks.next(&ann).await {} } => panic!("Ann is gone"),
    }
    let mut ann_knows = json!({});
    while !has_turn(&ann_knows) {
        tokio::select! {
            told = ann.next_told() => {
                let Value::Object(told) = told.expect("it stays") else { continue };
                ann_knows.as_object_mut().expect("it is one").extend(told);
            }
            _ = clicks.interval.tick() => assert!(clicks.click(&ann).await, "Ann is gone"),
        }
    }
    assert_eq!(ann_knows["Pointers"], Value::Null, "its own is where it is");

    assert!(streamer.set_rights(bob_is.id(), Rights::NONE.with(DeviceClass::Text, true)));
    let may = told(&mut bob, |told| told["Input"]["rights"]["keyboard"] == false).await;
    assert_eq!(may["Input"]["rights"]["text"], true);
    told(&mut ann, |told| told["Viewers"]["viewers"][1]["rights"] == json!(["text"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rumble_comes_to_its_owner_alone_by_its_own_number() {
    let (streamer, rtc, mut desktop) = stage().await;
    let (mut ann, _ann) = join(&streamer, &rtc, with_channels()).await;
    let (mut bob, _bob) = join(&streamer, &rtc, with_channels()).await;
    let (mut anns, mut bobs) = (Hand::default(), Hand::default());
    anns.gamepad_connected(&ann, 0).await.expect("it is here");
    let is_there = |slot| move |input: &HostInput| matches!(input, HostInput::GamepadConnected { slot: s, .. } if s.get() == slot);
    desktop.until(is_there(0)).await;
    bobs.gamepad_connected(&bob, 5).await.expect("it is here");
    desktop.until(is_there(1)).await;

    let gamepad = GamepadSlot::new(1).expect("below 16");
    for feedback in [
        HostFeedback::Rumble { gamepad, low: 1, high: 2 },
        HostFeedback::TriggerRumble { gamepad, left: 3, right: 4 },
        HostFeedback::Led { gamepad, rgb: [5, 6, 7] },
    ] {
        desktop.feedback.send(feedback).await.expect("the source is there");
    }
    let bobs = told(&mut bob, |told| told["Led"].is_object()).await;
    assert_eq!(bobs["Rumble"], json!({"gamepad": 5, "low": 1, "high": 2}));
    assert_eq!(bobs["TriggerRumble"], json!({"gamepad": 5, "left": 3, "right": 4}));
    assert_eq!(bobs["Led"], json!({"gamepad": 5, "rgb": [5, 6, 7]}));
    // Had any of these come to the other one too, it would come before its own.
    let gamepad = GamepadSlot::new(0).expect("below 16");
    for feedback in [
        HostFeedback::Rumble { gamepad, low: 10, high: 0 },
        HostFeedback::TriggerRumble { gamepad, left: 11, right: 0 },
        HostFeedback::Led { gamepad, rgb: [12, 0, 0] },
    ] {
        desktop.feedback.send(feedback).await.expect("the source is there");
    }
    // The kinds come in any order, so each is waited for; what is the first of its kind is seen.
    let mut firsts = json!({});
    while ["Rumble", "TriggerRumble", "Led"].iter().any(|kind| firsts.get(kind).is_none()) {
        let told = timeout(PATIENCE, ann.next_told()).await.expect("it is told").expect("it stays");
        for (kind, body) in told.as_object().expect("it is one") {
            firsts.as_object_mut().expect("it is one").entry(kind).or_insert_with(|| body.clone());
        }
    }
    assert_eq!(firsts["Rumble"], json!({"gamepad": 0, "low": 10, "high": 0}));
    assert_eq!(firsts["TriggerRumble"], json!({"gamepad": 0, "left": 11, "right": 0}));
    assert_eq!(firsts["Led"], json!({"gamepad": 0, "rgb": [12, 0, 0]}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_takes_no_more_holds_up_nobodys_picture_and_loses_nothing() {
    const KEYS: u32 = 4000;
    let (streamer, rtc, mut desktop) = stage().await;
    let (busy, _busy) = join(&streamer, &rtc, with_channels()).await;
    let (watcher, _watcher) = join(&streamer, &rtc, with_channels()).await;
    let pressing = async {
        let mut hand = Hand::default();
        for n in 0..KEYS {
            hand.key(&busy, 0x41, n % 2 == 0).await.expect("it is here");
        }
    };
    let watching = async {
        // The host takes nothing meanwhile, and one viewer's channels fill up.
        more_frames(&watcher, 60).await;
        more_frames(&busy, 60).await;
        for n in 0..KEYS {
            assert!(is_key(&desktop.next().await, 0x41, n % 2 == 0), "{n}");
        }
    };
    tokio::join!(pressing, watching);
    let stats = watcher.close().await;
    assert_intact(&stats);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_moves_starves_neither_its_sender_nor_others() {
    let (streamer, rtc, mut desktop) = stage().await;
    let (floods, _floods) = join(&streamer, &rtc, with_channels()).await;
    let (other, _other) = join(&streamer, &rtc, with_channels()).await;
    let flood = async {
        let mut hand = Hand::default();
        for n in 0..10_000u32 {
            hand.point(&floods, n as u16, 0).await.expect("it is here");
        }
        hand.key(&floods, 0x42, true).await.expect("it is here");
    };
    let watch = async {
        more_frames(&floods, 30).await;
        more_frames(&other, 30).await;
    };
    let arrivals = desktop.until(|input| is_key(input, 0x42, true));
    let ((), (), arrived) = tokio::join!(flood, watch, arrivals);
    eprintln!("{} of 10000 moves at the source", arrived.len() - 1);
    more_frames(&floods, 10).await;
    for viewer in [floods, other] {
        assert_intact(&viewer.close().await);
    }
}
