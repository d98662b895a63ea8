//! One RTSP request and its answer, on a TCP connection of its own.
//!
//! Wolf's RTSP server stays dead once a connection was reset, so none ever is: the answer is read to its end and the
//! connection closed normally, whether or not anybody still wants the answer (session 12.2).

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::gamestream::receive::local_address;
use crate::task;

/// An exchange under way. Dropping it leaves it to itself: it is finished in peace, for [`FAREWELL`] at most.
#[derive(Debug)]
pub(super) struct Exchange {
    steps: mpsc::Receiver<Step>,
}

/// How an exchange goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connected,
    Bytes(Vec<u8>),
    /// The host closed the connection, and so did we.
    Ended,
    /// Nobody listens.
    Refused,
    /// The connection broke, or never stood, for any other reason.
    Broken,
}

impl Exchange {
    /// Sends `request` to the host on a new connection from `local`.
    pub(super) fn start(host: SocketAddr, local: Option<IpAddr>, request: Vec<u8>) -> Self {
        let (tell, steps) = mpsc::channel(STEPS);
        // It ends by itself a while after its owner dropped the receiver.
        task::spawn_cancelled_by_owner(run(host, local, request, tell));
        Self { steps }
    }

    /// What happened next; waits for ever behind the end. Cancel safe.
    pub(super) async fn step(&mut self) -> Step {
        match self.steps.recv().await {
            Some(step) => step,
            None => std::future::pending().await,
        }
    }
}

async fn run(host: SocketAddr, local: Option<IpAddr>, request: Vec<u8>, tell: mpsc::Sender<Step>) {
    let last = match while_wanted(&tell, exchange(host, local, &request, &tell)).await {
        Some(Ok(())) => Step::Ended,
        Some(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Step::Refused,
        Some(Err(error)) => {
            tracing::debug!(%error, "an RTSP connection broke");
            Step::Broken
        }
        None => return,
    };
    // Nobody may be listening any more.
    let _ = tell.send(last).await;
}

/// Gives up on what nobody waits for any more, but not at once.
async fn while_wanted<T>(tell: &mpsc::Sender<Step>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        result = &mut work => Some(result),
        () = tell.closed() => timeout(FAREWELL, work).await.ok(),
    }
}

async fn exchange(
    host: SocketAddr,
    local: Option<IpAddr>,
    request: &[u8],
    tell: &mpsc::Sender<Step>,
) -> io::Result<()> {
    let stream = connect(host, local).await?;
    let mut wanted = tell.send(Step::Connected).await.is_ok();
    let mut unsent = if wanted { request } else { &[] };
    while !unsent.is_empty() {
        stream.writable().await?;
        let sent = retried(stream.try_write(unsent))?.unwrap_or(0);
        unsent = &unsent[sent..];
    }
    let mut buffer = vec![0; PIECE];
    loop {
        if !wanted {
            let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
        }
        tokio::select! {
            readable = stream.readable() => readable?,
            () = tell.closed(), if wanted => {
                wanted = false;
                continue;
            }
        }
        match retried(stream.try_read(&mut buffer))? {
            Some(0) => return Ok(()),
            Some(got) if wanted => wanted = tell.send(Step::Bytes(buffer[..got].to_vec())).await.is_ok(),
            Some(_) | None => {}
        }
    }
}

async fn connect(host: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if host.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if local.is_some() {
        socket.bind(local_address(host.ip(), local))?;
    }
    let stream = socket.connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// `None` if the socket was not ready after all.
fn retried<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long an exchange that nobody waits for may take to end. No time-out of the session, which is over then.
const FAREWELL: Duration = Duration::from_secs(5);

/// Steps that wait for the session. Full: the host waits, as TCP has it.
const STEPS: usize = 4;

/// Bytes. Answers are a few thousand.
const PIECE: usize = 4096;
