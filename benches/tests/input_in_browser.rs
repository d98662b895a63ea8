//! What people do in pages, as the host sees it: Chromium, the server, the whole protocol, and a host that shows it.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/live/mod.rs"]
mod live;
mod support;

use std::time::Duration;

use moonlight_mux::{
    GamepadButtons, GamepadState, HostEvent, HostEvents, HostFeedback, HostInput, HostSessionId, KeyCode,
    MouseButton, TestHostConfig,
};
use moonlight_mux_benches::chromium::{Chromium, Page};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use live::{Live, small};
use support::machine::Machine;
use support::page::{PATIENCE, command, evaluate, open, picture, reach, until};
use support::{Served, serve};

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;

/// A host that shows what is done, and its stream.
struct Stage {
    live: Live,
    served: Served,
    /// Of the host, from the last that was looked at.
    events: HostEvents,
}

impl Stage {
    async fn start() -> Self {
        let live = Live::start(TestHostConfig::default()).await;
        let mut config = small();
        (config.width, config.height) = (WIDTH, HEIGHT);
        let served = serve(live.source("one", config).await).await;
        let events = live.host.events();
        Self { live, served, events }
    }

    /// Opens a page that may act and does not yet.
    async fn join(&self, chromium: &mut Chromium, query: &str) -> Page {
        let page = open(chromium, &format!("{}{query}", self.served.page_url())).await;
        // As if each page were the one that its person looks at.
        command(chromium, &page, "Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
        until(chromium, &page, "moonlightMux.events.Input?.takes === true").await;
        page
    }

    /// Opens a page and takes control in it, with the button: the mouse stays where it is, and moves nothing.
    async fn control_by_button(&self, chromium: &mut Chromium, query: &str) -> Page {
        let page = self.join(chromium, query).await;
        evaluate(chromium, &page, "document.getElementById('control').click()").await;
        until(chromium, &page, "moonlightMux.sender.takes('keyboard')").await;
        page
    }

    /// The same by a click into the picture: from there on what is done in it goes to the host.
    async fn control(&self, chromium: &mut Chromium, query: &str) -> Page {
        let page = self.join(chromium, query).await;
        let Corner { x, y } = middle(chromium, &page).await;
        click(chromium, &page, x, y).await;
        until(chromium, &page, "moonlightMux.sender.takes('keyboard')").await;
        page
    }

    /// The next input at the host that `wanted` takes; those before are passed by.
    async fn input<T>(&mut self, wanted: impl FnMut(HostInput) -> Option<T>) -> T {
        self.inputs(wanted).await.0
    }

    /// The same, and all before it.
    async fn inputs<T>(&mut self, mut wanted: impl FnMut(HostInput) -> Option<T>) -> (T, Vec<HostInput>) {
        let mut before = Vec::new();
        let next = async {
            loop {
                let event = self.events.next().await.expect("the host is here");
                let HostEvent::Input(_, input) = event else { continue };
                if let Some(found) = wanted(input) {
                    return found;
                }
                before.push(input);
            }
        };
        match timeout(PATIENCE, next).await {
            Ok(found) => (found, before),
            Err(_) => panic!("the host was told {before:?} alone"),
        }
    }

    /// Waits until a key is down or up at the host.
    async fn key(&mut self, code: u8, down: bool) {
        self.input(|input| (of_key(input) == Some((code, down))).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_pages_arrive_each_pages_in_order_and_show_in_the_picture() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [stage.control(&mut chromium, "?name=Ann").await, stage.control(&mut chromium, "?name=Bob").await];
    let typed = ["MOONLIGHT", "KEYBRDSFQ"];
    for (ann, bob) in typed[0].chars().zip(typed[1].chars()) {
        for (page, letter) in pages.iter().zip([ann, bob]) {
            key(&mut chromium, page, letter, true).await;
            key(&mut chromium, page, letter, false).await;
        }
    }
    // Letters that nobody typed before, held.
    for (page, letter) in pages.iter().zip(['A', 'Z']) {
        key(&mut chromium, page, letter, true).await;
    }
    let mut held = Vec::new();
    let ((), told) = stage
        .inputs(|input| {
            held.extend(of_key(input).filter(|(code, _)| b"AZ".contains(code)));
            (held.len() == 2).then_some(())
        })
        .await;
    let told: Vec<_> = told.into_iter().filter_map(of_key).collect();
    let others = ["LONGITHM", "KEYBRDSFQ"];
    for (typed, other) in typed.iter().zip([others[1], others[0]]) {
        // What both typed is of either, but everything of one's own is in its order.
        let own = |code: u8| typed.as_bytes().contains(&code) && !other.as_bytes().contains(&code);
        let seen: Vec<_> = told.iter().copied().filter(|&(code, _)| own(code)).collect();
        let expected = typed.bytes().filter(|&code| own(code)).flat_map(|code| [(code, true), (code, false)]);
        assert_eq!(seen, expected.collect::<Vec<_>>(), "{typed}");
    }

    for page in &pages {
        until(&mut chromium, page, &format!("({KEYS_SHOWN}) > 100")).await;
    }
    picture(&mut chromium, &pages[0], "input-two-pages.png").await;
    for (page, letter) in pages.iter().zip(['A', 'Z']) {
        key(&mut chromium, page, letter, false).await;
    }
    until(&mut chromium, &pages[1], &format!("({KEYS_SHOWN}) === 0")).await;
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_pages_arrive_in_the_order_in_which_they_were_typed() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages = [
        stage.control_by_button(&mut chromium, "?name=Ann").await,
        stage.control_by_button(&mut chromium, "?name=Bob").await,
    ];
    // Each letter goes down while the one before, of either page, is still held.
    let mut held: Option<(&Page, char)> = None;
    for (letter, typist) in ('A'..='Z').zip([0, 1, 0, 1, 1, 0, 0, 0, 1].into_iter().cycle()) {
        let page = &pages[typist];
        let before = held.replace((page, letter));
        let strokes = [(page, letter, true)].into_iter();
        for (page, letter, down) in strokes.chain(before.map(|(page, letter)| (page, letter, false))) {
            key(&mut chromium, page, letter, down).await;
            let (told, others) = stage.inputs(of_key).await;
            assert_eq!((told, &others[..]), ((letter as u8, down), &[][..]), "typed by {typist}");
        }
    }
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_let_go_when_its_page_is_killed_closed_left_or_hidden() {
    let _one_at_a_time = BROWSER.lock().await;
    let machine = Machine::watch();
    let mut stage = Stage::start().await;
    // Pages of one origin may share a process, and one of them is killed.
    let mut stays = Chromium::launch().await.expect("chromium");
    let other = stage.control(&mut stays, "?name=Bob").await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    for (way, at_most) in [
        ("killed", Some(1000)),
        ("closed", Some(100)),
        ("left", Some(100)),
        ("out of focus", Some(100)),
        // However long the browser takes for it. It would be held for ever: the page goes on, and says what is held.
        ("behind another tab", None),
        ("minimised", None),
    ] {
        let page = stage.control(&mut chromium, "?name=Ann").await;
        key(&mut chromium, &page, 'K', true).await;
        stage.key(b'K', true).await;
        let started = Instant::now();
        match way {
            "killed" => chromium.crash(&page).await.expect("it crashes"),
            "closed" => chromium.close(page).await.expect("it closes"),
            "left" => _ = evaluate(&mut chromium, &page, "document.querySelector('.bar a').click()").await,
            "out of focus" => _ = evaluate(&mut chromium, &page, "dispatchEvent(new Event('blur'))").await,
            _ => hide(&mut chromium, &page, way == "minimised").await,
        }
        stage.key(b'K', false).await;
        let took = started.elapsed();
        eprintln!("{way}: let go after {took:?}");
        if let Some(at_most) = at_most {
            // What the browser and its pipe take before anything has happened, and a machine that lags at each step.
            let bound = Duration::from_millis(at_most) + SLACK + 5 * machine.lag();
            assert!(took < bound, "{way}: {took:?}");
        }
        // The one who stays acts on.
        key(&mut stays, &other, 'B', true).await;
        key(&mut stays, &other, 'B', false).await;
        stage.key(b'B', false).await;
    }
    chromium.quit().await;
    stays.quit().await;
}

/// Hides a page as a person does, and waits until it knows.
async fn hide(chromium: &mut Chromium, page: &Page, minimise: bool) {
    command(chromium, page, "Emulation.setFocusEmulationEnabled", json!({ "enabled": false })).await;
    if minimise {
        let window = command(chromium, page, "Browser.getWindowForTarget", json!({})).await;
        let bounds = json!({ "windowId": window["windowId"], "bounds": { "windowState": "minimized" } });
        command(chromium, page, "Browser.setWindowBounds", bounds).await;
    } else {
        chromium.open("about:blank").await.expect("a tab in front of it");
    }
    until(chromium, page, "document.hidden && moonlightMux.pc.connectionState === 'connected'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_lands_on_its_pixel_at_any_size_and_zoom() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = stage.control(&mut chromium, "").await;
    for (name, width, height, zoom, pixels) in [
        ("window", 1280, 800, 1.0, false),
        ("letterbox", 700, 900, 1.0, false),
        ("pillarbox", 1600, 460, 1.0, false),
        ("zoomed in", 853, 533, 1.5, false),
        ("zoomed out", 1920, 1200, 0.67, false),
        ("sharp phone", 412, 915, 2.625, false),
        ("pixel by pixel", 1400, 1000, 1.0, true),
        ("pixel by pixel on a sharp screen", 1280, 800, 2.0, true),
        ("pixel by pixel, scrolled", 640, 480, 1.0, true),
    ] {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": zoom, "mobile": false });
        command(&mut chromium, &page, "Emulation.setDeviceMetricsOverride", screen).await;
        let other_mode = format!(
            "(document.getElementById('pixels').getAttribute('aria-pressed') === 'true') !== {pixels} \
             && document.getElementById('pixels').click()"
        );
        evaluate(&mut chromium, &page, &other_mode).await;
        let scroll =
            "document.getElementById('picture').scrollTo({ left: 123, top: 77, behavior: 'instant' })";
        evaluate(&mut chromium, &page, scroll).await;
        until(
            &mut chromium,
            &page,
            &format!("innerWidth === {width} && Math.abs(devicePixelRatio - {zoom}) < 0.001"),
        )
        .await;
        evaluate(&mut chromium, &page, FRAMES).await;
        let shown: Shown =
            serde_json::from_value(evaluate(&mut chromium, &page, SHOWN).await).expect("a box");
        for (right, down) in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.13, 0.71), (0.87, 0.29)] {
            let x = first_pixel(shown.left + right * (shown.width - 1.0));
            let y = first_pixel(shown.top + down * (shown.height - 1.0));
            click(&mut chromium, &page, x, y).await;
            let is_down =
                |input| matches!(input, HostInput::Button { button: MouseButton::Left, down: true });
            let ((), before) = stage.inputs(|input| is_down(input).then_some(())).await;
            let at = before.into_iter().rev().find_map(|input| match input {
                HostInput::PointerTo(at) => Some(at),
                _ => None,
            });
            let at = at.unwrap_or_else(|| panic!("{name}: a click without a place"));
            // The screen's pixel that the pointer is on, in pixels of the host.
            let side = 1.0 / zoom;
            let across = [x, x + side].map(|x| (x - shown.box_left) / shown.scale);
            let along = [y, y + side].map(|y| (y - shown.box_top) / shown.scale);
            assert_within(share(at.x, WIDTH), across, &format!("{name}, {x} across in {shown:?}"));
            assert_within(share(at.y, HEIGHT), along, &format!("{name}, {y} down in {shown:?}"));
            stage.input(|input| matches!(input, HostInput::Button { down: false, .. }).then_some(())).await;
        }
        picture(&mut chromium, &page, &format!("input-click-{}.png", name.replace([' ', ','], "-"))).await;
    }
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drag_with_a_locked_pointer_follows() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = stage.control(&mut chromium, "").await;
    let Corner { x, y } = middle(&mut chromium, &page).await;
    click(&mut chromium, &page, x, y).await;
    stage.input(|input| matches!(input, HostInput::Button { down: false, .. }).then_some(())).await;
    // Only what a person does may lock the pointer.
    let lock = "document.getElementById('lock-pointer').click()";
    let as_a_person = json!({ "expression": lock, "userGesture": true });
    command(&mut chromium, &page, "Runtime.evaluate", as_a_person).await;
    until(&mut chromium, &page, "document.pointerLockElement?.id === 'picture'").await;

    mouse(&mut chromium, &page, "mousePressed", x, y, 1).await;
    let steps = [(7, 3), (40, -25), (-13, 0), (0, 31), (1, 1)];
    let (mut at, mut moved) = ((x, y), (0, 0));
    for (dx, dy) in steps {
        at = (at.0 + f64::from(dx), at.1 + f64::from(dy));
        moved = (moved.0 + dx, moved.1 + dy);
        mouse(&mut chromium, &page, "mouseMoved", at.0, at.1, 1).await;
    }
    mouse(&mut chromium, &page, "mouseReleased", at.0, at.1, 0).await;
    stage.input(|input| matches!(input, HostInput::Button { down: true, .. }).then_some(())).await;
    let is_up = |input| matches!(input, HostInput::Button { button: MouseButton::Left, down: false });
    let ((), dragged) = stage.inputs(|input| is_up(input).then_some(())).await;
    let by = dragged.iter().fold((0, 0), |(x, y), input| match *input {
        HostInput::PointerBy { dx, dy } => (x + i32::from(dx), y + i32::from(dy)),
        other => panic!("{other:?} in a drag"),
    });
    assert_eq!(by, moved, "{dragged:?}");
    picture(&mut chromium, &page, "input-drag.png").await;
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gamepad_reaches_the_host_and_its_rumble_comes_to_its_page_alone() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let mut pages = Vec::new();
    for name in ["Ann", "Bob"] {
        let page = stage.join(&mut chromium, &format!("?name={name}")).await;
        evaluate(&mut chromium, &page, GAMEPADS).await;
        pages.push(page);
    }
    let mut slots = Vec::new();
    for page in &pages {
        evaluate(&mut chromium, page, "gamepads.plug(0)").await;
        slots.push(
            stage
                .input(|input| match input {
                    HostInput::GamepadConnected { slot, .. } => Some(slot),
                    _ => None,
                })
                .await,
        );
    }
    assert_eq!(slots.iter().map(|slot| slot.get()).collect::<Vec<_>>(), [0, 1]);

    for (page, slot, button, name) in [(&pages[0], slots[0], 0, 0x1000), (&pages[1], slots[1], 3, 0x8000)] {
        evaluate(&mut chromium, page, &format!("gamepads.press(0, {button}, true)")).await;
        evaluate(&mut chromium, page, "gamepads.tilt(0, 0, 1); gamepads.tilt(0, 1, -1)").await;
        let wanted = GamepadState {
            buttons: GamepadButtons(name),
            left_stick: (i16::MAX, i16::MAX),
            ..GamepadState::default()
        };
        stage
            .input(|input| match input {
                HostInput::Gamepad { slot: at, state, .. } if at == slot && state == wanted => Some(()),
                _ => None,
            })
            .await;
    }

    let rumble = HostFeedback::Rumble { gamepad: slots[1], low: 0x8000, high: 0xffff };
    assert!(stage.live.host.send_feedback(HostSessionId(0), rumble).await, "the session hears");
    until(&mut chromium, &pages[1], "gamepads.played.length > 0").await;
    let played = evaluate(&mut chromium, &pages[1], "gamepads.played[0]").await;
    assert_eq!(played["type"], "dual-rumble", "{played}");
    let magnitudes =
        ["strongMagnitude", "weakMagnitude"].map(|name| played[name].as_f64().expect("a number"));
    assert!((magnitudes[0] - 0.5).abs() < 0.01 && (magnitudes[1] - 1.0).abs() < 0.01, "{played}");
    // Whatever was on its way to the other page is there when this is.
    let rumble = HostFeedback::Rumble { gamepad: slots[0], low: 0x1000, high: 0 };
    assert!(stage.live.host.send_feedback(HostSessionId(0), rumble).await, "the session hears");
    until(&mut chromium, &pages[0], "gamepads.played.length > 0").await;
    let played = evaluate(&mut chromium, &pages[0], "gamepads.played[0]").await;
    assert!((played["strongMagnitude"].as_f64().expect("a number") - 0.0625).abs() < 0.01, "{played}");
    picture(&mut chromium, &pages[0], "input-gamepads.png").await;

    evaluate(&mut chromium, &pages[0], "gamepads.unplug(0)").await;
    stage
        .input(|input| match input {
            HostInput::Gamepad { slot, active, .. } => (slot == slots[0] && active == 0b10).then_some(()),
            _ => None,
        })
        .await;
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_only_page_moves_nothing_whatever_it_sends() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let views = stage.join(&mut chromium, "?name=Ann&role=view").await;
    let loses = stage.control_by_button(&mut chromium, "?name=Cid").await;
    let acts = stage.control_by_button(&mut chromium, "?name=Bob").await;
    // By HTTP, as a page of this server may.
    let rights = json!({ "rights": {
        "keyboard": false, "pointer": false, "touch": false, "pen": false, "gamepad": false, "text": false,
    }});
    let change = format!(
        r#"fetch(`../api/streamers/test/peers/${{moonlightMux.events.Viewers.you}}`, {{
          method: "PATCH", headers: {{ "content-type": "application/json" }}, body: JSON.stringify({rights}),
        }}).then((answer) => answer.status)"#
    );
    assert_eq!(evaluate(&mut chromium, &loses, &change).await, 200);

