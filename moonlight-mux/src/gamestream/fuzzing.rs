//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

mod connection;
mod control;
#[cfg(test)]
mod seeds;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use self::connection::connection;
pub use self::control::{control_message, control_stream, enet_datagram, input_packet};
use super::crypto::{AudioCipher, SessionKey, VideoCipher};
use super::pairing::certificate::Certificate;
use super::session::{AudioConfig, Event, Session, SessionConfig, VideoConfig};
use super::wire::http::pairing::PairAnswer;
use super::wire::http::request::{Call, UniqueId};
use super::wire::http::{self, ServerInfo, Start, Started};
use super::wire::sdp::{Announcement, Offer};
use super::wire::xml::Document;
use super::wire::{audio, rtsp, video};
use crate::media::VideoCodec;
use crate::recording::transcript::Transcript;

/// What the bytes turned out to be, or what a script came to, by the endings of seeds' names (`fuzz/README.md`).
pub type Forms = BTreeSet<&'static str>;

/// A datagram of the video socket, a frame header, or a ping: what parses builds back to something that means the same.
pub fn video_datagram(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut built = Vec::new();
    if let Ok(packet) = video::Packet::parse(bytes) {
        forms.insert("packet");
        packet.header().emit(packet.shard().payload(), &mut built);
        let again = video::Packet::parse(&built).expect("what was built parses");
        assert_eq!(again.header(), packet.header());
        assert_eq!(again.shard().payload(), packet.shard().payload());
    }
    if let Ok(sealed) = video::Sealed::parse(bytes) {
        forms.insert("sealed");
        assert_eq!(sealed.ciphertext().len() + sealed.tag().len() + sealed.nonce().len() + 4, bytes.len());
    }
    if let Ok(header) = video::FrameHeader::parse(bytes) {
        forms.insert("frame-header");
        built.clear();
        header.emit(&mut built);
        assert_eq!(video::FrameHeader::parse(&built), Ok(header));
    }
    if let Ok(ping) = video::Ping::parse(bytes) {
        forms.insert("ping");
        built.clear();
        ping.emit(&mut built);
        assert_eq!(built, bytes);
    }
    forms
}

/// A datagram of the audio socket: what parses builds back to something that means the same.
pub fn audio_datagram(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(packet) = audio::Packet::parse(bytes) {
        let mut built = Vec::new();
        match packet {
            audio::Packet::Data(data) => {
                forms.insert("data");
                data.emit(&mut built);
            }
            audio::Packet::Parity(parity) => {
                forms.insert("parity");
                parity.emit(&mut built);
            }
        }
        assert_eq!(audio::Packet::parse(&built), Ok(packet));
    }
    forms
}

/// A capture file.
pub fn pcap(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(datagrams) = crate::recording::pcap::datagrams(bytes) {
        if !datagrams.is_empty() {
            forms.insert("datagrams");
        }
        let payloads: usize = datagrams.iter().map(|datagram| datagram.payload.len() + 58).sum();
        assert!(payloads <= bytes.len(), "each datagram stands in the file once");
    }
    if let Ok(segments) = crate::recording::pcap::segments(bytes) {
        if !segments.is_empty() {
            forms.insert("segments");
        }
        let payloads: usize = segments.iter().map(|segment| segment.payload.len()).sum();
        assert!(payloads <= bytes.len(), "each segment stands in the file once");
    }
    forms
}

