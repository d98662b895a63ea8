//! What we offer and accept: codecs, extensions, timers, and the few edits that an SDP needs.

use std::time::Duration;

use rtc::crypto::SignatureScheme;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{NackResponderBuilder, Registry, SenderReportBuilder, Slot};
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::shared::error::Error;

use super::BindError;
use super::feedback::{Feedback, NegotiatedStreams, PLAYOUT_DELAY};
use super::packetiser::Packetiser;
use crate::media::VideoCodec;

/// Without an answer to a consent check for this long the connection counts as disconnected, which may pass.
const ICE_DISCONNECTED: Duration = Duration::from_secs(3);
/// Then, after this long, as failed, which is final: a viewer that vanished is gone within 8 s in all.
const ICE_FAILED: Duration = Duration::from_secs(5);
/// Consent checks, so that a vanished viewer is noticed within [`ICE_DISCONNECTED`].
const ICE_KEEPALIVE: Duration = Duration::from_secs(1);
/// Packets kept for retransmission: a second and a half of a 6 Mbit/s stream, half a second of 20 Mbit/s.
const RESEND_PACKETS: u16 = 1024;
/// Sender reports tie sound to picture; the first ones decide how soon the lips fit.
const SENDER_REPORTS: Duration = Duration::from_secs(1);

/// The certificate of a process: one for all of its connections, since making one costs milliseconds.
pub(super) fn certificate() -> Result<RTCCertificate, BindError> {
    let provider = rtc::crypto::default_provider();
    let provider = provider.map_err(|source| BindError::Certificate { source: Box::new(source) })?;
    RTCCertificate::generate(
        provider.crypto(),
        SignatureScheme::EcdsaP256Sha256,
        CertificateParams::default(),
    )
    .map_err(|source| BindError::Certificate { source: Box::new(source) })
}

/// Whether the browser that made this offer can decode `codec`.
pub(super) fn offers(sdp: &str, codec: VideoCodec) -> bool {
    let name = match codec {
        VideoCodec::H264 => "H264/90000",
        VideoCodec::Hevc => "H265/90000",
        VideoCodec::Av1 => "AV1/90000",
    };
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.trim().split_once(' '))
        .any(|(_, encoding)| encoding.eq_ignore_ascii_case(name))
}

/// Whether the offer has a section for sound.
pub(super) fn offers_audio(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=audio "))
}

/// The ICE user name fragment of a description.
pub(super) fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::trim)
}

/// A codec as our track and our side of the negotiation have it.
///
/// Browsers decode every H.264 profile under 42e01f, and offer none beyond 4d001f (docs/webrtc.md). AV1 is profile 0, which
/// an offer without format parameters means as well (RTP payload format for AV1, 7).
pub(super) fn video(packetiser: Packetiser) -> RTCRtpCodec {
    let (mime_type, parameters) = match packetiser {
        Packetiser::H264 => {
            (MIME_TYPE_H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
        }
        Packetiser::Av1 => (MIME_TYPE_AV1, "profile=0"),
    };
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: parameters.to_owned(),
        rtcp_feedback: [("nack", ""), ("nack", "pli"), ("ccm", "fir")]
            .map(|(typ, parameter)| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() })
            .to_vec(),
    }
}

/// Stereo Opus.
pub(super) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;stereo=1;sprop-stereo=1;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// What we send: the stream's codec alone. The payload types here count only in offers of our own: an answer takes the
/// browser's.
pub(super) fn media_engine(packetiser: Packetiser) -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    for (rtp_codec, payload_type) in [(video(packetiser), 102), (rtx(102), 103)] {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)?;
    }
    let audio = RTCRtpCodecParameters { rtp_codec: opus(), payload_type: 111 };
    engine.register_codec(audio, RtpCodecKind::Audio)?;
    let playout_delay = RTCRtpHeaderExtensionCapability { uri: PLAYOUT_DELAY.to_owned() };
    engine.register_header_extension(playout_delay, RtpCodecKind::Video, None)?;
    Ok(engine)
}

fn rtx(apt: u8) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={apt}"),
        rtcp_feedback: Vec::new(),
    }
}

/// What happens to packets on their way: retransmission on request, sender reports, and keyframe requests for us.
pub(super) fn interceptors(streams: NegotiatedStreams) -> Registry {
    Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(RESEND_PACKETS).build())
        .with(Slot::SenderReport, SenderReportBuilder::new().with_interval(SENDER_REPORTS).build())
        .with(Slot::Custom(FEEDBACK_SLOT), Feedback::new(streams))
}

/// The application's end of the chain.
const FEEDBACK_SLOT: usize = 20_000;

pub(super) fn settings() -> SettingEngine {
    SettingEngineBuilder::new()
        // As client the crate sends its ClientHello late: 273 instead of 110 ms to the first frame.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        // A socket on port 5353 per connection otherwise. Browsers that hide their addresses behind mDNS names are found
        // by the checks that they send.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_include_loopback_candidate(true)
        .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
        .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_browsers_codecs_are_read_from_its_offer() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96 45\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:45 AV1/90000\r\n";
        assert!(offers(sdp, VideoCodec::Av1));
        assert!(!offers(sdp, VideoCodec::H264));
        assert!(!offers(sdp, VideoCodec::Hevc));
        assert!(offers_audio(sdp));
        assert!(!offers_audio("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"));
    }

    #[test]
    fn the_user_name_fragment_is_read_from_a_description() {
        assert_eq!(ufrag("v=0\r\na=ice-ufrag:Ab+1\r\n"), Some("Ab+1"));
        assert_eq!(ufrag("v=0\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(sdp in "[a-z=: 0-9\r\n]{0,200}") {
            let _ = (offers(&sdp, VideoCodec::H264), offers_audio(&sdp), ufrag(&sdp));
        }
    }
}
