//! Receivers in a process of their own, so that what they cost is not the sender's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use super::child::{Child, Do, obey};
use super::figures::Figures;
use super::janus::JanusTransport;
use super::troublemakers::{TroubleReport, Troublemakers};
use crate::crowd::{Counts, Crowd, CrowdConfig, FrameTimes};

/// The argument that makes a program a receiver.
pub(super) const ROLE: &str = "receive";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Open { viewers: usize, config: CrowdConfig },
    Join { url: String, viewers: usize, config: CrowdConfig },
    JoinJanus { url: String, viewers: usize, config: CrowdConfig },
    Take,
    TakeFrames,
    Leave,
    Trouble { url: String, bytes_per_second: u64 },
    EndTrouble,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Opened(Vec<SocketAddr>),
    Joined(Option<Figures>),
    Taken(Received),
    TakenFrames(Received, Vec<FrameTimes>),
    Left,
    Troubled,
    TroubleEnded(TroubleReport),
}

/// What all viewers together have got in a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Viewers that are still connected.
    pub connected: usize,
    /// RTP packets that came.
    pub packets: u64,
    /// Bytes of them: RTP header, sealed payload, tag.
    pub bytes: u64,
    /// RTP packets that were sent, by their sequence numbers.
    pub expected: u64,
    /// The share that did not come, 0 to 1; 1 when there was nothing.
    pub loss: f64,
    /// That of the viewer with the most.
    pub worst_loss: f64,
    /// Viewers under AEAD_AES_128_GCM, without which there is no direct way.
    pub with_aes_128_gcm: usize,
    /// Packets that were opened.
    pub opened: u64,
    /// Packets that were not authentic.
    pub forged: u64,
    /// Frames of which first and last packet came.
    pub frames: usize,
    /// From one frame's last packet to the next one's.
    pub frame_gap_ms: Option<Figures>,
    /// From when the source gave the frame to when its last packet reached the viewer's socket.
    pub latency_ms: Option<Figures>,
}

impl Received {
    /// How long the packets that came were, on average.
    #[must_use]
    pub fn bytes_per_packet(&self) -> f64 {
        self.bytes as f64 / self.packets.max(1) as f64
    }

    fn of(crowd: &Crowd) -> (Self, Vec<FrameTimes>) {
        let connected = crowd.connected();
        let all = crowd.take();
        let worst_loss = all.iter().map(Counts::loss).fold(0.0, f64::max);
        let mut sum = Counts::default();
        for counts in all {
            sum.add(counts);
        }
        let received = Self {
            connected,
            packets: sum.packets,
            bytes: sum.bytes,
            expected: sum.expected,
            loss: sum.loss(),
            worst_loss,
            with_aes_128_gcm: crowd.with_aes_128_gcm(),
            opened: sum.opened,
            forged: sum.forged,
            frames: sum.frames.len(),
            frame_gap_ms: Figures::of(sum.frames.iter().filter_map(|frame| frame.gap)),
            latency_ms: Figures::of(sum.frames.iter().map(|frame| frame.latency)),
        };
        (received, sum.frames)
    }
}

/// The process of the receivers. Dropping it kills it.
#[derive(Debug)]
pub struct Receivers(Child<Order, Answer>);

impl Receivers {
    /// Starts this program again, which has to call [`run_if_told`](super::program::run_if_told) then.
    ///
    /// # Errors
    /// When it cannot be started, or does not call back.
    pub async fn start() -> io::Result<Self> {
        Child::start(ROLE).await.map(Self)
    }

    /// Opens plain sockets, and gives their addresses.
    ///
    /// # Errors
    /// When the receivers cannot, or are gone.
    pub async fn open(&mut self, viewers: usize, config: CrowdConfig) -> io::Result<Vec<SocketAddr>> {
        match self.0.ask(Order::Open { viewers, config }).await? {
            Answer::Opened(addresses) => Ok(addresses),
            other => Err(unexpected(&other)),
        }
    }

