//! Debian's Janus as a server to compare with: its streaming plugin, fed with our RTP, and its viewers' signalling.
//!
//! Only what its own documentation and example configuration say of its interface is used.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::frame::{Rate, payloads};
use super::process::ProcessClock;
use crate::crowd::srtp::{HEADER, Header};
use crate::task::{self, Task};
use crate::viewer::{Closed, ConnectError, Message, Transport};

/// A running Janus, and what feeds it. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Janus {
    url: Uri,
    clock: ProcessClock,
    feed: SocketAddr,
    /// Feeds it while it is there.
    feeding: Option<Task<()>>,
    // Before the folder: the process must be gone when its folder goes.
    _child: Child,
    _folder: Folder,
}

impl Janus {
    /// Starts it with a mountpoint for H.264. `event_loops`: how many threads it sends with; 0 is its default, a thread for
    /// each viewer.
    ///
    /// # Errors
    /// When Debian's package `janus` is not installed, or it does not come up.
    pub async fn start(event_loops: u32) -> io::Result<Self> {
        let (websocket, feed) = (free_port()?, free_port()?);
        let folder = Folder::new()?;
        let folders = installed_folders()?;
        let general =
            format!("session_timeout = 0\n debug_level = 1\n event_loops = {event_loops}\n{folders}");
        // Some of those that nobody talks to crash without configuration files of their own.
        folder.write(
            "janus.jcfg",
            &format!(
                "general: {{ {general} }}\n\
                 plugins: {{ disable = \"{UNUSED_PLUGINS}\" }}\n\
                 transports: {{ disable = \"{UNUSED_TRANSPORTS}\" }}\n"
            ),
        )?;
        folder.write(
            "janus.transport.websockets.jcfg",
            &format!("general: {{ ws = true\n ws_ip = \"127.0.0.1\"\n ws_port = {websocket} }}\n"),
        )?;
        folder.write("janus.plugin.streaming.jcfg", &format!(
            "bench: {{ type = \"rtp\"\n id = 1\n audio = false\n video = true\n videoport = {feed}\n videopt = 109\n \
             videocodec = \"h264\"\n videofmtp = \"profile-level-id=42e01f;packetization-mode=1\" }}\n"
        ))?;
        let mut child = Command::new("janus")
            .arg(format!("--configs-folder={}", folder.0.display()))
            .arg(format!("--config={}", folder.0.join("janus.jcfg").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let clock = ProcessClock::of(child.id().ok_or(io::ErrorKind::BrokenPipe)?)?;
        let url: Uri = format!("ws://127.0.0.1:{websocket}/").parse().map_err(io::Error::other)?;
        let comes_up = async {
            while JanusTransport::connect(&url).await.is_err() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            came_up = timeout(START_TIMEOUT, comes_up) => came_up.map_err(|_| io::ErrorKind::TimedOut)?,
            status = child.wait() => return Err(io::Error::other(format!("janus ended: {}", status?))),
        }
        let feed = (Ipv4Addr::LOCALHOST, feed).into();
        Ok(Self { url, clock, feed, feeding: None, _child: child, _folder: folder })
    }

    /// Its WebSocket.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// What it has spent.
    #[must_use]
    pub fn clock(&self) -> ProcessClock {
        self.clock
    }

    /// Sends it pictures from now on, instead of those before.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn feed(&mut self, rate: Rate) -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.feed)?;
        self.feeding = Some(task::spawn(feed(socket, rate)));
        Ok(())
    }
}

async fn feed(socket: UdpSocket, rate: Rate) {
    let mut ticks = interval(Duration::from_secs(1) / rate.fps.max(1));
    let packets = rate.packets_per_frame();
    let (mut sequence, mut timestamp) = (0u16, 0u32);
    loop {
        ticks.tick().await;
        for (i, payload) in payloads(packets, task::wall_clock()).iter().enumerate() {
            let marker = i + 1 == packets;
            let header = Header { marker, payload_type: 109, sequence, timestamp, ssrc: 1, len: HEADER };
            sequence = sequence.wrapping_add(1);
            // What it does not take is lost, and its viewers miss it.
            let _ = socket.send(&[&header.to_bytes()[..], payload].concat());
        }
        timestamp = timestamp.wrapping_add(90_000 / rate.fps.max(1));
    }
}

/// The address that it tells its viewers: it leaves out the loopback interface.
///
/// # Errors
/// When this machine has none but that.
pub fn reachable_address() -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Nothing is sent: it only asks by which interface it would be.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
    Ok(socket.local_addr()?.ip())
}

