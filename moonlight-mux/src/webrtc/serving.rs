//! What serving a viewer has in common, whichever way its media go.

use std::time::Duration;

use tokio::sync::watch;

use super::channels::{Quality, VideoQuality};
use super::health::{Report, Verdict};
use crate::egress::ViewerIo;
use crate::media::VideoTimestamp;
use crate::peer::{LeaveReason, MediaPath};

/// What of a picture was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentVideo {
    /// It is the beginning of the picture.
    pub(super) begins: bool,
    pub(super) keyframe: bool,
    pub(super) packets: usize,
    /// The last one's sequence number.
    pub(super) last: u16,
    /// How many calls the system did not take in whole.
    pub(super) failed: u64,
}

/// What a viewer was told of its own connection.
pub(super) struct Told {
    quality: watch::Sender<Quality>,
    last: Quality,
}

impl Told {
    /// For a viewer whose media go by `path` from now on.
    pub(super) fn new(path: MediaPath, quality: watch::Sender<Quality>, viewer: &ViewerIo) -> Self {
        tracing::info!(path = path.name(), "the viewer's media path");
        viewer.update_stats(|stats| stats.path = Some(path));
        let last = Quality { video: VideoQuality::Flowing, path: Some(path) };
        quality.send_replace(last);
        Self { quality, last }
    }

    pub(super) fn tell(&mut self, video: VideoQuality) {
        if self.last.video != video {
            self.last.video = video;
            self.quality.send_replace(self.last);
        }
    }
}

pub(super) fn note_gap(lost: u64) {
    tracing::debug!(lost, "the viewer misses pictures");
}

/// Does what the viewer's health asks for; `Some` when the viewer has to go.
pub(super) fn obey(verdict: Verdict, viewer: &ViewerIo) -> Option<LeaveReason> {
    tracing::debug!(?verdict, "the viewer's health");
    match verdict {
        Verdict::Pause => {
            viewer.pause_media();
            viewer.release_input();
            viewer.update_stats(|stats| stats.pauses += 1);
        }
        Verdict::Resume => viewer.resume_media(),
        Verdict::Hold => {
            viewer.skip_to_keyframe();
            viewer.update_stats(|stats| stats.holds += 1);
        }
        Verdict::RequestKeyframe => viewer.request_keyframe(),
        Verdict::Leave(reason) => return Some(reason),
    }
    None
}

pub(super) fn count(report: &Report, viewer: &ViewerIo) {
    viewer.update_stats(|stats| match report {
        Report::KeyframeRequest => stats.keyframe_requests += 1,
        Report::Nack(lost) => stats.nacks += lost.len() as u64,
        Report::Reception(reception) => {
            stats.lost = u64::try_from(reception.lost).unwrap_or(0);
            let jitter = u64::from(reception.jitter) * 1_000_000 / VideoTimestamp::HZ;
            stats.jitter = Some(Duration::from_micros(jitter));
            stats.round_trip = reception.round_trip.or(stats.round_trip);
        }
    });
}
