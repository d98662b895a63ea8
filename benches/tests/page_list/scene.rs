//! What the tests of the list do alike.

use std::net::SocketAddr;

use moonlight_mux::{HostEvent, HostStep, Hosts, Manner, Registry, TestApp, TestHost, TestHostConfig};
use moonlight_mux_benches::chromium::{Chromium, Page};
use moonlight_mux_http::ServerConfig;
use serde_json::{Value, json};

use super::support::page::{command, evaluate, open_with_script, picture, resize, until};
use super::support::{AbortOnDrop, loopback};

/// A server that knows no host yet, a host, and the list in a browser.
pub(super) struct Scene {
    pub(super) host: TestHost,
    pub(super) registry: Registry,
    pub(super) address: SocketAddr,
    pub(super) chromium: Chromium,
    pub(super) page: Page,
    _server: AbortOnDrop,
}

impl Scene {
    pub(super) async fn new(manner: Manner) -> Self {
        Self::with(manner, ServerConfig::default()).await
    }

    pub(super) async fn with(manner: Manner, server: ServerConfig) -> Self {
        let mut host = TestHostConfig::default();
        host.manner = manner;
        Self::of(host, server).await
    }

    /// With such a host, and apps of the test's.
    pub(super) async fn of(mut config: TestHostConfig, server: ServerConfig) -> Self {
        config.name = "office".to_owned();
        config.apps =
            vec![TestApp::new(1, "Desktop"), TestApp::new(2, "Big Picture"), TestApp::new(3, "Paint")];
        let host = TestHost::start(config).await.expect("free ports");
        let registry = Registry::new();
        let listener = moonlight_mux_http::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let config = ServerConfig { hosts: Some(Hosts::in_memory()), ..server };
        let router = moonlight_mux_http::router(registry.clone(), loopback(), config);
        let server = moonlight_mux_http::serve(listener, router, registry.clone(), std::future::pending());
        let server = AbortOnDrop::spawn(server);
        let mut chromium = Chromium::launch().await.expect("chromium");
        let page = open_with_script(&mut chromium, &format!("http://{address}/"), FORBIDDEN).await;
        Self { host, registry, address, chromium, page, _server: server }
    }

    /// Waits until a script gives `true`.
    pub(super) async fn until(&mut self, script: &str) {
        until(&mut self.chromium, &self.page, script).await;
    }

    pub(super) async fn evaluate(&mut self, script: &str) -> Value {
        evaluate(&mut self.chromium, &self.page, script).await
    }

    pub(super) async fn click(&mut self, selector: &str) {
        self.until(&format!("{}?.checkVisibility() === true", element(selector))).await;
        self.evaluate(&format!("{}.click()", element(selector))).await;
    }

    /// Types into a field in the place of what is there.
    pub(super) async fn fill(&mut self, selector: &str, text: &str) {
        let field = element(selector);
        self.evaluate(&format!("{field}.focus(); {field}.select()")).await;
        command(&mut self.chromium, &self.page, "Input.insertText", json!({ "text": text })).await;
    }

