//! Existing pages, played by a client that says what the protocol document says they say (existing page 1 to 3): their
//! WebSocket, their channels with labels and options, their bytes, their bugs. Behind the server is a host.

#![expect(clippy::disallowed_methods, reason = "a host runs in real time")]

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
mod support;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use moonlight_mux::{
    GamepadButtons, GamepadInfo, GamepadKind, GamepadSlot, GamepadState, HostEvent, HostEvents, HostFeedback,
    HostInput, HostSessionId, KeyCode, LeaveReason, Manner, Modifiers, MouseButton, PointerPhase, Position,
    Touch,
};
use moonlight_mux_benches::viewer::{
    Candidate, Channels, CloseReason, Closed, Event, Keep, Labelled, Message, Offerer, Transport, Trickle,
    Viewer, ViewerConfig,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use live::{Live, PATIENCE, host, in_time, small};
use support::machine::Machine;
use support::{Served, serve};

/// What of a page differs between its versions.
struct Version {
    name: &'static str,
    mouse: &'static [Labelled],
    clicks: &'static str,
    wheel: &'static str,
    absolute: &'static str,
    relative: &'static str,
    stats: bool,
    /// Those for several viewers do not.
    introduces_itself: bool,
}

const fn channel(label: &'static str, ordered: bool, max_retransmits: Option<u16>) -> Labelled {
    Labelled { label, ordered, max_retransmits }
}

const A: Version = Version {
    name: "A",
    mouse: &[channel("mouse", true, None)],
    clicks: "mouse",
    wheel: "mouse",
    absolute: "mouse",
    relative: "mouse",
    stats: false,
    introduces_itself: true,
};
const B: Version = Version {
    name: "B",
    mouse: &[
        channel("mouseClicks", false, None),
        channel("mouseAbsolute", true, Some(0)),
        channel("mouseRelative", false, None),
    ],
    clicks: "mouseClicks",
    wheel: "mouseClicks",
    absolute: "mouseAbsolute",
    relative: "mouseRelative",
    stats: false,
    introduces_itself: false,
};
const C: Version = Version {
    name: "C",
    mouse: &[
        channel("mouse_reliable", true, None),
        channel("mouse_absolute", true, Some(0)),
        channel("mouse_relative", false, None),
    ],
    clicks: "mouse_reliable",
    wheel: "mouse_relative",
    absolute: "mouse_absolute",
    relative: "mouse_relative",
    stats: true,
    introduces_itself: false,
};

impl Version {
    fn channels(&self) -> Channels {
        let mut channels = vec![channel("keyboard", true, None)];
        channels.extend(self.mouse);
        channels.extend(["touch", "controllers"].map(|label| channel(label, true, None)));
        channels.extend((0..16).map(|n| channel(format!("controller{n}").leak(), true, Some(0))));
        channels.extend(self.stats.then_some(channel("stats", true, None)));
        // A few hundred bytes for each page of these tests.
        Channels::Labelled(channels.leak())
    }
}

/// The page's end of its WebSocket.
struct PageSocket {
    stream: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    heard: Arc<Mutex<Vec<Value>>>,
    /// Breaks the socket, and the page goes on without it.
    cut: oneshot::Receiver<()>,
}

#[async_trait]
impl Transport for PageSocket {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let signalling = match message {
            Message::Answer(sdp) => json!({"Description": {"ty": "answer", "sdp": sdp}}),
            Message::Candidate(Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment }) => {
                json!({"AddIceCandidate": {"candidate": candidate, "sdp_mid": sdp_mid,
                    "sdp_mline_index": sdp_mline_index, "username_fragment": username_fragment}})
            }
            message => panic!("no page says {message:?}"),
        };
        let text = json!({"Signaling": signalling}).to_string();
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.send(Frame::text(text)).await.map_err(|_| Closed::default())
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        loop {
            let Some(stream) = &mut self.stream else { return pending().await };
            let frame = tokio::select! {
                frame = stream.next() => frame,
                Ok(()) = &mut self.cut => {
                    self.stream = None;
                    continue;
                }
            };
            let text = match frame {
                Some(Ok(Frame::Text(text))) => text,
                Some(Ok(Frame::Close(Some(frame)))) => {
                    let (code, reason) = (Some(frame.code.into()), frame.reason.to_string());
                    return Err(Closed { code, reason });
                }
                Some(Ok(_)) => continue,
                _ => return Err(Closed::default()),
            };
            let value: Value = serde_json::from_str(&text).expect("JSON");
            self.heard.lock().expect("nobody panics").push(value.clone());
            return Ok(understood(value));
        }
    }

    async fn close(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.close(None).await;
        }
    }
}