/// An RTSP message, in clear or encrypted, of either side: what parses builds back to something that means the same.
pub fn rtsp(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut built = Vec::new();
    if let Ok(transcript) = Transcript::parse(bytes) {
        let messages: usize = transcript.messages().iter().map(|message| message.bytes.len()).sum();
        assert!(messages <= bytes.len(), "each message stands in the file once");
        forms.extend(transcript.exchanges().map(|_| "exchange"));
    }
    if let Ok(request) = rtsp::Request::parse(bytes) {
        forms.insert("request");
        request.emit(&mut built);
        // The empty line that a cut message lacks makes it longer.
        if built.len() <= rtsp::MAX_REQUEST {
            assert_eq!(rtsp::Request::parse(&built), Ok(request));
        }
    }
    if let Ok(response) = rtsp::Response::parse(bytes) {
        forms.insert("response");
        built.clear();
        response.emit(&mut built);
        if built.len() <= rtsp::MAX_RESPONSE {
            assert_eq!(rtsp::Response::parse(&built), Ok(response));
        }
    }
    if let Ok(sealed) = rtsp::Sealed::parse(bytes) {
        forms.insert("sealed");
        built.clear();
        let envelope = rtsp::Envelope { sequence: sealed.sequence(), tag: sealed.tag() };
        envelope.emit(sealed.ciphertext(), &mut built);
        assert_eq!(built, bytes);
    }
    forms
}

/// The body of an answer to DESCRIBE, or of ANNOUNCE: what parses builds back to something that means the same.
pub fn sdp(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let Ok(text) = str::from_utf8(bytes) else { return forms };
    let mut built = String::new();
    if let Ok(offer) = Offer::parse(text) {
        forms.insert("offer");
        offer.emit(&mut built);
        assert_eq!(Offer::parse(&built), Ok(offer));
    }
    if let Ok(announcement) = Announcement::parse(text) {
        forms.insert("announcement");
        built.clear();
        announcement.emit(&mut built);
        assert_eq!(Announcement::parse(&built), Ok(announcement));
    }
    forms
}

/// An answer of the HTTP API: what parses builds back to something that means the same.
pub fn xml(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut built = String::new();
    if let Ok(document) = Document::parse(bytes) {
        forms.insert("document");
        document.emit(&mut built);
        // Escapes can make it longer.
        if built.len() <= super::wire::xml::MAX_DOCUMENT {
            let again = Document::parse(built.as_bytes()).expect("what was built parses");
            assert_eq!(again.status, document.status);
            assert_eq!(again.elements.len(), document.elements.len());
        }
    }
    if let Ok(info) = ServerInfo::parse(bytes) {
        forms.insert("server-info");
        built.clear();
        info.emit(&mut built);
        let again = ServerInfo::parse(built.as_bytes()).expect("what was built parses");
        assert_eq!((again.version, again.running), (info.version, info.running));
    }
    if let Ok(apps) = http::parse_apps(bytes) {
        forms.insert("apps");
        built.clear();
        http::emit_apps(&apps, &mut built);
        if built.len() <= super::wire::xml::MAX_DOCUMENT {
            let again = http::parse_apps(built.as_bytes()).expect("what was built parses");
            assert!(again.iter().map(|app| app.id).eq(apps.iter().map(|app| app.id)));
        }
    }
    if let Ok(started) = Started::parse(bytes) {
        forms.insert("started");
        built.clear();
        started.emit(Start::Launch, &mut built);
        assert_eq!(Started::parse(built.as_bytes()), Ok(started));
    }
    forms
}

/// An answer to `/pair`, a request's target, or a certificate.
pub fn pairing(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(answer) = PairAnswer::parse(bytes) {
        forms.insert("answer");
        let mut built = String::new();
        answer.emit(&mut built);
        assert_eq!(PairAnswer::parse(built.as_bytes()), Ok(answer));
    }
    if let Some((uniqueid, call)) = str::from_utf8(bytes).ok().and_then(|text| Call::parse(text).ok()) {
        forms.insert("call");
        let uniqueid = uniqueid.unwrap_or_else(|| "0".parse::<UniqueId>().expect("a digit is an id"));
        let target = call.target(&uniqueid, uuid::Uuid::nil());
        let (_, again) = Call::parse(&target).expect("what was built parses");
        assert_eq!(again.target(&uniqueid, uuid::Uuid::nil()), target);
    }
    let pem = Certificate::from_pem(bytes);
    if let Ok(certificate) = pem.or_else(|_| Certificate::from_der(bytes.to_vec())) {
        forms.insert("certificate");
        assert_eq!(Certificate::from_der(certificate.der().to_vec()), Ok(certificate));
    }
    forms
}

