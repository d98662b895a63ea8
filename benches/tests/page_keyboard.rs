//! Text and keys that come to the page in a browser's own ways: pasted, composed, from a phone's keyboard, in full screen. What is
//! done in Chromium, as a desktop is told it.

mod support;

use moonlight_mux::{HostInput, KeyCode};
use moonlight_mux_benches::chromium::{Chromium, Page};
use serde_json::{Value, json};
use support::page::{command, evaluate, open, picture, resize, until};
use support::{Desktop, Pictures, Served, serve};
use tokio::sync::Mutex;

/// One browser at a time: two would share the machine's cores.
static BROWSER: Mutex<()> = Mutex::const_new(());

/// A person at a page, and the desktop that is worked by it.
struct Seat {
    chromium: Chromium,
    page: Page,
    desktop: Desktop,
    _served: Served,
}

impl Seat {
    async fn take() -> Self {
        let (pictures, desktop) = Pictures::encoded(30).of_a_desktop();
        let served = serve(pictures).await;
        let mut chromium = Chromium::launch().await.expect("chromium");
        let page = open(&mut chromium, &served.page_url()).await;
        let mut seat = Self { chromium, page, desktop, _served: served };
        seat.command("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
        seat.until("moonlightMux.events.Input?.takes === true").await;
        seat
    }

    async fn control(&mut self) {
        self.evaluate("document.getElementById('control').click()").await;
        self.until("moonlightMux.sender.takes('text')").await;
    }

    async fn command(&mut self, method: &'static str, parameters: Value) {
        command(&mut self.chromium, &self.page, method, parameters).await;
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        evaluate(&mut self.chromium, &self.page, script).await
    }

    async fn until(&mut self, script: &str) {
        until(&mut self.chromium, &self.page, script).await;
    }

    async fn picture(&mut self, name: &str) {
        picture(&mut self.chromium, &self.page, name).await;
    }

    /// Waits until the desktop has been told this text since the last call, and nothing else: Enter is `\n`, Backspace `\u{8}`,
    /// Esc `\u{1b}`.
    async fn typed(&mut self, wanted: &str) {
        let mut typed = String::new();
        while typed != wanted {
            match self.desktop.next().await {
                HostInput::Text(character) => typed.push(character),
                HostInput::Key { code, down: true, .. } => typed.push(control_character(code)),
                HostInput::Key { down: false, .. } => {}
                other => panic!("{other:?}"),
            }
            assert!(wanted.starts_with(&typed), "{typed:?} is not {wanted:?}");
        }
    }

    /// A key whose place the browser knows, pressed and let go.
    async fn stroke(&mut self, key: &str, code: u8) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.command("Input.dispatchKeyEvent", event).await;
        }
    }

    /// A key that an input method has taken; then what the browser makes of it.
    async fn edit(&mut self, does: &str) {
        let event = json!({
            "type": "rawKeyDown", "key": "Unidentified", "windowsVirtualKeyCode": 229, "commands": [does],
        });
        self.command("Input.dispatchKeyEvent", event).await;
    }

    /// What an input method shows of a word that is not committed.
    async fn compose(&mut self, text: &str) {
        let end = text.encode_utf16().count();
        let composition = json!({ "text": text, "selectionStart": end, "selectionEnd": end });
        self.command("Input.imeSetComposition", composition).await;
    }

    /// What it commits, or types at once.
    async fn insert(&mut self, text: &str) {
        self.command("Input.insertText", json!({ "text": text })).await;
    }

    /// Touches the middle of an element, and lifts the finger.
    async fn tap(&mut self, id: &str) {
        let at = self.middle(id).await;
        self.command("Input.dispatchTouchEvent", json!({ "type": "touchStart", "touchPoints": [at] })).await;
        self.command("Input.dispatchTouchEvent", json!({ "type": "touchEnd", "touchPoints": [] })).await;
    }

    async fn click(&mut self, id: &str) {
        let at = self.middle(id).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": at["x"], "y": at["y"], "button": "left", "clickCount": 1 });
            self.command("Input.dispatchMouseEvent", event).await;
        }
    }

    async fn middle(&mut self, id: &str) -> Value {
        let script = format!(
            "(({{ x, y, width, height }}) => ({{ x: x + width / 2, y: y + height / 2 }}))(\
             document.getElementById({id:?}).getBoundingClientRect())"
        );
        self.evaluate(&script).await
    }
}

