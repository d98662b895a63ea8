//! What one viewer gets and what it says of it, whichever way its media go.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use webrtc::error::Error;

use super::channels::Quality;
use super::direct::{DirectPath, Opening};
use super::feedback::{Backchannel, NegotiatedStreams};
use super::health::{Health, Report, Verdict};
use super::heard::LastHeard;
use super::resend::RESEND_PACKETS;
use super::standard::StandardPath;
use super::tracks::Tracks;
use crate::broadcast::Media;
use crate::egress::ViewerIo;
use crate::media::{AudioFrame, VideoFrame, VideoTimestamp};
use crate::peer::{LeaveReason, MediaPath};
use crate::task::{self, Alarm};

/// One viewer's media, before it is connected.
pub(super) struct Delivery {
    pub(super) tracks: Tracks,
    pub(super) backchannel: Backchannel,
    pub(super) heard: LastHeard,
    /// `None` where the viewer is to take the standard path.
    pub(super) direct: Option<Opening>,
}

/// By which way its media go, from the negotiation on: no two ever write the same RTP stream, whose nonces they would use twice.
enum Way {
    Direct(Box<DirectPath>),
    Standard(Box<StandardPath>),
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
    pub(super) async fn serve(self, viewer: &ViewerIo, quality: watch::Sender<Quality>) -> LeaveReason {
        let Self { tracks, backchannel, heard, direct } = self;
        let Backchannel { streams, mut reports } = backchannel;
        let video = tracks.video.start.ssrc;
        let Some(mut way) = Way::open(tracks, streams, direct, viewer).await else {
            return LeaveReason::ConnectionFailed;
        };
        viewer.start_media();
        let path = Some(way.path());
        let mut alarm = Alarm::new();
        let mut health = Health::new(task::now(), RESEND_PACKETS);
        loop {
            while let Some(verdict) = health.poll_verdict() {
                if let Some(reason) = obey(verdict, viewer) {
                    return reason;
                }
            }
            let now = Quality { video: health.quality(), path };
            quality.send_if_modified(|told| std::mem::replace(told, now) != now);
            let done = tokio::select! {
                media = viewer.media(), if way.takes_media() => match media {
                    Some(Media::Video(frame)) => way.send_video(&frame, &mut health, viewer).await,
                    Some(Media::Audio(frame)) => way.send_audio(&frame, viewer).await,
                    Some(Media::Gap { lost }) => {
                        tracing::debug!(lost, "the viewer misses pictures");
                        Ok(())
                    }
                    // The stream is over; why, the Streamer says.
                    None => return viewer.leaving().await,
                },
                report = reports.recv() => match report {
                    Some((ssrc, report)) if ssrc == video => {
                        count(&report, viewer);
                        health.handle_report(task::now(), &report);
                        way.handle_report(&report, viewer);
                        Ok(())
                    }
                    Some(_) => Ok(()),
                    None => return LeaveReason::Vanished,
                },
                () = alarm.at(way.timeout().into_iter().chain(health.timeout()).min()) => {
                    let now = task::now();
                    if health.timeout().is_some_and(|due| due <= now) {
                        health.handle_heard(now, heard.at());
                        health.handle_timeout(now);
                    }
                    way.handle_timeout(&mut health, viewer).await
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "the connection takes no more media");
                return LeaveReason::Vanished;
            }
        }
    }
}

impl Way {
    async fn open(
        tracks: Tracks,
        streams: NegotiatedStreams,
        direct: Option<Opening>,
        viewer: &ViewerIo,
    ) -> Option<Self> {
        let way = match direct {
            Some(direct) => Self::Direct(Box::new(direct.open(&tracks, &streams, viewer.stream()).await?)),
            None => Self::Standard(Box::new(StandardPath::new(tracks, streams))),
        };
        let path = way.path();
        tracing::info!(path = path.name(), "the viewer's media path");
        viewer.update_stats(|stats| stats.path = Some(path));
        Some(way)
    }

    fn path(&self) -> MediaPath {
        match self {
            Self::Direct(_) => MediaPath::Direct,
            Self::Standard(_) => MediaPath::Standard,
        }
    }

    /// Whether nothing of a picture waits to be sent.
    fn takes_media(&self) -> bool {
        match self {
            Self::Direct(path) => path.takes_media(),
            Self::Standard(_) => true,
        }
    }

    async fn send_video(
        &mut self,
        frame: &VideoFrame,
        health: &mut Health,
        viewer: &ViewerIo,
    ) -> Result<(), Error> {
        let sent = match self {
            Self::Direct(path) => path.send_video(task::now(), frame),
            Self::Standard(path) => {
                let sent = path.send_video(frame).await?;
                sent.map(|(packets, last)| SentVideo {
                    begins: true,
                    keyframe: frame.keyframe,
                    packets,
                    last,
                    failed: 0,
                })
            }
        };
        note(sent, health, viewer);
        Ok(())
    }

    async fn send_audio(&mut self, frame: &AudioFrame, viewer: &ViewerIo) -> Result<(), Error> {
        match self {
            Self::Direct(path) => {
                let failed = path.send_audio(task::now(), frame);
                note_failed(failed, viewer);
                Ok(())
            }
            Self::Standard(path) => path.send_audio(frame).await,
        }
    }

    /// The crate does what is to be done on the standard path.
    fn handle_report(&mut self, report: &Report, viewer: &ViewerIo) {
        if let (Self::Direct(path), Report::Nack(lost)) = (self, report) {
            let failed = path.resend(lost);
            note_failed(failed, viewer);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Direct(path) => path.timeout(),
            Self::Standard(_) => None,
        }
    }

    async fn handle_timeout(&mut self, health: &mut Health, viewer: &ViewerIo) -> Result<(), Error> {
        let Self::Direct(path) = self else { return Ok(()) };
        let now = task::now();
        let sent = path.send_waiting(now);
        note(sent, health, viewer);
        path.report(now).await
    }
}

fn note(sent: Option<SentVideo>, health: &mut Health, viewer: &ViewerIo) {
    let Some(SentVideo { begins, keyframe, packets, last, failed }) = sent else { return };
    health.handle_sent(task::now(), begins && keyframe, packets, last);
    viewer.update_stats(|stats| {
        stats.frames += u64::from(begins);
        stats.packets += packets as u64;
        stats.send_failures += failed;
    });
}

fn note_failed(failed: u64, viewer: &ViewerIo) {
    if failed > 0 {
        viewer.update_stats(|stats| stats.send_failures += failed);
    }
}

/// Does what the viewer's health asks for; `Some` when the viewer has to go.
fn obey(verdict: Verdict, viewer: &ViewerIo) -> Option<LeaveReason> {
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

fn count(report: &Report, viewer: &ViewerIo) {
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
