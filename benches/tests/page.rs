//! The pages as a person meets them: what they say and show, how they are worked, how they come back.
//!
//! The pages' pure modules are tested here too, in `page/*.js`: a browser runs them, which the other tests need anyway.

#![expect(clippy::disallowed_methods, reason = "a browser runs in real time")]

#[path = "../../moonlight-mux/tests/recordings/folder.rs"]
mod recordings;
mod support;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    AudioInfo, Command, Ended, ExitPolicy, FrameNumber, LeaveReason, Recording, Registry, SourceError,
    SourceIo, Stage, StreamInfo, StreamerConfig, VideoCodec, VideoFrame, VideoInfo, VideoSource,
    VideoTimestamp,
};
use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_http::{ServerConfig, close_code};
use serde_json::{Value, json};
use support::page::{PATIENCE, command, evaluate, open, picture, prefer, press, reach, resize, until};
use support::{Pictures, loopback, serve};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Mutex, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// The picture that most tests play: 1280x720 in H.264, 60 frames per second. `None` where there is none.
fn moving_picture(test: &str) -> Option<Recording> {
    let folder = recordings::recording(test, "v0.23-clear")?;
    Some(Recording::open(&folder).expect("a whole recording"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_pure_modules_do_what_their_tests_say() {
    const TESTS: [(&str, &str); 14] = [
        ("statistics.js", include_str!("page/statistics.js")),
        ("watchdog.js", include_str!("page/watchdog.js")),
        ("verdicts.js", include_str!("page/verdicts.js")),
        ("other.js", include_str!("page/other.js")),
        ("input.js", include_str!("page/input.js")),
        ("keyboard.js", include_str!("page/keyboard.js")),
        ("pointer.js", include_str!("page/pointer.js")),
        ("text.js", include_str!("page/text.js")),
        ("control.js", include_str!("page/control.js")),
        ("touch.js", include_str!("page/touch.js")),
        ("pen.js", include_str!("page/pen.js")),
        ("gamepads.js", include_str!("page/gamepads.js")),
        ("people.js", include_str!("page/people.js")),
        ("devices.js", include_str!("page/devices.js")),
    ];
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.getElementById('streamers') !== null").await;
    for (name, tests) in TESTS {
        let harness = include_str!("page/harness.js");
        let vectors = include_str!("../../moonlight-mux/src/webrtc/channels/vectors.json");
        let script = format!(
            "(async () => {{ const VECTORS = {vectors};\n{harness}\n{tests}\nreturn {{ count, failures }}; }})()"
        );
        let result = evaluate(&mut chromium, &page, &script).await;
        assert_eq!(result["failures"], json!([]), "{name}");
        assert!(result["count"].as_u64().is_some_and(|count| count > 0), "{name}: {result}");
    }
    chromium.quit().await;
}

/// Which codes there are, and whether a page tries again after them.
type CloseCodes = BTreeMap<u16, bool>;

/// The rows `| 1000 | the viewer left | no |` of a text.
fn documented(text: &str) -> CloseCodes {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, code, _, again, ""] = cells[..] else { return None };
        let again = match again {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        Some((code.parse().ok()?, again))
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_page_and_documentation_know_the_same_close_codes() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.getElementById('streamers') !== null").await;
    let script = r#"import("/assets/verdicts.js").then(({ CLOSE_CODES }) =>
        Object.fromEntries(Object.entries(CLOSE_CODES).map(([code, { again }]) => [code, again])))"#;
    let codes = evaluate(&mut chromium, &page, script).await;
    let codes: CloseCodes = serde_json::from_value(codes).expect("codes");
    chromium.quit().await;

    let source = include_str!("../../moonlight-mux-http/src/close_code.rs");
    assert_eq!(codes, documented(source), "the page and close_code.rs");
    let manual = include_str!("../../docs/http-api.md");
    assert_eq!(codes, documented(manual), "the page and docs/http-api.md");
    for code in used_codes() {
        assert!(codes.contains_key(&code), "{code} has no sentence");
    }
}

/// The codes that the server closes with.
fn used_codes() -> Vec<u16> {
    let reasons = [
        LeaveReason::Left,
        LeaveReason::Superseded,
        LeaveReason::StreamerDeleted,
        LeaveReason::StreamEnded,
        LeaveReason::Kicked,
        LeaveReason::TooSlow,
        LeaveReason::ServerShutdown,
        LeaveReason::SignallingTimeout,
        LeaveReason::BadSignalling,
        LeaveReason::BadInput,
        LeaveReason::UnsupportedCodec,
        LeaveReason::FormatChanged,
        LeaveReason::ConnectionFailed,
        LeaveReason::Vanished,
        LeaveReason::StreamerFull,
        LeaveReason::Internal,
    ];
    let mut codes: Vec<_> = reasons.into_iter().map(close_code::of_leave_reason).collect();
    codes.extend([close_code::MESSAGE_TOO_BIG, close_code::INTERNAL_ERROR, close_code::TRY_AGAIN_LATER]);
    codes
}

/// A WebSocket that closes at once, with the code behind `#` in the page's address. `sockets` are all their addresses.
const CLOSING_SOCKET: &str = r#"
  window.sockets = [];
  window.WebSocket = class extends EventTarget {
    static OPEN = 1;
    readyState = 3;
    constructor(url) {
      super();
      window.sockets.push(String(url));
      setTimeout(() => this.onclose({ code: Number(location.hash.slice(1)) }));
    }
    close() {}
  };"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_close_code_is_said_in_words() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open("about:blank").await.expect("a page");
    command(&mut chromium, &page, "Page.enable", json!({})).await;
    let socket = json!({ "source": CLOSING_SOCKET });
    command(&mut chromium, &page, "Page.addScriptToEvaluateOnNewDocument", socket).await;
    let codes = documented(include_str!("../../moonlight-mux-http/src/close_code.rs"));
    for (code, again) in codes {
        // Another query is another document: another fragment alone is not.
        let url = json!({ "url": format!("{}?code={code}#{code}", served.page_url()) });
        command(&mut chromium, &page, "Page.navigate", url).await;
        let wanted = if again { "waiting" } else { "ended" };
        // All at once: a moment later it may try again.
        let said = format!(
            r#"location.hash === '#{code}' && window.moonlightMux?.state === "{wanted}" && (() => {{
                const seen = (id) => document.getElementById(id).checkVisibility() && document.getElementById(id).textContent;
                window.said = {{
                    message: seen("message"),
                    countdown: seen("countdown"),
                    retry: seen("retry"),
                    announced: document.getElementById("announcement").textContent,
                }};
                return true;
            }})()"#
        );
        until(&mut chromium, &page, &said).await;
        let sentence = format!(
            r#"import("/assets/verdicts.js").then(({{ CLOSE_CODES }}) => ({{ ...said, sentence: CLOSE_CODES[{code}].message }}))"#
        );
        let said = evaluate(&mut chromium, &page, &sentence).await;
        let sentence = said["sentence"].as_str().expect("a sentence");
        // The stream plays H.264, and the page may say so.
        if code != close_code::of_leave_reason(LeaveReason::UnsupportedCodec) {
            assert_eq!(said["message"], sentence, "{code}");
            assert!(
                said["announced"].as_str().is_some_and(|text| text.starts_with(sentence)),
                "{code}: {said}"
            );
        }
        assert_eq!(said["retry"], "Try again now", "{code}");
        let counts_down = said["countdown"].as_str().is_some_and(|text| text.starts_with("Trying again in "));
        assert_eq!(counts_down, again, "{code}: {said}");
        if code == 4010 {
            picture(&mut chromium, &page, "page-error.png").await;
        }
    }
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_looked_at_again_does_not_wait_any_longer() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open("about:blank").await.expect("a page");
    command(&mut chromium, &page, "Page.enable", json!({})).await;
    let socket = json!({ "source": CLOSING_SOCKET });
    command(&mut chromium, &page, "Page.addScriptToEvaluateOnNewDocument", socket).await;
    let url = json!({ "url": format!("{}?name=Ann%20%26%20Bob#4010", served.page_url()) });
    command(&mut chromium, &page, "Page.navigate", url).await;
    for (target, event) in [("document", "visibilitychange"), ("window", "online")] {
        // All at once: no timer fires within a script.
        let script = format!(
            "window.moonlightMux?.state === 'waiting' && (() => {{
                const before = sockets.length;
                {target}.dispatchEvent(new Event('{event}'));
                window.joined = sockets.length - before;
                return true;
            }})()"
        );
        until(&mut chromium, &page, &script).await;
        assert_eq!(evaluate(&mut chromium, &page, "window.joined").await, 1, "{event}");
    }
    let name = evaluate(&mut chromium, &page, "new URL(sockets.at(-1)).searchParams.get('name')").await;
    assert_eq!(name, "Ann & Bob", "the page's own name goes along");
    let instances = "new Set(sockets.map((url) => new URL(url).searchParams.get('instance'))).size";
    assert_eq!(evaluate(&mut chromium, &page, instances).await, 1, "it is the same page all along");
    chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_answer_any_more_is_replaced() {
    let Some(source) = moving_picture("a_connection_that_does_not_answer_any_more_is_replaced") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    // As far as the page can see, nothing comes from here on.
    let script = r#"(async () => {
        const pc = window.dead = window.moonlightMux.pc;
        const report = await pc.getStats();
        pc.getStats = async () => report;
    })()"#;
    evaluate(&mut chromium, &page, script).await;
    let replaced =
        "![null, window.dead].includes(window.moonlightMux.pc) && window.moonlightMux.state === 'playing'";
    until(&mut chromium, &page, replaced).await;
    assert_eq!(evaluate(&mut chromium, &page, "window.dead.connectionState").await, "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_stands_out_in_light_and_dark() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    until(&mut chromium, &page, "document.querySelectorAll('.streamer').length === 1").await;
    for scheme in ["light", "dark"] {
        prefer(&mut chromium, &page, scheme).await;
        let faint = evaluate(&mut chromium, &page, FAINT).await;
        assert_eq!(faint, json!([]), "{scheme}");
    }
    chromium.quit().await;
}