/// A session's media: the bytes are a script of raw and of well-formed datagrams and of passing time. What comes out
/// keeps the contract of a source: numbers and timestamps rise, and every gap ends with a keyframe.
pub fn media_session(script: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut script = Script(script);
    let flags = script.byte().unwrap_or_default();
    let key = SessionKey::new([flags; 16]);
    let (video_encrypted, audio_encrypted) = (flags & 1 != 0, flags & 2 != 0);
    let codec = match flags >> 2 & 3 {
        0 => VideoCodec::Hevc,
        1 => VideoCodec::Av1,
        _ => VideoCodec::H264,
    };
    let packet_duration = Duration::from_millis(if flags & 16 != 0 { 5 } else { 10 });
    let mut session = Session::new(&SessionConfig {
        key: key.clone(),
        rikeyid: 1,
        video: VideoConfig { codec, encrypted: video_encrypted },
        audio: AudioConfig { encrypted: audio_encrypted, packet_duration },
    });
    let video_cipher = video_encrypted.then(|| VideoCipher::new(&key));
    let audio_cipher = audio_encrypted.then(|| AudioCipher::new(&key, 1));
    let mut checker = Checker::default();
    let mut counter = 0;
    // The session only compares and adds to it.
    let mut now: Instant = crate::task::now();

    while let Some(step) = script.byte() {
        match step % 8 {
            0 => {
                now += Duration::from_millis(script.byte().unwrap_or_default().into());
                session.handle_timeout(now);
                assert!(session.poll_timeout().is_none_or(|due| due > now), "what was due is done");
            }
            1 => session.handle_video(now, script.bytes()),
            2 => session.handle_audio(now, script.bytes()),
            3 => {
                let Some((sequence, payload)) = script.audio() else { break };
                let payload = match &audio_cipher {
                    Some(cipher) => cipher.seal(sequence, payload),
                    None => payload.to_vec(),
                };
                let mut datagram = Vec::new();
                audio::Data { sequence, timestamp: 0, payload: &payload }.emit(&mut datagram);
                session.handle_audio(now, &datagram);
            }
            4 => {
                let Some((base_sequence, payload)) = script.audio() else { break };
                let index = step >> 3 & 1;
                let mut datagram = Vec::new();
                audio::Parity { sequence: 0, index, base_sequence, base_timestamp: 0, payload }
                    .emit(&mut datagram);
                session.handle_audio(now, &datagram);
            }
            _ => {
                let Some((header, payload)) = script.shard() else { break };
                let mut datagram = Vec::new();
                header.emit(&payload, &mut datagram);
                match &video_cipher {
                    Some(cipher) => {
                        let mut sealed = Vec::new();
                        cipher.seal(counter, header.frame, datagram, &mut sealed);
                        counter += 1;
                        session.handle_video(now, &sealed);
                    }
                    None => session.handle_video(now, &datagram),
                }
            }
        }
        while let Some(event) = session.poll_event() {
            forms.insert(checker.check(&event));
        }
    }
    forms
}

/// Values read off the fuzzer's bytes, small ones more often than large ones, so that shards meet in frames.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte().unwrap_or_default()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn audio(&mut self) -> Option<(u16, &'a [u8])> {
        let high = if self.byte()? & 0xf0 == 0xf0 { self.byte()? } else { 0 };
        Some((u16::from_be_bytes([high, self.byte()?]), self.bytes()))
    }

    fn shard(&mut self) -> Option<(video::Header, Vec<u8>)> {
        let frame = match self.byte()? {
            255 => u32::from(self.byte()?) << 24,
            near => u32::from(near / 4),
        };
        let place = self.byte()?;
        let block = video::BlockIndex { index: place & 3, last: place >> 2 & 3 };
        let percentage = [0, 20, 50, 100, 200, 255][usize::from(place >> 4) % 6];
        let data_shards = 1 + u16::from(self.byte()? % 8);
        let fec = video::FecInfo { percentage, shard: u16::from(self.byte()? % 8), data_shards };
        let timestamp = u32::from(self.byte()?) << 20;
        // A frame header, then a key frame or not.
        let fill = self.byte()?;
        let mut payload = vec![1, 0, 0, 1 + fill % 5, 16, 0, 0, 0, 0, 0, 1, 0x67, 0, 0, 1, 0x65];
        payload.resize(16 + usize::from(fill >> 7), fill);
        let header = video::Header {
            sequence: 0,
            timestamp,
            packet_index: 0,
            frame,
            flags: video::flags::PICTURE,
            extra_flags: 0,
            multi_fec_flags: 0x10,
            block,
            fec,
        };
        Some((header, payload))
    }
}

