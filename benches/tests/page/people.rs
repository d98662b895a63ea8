//! Who is here and who may act, as the server tells it and the page shows it.

use super::*;

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
pub(super) async fn tell(chromium: &mut Chromium, page: &Page, message: Value) {
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
    let page = open_with_script(chromium, &served.page_url(), SPY).await;
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
