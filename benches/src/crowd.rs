//! Many viewers at little cost, to load a server with.
//!
//! Each is str0m for signalling, ICE, DTLS and RTCP. Its media never get there: RTP is read as the kernel coalesced it
//! (`UDP_GRO`), opened with the session's own key, counted, and dropped. A browser does all that and more; what this
//! leaves out are retransmissions and keyframes that nobody asks for, and the loss that a receiver report would tell of.
//!
//! ```text
//! socket ─ datagrams ─┬─ RTP ──▶ Receiver: opens, counts, times   (pure)
//!                     └─ else ─▶ str0m ◀─ key of the first packet
//! ```
//!
//! Times are the kernel's, taken as a datagram reached the socket, and so say nothing of how busy this process is.

mod keys;
mod member;
mod receiver;
pub(crate) mod srtp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::task;
use crate::viewer::{ConnectError, Transport, WebSocket};
use member::Member;

pub use receiver::{Counts, FrameTimes};

/// Viewers that count. Dropping it ends them at once.
#[derive(Debug)]
pub struct Crowd {
    members: Vec<Member>,
}

/// How a [`Crowd`] receives.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CrowdConfig {
    /// Whether the kernel hands on datagrams of one burst in one piece, as it does for a card that splits them itself.
    /// Default true.
    pub gro: bool,
    /// Of so many packets of a frame one is opened, beside the first. Default 1: each.
    pub open_every: u64,
    /// The address of their sockets. Default 127.0.0.1.
    pub bind: IpAddr,
}

impl Default for CrowdConfig {
    fn default() -> Self {
        Self { gro: true, open_every: 1, bind: Ipv4Addr::LOCALHOST.into() }
    }
}

/// Why there is no crowd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No socket.
    #[error("cannot open a socket")]
    Socket(#[from] io::Error),
    /// The server lets no more in.
    #[error("cannot connect to the server")]
    Connect(#[from] ConnectError),
    /// The connection failed.
    #[error("a viewer could not join: {0}")]
    Failed(String),
}

/// The session key and the salt of [`Crowd::of_plain_sockets`].
pub(crate) const PLAIN_KEY: ([u8; 16], [u8; 12]) = ([0x5a; 16], [0xa5; 12]);

impl Crowd {
    /// Sockets on loopback that take SRTP under one fixed key, for senders without WebRTC; and their addresses.
    ///
    /// # Errors
    /// When there are not so many sockets to be had.
    pub fn of_plain_sockets(count: usize, config: CrowdConfig) -> io::Result<(Self, Vec<SocketAddr>)> {
        let mut members = Vec::with_capacity(count);
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let (member, address) = Member::plain(config)?;
            members.push(member);
            addresses.push(address);
        }
        Ok((Self { members }, addresses))
    }

    /// Joins `count` viewers at the peer WebSocket `url`, a few at a time, and returns when all are connected (ICE and
    /// DTLS), with how long each took.
    ///
    /// # Errors
    /// When one cannot join; the others are dropped then.
    pub async fn join(
        url: &Uri,
        count: usize,
        config: CrowdConfig,
    ) -> Result<(Self, Vec<Duration>), JoinError> {
        Self::join_over(async || WebSocket::connect(url, None).await, count, config).await
    }

    /// As [`join`](Self::join), over whatever transport `connect` gives; the server may be the one that offers.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_over<T: Transport>(
        connect: impl AsyncFn() -> Result<T, ConnectError>,
        count: usize,
        config: CrowdConfig,
    ) -> Result<(Self, Vec<Duration>), JoinError> {
        let joins = stream::iter(0..count).map(async |_| {
            let start = task::now();
            let member = Member::join(connect().await?, config).await?;
            Ok::<_, JoinError>((member, task::now() - start))
        });
        let joined: Vec<_> = joins.buffer_unordered(AT_ONCE).try_collect().await?;
        let (members, times) = joined.into_iter().unzip();
        Ok((Self { members }, times))
    }

    /// What each viewer has counted since the last call, or since it joined.
    #[must_use]
    pub fn take(&self) -> Vec<Counts> {
        self.members.iter().map(Member::take).collect()
    }

    /// How many of them are still connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.members.iter().filter(|member| member.is_connected()).count()
    }

    /// How many of them are sent to under AEAD_AES_128_GCM, by the first packet that each opened.
    #[must_use]
    pub fn with_aes_128_gcm(&self) -> usize {
        self.members.iter().filter(|member| member.has_aes_128_gcm()).count()
    }

    /// Leaves in order (DTLS `close_notify`, WebSocket close).
    pub async fn leave(self) {
        stream::iter(self.members).for_each_concurrent(AT_ONCE, Member::leave).await;
    }
}

/// A handshake is some milliseconds of work at both ends: more at once would only time out together.
const AT_ONCE: usize = 8;
