//! Viewers that others must not notice: one that is stopped, one that loses packets, one on a narrow line.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::task::{self, Task};
use crate::viewer::{CloseReason, Closed, Message, Stats, Transport, Viewer, ViewerConfig, WebSocket};

/// Three viewers of another WebRTC stack, which ask for what they miss, as browsers do.
#[derive(Debug)]
pub struct Troublemakers {
    stopped: Viewer,
    lossy: Viewer,
    narrow: Viewer,
    /// Carries while it is here.
    _line: Task<()>,
}

/// How they did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TroubleReport {
    /// The one that read nothing any more.
    pub stopped: Trouble,
    /// The one that lost one packet of twenty, those that were sent again too.
    pub lossy: Trouble,
    /// The one whose line is too narrow.
    pub narrow: Trouble,
}

/// How one of them did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Whole frames.
    pub frames: u64,
    /// Of those, the ones that a decoder could not show.
    pub undecodable: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Keyframes that it asked for.
    pub keyframes_asked: u64,
}

impl From<Stats> for Trouble {
    fn from(stats: Stats) -> Self {
        let video = stats.video;
        let (frames, undecodable, lost) = (video.frames, video.undecodable, video.lost);
        Self { frames, undecodable, lost, keyframes_asked: stats.plis }
    }
}

impl Troublemakers {
    /// Joins them at a peer WebSocket, waits until they are connected, and stops the first.
    ///
    /// # Errors
    /// When one cannot join.
    pub async fn join(url: &str, bytes_per_second: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let url: Uri = url.parse()?;
        let stopped = Viewer::connect(&url, None, ViewerConfig::default()).await?;
        let drop_every = NonZeroU32::new(20);
        let lossy =
            Viewer::connect(&url, None, ViewerConfig { drop_every, ..ViewerConfig::default() }).await?;
        let line = Arc::new(NarrowLine::bind(bytes_per_second).await?);
        let transport = WebSocket::connect(&url, None).await?;
        let transport = Rewired { inner: transport, line: line.clone() };
        let carrying = task::spawn(async move { line.carry().await });
        let narrow = Viewer::join(transport, ViewerConfig::default()).await?;
        for viewer in [&stopped, &lossy, &narrow] {
            viewer.joined().await?;
        }
        stopped.pause().await?;
        Ok(Self { stopped, lossy, narrow, _line: carrying })
    }

    /// Waits until the second has lost something, and the third cannot go on without a keyframe.
    ///
    /// # Errors
    /// When one of them is gone before.
    pub async fn suffer(&self) -> Result<(), CloseReason> {
        self.lossy.wait_for(|stats| stats.dropped_on_purpose > 0).await?;
        self.narrow.wait_for(|stats| stats.plis > 0).await.map(drop)
    }

    /// Sends them away.
    pub async fn end(self) -> TroubleReport {
        TroubleReport {
            stopped: self.stopped.vanish().await.into(),
            lossy: self.lossy.close().await.into(),
            narrow: self.narrow.close().await.into(),
        }
    }
}

/// A line between one viewer and the server that carries so much to the viewer, and drops the rest.
///
/// ```text
/// viewer ◀─▶ near socket ─ bucket ─ far socket ◀─▶ server
/// ```
#[derive(Debug)]
struct NarrowLine {
    near: UdpSocket,
    far: UdpSocket,
    ends: Mutex<Ends>,
    bytes_per_second: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    viewer: Option<SocketAddr>,
    server: Option<SocketAddr>,
}

impl NarrowLine {
    async fn bind(bytes_per_second: u64) -> std::io::Result<Self> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { near, far, ends: Mutex::default(), bytes_per_second })
    }

    async fn carry(&self) {
        let (mut from_viewer, mut from_server) = ([0; 2048], [0; 2048]);
        let mut bucket = Bucket::new(task::now(), self.bytes_per_second);
        loop {
            tokio::select! {
                // An ICMP error says nothing of the next datagram; one that cannot be sent is lost.
                Ok((len, from)) = self.near.recv_from(&mut from_viewer) => {
                    let server = self.with_ends(|ends| {
                        ends.viewer = Some(from);
                        ends.server
                    });
                    let _ = server.map(|server| self.far.try_send_to(&from_viewer[..len], server));
                }
                Ok((len, from)) = self.far.recv_from(&mut from_server) => {
                    let viewer = self.with_ends(|ends| {
                        ends.server = Some(from);
                        ends.viewer
                    });
                    let viewer = viewer.filter(|_| bucket.passes(task::now(), len as u64));
                    let _ = viewer.map(|viewer| self.near.try_send_to(&from_server[..len], viewer));
                }
            }
        }
    }

    fn with_ends<T>(&self, change: impl FnOnce(&mut Ends) -> T) -> T {
        change(&mut self.ends.lock().expect("no holder of this lock panics"))
    }
}

