//! Media through the WebRTC crate's own tracks: right for every viewer, if not the fastest way.

use bytes::Bytes;
use rtc::rtp::{Packet, header::Header};
use webrtc::error::Error;
use webrtc::media_stream::track_local::TrackLocal;

use super::feedback::NegotiatedStreams;
use super::tracks::{RtpStart, Track, Tracks};
use crate::media::{AudioFrame, VideoFrame};

/// One viewer's media on this path.
pub(super) struct StandardPath {
    tracks: Tracks,
    streams: NegotiatedStreams,
    video: RtpOut,
    /// Of the track for sound, where there is one.
    audio: Option<RtpOut>,
}

/// Where one outgoing RTP stream stands.
struct RtpOut {
    start: RtpStart,
    sequence_number: u16,
}

impl StandardPath {
    pub(super) fn new(tracks: Tracks, streams: NegotiatedStreams) -> Self {
        let (video, audio) = (RtpOut::new(&tracks.video), tracks.sound().map(RtpOut::new));
        Self { tracks, streams, video, audio }
    }

    /// The picture's.
    pub(super) fn video_ssrc(&self) -> u32 {
        self.video.start.ssrc
    }

    /// Sends a picture, and gives the number of its packets and the last one's sequence number; `None` where none is
    /// negotiated. Not cancel safe: it may be sent in part.
    pub(super) async fn send_video(&mut self, frame: &VideoFrame) -> Result<Option<(usize, u16)>, Error> {
        let Some(negotiated) = self.streams.by_ssrc(self.video.start.ssrc) else { return Ok(None) };
        let timestamp = frame.timestamp.rtp();
        let payloads = self.tracks.packetiser.packetise(frame);
        let packets = payloads.len();
        for (i, payload) in payloads.into_iter().enumerate() {
            let mut header = self.video.header(negotiated.payload_type, timestamp, payload.marker);
            if frame.keyframe
                && i == 0
                && let Some(id) = negotiated.playout_delay_id
            {
                header.set_extension(id, PLAY_AT_ONCE)?;
            }
            self.tracks.video.track.write_rtp(Packet { header, payload: payload.bytes }).await?;
        }
        Ok(Some((packets, self.video.last())))
    }

    /// Sends a packet of sound, if the viewer hears any.
    pub(super) async fn send_audio(&mut self, frame: &AudioFrame) -> Result<(), Error> {
        let (Some(track), Some(out)) = (self.tracks.sound(), &mut self.audio) else { return Ok(()) };
        let Some(negotiated) = self.streams.by_ssrc(out.start.ssrc) else { return Ok(()) };
        let header = out.header(negotiated.payload_type, frame.timestamp.rtp(), false);
        track.track.write_rtp(Packet { header, payload: frame.data.clone() }).await
    }
}

/// Playout delay 0 to 0: show each frame as soon as it is decoded. On keyframes is enough (docs/webrtc.md).
const PLAY_AT_ONCE: Bytes = Bytes::from_static(&[0, 0, 0]);

impl RtpOut {
    fn new(track: &Track) -> Self {
        Self { start: track.start, sequence_number: track.start.sequence_number }
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
            timestamp: timestamp.wrapping_add(self.start.timestamp_offset),
            ssrc: self.start.ssrc,
            ..Header::default()
        }
    }
}