    for (page, code) in [(&views, 0x58), (&loses, 0x59)] {
        until(
            &mut chromium,
            page,
            "Object.values(moonlightMux.events.Input.rights).every((may) => may === false)",
        )
        .await;
        picture(&mut chromium, page, &format!("input-view-only-{code}.png")).await;
        evaluate(&mut chromium, page, &format!("{EVERYTHING}({code})")).await;
        reach(&mut chromium, page, "ended").await;
    }
    key(&mut chromium, &acts, 'B', true).await;
    let ((), before) = stage.inputs(|input| (of_key(input) == Some((b'B', true))).then_some(())).await;
    assert_eq!(before, []);
    key(&mut chromium, &acts, 'B', false).await;
    let ((), after) = stage.inputs(|input| (of_key(input) == Some((b'B', false))).then_some(())).await;
    assert_eq!(after, []);
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_shows_the_others_pointer_where_it_is() {
    let _one_at_a_time = BROWSER.lock().await;
    let stage = Stage::start().await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let pages =
        [stage.control(&mut chromium, "?name=Ann").await, stage.control(&mut chromium, "?name=Bob").await];
    let places = [(0.25, 0.25), (0.75, 0.5)];
    let mut shown: Vec<Shown> = Vec::new();
    for page in &pages {
        shown.push(serde_json::from_value(evaluate(&mut chromium, page, SHOWN).await).expect("a box"));
    }
    for (watches, moves, name) in [(0, 1, "Bob"), (1, 0, "Ann")] {
        let (right, down) = places[moves];
        let there = format!(
            r##"(() => {{
              const cursors = [...document.querySelectorAll("#cursors .cursor")];
              const {{ box_left, box_top, scale }} = {SHOWN};
              const at = cursors[0]?.getBoundingClientRect();
              return cursors.length === 1 && cursors[0].querySelector(".name").textContent === {name:?}
                && Math.abs((at.left - box_left) / scale / {WIDTH} - {right}) < 0.01
                && Math.abs((at.top - box_top) / scale / {HEIGHT} - {down}) < 0.01;
            }})()"##
        );
        let seen = timeout(PATIENCE, async {
            // One that rests is soon not shown any more: it trembles.
            for tremble in [0.0, 1.0].into_iter().cycle() {
                let Shown { left, top, width, height, .. } = shown[moves];
                let (x, y) = (left + right * width + tremble, top + down * height);
                mouse(&mut chromium, &pages[moves], "mouseMoved", x, y, 0).await;
                sleep(Duration::from_millis(100)).await;
                if evaluate(&mut chromium, &pages[watches], &there).await == true {
                    break;
                }
            }
        });
        if seen.await.is_err() {
            let cursors = "document.getElementById('cursors').outerHTML";
            panic!("{name}: {}", evaluate(&mut chromium, &pages[watches], cursors).await);
        }
        picture(&mut chromium, &pages[watches], &format!("input-pointer-of-{name}.png")).await;
    }
    chromium.quit().await;
}