#[derive(Default)]
struct Checker {
    /// Number and timestamp.
    video: Option<(u64, u64)>,
    audio: Option<u64>,
}

impl Checker {
    fn check(&mut self, event: &Event) -> &'static str {
        match event {
            Event::Video(frame) => {
                let (number, timestamp) = (frame.number.0, frame.timestamp.0);
                let continues = self.video.is_some_and(|(last, _)| number == last + 1);
                assert!(continues || frame.keyframe, "a gap ends with a keyframe");
                assert!(self.video.is_none_or(|last| last.0 < number && last.1 < timestamp));
                self.video = Some((number, timestamp));
                "video"
            }
            Event::Audio(frame) => {
                assert!(self.audio.is_none_or(|last| last < frame.timestamp.0));
                self.audio = Some(frame.timestamp.0);
                "audio"
            }
            Event::RequestIdr => "request-idr",
            Event::FecStatus(_) => "fec-status",
            Event::Repaired(_) => "repaired",
            Event::HeldBack(_) => "held-back",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// One of the document's packets, changed in a few places and cut or lengthened.
    fn changed(packets: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let changes = prop::collection::vec((0usize..64, any::<u8>()), 0..6);
        (0..packets.len(), changes, 0usize..120).prop_map(|(packet, changes, len)| {
            let mut bytes = hex(packets[packet]);
            bytes.resize(len, 0);
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes
        })
    }

    /// One of the document's messages and bodies, changed in a few places and cut.
    fn changed_text() -> impl Strategy<Value = Vec<u8>> {
        use crate::gamestream::{pairing, wire};
        let mut announcement = String::new();
        wire::sdp::tests::announcement().emit(&mut announcement);
        let texts = [
            wire::rtsp::tests::REQUESTS[2],
            wire::rtsp::tests::REQUESTS[3],
            wire::rtsp::tests::RESPONSES[2],
            wire::sdp::tests::SUNSHINE,
            wire::sdp::tests::WOLF,
            wire::http::tests::SERVER_INFO,
            wire::http::request::tests::LAUNCH,
            pairing::tests::document::HOST_CERTIFICATE,
            &announcement,
        ]
        .map(str::to_owned);
        let byte = prop_oneof![any::<u8>(), prop::sample::select(b"<>/&;=:%\r\n 0a\"".to_vec())];
        let changes = prop::collection::vec((any::<prop::sample::Index>(), byte), 0..6);
        (prop::sample::select(texts.to_vec()), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
            |(text, changes, end, cut)| {
                let mut bytes = text.into_bytes();
                for (at, value) in changes {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
                if cut {
                    bytes.truncate(end.index(bytes.len()));
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn any_video_datagram_is_taken_or_refused(bytes in changed(&video::tests::PACKETS)) {
            video_datagram(&bytes);
        }

        #[test]
        fn any_audio_datagram_is_taken_or_refused(bytes in changed(&audio::tests::GROUP)) {
            audio_datagram(&bytes);
        }

        #[test]
        fn any_text_of_a_session_is_taken_or_refused(message in changed_text()) {
            rtsp(&message);
            sdp(&message);
            xml(&message);
            pairing(&message);
        }

        #[test]
        fn any_script_keeps_the_contract_of_a_source(script in prop::collection::vec(any::<u8>(), 0..2000)) {
            media_session(&script);
        }
    }
}