/// The pairs of text and ground below the contrast of 4.5 to 1 that WCAG 2.2 (1.4.3) asks for.
const FAINT: &str = r#"(() => {
  const probe = document.body.appendChild(document.createElement("i"));
  const luminance = (name) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const pairs = [["on-accent", "accent"]];
  for (const ground of ["ground", "surface", "raised"]) {
    for (const text of ["text", "quiet", "accent"]) pairs.push([text, ground]);
  }
  for (const state of ["good", "busy", "bad", "quiet"]) pairs.push([state, "surface"]);
  const faint = pairs.map(([text, ground]) => [text, ground, contrast(text, ground)]).filter(([, , ratio]) => !(ratio >= 4.5));
  probe.remove();
  return faint;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_figures_and_is_worked_by_keyboard() {
    let Some(source) = moving_picture("a_page_shows_figures_and_is_worked_by_keyboard") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    // A name is for the server, which may ignore it.
    let page = open(&mut chromium, &format!("{}?name=Ann", served.page_url())).await;
    let chromium = &mut chromium;

    press(chromium, &page, "i").await;
    let figure = |label: &str| {
        format!(
            r#"[...document.querySelectorAll('#figures dt')].find((term) => term.textContent === '{label}').nextSibling.textContent"#
        )
    };
    until(chromium, &page, &format!("Number({}) > 0", figure("Frames per second"))).await;
    assert_eq!(evaluate(chromium, &page, &figure("Picture")).await, "1280×720");
    assert_eq!(evaluate(chromium, &page, &figure("Codec")).await, "H264");
    for label in ["Bitrate", "Sound", "Round trip", "Packets lost", "Jitter buffer", "Frames dropped", "Path"]
    {
        until(chromium, &page, &format!("{} !== '–'", figure(label))).await;
    }
    let path = evaluate(chromium, &page, &figure("Path")).await;
    assert!(path.as_str().is_some_and(|path| path.starts_with("UDP, ")), "{path}");

    let width = "document.getElementById('video').getBoundingClientRect().width";
    resize(chromium, &page, 1000, 600, false).await;
    until(chromium, &page, &format!("{width} === 1000")).await;
    press(chromium, &page, "p").await;
    until(chromium, &page, &format!("{width} === 1280")).await;
    let scrolls = "document.getElementById('picture').tabIndex === 0 && document.body.scrollWidth === 1000";
    assert_eq!(
        evaluate(chromium, &page, scrolls).await,
        true,
        "the picture alone scrolls, and takes the focus"
    );

    press(chromium, &page, "m").await;
    until(chromium, &page, "!window.moonlightMux.video.muted").await;
    press(chromium, &page, "f").await;
    until(chromium, &page, "document.fullscreenElement?.id === 'viewer'").await;
    // The controls go by themselves, but not from under the keyboard: that timer is wound by hand.
    let opacity = "getComputedStyle(document.querySelector('.controls')).opacity";
    until(chromium, &page, &format!("{opacity} === '0'")).await;
    let rests = r#"(() => {
        const real = window.setTimeout;
        window.setTimeout = (then) => ((window.rest = then), 0);
        document.getElementById("viewer").dispatchEvent(new PointerEvent("pointermove"));
        window.setTimeout = real;
        const seen = !document.getElementById("viewer").classList.contains("idle");
        window.rest();
        return seen && document.getElementById("viewer").classList.contains("idle");
    })()"#;
    assert_eq!(evaluate(chromium, &page, rests).await, true, "it is awake until it rests");
    evaluate(chromium, &page, "document.getElementById('help').focus()").await;
    assert_eq!(evaluate(chromium, &page, "document.activeElement.matches(':focus-visible')").await, true);
    assert_eq!(evaluate(chromium, &page, rests).await, false, "it does not rest under the keyboard");
    until(chromium, &page, &format!("{opacity} === '1'")).await;
    press(chromium, &page, "f").await;
    until(chromium, &page, "document.fullscreenElement === null").await;

    press(chromium, &page, "?").await;
    until(chromium, &page, "document.getElementById('help-dialog').open").await;
    press(chromium, &page, "p").await;
    assert_eq!(evaluate(chromium, &page, &format!("{width} === 1280")).await, true, "keys are the dialog's");
    evaluate(chromium, &page, "document.getElementById('shortcuts-enabled').click()").await;
    evaluate(chromium, &page, "document.getElementById('help-dialog').close()").await;
    press(chromium, &page, "p").await;
    assert_eq!(evaluate(chromium, &page, &format!("{width} === 1280")).await, true, "shortcuts are off");

    // The choices are remembered, and nothing is done that the security policy forbids.
    let listen = json!({ "source": "window.forbidden = []; addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) => forbidden.push(`${effectiveDirective} ${blockedURI}`))" });
    command(chromium, &page, "Page.enable", json!({})).await;
    command(chromium, &page, "Page.addScriptToEvaluateOnNewDocument", listen).await;
    command(chromium, &page, "Page.reload", json!({})).await;
    until(
        chromium,
        &page,
        "!document.getElementById('statistics-panel')?.hidden && window.moonlightMux?.state === 'playing'",
    )
    .await;
    until(chromium, &page, &format!("{width} === 1280")).await;
    assert_eq!(
        evaluate(chromium, &page, "document.getElementById('shortcuts-enabled').checked").await,
        false
    );
    assert_eq!(evaluate(chromium, &page, "window.forbidden").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_who_is_here_and_why_the_picture_stands_still() {
    let Some(source) = moving_picture("a_page_says_who_is_here_and_why_the_picture_stands_still") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    let chromium = &mut chromium;

    tell(chromium, &page, json!({ "Nonsense": {} })).await;
    let viewers = json!({ "you": "b", "count": 3, "viewers": [
        { "id": "a", "name": "Ann", "since_ms": 754_000 },
        { "id": "b", "name": null, "since_ms": 12_000 },
        { "id": "c", "name": "<b>Björn</b>", "since_ms": 9_154_000 },
    ] });
    tell(chromium, &page, json!({ "Viewers": viewers })).await;
    let label = "document.getElementById('people').getAttribute('aria-label')";
    assert_eq!(evaluate(chromium, &page, label).await, "3 are watching");
    evaluate(chromium, &page, "document.getElementById('people').click()").await;
    let names = "[...document.querySelectorAll('#people-list li')].map((item) => item.checkVisibility() && item.querySelector('.name').textContent)";
    assert_eq!(evaluate(chromium, &page, names).await, json!(["Ann", "Guest (you)", "<b>Björn</b>"]));
    press(chromium, &page, "i").await;
    until(chromium, &page, "document.querySelectorAll('#rate')[0].points.length > 2").await;
    for scheme in ["light", "dark"] {
        prefer(chromium, &page, scheme).await;
        picture(chromium, &page, &format!("page-{scheme}.png")).await;
    }
    tell(
        chromium,
        &page,
        json!({ "Viewers": { "you": "b", "count": 1, "viewers": [{ "id": "b", "since_ms": 0 }] } }),
    )
    .await;
    assert_eq!(evaluate(chromium, &page, names).await, json!(["Guest (you)"]));

    let says = "document.getElementById('interruption').checkVisibility() ? document.getElementById('interruption-text').textContent : ''";
    let announced = "document.getElementById('announcement').textContent";
    let cases = [
        (json!({ "Stream": { "status": "stalled" } }), "The host sends no new pictures at the moment."),
        (json!({ "Stream": { "status": "active" } }), ""),
        (
            json!({ "Quality": { "video": "held" } }),
            "Your connection is too slow: waiting for the next full picture.",
        ),
        (json!({ "Quality": { "video": "flowing" } }), ""),
    ];
    for (event, sentence) in cases {
        tell(chromium, &page, event.clone()).await;
        assert_eq!(evaluate(chromium, &page, says).await, sentence, "{event}");
        let aloud = if sentence.is_empty() { "Playing" } else { sentence };
        assert_eq!(evaluate(chromium, &page, announced).await, aloud, "{event}");
    }
}

/// As if the message had come on the data channel.
async fn tell(chromium: &mut Chromium, page: &Page, message: Value) {
    evaluate(chromium, page, &format!("window.moonlightMux.handleEvent({message})")).await;
}

/// Keeps what the page sends on its channels, in `window.sent`, and counts who listens to what lasts longer than a connection.
const SPY: &str = r#"(() => {
  window.sent = [];
  const { send } = RTCDataChannel.prototype;
  RTCDataChannel.prototype.send = function (bytes) {
    window.sent.push(`${this.label} ${Array.from(bytes.slice(4), (byte) => byte.toString(16).padStart(2, "0")).join("")}`);
    return send.call(this, bytes);
  };
  window.listeners = 0;
  const { addEventListener } = EventTarget.prototype;
  EventTarget.prototype.addEventListener = function (...of) {
    if (this === window || this instanceof Node || this === window.moonlightMux?.sender) window.listeners += 1;
    return addEventListener.apply(this, of);
  };
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_goes_to_the_host_only_while_in_control() {
    let name = "what_a_person_does_goes_to_the_host_only_while_in_control";
    let Some(source) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = chromium.open("about:blank").await.expect("a page");
    command(chromium, &page, "Page.enable", json!({})).await;
    command(chromium, &page, "Page.addScriptToEvaluateOnNewDocument", json!({ "source": SPY })).await;
    command(chromium, &page, "Page.navigate", json!({ "url": served.page_url() })).await;
    let muted = "window.moonlightMux.video.muted";
    let engaged = "window.moonlightMux.sender.engaged";
    let pill = "document.getElementById('control').getAttribute('aria-label')";

    // A recording takes no input: the server says so, and the page is told otherwise afterwards.
    plays_and_was_told(chromium, &page).await;
    assert_eq!(evaluate(chromium, &page, pill).await, "View only");
    click(chromium, &page, 640, 400).await;
    stroke(chromium, &page, "m", "KeyM").await;
    assert_eq!(evaluate(chromium, &page, engaged).await, false);
    assert_eq!(evaluate(chromium, &page, muted).await, false, "the shortcut is the page's");

    allow(chromium, &page, "shared").await;
    assert_eq!(evaluate(chromium, &page, pill).await, "Control");
    stroke(chromium, &page, "m", "KeyM").await;
    assert_eq!(evaluate(chromium, &page, muted).await, true);
    click(chromium, &page, 640, 400).await;
    assert_eq!(sent(chromium, &page).await, json!([]), "the click that takes control goes nowhere");
    assert_eq!(evaluate(chromium, &page, pill).await, "You are in control");

    stroke(chromium, &page, "m", "KeyM").await;
    assert_eq!(sent(chromium, &page).await, json!(["input 01034d0000", "input 01024d0000"]));
    assert_eq!(evaluate(chromium, &page, muted).await, true, "the shortcut is off");
    picture(chromium, &page, "page-control.png").await;

    key(chromium, &page, "keyDown", "a", "KeyA").await;
    evaluate(chromium, &page, "window.dispatchEvent(new Event('blur'))").await;
    assert_eq!(sent(chromium, &page).await, json!(["input 0103410000", "input 0e"]));
    key(chromium, &page, "keyDown", "b", "KeyB").await;
    allow(chromium, &page, "view_only").await;
    stroke(chromium, &page, "d", "KeyD").await;
    click(chromium, &page, 640, 400).await;
    let released = json!(["input 0103420000", "input 0e"]);
    assert_eq!(sent(chromium, &page).await, released, "let go once, and nothing after it");
    assert_eq!(evaluate(chromium, &page, pill).await, "View only");

    // Control lasts over a lost connection, and nothing listens twice afterwards.
    let before = evaluate(chromium, &page, "window.listeners").await;
    evaluate(chromium, &page, "window.first = window.moonlightMux.pc; window.moonlightMux.pc.close()").await;
    evaluate(chromium, &page, "document.getElementById('retry').click()").await;
    let replaced = "![null, window.first].includes(window.moonlightMux.pc)";
    until(chromium, &page, replaced).await;
    plays_and_was_told(chromium, &page).await;
    allow(chromium, &page, "shared").await;
    assert_eq!(evaluate(chromium, &page, "window.listeners").await, before);
    stroke(chromium, &page, "c", "KeyC").await;
    assert_eq!(sent(chromium, &page).await, json!(["input 0103430000", "input 0102430000"]));

    let keys = [("Control", "ControlLeft"), ("Alt", "AltLeft"), ("Shift", "ShiftLeft")];
    for kind in ["keyDown", "keyUp"] {
        for (name, code) in keys {
            key(chromium, &page, kind, name, code).await;
        }
    }
    assert_eq!(evaluate(chromium, &page, engaged).await, false);
    assert_eq!(evaluate(chromium, &page, "document.activeElement.id").await, "control");
    stroke(chromium, &page, "m", "KeyM").await;
    assert_eq!(evaluate(chromium, &page, muted).await, false, "the shortcut is the page's again");
}

async fn plays_and_was_told(chromium: &mut Chromium, page: &Page) {
    reach(chromium, page, "playing").await;
    until(chromium, page, "window.moonlightMux.events.Input !== undefined").await;
}

/// As if the server had allowed everything that the mode allows.
async fn allow(chromium: &mut Chromium, page: &Page, mode: &str) {
    let rights = json!({
        "keyboard": true, "pointer": true, "touch": true, "pen": true, "gamepad": true, "text": true,
    });
    let input =
        json!({ "mode": mode, "takes": true, "touch": true, "gamepad_sensors": true, "rights": rights });
    tell(chromium, page, json!({ "Input": input })).await;
}

/// What the page has sent since the last call: the channel and the message without its number.
async fn sent(chromium: &mut Chromium, page: &Page) -> Value {
    evaluate(chromium, page, "window.sent.splice(0)").await
}

async fn click(chromium: &mut Chromium, page: &Page, x: u32, y: u32) {
    for kind in ["mousePressed", "mouseReleased"] {
        let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
        command(chromium, page, "Input.dispatchMouseEvent", event).await;
    }
}

async fn stroke(chromium: &mut Chromium, page: &Page, name: &str, code: &str) {
    for kind in ["keyDown", "keyUp"] {
        key(chromium, page, kind, name, code).await;
    }
}

async fn key(chromium: &mut Chromium, page: &Page, kind: &str, name: &str, code: &str) {
    let event = json!({ "type": kind, "key": name, "code": code });
    command(chromium, page, "Input.dispatchKeyEvent", event).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assistive_technology_finds_everything_by_name() {
    let Some(source) = moving_picture("assistive_technology_finds_everything_by_name") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;

    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, "document.querySelectorAll('.streamer').length === 1").await;
    let roles = named_roles(chromium, &list).await;
    assert!(roles.iter().any(|(role, name)| role == "link" && name.contains("test")), "{roles:?}");

    let page = open(chromium, &served.page_url()).await;
    tell(
        chromium,
        &page,
        json!({ "Viewers": { "you": "a", "count": 1, "viewers": [{ "id": "a", "since_ms": 0 }] } }),
    )
    .await;
    evaluate(chromium, &page, "document.getElementById('people').click()").await;
    press(chromium, &page, "i").await;
    let roles = named_roles(chromium, &page).await;
    let has = |wanted: &str, name: &str| roles.iter().any(|(role, said)| role == wanted && said == name);
    assert!(has("Video", "Picture of test"), "{roles:?}");
    for name in ["Unmute", "Statistics", "Pixel by pixel", "Full screen", "Help", "Only you are watching"] {
        assert!(has("button", name), "{name}: {roles:?}");
    }
    assert!(has("link", "All streams"), "{roles:?}");
    press(chromium, &page, "?").await;
    let roles = named_roles(chromium, &page).await;
    assert!(roles.iter().any(|(role, name)| role == "dialog" && name == "Shortcuts"), "{roles:?}");
    picture(chromium, &page, "page-help.png").await;
}

/// The role and the name of all that the accessibility tree holds, with the checks that hold for every page.
async fn named_roles(chromium: &mut Chromium, page: &Page) -> Vec<(String, String)> {
    let duplicates = r#"[...document.querySelectorAll("[id]")].map(({ id }) => id).filter((id, i, all) => all.indexOf(id) !== i)"#;
    assert_eq!(evaluate(chromium, page, duplicates).await, json!([]), "ids are there once");
    let tree = command(chromium, page, "Accessibility.getFullAXTree", json!({})).await;
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] == false);
    let roles: Vec<_> = nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect();
    for (role, name) in &roles {
        let needs_name =
            ["button", "link", "checkbox", "Video", "dialog", "heading", "region", "img", "image"];
        assert!(!needs_name.contains(&role.as_str()) || !name.is_empty(), "a {role} has no name: {roles:?}");
    }
    assert!(roles.iter().filter(|(role, _)| role == "main").count() <= 1);
    roles
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_has_the_picture_and_all_controls_in_view() {
    let Some(source) = moving_picture("a_phone_has_the_picture_and_all_controls_in_view") else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, "document.querySelectorAll('.streamer').length === 1").await;
    let page = open(chromium, &served.page_url()).await;
    let screens = [
        ("upright", 390, 844),
        ("on-its-side", 844, 390),
        ("small", 320, 568),
        ("small-on-its-side", 568, 320),
    ];
    for (name, width, height) in screens {
        for (page, kind) in [(&list, "list"), (&page, "page")] {
            resize(chromium, page, width, height, true).await;
            until(chromium, page, &format!("innerWidth === {width}")).await;
            let problems = evaluate(chromium, page, OUT_OF_REACH).await;
            assert_eq!(problems, json!([]), "{kind}, {name}");
            picture(chromium, page, &format!("{kind}-phone-{name}.png")).await;
        }
        let shown = evaluate(chromium, &page, "(() => { const { width, height } = document.getElementById('stage').getBoundingClientRect(); return width >= 0.8 * Math.min(innerWidth, height * 16 / 9); })()").await;
        assert_eq!(shown, true, "the picture has the room, {name}");
    }
}