    /// Joins viewers at a peer WebSocket; gives how long one took.
    ///
    /// # Errors
    /// When one cannot join, or the receivers are gone.
    pub async fn join(
        &mut self,
        url: &Uri,
        viewers: usize,
        config: CrowdConfig,
    ) -> io::Result<Option<Figures>> {
        match self.0.ask(Order::Join { url: url.to_string(), viewers, config }).await? {
            Answer::Joined(times) => Ok(times),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`join`](Self::join), at a [`Janus`](super::janus::Janus).
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_janus(
        &mut self,
        url: &Uri,
        viewers: usize,
        config: CrowdConfig,
    ) -> io::Result<Option<Figures>> {
        match self.0.ask(Order::JoinJanus { url: url.to_string(), viewers, config }).await? {
            Answer::Joined(times) => Ok(times),
            other => Err(unexpected(&other)),
        }
    }

    /// What they have got since the last call.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn take(&mut self) -> io::Result<Received> {
        match self.0.ask(Order::Take).await? {
            Answer::Taken(received) => Ok(received),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`take`](Self::take), with each frame of each viewer.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn take_frames(&mut self) -> io::Result<(Received, Vec<FrameTimes>)> {
        match self.0.ask(Order::TakeFrames).await? {
            Answer::TakenFrames(received, frames) => Ok((received, frames)),
            other => Err(unexpected(&other)),
        }
    }

    /// All viewers leave.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn leave(&mut self) -> io::Result<()> {
        match self.0.ask(Order::Leave).await? {
            Answer::Left => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Joins those that nobody wants beside them ([`Troublemakers`]), one of them on a line of this rate.
    ///
    /// # Errors
    /// When one cannot join, or the receivers are gone.
    pub async fn trouble(&mut self, url: &Uri, bytes_per_second: u64) -> io::Result<()> {
        match self.0.ask(Order::Trouble { url: url.to_string(), bytes_per_second }).await? {
            Answer::Troubled => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends those away again, and says how they did.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn end_trouble(&mut self) -> io::Result<TroubleReport> {
        match self.0.ask(Order::EndTrouble).await? {
            Answer::TroubleEnded(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("the receivers answered {answer:?}"))
}

/// Makes this process the receivers, until they are not wanted any more.
pub(super) fn run(address: &str) -> io::Result<()> {
    obey(address, Role::default())
}

#[derive(Default)]
struct Role {
    crowd: Option<Crowd>,
    troublemakers: Option<Troublemakers>,
}

impl Do for Role {
    type Order = Order;
    type Answer = Answer;

    async fn obey(&mut self, order: Order) -> Result<Answer, Box<dyn std::error::Error>> {
        Ok(match order {
            Order::Open { viewers, config } => {
                let (crowd, addresses) = Crowd::of_plain_sockets(viewers, config)?;
                self.crowd = Some(crowd);
                Answer::Opened(addresses)
            }
            Order::Join { url, viewers, config } => {
                self.joined(Crowd::join(&url.parse()?, viewers, config).await?)
            }
            Order::JoinJanus { url, viewers, config } => {
                let url = url.parse()?;
                let connect = async || JanusTransport::connect(&url).await;
                self.joined(Crowd::join_over(connect, viewers, config).await?)
            }
            Order::Take => Answer::Taken(Received::of(self.crowd()?).0),
            Order::TakeFrames => {
                let (received, frames) = Received::of(self.crowd()?);
                Answer::TakenFrames(received, frames)
            }
            Order::Leave => {
                if let Some(crowd) = self.crowd.take() {
                    crowd.leave().await;
                }
                Answer::Left
            }
            Order::Trouble { url, bytes_per_second } => {
                self.troublemakers = Some(Troublemakers::join(&url, bytes_per_second).await?);
                Answer::Troubled
            }
            Order::EndTrouble => {
                let troublemakers = self.troublemakers.take().ok_or("there is no trouble")?;
                Answer::TroubleEnded(troublemakers.end().await)
            }
        })
    }
}

impl Role {
    fn crowd(&self) -> Result<&Crowd, &'static str> {
        self.crowd.as_ref().ok_or("nobody has joined")
    }

    fn joined(&mut self, (crowd, times): (Crowd, Vec<Duration>)) -> Answer {
        self.crowd = Some(crowd);
        Answer::Joined(Figures::of(times))
    }
}