/// A token bucket of [`BUCKET`], and at least of [`LEAST_BUCKET`]. Pure.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// In the same unit as `room`.
    size: u128,
    /// As much as has not been used, in bytes times nanoseconds per second.
    room: u128,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant, bytes_per_second: u64) -> Self {
        let size = (u128::from(bytes_per_second) * BUCKET.as_nanos()).max(LEAST_BUCKET * 1_000_000_000);
        Self { bytes_per_second, size, room: size, filled: now }
    }

    fn passes(&mut self, now: Instant, bytes: u64) -> bool {
        let since = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.room = (self.room + u128::from(self.bytes_per_second) * since.as_nanos()).min(self.size);
        let needed = u128::from(bytes) * 1_000_000_000;
        let passes = needed <= self.room;
        if passes {
            self.room -= needed;
        }
        passes
    }
}

/// A router's queue.
const BUCKET: Duration = Duration::from_millis(50);
/// In bytes: a packet fits into any router.
const LEAST_BUCKET: u128 = 4096;

/// A transport whose descriptions name the line's ends.
struct Rewired {
    inner: WebSocket,
    line: Arc<NarrowLine>,
}

#[async_trait]
impl Transport for Rewired {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let message = match (message, self.line.far.local_addr()) {
            (Message::Offer(sdp), Ok(relay)) => {
                let (sdp, viewer) = rewire(&sdp, relay);
                self.line.with_ends(|ends| ends.viewer = viewer);
                Message::Offer(sdp)
            }
            (other, _) => other,
        };
        self.inner.send(message).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        Ok(match (self.inner.recv().await?, self.line.near.local_addr()) {
            (Message::Answer(sdp), Ok(relay)) => {
                let (sdp, server) = rewire(&sdp, relay);
                self.line.with_ends(|ends| ends.server = server);
                Message::Answer(sdp)
            }
            (other, _) => other,
        })
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// The description with `relay` in each candidate, and the address that was there.
pub fn rewire(sdp: &str, relay: SocketAddr) -> (String, Option<SocketAddr>) {
    let mut was = None;
    let lines = sdp.lines().map(|line| {
        // foundation, component, transport, priority, address, port (RFC 8839, 5.1)
        let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if line.starts_with("a=candidate:") && fields.len() > 5 {
            was = format!("{}:{}", fields[4], fields[5]).parse().ok();
            fields[4] = relay.ip().to_string();
            fields[5] = relay.port().to_string();
        }
        fields.join(" ") + "\r\n"
    });
    (lines.collect(), was)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_line_carries_its_rate_and_a_short_burst() {
        let start = task::now();
        let mut bucket = Bucket::new(start, 100_000);
        // A second of ten times as much as it carries: 100 bytes each 100 µs.
        let passed =
            (0..10_000u32).filter(|&n| bucket.passes(start + Duration::from_micros(100) * n, 100)).count();
        assert!((1045..=1050).contains(&passed), "{passed}");
        assert!(!bucket.passes(start + Duration::from_secs(60), 5001), "more than the bucket");
        assert!(bucket.passes(start + Duration::from_secs(60), 5000));
    }

    #[test]
    fn candidates_name_the_relay() {
        let relay = ([127, 0, 0, 1], 9).into();
        let sdp = "v=0\r\na=candidate:1 1 udp 2 10.0.0.1 5 typ host\r\n";
        let (rewired, was) = rewire(sdp, relay);
        assert_eq!(rewired, "v=0\r\na=candidate:1 1 udp 2 127.0.0.1 9 typ host\r\n");
        assert_eq!(was, Some(([10, 0, 0, 1], 5).into()));
    }
}
