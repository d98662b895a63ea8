//! What a recording's text files say about its session.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::gamestream::crypto::SessionKey;
use crate::gamestream::wire::hex;
use crate::media::VideoCodec;

/// `session.json`: what the client asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Requested {
    #[serde(deserialize_with = "session_key")]
    pub(super) rikey: SessionKey,
    /// Signed or unsigned 32 bits.
    rikeyid: i64,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: u32,
    pub(super) channels: u8,
}

impl Requested {
    pub(super) fn rikeyid(&self) -> u32 {
        self.rikeyid as u32
    }
}

/// `meta.json`, where several sessions share a capture: whose datagrams are meant, and of which time.
#[derive(Debug, Deserialize)]
pub(super) struct Window {
    host: Ipv4Addr,
    client: Ipv4Addr,
    /// Seconds since 1970.
    t0: f64,
    t1: f64,
}

impl Window {
    pub(super) fn contains(&self, at: Duration, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        (self.t0..=self.t1).contains(&at.as_secs_f64()) && source == self.host && destination == self.client
    }
}

/// `rtsp.txt`: what the streams are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) codec: VideoCodec,
    pub(super) video_port: u16,
    pub(super) audio_port: u16,
    pub(super) video_encrypted: bool,
    pub(super) audio_encrypted: bool,
    pub(super) packet_duration: Duration,
}

/// What `rtsp.txt` lacks, or says in an unknown way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) &'static str);

impl Negotiated {
    /// Reads the dialogue: the ports of the SETUP replies, and the attributes of the ANNOUNCE (streams 0).
    pub(super) fn parse(dialogue: &str) -> Result<Self, Missing> {
        let mut video_port = 47998;
        let mut audio_port = 48000;
        let mut setup = "";
        let mut attributes = HashMap::new();
        for line in dialogue.lines().map(str::trim) {
            if let Some(target) = line.strip_prefix("SETUP streamid=") {
                setup = target;
            } else if let Some(port) = line.strip_prefix("Transport: server_port=") {
                let port = || port.parse().map_err(|_| Missing("server_port"));
                match setup.split('/').next() {
                    Some("video") => video_port = port()?,
                    Some("audio") => audio_port = port()?,
                    _ => {}
                }
            } else if let Some((name, value)) = line.strip_prefix("a=").and_then(|a| a.split_once(':')) {
                attributes.insert(name, value.trim());
            }
        }
        let number = |name: &'static str| -> Result<u32, Missing> {
            attributes.get(name).and_then(|value| value.parse().ok()).ok_or(Missing(name))
        };

        // Absent means off.
        let encryption = number("x-ss-general.encryptionEnabled").unwrap_or(0);
        let features = number("x-nv-general.featureFlags").unwrap_or(0);
        Ok(Self {
            codec: match number("x-nv-vqos[0].bitStreamFormat")? {
                0 => VideoCodec::H264,
                1 => VideoCodec::Hevc,
                2 => VideoCodec::Av1,
                _ => return Err(Missing("x-nv-vqos[0].bitStreamFormat")),
            },
            video_port,
            audio_port,
            video_encrypted: encryption & 2 != 0,
            audio_encrypted: encryption & 4 != 0 || features & 0x20 != 0,
            packet_duration: match number("x-nv-aqos.packetDuration")? {
                ms @ 1..=60 => Duration::from_millis(ms.into()),
                _ => return Err(Missing("x-nv-aqos.packetDuration")),
            },
        })
    }
}

fn session_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SessionKey, D::Error> {
    struct Hex;

    impl Visitor<'_> for Hex {
        type Value = SessionKey;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 hexadecimal digits")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<SessionKey, E> {
            // The text itself must not be in the error: it is close to being a key.
            let wrong = || E::custom("not 32 hexadecimal digits");
            hex::decode_array(text).map(SessionKey::new).ok_or_else(wrong)
        }
    }

    deserializer.deserialize_str(Hex)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::recording) const SESSION: &str = r#"{"rikey":"000102030405060708090a0b0c0d0e0f",
        "rikeyid":-5,"width":1280,"height":720,"fps":60,"channels":2,"bitrate":4000}"#;

    pub(in crate::recording) const DIALOGUE: &str = "
