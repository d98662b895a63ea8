//! A server with streamers whose source does what the test says.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use moonlight_mux::{
    Command, Ended, Registry, SourceError, SourceIo, Streamer, StreamerConfig, VideoSource, WebRtc,
    WebRtcConfig,
};
use moonlight_mux_http::{ServerConfig, bind, router};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

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
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut config = WebRtcConfig::default();
        config.bind = "127.0.0.1:0".parse().expect("an address");
        let rtc = WebRtc::bind(config).expect("a free port");
        Self { registry: Registry::new(), rtc }
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
        let config = ServerConfig { allowed_origins: vec!["https://listed.example".to_owned()] };
        router(self.registry.clone(), self.rtc.clone(), config)
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
