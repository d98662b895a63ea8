//! Viewers over WebRTC. The only module that names the WebRTC crate.

mod channels;
mod endpoint;
mod feedback;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod heard;
mod negotiate;
mod packetiser;
mod peer;
mod runtime;
mod standard;
mod stun;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rtc::peer_connection::certificate::RTCCertificate;

use self::endpoint::Endpoint;
use self::peer::{Offerer, WebRtcPeer};
use crate::egress::Egress;
use crate::signalling::{IceServer, Signalling};

/// How browsers reach this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebRtcConfig {
    /// The UDP address that all viewers share. Default `0.0.0.0:0`: every interface but loopback, a free port. An address
    /// of one interface (`127.0.0.1:0` for this machine alone) is used as it is.
    pub bind: SocketAddr,
    /// STUN and TURN servers that browsers are told to use. Default: none.
    pub ice_servers: Vec<IceServer>,
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        Self { bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), ice_servers: Vec::new() }
    }
}

/// The WebRTC side of a process: one UDP port and one certificate for all viewers. Clones are handles to the same.
#[derive(Clone)]
pub struct WebRtc {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    certificate: RTCCertificate,
    ice_servers: Vec<IceServer>,
}

impl WebRtc {
    /// Opens the UDP port and makes a certificate.
    ///
    /// # Errors
    /// See [`BindError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(config: WebRtcConfig) -> Result<Self, BindError> {
        let WebRtcConfig { bind, ice_servers } = config;
        let endpoint = Endpoint::bind(bind).map_err(|source| BindError::Socket { address: bind, source })?;
        let certificate = negotiate::certificate()?;
        Ok(Self { shared: Arc::new(Shared { endpoint, certificate, ice_servers }) })
    }

    /// The UDP address that viewers share.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.endpoint.local_addr()
    }

    /// The way out to one viewer, who is reached through `signalling` and makes the offer: the fastest way, and the one that
    /// our own page goes.
    pub fn peer<S: Signalling>(&self, signalling: S) -> impl Egress + use<S> {
        WebRtcPeer::new(self.shared.clone(), signalling, Offerer::Viewer)
    }

    /// The way out to one viewer, who is reached through `signalling` and waits for our offer: it comes as soon as the
    /// stream's format is known. Such a viewer opens data channels of its own, which are read and not yet understood.
    pub fn offering_peer<S: Signalling>(&self, signalling: S) -> impl Egress + use<S> {
        WebRtcPeer::new(self.shared.clone(), signalling, Offerer::Server)
    }
}

impl fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtc").field("endpoint", &self.shared.endpoint).finish_non_exhaustive()
    }
}

/// Why [`WebRtc::bind`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The UDP port could not be opened.
    #[error("UDP address {address} cannot be opened{}", hint(source))]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("no DTLS certificate could be made")]
    Certificate {
        /// What the WebRTC crate says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ": another program uses this port; choose another one, or 0 for a free one"
        }
        io::ErrorKind::AddrNotAvailable => ": this machine has no such address",
        io::ErrorKind::PermissionDenied => ": ports below 1024 need more rights",
        _ => "",
    }
}
