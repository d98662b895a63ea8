//! Viewers over WebRTC. The only module that names the WebRTC crate.

#[cfg(feature = "bench-support")]
pub(crate) mod bench_support {
    use std::sync::atomic::Ordering::Relaxed;

    use super::WebRtc;
    pub use super::direct::bench_support::*;

    /// Hides the SRTP keys of the next so many connections that look for one, as another version of the WebRTC crate might.
    pub fn hide_keys(rtc: &WebRtc, connections: usize) {
        rtc.shared.hidden_keys.store(connections, Relaxed);
    }
}
mod calm;
mod candidates;
mod channels;
mod delivery;
mod direct;
mod dtls;
mod endpoint;
mod feedback;
mod framing;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod heard;
mod interfaces;
mod late_responder;
mod negotiate;
mod packetiser;
mod paths;
mod peer;
mod resend;
mod runtime;
mod serving;
mod shards;
mod standard;
mod stun;
mod tracks;
mod turn;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use rtc::peer_connection::certificate::RTCCertificate;

use self::candidates::Reach;
use self::direct::Histories;
use self::endpoint::Endpoint;
pub(crate) use self::peer::Offerer;
use self::peer::WebRtcPeer;
use self::shards::Shards;
use crate::egress::Egress;
use crate::peer::PeerId;
use crate::signalling::{IceServer, Signalling};
use crate::task;

pub use turn::TurnSecret;

/// How browsers reach this process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebRtcConfig {
    /// The UDP address that all viewers share. Default `0.0.0.0:0`: every interface but loopback, a free port. An address
    /// of one interface (`127.0.0.1:0` for this machine alone) is used as it is.
    pub bind: SocketAddr,
    /// A TCP address that all viewers share, for those whose networks let no UDP through (ICE-TCP); port 0 for a free one.
    /// Of the family of `bind`. Default: none, since a TCP port is of use only where somebody has opened it on the way here,
    /// and where nobody has, it is one more that strangers may knock at.
    pub tcp: Option<SocketAddr>,
    /// Addresses by which browsers reach this machine and that none of its interfaces has: those of a router or of a
    /// container's host, which pass the ports of `bind` and `tcp` on, under the same numbers. Browsers are told of them
    /// beside the interfaces' addresses. Default: none.
    pub public_addresses: Vec<IpAddr>,
    /// STUN and TURN servers that browsers are told to use. Default: none.
    pub ice_servers: Vec<IceServer>,
    /// TURN servers for which each viewer gets credentials of its own, behind `ice_servers`. Default: none.
    pub turn_secrets: Vec<TurnSecret>,
    /// Whether viewers may take the [direct path](crate::MediaPath::Direct), which costs a fraction of the standard one.
    /// Default: they may, and each that cannot takes the standard one.
    pub direct: bool,
    /// How many tasks there are at most that send to the viewers on the direct path, among whom these are divided. Default:
    /// `None`, as many as there are processors.
    pub shards: Option<NonZeroUsize>,
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            tcp: None,
            public_addresses: Vec::new(),
            ice_servers: Vec::new(),
            turn_secrets: Vec::new(),
            direct: true,
            shards: None,
        }
    }
}

/// The WebRTC side of a process: one UDP port, a TCP port if it is wanted, and one certificate for all viewers. Clones are
/// handles to the same.
#[derive(Clone)]
pub struct WebRtc {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    reach: Arc<Reach>,
    certificate: RTCCertificate,
    ice_servers: Vec<IceServer>,
    turn_secrets: Vec<TurnSecret>,
    direct: bool,
    histories: Arc<Histories>,
    shards: Shards,
    /// For the tests of what happens then.
    #[cfg(feature = "bench-support")]
    hidden_keys: std::sync::atomic::AtomicUsize,
}

impl Shared {
    /// Whether the key of the next connection is not to be found.
    #[cfg(feature = "bench-support")]
    fn hides_key(&self) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        self.hidden_keys.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    #[cfg(not(feature = "bench-support"))]
    fn hides_key(&self) -> bool {
        false
    }

    /// The STUN and TURN servers for a viewer that joins now.
    fn ice_servers(&self, viewer: PeerId) -> Vec<IceServer> {
        let (now, name) = (task::wall_clock(), viewer.to_string());
        let own = self.turn_secrets.iter().map(|turn| turn.server(now, &name));
        self.ice_servers.iter().cloned().chain(own).collect()
    }
}

impl WebRtc {
    /// Opens the ports and makes a certificate.
    ///
    /// # Errors
    /// See [`BindError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(config: WebRtcConfig) -> Result<Self, BindError> {
        let WebRtcConfig { bind, tcp, public_addresses, ice_servers, turn_secrets, direct, shards } = config;
        if let Some(&address) = public_addresses.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(BindError::PublicAddress { address });
        }
        let mut endpoint =
            Endpoint::bind(bind).map_err(|source| BindError::Socket { address: bind, source })?;
        let listen = |address| endpoint.listen(address).map_err(|source| BindError::Tcp { address, source });
        let tcp = tcp.map(listen).transpose()?;
        let reach = Reach { udp_port: endpoint.local_addr().port(), tcp, public: public_addresses };
        let certificate = negotiate::certificate()?;
        let reach = Arc::new(reach);
        let histories = Arc::default();
        let shards = shards.or(std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        let shards = Shards::new(shards);
        let shared = Shared {
            endpoint,
            reach,
            certificate,
            ice_servers,
            turn_secrets,
            direct,
            histories,
            shards,
            #[cfg(feature = "bench-support")]
            hidden_keys: Default::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The UDP address that viewers share.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.endpoint.local_addr()
    }

    /// The TCP address that viewers share, if there is one.
    #[must_use]
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.shared.reach.tcp
    }

    /// The addresses of this machine that a viewer would be told now, without the public ones: of each interface when the
    /// UDP port is bound to a wildcard. A program can tell from them whether it will be reached.
    ///
    /// # Errors
    /// When the system does not say which interfaces there are.
    pub fn host_addresses(&self) -> io::Result<Vec<IpAddr>> {
        interfaces::addresses(self.local_addr().ip())
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
        f.debug_struct("WebRtc")
            .field("endpoint", &self.shared.endpoint)
            .field("reach", &self.shared.reach)
            .finish_non_exhaustive()
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
    /// The TCP port could not be opened.
    #[error("TCP address {address} cannot be opened{}", hint(source))]
    Tcp {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No browser can connect to such an address.
    #[error("{address} is no public address: it names no single machine")]
    PublicAddress {
        /// The address.
        address: IpAddr,
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
