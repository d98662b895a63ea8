//! Who joins while no process runs: over the real server, with the real process and a real page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use moonlight_mux::{SourceError, SpawnableSource};
use moonlight_mux_benches::chromium::Chromium;
use moonlight_mux_benches::viewer::{Event, Keep};
use moonlight_mux_http::ServerConfig;
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use support::AbortOnDrop;
use support::page::{command, evaluate, reach, until as until_true};

/// Has processes but the first wait for the test.
struct Held {
    source: MoonlightSource,
    had_one: AtomicBool,
    go_on: Arc<Notify>,
}

#[async_trait]
impl SpawnableSource for Held {
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
        if self.had_one.swap(true, Relaxed) {
            self.go_on.notified().await;
        }
        Ok(self.source.clone())
    }
}

/// Six of what comes every two seconds: longer than a page waits for a word.
const WORDS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_no_process_runs_is_told_so_and_served_by_the_next_one_over_the_same_socket() {
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let (registry, go_on) = (Registry::new(), Arc::new(Notify::new()));
    let source = live.source("one", small()).await;
    let source = Held { source, had_one: AtomicBool::new(false), go_on: go_on.clone() };
    let streamer = registry
        .create_process("one".parse().expect("an id"), source, quick(), process(None))
        .expect("a free name");
    streaming(&streamer).await;
    let listener = moonlight_mux_http::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = moonlight_mux_http::router(registry.clone(), loopback(), ServerConfig::default());
    let server = moonlight_mux_http::serve(listener, router, registry.clone(), std::future::pending());
    let _server = AbortOnDrop::spawn(server);

    send(pid(&streamer), Signal::SIGKILL);
    crashed(&streamer).await;
    let url = format!("ws://{address}/api/streamers/one/peer").parse().expect("an address");
    let patient =
        ViewerConfig { keep: Keep::Lifecycle, join_timeout: 3 * live::PATIENCE, ..ViewerConfig::default() };
    let existing = ViewerConfig { offerer: Offerer::Server, ..patient.clone() };
    let mut own = Viewer::connect(&url, None, patient).await.expect("the server takes viewers");
    let mut existing = Viewer::connect(&url, None, existing).await.expect("the server takes viewers");
    let mut chromium = Chromium::launch().await.expect("chromium");
    let page = chromium.open("about:blank").await.expect("a page");
    command(&mut chromium, &page, "Page.enable", json!({})).await;
    let script = json!({ "source": LISTENING_SOCKET });
    command(&mut chromium, &page, "Page.addScriptToEvaluateOnNewDocument", script).await;
    let address = json!({ "url": format!("http://{address}/s/one") });
    command(&mut chromium, &page, "Page.navigate", address).await;

    let says = "document.getElementById('message')?.textContent === 'The stream is being restarted…'";
    until_true(&mut chromium, &page, says).await;
    until_true(&mut chromium, &page, &format!("window.waits >= {WORDS}")).await;
    assert_eq!(evaluate(&mut chromium, &page, says).await, true, "it still says so");
    assert_eq!(evaluate(&mut chromium, &page, "window.moonlightMux.state").await, "connecting");
    for _ in 0..WORDS {
        let told = in_time(own.next_event()).await;
        assert!(matches!(&told, Some(Event::Notice(name)) if name == "Waiting"), "{told:?}");
    }
    assert!(matches!(streamer.state(), State::Reconnecting { .. }));

    go_on.notify_one();
    for viewer in [&own, &existing] {
        let sees = in_time(viewer.wait_for(|stats| stats.video.frames > 5)).await;
        assert_eq!(sees.expect("it sees pictures").connected_anew, 0);
    }
    let told = in_time(existing.next_event()).await;
    assert!(!matches!(&told, Some(Event::Notice(name)) if name == "Waiting"), "it would not know: {told:?}");
    reach(&mut chromium, &page, "playing").await;
    assert_eq!(evaluate(&mut chromium, &page, "window.sockets").await, 1);
    chromium.quit().await;
    registry.shutdown().await;
}

/// Counts WebSockets, and what is heard of waiting on them.
const LISTENING_SOCKET: &str = r#"
  window.sockets = 0;
  window.waits = 0;
  window.WebSocket = class extends WebSocket {
    constructor(...all) {
      super(...all);
      window.sockets += 1;
      this.addEventListener("message", ({ data }) => (window.waits += data.startsWith('{"Waiting"')));
    }
  };"#;
