//! Viewers of another WebRTC stack (str0m), who do all that a browser does but decode, at any server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::http::Uri;

use super::figures::Figures;
use crate::task;
use crate::viewer::{Codec, FrameCheck, Latencies, Stats, Viewer, ViewerConfig, ViewerError};

/// What is done to a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// Its peer WebSocket, as in `ws://127.0.0.1:8080/api/streamers/{id}/peer`.
    pub url: Uri,
    /// How many join.
    pub viewers: usize,
    /// How long they stay once all have joined.
    pub time: Duration,
    /// The codec of the stream.
    pub codec: Codec,
    /// The stream's frames, where they are known: some of the viewers compare each of theirs.
    pub check: Option<Arc<FrameCheck>>,
    /// Of so many viewers one compares.
    pub check_every: usize,
}

/// What came of it, of all viewers together.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// How many joined.
    pub viewers: usize,
    /// From the WebSocket's opening until ICE and DTLS were there.
    pub connected_ms: Option<Figures>,
    /// From the WebSocket's opening until the first keyframe had arrived whole.
    pub first_frame_ms: Option<Figures>,
    /// From frame to frame while all were there; frames that came together are one.
    pub frame_gap_ms: Option<Figures>,
    /// While all were there: from just before a test host of this machine cut a frame of its live picture into datagrams until a
    /// viewer had it whole, in this process, which may be busy. `None` when no frame says so.
    pub host_latency_ms: Option<Figures>,
    /// Whole frames.
    pub frames: u64,
    /// RTP packets of pictures.
    pub packets: u64,
    /// Sequence numbers that were given up.
    pub lost: u64,
    /// `lost` of `lost` and `packets`, 0 to 1.
    pub loss: f64,
    /// Packets that came late or again, and were of use.
    pub recovered: u64,
    /// Keyframes that were asked for.
    pub keyframes_asked: u64,
    /// Frames that a decoder could not show.
    pub undecodable: u64,
    /// RTP packets of sound.
    pub audio_packets: u64,
    /// Those of them that never came.
    pub audio_lost: u64,
    /// Frames that were compared with the source's and are the same, each in its place.
    pub verified: u64,
    /// Frames that are not the source's, or not in their place, or not well formed.
    pub wrong: u64,
    /// Viewers that had ended before they were told to.
    pub ended_early: usize,
}

/// Joins, watches, and leaves.
///
/// # Errors
/// When the server does not let a viewer in. One that does not get connected is counted, not an error.
pub async fn load(load: &Load) -> Result<LoadReport, ViewerError> {
    let check_every = load.check_every.max(1);
    let latencies = Latencies::default();
    let joins = stream::iter(0..load.viewers).map(async |n| {
        let check = load.check.clone().filter(|_| n % check_every == 0);
        let config = ViewerConfig {
            codecs: vec![load.codec],
            check,
            latencies: Some(latencies.clone()),
            ..ViewerConfig::default()
        };
        let viewer = Viewer::connect(&load.url, None, config).await?;
        // Whoever ends before is found at the end.
        let _ = viewer.wait_for(|stats| stats.first_keyframe_after.is_some()).await;
        Ok::<_, ViewerError>(viewer)
    });
    let viewers: Vec<Viewer> = joins.buffer_unordered(AT_ONCE).try_collect().await?;

    drop(latencies.take());
    let end = Instant::from_std(task::now()) + load.time;
    let gaps = join_all(viewers.iter().map(|viewer| gaps(viewer, end))).await;
    let host_latency_ms = Figures::of(latencies.take());
    let ended_early = gaps.iter().filter(|(_, stayed)| !stayed).count();
    let frame_gap_ms = Figures::of(gaps.into_iter().flat_map(|(gaps, _)| gaps));
    let all = join_all(viewers.into_iter().map(Viewer::close)).await;
    Ok(LoadReport { host_latency_ms, ..report(&all, frame_gap_ms, ended_early) })
}

/// The times between a viewer's frames up to `end`, and whether it stayed so long.
async fn gaps(viewer: &Viewer, end: Instant) -> (Vec<Duration>, bool) {
    let mut gaps = Vec::new();
    let mut frames = viewer.stats().video.frames;
    let mut last = None;
    loop {
        let next = viewer.wait_for(|stats| stats.video.frames > frames);
        match timeout_at(end, next).await {
            Ok(Ok(stats)) => {
                let now = task::now();
                frames = stats.video.frames;
                gaps.extend(last.replace(now).map(|last| now - last));
            }
            Ok(Err(_)) => return (gaps, false),
            Err(_) => return (gaps, true),
        }
    }
}

fn report(all: &[Stats], frame_gap_ms: Option<Figures>, ended_early: usize) -> LoadReport {
    let sum = |count: fn(&Stats) -> u64| all.iter().map(count).sum::<u64>();
    let (packets, lost) = (sum(|stats| stats.video.packets), sum(|stats| stats.video.lost));
    LoadReport {
        viewers: all.len(),
        connected_ms: Figures::of(all.iter().filter_map(|stats| stats.joined_after)),
        first_frame_ms: Figures::of(all.iter().filter_map(|stats| stats.first_keyframe_after)),
        frame_gap_ms,
        host_latency_ms: None,
        frames: sum(|stats| stats.video.frames),
        packets,
        lost,
        loss: lost as f64 / (packets + lost).max(1) as f64,
        recovered: sum(|stats| stats.video.recovered),
        keyframes_asked: sum(|stats| stats.plis),
        undecodable: sum(|stats| stats.video.undecodable),
        audio_packets: sum(|stats| stats.audio.packets),
        audio_lost: sum(|stats| stats.audio.lost),
        verified: sum(|stats| stats.video.verified),
        wrong: sum(|stats| {
            stats.video.misplaced + stats.video.mismatches + stats.video.malformed + stats.video.backwards
        }),
        ended_early,
    }
}

/// A handshake is some milliseconds of work at both ends: more at once would only wait for each other.
const AT_ONCE: usize = 8;
