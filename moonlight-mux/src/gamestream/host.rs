//! A host as one identity sees it: all that it can be asked.

mod error;
mod interface;
mod slot;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout;
use uuid::Uuid;

pub use self::error::{HostCall, HostError, HostErrorCause, HostRight, MalformedAnswer};
pub use self::interface::{PairingMethod, PinEntry};
pub(crate) use self::slot::{LaunchSlot, LaunchTurns, Launching};
use super::address::HostAddress;
use super::http::{self, Answer, Ask, CallError};
use super::identity::Identity;
use super::pairing::certificate::Certificate;
use super::pairing::client::Client;
use super::pairing::{Pin, Randomness, random};
use super::wire::http::pairing::{PairAnswer, PairRequest};
use super::wire::http::request::{Call, Launch};
use super::wire::http::{self as wire, AppId, CodecModes, Permission, ServerInfo, Start};
use super::wire::rtsp::SessionUrl;
use super::wire::wake::MacAddress;
use crate::media::VideoCodec;
use crate::task;

pub use super::wire::http::App;

/// Which host, as whom, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostConfig {
    /// Where it is.
    pub address: HostAddress,
    /// Who asks.
    pub identity: Identity,
    /// The host's certificate, from pairing; `None` if it was not paired with.
    pub certificate: Option<Certificate>,
    /// The address of this machine that all connections come from. Default: as the system routes them. Hosts that tell
    /// clients apart by their address need one for each.
    pub local_address: Option<IpAddr>,
    /// How long a call may take, at most a day. Default 10 s: hosts under load need 2 to 5. `/launch` and `/resume` may
    /// take 120 s, in which Sunshine sets up displays and encoders, and the first stage of pairing as long as its user
    /// takes.
    pub timeout: Duration,
}

impl HostConfig {
    /// Not paired, and with the defaults.
    #[must_use]
    pub fn new(address: HostAddress, identity: Identity) -> Self {
        Self { address, identity, certificate: None, local_address: None, timeout: Duration::from_secs(10) }
    }
}

/// A host as one identity sees it. Clones share what is known of it. Dropping a call's future abandons the call.
///
/// Each call is a connection of its own, closed when it is answered. After pairing the host is known by its certificate
/// alone.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: HostAddress,
    identity: Identity,
    local_address: Option<IpAddr>,
    timeout: Duration,
    known: Mutex<Known>,
    turns: Turns,
}

/// What was learned of the host.
#[derive(Debug, Default)]
struct Known {
    certificate: Option<Certificate>,
    https_port: Option<u16>,
    /// The address that answered last.
    ip: Option<IpAddr>,
    /// What this identity may do there, as far as the host says it.
    permission: Option<Permission>,
}

/// Of that, what is of use to another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Learned {
    pub(crate) https_port: Option<u16>,
    /// The address that answered last.
    pub(crate) ip: Option<IpAddr>,
}

/// What all who deal with one host take turns at, whatever their identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    launch: Arc<AsyncMutex<LaunchSlot>>,
    /// Hosts hand a PIN to any client that waits for one (session 8.8).
    pair: Arc<AsyncMutex<()>>,
    /// Held by a stream that has its identity paired, so that others of the same identity find it done.
    pub(crate) pair_for_stream: Arc<AsyncMutex<()>>,
}

impl Turns {
    /// At a host to which other processes launch too. Only launches take turns with theirs.
    pub(crate) fn elsewhere(turns: Arc<dyn LaunchTurns>) -> Self {
        Self { launch: Arc::new(AsyncMutex::new(LaunchSlot::elsewhere(turns))), ..Self::default() }
    }
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostInfo {
    /// Its name.
    pub name: String,
    /// Its identity, the same at every address.
    pub unique_id: String,
    /// The version of the protocol that it speaks, as in `7.1.431.-1`.
    pub version: String,
    /// Whether it is paired with this identity.
    pub paired: bool,
    /// What runs there, as far as this identity is told.
    pub running_app: Option<AppId>,
    /// By which it is woken up; hosts tell it only to whom they are paired with.
    pub mac: Option<MacAddress>,
    /// What it can encode.
    pub codecs: Vec<VideoCodec>,
    /// The rights of this identity as a bit mask; only hosts of the Apollo family say them.
    pub permission: Option<u32>,
}

/// What a host agreed to stream.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) session_url: SessionUrl,
    /// Where it answered: its session is there too.
    pub(crate) address: IpAddr,
}