/// What is out of view or too small for a finger, and whether the page scrolls sideways.
const OUT_OF_REACH: &str = r#"(() => {
  const problems = [];
  if (document.documentElement.scrollWidth > innerWidth) problems.push("scrolls sideways");
  for (const control of document.querySelectorAll("a, button")) {
    if (!control.checkVisibility()) continue;
    const { left, right, top, bottom, width, height } = control.getBoundingClientRect();
    const name = control.getAttribute("aria-label") ?? control.textContent.trim();
    if (left < 0 || right > innerWidth || top < 0 || bottom > innerHeight) problems.push(`${name} is out of view`);
    if (width < 44 || height < 44) problems.push(`${name} is ${width} by ${height}`);
  }
  return problems;
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_follows_the_streams() {
    let _one_at_a_time = BROWSER.lock().await;
    let served = serve(Pictures::synthetic(10)).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = chromium.open(&served.list_url()).await.expect("the page opens");
    let card = |id: &str| {
        format!(
            "[...document.querySelectorAll('.streamer')].find(({{ href }}) => href.endsWith('/s/{id}'))?.innerText"
        )
    };
    until(chromium, &page, &format!("{}?.includes('Live')", card("test"))).await;
    until(chromium, &page, &format!("{}.includes('640×360 · 60 fps · H.264 · ')", card("test"))).await;
    let focused = format!("document.querySelector('.streamer').focus(); {}", card("test"));
    evaluate(chromium, &page, &focused).await;

    let id = "office".parse().expect("an id");
    served.registry.create(id, Unreachable, StreamerConfig::default()).expect("a free name");
    until(
        chromium,
        &page,
        &format!("{}?.includes('RTSP handshake: the host does not answer.')", card("office")),
    )
    .await;
    until(chromium, &page, "document.getElementById('status').textContent === '2 streams'").await;
    let still = "document.activeElement.href?.endsWith('/s/test')";
    assert_eq!(evaluate(chromium, &page, still).await, true, "focus survives an update");
    for scheme in ["light", "dark"] {
        prefer(chromium, &page, scheme).await;
        picture(chromium, &page, &format!("list-{scheme}.png")).await;
    }

    for id in ["office", "test"] {
        let id = id.parse().expect("an id");
        assert!(served.registry.remove(&id, ExitPolicy::LeaveRunning).await);
    }
    until(chromium, &page, "document.getElementById('empty').checkVisibility()").await;
    assert_eq!(evaluate(chromium, &page, "document.querySelectorAll('.streamer').length").await, 0);
    picture(chromium, &page, "list-empty.png").await;
}