/// A place in the window, in CSS pixels.
struct Corner {
    x: f64,
    y: f64,
}

/// The picture in the window, in CSS pixels: the part that is seen, and the whole of it.
#[derive(Debug, serde::Deserialize)]
struct Shown {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    box_left: f64,
    box_top: f64,
    /// CSS pixels of a pixel of the host.
    scale: f64,
}

/// Written down once more: where CSS puts a picture that is contained in its element.
const SHOWN: &str = include_str!("input_in_browser/shown.js");

/// Two more frames, behind which the layout is what it is going to be.
const FRAMES: &str =
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))";

/// How many white pixels there are where the test picture shows the keys that are down.
const KEYS_SHOWN: &str = include_str!("input_in_browser/keys_shown.js");

/// Gamepads of the standard layout, as the browser would have them.
const GAMEPADS: &str = include_str!("input_in_browser/gamepads.js");

/// Sends one message of each kind on the page's channels, past all that the page would not do: a key, text, a button with a
/// place, the wheel, a finger, a pen, a gamepad, moves to a place and by an amount; and then nonsense, until the server has had enough: by then it has read
/// the rest.
const EVERYTHING: &str = include_str!("input_in_browser/everything.js");

/// A browser's command, there and back.
const SLACK: Duration = Duration::from_millis(200);

