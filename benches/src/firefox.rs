//! A headless Firefox to test pages with, driven over WebDriver BiDi, which it speaks itself.
//!
//! Small on purpose: pages, scripts, screenshots. <https://w3c.github.io/webdriver-bidi/>

use base64::Engine as _;
use serde_json::{Value, json};

use crate::driver::{BrowserError, Connection, Process, Profile};

/// A running browser. Dropping it kills it and removes its profile.
#[derive(Debug)]
pub struct Firefox {
    process: Process,
    connection: Connection,
}

/// One tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab {
    context: String,
}

impl Firefox {
    /// Starts a browser with a profile of its own, on a machine that may have the loopback interface alone. It has no
    /// plugin for H.264, which Firefox downloads otherwise.
    ///
    /// # Errors
    /// [`BrowserError::Launch`], [`BrowserError::Gone`].
    pub async fn launch() -> Result<Self, BrowserError> {
        let profile = Profile::new(PROGRAM)?;
        let preferences: String =
            PREFERENCES.iter().map(|(name, value)| format!("user_pref(\"{name}\", {value});\n")).collect();
        std::fs::write(profile.path().join("user.js"), preferences)
            .map_err(|source| BrowserError::Launch { program: PROGRAM, source })?;
        let folder = profile.path().display().to_string();
        let arguments = ["--headless", "--no-remote", "--remote-debugging-port=0", "--profile", &folder]
            .map(str::to_owned);
        let (process, url) =
            Process::start(PROGRAM, profile, arguments, "WebDriver BiDi listening on ").await?;
        let mut connection = Connection::open(&format!("{url}/session")).await?;
        connection.call(None, "session.new", json!({ "capabilities": {} })).await?;
        Ok(Self { process, connection })
    }

    /// Opens a tab.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn open(&mut self, url: &str) -> Result<Tab, BrowserError> {
        let created = self.connection.call(None, "browsingContext.create", json!({ "type": "tab" })).await?;
        let tab = Tab { context: created["context"].as_str().unwrap_or_default().to_owned() };
        let address = json!({ "context": tab.context, "url": url, "wait": "complete" });
        self.connection.call(None, "browsingContext.navigate", address).await?;
        Ok(tab)
    }

    /// Runs an expression in a tab and gives its value, or that of the promise that it gives; `null` when JSON has no
    /// such value.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn evaluate(&mut self, tab: &Tab, script: &str) -> Result<Value, BrowserError> {
        // The protocol's own form of values is another one than JSON.
        let expression = format!("(async () => JSON.stringify(await ({script})) ?? 'null')()");
        let parameters =
            json!({ "expression": expression, "target": { "context": tab.context }, "awaitPromise": true });
        let result = self.connection.call(None, "script.evaluate", parameters).await?;
        match result["result"]["value"].as_str().map(serde_json::from_str) {
            Some(Ok(value)) => Ok(value),
            _ => Err(BrowserError::Threw(result["exceptionDetails"]["text"].to_string())),
        }
    }

    /// A picture of a tab, as PNG.
    ///
    /// # Errors
    /// See [`BrowserError`].
    pub async fn screenshot(&mut self, tab: &Tab) -> Result<Vec<u8>, BrowserError> {
        let parameters = json!({ "context": tab.context });
        let result = self.connection.call(None, "browsingContext.captureScreenshot", parameters).await?;
        let data = result["data"].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| BrowserError::Gone)
    }

    /// Ends the browser and waits until it is gone.
    pub async fn quit(mut self) {
        // It may close the connection before it answers.
        let _ = self.connection.call(None, "browser.close", json!({})).await;
        self.process.ended().await;
    }
}

/// Debian's package and its program.
const PROGRAM: &str = "firefox-esr";

/// Names and values, as `user.js` has them.
const PREFERENCES: &[(&str, &str)] = &[
    // Without both of these it makes no media connection to 127.0.0.1.
    ("media.peerconnection.ice.loopback", "true"),
    ("media.peerconnection.ice.obfuscate_host_addresses", "false"),
    // A page plays without a click, with sound too.
    ("media.autoplay.default", "0"),
    // No calls home: no updates, no plugins, no services.
    ("app.update.disabledForTesting", "true"),
    ("app.normandy.enabled", "false"),
    ("browser.safebrowsing.update.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("captivedetect.canonicalURL", "\"\""),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("media.gmp-manager.updateEnabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("services.settings.server", "\"data:,#remote-settings-dummy/v1\""),
    ("toolkit.telemetry.server", "\"data:,\""),
];
