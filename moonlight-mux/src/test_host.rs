//! A GameStream host for tests and demonstrations, on loopback.

mod answer;
mod calls;
#[cfg_attr(not(feature = "test-picture"), allow(dead_code, reason = "only live pictures have a clock"))]
mod clock;
mod faults;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod launches;
mod link;
mod log;
mod pairing;
mod server;
#[cfg_attr(not(test), allow(dead_code, reason = "its tests ask more of it than the host does"))]
pub(crate) mod session;
mod show;
mod state;
mod stream;
mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::clock::host_clock;
pub use self::faults::{Faults, Freeze, HostStep, HostileAnswer, StartRefusal};
pub use self::log::{HostCounts, HostEndReason, HostEvent, HostEvents, HostSessionId};
use self::pairing::Clients;
use self::server::Listeners;
pub use self::session::Manner;
use self::state::Shared;
use self::stream::Order;
use crate::gamestream::address::HostAddress;
use crate::gamestream::identity::{Identity, IdentityError};
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::wire::http::AppId;
use crate::input::HostFeedback;
use crate::media::VideoFrame;
use crate::recording::Recording;
use crate::source::VideoSource;
use crate::task::{self, Task};

/// A GameStream host on loopback: the same wire as a real one, from pairing to the picture.
///
/// It holds to the [`Manner`] of a real host, shows a live test picture or a recording, sends no keyframe that nobody
/// asked for, writes down what it sees, and does wrong what [`Faults`] says. Dropping it is as killing it.
#[derive(Debug)]
pub struct TestHost {
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: Task<()>,
}

/// How a [`TestHost`] is. Clone it to start the same host again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestHostConfig {
    /// Which host it takes after. Default: [`Manner::Sunshine`].
    pub manner: Manner,
    /// Its name in `/serverinfo`. Default: `test host`.
    pub name: String,
    /// What it can run. Default: one, `Desktop`.
    pub apps: Vec<TestApp>,
    /// What it shows. Default: the live test picture, where it is built in.
    pub picture: HostPicture,
    /// Which encryption of media it offers or wants. Default: [`HostEncryption::Optional`].
    pub encryption: HostEncryption,
    /// What it does wrong. Default: nothing.
    pub faults: Faults,
    /// Where it listens: a loopback address. Default: 127.0.0.1.
    pub address: IpAddr,
    /// The ports on which it listens. Default: free ones.
    pub ports: HostPorts,
    /// How many sessions there may be at once, waiting ones included. Default: any number; a host of version 0.23 has 1.
    pub max_sessions: Option<usize>,
    /// In the manner of Wolf: as its later builds, the host gives each session an address that exists nowhere, knows it by
    /// that in the RTSP dialogue, and knows clients by their certificates alone, not by their addresses (session 11 and
    /// 12.1). Default: no.
    pub session_addresses: bool,
    /// The rights of every client in `/serverinfo`, as hosts of the Apollo family have them (session 22, N1). Default:
    /// none, as other hosts.
    pub permission: Option<u32>,
    /// Its certificate and key. Default: those that all hosts of the process share.
    pub identity: Option<Identity>,
    /// Its id in `/serverinfo`, the same at every address. Default: random.
    pub unique_id: String,
    /// Certificates in PEM of clients that are paired from the start. Default: none.
    pub trusted: Vec<String>,
}

/// Something that a [`TestHost`] can run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestApp {
    /// 1 to 2^31 - 1.
    pub id: u32,
    /// May be empty.
    pub title: String,
}

impl TestApp {
    /// An app.
    #[must_use]
    pub fn new(id: u32, title: impl Into<String>) -> Self {
        Self { id, title: title.into() }
    }

    fn id(&self) -> Option<AppId> {
        self.id.to_string().parse().ok()
    }
}

/// What a [`TestHost`] shows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HostPicture {
    /// A live test picture of the size and rate that the client asks for, H.264, with sound and what input did. Each frame says
    /// when the host began to send it ([`host_clock`]).
    #[cfg(feature = "test-picture")]
    Live,
    /// A recording's frames over and over, as recorded; a request for a keyframe goes back to one.
    Recording(Arc<Recording>),
    /// What a source gives, H.264. It hears of no input.
    Source(Arc<dyn HostSource>),
    /// Never a frame.
    Black,
}

