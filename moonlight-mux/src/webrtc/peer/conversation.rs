//! What happens on a connection, from its descriptions to its end.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rtc::peer_connection::state::RTCPeerConnectionState;
use tokio::sync::watch;

use super::Session;
use super::connection::Connection;
use crate::egress::ViewerIo;
use crate::media::StreamInfo;
use crate::peer::LeaveReason;
use crate::signalling::{Candidate, Signal, SignalSink, SignalStream};
use crate::task;
use crate::webrtc::channels::{Channels, Fault, Quality};
use crate::webrtc::delivery::Delivery;
use crate::webrtc::tracks::is_audible;

/// From the offer to a connection: every attempt ends in a picture or a reason within 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A browser that closed its signalling and whose connection still answers may only have lost the WebSocket.
const GRACE_WITHOUT_SIGNALLING: Duration = Duration::from_secs(10);

impl<Sink: SignalSink, Stream: SignalStream> Session<Sink, Stream> {
    /// From the descriptions to the end. `info` is what was negotiated; `candidates` are the viewer's that came before.
    pub(super) async fn converse(
        &mut self,
        viewer: &Arc<ViewerIo>,
        info: &StreamInfo,
        connection: &mut Connection,
        delivery: Delivery,
        mut channels: Channels,
        candidates: Vec<Candidate>,
    ) -> Result<LeaveReason, LeaveReason> {
        for candidate in candidates {
            self.add_candidate(connection, candidate).await?;
        }

        let (quality, told) = watch::channel(Quality::default());
        let (announcer, teller) = (channels.announcer.take(), channels.teller.take());
        let events = async {
            match (announcer, teller) {
                (Some(announcer), _) => announcer.serve(viewer, told).await,
                (None, Some(teller)) => teller.serve(viewer, told).await,
                (None, None) => pending().await,
            }
        };
        let media = delivery.serve(viewer, quality);
        viewer.expect_heartbeat(channels.has_heartbeat());
        let changed = format_change(viewer.watch_info(), info);
        tokio::pin!(events, media, changed);
        let mut unfit = connection.unfit();
        let (mut connected, mut signalling) = (false, true);
        let mut deadline = Some(task::now() + CONNECT_TIMEOUT);
        loop {
            tokio::select! {
                signal = self.stream.recv(), if signalling => match self.accept(signal) {
                    Ok(Some(Signal::Candidate(candidate))) => self.add_candidate(connection, candidate).await?,
                    Ok(Some(Signal::Report(report))) => {
                        tracing::info!(event = ?report.event, after = ?report.after, "the viewer reports");
                    }
                    Ok(Some(_)) => self.spend("it has no place behind the answer: each join is a new connection")?,
                    Ok(None) => {}
                    Err(LeaveReason::Left) if connected => {
                        signalling = false;
                        // Most often the page is gone; one that lost its WebSocket presses again.
                        viewer.release_input();
                        deadline = Some(task::now() + GRACE_WITHOUT_SIGNALLING);
                    }
                    Err(reason) => return Err(reason),
                },
                Some(state) = connection.states.recv() => match state {
                    RTCPeerConnectionState::Connected => {
                        tracing::info!("viewer connected");
                        connected = true;
                        deadline = None;
                    }
                    RTCPeerConnectionState::Disconnected if !signalling => return Ok(LeaveReason::Left),
                    RTCPeerConnectionState::Disconnected => {
                        tracing::debug!("the viewer does not answer");
                        viewer.release_input();
                    }
                    RTCPeerConnectionState::Closed => return Ok(LeaveReason::Left),
                    RTCPeerConnectionState::Failed if connected => return Ok(LeaveReason::Vanished),
                    RTCPeerConnectionState::Failed => return Ok(LeaveReason::ConnectionFailed),
                    _ => {}
                },
                () = is_true(&mut unfit), if !connected => {
                    return Ok(LeaveReason::ConnectionFailed);
                }
                () = task::at(deadline) => {
                    if !connected {
                        return Ok(LeaveReason::ConnectionFailed);
                    }
                    // It still answers after the grace, so it is there: only its signalling is lost.
                    deadline = None;
                }
                fault = channels.serve(viewer) => self.spend_on(fault)?,
                never = &mut events => match never {},
                reason = &mut media, if connected => return Ok(match reason {
                    // Its signalling said so before.
                    LeaveReason::Vanished if !signalling => LeaveReason::Left,
                    reason => reason,
                }),
                () = &mut changed => return Ok(LeaveReason::FormatChanged),
                reason = viewer.leaving() => return Ok(reason),
            }
        }
    }

    /// Counts a fault on a data channel.
    fn spend_on(&mut self, fault: Fault) -> Result<(), LeaveReason> {
        self.spend(fault.message()).map_err(|_| LeaveReason::BadInput)
    }

    async fn add_candidate(
        &mut self,
        connection: &Connection,
        candidate: Candidate,
    ) -> Result<(), LeaveReason> {
        match connection.add_candidate(candidate).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a candidate cannot be used");
                self.spend("the candidate cannot be used")
            }
        }
    }
}

async fn is_true(watched: &mut watch::Receiver<bool>) {
    if watched.wait_for(|value| *value).await.is_err() {
        pending().await
    }
}

/// Waits until the stream has a format that a connection for `negotiated` cannot carry.
async fn format_change(mut infos: watch::Receiver<Option<Arc<StreamInfo>>>, negotiated: &StreamInfo) {
    let change = infos.wait_for(|now| now.as_ref().is_some_and(|now| !can_follow(negotiated, now)));
    if change.await.is_err() {
        // The stream is over: others tell.
        pending().await
    }
}

/// Whether a connection that was negotiated for one format can carry the other. Its size and rate are the codec's affair.
fn can_follow(negotiated: &StreamInfo, now: &StreamInfo) -> bool {
    now.video.codec == negotiated.video.codec && is_audible(now) == is_audible(negotiated)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;
    use crate::media::{AudioInfo, VideoCodec, VideoInfo};

    fn info(codec: VideoCodec, width: u32, channels: Option<u8>) -> StreamInfo {
        let video = VideoInfo { codec, width, height: 720, fps: 60 };
        let audio =
            channels.map(|channels| AudioInfo { channels, packet_duration: Duration::from_millis(5) });
        StreamInfo { video, audio }
    }

    #[tokio::test]
    async fn a_viewer_follows_another_size_but_no_other_codec_nor_sound_that_comes_or_goes() {
        let negotiated = info(VideoCodec::H264, 1280, Some(2));
        let others = [
            (info(VideoCodec::H264, 1920, Some(1)), true),
            (info(VideoCodec::Av1, 1280, Some(2)), false),
            (info(VideoCodec::H264, 1280, None), false),
            (info(VideoCodec::H264, 1280, Some(6)), false),
        ];
        for (now, follows) in others {
            let (known, infos) = watch::channel(Some(Arc::new(negotiated.clone())));
            let mut change = pin!(format_change(infos, &negotiated));
            assert!(poll!(&mut change).is_pending());
            known.send_replace(Some(Arc::new(now.clone())));
            assert_eq!(poll!(&mut change).is_pending(), follows, "{now:?}");
        }
        let (known, infos) = watch::channel(None);
        let mut change = pin!(format_change(infos, &negotiated));
        drop(known);
        assert!(poll!(&mut change).is_pending(), "the end of the stream is told by others");
    }
}