/// A host that is not there.
struct Unreachable;

#[derive(Debug, thiserror::Error)]
#[error("the host does not answer")]
struct NoAnswer;

#[async_trait]
impl VideoSource for Unreachable {
    async fn run(&self, _: SourceIo) -> Result<Ended, SourceError> {
        Err(SourceError::permanent(NoAnswer).in_stage(Stage::RtspHandshake))
    }
}

/// A server that can be killed: it has a runtime of its own.
struct Killable {
    runtime: Runtime,
    address: SocketAddr,
}

impl Killable {
    async fn start(address: SocketAddr, source: impl VideoSource) -> Self {
        let runtime = runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let started = runtime.spawn(async move {
            let listener = moonlight_mux_http::bind(address).await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let registry = Registry::new();
            let id = "test".parse().expect("an id");
            let streamer = registry.create(id, source, StreamerConfig::default()).expect("a free name");
            let router = moonlight_mux_http::router(registry.clone(), loopback(), ServerConfig::default());
            tokio::spawn(async move {
                let _streamer = streamer;
                moonlight_mux_http::serve(listener, router, registry, std::future::pending()).await
            });
            address
        });
        let address = started.await.expect("it starts");
        Self { runtime, address }
    }

    /// Says goodbye to nobody.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// The browser's emulation of being offline holds for HTTP and WebSockets and for `navigator.onLine`, not for WebRTC.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_back_by_itself_after_the_server_was_killed() {
    let name = "a_page_comes_back_by_itself_after_the_server_was_killed";
    let (Some(source), Some(again)) = (moving_picture(name), moving_picture(name)) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let server = Killable::start(([127, 0, 0, 1], 0).into(), source).await;
    let address = server.address;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &format!("http://{address}/s/test")).await;
    evaluate(chromium, &page, "window.stillThisPage = true").await;

    server.kill();
    let says = |sentence: &str| {
        format!(
            "window.moonlightMux.state === 'waiting' && document.getElementById('message').textContent === '{sentence}'"
        )
    };
    until(chromium, &page, &says("The server cannot be reached.")).await;
    assert_eq!(evaluate(chromium, &page, "window.moonlightMux.pc").await, Value::Null);

    be_online(chromium, &page, false).await;
    evaluate(chromium, &page, "document.getElementById('retry').click()").await;
    until(chromium, &page, &says("This device is offline.")).await;
    let server = Killable::start(address, again).await;
    be_online(chromium, &page, true).await;
    reach(chromium, &page, "playing").await;
    assert_eq!(evaluate(chromium, &page, "window.stillThisPage").await, true, "without a reload");
    server.kill();
}

