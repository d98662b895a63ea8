//! Who tells a host the PIN: a person, or this program by the host's own interface.
//!
//! Source: protocol document, session 8.5 and 8.6.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use super::error::HostErrorCause;
use super::{Host, HostCall, HostError};
use crate::gamestream::http::{self, Ask};
use crate::gamestream::pairing::Pin;
use crate::task;

/// How a host gets to know the PIN of a client that pairs. `Debug` shows no password.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum PairingMethod {
    /// A person enters it there.
    #[default]
    Pin,
    /// Sunshine's web interface takes it, on the port behind the host's own.
    Sunshine {
        /// The account's name.
        user: String,
        /// Its password: a secret.
        password: String,
    },
    /// Wolf's socket takes it: a file on this machine.
    Wolf {
        /// Where it is (`WOLF_SOCKET_PATH` there).
        socket: PathBuf,
    },
    /// Something of your own enters it.
    Other(Arc<dyn PinEntry>),
}

/// Enters PINs at a host.
#[async_trait]
pub trait PinEntry: Send + Sync + 'static {
    /// Called while the host is asked to pair: it may not wait for the PIN yet. The pairing is waited for elsewhere: enter the
    /// PIN as soon as the host takes it, and return. Dropped when that takes longer than a call may
    /// ([`HostConfig::timeout`](super::HostConfig::timeout)).
    ///
    /// # Errors
    /// Ends the pairing.
    async fn enter_pin(&self, pin: &Pin) -> Result<(), HostErrorCause>;
}

impl fmt::Debug for PairingMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin => f.write_str("Pin"),
            Self::Sunshine { user, .. } => {
                f.debug_struct("Sunshine").field("user", user).finish_non_exhaustive()
            }
            Self::Wolf { socket } => f.debug_struct("Wolf").field("socket", socket).finish(),
            Self::Other(_) => f.write_str("Other(…)"),
        }
    }
}

impl PairingMethod {
    /// Whether nobody is needed.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        !matches!(self, Self::Pin)
    }
}

impl Host {
    /// Pairs with nobody's help: draws a PIN and enters it itself, as `method` says. Cancel safe, as [`Self::pair`].
    ///
    /// Before a host was paired with, its web interface is taken at its word: whoever can answer in its place sees the
    /// password. On networks that you do not trust pair with a PIN.
    ///
    /// # Errors
    /// See [`HostErrorCause`]. [`HostErrorCause::PairingBusy`] when a person helps with another pairing here for longer than a
    /// call may take. [`PairingMethod::Pin`] is nobody's word: [`HostErrorCause::NotPaired`].
    pub async fn pair_by(&self, method: &PairingMethod) -> Result<super::Certificate, HostError> {
        if !method.is_automatic() {
            return Err(self.ask(HostCall::EnterPin).error(HostErrorCause::NotPaired));
        }
        // Before the PIN is entered: it would go to whoever is pairing.
        let asking = self.ask(HostCall::EnterPin);
        let turn = tokio::time::timeout(asking.limit, self.turn_to_pair()).await;
        let turn = turn.map_err(|_| asking.error(HostErrorCause::PairingBusy))?;
        let asking = self.ask(HostCall::EnterPin);
        let pin = Pin::random().map_err(|_| asking.error(HostErrorCause::NoRandomness))?;
        let mut pairing = Box::pin(self.pair_in_turn(&pin, turn));
        let mut entering = Box::pin(asking.by(self.enter(method, &pin, asking.began + asking.limit)));
        tokio::select! {
            paired = &mut pairing => return paired,
            entered = &mut entering => entered?,
        }
        // The host has the PIN: the rest is not for people to wait for.
        let asking = self.ask(HostCall::Pair { stage: 1 });
        match tokio::time::timeout(asking.limit, pairing).await {
            Ok(paired) => paired,
            Err(_) => Err(asking.error(HostErrorCause::Timeout)),
        }
    }

