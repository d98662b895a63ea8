//! What one viewer gets and what it says of it, whichever way its media go.

use std::sync::Arc;

use tokio::sync::watch;

use super::channels::Quality;
use super::direct::Opening;
use super::direct::viewer::{DirectViewer, Heard};
use super::feedback::Backchannel;
use super::health::Health;
use super::heard::LastHeard;
use super::paths::Paths;
use super::resend::RESEND_PACKETS;
use super::serving::{Told, count, note_gap, obey};
use super::shards::End;
use super::standard::StandardPath;
use super::tracks::Tracks;
use crate::broadcast::Media;
use crate::egress::ViewerIo;
use crate::peer::{LeaveReason, MediaPath};
use crate::task::{self, Alarm};

/// One viewer's media, before it is connected.
pub(super) struct Delivery {
    pub(super) tracks: Tracks,
    pub(super) backchannel: Backchannel,
    pub(super) heard: LastHeard,
    pub(super) paths: Paths,
    /// Where the direct path is one of them.
    pub(super) opening: Option<Opening>,
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
        let news = viewer.news_for(place.listener());
        viewer.start_media();
        let feedback = Heard { video: tracks.video.start.ssrc, reports: backchannel.reports, heard };
        let served = DirectViewer::new(task::now(), path, feedback, viewer.clone(), told);
        match place.run(Box::new(served), news).await {
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
            tracing::debug!(%error, "the connection takes no more media");
            return LeaveReason::Vanished;
        }
    }
}