async fn be_online(chromium: &mut Chromium, page: &Page, online: bool) {
    let conditions =
        json!({ "offline": !online, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    command(chromium, page, "Network.emulateNetworkConditions", conditions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_hears_of_a_picture_that_stands_still_and_of_one_that_moves_again() {
    let name = "the_server_hears_of_a_picture_that_stands_still_and_of_one_that_moves_again";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(|| Log)
        .init();
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    until_reported("FirstFrame").await;

    forget_reports();
    sends.send(Sends::Garbage).expect("the source runs");
    until_reported("Frozen").await;
    let says = "document.getElementById('interruption').checkVisibility() && document.getElementById('interruption-text').textContent";
    until(
        chromium,
        &page,
        &format!("({says}) === 'Pictures arrive, but cannot be decoded: waiting for the next full picture.'"),
    )
    .await;
    picture(chromium, &page, "page-frozen.png").await;

    forget_reports();
    sends.send(Sends::Pictures).expect("the source runs");
    until_reported("Playing").await;
    until(chromium, &page, "!document.getElementById('interruption').checkVisibility()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_sends_nothing_is_named_until_it_sends_again() {
    let Some(recording) = moving_picture("a_host_that_sends_nothing_is_named_until_it_sends_again") else {
        return;
    };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = open(&mut chromium, &served.page_url()).await;
    sends.send(Sends::Nothing).expect("the source runs");
    let says = "document.getElementById('interruption').checkVisibility() && document.getElementById('interruption-text').textContent";
    let named = format!("({says}) === 'The host sends no new pictures at the moment.'");
    until(&mut chromium, &page, &named).await;
    sends.send(Sends::Pictures).expect("the source runs");
    until(&mut chromium, &page, "!document.getElementById('interruption').checkVisibility() && document.getElementById('status').textContent === 'Live'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_lost_is_named_and_its_picture_comes_back_in_the_same_connection() {
    let name = "a_host_that_is_lost_is_named_and_its_picture_comes_back_in_the_same_connection";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    evaluate(chromium, &page, "window.firstConnection = window.moonlightMux.pc; true").await;

    sends.send(Sends::Failure).expect("the source runs");
    let says = "document.getElementById('interruption').checkVisibility() && document.getElementById('interruption-text').textContent";
    let named = format!("({says}) === 'The server lost the host and is connecting to it again.'");
    until(chromium, &page, &named).await;
    until(chromium, &page, "document.getElementById('status').textContent === 'Reconnecting'").await;
    picture(chromium, &page, "page-reconnecting.png").await;
    let card = "document.querySelector('.streamer')?.innerText";
    let named = format!("{card}?.includes('Reconnecting') && {card}?.includes('The host is gone.')");
    let list = chromium.open(&served.list_url()).await.expect("the page opens");
    until(chromium, &list, &named).await;
    let joined_meanwhile = chromium.open(&served.page_url()).await.expect("the page opens");
    let hint = "document.getElementById('hint')?.textContent === 'The server lost the host and is connecting to it again.'";
    until(chromium, &joined_meanwhile, hint).await;

    // Only the tab in front is up to date.
    command(chromium, &page, "Page.bringToFront", json!({})).await;
    sends.send(Sends::Pictures).expect("the streamer holds the source");
    let live = "!document.getElementById('interruption').checkVisibility() && document.getElementById('status').textContent === 'Live'";
    until(chromium, &page, live).await;
    let moving = "(async () => { const video = window.moonlightMux.video; const before = video.currentTime; await new Promise((then) => video.requestVideoFrameCallback(then)); await new Promise((then) => video.requestVideoFrameCallback(then)); return video.currentTime > before; })()";
    assert_eq!(evaluate(chromium, &page, moving).await, true);
    let same = "window.moonlightMux.pc === window.firstConnection";
    assert_eq!(evaluate(chromium, &page, same).await, true, "neither reloaded nor joined again");
    command(chromium, &joined_meanwhile, "Page.bringToFront", json!({})).await;
    reach(chromium, &joined_meanwhile, "playing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_joins_again_by_itself_when_the_stream_has_sound_that_it_had_not() {
    let name = "a_page_joins_again_by_itself_when_the_stream_has_sound_that_it_had_not";
    let Some(recording) = moving_picture(name) else { return };
    let _one_at_a_time = BROWSER.lock().await;
    let (source, sends) = Moody::new(&recording);
    let served = serve(source).await;
    let mut chromium = Chromium::launch().await.expect("chromium");
    let chromium = &mut chromium;
    let page = open(chromium, &served.page_url()).await;
    evaluate(chromium, &page, "window.firstConnection = window.moonlightMux.pc; true").await;
    sends.send(Sends::Failure).expect("the source runs");
    until(chromium, &page, "document.getElementById('status').textContent === 'Reconnecting'").await;
    sends.send(Sends::PicturesWithSound).expect("the streamer holds the source");
    let again =
        "window.moonlightMux.state === 'playing' && window.moonlightMux.pc !== window.firstConnection";
    until(chromium, &page, again).await;
}

async fn until_reported(event: &str) {
    let heard = timeout(PATIENCE, async {
        while !reported(event) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    heard.await.unwrap_or_else(|_| panic!("no report of {event}"));
}

fn forget_reports() {
    LOG.lock().expect("nobody panics with it").clear();
}

/// Whether the server has logged such a report.
fn reported(event: &str) -> bool {
    let log = LOG.lock().expect("nobody panics with it");
    let wanted = format!("the viewer reports event={event} ");
    String::from_utf8_lossy(&log).lines().any(|line| line.contains(&wanted))
}

static LOG: StdMutex<Vec<u8>> = StdMutex::new(Vec::new());

/// Writes to [`LOG`].
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plays a recording's frames, 60 per second, round and round, or what the test wants instead.
struct Moody {
    frames: Vec<VideoFrame>,
    sends: watch::Receiver<Sends>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    Pictures,
    /// The same, and it says that there is sound.
    PicturesWithSound,
    /// As many frames that no decoder can use.
    Garbage,
    Nothing,
    /// It fails, again and again.
    Failure,
}

#[derive(Debug, thiserror::Error)]
#[error("the host is gone")]
struct Gone;

impl Moody {
    fn new(recording: &Recording) -> (Self, watch::Sender<Sends>) {
        let (sender, sends) = watch::channel(Sends::Pictures);
        (Self { frames: recording.frames().cloned().collect(), sends }, sender)
    }
}

#[async_trait]
impl VideoSource for Moody {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.connected();
        let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
        let sound = AudioInfo { channels: 2, packet_duration: Duration::from_millis(5) };
        let audio = (*self.sends.borrow() == Sends::PicturesWithSound).then_some(sound);
        io.info(StreamInfo { video, audio });
        let mut ticks = interval(Duration::from_secs(1) / 60);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut number, mut at) = (0, 0);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let sends = *self.sends.borrow();
                    let frame = &self.frames[at];
                    let (keyframe, data) = match sends {
                        Sends::Failure => return Err(SourceError::retryable(Gone)),
                        Sends::Pictures | Sends::PicturesWithSound => (frame.keyframe, frame.data.clone()),
                        Sends::Garbage => (false, Bytes::from_static(UNDECODABLE)),
                        Sends::Nothing => {
                            at = 0;
                            continue;
                        }
                    };
                    io.video(VideoFrame {
                        number: FrameNumber(number),
                        timestamp: VideoTimestamp(number * 1500),
                        keyframe,
                        host_latency: None,
                        data,
                    });
                    number += 1;
                    // Behind a gap a decoder needs the keyframe, which is the first frame.
                    at = if sends != Sends::Garbage { (at + 1) % self.frames.len() } else { 0 };
                }
                command = io.command() => match command {
                    Some(Command::Keyframe) => at = 0,
                    Some(_) => {}
                    None => return Ok(Ended::Stopped),
                },
            }
        }
    }
}

/// A slice of a picture parameter set that was never sent.
const UNDECODABLE: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x80];