fn control_character(code: KeyCode) -> char {
    match code.0 {
        0x08 => '\u{8}',
        0x0d => '\n',
        0x1b => '\u{1b}',
        _ => panic!("{code:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_text_arrives_as_text_whatever_its_letters() {
    const TEXT: &str = "Grüße, 世界 🙂\nÆ ł ½";
    let _one_at_a_time = BROWSER.lock().await;
    let mut seat = Seat::take().await;
    seat.control().await;

    // A browser that does not hand the clipboard out: it is pasted into a field.
    seat.evaluate("document.getElementById('paste').click()").await;
    seat.until("document.getElementById('paste-dialog').open").await;
    seat.insert(TEXT).await;
    seat.picture("keyboard-paste.png").await;
    seat.evaluate("document.querySelector('#paste-dialog button[value=send]').click()").await;
    seat.typed(TEXT).await;

    let allowed = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    seat.command("Browser.grantPermissions", allowed).await;
    seat.evaluate(&format!("navigator.clipboard.writeText({})", json!(TEXT))).await;
    seat.evaluate("document.getElementById('paste').click()").await;
    seat.typed(TEXT).await;
    // By the browser's menu.
    seat.edit("paste").await;
    seat.typed(TEXT).await;
    // And while the field has the focus, where the browser would put it.
    seat.evaluate("document.getElementById('soft-keyboard').click()").await;
    seat.until("document.activeElement.id === 'text-field'").await;
    seat.edit("paste").await;
    seat.typed(TEXT).await;
    seat.stroke("Enter", 0x0d).await;
    seat.typed("\n").await;
    seat.chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phones_keyboard_types_letter_by_letter_and_corrects() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut seat = Seat::take().await;
    let touch = json!({ "enabled": true, "maxTouchPoints": 5 });
    seat.command("Emulation.setTouchEmulationEnabled", touch).await;
    resize(&mut seat.chromium, &seat.page, 390, 844, true).await;
    seat.until("innerWidth === 390 && matchMedia('(pointer: coarse)').matches").await;

    seat.tap("soft-keyboard").await;
    seat.until("document.activeElement.id === 'text-field' && moonlightMux.sender.takes('text')").await;
    seat.insert("ä").await;
    seat.typed("ä").await;
    for (composed, typed) in [("t", "t"), ("te", "e"), ("teh", "h")] {
        seat.compose(composed).await;
        seat.typed(typed).await;
    }
    // The keyboard corrects the word as it commits it.
    seat.insert("the ").await;
    seat.typed("\u{8}\u{8}he ").await;
    seat.picture("keyboard-phone.png").await;
    seat.edit("deleteBackward").await;
    seat.typed("\u{8}").await;
    seat.insert("🙂").await;
    seat.typed("🙂").await;
    seat.stroke("Enter", 0x0d).await;
    seat.typed("\n").await;

    seat.tap("soft-keyboard").await;
    seat.until("document.activeElement.id === 'picture'").await;
    seat.insert("lost").await;
    seat.stroke("Escape", 0x1b).await;
    seat.typed("\u{1b}").await;
    seat.chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_input_method_composes_on_a_desk_is_typed_once_it_is_committed() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut seat = Seat::take().await;
    seat.control().await;
    seat.click("soft-keyboard").await;
    seat.until("document.activeElement.id === 'text-field'").await;
    for composed in ["に", "にほ", "にほん", "日本"] {
        seat.compose(composed).await;
    }
    seat.insert("日本").await;
    seat.typed("日本").await;
    // One that is given up types nothing.
    seat.compose("ご").await;
    seat.compose("").await;
    seat.stroke("Enter", 0x0d).await;
    seat.typed("\n").await;
    seat.chromium.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_full_screen_and_in_control_the_browser_is_asked_for_its_own_keys() {
    let _one_at_a_time = BROWSER.lock().await;
    let mut seat = Seat::take().await;
    seat.evaluate(KEY_LOCK).await;
    let full_screen = "document.fullscreenElement !== null";
    let asked = "keyLock.at(-1) === 'lock'";
    let given_back = "keyLock.at(-1) === 'unlock'";

    seat.click("fullscreen").await;
    seat.until(full_screen).await;
    // Without control they are the browser's: it is told so when the screen has become full.
    seat.until(given_back).await;
    assert_eq!(seat.evaluate("keyLock.includes('lock')").await, false);
    seat.control().await;
    seat.until(asked).await;
    seat.stroke("Escape", 0x1b).await;
    seat.typed("\u{1b}").await;
    seat.picture("keyboard-full-screen.png").await;
    seat.evaluate("document.exitFullscreen()").await;
    seat.until(given_back).await;

    seat.evaluate("keyLock.length = 0").await;
    let enter = json!({ "expression": "document.getElementById('fullscreen').click()", "userGesture": true });
    seat.command("Runtime.evaluate", enter).await;
    seat.until(asked).await;
    seat.evaluate("document.getElementById('control').click()").await;
    seat.until(given_back).await;
    assert_eq!(seat.evaluate(full_screen).await, true);
    seat.chromium.quit().await;
}

/// Writes down what the page asks of the Keyboard API.
const KEY_LOCK: &str = r#"(() => {
  window.keyLock = [];
  const keyboard = {
    async lock(...keys) { keyLock.push(["lock", ...keys].join(" ")); },
    unlock() { keyLock.push("unlock"); },
  };
  Object.defineProperty(navigator, "keyboard", { value: keyboard, configurable: true });
})()"#;
