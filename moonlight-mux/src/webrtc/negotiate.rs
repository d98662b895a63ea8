//! What we offer and accept: codecs, extensions, timers, and the few edits that an SDP needs.

use std::sync::Arc;
use std::time::Duration;

use rtc::crypto::{RTCCryptoProvider, SignatureScheme};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{Registry, SenderReportBuilder, Slot};
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_AV1, MIME_TYPE_H264, MIME_TYPE_HEVC, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::{
    SctpMaxMessageSize, SettingEngine, SettingEngineBuilder,
};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::shared::error::Error;

use super::BindError;
use super::channels;
use super::feedback::{Feedback, PLAYOUT_DELAY};
use super::late_responder::LateResponder;
use super::packetiser::Packetiser;
use super::paths::Paths;
use crate::media::VideoCodec;

/// Without an answer to a consent check for this long the connection counts as disconnected, which may pass.
const ICE_DISCONNECTED: Duration = Duration::from_secs(3);
/// Then, after this long, as failed, which is final. A viewer that is connected is given up sooner (`health.rs`).
const ICE_FAILED: Duration = Duration::from_secs(5);
/// Consent checks, of which every other one is left out as long as they are answered (`calm.rs`): two seconds of silence are two
/// or three of them unanswered (`health.rs`).
const ICE_KEEPALIVE: Duration = Duration::from_millis(500);
/// Between two connectivity checks of a pair of candidates (RFC 8445, 14.2: Ta).
const ICE_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Checks of a pair before it is given up: 1.4 s, as is usual.
const ICE_CHECKS: u16 = 28;
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
    sdp.lines().any(|line| maps(line, codec))
}

/// Whether the offer has a section for sound.
pub(super) fn offers_audio(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=audio "))
}

/// Whether the offer has a section for data channels.
pub(super) fn offers_channels(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=application "))
}

/// Whether the answer takes `codec` for the picture. A section that it rejects has port 0 (RFC 3264, 6).
pub(super) fn takes(sdp: &str, codec: VideoCodec) -> bool {
    let mut taken = false;
    sdp.lines().any(|line| {
        if let Some(media) = line.strip_prefix("m=") {
            taken = media.starts_with("video ") && !is_rejected(media);
        }
        taken && maps(line, codec)
    })
}

/// The same offer without the codecs that we do not send, which an answer would leave out: reading codecs costs the crate the
/// square of their number, and a browser offers fifty. A section that has nothing for us keeps the first.
pub(super) fn without_other_codecs(sdp: &str, codec: VideoCodec) -> String {
    let mut out = String::with_capacity(sdp.len());
    let lines: Vec<&str> = sdp.lines().collect();
    for section in lines.chunk_by(|_, next| !next.starts_with("m=")) {
        let kept = kept_payload_types(section, codec);
        for line in section {
            match &kept {
                Some(kept) if line.starts_with("m=") => out.push_str(&with_payload_types(line, kept)),
                Some(kept) if described(line).is_some_and(|it| !kept.contains(&it)) => continue,
                _ => out.push_str(line),
            }
            out.push_str("\r\n");
        }
    }
    out
}

/// The payload types of a section for sound or pictures that are `codec` or Opus, or retransmit one (RFC 4588, 8.1), each
/// once and as preferred by the browser.
fn kept_payload_types(section: &[&str], codec: VideoCodec) -> Option<Vec<u8>> {
    let media = section.first()?.strip_prefix("m=")?;
    if !media.starts_with("audio ") && !media.starts_with("video ") {
        return None;
    }
    let is_ours = |line: &&&str| maps(line, codec) || maps_opus(line);
    let ours: Vec<u8> = section.iter().filter(is_ours).filter_map(|line| described(line)).collect();
    let resends_ours = |line: &&&str| resent(line).is_some_and(|it| ours.contains(&it));
    let resending: Vec<u8> = section.iter().filter(resends_ours).filter_map(|line| described(line)).collect();

    let offered: Vec<u8> = media.split(' ').skip(3).filter_map(|it| it.parse().ok()).collect();
    let mut kept = Vec::new();
    for it in &offered {
        if (ours.contains(it) || resending.contains(it)) && !kept.contains(it) {
            kept.push(*it);
        }
    }
    if kept.is_empty() {
        kept.extend(offered.first());
    }
    Some(kept)
}