impl Host {
    /// A host to ask. Asks nothing yet.
    #[must_use]
    pub fn new(config: HostConfig) -> Self {
        Self::with_turns(config, Turns::default())
    }

    /// A host that others deal with too, under other identities.
    pub(crate) fn with_turns(config: HostConfig, turns: Turns) -> Self {
        let HostConfig { address, identity, certificate, local_address, timeout } = config;
        let timeout = timeout.min(LONGEST_TIMEOUT);
        let known = Mutex::new(Known { certificate, ..Known::default() });
        Self { inner: Arc::new(Inner { address, identity, local_address, timeout, known, turns }) }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &HostAddress {
        &self.inner.address
    }

    /// Who asks.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Its certificate, if it was paired with.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        self.known().certificate.clone()
    }

    /// What another process needs to be the same to the host, and what was learned that spares it questions.
    pub(crate) fn to_parts(&self) -> (HostConfig, Learned) {
        let Known { certificate, https_port, ip, .. } = &*self.known();
        let config = HostConfig {
            address: self.inner.address.clone(),
            identity: self.inner.identity.clone(),
            certificate: certificate.clone(),
            local_address: self.inner.local_address,
            timeout: self.inner.timeout,
        };
        (config, Learned { https_port: *https_port, ip: *ip })
    }

