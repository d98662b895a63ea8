//! A viewer for tests and load: joins a stream as a browser does, checks every frame, counts what goes wrong.
//!
//! It stands on str0m, another WebRTC stack than the product's, so that no bug is on both ends. One viewer is one
//! task and one socket, UDP or TCP; a process can hold hundreds.
//!
//! ```text
//! Transport ─ offer, answer, candidates ─▶ driver ◀─ RTP ─ link: its socket
//!                                            │
//!             reassembly ─▶ depacketize ─▶ FrameCheck        (pure)
//!                                            │
//!                              Stats, and those Events that are kept
//! ```
//!
//! It offers `recvonly` video (H.264, AV1) and Opus with NACK, RTX and playout delay, and is the DTLS client when the
//! server answers so; or it answers the server's offer, as existing pages do.

mod access_unit;
mod check;
mod depacketize;
mod driver;
mod hand;
mod link;
mod message;
mod reassembly;
mod transport;
mod video;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::task::{self, Task};

pub use access_unit::{AccessUnit, Codec, NotAFrame};
pub use check::{FrameCheck, Verdict};
pub use hand::{Hand, Place};
pub use message::{Candidate, Message};
pub use transport::{
    Channel, Closed, ConnectError, ServerEnd, ServerSink, ServerStream, Transport, WebSocket, channel,
};
pub use video::{Frame, VideoStats};

use driver::{Driver, Orders};

/// A viewer of one stream. Dropping it stops it at once, as [`vanish`](Self::vanish) does.
#[derive(Debug)]
pub struct Viewer {
    orders: watch::Sender<Orders>,
    outgoing: mpsc::Sender<Data>,
    stats: watch::Receiver<Stats>,
    closed: watch::Receiver<Option<CloseReason>>,
    events: Option<mpsc::Receiver<Event>>,
    task: Task<()>,
}

impl Viewer {
    /// Joins over `transport`: returns when the viewer runs, before it is connected, which
    /// [`joined`](Self::joined) tells. Its times count from this call.
    ///
    /// # Errors
    /// [`ViewerError::Socket`] when there is no socket to be had.
    pub async fn join(transport: impl Transport, config: ViewerConfig) -> Result<Self, ViewerError> {
        Self::join_since(task::now(), transport, config).await
    }

    /// Connects to the peer WebSocket at `url` and joins over it. Its times count from this call.
    ///
    /// # Errors
    /// [`ViewerError::Connect`] when the server does not let it in, and as [`join`](Self::join).
    pub async fn connect(url: &Uri, token: Option<&str>, config: ViewerConfig) -> Result<Self, ViewerError> {
        let start = task::now();
        let transport = match config.offerer {
            Offerer::Viewer => WebSocket::connect(url, token).await?,
            Offerer::Server => WebSocket::connect_without_subprotocol(url).await?,
        };
        Self::join_since(start, transport, config).await
    }