/// One viewer's signalling: Janus offers.
#[derive(Debug)]
pub struct JanusTransport {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: u64,
    handle: u64,
}

impl JanusTransport {
    /// Connects, and asks to watch the mountpoint of [`Janus::start`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(url: &Uri) -> Result<Self, ConnectError> {
        let request = ClientRequestBuilder::new(url.clone()).with_sub_protocol("janus-protocol");
        let connected = Box::pin(connect_async(request)).await;
        let (socket, _) = connected.map_err(|error| ConnectError::WebSocket(Box::new(error)))?;
        let mut this = Self { socket, session: 0, handle: 0 };
        let opened = async {
            this.session = this.ask(json!({ "janus": "create" })).await?;
            let plugin = "janus.plugin.streaming";
            this.handle = this.ask(json!({ "janus": "attach", "plugin": plugin })).await?;
            let watch = json!({ "request": "watch", "id": 1 });
            this.say(json!({ "janus": "message", "body": watch })).await
        };
        match opened.await {
            Ok(()) => Ok(this),
            Err(_) => Err(ConnectError::WebSocket(Box::new(
                tokio_tungstenite::tungstenite::Error::ConnectionClosed,
            ))),
        }
    }

    async fn say(&mut self, mut request: Value) -> Result<(), Closed> {
        request["transaction"] = "bench".into();
        if self.session != 0 {
            request["session_id"] = self.session.into();
        }
        if self.handle != 0 {
            request["handle_id"] = self.handle.into();
        }
        self.socket.send(WsMessage::text(request.to_string())).await.map_err(|_| Closed::default())
    }

    /// The id that is answered.
    async fn ask(&mut self, request: Value) -> Result<u64, Closed> {
        self.say(request).await?;
        loop {
            let answer = self.hear().await?;
            if let Some(id) = answer["data"]["id"].as_u64() {
                return Ok(id);
            }
        }
    }

    /// The next message, unless it is that something failed.
    async fn hear(&mut self) -> Result<Value, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(WsMessage::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap_or_default();
                    let failed = matches!(message["janus"].as_str(), Some("error" | "hangup" | "timeout"))
                        || message["plugindata"]["data"]["error"].is_string();
                    if failed {
                        return Err(Closed { code: None, reason: text.as_str().to_owned() });
                    }
                    return Ok(message);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed::default()),
            }
        }
    }
}

#[async_trait]
impl Transport for JanusTransport {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let Message::Answer(sdp) = message else { return Ok(()) };
        let jsep = json!({ "type": "answer", "sdp": sdp });
        self.say(json!({ "janus": "message", "body": { "request": "start" }, "jsep": jsep })).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        loop {
            let message = self.hear().await?;
            if let Some(sdp) = message["jsep"]["sdp"].as_str() {
                return Ok(Message::Offer(sdp.to_owned()));
            }
        }
    }

    async fn close(&mut self) {
        // Janus may be gone already.
        let _ = self.socket.close(None).await;
    }
}

/// Where its modules are, as Debian's own configuration says: that is another place for each architecture.
fn installed_folders() -> io::Result<String> {
    let installed = fs::read_to_string("/etc/janus/janus.jcfg")?;
    let folder = |line: &&str| {
        let name = line.trim_start();
        ["plugins_folder", "transports_folder"].iter().any(|wanted| name.starts_with(wanted))
    };
    let lines: Vec<_> = installed.lines().filter(folder).collect();
    Ok(lines.join("\n") + "\n")
}

/// A folder for its configuration.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("moonlight-mux-janus-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.0.join(name), text)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left then is in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Free when it was asked for; the bench is alone on its machine.
fn free_port() -> io::Result<u16> {
    let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(tcp.local_addr()?.port())
}

const UNUSED_PLUGINS: &str = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,\
    libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,libjanus_videocall.so,\
    libjanus_videoroom.so,libjanus_voicemail.so";
const UNUSED_TRANSPORTS: &str = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,\
    libjanus_rabbitmq.so";
const START_TIMEOUT: Duration = Duration::from_secs(20);