/// The first whole pixel from here on; floating point makes a little more of a whole one now and then.
fn first_pixel(at: f64) -> f64 {
    (at - 0.001).ceil()
}

async fn middle(chromium: &mut Chromium, page: &Page) -> Corner {
    let shown: Shown = serde_json::from_value(evaluate(chromium, page, SHOWN).await).expect("a box");
    Corner { x: (shown.left + shown.width / 2.0).round(), y: (shown.top + shown.height / 2.0).round() }
}

async fn key(chromium: &mut Chromium, page: &Page, letter: char, down: bool) {
    let event = json!({
        "type": if down { "rawKeyDown" } else { "keyUp" }, "code": format!("Key{letter}"),
        "key": letter.to_lowercase().to_string(), "windowsVirtualKeyCode": u32::from(letter),
    });
    command(chromium, page, "Input.dispatchKeyEvent", event).await;
}

async fn click(chromium: &mut Chromium, page: &Page, x: f64, y: f64) {
    mouse(chromium, page, "mouseMoved", x, y, 0).await;
    mouse(chromium, page, "mousePressed", x, y, 1).await;
    mouse(chromium, page, "mouseReleased", x, y, 0).await;
}

/// `buttons` are those that are down behind it: 0 or 1, the left one.
async fn mouse(chromium: &mut Chromium, page: &Page, kind: &str, x: f64, y: f64, buttons: u8) {
    let changes = kind != "mouseMoved";
    let event: Value = json!({
        "type": kind, "x": x, "y": y, "buttons": buttons, "clickCount": u8::from(changes),
        "button": if changes || buttons == 1 { "left" } else { "none" },
    });
    command(chromium, page, "Input.dispatchMouseEvent", event).await;
}

fn of_key(input: HostInput) -> Option<(u8, bool)> {
    match input {
        HostInput::Key { code: KeyCode(code), down, .. } => Some((code, down)),
        _ => None,
    }
}

/// A share of the picture's side, in pixels. The host's plane has half as many places as there are shares.
fn share(share: u16, side: u32) -> f64 {
    f64::from(share) / 65536.0 * f64::from(side)
}

fn assert_within(pixel: f64, [from, to]: [f64; 2], what: &str) {
    // Half a step of the host's plane.
    let blur = f64::from(WIDTH) / 32768.0;
    assert!(from - blur <= pixel && pixel <= to + blur, "{pixel} is not in {from} to {to}: {what}");
}