    #[expect(clippy::unused_async, reason = "a socket needs the runtime, and a caller that is async has one")]
    async fn join_since(
        start: Instant,
        transport: impl Transport,
        config: ViewerConfig,
    ) -> Result<Self, ViewerError> {
        let (orders, orders_rx) = watch::channel(Orders::default());
        let (outgoing, outgoing_rx) = mpsc::channel(OUTGOING);
        let (stats_tx, stats) = watch::channel(Stats::default());
        let (closed_tx, closed) = watch::channel(None);
        let (events_tx, events) = match config.keep {
            Keep::Nothing => (None, None),
            _ => {
                let (tx, rx) = mpsc::channel(config.event_capacity.max(1));
                (Some(tx), Some(rx))
            }
        };
        let driver =
            Box::new(Driver::new(start, transport, config, orders_rx, outgoing_rx, stats_tx, events_tx)?);
        let task = task::spawn(async move {
            let reason = driver.run().await;
            closed_tx.send_replace(Some(reason));
        });
        Ok(Self { orders, outgoing, stats, closed, events, task })
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// Waits until the counts are so, and gives them. Cancel safe.
    ///
    /// # Errors
    /// The reason when the viewer ended before.
    pub async fn wait_for(&self, condition: impl FnMut(&Stats) -> bool) -> Result<Stats, CloseReason> {
        let mut stats = self.stats.clone();
        let reached = stats.wait_for(condition).await.map(|stats| *stats);
        match reached {
            Ok(stats) => Ok(stats),
            Err(_) => Err(self.closed().await),
        }
    }

    /// Waits until the viewer is connected (ICE and DTLS). Cancel safe.
    ///
    /// # Errors
    /// The reason when it never was.
    pub async fn joined(&self) -> Result<Stats, CloseReason> {
        self.wait_for(|stats| stats.joined_after.is_some()).await
    }

    /// Waits until the viewer has ended, and says why. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.closed.clone();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Internal),
            Err(_) => CloseReason::Internal,
        }
    }

    /// The next event of those that [`ViewerConfig::keep`] names; the last one is always [`Event::Closed`], then
    /// `None`. Cancel safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        let events = self.events.as_mut()?;
        if let Some(event) = events.recv().await {
            return Some(event);
        }
        let reason = self.closed().await;
        self.events = None;
        Some(Event::Closed(reason))
    }

    /// The next message on `events`; other events are left out. Cancel safe.
    ///
    /// # Errors
    /// The reason when the viewer ended before.
    pub async fn next_told(&mut self) -> Result<serde_json::Value, CloseReason> {
        while let Some(event) = self.next_event().await {
            match event {
                Event::Data(message) if message.channel == "events" => {
                    if let Ok(told) = serde_json::from_slice(&message.data) {
                        return Ok(told);
                    }
                }
                Event::Closed(reason) => return Err(reason),
                _ => {}
            }
        }
        Err(self.closed().await)
    }

    /// Asks the server for a keyframe (PLI). Several wishes at once are one.
    pub fn request_keyframe(&self) {
        self.orders.send_modify(|orders| orders.keyframes += 1);
    }

    /// Sends a binary message on the data channel of this label, once the channel is open and takes it. Waits while
    /// [`OUTGOING`] messages wait for that. Cancel safe.
    ///
    /// # Errors
    /// The reason when the viewer ended before.
    pub async fn send(&self, channel: &str, data: Bytes) -> Result<(), CloseReason> {
        let data = Data { channel: channel.to_owned(), data };
        match self.outgoing.send(data).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.closed().await),
        }
    }

    /// Stops reading and answering, as a process does that was sent SIGSTOP: its sockets stay open and fill up.
    /// Returns when it has stopped. A dropped call stops it as well.
    ///
    /// # Errors
    /// The reason when the viewer ended before.
    pub async fn pause(&self) -> Result<(), CloseReason> {
        self.orders.send_modify(|orders| orders.paused = true);
        self.wait_for(|stats| stats.paused).await.map(drop)
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.orders.send_modify(|orders| orders.paused = false);
    }

    /// Leaves in order (RTCP BYE, DTLS `close_notify`, the transport's close) and gives the last counts.
    ///
    /// A dropped call stops the viewer at once.
    pub async fn close(mut self) -> Stats {
        self.orders.send_modify(|orders| orders.leaving = true);
        // A panic of the task has been reported by the runtime; the counts are still good.
        let _ = (&mut self.task).await;
        self.stats()
    }

    /// Stops without a word: its sockets are closed when this returns, and nothing was sent through them.
    pub async fn vanish(mut self) -> Stats {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.stats()
    }
}

