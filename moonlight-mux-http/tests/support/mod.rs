//! A server with streamers whose source does what the test says.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use moonlight_mux::{
    Command, Ended, Hosts, Registry, SourceError, SourceIo, Streamer, StreamerConfig, VideoSource, WebRtc,
    WebRtcConfig,
};
use moonlight_mux_http::{Isolation, KeptStreamers, ServerConfig, bind, router};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;
use tower::ServiceExt;

/// What never happens takes this long; nothing else does.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the script, then waits for the end; tells of each keyframe wish.
pub(crate) struct Scripted {
    script: fn(&mut SourceIo),
    end: Mutex<mpsc::Receiver<Result<Ended, SourceError>>>,
    keyframes: mpsc::Sender<()>,
}

/// The test's hold on a [`Scripted`] source.
pub(crate) struct Script {
    pub(crate) end: mpsc::Sender<Result<Ended, SourceError>>,
    pub(crate) keyframes: mpsc::Receiver<()>,
}

#[async_trait]
impl VideoSource for Scripted {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        (self.script)(&mut io);
        let mut end = self.end.lock().await;
        loop {
            tokio::select! {
                command = io.command() => match command {
                    Some(Command::Keyframe) => self.keyframes.send(()).await.expect("the test listens"),
                    Some(_) => {}
                    None => return Ok(Ended::Stopped),
                },
                Some(result) = end.recv() => return result,
            }
        }
    }
}

pub(crate) struct Fixture {
    pub(crate) registry: Registry,
    rtc: WebRtc,
    hosts: Option<Hosts>,
    kept: Option<KeptStreamers>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut config = WebRtcConfig::default();
        config.bind = "127.0.0.1:0".parse().expect("an address");
        let rtc = WebRtc::bind(config).expect("a free port");
        Self { registry: Registry::new(), rtc, hosts: None, kept: None }
    }

    pub(crate) fn with_hosts(hosts: Hosts) -> Self {
        Self { hosts: Some(hosts), ..Self::new() }
    }

    /// With these hosts' state directory for persistent streamers too.
    pub(crate) fn keeping(hosts: Hosts) -> Self {
        let kept = KeptStreamers::open(hosts.directory().expect("a directory")).expect("it can be read");
        Self { kept: Some(kept), ..Self::with_hosts(hosts) }
    }

    pub(crate) fn streamer(&self, id: &str, script: fn(&mut SourceIo)) -> (Streamer, Script) {
        let (end_tx, end) = mpsc::channel(1);
        let (keyframes, keyframes_rx) = mpsc::channel(16);
        let source = Scripted { script, end: Mutex::new(end), keyframes };
        let id = id.parse().expect("a valid id");
        let streamer = self.registry.create(id, source, StreamerConfig::default()).expect("the id is free");
        (streamer, Script { end: end_tx, keyframes: keyframes_rx })
    }

    pub(crate) fn router(&self) -> Router {
        self.router_with(self.config())
    }

    pub(crate) fn router_with(&self, config: ServerConfig) -> Router {
        router(self.registry.clone(), self.rtc.clone(), config)
    }

    pub(crate) fn config(&self) -> ServerConfig {
        ServerConfig {
            hosts: self.hosts.clone(),
            kept: self.kept.clone(),
            isolation: isolation(),
            allowed_origins: vec!["https://listed.example".to_owned()],
            ..ServerConfig::default()
        }
    }

    /// Runs `client` against a real server on the loopback interface.
    pub(crate) async fn serve<T, F: Future<Output = T>>(&self, client: impl FnOnce(SocketAddr) -> F) -> T {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::select! {
            _ = axum::serve(listener, self.router()) => unreachable!("it serves for ever"),
            result = client(address) => result,
            () = sleep(LIMIT) => panic!("the client still waits after {LIMIT:?}"),
        }
    }
}

/// Where streamers run: in processes of their own where a program is at hand that can be one. The tests of moonlight-mux-cli
/// include some of these.
pub(crate) fn isolation() -> Isolation {
    match option_env!("CARGO_BIN_EXE_moonlight-mux") {
        #[cfg(unix)]
        Some(program) => {
            let mut process = moonlight_mux::ProcessConfig::default();
            process.command = Some(moonlight_mux::ProcessCommand::new(program));
            process.webrtc.bind = "127.0.0.1:0".parse().expect("an address");
            Isolation::Process(Box::new(process))
        }
        _ => Isolation::InProcess,
    }
}

/// What a router answers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

pub(crate) async fn call(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body").to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080")
        .body(Body::empty())
        .expect("a valid request")
}

/// With a body of JSON, and the headers that existing backends send.
pub(crate) fn post(path: &str, body: &str) -> Request<Body> {
    let mut request = request("POST", path);
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("authorization", HeaderValue::from_static("Bearer some-credentials"));
    *request.body_mut() = Body::from(body.to_owned());
    request
}

/// The same to change something.
pub(crate) fn patch(path: &str, body: &str) -> Request<Body> {
    let mut request = post(path, body);
    *request.method_mut() = Method::PATCH;
    request
}

/// Sends all that the server takes, and reads all that it says.
pub(crate) async fn exchange(address: SocketAddr, parts: &[&[u8]]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.expect("it listens").into_split();
    let send = async {
        for part in parts {
            // It may have answered and closed already.
            if writer.write_all(part).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut answer = Vec::new();
    let receive = async {
        let mut piece = [0; 4096];
        // A connection that is closed on what was not read is reset, behind the answer.
        while let Ok(length @ 1..) = reader.read(&mut piece).await {
            answer.extend_from_slice(&piece[..length]);
        }
    };
    tokio::join!(send, receive);
    String::from_utf8_lossy(&answer).into_owned()
}
