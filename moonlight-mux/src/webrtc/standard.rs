//! Media through the WebRTC crate's own tracks: right for every viewer, if not the fastest way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio::sync::watch;
use webrtc::error::Error;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::channels::VideoQuality;
use super::feedback::{Backchannel, RESEND_PACKETS};
use super::health::{Health, Report, Verdict};
use super::heard::LastHeard;
use super::negotiate;
use super::packetiser::Packetiser;
use crate::broadcast::Media;
use crate::egress::ViewerIo;
use crate::media::{AudioFrame, StreamInfo, VideoFrame, VideoTimestamp};
use crate::peer::LeaveReason;
use crate::task;

/// The tracks of one viewer.
pub(super) struct Tracks {
    pub(super) video: Arc<TrackLocalStaticRTP>,
    pub(super) audio: Option<Arc<TrackLocalStaticRTP>>,
    packetiser: Packetiser,
    video_out: RtpOut,
    audio_out: RtpOut,
    backchannel: Backchannel,
    heard: LastHeard,
    audible: bool,
}

/// Where one outgoing RTP stream stands.
struct RtpOut {
    ssrc: u32,
    sequence_number: u16,
    /// Added to our timeline's timestamps (RFC 3550, 5.1: random).
    timestamp_offset: u32,
}

impl Tracks {
    /// `with_audio`: whether the browser offers a section for it, which must then be taken.
    pub(super) fn new(
        backchannel: Backchannel,
        heard: LastHeard,
        packetiser: Packetiser,
        info: &StreamInfo,
        with_audio: bool,
    ) -> Self {
        let (video_out, audio_out) = (RtpOut::random(), RtpOut::random());
        let rtx_ssrc = uuid::Uuid::new_v4().as_u128() as u32;
        let rtx = RTCRtpRtxParameters { ssrc: rtx_ssrc };
        let video =
            track("video", RtpCodecKind::Video, negotiate::video(packetiser), video_out.ssrc, Some(rtx));
        let audio =
            with_audio.then(|| track("audio", RtpCodecKind::Audio, negotiate::opus(), audio_out.ssrc, None));
        let audible = is_audible(info);
        Self { video, audio, packetiser, video_out, audio_out, backchannel, heard, audible }
    }

    /// Sends what the viewer gets until the stream or the connection ends, as far as its [`Health`] allows, of which
    /// `quality` tells. Not cancel safe: a frame may be sent in part, so the viewer cannot go on afterwards.
    pub(super) async fn serve(
        mut self,
        viewer: &ViewerIo,
        quality: watch::Sender<VideoQuality>,
    ) -> LeaveReason {
        let mut health = Health::new(task::now(), RESEND_PACKETS);
        loop {
            while let Some(verdict) = health.poll_verdict() {
                if let Some(reason) = obey(verdict, viewer) {
                    return reason;
                }
            }
            let now = health.quality();
            quality.send_if_modified(|told| std::mem::replace(told, now) != now);
            tokio::select! {
                media = viewer.media() => {
                    let sent = match media {
                        Some(Media::Video(frame)) => self.send_video(&frame, &mut health, viewer).await,
                        Some(Media::Audio(frame)) => self.send_audio(&frame).await,
                        Some(Media::Gap { lost }) => {
                            tracing::debug!(lost, "the viewer misses pictures");
                            Ok(())
                        }
                        // The stream is over; why, the Streamer says.
                        None => return viewer.leaving().await,
                    };
                    if let Err(error) = sent {
                        tracing::debug!(%error, "the connection takes no more media");
                        return LeaveReason::Vanished;
                    }
                }
                report = self.backchannel.reports.recv() => match report {
                    Some((ssrc, report)) if ssrc == self.video_out.ssrc => {
                        count(&report, viewer);
                        health.handle_report(task::now(), &report);
                    }
                    Some(_) => {}
                    None => return LeaveReason::Vanished,
                },
                () = task::at(health.timeout()) => {
                    let now = task::now();
                    health.handle_heard(now, self.heard.at());
                    health.handle_timeout(now);
                }
            }
        }
    }