/// An `m=` line with other payload types: kind, port, protocol, payload types (RFC 8866, 5.14).
fn with_payload_types(line: &str, payload_types: &[u8]) -> String {
    let fixed = line.split(' ').take(3).map(str::to_owned);
    fixed.chain(payload_types.iter().map(u8::to_string)).collect::<Vec<_>>().join(" ")
}

/// The payload type whose packets this format resends.
fn resent(line: &str) -> Option<u8> {
    let (_, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
    parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("apt="))?.parse().ok()
}

/// The payload type that an attribute is about.
fn described(line: &str) -> Option<u8> {
    let about = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|name| line.strip_prefix(name))?;
    about.split(' ').next()?.parse().ok()
}

/// The same answer without the ICE credentials of the sections that it rejects: the crate wants them to be those of the
/// others, and nobody uses them.
pub(super) fn without_rejected_credentials(sdp: &str) -> String {
    let mut rejected = false;
    let keep = |line: &&str| {
        if let Some(media) = line.strip_prefix("m=") {
            rejected = is_rejected(media);
        }
        !(rejected && (line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:")))
    };
    sdp.split_inclusive('\n').filter(keep).collect()
}

/// `media`: an `m=` line without these two characters.
fn is_rejected(media: &str) -> bool {
    media.split(' ').nth(1) == Some("0")
}

/// Whether the line gives `codec` a payload type.
fn maps(line: &str, codec: VideoCodec) -> bool {
    let name = match codec {
        VideoCodec::H264 => "H264/90000",
        VideoCodec::Hevc => "H265/90000",
        VideoCodec::Av1 => "AV1/90000",
    };
    maps_to(line, name)
}

fn maps_opus(line: &str) -> bool {
    maps_to(line, "opus/48000/2")
}

fn maps_to(line: &str, name: &str) -> bool {
    let mapping = line.strip_prefix("a=rtpmap:").and_then(|mapping| mapping.trim().split_once(' '));
    mapping.is_some_and(|(_, encoding)| encoding.eq_ignore_ascii_case(name))
}

/// The ICE user name fragment of a description.
pub(super) fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::trim)
}