/// How a viewer joins and what it keeps.
#[derive(Clone, Debug)]
pub struct ViewerConfig {
    /// The address of its socket, which is also its only ICE candidate. Default 127.0.0.1.
    pub bind: IpAddr,
    /// What its socket is. Default: UDP.
    pub path: Path,
    /// The video codecs that it offers, best first. Default: H.264 alone.
    pub codecs: Vec<Codec>,
    /// Where its candidate goes. Default: into the offer.
    pub trickle: Trickle,
    /// Who makes the offer. Default: the viewer.
    pub offerer: Offerer,
    /// The data channels that it opens. Default: none.
    pub channels: Channels,
    /// Which events it keeps. Default: none. Keeping video costs a copy of each frame.
    pub keep: Keep,
    /// How many events wait for a reader; when they are that many, new ones are dropped and counted
    /// ([`Stats::events_dropped`]). Default 256: four seconds of video at 60 frames per second.
    pub event_capacity: usize,
    /// The frames to compare arriving ones with. Default: none. Costs a copy and a hash of each frame.
    pub check: Option<Arc<FrameCheck>>,
    /// Where to note how long frames were under way. Default: nowhere.
    pub latencies: Option<Latencies>,
    /// How long a missing packet is waited for, while str0m asks for it. Default 250 ms: str0m's first NACK goes out
    /// within 33 ms, and is repeated after 105 ms while the round trip is unknown.
    pub patience: Duration,
    /// How often a stuck viewer repeats its wish for a keyframe; `None`: it makes none by itself. Default 1 s.
    pub keyframe_interval: Option<Duration>,
    /// Drops every n-th RTP packet that arrives, retransmissions too: the same ones in each run. Default: none.
    pub drop_every: Option<NonZeroU32>,
    /// It gives up when it is not connected by then. Default 10 s.
    pub join_timeout: Duration,
    /// It gives up when ICE has been disconnected for so long. Default 10 s.
    pub disconnect_timeout: Duration,
    /// The size of the socket's receive buffer in bytes; the system may cap it. Default 1 MiB, a large keyframe.
    pub receive_buffer: usize,
}

impl Default for ViewerConfig {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::LOCALHOST.into(),
            path: Path::Udp,
            codecs: vec![Codec::H264],
            trickle: Trickle::InOffer,
            offerer: Offerer::Viewer,
            channels: Channels::Nothing,
            keep: Keep::Nothing,
            event_capacity: 256,
            check: None,
            latencies: None,
            patience: Duration::from_millis(250),
            keyframe_interval: Some(Duration::from_secs(1)),
            drop_every: None,
            join_timeout: Duration::from_secs(10),
            disconnect_timeout: Duration::from_secs(10),
            receive_buffer: 1 << 20,
        }
    }
}

/// How long frames were under way from a test host whose picture is live ([`moonlight_mux::host_clock`]) to a viewer of the same
/// machine that had them whole. Clones are handles to one list; viewers can share it.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Arc<Mutex<Vec<Duration>>>);

/// Of a [`Latencies`]; 20 viewers' of ten minutes. Full: no more are noted.
const MOST_LATENCIES: usize = 720_000;

impl Latencies {
    /// Those since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().expect("no holder of this lock panics"))
    }

    fn note(&self, latency: Duration) {
        let mut latencies = self.0.lock().expect("no holder of this lock panics");
        if latencies.len() < MOST_LATENCIES {
            latencies.push(latency);
        }
    }
}

/// Who makes the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offerer {
    /// The viewer.
    Viewer,
    /// The server: the viewer names no subprotocol, waits, and answers.
    Server,
}

/// Data channels that a viewer opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    Nothing,
    /// `input`, `motion` and `events`, by their numbers.
    Negotiated,
    /// So many, by DCEP, labelled `0`, `1`, `2` and so on.
    InBand(u16),
    /// These, by DCEP, as existing pages do.
    Labelled(&'static [Labelled]),
}

/// A data channel that is opened by DCEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// Its label.
    pub label: &'static str,
    /// Whether messages come in the order in which they were sent.
    pub ordered: bool,
    /// How often a lost message is sent again; `None`: until it arrives.
    pub max_retransmits: Option<u16>,
}

