//! A test host on loopback, and who streams from it over real sockets.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moonlight_mux::{
    AppSelector, EndReason, Host, HostAddress, HostConfig, Identity, Manner, Media, MoonlightConfig,
    MoonlightSource, Pin, State, Streamer, StreamerConfig, Subscription, TestHost, TestHostConfig,
    VideoFrame,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Far above what anything here takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A host, and those who are paired with it.
pub(crate) struct Live {
    pub(crate) host: TestHost,
    clients: Mutex<HashMap<String, Host>>,
}

impl Live {
    pub(crate) async fn start(config: TestHostConfig) -> Self {
        let host = TestHost::start(config).await.expect("a free port");
        Self { host, clients: Mutex::default() }
    }

    /// The host in the eyes of an identity, which is paired first.
    pub(crate) async fn client(&self, identity: &str) -> Host {
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(identity) {
            return client.clone();
        }
        let client = Host::new(stranger(&self.host));
        pair(&client, &self.host).await;
        clients.insert(identity.to_owned(), client.clone());
        client
    }

    /// The host's one app in the eyes of an identity.
    pub(crate) async fn source(&self, identity: &str, config: MoonlightConfig) -> MoonlightSource {
        MoonlightSource::new(self.client(identity).await, config)
    }

    pub(crate) async fn streamer(&self, identity: &str) -> Streamer {
        let source = self.source(identity, small()).await;
        Streamer::start(identity.parse().expect("a name"), source, StreamerConfig::default())
    }

    /// A streamer that streams.
    pub(crate) async fn streaming(&self, identity: &str) -> Streamer {
        let streamer = self.streamer(identity).await;
        streaming(&streamer).await;
        streamer
    }
}

/// Somebody whom the host does not know.
pub(crate) fn stranger(host: &TestHost) -> HostConfig {
    let address: HostAddress = host.http_address().to_string().parse().expect("an address");
    HostConfig::new(address, Identity::generate().expect("keys"))
}

/// Pairs with a PIN that is typed in at the host.
pub(crate) async fn pair(client: &Host, host: &TestHost) {
    let pin = Pin::random().expect("random numbers");
    host.enter_pin(pin.digits());
    in_time(client.pair(&pin)).await.expect("the PIN is right");
}

/// What costs little time to encode.
pub(crate) fn small() -> MoonlightConfig {
    let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
    (config.width, config.height, config.fps, config.bitrate_kbps) = (320, 180, 30, 5_000);
    config
}

/// A host that takes after `manner`.
pub(crate) fn host(manner: Manner) -> TestHostConfig {
    let mut config = TestHostConfig::default();
    config.manner = manner;
    config
}

/// Boxes what it waits for, which may be large.
pub(crate) fn in_time<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let timeout = timeout(PATIENCE, Box::pin(future));
    async move { timeout.await.expect("it takes no minute") }
}

pub(crate) async fn streaming(streamer: &Streamer) {
    in_time(streamer.wait_streaming()).await.expect("it streams");
}

/// Waits for a state that `wanted` takes; says which there was at the end otherwise.
pub(crate) async fn until(streamer: &Streamer, wanted: impl FnMut(&State) -> bool) -> State {
    let mut state = streamer.watch_state();
    let reached =
        timeout(PATIENCE, state.wait_for(wanted)).await.map(|state| state.map(|state| state.clone()));
    match reached {
        Ok(state) => state.expect("the last state stays"),
        Err(_) => panic!("still {:?}", streamer.state()),
    }
}

/// Why it ended.
pub(crate) async fn ended(streamer: &Streamer) -> EndReason {
    match until(streamer, |state| matches!(state, State::Ended(_))).await {
        State::Ended(reason) => reason,
        state => unreachable!("{state:?}"),
    }
}

/// The next `count` pictures. The first is a keyframe, and each follows the one before.
pub(crate) async fn pictures(frames: &Subscription, count: usize) -> Vec<Arc<VideoFrame>> {
    let mut pictures: Vec<Arc<VideoFrame>> = Vec::new();
    while pictures.len() < count {
        match in_time(frames.recv()).await.expect("the stream goes on") {
            Media::Video(frame) => {
                match pictures.last() {
                    None => assert!(frame.keyframe, "{frame:?}"),
                    Some(last) => assert_eq!(frame.number.0, last.number.0 + 1),
                }
                pictures.push(frame);
            }
            Media::Audio(_) => {}
            Media::Gap { lost } => panic!("{lost} pictures are lost on loopback"),
        }
    }
    pictures
}

/// An error with all its causes.
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut error = error;
    while let Some(cause) = error.source() {
        write!(words, ": {cause}").expect("a string");
        error = cause;
    }
    words
}