    /// Presses and releases a key, by its name and what it types.
    pub(super) async fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" {
                event["text"] = text.into();
            }
            command(&mut self.chromium, &self.page, "Input.dispatchKeyEvent", event).await;
        }
    }

    pub(super) async fn press_enter(&mut self) {
        self.press("Enter", 13, "\r").await;
    }

    /// Waits until what the API says of a stream is so, of the `info` that a condition in the page's language tells of.
    pub(super) async fn info(&mut self, id: &str, condition: &str) {
        let ask = format!(
            "fetch('/api/streamers/{id}').then((answer) => answer.json()).then((info) => {condition})"
        );
        self.until(&ask).await;
    }

    /// Waits until an element says something.
    pub(super) async fn says(&mut self, selector: &str, text: &str) {
        self.until(&format!("{}?.innerText.includes({})", element(selector), json!(text))).await;
    }

    /// Ends the browser, after which nothing may have been done that the security policy forbids.
    pub(super) async fn quit(mut self) {
        assert_eq!(self.evaluate("window.forbidden").await, json!([]));
        self.chromium.quit().await;
    }

    pub(super) async fn picture(&mut self, name: &str) {
        picture(&mut self.chromium, &self.page, name).await;
    }

    /// Opens the form and adds the host by its address.
    pub(super) async fn add(&mut self) {
        self.click("#empty .new-stream").await;
        self.until("document.activeElement.id === 'new-address'").await;
        let address = self.host.http_address().to_string();
        self.fill("#new-address", &address).await;
        self.click("#new-adding button").await;
        self.says("#new-pairing .who", "This server is not paired with office yet.").await;
        self.until("document.getElementById('new-title-field').checkVisibility()").await;
    }

    /// Begins to pair, and gives the PIN that is shown.
    pub(super) async fn begin_pairing(&mut self) -> String {
        self.evaluate("document.querySelector('#new-pairing button').focus()").await;
        self.press_enter().await;
        self.until("document.querySelector('.pin').checkVisibility()").await;
        let pin = self.evaluate("document.querySelector('.pin strong').textContent").await;
        pin.as_str().expect("a PIN").to_owned()
    }

    /// Opens the form, adds the host and pairs with it.
    pub(super) async fn pair(&mut self) {
        self.add().await;
        let pin = self.begin_pairing().await;
        assert!(pin.len() == 4 && pin.parse::<u32>().is_ok(), "{pin}");
        self.picture("list-new-pairing.png").await;
        self.host.enter_pin(&pin);
        self.until("document.querySelectorAll('#new-apps .app').length === 3").await;
        self.until("!document.getElementById('new-pairing').checkVisibility()").await;
    }

    /// What costs little time to encode.
    pub(super) async fn fill_small(&mut self) {
        self.evaluate("document.getElementById('new-size').value = 'other'; document.getElementById('new-size').dispatchEvent(new Event('change'))").await;
        for (field, text) in [("width", "320"), ("height", "180"), ("fps", "30"), ("bitrate", "5")] {
            self.fill(&format!("#new-{field}"), text).await;
        }
    }

    /// The process that the only stream runs in, by its card.
    #[cfg(target_os = "linux")]
    pub(super) async fn process(&mut self) -> i32 {
        let number = "document.querySelector('.foot .details').textContent.match(/process (\\d+)/)?.[1]";
        self.until(&format!("{number} !== undefined")).await;
        let number = self.evaluate(number).await;
        number.as_str().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Pictures of the list, for a person to look at: on a desktop and on a phone.
    pub(super) async fn pictures(&mut self, name: &str) {
        self.picture(&format!("{name}.png")).await;
        resize(&mut self.chromium, &self.page, 390, 844, true).await;
        self.until("innerWidth === 390").await;
        self.picture(&format!("{name}-phone.png")).await;
        command(&mut self.chromium, &self.page, "Emulation.clearDeviceMetricsOverride", json!({})).await;
        self.until("innerWidth > 390").await;
    }

    /// Whether the host was told to end its app.
    pub(super) fn app_was_quit(&self) -> bool {
        self.host.log().iter().any(|event| matches!(event, HostEvent::Called { step: HostStep::Cancel, .. }))
    }
}

/// Keeps what the security policy forbade.
const FORBIDDEN: &str = r#"
  window.forbidden = [];
  addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => forbidden.push(`${effectiveDirective} ${blockedURI}`));
"#;

pub(super) fn is_launch(event: &HostEvent) -> bool {
    matches!(event, HostEvent::Called { step: HostStep::Launch, .. })
}

fn element(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}

/// Who watches, by which way, and how well, is told of the only viewer: of `info`, by the API.
pub(super) const WATCHED: &str = r#"
  info.peers.length === 1 && info.peers[0].name === "Ann" && info.peers[0].stats.path === "direct" &&
  info.peers[0].stats.frames > 10 && info.peers[0].stats.packets >= info.peers[0].stats.frames &&
  info.peers[0].stats.lost < info.peers[0].stats.packets && info.peers[0].stats.round_trip_ms >= 0 && info.peers[0].stats.jitter_ms >= 0"#;