/// The way that a viewer's datagrams take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A UDP socket.
    Udp,
    /// ICE-TCP: one connection to the first TCP candidate of the server's answer.
    Tcp,
}

/// How a viewer tells its ICE candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trickle {
    /// In the offer or answer.
    InOffer,
    /// In a message of its own, behind the offer, as browsers do.
    Trickled,
}

/// Which events a viewer keeps for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None; [`Viewer::next_event`] gives nothing.
    Nothing,
    /// All but video and audio.
    Lifecycle,
    /// All but audio.
    Video,
    /// All.
    Everything,
}

/// What happens to a viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It is connected: ICE and DTLS.
    Joined,
    /// The server sent a message that is not about the connection, as `ConnectionComplete`: its name.
    Notice(String),
    /// A data channel is open: its label.
    Channel(String),
    /// A message on a data channel.
    Data(Data),
    /// A whole frame.
    Video(Frame),
    /// An Opus packet.
    Audio {
        /// Its RTP timestamp, 48 kHz, extended to 64 bits.
        timestamp: u64,
        /// The packet.
        data: Bytes,
    },
    /// It ended.
    Closed(CloseReason),
}

/// A message on a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The channel's label.
    pub channel: String,
    /// What was sent.
    pub data: Bytes,
}

/// What a viewer has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The picture.
    pub video: VideoStats,
    /// The sound.
    pub audio: AudioStats,
    /// From the join until ICE and DTLS were there.
    pub joined_after: Option<Duration>,
    /// From the join until the first keyframe had arrived whole.
    pub first_keyframe_after: Option<Duration>,
    /// From the join until the server closed the peer connection (DTLS `close_notify`).
    pub peer_closed_after: Option<Duration>,
    /// Keyframes asked for (PLI), by itself and by [`Viewer::request_keyframe`].
    pub plis: u64,
    /// RTP packets dropped because [`ViewerConfig::drop_every`] says so.
    pub dropped_on_purpose: u64,
    /// Data channels that are open, whoever opened them.
    pub channels_open: u64,
    /// Messages sent on data channels.
    pub messages_sent: u64,
    /// Messages received on data channels.
    pub messages_received: u64,
    /// Messages that str0m refused to send: longer than the server takes, or on a channel that is closed.
    pub messages_refused: u64,
    /// Events for which there was no room.
    pub events_dropped: u64,
    /// How often the server had it make another connection; the counts of the picture and the sound are the last one's.
    pub connected_anew: u64,
    /// Whether it stands still since [`Viewer::pause`].
    pub paused: bool,
}

/// Counts of an audio stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioStats {
    /// RTP packets that arrived, each once.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Sequence numbers between the first and the highest one that have not arrived.
    pub lost: u64,
}

/// Why a viewer ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was asked to.
    #[error("the viewer left")]
    Left,
    /// The server closed the transport, or lost it.
    #[error(transparent)]
    Signalling(Closed),
    /// The server closed the peer connection (DTLS `close_notify`), and said no more over the transport.
    #[error("the server closed the peer connection")]
    PeerConnection,
    /// There was no connection in time.
    #[error("not connected in time")]
    JoinTimeout,
    /// ICE had been disconnected for too long.
    #[error("the connection was lost")]
    Disconnected,
    /// str0m cannot use what the server said: its answer, or its DTLS.
    #[error("the server's answer or handshake cannot be used")]
    Refused,
    /// A bug in the viewer.
    #[error("internal error of the viewer")]
    Internal,
}

/// Why there is no viewer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewerError {
    /// No socket.
    #[error("cannot open a socket")]
    Socket(#[source] io::Error),
    /// No WebSocket.
    #[error("cannot connect to the server")]
    Connect(#[from] ConnectError),
}

/// Messages that wait for their data channel. Full: [`Viewer::send`] waits.
pub const OUTGOING: usize = 64;

#[cfg(test)]
mod tests;
