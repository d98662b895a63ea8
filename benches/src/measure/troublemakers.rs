//! Viewers that others must not notice: one that is stopped, one that loses packets, one on a narrow line.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::relay::{Policy, Relay};
use crate::task;
use crate::viewer::{CloseReason, Stats, Viewer, ViewerConfig, WebSocket};

/// Three viewers of another WebRTC stack, which ask for what they miss, as browsers do.
#[derive(Debug)]
pub struct Troublemakers {
    stopped: Viewer,
    lossy: Viewer,
    narrow: Viewer,
    /// Carries while it is here.
    _line: Relay<Bucket>,
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
        let line = Relay::bind(None, Bucket::new(task::now(), bytes_per_second)).await?;
        let transport = line.over(WebSocket::connect(&url, None).await?);
        let narrow = Viewer::join(transport, ViewerConfig::default()).await?;
        for viewer in [&stopped, &lossy, &narrow] {
            viewer.joined().await?;
        }
        stopped.pause().await?;
        Ok(Self { stopped, lossy, narrow, _line: line })
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

/// A line that carries so much to the viewer, and drops the rest.
impl Policy for Bucket {
    fn down(&mut self, now: Instant, datagram: &mut [u8]) -> bool {
        self.passes(now, datagram.len() as u64)
    }
}

/// A router's queue.
const BUCKET: Duration = Duration::from_millis(50);
/// In bytes: a packet fits into any router.
const LEAST_BUCKET: u128 = 4096;

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
}