    /// A host of which something is known already.
    pub(crate) fn from_parts(config: HostConfig, learned: Learned, turns: Turns) -> Self {
        let host = Self::with_turns(config, turns);
        {
            let mut known = host.known();
            known.https_port = learned.https_port;
            known.ip = learned.ip;
        }
        host
    }

    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        self.inner.local_address
    }

    pub(crate) fn launch_slot(&self) -> Arc<AsyncMutex<LaunchSlot>> {
        Arc::clone(&self.inner.turns.launch)
    }

    /// Asks who it is and what runs there: by HTTPS once it is paired, else by HTTP, where it cannot know who asks.
    ///
    /// # Errors
    /// See [`HostErrorCause`]. A host that does not know this identity any more is no error: `paired` is false.
    pub async fn info(&self) -> Result<HostInfo, HostError> {
        let asking = self.ask(HostCall::ServerInfo);
        let info = asking.by(self.server_info()).await?;
        Ok(HostInfo {
            mac: info.mac,
            codecs: codecs(info.codec_modes),
            version: info.version.to_string(),
            name: info.hostname,
            unique_id: info.uniqueid,
            paired: info.paired,
            running_app: info.running,
            permission: info.permission.map(|permission| permission.0),
        })
    }

    /// Pairs: the host asks its user for `pin`, and this waits until it was entered there; limit it if you must.
    ///
    /// One pairing per host at a time. Cancel safe: a host that has the PIN and is left in the middle is told to forget it. One
    /// that still waits for the PIN goes on waiting, and takes it for the next pairing of this identity (session 8.8).
    ///
    /// # Errors
    /// See [`HostErrorCause`]; then start again, with a new PIN.
    pub async fn pair(&self, pin: &Pin) -> Result<Certificate, HostError> {
        let turn = self.turn_to_pair().await;
        self.pair_in_turn(pin, turn).await
    }

    async fn turn_to_pair(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.inner.turns.pair).lock_owned().await
    }

    async fn pair_in_turn(&self, pin: &Pin, turn: OwnedMutexGuard<()>) -> Result<Certificate, HostError> {
        let asking = self.ask(HostCall::Pair { stage: 1 });
        let info = asking.by(self.clear_server_info()).await?;
        if !info.version.is_supported() {
            return Err(asking.error(HostErrorCause::Version { version: info.version.to_string() }));
        }
        let drawn = random().and_then(|salt| Ok((salt, Randomness::new()?)));
        let (salt, randomness) = drawn.map_err(|_| asking.error(HostErrorCause::NoRandomness))?;
        let client = Client::new(Arc::clone(self.inner.identity.pairing()), salt, pin.clone(), randomness);
        let mut pairing = Pairing { client, host: self.clone(), turn: Some(turn) };
        let paired = pairing.run().await;
        if paired.is_err() {
            pairing.clean_up().await;
        }
        let certificate = paired?;
        self.known().certificate = Some(certificate.clone());
        Ok(certificate)
    }

    /// What it can run. Ask again before each launch: the numbers change.
    ///
    /// # Errors
    /// See [`HostErrorCause`].
    pub async fn apps(&self) -> Result<Vec<App>, HostError> {
        let asking = self.ask(HostCall::AppList);
        let apps = asking
            .by(async {
                let answer = self.call_https(&Call::Apps, MAX_APPS).await?;
                wire::parse_apps(&answer.body).map_err(HostErrorCause::from)
            })
            .await?;
        // Whoever may not see the list is shown this instead (session 9).
        if let [App { id: AppId::NO_RIGHTS, .. }] = apps[..] {
            return Err(asking.error(HostErrorCause::MissingRight { right: HostRight::List }));
        }
        Ok(apps)
    }

    /// An app's picture, as a PNG file of up to 8 MiB.
    ///
    /// # Errors
    /// See [`HostErrorCause`]; hosts without a picture for it say 404 or give one of their own.
    pub async fn app_image(&self, app: AppId) -> Result<Bytes, HostError> {
        let asking = self.ask(HostCall::AppImage);
        asking
            .by(async {
                let answer = self.call_https(&Call::AppImage(app), MAX_IMAGE).await?;
                if answer.status == 200 && answer.body.starts_with(b"\x89PNG") {
                    return Ok(answer.body);
                }
                Err(match wire::parse_apps(&answer.body) {
                    Err(error @ wire::Error::Refused(_)) => error.into(),
                    _ => HostErrorCause::Host { code: answer.status.into(), message: None },
                })
            })
            .await
    }

    /// Ends what runs there. On Sunshine that ends the sessions of all clients too, or is refused while there are any
    /// (session 10.4).
    ///
    /// # Errors
    /// See [`HostErrorCause`].
    pub async fn quit_app(&self) -> Result<(), HostError> {
        let asking = self.ask(HostCall::Cancel);
        asking
            .by(async {
                let answer = self.call_https(&Call::Cancel, MAX_DOCUMENT).await?;
                wire::parse_cancelled(&answer.body).map_err(HostErrorCause::from)
            })
            .await
    }

    /// Asks for a session. Under [`launch_slot`](Self::launch_slot).
    pub(crate) async fn start(&self, start: Start, launch: &Launch) -> Result<Started, HostError> {
        let (host_call, call) = match start {
            Start::Launch => (HostCall::Launch, Call::Launch(launch.clone())),
            Start::Resume => (HostCall::Resume, Call::Resume(launch.clone())),
        };
        let asking = self.ask(host_call).within(self.inner.timeout.max(LAUNCH_TIMEOUT));
        let permission = self.known().permission;
        // Such hosts may agree, and do nothing.
        if permission == Some(Permission::NONE) {
            return Err(asking.error(HostErrorCause::MissingRight { right: HostRight::Launch }));
        }
        let started = asking.by(async {
            let answer = self.call_https(&call, MAX_DOCUMENT).await?;
            let started =
                wire::Started::parse(&answer.body).map_err(|error| match (error.into(), permission) {
                    // Who gives rights one by one has no other reason to forbid.
                    (HostErrorCause::Host { code: 403, .. }, Some(_)) => {
                        HostErrorCause::MissingRight { right: HostRight::Launch }
                    }
                    (cause, _) => cause,
                })?;
            let address = self.known().ip.ok_or(HostErrorCause::Closed)?;
            let default = || SessionUrl::of((address, SessionUrl::DEFAULT_PORT).into());
            Ok(Started { session_url: started.session_url.unwrap_or_else(default), address })
        });
        started.await
    }

    /// It has no such app.
    pub(crate) fn unknown_app(&self) -> HostError {
        self.ask(HostCall::AppList).error(HostErrorCause::UnknownApp)
    }

    /// Another app runs there.
    pub(crate) fn busy(&self, running: AppId) -> HostError {
        self.ask(HostCall::ServerInfo).error(HostErrorCause::Busy { running: Some(running) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().expect("no holder of this lock panics")
    }

    fn ask(&self, call: HostCall) -> Asking<'_> {
        Asking { host: &self.inner.address, call, began: task::now(), limit: self.inner.timeout }
    }

    /// As truthful as the host can be to us.
    async fn server_info(&self) -> Result<ServerInfo, HostErrorCause> {
        if self.known().certificate.is_none() {
            return self.clear_server_info().await;
        }
        let answer = self.call_https(&Call::ServerInfo, MAX_DOCUMENT).await?;
        match ServerInfo::parse(&answer.body) {
            Ok(info) => {
                let mut known = self.known();
                known.https_port = Some(info.https_port);
                known.permission = info.permission;
                Ok(info)
            }
            // It does not know us any more, and says who it is all the same.
            Err(wire::Error::Refused(refusal)) if refusal.is_unpaired() => {
                Ok(ServerInfo { paired: false, ..self.clear_server_info().await? })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn clear_server_info(&self) -> Result<ServerInfo, HostErrorCause> {
        let answer = self.call_http(&Call::ServerInfo, MAX_DOCUMENT).await?;
        let info = ServerInfo::parse(&answer.body)?;
        self.known().https_port = Some(info.https_port);
        Ok(ServerInfo { paired: false, ..info })
    }

    async fn pair_stage(
        &self,
        request: PairRequest,
        pinned: Option<Certificate>,
    ) -> Result<PairAnswer, HostErrorCause> {
        let call = Call::Pair(request);
        let answer = match pinned {
            Some(pinned) if call.needs_https() => self.call_pinned(&call, &pinned, MAX_DOCUMENT).await?,
            _ => self.call_http(&call, MAX_DOCUMENT).await?,
        };
        PairAnswer::parse(&answer.body).map_err(HostErrorCause::from)
    }

    async fn call_http(&self, call: &Call, limit: usize) -> Result<Answer, HostErrorCause> {
        let stream = self.connect(self.inner.address.port()).await?;
        // Boxed, as under TLS: a future that callers need not box again.
        Ok(Box::pin(http::call(stream, &self.authority(), self.request(call, limit))).await?)
    }

    async fn call_https(&self, call: &Call, limit: usize) -> Result<Answer, HostErrorCause> {
        let pinned = self.known().certificate.clone().ok_or(HostErrorCause::NotPaired)?;
        self.call_pinned(call, &pinned, limit).await
    }

    async fn call_pinned(
        &self,
        call: &Call,
        pinned: &Certificate,
        limit: usize,
    ) -> Result<Answer, HostErrorCause> {
        // It may have been started again with another one: this one is known only as long as it can be connected to, also when
        // nobody waits for that any more.
        let https_port = self.known().https_port.take();
        let port = match https_port {
            Some(port) => port,
            None => Box::pin(self.clear_server_info()).await?.https_port,
        };
        let config = http::client_config(&self.inner.identity, pinned).map_err(|_| HostErrorCause::Tls)?;
        let stream = self.connect(port).await?;
        self.known().https_port = Some(port);
        Ok(Box::pin(http::call_tls(stream, &self.authority(), config, self.request(call, limit))).await?)
    }

    async fn connect(&self, port: u16) -> Result<tokio::net::TcpStream, CallError> {
        let local = self.inner.local_address;
        let mut addresses = http::resolve(&self.inner.address, local).await?;
        // What answered before is tried first.
        if let Some(ip) = self.known().ip
            && let Some(index) = addresses.iter().position(|&address| address == ip)
        {
            addresses.swap(0, index);
        }
        let (stream, ip) = http::connect(&addresses, port, local, self.inner.timeout).await?;
        self.known().ip = Some(ip);
        Ok(stream)
    }

    fn request(&self, call: &Call, limit: usize) -> Ask {
        Ask::get(call.target(self.inner.identity.unique_id(), Uuid::new_v4()), limit)
    }

    /// For the header `Host`; no host looks at it here.
    fn authority(&self) -> String {
        let name = self.inner.address.name();
        if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
    }
}

/// A call that is under way, for what is said of it when it fails.
struct Asking<'a> {
    host: &'a HostAddress,
    call: HostCall,
    began: Instant,
    limit: Duration,
}

impl Asking<'_> {
    fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn error(&self, cause: HostErrorCause) -> HostError {
        let elapsed = task::now().saturating_duration_since(self.began);
        HostError { host: self.host.clone(), call: self.call, elapsed, cause }
    }

    async fn by<T>(&self, call: impl Future<Output = Result<T, HostErrorCause>>) -> Result<T, HostError> {
        match timeout(self.limit, call).await {
            Ok(result) => result.map_err(|cause| self.error(cause)),
            Err(_) => Err(self.error(HostErrorCause::Timeout)),
        }
    }

    async fn patiently<T>(
        &self,
        call: impl Future<Output = Result<T, HostErrorCause>>,
    ) -> Result<T, HostError> {
        call.await.map_err(|cause| self.error(cause))
    }
}

/// A pairing that is under way. A host that is left in the middle of it is told so, since it would refuse the next one
/// (session 8.8).
struct Pairing {
    client: Client,
    host: Host,
    /// Held until the host was told, which would end the next pairing instead.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Pairing {
    async fn run(&mut self) -> Result<Certificate, HostError> {
        let mut stage = 0;
        while let Some(request) = self.client.request() {
            stage += 1;
            let asking = self.host.ask(HostCall::Pair { stage });
            let pinned = self.client.host_certificate().cloned();
            let call = self.host.pair_stage(request, pinned);
            let answer = if stage == 1 { asking.patiently(call).await } else { asking.by(call).await }?;
            self.client.handle(&answer).map_err(|failure| asking.error(failure.into()))?;
        }
        let certificate = self.client.paired().cloned();
        Ok(certificate.expect("a client with nothing more to ask and no failure has paired"))
    }

    /// Tells the host that nothing more comes, if it waits for something.
    async fn clean_up(&mut self) {
        self.client.abort();
        if let Some(request) = self.client.cleanup() {
            // Whatever the answer is.
            let _ = timeout(CLEANUP, self.host.pair_stage(request, None)).await;
            self.client.cleaned_up();
        }
    }
}

impl Drop for Pairing {
    fn drop(&mut self) {
        self.client.abort();
        let Some(request) = self.client.cleanup() else { return };
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (host, turn) = (self.host.clone(), self.turn.take());
        // It ends by itself, after CLEANUP at the latest: there is nobody left to own it.
        task::spawn_cancelled_by_owner(async move {
            let _ = timeout(CLEANUP, host.pair_stage(request, None)).await;
            drop(turn);
        });
    }
}

fn codecs(modes: CodecModes) -> Vec<VideoCodec> {
    let known = [
        (CodecModes::H264, VideoCodec::H264),
        (CodecModes::HEVC, VideoCodec::Hevc),
        (CodecModes::AV1, VideoCodec::Av1),
    ];
    known.into_iter().filter(|&(mode, _)| modes.contains(mode)).map(|(_, codec)| codec).collect()
}

/// Session 20.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(120);
/// So that the end of a call is a time that the clock can tell.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const CLEANUP: Duration = Duration::from_secs(5);

/// What hosts send are a few KiB.
const MAX_DOCUMENT: usize = 64 * 1024;
/// Two thousand apps; more is not parsed.
const MAX_APPS: usize = 256 * 1024;
const MAX_IMAGE: usize = 8 * 1024 * 1024;