    /// Tries until `deadline`, as long as nobody waits for a PIN there.
    pub(super) async fn enter(
        &self,
        method: &PairingMethod,
        pin: &Pin,
        deadline: Instant,
    ) -> Result<(), HostErrorCause> {
        loop {
            let taken = match method {
                PairingMethod::Pin => false,
                PairingMethod::Sunshine { user, password } => {
                    self.enter_at_sunshine(user, password, pin).await?
                }
                PairingMethod::Wolf { socket } => enter_at_wolf(socket, pin).await?,
                PairingMethod::Other(entry) => return entry.enter_pin(pin).await,
            };
            if taken {
                return Ok(());
            }
            // Our own first request is still on its way (session 8.5).
            let again = task::now() + AGAIN;
            if again >= deadline {
                return Err(HostErrorCause::NobodyPairs);
            }
            task::at(Some(again)).await;
        }
    }

    /// False when nobody waits for a PIN there.
    async fn enter_at_sunshine(&self, user: &str, password: &str, pin: &Pin) -> Result<bool, HostErrorCause> {
        let mut authorization =
            HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
                .expect("base64 is text that headers take");
        authorization.set_sensitive(true);
        let body = json!({ "pin": pin.digits(), "name": self.inner.identity.unique_id().to_string() });
        let ask = Ask {
            method: Method::POST,
            target: "/api/pin".to_owned(),
            body: Some(("application/json", body.to_string().into_bytes())),
            authorization: Some(authorization),
            limit: MAX_JSON,
        };
        let pinned = self.known().certificate.clone();
        let config = http::web_config(pinned.as_ref()).map_err(|_| HostErrorCause::Tls)?;
        let port = self.inner.address.port().checked_add(1).ok_or(HostErrorCause::Refused)?;
        let stream = self.connect(port).await?;
        let answer = http::call_tls(stream, &self.authority(), config, ask).await?;
        if answer.status != 200 {
            return Err(HostErrorCause::Interface { status: answer.status });
        }
        #[derive(Deserialize)]
        struct Taken {
            status: bool,
        }
        serde_json::from_slice::<Taken>(&answer.body)
            .map(|taken| taken.status)
            .map_err(|_| HostErrorCause::no_json())
    }
}

/// False when nobody waits for a PIN there.
#[cfg(unix)]
async fn enter_at_wolf(socket: &std::path::Path, pin: &Pin) -> Result<bool, HostErrorCause> {
    #[derive(Deserialize)]
    struct Pending {
        requests: Vec<Waiting>,
    }
    #[derive(Deserialize)]
    struct Waiting {
        pair_secret: String,
    }
    let answer = call_wolf(socket, Method::GET, "/api/v1/pair/pending", None).await?;
    let pending: Pending = serde_json::from_slice(&answer.body).map_err(|_| HostErrorCause::no_json())?;
    // The last is the newest. Who else waits is told apart by its address at most, which may be ours too.
    let Some(Waiting { pair_secret }) = pending.requests.last() else { return Ok(false) };
    let body = json!({ "pair_secret": pair_secret, "pin": pin.digits() }).to_string();
    call_wolf(socket, Method::POST, "/api/v1/pair/client", Some(body)).await?;
    Ok(true)
}

#[cfg(unix)]
async fn call_wolf(
    socket: &std::path::Path,
    method: Method,
    target: &str,
    body: Option<String>,
) -> Result<http::Answer, HostErrorCause> {
    let stream = tokio::net::UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| HostErrorCause::Unreachable(error.kind()))?;
    let body = body.map(|body| ("application/json", body.into_bytes()));
    let ask = Ask { method, target: target.to_owned(), body, authorization: None, limit: MAX_JSON };
    let answer = http::call(stream, "localhost", ask).await?;
    if answer.status == 200 { Ok(answer) } else { Err(HostErrorCause::Interface { status: answer.status }) }
}

/// There are no such sockets here.
#[cfg(not(unix))]
async fn enter_at_wolf(_socket: &std::path::Path, _pin: &Pin) -> Result<bool, HostErrorCause> {
    Err(HostErrorCause::Unreachable(std::io::ErrorKind::Unsupported))
}

const AGAIN: Duration = Duration::from_millis(250);
const MAX_JSON: usize = 64 * 1024;
