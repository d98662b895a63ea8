//! The tracks of one viewer, as they are negotiated: sound and picture.

use std::sync::Arc;

use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::negotiate;
use super::packetiser::Packetiser;
use crate::media::StreamInfo;

/// The tracks of one viewer. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Tracks {
    pub(super) video: Track,
    /// `None` where the browser offers no section for it.
    pub(super) audio: Option<Track>,
    pub(super) packetiser: Packetiser,
    /// Whether the stream's sound can be sent.
    pub(super) audible: bool,
}

/// One track, and where its RTP stream begins.
#[derive(Clone)]
pub(super) struct Track {
    pub(super) track: Arc<TrackLocalStaticRTP>,
    pub(super) start: RtpStart,
}

/// Where one outgoing RTP stream begins (RFC 3550, 5.1: all of it random).
#[derive(Clone, Copy, Debug)]
pub(super) struct RtpStart {
    pub(super) ssrc: u32,
    /// Of its first packet.
    pub(super) sequence_number: u16,
    /// Added to our timeline's timestamps.
    pub(super) timestamp_offset: u32,
}

impl Tracks {
    /// `with_audio`: whether the browser offers a section for it, which must then be taken.
    pub(super) fn new(packetiser: Packetiser, info: &StreamInfo, with_audio: bool) -> Self {
        let rtx = RTCRtpRtxParameters { ssrc: RtpStart::random().ssrc };
        let video = Track::new("video", RtpCodecKind::Video, negotiate::video(packetiser), Some(rtx));
        let audio = with_audio.then(|| Track::new("audio", RtpCodecKind::Audio, negotiate::opus(), None));
        Self { video, audio, packetiser, audible: is_audible(info) }
    }

    /// The track for sound, if there is any sound that it can carry.
    pub(super) fn sound(&self) -> Option<&Track> {
        self.audio.as_ref().filter(|_| self.audible)
    }
}

impl Track {
    fn new(name: &str, kind: RtpCodecKind, codec: RTCRtpCodec, rtx: Option<RTCRtpRtxParameters>) -> Self {
        let start = RtpStart::random();
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(start.ssrc),
                rtx,
                ..Default::default()
            },
            codec,
            ..Default::default()
        };
        // One media stream for both: browsers synchronise what belongs to one.
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            "moonlight-mux".to_owned(),
            name.to_owned(),
            name.to_owned(),
            kind,
            vec![coding],
        )));
        Self { track, start }
    }
}

impl RtpStart {
    pub(super) fn random() -> Self {
        let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
        let [a, b, c, d, e, f, _, _, _, _, g, h, i, j, _, _] = random;
        Self {
            ssrc: u32::from_be_bytes([a, b, c, d]),
            // Below 2^15: Chromium cannot decrypt retransmissions above (docs/webrtc.md).
            sequence_number: u16::from_be_bytes([e, f]) & 0x7fff,
            timestamp_offset: u32::from_be_bytes([g, h, i, j]),
        }
    }
}

/// Whether a stream's sound can be sent. More than two channels are a multistream, which is no `opus/48000/2`: such a
/// stream is silent so far.
pub(super) fn is_audible(info: &StreamInfo) -> bool {
    info.audio.as_ref().is_some_and(|audio| audio.channels <= 2)
}
