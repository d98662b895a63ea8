//! What one viewer gets and what it says of it, whichever way its media go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use webrtc::error::Error;

use super::channels::{Quality, VideoQuality};
use super::direct::Opening;
use super::direct::viewer::{DirectViewer, Heard};
use super::feedback::Backchannel;
use super::health::{Health, Report, Verdict};
use super::heard::LastHeard;
use super::resend::RESEND_PACKETS;
use super::shards::End;
use super::standard::StandardPath;
use super::tracks::Tracks;
use crate::broadcast::Media;
use crate::egress::ViewerIo;
use crate::media::VideoTimestamp;
use crate::peer::{LeaveReason, MediaPath};
use crate::task::{self, Alarm};

/// Which paths a viewer's connection is negotiated for. It takes one of them, before its first packet, and keeps to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// The direct one, at its cheapest. A viewer that cannot take it may try another connection.
    Direct,
    /// The direct one, or the standard one where the connection's key is not found.
    Any,
    /// The standard one.
    Standard,
}

impl Paths {
    pub(super) fn has_direct(self) -> bool {
        matches!(self, Self::Direct | Self::Any)
    }

    pub(super) fn has_standard(self) -> bool {
        matches!(self, Self::Any | Self::Standard)
    }
}

/// One viewer's media, before it is connected.
pub(super) struct Delivery {
    pub(super) tracks: Tracks,
    pub(super) backchannel: Backchannel,
    pub(super) heard: LastHeard,
    pub(super) paths: Paths,
    /// Where the direct path is one of them.
    pub(super) opening: Option<Opening>,
}

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

impl Delivery {
    /// Sends what the viewer, who is connected, gets until the stream or the connection ends, as far as its [`Health`]
    /// allows, of which `quality` tells. Not cancel safe: a frame may be sent in part, so the viewer cannot go on afterwards.
    pub(super) async fn serve(self, viewer: &Arc<ViewerIo>, quality: watch::Sender<Quality>) -> LeaveReason {
        let Self { tracks, backchannel, heard, paths, opening } = self;
        let opened = match opening {
            Some(opening) => {
                let outlet = opening.outlet.clone();
                let opened = opening.open(&tracks, &backchannel, viewer.stream()).await;
                if opened.is_none() && !paths.has_standard() {
                    // Nothing sends again and reports on this connection but we.
                    outlet.give_up();
                    return LeaveReason::ConnectionFailed;
                }
                opened
            }
            None => None,
        };
        let Some((path, place)) = opened else {
            let way = StandardPath::new(tracks, backchannel.streams.clone());
            let told = Told::new(MediaPath::Standard, quality, viewer);
            return serve_standard(way, backchannel, heard, viewer, told).await;
        };
        let told = Told::new(MediaPath::Direct, quality, viewer);
        viewer.ring_for_media(place.bell());
        viewer.start_media();
        let feedback = Heard { video: tracks.video.start.ssrc, reports: backchannel.reports, heard };
        let served = DirectViewer::new(task::now(), path, feedback, viewer.clone(), told);
        match place.run(Box::new(served)).await {
            End::Leaves(reason) => reason,
            // Why, the Streamer says.
            End::StreamOver => viewer.leaving().await,
        }
    }
}

/// Serves a viewer by the crate's tracks, which may wait: in the viewer's own task.
async fn serve_standard(
    mut way: StandardPath,
    backchannel: Backchannel,
    heard: LastHeard,
    viewer: &ViewerIo,
    mut told: Told,
) -> LeaveReason {
    let (mut reports, video) = (backchannel.reports, way.video_ssrc());
    viewer.start_media();
    let mut alarm = Alarm::new();
    let mut health = Health::new(task::now(), RESEND_PACKETS);
    loop {
        while let Some(verdict) = health.poll_verdict() {
            if let Some(reason) = obey(verdict, viewer) {
                return reason;
            }
        }
        told.tell(health.quality());
        let done = tokio::select! {
            media = viewer.media() => match media {
                Some(Media::Video(frame)) => match way.send_video(&frame).await {
                    Ok(sent) => {
                        if let Some((packets, last)) = sent {
                            health.handle_sent(task::now(), true, frame.keyframe, packets, last);
                            viewer.update_stats(|stats| {
                                stats.frames += 1;
                                stats.packets += packets as u64;
                            });
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Some(Media::Audio(frame)) => way.send_audio(&frame).await,
                Some(Media::Gap { lost }) => {
                    note_gap(lost);
                    Ok(())
                }
                // The stream is over; why, the Streamer says.
                None => return viewer.leaving().await,
            },
            report = reports.recv() => match report {
                Some((ssrc, report)) => {
                    if ssrc == video {
                        count(&report, viewer);
                        health.handle_report(task::now(), &report);
                    }
                    Ok(())
                }
                None => return LeaveReason::Vanished,
            },
            () = alarm.at(health.timeout()) => {
                let now = task::now();
                health.handle_heard(now, heard.at());
                health.handle_timeout(now);
                Ok(())
            }
        };
        if let Err(error) = done {
            note_end(&error);
            return LeaveReason::Vanished;
        }
    }
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

pub(super) fn note_end(error: &Error) {
    tracing::debug!(%error, "the connection takes no more media");
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
