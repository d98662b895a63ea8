//! Receivers in a process of their own, so that what they cost is not the sender's.
//!
//! The program starts itself again as `receive ADDRESS`, and the two talk in lines of JSON over a TCP connection to there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::http::Uri;

use super::figures::Figures;
use super::janus::JanusTransport;
use super::troublemakers::{TroubleReport, Troublemakers};
use crate::crowd::{Counts, Crowd, CrowdConfig};

/// The argument that makes a program a receiver; behind it comes an address.
const RECEIVE: &str = "receive";

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Open { viewers: usize, config: CrowdConfig },
    Join { url: String, viewers: usize, config: CrowdConfig },
    JoinJanus { url: String, viewers: usize, config: CrowdConfig },
    Take,
    Leave,
    Trouble { url: String, bytes_per_second: u64 },
    EndTrouble,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Opened(Vec<SocketAddr>),
    Joined(Option<Figures>),
    Taken(Received),
    Left,
    Troubled,
    TroubleEnded(TroubleReport),
    Failed(String),
}

/// What all viewers together have got in a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Viewers that are still connected.
    pub connected: usize,
    /// RTP packets that came.
    pub packets: u64,
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
    fn of(crowd: &Crowd) -> Self {
        let connected = crowd.connected();
        let all = crowd.take();
        let worst_loss = all.iter().map(Counts::loss).fold(0.0, f64::max);
        let mut sum = Counts::default();
        for counts in all {
            sum.add(counts);
        }
        Self {
            connected,
            packets: sum.packets,
            expected: sum.expected,
            loss: sum.loss(),
            worst_loss,
            with_aes_128_gcm: crowd.with_aes_128_gcm(),
            opened: sum.opened,
            forged: sum.forged,
            frames: sum.frames.len(),
            frame_gap_ms: Figures::of(sum.frames.iter().filter_map(|frame| frame.gap)),
            latency_ms: Figures::of(sum.frames.iter().map(|frame| frame.latency)),
        }
    }
}

/// The process of the receivers. Dropping it kills it.
#[derive(Debug)]
pub struct Receivers {
    /// Kept for its end.
    _child: Child,
    orders: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
}

impl Receivers {
    /// Starts this program again, which has to call [`run_if_told`] then.
    ///
    /// # Errors
    /// When it cannot be started, or does not call back.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(RECEIVE)
            .arg(listener.local_addr()?.to_string())
            .kill_on_drop(true)
            .spawn()?;
        let connection = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = child.wait() => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        connection.set_nodelay(true)?;
        let (answers, orders) = connection.into_split();
        Ok(Self { _child: child, orders, answers: BufReader::new(answers).lines() })
    }

    /// Opens plain sockets, and gives their addresses.
    ///
    /// # Errors
    /// When the receivers cannot, or are gone.
    pub async fn open(&mut self, viewers: usize, config: CrowdConfig) -> io::Result<Vec<SocketAddr>> {
        match self.ask(Order::Open { viewers, config }).await? {
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
        match self.ask(Order::Join { url: url.to_string(), viewers, config }).await? {
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
        match self.ask(Order::JoinJanus { url: url.to_string(), viewers, config }).await? {
            Answer::Joined(times) => Ok(times),
            other => Err(unexpected(&other)),
        }
    }

    /// What they have got since the last call.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn take(&mut self) -> io::Result<Received> {
        match self.ask(Order::Take).await? {
            Answer::Taken(received) => Ok(received),
            other => Err(unexpected(&other)),
        }
    }

    /// All viewers leave.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn leave(&mut self) -> io::Result<()> {
        match self.ask(Order::Leave).await? {
            Answer::Left => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Joins those that nobody wants beside them ([`Troublemakers`]), one of them on a line of this rate.
    ///
    /// # Errors
    /// When one cannot join, or the receivers are gone.
    pub async fn trouble(&mut self, url: &Uri, bytes_per_second: u64) -> io::Result<()> {
        match self.ask(Order::Trouble { url: url.to_string(), bytes_per_second }).await? {
            Answer::Troubled => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends those away again, and says how they did.
    ///
    /// # Errors
    /// When the receivers are gone.
    pub async fn end_trouble(&mut self) -> io::Result<TroubleReport> {
        match self.ask(Order::EndTrouble).await? {
            Answer::TroubleEnded(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, order: Order) -> io::Result<Answer> {
        let line = serde_json::to_string(&order)? + "\n";
        self.orders.write_all(line.as_bytes()).await?;
        let answer = self.answers.next_line().await?.ok_or(io::ErrorKind::BrokenPipe)?;
        match serde_json::from_str(&answer)? {
            Answer::Failed(why) => Err(io::Error::other(why)),
            answer => Ok(answer),
        }
    }
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("the receivers answered {answer:?}"))
}

/// Makes this process a receiver if it was started as one ([`Receivers::start`]): gives true when it is done then. The
/// first that a program's `main` calls.
///
/// # Errors
/// When who started it cannot be reached, or says what no [`Receivers`] says.
pub fn run_if_told() -> io::Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let (Some(RECEIVE), Some(address)) = (arguments.next().as_deref(), arguments.next()) else {
        return Ok(false);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(obey(&address)).map(|()| true)
}

/// Does what it is told until the connection ends.
async fn obey(address: &str) -> io::Result<()> {
    let connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let (orders, mut answers) = connection.into_split();
    let mut orders = BufReader::new(orders).lines();
    let (mut crowd, mut troublemakers) = (None, None);
    while let Some(line) = orders.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Order::Open { viewers, config } => match Crowd::of_plain_sockets(viewers, config) {
                Ok((opened, addresses)) => {
                    crowd = Some(opened);
                    Answer::Opened(addresses)
                }
                Err(error) => Answer::Failed(error.to_string()),
            },
            Order::Join { url, viewers, config } => joined(&mut crowd, join(&url, viewers, config).await),
            Order::JoinJanus { url, viewers, config } => {
                joined(&mut crowd, join_janus(&url, viewers, config).await)
            }
            Order::Take => match &crowd {
                Some(crowd) => Answer::Taken(Received::of(crowd)),
                None => Answer::Failed("nobody has joined".to_owned()),
            },
            Order::Leave => {
                if let Some(crowd) = crowd.take() {
                    crowd.leave().await;
                }
                Answer::Left
            }
            Order::Trouble { url, bytes_per_second } => {
                match Troublemakers::join(&url, bytes_per_second).await {
                    Ok(joined) => {
                        troublemakers = Some(joined);
                        Answer::Troubled
                    }
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Order::EndTrouble => match troublemakers.take() {
                Some(troublemakers) => Answer::TroubleEnded(troublemakers.end().await),
                None => Answer::Failed("there is no trouble".to_owned()),
            },
        };
        answers.write_all((serde_json::to_string(&answer)? + "\n").as_bytes()).await?;
    }
    Ok(())
}

type Joined = Result<(Crowd, Vec<Duration>), Box<dyn std::error::Error>>;

async fn join(url: &str, viewers: usize, config: CrowdConfig) -> Joined {
    Ok(Crowd::join(&url.parse()?, viewers, config).await?)
}

async fn join_janus(url: &str, viewers: usize, config: CrowdConfig) -> Joined {
    let url = url.parse()?;
    Ok(Crowd::join_over(async || JanusTransport::connect(&url).await, viewers, config).await?)
}

fn joined(crowd: &mut Option<Crowd>, joined: Joined) -> Answer {
    match joined {
        Ok((joined, times)) => {
            *crowd = Some(joined);
            Answer::Joined(Figures::of(times))
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}