/// A codec as our track and our side of the negotiation have it.
///
/// Browsers decode every H.264 profile under 42e01f, and offer none beyond 4d001f (docs/webrtc.md). AV1 is profile 0, which
/// an offer without format parameters means as well (RTP payload format for AV1, 7). HEVC is the Main profile; it has no level
/// here, since the crate takes a browser's format for another one where the two differ in any parameter that both name.
pub(super) fn video(packetiser: Packetiser) -> RTCRtpCodec {
    let (mime_type, parameters) = match packetiser {
        Packetiser::H264 => {
            (MIME_TYPE_H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
        }
        Packetiser::Hevc => (MIME_TYPE_HEVC, "profile-id=1;tier-flag=0;tx-mode=SRST"),
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

/// What happens to packets on their way: the viewer's reports for us, and where media may go through the crate, retransmission
/// on request and sender reports. Both do nothing as long as no media do.
pub(super) fn interceptors(feedback: Feedback, paths: Paths) -> Registry {
    let registry = Registry::new().with(FEEDBACK_SLOT, feedback);
    if !paths.has_standard() {
        return registry;
    }
    registry
        .with(Slot::NackResponder, LateResponder::default())
        .with(Slot::SenderReport, SenderReportBuilder::new().with_interval(SENDER_REPORTS).build())
}

/// Nearer to the wire than what resends and what makes sender reports.
const FEEDBACK_SLOT: Slot = Slot::Custom(3_500);

/// Whoever says which SRTP profiles it has gets the first of its own that is here.
fn srtp_profiles(paths: Paths) -> Vec<SrtpProtectionProfile> {
    const GCM: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm;
    const CM_HMAC: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80;
    match paths {
        // Browsers would take the slower one wherever it is.
        Paths::Direct => vec![GCM],
        // Every browser has the second; with any other one the direct path would not be found.
        Paths::Any => vec![GCM, CM_HMAC],
        // The crate's own list.
        Paths::Standard => Vec::new(),
    }
}

/// `crypto`: the connection's own.
pub(super) fn settings(crypto: Arc<dyn RTCCryptoProvider>, paths: Paths) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_crypto_provider(crypto)
        .with_srtp_protection_profiles(srtp_profiles(paths))
        // As client the crate sends its ClientHello late: 273 instead of 110 ms to the first frame.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        // A socket on port 5353 per connection otherwise. Browsers that hide their addresses behind mDNS names are found
        // by the checks that they send.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_include_loopback_candidate(true)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(channels::MAX_MESSAGE))
        .with_sctp_max_receive_buffer_size(channels::RECEIVE_BUFFER)
        // Where we offer we nominate, which takes two intervals: 425 ms to an existing page's connection with the usual 200 ms.
        .with_ice_connection_attempts(Some(ICE_CHECK_INTERVAL), Some(ICE_CHECKS))
        .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
        .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::interceptor::{
        AttributedPacket, Interceptor as _, Packet, RTCPFeedback, StreamInfo, TaggedPacket,
    };
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
    use rtc::rtp::{self, header::Header};
    use rtc::sansio::Protocol as _;
    use rtc::shared::TransportContext;

    use super::*;

    /// Whoever sends past the crate on such a connection answers requests and reports by itself.
    #[test]
    fn as_long_as_no_media_go_through_the_crate_it_neither_sends_again_nor_reports() {
        let (feedback, _backchannel) = Feedback::new(None, true);
        let mut chain = interceptors(feedback, Paths::Any).build();
        let nack = RTCPFeedback { typ: "nack".to_owned(), parameter: String::new() };
        chain.bind_local_stream(&StreamInfo {
            ssrc: 7,
            clock_rate: 90_000,
            rtcp_feedback: vec![nack],
            ..StreamInfo::default()
        });
        let start = crate::task::now();
        let tagged = |packet| TaggedPacket {
            now: start,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        };
        let nacks = vec![NackPair { packet_id: 1, lost_packets: 0 }];
        let asks = || {
            let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks: nacks.clone() };
            tagged(Packet::Rtcp(vec![Box::new(nack)]))
        };
        chain.handle_read(asks()).expect("it takes all");
        assert_eq!(chain.poll_timeout(), None, "nothing is due");
        chain.handle_timeout(start + 2 * SENDER_REPORTS).expect("it takes all");
        assert!(chain.poll_write().is_none());

        let header = Header { version: 2, ssrc: 7, sequence_number: 1, ..Header::default() };
        let media = rtp::Packet { header, payload: vec![0; 9].into() };
        chain.handle_write(tagged(Packet::Rtp(media))).expect("it takes all");
        let mut left: Vec<_> = std::iter::from_fn(|| chain.poll_write()).collect();
        chain.handle_read(asks()).expect("it takes all");
        chain.handle_timeout(start + 2 * SENDER_REPORTS).expect("it takes all");
        left.extend(std::iter::from_fn(|| chain.poll_write()));
        let media = left.iter().filter(|it| matches!(it.message.packet, Packet::Rtp(_))).count();
        assert_eq!((media, left.len()), (2, 3), "the packet, again, and a report");
    }

    #[test]
    fn a_browsers_codecs_are_read_from_its_offer() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96 45\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:45 AV1/90000\r\n";
        assert!(offers(sdp, VideoCodec::Av1));
        assert!(!offers(sdp, VideoCodec::H264));
        assert!(!offers(sdp, VideoCodec::Hevc));
        assert!(offers("a=rtpmap:98 H265/90000\r\n", VideoCodec::Hevc));
        assert!(offers_audio(sdp));
        assert!(!offers_audio("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"));
        assert!(!offers_channels(sdp));
        assert!(offers_channels("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    }

    #[test]
    fn an_answer_takes_a_codec_in_a_section_that_it_does_not_reject() {
        let section = |kind: &str, port: u16, codec: &str| {
            format!("m={kind} {port} UDP/TLS/RTP/SAVPF 102\r\na=rtpmap:102 {codec}\r\n")
        };
        let audio = section("audio", 9, "opus/48000/2");
        for (sdp, taken) in [
            (section("video", 9, "H264/90000"), true),
            (audio.clone() + &section("video", 9, "h264/90000"), true),
            (section("video", 0, "H264/90000"), false),
            (section("video", 9, "VP8/90000"), false),
            (section("video", 0, "H264/90000") + &audio, false),
            (section("video", 9, "VP8/90000") + &section("audio", 9, "H264/90000"), false),
        ] {
            assert_eq!(takes(&sdp, VideoCodec::H264), taken, "{sdp}");
        }
    }

    #[test]
    fn a_rejected_sections_credentials_are_dropped_and_nothing_else() {
        let sdp = "v=0\r\na=ice-ufrag:s\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n\
                   m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=ice-ufrag:c\r\na=ice-pwd:d\r\na=mid:1\r\n\
                   m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:a\r\na=ice-pwd:b";
        let expected = sdp.replace("a=ice-ufrag:c\r\na=ice-pwd:d\r\n", "");
        assert_eq!(without_rejected_credentials(sdp), expected);
    }

    #[test]
    fn the_user_name_fragment_is_read_from_a_description() {
        assert_eq!(ufrag("v=0\r\na=ice-ufrag:Ab+1\r\n"), Some("Ab+1"));
        assert_eq!(ufrag("v=0\r\n"), None);
    }

    #[test]
    fn only_our_codecs_and_their_retransmission_are_left_of_an_offer() {
        let sdp = "v=0\r\na=group:BUNDLE 0 1 2 3\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104\r\na=mid:0\r\na=rtcp-fb:* nack\r\n\
            a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
            a=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack pli\r\na=fmtp:102 packetization-mode=1\r\n\
            a=rtpmap:103 rtx/90000\r\na=fmtp:103 rtx-time=3000; apt=102\r\na=rtpmap:104 red/90000\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111 63 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:2\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 VP9/90000\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";
        let expected = "v=0\r\na=group:BUNDLE 0 1 2 3\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\na=mid:0\r\na=rtcp-fb:* nack\r\n\
            a=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack pli\r\na=fmtp:102 packetization-mode=1\r\n\
            a=rtpmap:103 rtx/90000\r\na=fmtp:103 rtx-time=3000; apt=102\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 useinbandfec=1\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=rtpmap:96 VP8/90000\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";
        assert_eq!(without_other_codecs(sdp, VideoCodec::H264), expected);
        assert_eq!(without_other_codecs(expected, VideoCodec::H264), expected);
    }

    proptest! {
        #[test]
        fn of_any_section_at_most_each_payload_type_is_left_once(
            types in prop::collection::vec(0u16..300, 0..2000),
        ) {
            let types: Vec<String> = types.iter().map(u16::to_string).collect();
            let sdp = format!("m=video 9 UDP/TLS/RTP/SAVPF {}\r\na=rtpmap:96 H264/90000\r\n", types.join(" "));
            let trimmed = without_other_codecs(&sdp, VideoCodec::H264);
            let head = trimmed.lines().next().expect("a line");
            prop_assert!(head.split(' ').count() <= 4, "{head}");
        }

        #[test]
        fn any_text_is_taken(sdp in "(m=(audio|video) |a=rtpmap:|a=fmtp:|[a-z=: 0-9\r\n]){0,200}") {
            let _ = without_other_codecs(&sdp, VideoCodec::H264);
            let _ = (offers(&sdp, VideoCodec::H264), offers_audio(&sdp), ufrag(&sdp));
            let _ = (offers_channels(&sdp), takes(&sdp, VideoCodec::H264));
            prop_assert!(without_rejected_credentials(&sdp).len() <= sdp.len());
        }
    }
}