fn introduction() -> Value {
    json!({"AuthenticateAndInit": {
        "credentials": null, "host_id": 1, "app_id": 1, "bitrate": 5000, "packet_size": 1392, "fps": 60, "width": 1920,
        "height": 1080, "video_sample_queue_size": 20, "play_audio_local": false, "audio_sample_queue_size": 20,
        "video_supported_formats": 1, "video_colorspace": "Rec709", "video_color_range_full": false,
        "client_unique_id": null, "session_id": "s", "mode": "join",
    }})
}

/// As the page's code takes it: by name, and then by fields that must be there.
fn understood(message: Value) -> Message {
    if let Some(config) = message.get("WebRtcConfig") {
        for server in config["ice_servers"].as_array().expect("a list") {
            assert!(server["urls"].is_array(), "{server}");
        }
        return Message::Config;
    }
    let Some(signalling) = message.get("Signaling") else {
        let name = message.as_str().map(str::to_owned);
        return Message::Notice(
            name.or_else(|| message.as_object()?.keys().next().cloned()).expect("it has a name"),
        );
    };
    if let Some(description) = signalling.get("Description") {
        assert_eq!(description["ty"], "offer", "the server offers");
        let sdp = description["sdp"].as_str().expect("a text").to_owned();
        assert_playable(&sdp);
        return Message::Offer(sdp);
    }
    Message::Candidate(serde_json::from_value(signalling["AddIceCandidate"].clone()).expect("a candidate"))
}

/// What the page needs in an offer: media streams by name, since it plays what they say, and data channels.
fn assert_playable(sdp: &str) {
    for line in ["m=audio ", "m=video ", "m=application ", "a=msid:"] {
        assert!(sdp.lines().any(|text| text.starts_with(line)), "{line} in {sdp}");
    }
    for text in
        ["profile-level-id=42e01f", "packetization-mode=1", "opus/48000/2", "minptime=10", "useinbandfec=1"]
    {
        assert!(sdp.contains(text), "{text} in {sdp}");
    }
}

/// A page that plays, and the host's log behind it.
struct Page {
    viewer: Viewer,
    heard: Arc<Mutex<Vec<Value>>>,
    cut: oneshot::Sender<()>,
}

impl Page {
    async fn open(version: &Version, served: &Served) -> Self {
        let (mut stream, response) = connect_async(served.peer_url()).await.expect("an upgrade");
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
        if version.introduces_itself {
            stream.send(Frame::text(introduction().to_string())).await.expect("it listens");
        }
        let (heard, (cut, cuts)) = (Arc::default(), oneshot::channel());
        let socket = PageSocket { stream: Some(stream), heard: Arc::clone(&heard), cut: cuts };
        let config = ViewerConfig {
            offerer: Offerer::Server,
            trickle: Trickle::Trickled,
            channels: version.channels(),
            keep: Keep::Lifecycle,
            ..ViewerConfig::default()
        };
        let mut viewer = Viewer::join(socket, config).await.expect("a viewer");
        in_time(viewer.wait_for(|stats| stats.video.frames >= 20)).await.expect("it shows a picture");
        // The server's channel is one of them.
        let open = 1 + version.mouse.len() as u64 + 19 + u64::from(version.stats);
        in_time(viewer.wait_for(|stats| stats.channels_open == open)).await.expect("they open");
        in_time(async {
            while !matches!(viewer.next_event().await, Some(Event::Channel(label)) if label == "general") {}
        })
        .await;
        Self { viewer, heard, cut }
    }

    async fn say(&self, label: &str, bytes: &[u8]) {
        self.viewer.send(label, Bytes::copy_from_slice(bytes)).await.expect("the page is here");
    }

    async fn rumble(&mut self) -> Bytes {
        told(&mut self.viewer, "controllers").await
    }

