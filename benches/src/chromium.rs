//! A headless Chromium to test pages with, driven over its DevTools protocol.
//!
//! Small on purpose: pages, scripts, screenshots. <https://chromedevtools.github.io/devtools-protocol/>

use base64::Engine as _;
use serde_json::{Value, json};

use crate::driver::{BrowserError, Connection, Process, Profile};

/// A running browser. Dropping it kills it and removes its profile.
#[derive(Debug)]
pub struct Chromium {
    process: Process,
    connection: Connection,
}

/// One tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    target: String,
    session: String,
}

impl Chromium {
    /// Starts a browser with a profile of its own, on a machine that may have the loopback interface alone.
    ///
    /// # Errors
    /// [`BrowserError::Launch`], [`BrowserError::Gone`].
    pub async fn launch() -> Result<Self, BrowserError> {
        Self::launch_with(&[]).await
    }

    /// Starts a browser with flags of its own.
    ///
    /// # Errors
    /// [`BrowserError::Launch`], [`BrowserError::Gone`].
    pub async fn launch_with(flags: &[&str]) -> Result<Self, BrowserError> {
        let profile = Profile::new("chromium")?;
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments: Vec<_> =
            flags.iter().chain(FLAGS).map(|&flag| flag.to_owned()).chain([folder]).collect();
        let (process, url) = Process::start("chromium", profile, arguments, "DevTools listening on ").await?;
        Ok(Self { process, connection: Connection::open(&url).await? })
    }

    /// Opens a tab.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn open(&mut self, url: &str) -> Result<Page, BrowserError> {
        let created = self.connection.call(None, "Target.createTarget", json!({ "url": url })).await?;
        let target = created["targetId"].as_str().unwrap_or_default().to_owned();
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = self.connection.call(None, "Target.attachToTarget", attach).await?;
        Ok(Page { target, session: attached["sessionId"].as_str().unwrap_or_default().to_owned() })
    }

    /// Closes a tab, as its user would.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn close(&mut self, page: Page) -> Result<(), BrowserError> {
        self.connection.call(None, "Target.closeTarget", json!({ "targetId": page.target })).await.map(drop)
    }

    /// Runs a script in a tab and gives its value, or that of the promise that it gives.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn evaluate(&mut self, page: &Page, script: &str) -> Result<Value, BrowserError> {
        let parameters = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.connection.call(Some(&page.session), "Runtime.evaluate", parameters).await?;
        match result.get("exceptionDetails") {
            Some(details) => Err(BrowserError::Threw(details.to_string())),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Gives a tab a command of the DevTools protocol that has no method here, and gives its result.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn command(
        &mut self,
        page: &Page,
        method: &'static str,
        parameters: Value,
    ) -> Result<Value, BrowserError> {
        self.connection.call(Some(&page.session), method, parameters).await
    }

    /// A picture of a tab, as PNG.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn screenshot(&mut self, page: &Page) -> Result<Vec<u8>, BrowserError> {
        let parameters = json!({ "format": "png" });
        let result = self.connection.call(Some(&page.session), "Page.captureScreenshot", parameters).await?;
        let data = result["data"].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| BrowserError::Gone)
    }

    /// Kills a tab's process, as the system does when memory runs out. Tabs of the same origin may share it.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn crash(&mut self, page: &Page) -> Result<(), BrowserError> {
        self.command(page, "Inspector.enable", json!({})).await?;
        self.connection.until_event(&page.session, "Page.crash", "Inspector.targetCrashed").await
    }

    /// Ends the browser and waits until it is gone.
    pub async fn quit(mut self) {
        // It closes the connection before it answers.
        let _ = self.connection.call(None, "Browser.close", json!({})).await;
        self.process.ended().await;
    }
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