    async fn send_video(
        &mut self,
        frame: &VideoFrame,
        health: &mut Health,
        viewer: &ViewerIo,
    ) -> Result<(), Error> {
        let Some(negotiated) = self.backchannel.streams.by_ssrc(self.video_out.ssrc) else { return Ok(()) };
        let timestamp = frame.timestamp.rtp();
        let payloads = self.packetiser.packetise(frame);
        let packets = payloads.len();
        for (i, payload) in payloads.into_iter().enumerate() {
            let mut header = self.video_out.header(negotiated.payload_type, timestamp, payload.marker);
            if frame.keyframe
                && i == 0
                && let Some(id) = negotiated.playout_delay_id
            {
                header.set_extension(id, PLAY_AT_ONCE)?;
            }
            self.video.write_rtp(Packet { header, payload: payload.bytes }).await?;
        }
        health.handle_sent(task::now(), frame.keyframe, packets, self.video_out.last());
        viewer.update_stats(|stats| {
            stats.frames += 1;
            stats.packets += packets as u64;
        });
        Ok(())
    }

    async fn send_audio(&mut self, frame: &AudioFrame) -> Result<(), Error> {
        let Some(track) = self.audio.as_ref().filter(|_| self.audible) else { return Ok(()) };
        let Some(negotiated) = self.backchannel.streams.by_ssrc(self.audio_out.ssrc) else { return Ok(()) };
        let header = self.audio_out.header(negotiated.payload_type, frame.timestamp.rtp(), false);
        track.write_rtp(Packet { header, payload: frame.data.clone() }).await
    }
}

/// Whether a stream's sound can be sent. More than two channels are a multistream, which is no `opus/48000/2`: such a
/// stream is silent so far.
pub(super) fn is_audible(info: &StreamInfo) -> bool {
    info.audio.as_ref().is_some_and(|audio| audio.channels <= 2)
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

/// Playout delay 0 to 0: show each frame as soon as it is decoded. On keyframes is enough (docs/webrtc.md).
const PLAY_AT_ONCE: Bytes = Bytes::from_static(&[0, 0, 0]);

impl RtpOut {
    fn random() -> Self {
        let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
        let [a, b, c, d, e, f, _, _, _, _, g, h, i, j, _, _] = random;
        Self {
            ssrc: u32::from_be_bytes([a, b, c, d]),
            // Below 2^15: Chromium cannot decrypt retransmissions above (docs/webrtc.md).
            sequence_number: u16::from_be_bytes([e, f]) & 0x7fff,
            timestamp_offset: u32::from_be_bytes([g, h, i, j]),
        }
    }

    /// The last sequence number that was given out.
    fn last(&self) -> u16 {
        self.sequence_number.wrapping_sub(1)
    }

    fn header(&mut self, payload_type: u8, timestamp: u32, marker: bool) -> Header {
        let sequence_number = self.sequence_number;
        self.sequence_number = sequence_number.wrapping_add(1);
        Header {
            version: 2,
            marker,
            payload_type,
            sequence_number,
            timestamp: timestamp.wrapping_add(self.timestamp_offset),
            ssrc: self.ssrc,
            ..Header::default()
        }
    }
}

fn track(
    name: &str,
    kind: RtpCodecKind,
    codec: RTCRtpCodec,
    ssrc: u32,
    rtx: Option<RTCRtpRtxParameters>,
) -> Arc<TrackLocalStaticRTP> {
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() },
        codec,
        ..Default::default()
    };
    // One media stream for both: browsers synchronise what belongs to one.
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        "moonlight-mux".to_owned(),
        name.to_owned(),
        name.to_owned(),
        kind,
        vec![coding],
    )))
}