===== client -> host  t=1.5  89 bytes
SETUP streamid=audio/0/0 RTSP/1.0
Transport: unicast;X-GS-ClientPort=50000-50001

===== host -> client  t=1.6  89 bytes
RTSP/1.0 200 OK
Transport: server_port=48201
===== client -> host
SETUP streamid=video/0/0 RTSP/1.0
===== host -> client
Transport: server_port=48101
===== client -> host
SETUP streamid=control/13/0 RTSP/1.0
===== host -> client
Transport: server_port=47999
===== client -> host
ANNOUNCE streamid=control/13/0 RTSP/1.0
a=x-ml-general.featureFlags:3 \r
a=x-ss-general.encryptionEnabled:0 \r
a=x-nv-general.featureFlags:135 \r
a=x-nv-vqos[0].bitStreamFormat:0 \r
a=x-nv-aqos.packetDuration:5 \r
";

    #[test]
    fn the_dialogue_gives_ports_codec_and_packet_duration() {
        let expected = Negotiated {
            codec: VideoCodec::H264,
            video_port: 48101,
            audio_port: 48201,
            video_encrypted: false,
            audio_encrypted: false,
            packet_duration: Duration::from_millis(5),
        };
        assert_eq!(Negotiated::parse(DIALOGUE), Ok(expected));
        let others =
            DIALOGUE.replace("Transport: server_port", "X").replace("bitStreamFormat:0", "bitStreamFormat:2");
        let expected =
            Negotiated { codec: VideoCodec::Av1, video_port: 47998, audio_port: 48000, ..expected };
        assert_eq!(Negotiated::parse(&others), Ok(expected));
    }

    #[test]
    fn encryption_follows_both_sets_of_flags() {
        let check = |enabled: &str, features: &str, expected: (bool, bool)| {
            let dialogue = DIALOGUE
                .replace("encryptionEnabled:0", &format!("encryptionEnabled:{enabled}"))
                .replace("featureFlags:135", &format!("featureFlags:{features}"));
            let got = Negotiated::parse(&dialogue).unwrap();
            assert_eq!((got.video_encrypted, got.audio_encrypted), expected, "{enabled} {features}");
        };
        check("1", "135", (false, false));
        check("5", "167", (false, true));
        check("7", "167", (true, true));
        check("2", "135", (true, false));
        check("0", "167", (false, true));
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |attribute: &'static str| {
            let lines = DIALOGUE.lines().filter(|line| !line.contains(attribute));
            let dialogue: String = lines.map(|line| format!("{line}\n")).collect();
            assert_eq!(Negotiated::parse(&dialogue), Err(Missing(attribute)));
        };
        check("x-nv-vqos[0].bitStreamFormat");
        check("x-nv-aqos.packetDuration");
        let wrong = DIALOGUE.replace("server_port=48101", "server_port=481010");
        assert_eq!(Negotiated::parse(&wrong), Err(Missing("server_port")));
    }

    #[test]
    fn the_request_gives_key_and_mode() {
        let requested: Requested = serde_json::from_str(SESSION).unwrap();
        assert_eq!((requested.width, requested.height, requested.fps), (1280, 720, 60));
        assert_eq!(requested.rikeyid(), 0xffff_fffb);
        assert!(!format!("{requested:?}").contains("0a0b"), "the key is not printed");
    }

    #[test]
    fn a_key_that_is_none_is_not_in_the_error() {
        for key in ["000102030405060708090a0b0c0d0e", "+00102030405060708090a0b0c0d0e0f0", "00010203…"] {
            let text = SESSION.replace("000102030405060708090a0b0c0d0e0f", key);
            let error = serde_json::from_str::<Requested>(&text).unwrap_err().to_string();
            assert!(error.contains("32 hexadecimal digits") && !error.contains("0001"), "{error}");
        }
    }
}
