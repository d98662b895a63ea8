//! What driving either browser takes: its process with a profile of its own, and a WebSocket of numbered commands.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::task::{self, Task};

/// Why a browser did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// There is no such browser, or it cannot be started.
    #[error("{program} cannot be started: is Debian's package {program} installed?")]
    Launch {
        /// Which one.
        program: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It ended, or said nothing for [`PATIENCE`].
    #[error("the browser ended or does not answer")]
    Gone,
    /// It refused a command.
    #[error("the browser refuses {method}: {message}")]
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

/// A browser's process. Dropping it kills it and removes its profile.
#[derive(Debug)]
pub(crate) struct Process {
    // Before the profile: the process must be gone when its folder goes.
    child: Child,
    /// Reads what the browser logs: a full pipe would stop it.
    _log: Task<()>,
    _profile: Profile,
}

impl Process {
    /// Starts `program` and gives the address that it logs behind `announcement`.
    pub(crate) async fn start(
        program: &'static str,
        profile: Profile,
        arguments: impl IntoIterator<Item = String>,
        announcement: &str,
    ) -> Result<(Self, String), BrowserError> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| BrowserError::Launch { program, source })?;
        let stderr = child.stderr.take().ok_or(BrowserError::Gone)?;
        let mut lines = BufReader::new(stderr).lines();
        let address = timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix(announcement) {
                    return Some(address.trim().to_owned());
                }
            }
            None
        });
        let address = address.await.ok().flatten().ok_or(BrowserError::Gone)?;
        let log = task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((Self { child, _log: log, _profile: profile }, address))
    }

    /// Waits until it has ended, which it was asked to; kills it when it does not.
    pub(crate) async fn ended(mut self) {
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Commands `{ id, method, params }`, each answered with its id; events, which have none, in between.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Result<Self, BrowserError> {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.map_err(|_| BrowserError::Gone)?;
        Ok(Self { socket, next_id: 1 })
    }

    /// Gives a command, to one tab if there is a `session`, and gives its result.
    pub(crate) async fn call(
        &mut self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, BrowserError> {
        let answer = timeout(PATIENCE, async {
            let id = self.send(session, method, params).await?;
            let mut answer = self.message(|message| message["id"] == id).await?;
            // Chromium's errors are objects with a message, Firefox's have the message beside them.
            let message = answer["error"]["message"].as_str().or(answer["message"].as_str());
            match message {
                Some(message) => Err(BrowserError::Refused { method, message: message.to_owned() }),
                None => Ok(answer["result"].take()),
            }
        });
        answer.await.unwrap_or(Err(BrowserError::Gone))
    }

    /// Gives a command that is not answered, and waits for an event of `session` instead.
    pub(crate) async fn until_event(
        &mut self,
        session: &str,
        method: &'static str,
        event: &str,
    ) -> Result<(), BrowserError> {
        let happened = timeout(PATIENCE, async {
            self.send(Some(session), method, json!({})).await?;
            self.message(|message| message["sessionId"] == session && message["method"] == event).await
        });
        happened.await.unwrap_or(Err(BrowserError::Gone)).map(drop)
    }

    async fn send(
        &mut self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<u64, BrowserError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.socket.send(Message::text(command.to_string())).await.map_err(|_| BrowserError::Gone)?;
        Ok(id)
    }

    /// The next message that is `wanted`.
    async fn message(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, BrowserError> {
        while let Some(Ok(message)) = self.socket.next().await {
            let Message::Text(text) = message else { continue };
            let Ok(message) = serde_json::from_str::<Value>(&text) else { continue };
            if wanted(&message) {
                return Ok(message);
            }
        }
        Err(BrowserError::Gone)
    }
}

/// A folder for one browser's profile.
#[derive(Debug)]
pub(crate) struct Profile(PathBuf);

impl Profile {
    pub(crate) fn new(program: &'static str) -> Result<Self, BrowserError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "moonlight-mux-{program}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|source| BrowserError::Launch { program, source })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // The browser's last children may still write: what is left then is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
