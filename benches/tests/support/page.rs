//! What tests do with a page in a browser.

use std::path::PathBuf;
use std::time::Duration;

use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_benches::driver::BrowserError;
use moonlight_mux_benches::firefox::{Firefox, Tab};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Far above what anything here takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What every browser does alike.
pub(crate) trait Browser {
    type Page;

    async fn open(&mut self, url: &str) -> Result<Self::Page, BrowserError>;
    async fn evaluate(&mut self, page: &Self::Page, script: &str) -> Result<Value, BrowserError>;
    async fn screenshot(&mut self, page: &Self::Page) -> Result<Vec<u8>, BrowserError>;
}

impl Browser for Chromium {
    type Page = Page;

    async fn open(&mut self, url: &str) -> Result<Page, BrowserError> {
        Chromium::open(self, url).await
    }

    async fn evaluate(&mut self, page: &Page, script: &str) -> Result<Value, BrowserError> {
        Chromium::evaluate(self, page, script).await
    }

    async fn screenshot(&mut self, page: &Page) -> Result<Vec<u8>, BrowserError> {
        Chromium::screenshot(self, page).await
    }
}

impl Browser for Firefox {
    type Page = Tab;

    async fn open(&mut self, url: &str) -> Result<Tab, BrowserError> {
        Firefox::open(self, url).await
    }

    async fn evaluate(&mut self, page: &Tab, script: &str) -> Result<Value, BrowserError> {
        Firefox::evaluate(self, page, script).await
    }

    async fn screenshot(&mut self, page: &Tab) -> Result<Vec<u8>, BrowserError> {
        Firefox::screenshot(self, page).await
    }
}

/// Opens a viewer's page and waits until it shows a picture.
pub(crate) async fn open<B: Browser>(browser: &mut B, url: &str) -> B::Page {
    let page = browser.open(url).await.expect("the page opens");
    reach(browser, &page, "playing").await;
    page
}

/// Opens a page with a script of the test's that runs in front of its own, and again whenever it is loaded.
pub(crate) async fn open_with_script(chromium: &mut Chromium, url: &str, script: &str) -> Page {
    let page = chromium.open("about:blank").await.expect("a page");
    command(chromium, &page, "Page.enable", json!({})).await;
    command(chromium, &page, "Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    command(chromium, &page, "Page.navigate", json!({ "url": url })).await;
    page
}

/// Waits until a viewer's page is in a state.
pub(crate) async fn reach<B: Browser>(browser: &mut B, page: &B::Page, wanted: &str) {
    until(browser, page, &format!("window.moonlightMux?.state === {}", json!(wanted))).await;
}

/// Waits until a script gives `true`.
pub(crate) async fn until<B: Browser>(browser: &mut B, page: &B::Page, script: &str) {
    let reached = timeout(PATIENCE, async {
        while evaluate(browser, page, script).await != true {
            sleep(Duration::from_millis(50)).await;
        }
    });
    if reached.await.is_err() {
        let text = evaluate(browser, page, "document.body.innerText").await;
        panic!("not within {PATIENCE:?}: {script}; the page says: {text}");
    }
}

/// Runs a script that does not throw.
pub(crate) async fn evaluate<B: Browser>(browser: &mut B, page: &B::Page, script: &str) -> Value {
    browser.evaluate(page, script).await.unwrap_or_else(|error| panic!("{script}: {error}"))
}

/// Gives the tab a command that it does not refuse.
pub(crate) async fn command(
    chromium: &mut Chromium,
    page: &Page,
    method: &'static str,
    parameters: Value,
) -> Value {
    chromium.command(page, method, parameters).await.expect("it takes the command")
}

/// Presses and releases a key that types a character.
pub(crate) async fn press(chromium: &mut Chromium, page: &Page, key: &str) {
    let down = json!({ "type": "keyDown", "key": key, "text": key });
    command(chromium, page, "Input.dispatchKeyEvent", down).await;
    command(chromium, page, "Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key })).await;
}

/// Gives the tab another screen.
pub(crate) async fn resize(chromium: &mut Chromium, page: &Page, width: u32, height: u32, mobile: bool) {
    let scale = if mobile { 2 } else { 1 };
    let screen = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
    command(chromium, page, "Emulation.setDeviceMetricsOverride", screen).await;
}

/// Gives the person another taste: "light" or "dark".
pub(crate) async fn prefer(chromium: &mut Chromium, page: &Page, scheme: &str) {
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    command(chromium, page, "Emulation.setEmulatedMedia", features).await;
}

/// Keeps what a tab shows where a person can look at it.
pub(crate) async fn picture<B: Browser>(browser: &mut B, page: &B::Page, name: &str) {
    keep(name, &browser.screenshot(page).await.expect("a picture of the page"));
}

/// Keeps a screenshot where a person can look at it: `target/screenshots/`.
pub(crate) fn keep(name: &str, png: &[u8]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), png).expect("the screenshot is written");
    eprintln!("screenshot: target/screenshots/{name}");
}
