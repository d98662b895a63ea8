//! A headless Chromium to test pages with, driven over its DevTools protocol.
//!
//! Small on purpose: pages, scripts, screenshots. <https://chromedevtools.github.io/devtools-protocol/>

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::task::{self, Task};

/// A running browser. Dropping it kills it and removes its profile.
#[derive(Debug)]
pub struct Chromium {
    // Before the profile: the process must be gone when its folder goes.
    child: Child,
    connection: Connection,
    /// Reads what the browser logs: a full pipe would stop it.
    _log: Task<()>,
    _profile: Profile,
}

/// One tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    target: String,
    session: String,
}

/// Why the browser did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChromiumError {
    /// There is no Chromium, or it cannot be started.
    #[error("chromium cannot be started: is Debian's package chromium installed?")]
    Launch(#[source] std::io::Error),
    /// It ended, or said nothing for [`PATIENCE`].
    #[error("chromium ended or does not answer")]
    Gone,
    /// It refused a command.
    #[error("chromium refuses {method}: {message}")]
    Refused {
        /// The command.
        method: &'static str,
        /// What it says.
        message: String,
    },
    /// A script threw.
    #[error("the script threw: {0}")]
    Threw(String),
}

/// How long a command may take. Scripts that wait for something take longer than the thing itself on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Chromium {
    /// Starts a browser with a profile of its own, on a machine that may have the loopback interface alone.
    ///
    /// # Errors
    /// [`ChromiumError::Launch`], [`ChromiumError::Gone`].
    pub async fn launch() -> Result<Self, ChromiumError> {
        Self::launch_with(&[]).await
    }

    /// Starts a browser with flags of its own.
    ///
    /// # Errors
    /// [`ChromiumError::Launch`], [`ChromiumError::Gone`].
    pub async fn launch_with(flags: &[&str]) -> Result<Self, ChromiumError> {
        let profile = Profile::new().map_err(ChromiumError::Launch)?;
        let mut child = Command::new("chromium")
            .args(flags)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.0.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ChromiumError::Launch)?;
        let stderr = child.stderr.take().ok_or(ChromiumError::Gone)?;
        let mut lines = BufReader::new(stderr).lines();
        let url = timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return Some(url.trim().to_owned());
                }
            }
            None
        });
        let url = url.await.ok().flatten().ok_or(ChromiumError::Gone)?;
        let log = task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = tokio_tungstenite::connect_async(&url).await.map_err(|_| ChromiumError::Gone)?;
        Ok(Self { child, connection: Connection { socket, next_id: 1 }, _log: log, _profile: profile })
    }

    /// Opens a tab.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub async fn open(&mut self, url: &str) -> Result<Page, ChromiumError> {
        let created = self.connection.call(None, "Target.createTarget", json!({ "url": url })).await?;
        let target = created["targetId"].as_str().unwrap_or_default().to_owned();
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = self.connection.call(None, "Target.attachToTarget", attach).await?;
        Ok(Page { target, session: attached["sessionId"].as_str().unwrap_or_default().to_owned() })
    }

    /// Closes a tab, as its user would.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub async fn close(&mut self, page: Page) -> Result<(), ChromiumError> {
        self.connection.call(None, "Target.closeTarget", json!({ "targetId": page.target })).await.map(drop)
    }

    /// Runs a script in a tab and gives its value, or that of the promise that it gives.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub async fn evaluate(&mut self, page: &Page, script: &str) -> Result<Value, ChromiumError> {
        let parameters = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.connection.call(Some(&page.session), "Runtime.evaluate", parameters).await?;
        match result.get("exceptionDetails") {
            Some(details) => Err(ChromiumError::Threw(details.to_string())),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Gives a tab a command of the DevTools protocol that has no method here, and gives its result.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub async fn command(
        &mut self,
        page: &Page,
        method: &'static str,
        parameters: Value,
    ) -> Result<Value, ChromiumError> {
        self.connection.call(Some(&page.session), method, parameters).await
    }

    /// A picture of a tab, as PNG.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub async fn screenshot(&mut self, page: &Page) -> Result<Vec<u8>, ChromiumError> {
        let parameters = json!({ "format": "png" });
        let result = self.connection.call(Some(&page.session), "Page.captureScreenshot", parameters).await?;
        let data = result["data"].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| ChromiumError::Gone)
    }

    /// Ends the browser and waits until it is gone.
    pub async fn quit(mut self) {
        // It closes the connection before it answers.
        let _ = self.connection.call(None, "Browser.close", json!({})).await;
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

#[derive(Debug)]
struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
}

impl Connection {
    async fn call(
        &mut self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, ChromiumError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let answer = timeout(PATIENCE, async {
            self.socket.send(Message::text(command.to_string())).await.map_err(|_| ChromiumError::Gone)?;
            while let Some(Ok(message)) = self.socket.next().await {
                let Message::Text(text) = message else { continue };
                let Ok(mut answer) = serde_json::from_str::<Value>(&text) else { continue };
                // Events have no id.
                if answer["id"] == id {
                    return match answer["error"]["message"].as_str() {
                        Some(message) => Err(ChromiumError::Refused { method, message: message.to_owned() }),
                        None => Ok(answer["result"].take()),
                    };
                }
            }
            Err(ChromiumError::Gone)
        });
        answer.await.unwrap_or(Err(ChromiumError::Gone))
    }
}

/// A folder for one browser's profile.
#[derive(Debug)]
struct Profile(PathBuf);

impl Profile {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("moonlight-mux-chromium-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    // The browser's last children may still write: what is left then is in the temporary folder.
    let _ = std::fs::remove_dir_all(path);
}

const FLAGS: &[&str] = &[
    "--headless=new",
    // As root, and in containers without user namespaces.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1280,800",
    // Only loopback may be there: without these Chromium has no candidate to offer.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    // A page plays without a click, and goes on in the background.
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    // No calls home.
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "about:blank",
];