/// A [`VideoSource`] that a [`TestHost`] streams. Each session runs it for itself, once.
pub trait HostSource: VideoSource + fmt::Debug {
    /// The host has sent a picture: `first` and `last` are the moments just before its first and its last datagram were given
    /// to the system, parity included. They are of use only while [`Faults`] delay and reorder nothing. The stream waits
    /// until it returns.
    fn sent(&self, frame: &VideoFrame, first: Instant, last: Instant) {
        let _ = (frame, first, last);
    }
}

/// Which encryption of video and audio a [`TestHost`] offers. Control is always encrypted. Session 17.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostEncryption {
    /// Audio's alone: what Sunshine does for clients of its own network unless told otherwise.
    AudioOnly,
    /// Both, as the client likes.
    #[default]
    Optional,
    /// Both, and nothing without.
    Mandatory,
}

/// The TCP ports of a [`TestHost`]; 0 is any free one. UDP ports are free ones of each session's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostPorts {
    /// Default of real hosts: 47989.
    pub http: u16,
    /// Default of real hosts: 47984.
    pub https: u16,
    /// Default of real hosts: 48010.
    pub rtsp: u16,
}

/// Why a [`TestHost`] does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestHostError {
    /// It would be reachable from outside.
    #[error("{address} is no loopback address")]
    NotLoopback {
        /// What was asked for.
        address: IpAddr,
    },
    /// A port is taken, say.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// One of the certificates that it is to trust.
    #[error("a trusted certificate is no certificate in PEM")]
    Certificate,
    /// What the operating system says when asked for a port's number.
    #[error("a port has no number")]
    LocalAddress(#[source] io::Error),
    /// It can have no certificate of its own.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its certificate is of no use for TLS.
    #[error("HTTPS cannot be served")]
    Tls(#[from] rustls::Error),
}

impl Default for TestHostConfig {
    fn default() -> Self {
        Self {
            manner: Manner::default(),
            name: "test host".to_owned(),
            apps: vec![TestApp::new(881_448_767, "Desktop")],
            #[cfg(feature = "test-picture")]
            picture: HostPicture::Live,
            #[cfg(not(feature = "test-picture"))]
            picture: HostPicture::Black,
            encryption: HostEncryption::default(),
            faults: Faults::default(),
            address: Ipv4Addr::LOCALHOST.into(),
            ports: HostPorts::default(),
            max_sessions: None,
            session_addresses: false,
            permission: None,
            identity: None,
            unique_id: Uuid::new_v4().to_string().to_uppercase(),
            trusted: Vec::new(),
        }
    }
}

impl TestHost {
    /// Starts a host on the current tokio runtime.
    ///
    /// # Errors
    /// When the address is not of loopback, a port is taken, or a certificate is none.
    pub async fn start(mut config: TestHostConfig) -> Result<Self, TestHostError> {
        let address = config.address;
        if !address.is_loopback() {
            return Err(TestHostError::NotLoopback { address });
        }
        let identity = match config.identity.take() {
            Some(identity) => identity,
            None => shared_identity()?,
        };
        let certificate = identity.pairing().certificate();
        let tls = tls::server_config(certificate.der(), identity.key_pkcs8())?;
        let mut clients = Clients::new(config.manner, Arc::clone(identity.pairing()));
        for pem in &config.trusted {
            clients.trust(pem).map_err(|_| TestHostError::Certificate)?;
        }
        config.identity = Some(identity);
        let listeners = Listeners {
            http: listen(address, config.ports.http).await?,
            https: listen(address, config.ports.https).await?,
            rtsp: listen(address, config.ports.rtsp).await?,
        };
        let ports = HostPorts {
            http: port(&listeners.http)?,
            https: port(&listeners.https)?,
            rtsp: port(&listeners.rtsp)?,
        };
        let (streams, launched) = mpsc::channel(LAUNCHES);
        let shared = Arc::new(Shared::new(config, ports, clients, streams));
        let stop = CancellationToken::new();
        let server = server::run(Arc::clone(&shared), listeners, tls.into(), launched, stop.clone());
        Ok(Self { shared, stop, server: task::spawn(server) })
    }

    /// Where it takes HTTP calls: what a client is told.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        SocketAddr::new(self.shared.config.address, self.shared.ports.http)
    }

    /// The same, as a client takes it.
    #[must_use]
    pub fn address(&self) -> HostAddress {
        let http = self.http_address();
        HostAddress::new(&http.ip().to_string(), http.port()).expect("a bound address has a port")
    }

    /// What it would take to start this host again: its ports, identity, apps, faults and paired clients as they are now.
    #[must_use]
    pub fn config(&self) -> TestHostConfig {
        let state = self.shared.state();
        TestHostConfig {
            ports: self.shared.ports,
            apps: state.apps.clone(),
            faults: self.faults(),
            trusted: state.clients.paired().map(Certificate::to_pem).collect(),
            ..self.shared.config.clone()
        }
    }

    /// Pairs a client, by its certificate in PEM.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn trust(&self, certificate_pem: &str) -> Result<(), TestHostError> {
        self.shared.state().clients.trust(certificate_pem).map_err(|_| TestHostError::Certificate)
    }

    /// Forgets all paired clients: they get 401 from now on.
    pub fn distrust_all(&self) {
        self.shared.state().clients.distrust_all();
    }

    /// What its user types in: for the client that waits, or the next one. Anything but four digits is typed in vain.
    pub fn enter_pin(&self, pin: &str) {
        if let Ok(pin) = pin.parse() {
            self.shared.state().enter_pin(pin);
        }
    }

    /// From now on it does this wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.faults.send_replace(faults);
    }

    /// What it does wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults.borrow().clone()
    }

    /// Changes what it can run.
    pub fn set_apps(&self, apps: Vec<TestApp>) {
        self.shared.state().apps = apps;
    }

    /// What it saw, in order: the last 262,144 events.
    #[must_use]
    pub fn log(&self) -> Vec<HostEvent> {
        self.shared.book.all()
    }

    /// What it saw and will see, from the oldest known on.
    #[must_use]
    pub fn events(&self) -> HostEvents {
        self.shared.book.events()
    }

    /// Waits until it has seen something that `wanted` takes, now or earlier. Cancel safe.
    pub async fn wait_for(&self, wanted: impl FnMut(&HostEvent) -> bool) -> HostEvent {
        self.events().find(wanted).await.expect("the log lives as long as the host")
    }

    /// What it counted.
    #[must_use]
    pub fn counts(&self) -> HostCounts {
        *self.shared.book.counts().borrow()
    }

    /// Waits until the counts are as `wanted` says. Cancel safe.
    pub async fn wait_for_counts(&self, wanted: impl FnMut(&HostCounts) -> bool) -> HostCounts {
        *self.shared.book.counts().wait_for(wanted).await.expect("the log lives as long as the host")
    }

    /// How many sessions are launched and not over.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.counts().sessions
    }

    /// Tells a session's client what its app wants of a gamepad. False if there is no such session, or it hears nothing.
    /// Waits its turn behind other things that the session is to do. Cancel safe: nothing was told then.
    pub async fn send_feedback(&self, session: HostSessionId, feedback: HostFeedback) -> bool {
        let orders = self.shared.state().orders.get(&session).cloned();
        match orders {
            Some(orders) => orders.send(Order::Say(feedback.into())).await.is_ok(),
            None => false,
        }
    }

    /// Ends all sessions, as when the app exits: each client is told.
    pub fn end_sessions(&self) {
        let sessions = self.shared.state().launches.end_all();
        self.shared.end(&sessions, HostEndReason::ByHost);
    }

    /// Ends all sessions with a word to each client, and stops: within 2 s.
    pub async fn shutdown(self) {
        self.end_sessions();
        let gone = self.wait_for_counts(|counts| counts.sessions == 0);
        // A client that does not answer is left to find out.
        let _ = tokio::time::timeout(GOODBYE, gone).await;
        self.kill().await;
    }

    /// Stops as a host whose plug is pulled: its sockets close and nobody is told. They are closed when this returns.
    pub async fn kill(self) {
        self.stop.cancel();
        // Fails when it is aborted, which nobody but `self` can do.
        let _ = self.server.await;
    }
}

/// Made once: it takes a tenth of a second of processor time.
fn shared_identity() -> Result<Identity, IdentityError> {
    static SHARED: OnceLock<Identity> = OnceLock::new();
    if let Some(identity) = SHARED.get() {
        return Ok(identity.clone());
    }
    let identity = Identity::generate()?;
    Ok(SHARED.get_or_init(|| identity).clone())
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, TestHostError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).await.map_err(|source| TestHostError::Listen { address, source })
}

fn port(listener: &TcpListener) -> Result<u16, TestHostError> {
    let address = listener.local_addr().map_err(TestHostError::LocalAddress)?;
    Ok(address.port())
}

/// Launches that were granted and do not run yet.
const LAUNCHES: usize = 16;

/// How long a host that stops waits for its clients.
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