    fn heard(&self, name: &str) -> Option<Value> {
        let heard = self.heard.lock().expect("nobody panics");
        heard.iter().find_map(|message| message.get(name).cloned())
    }
}

/// The next message on this channel.
async fn told(viewer: &mut Viewer, channel: &str) -> Bytes {
    let found = async {
        loop {
            match viewer.next_event().await.expect("the page is here") {
                Event::Data(message) if message.channel == channel => return message.data,
                Event::Closed(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    };
    in_time(found).await
}

/// What the host is told.
struct AtHost {
    events: HostEvents,
    /// Where its pointer is: a click may say it once more.
    pointer: Option<Position>,
}

impl AtHost {
    /// What the host was told from now on.
    fn of(live: &Live) -> Self {
        let mut events = live.host.events();
        while futures_util::FutureExt::now_or_never(events.next()).flatten().is_some() {}
        Self { events, pointer: None }
    }

    async fn next(&mut self) -> HostInput {
        loop {
            match in_time(self.events.next()).await.expect("the host is there") {
                HostEvent::Input(_, HostInput::PointerTo(place)) if self.pointer == Some(place) => {}
                HostEvent::Input(_, input) => {
                    if let HostInput::PointerTo(place) = input {
                        self.pointer = Some(place);
                    }
                    return input;
                }
                _ => {}
            }
        }
    }

    async fn sees(&mut self, expected: &[HostInput]) {
        for (n, expected) in expected.iter().enumerate() {
            assert_eq!(self.next().await, *expected, "input {n}");
        }
    }
}

const fn key(code: u8, down: bool, modifiers: u8) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers(modifiers) }
}

fn touch(phase: PointerPhase, contact: u32) -> HostInput {
    let position = Position { x: 0x8000, y: 0x4000 };
    let (pressure, rotation) = (0xffff, Some(45));
    HostInput::Touch(Touch { phase, contact, position, pressure, rotation, ellipse: (0, 0) })
}

/// u8 phase, u32 contact, f32 x, y, force, radii, u16 rotation.
fn touch_bytes(phase: u8, contact: u32) -> Vec<u8> {
    let mut bytes = vec![phase];
    bytes.extend(contact.to_be_bytes());
    for value in [0.5_f32, 0.25, 1.0, 11.5, 11.5] {
        bytes.extend(value.to_be_bytes());
    }
    bytes.extend(45_u16.to_be_bytes());
    bytes
}

const ADD: u8 = 0;
const REMOVE: u8 = 1;
/// A and misc, a trigger half way, the left stick up, the right one to the lower left.
const STATE: [u8; 15] = [0, 0, 0x20, 0x10, 0, 0x80, 0xff, 0, 0, 0x7f, 0xff, 0x80, 0, 0x80, 1];

fn state() -> GamepadState {
    GamepadState {
        buttons: GamepadButtons(0x0020_1000),
        left_trigger: 0x80,
        right_trigger: 0xff,
        left_stick: (0, 0x7fff),
        right_stick: (-0x8000, -0x7fff),
    }
}

fn slot(number: u8) -> GamepadSlot {
    GamepadSlot::new(number).expect("a slot")
}

fn gamepad(number: u8, state: GamepadState, active: u16) -> HostInput {
    HostInput::Gamepad { slot: slot(number), state, active }
}

async fn start() -> (Live, Served) {
    let live = Live::start(host(Manner::Sunshine)).await;
    let served = serve(live.source("one", small()).await).await;
    live::streaming(&served.streamer).await;
    (live, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_gets_a_picture_and_all_that_it_does_reaches_the_host() {
    for version in [A, B, C] {
        let (live, served) = start().await;
        let mut page = Page::open(&version, &served).await;
        eprintln!("{}: first keyframe after {:?}", version.name, page.viewer.stats().first_keyframe_after);
        let complete = page.heard("ConnectionComplete").expect("it may act");
        assert_eq!(complete["capabilities"], json!({"touch": true}));
        assert_eq!((&complete["width"], &complete["height"]), (&json!(320), &json!(180)));
        let mut host = AtHost::of(&live);

        keys_and_text(&page, &mut host).await;
        mouse(&version, &page, &mut host).await;
        fingers(&page, &mut host).await;
        gamepads(&mut page, &live, &mut host).await;

        let stats = page.viewer.close().await;
        assert!(stats.video.frames > 20 && stats.audio.packets > 0, "{stats:?}");
        assert_eq!(stats.messages_refused, 0, "{stats:?}");
    }
}

async fn keys_and_text(page: &Page, host: &mut AtHost) {
    page.say("keyboard", &[0, 1, 1, 0, 0xa0]).await;
    page.say("keyboard", &[0, 1, 1, 0, 0x41]).await;
    // It repeats itself.
    page.say("keyboard", &[0, 1, 1, 0, 0x41]).await;
    page.say("keyboard", &[0, 0, 1, 0, 0x41]).await;
    page.say("keyboard", &[0, 0, 0, 0, 0xa0]).await;
    host.sees(&[key(0xa0, true, 1), key(0x41, true, 1), key(0x41, false, 1), key(0xa0, false, 0)]).await;

    page.say("keyboard", b"\x01\x04h\xc3\xa9\xf0\x9f\x8e\xae").await;
    host.sees(&['h', 'é', '🎮'].map(HostInput::Text)).await;

    // Bytes of earlier messages in front: dropped, and the channel goes on.
    page.say("keyboard", b"\x00\x01\x00\x00\x41\x01\x02hi").await;
    page.say("keyboard", b"\x00\x01\x00\x00\x41\x00\x00\x00\x00\x41").await;
    page.say("keyboard", b"\x01\x02hi\x01\x05again").await;
    page.say("keyboard", &[0, 1, 0, 0, 0x42]).await;
    page.say("keyboard", &[0, 0, 0, 0, 0x42]).await;
    host.sees(&[key(0x42, true, 0), key(0x42, false, 0)]).await;
}

async fn mouse(version: &Version, page: &Page, host: &mut AtHost) {
    let scroll = |horizontal, amount| HostInput::Scroll { horizontal, amount };
    let press = |button, down| HostInput::Button { button, down };

    page.say(version.absolute, &[1, 8, 0, 4, 0, 0x10, 0, 0x10, 0]).await;
    host.sees(&[HostInput::PointerTo(Position { x: 0x8000, y: 0x4000 })]).await;
    for (number, button) in (1..).zip(MouseButton::ALL) {
        page.say(version.clicks, &[2, 1, number]).await;
        host.sees(&[press(button, true)]).await;
        page.say(version.clicks, &[2, 0, number]).await;
        host.sees(&[press(button, false)]).await;
    }
    page.say(version.relative, &[0, 0xff, 0xff, 1, 0]).await;
    host.sees(&[HostInput::PointerBy { dx: -1, dy: 256 }]).await;
    page.say(version.wheel, &[3, 0, 100, 0, 0]).await;
    host.sees(&[scroll(true, 120)]).await;
    page.say(version.wheel, &[3, 0, 0, 0xff, 0xce]).await;
    host.sees(&[scroll(false, -60)]).await;
    page.say(version.wheel, &[4, 0, 50]).await;
    host.sees(&[scroll(false, 60)]).await;
    // Positions that go with a click come on its channel (C), and everything on the one of A.
    page.say(version.clicks, &[1, 0x10, 0, 0, 0, 0x10, 0, 0x10, 0]).await;
    host.sees(&[HostInput::PointerTo(Position { x: 0xffff, y: 0 })]).await;
}

async fn fingers(page: &Page, host: &mut AtHost) {
    use PointerPhase::{Cancel, Down, Move, Up};

    for (phase, seen) in [(0, Down), (1, Move), (2, Up)] {
        page.say("touch", &touch_bytes(phase, 9)).await;
        host.sees(&[touch(seen, 0)]).await;
    }
    // Its end never comes: it is taken away when it comes again.
    page.say("touch", &touch_bytes(0, 9)).await;
    host.sees(&[touch(Down, 0)]).await;
    page.say("touch", &touch_bytes(0, 9)).await;
    let HostInput::Touch(Touch { phase: Cancel, contact: 0, .. }) = host.next().await else {
        panic!("it was not taken away");
    };
    host.sees(&[touch(Down, 0)]).await;
    page.say("touch", &touch_bytes(2, 9)).await;
    host.sees(&[touch(Up, 0)]).await;
}

async fn gamepads(page: &mut Page, live: &Live, host: &mut AtHost) {
    let rest = GamepadState::default();
    let info = |capabilities, buttons| GamepadInfo {
        kind: GamepadKind::Unknown,
        capabilities,
        buttons: GamepadButtons(buttons),
    };
    page.say("controllers", &[ADD, 3, 0, 0, 0xf7, 0xff, 0, 6]).await;
    let added = HostInput::GamepadConnected { slot: slot(0), info: info(7, 0xf7ff) };
    host.sees(&[added, gamepad(0, rest, 1)]).await;
    page.say("controller3", &STATE).await;
    host.sees(&[gamepad(0, state(), 1)]).await;

    let session = HostSessionId(0);
    let rumble = HostFeedback::Rumble { gamepad: slot(0), low: 0x1234, high: 0xffff };
    assert!(live.host.send_feedback(session, rumble).await);
    assert_eq!(page.rumble().await, [0, 3, 0x12, 0x34, 0xff, 0xff][..]);
    let triggers = HostFeedback::TriggerRumble { gamepad: slot(0), left: 1, right: 0x200 };
    assert!(live.host.send_feedback(session, triggers).await);
    assert_eq!(page.rumble().await, [1, 3, 0, 1, 2, 0][..]);

    // A state before its add adds it.
    page.say("controller15", &STATE).await;
    let added = HostInput::GamepadConnected { slot: slot(1), info: GamepadInfo::default() };
    host.sees(&[added, gamepad(1, rest, 3), gamepad(1, state(), 3)]).await;
    page.say("controllers", &[REMOVE, 3]).await;
    // It rests, and is gone.
    host.sees(&[gamepad(0, rest, 3), gamepad(0, rest, 2)]).await;
    // Under another name than it was added.
    page.say("controllers", &[REMOVE, 0]).await;
    host.sees(&[gamepad(1, rest, 2), gamepad(1, rest, 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rumble_goes_to_the_page_whose_gamepad_it_is() {
    let (live, served) = start().await;
    let (mut first, mut second) = (Page::open(&B, &served).await, Page::open(&C, &served).await);
    let mut host = AtHost::of(&live);
    for (page, at) in [(&first, 0), (&second, 1)] {
        page.say("controllers", &[ADD, 0, 0, 0, 0xf7, 0xff, 0, 2]).await;
        let HostInput::GamepadConnected { slot: taken, .. } = host.next().await else { panic!("none comes") };
        assert_eq!(taken, slot(at));
        host.next().await;
    }
    let session = HostSessionId(0);
    // Whatever one of them got of the other's would come before its own.
    for (number, strength) in [(1, 1), (0, 2), (1, 3), (0, 4)] {
        let rumble = HostFeedback::Rumble { gamepad: slot(number), low: strength, high: 0 };
        assert!(live.host.send_feedback(session, rumble).await);
        let page = if number == 0 { &mut first } else { &mut second };
        assert_eq!(page.rumble().await, [0, 0, 0, strength as u8, 0, 0][..]);
    }
}

/// How a page goes.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is closed.
    Closed,
    /// Its WebSocket is lost; its media go on.
    SocketLost,
    /// Its computer sleeps: nothing answers, and nothing is closed.
    Silent,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_holds_is_let_go_when_it_goes() {
    for (version, end, within) in [
        (A, End::Closed, Duration::from_millis(100)),
        (B, End::SocketLost, Duration::from_millis(100)),
        (C, End::Silent, Duration::from_secs(4)),
    ] {
        let (live, served) = start().await;
        let page = Page::open(&version, &served).await;
        let mut host = AtHost::of(&live);
        page.say("keyboard", &[0, 1, 2, 0, 0xa2]).await;
        host.sees(&[key(0xa2, true, 2)]).await;
        page.say(version.clicks, &[2, 1, 1]).await;
        host.sees(&[HostInput::Button { button: MouseButton::Left, down: true }]).await;
        page.say("touch", &touch_bytes(0, 4)).await;
        host.sees(&[touch(PointerPhase::Down, 0)]).await;
        page.say("controller0", &STATE).await;
        let plugged = [host.next().await, host.next().await, host.next().await];
        assert_eq!(plugged[2], gamepad(0, state(), 1));

        let (machine, gone) = (Machine::watch(), Instant::now());
        let Page { viewer, cut, .. } = page;
        let kept = match end {
            End::Closed => {
                viewer.close().await;
                None
            }
            End::SocketLost => {
                cut.send(()).expect("it listens");
                Some(viewer)
            }
            End::Silent => {
                in_time(viewer.pause()).await.expect("it is here");
                Some(viewer)
            }
        };
        let mut left = vec!["key", "button", "finger", "gamepad"];
        while !left.is_empty() {
            let what = match host.next().await {
                HostInput::Key { code: KeyCode(0xa2), down: false, .. } => "key",
                HostInput::Button { button: MouseButton::Left, down: false } => "button",
                HostInput::Touch(Touch { phase: PointerPhase::Cancel, contact: 0, .. }) => "finger",
                HostInput::Gamepad { state, .. } if state == GamepadState::default() => "gamepad",
                input => panic!("{input:?}"),
            };
            left.retain(|held| *held != what);
        }
        let took = gone.elapsed();
        eprintln!("{} {end:?}: all let go after {took:?}", version.name);
        // A handful of tasks stand one behind the other.
        let within = within + 5 * machine.lag();
        assert!(took < within, "{end:?}: {took:?} of {within:?}");
        let Some(mut viewer) = kept else { continue };
        viewer.resume();
        // One that stood still for longer may be given up meanwhile.
        if matches!(end, End::Silent) && machine.kept_up() {
            for status in ["Poor", "Ok"] {
                let message: Value =
                    serde_json::from_slice(&told(&mut viewer, "general").await).expect("JSON");
                assert_eq!(message, json!({"ConnectionStatusUpdate": {"status": status}}));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_cost_their_sender_alone_and_known_bugs_cost_nothing() {
    let (live, served) = start().await;
    let good = Page::open(&A, &served).await;
    let mut host = AtHost::of(&live);
    for bad in [("mouse_reliable", &[9, 9][..]), ("touch", &[0; 26]), ("controllers", &[ADD, 99])] {
        let page = Page::open(&C, &served).await;
        for n in 0..200_u8 {
            page.say("keyboard", &[0, 1, 0, n]).await;
            page.say("keyboard", &[1]).await;
            page.say("stats", &[n]).await;
            page.say("touch", &touch_bytes(2, n.into())).await;
            page.say("controllers", &[REMOVE, n]).await;
        }
        for _ in 0..19 {
            page.say(bad.0, bad.1).await;
        }
        page.say("keyboard", &[0, 1, 0, 0, 0x43]).await;
        page.say("keyboard", &[0, 0, 0, 0, 0x43]).await;
        host.sees(&[key(0x43, true, 0), key(0x43, false, 0)]).await;
        page.say(bad.0, bad.1).await;
        let told = timeout(PATIENCE, page.viewer.closed()).await.expect("it has to go");
        let CloseReason::Signalling(Closed { code, reason }) = told else { panic!("{told}") };
        assert_eq!((code, &*reason), (Some(4012), LeaveReason::BadInput.message()), "{bad:?}");
        let farewell = page.heard.lock().expect("nobody panics").last().cloned();
        assert_eq!(farewell, Some(json!("PeerDisconnect")), "{bad:?}");
    }
    good.say("keyboard", &[0, 1, 0, 0, 0x44]).await;
    host.sees(&[key(0x44, true, 0)]).await;
    assert_eq!(good.heard("ConnectionTerminated"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_sent_away_or_whose_stream_ends_is_told_in_words_that_it_knows() {
    let (_live, served) = start().await;
    let page = Page::open(&A, &served).await;
    let id = served.streamer.peers()[0].id;
    assert!(served.streamer.kick(id, LeaveReason::Kicked));
    timeout(PATIENCE, page.viewer.closed()).await.expect("it has to go");
    assert_eq!(page.heard.lock().expect("nobody panics").last(), Some(&json!("ClientKicked")));

    let page = Page::open(&A, &served).await;
    served.registry.remove(served.streamer.id(), moonlight_mux::ExitPolicy::Quit).await;
    timeout(PATIENCE, page.viewer.closed()).await.expect("it has to go");
    assert_eq!(page.heard("ConnectionTerminated"), Some(json!({"error_code": 0})));
}
