//! What driving either browser takes: its process with a profile of its own, and a WebSocket of numbered commands.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
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

/// A browser's processes. Dropping it kills all of them, waits until they are gone, and removes their folder.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Whom the browser starts is in it, too.
    group: Option<Pid>,
    /// Reads what the browser logs: a full pipe would stop it.
    log: Option<Task<()>>,
    // Goes last: nobody may write there any more.
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
            // A browser that is killed leaves the folders of its sockets there.
            .env("TMPDIR", profile.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| BrowserError::Launch { program, source })?;
        let stderr = child.stderr.take();
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let mut process = Self { child, group, log: None, _profile: profile };
        let mut lines = BufReader::new(stderr.ok_or(BrowserError::Gone)?).lines();
        let address = timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix(announcement) {
                    return Some(address.trim().to_owned());
                }
            }
            None
        });
        let address = address.await.ok().flatten().ok_or(BrowserError::Gone)?;
        process.log = Some(task::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} }));
        Ok((process, address))
    }

    /// Waits until it has ended, which it was asked to; kills it when it does not.
    pub(crate) async fn ended(mut self) {
        let _ = timeout(PATIENCE, self.child.wait()).await;
    }
}

impl Drop for Process {
    /// Blocks for the moment that killed processes take to go.
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        // Without an answer they are gone already.
        let _ = killpg(group, Signal::SIGKILL);
        let given_up = task::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) || has_living(group) {
            if task::now() > given_up {
                eprintln!("processes of a browser stay: group {group}");
                return;
            }
            task::block_for(Duration::from_millis(5));
        }
    }
}

/// Whether a process of the group can still do something. Zombies, which somebody else has to wait for, cannot.
fn has_living(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // Behind the name, which may have any character: state, parent, group (proc_pid_stat(5)).
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, of) = (fields.next(), fields.nth(1));
        of == Some(&group.to_string()) && !matches!(state, Some("Z" | "X"))
    })
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

/// A folder for one browser's profile, and whatever else it writes.
#[derive(Debug)]
pub(crate) struct Profile(PathBuf);

impl Profile {
    pub(crate) fn new(program: &'static str) -> Result<Self, BrowserError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folders = std::env::temp_dir();
        remove_abandoned(&folders);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folders.join(format!("{PREFIX}{program}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| BrowserError::Launch { program, source })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("a browser's folder stays: {}: {error}", self.0.display());
        }
    }
}

/// Removes the folders of programs that were killed, and could not do it themselves.
fn remove_abandoned(folders: &Path) {
    let Ok(entries) = std::fs::read_dir(folders) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(owner);
        if owner.is_some_and(|owner| kill(owner, None) == Err(Errno::ESRCH)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whose folder it is, by its name behind [`PREFIX`]: the program of the browser, the process, a number.
fn owner(name: &str) -> Option<Pid> {
    let mut parts = name.rsplit('-');
    let (_number, pid) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<i32>().ok()?);
    // Others mean groups of processes.
    (pid > 0).then(|| Pid::from_raw(pid))
}

const PREFIX: &str = "moonlight-mux-";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_browser_that_is_dropped_leaves_nothing() {
        // Its child would write on for ever.
        const WRITES: &str = r#"(while :; do mkdir -p "$TMPDIR/more" && : > "$TMPDIR/more/$((n += 1))"; done) 2>/dev/null &
            echo "listening on here" >&2; wait"#;
        let profile = Profile::new("test").unwrap();
        let path = profile.path().to_owned();
        let arguments = ["-c", WRITES].map(str::to_owned);
        let (process, address) = Process::start("sh", profile, arguments, "listening on ").await.unwrap();
        assert_eq!(address, "here");
        while !path.join("more/1").exists() {
            tokio::task::yield_now().await;
        }
        let group = process.group.unwrap();
        drop(process);
        assert!(!has_living(group));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_that_does_not_start_leaves_nothing() {
        let profile = Profile::new("test").unwrap();
        let path = profile.path().to_owned();
        let arguments = ["-c", ": > \"$TMPDIR/file\""].map(str::to_owned);
        let started = Process::start("sh", profile, arguments, "listening on ").await;
        assert!(matches!(started, Err(BrowserError::Gone)));
        assert!(!path.exists());
    }

    #[test]
    fn folders_of_programs_that_were_killed_go_and_others_stay() {
        let folders = Profile::new("test").unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let folder = |name: String| {
            let path = folders.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let abandoned = folder(format!("{PREFIX}chromium-{}-7", ended.id()));
        let others = [
            folder(format!("{PREFIX}firefox-esr-{}-0", std::process::id())),
            folder(format!("{PREFIX}state-{}", ended.id())),
            folder(format!("other-chromium-{}-7", ended.id())),
            folder(format!("{PREFIX}chromium-0-7")),
        ];
        remove_abandoned(folders.path());
        assert!(!abandoned.exists());
        assert!(others.iter().all(|folder| folder.exists()), "{others:?}");
    }
}
