//! What a recording's text files say about its session.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::transcript::Transcript;
use crate::gamestream::crypto::{ControlNonce, SessionKey};
use crate::gamestream::negotiation::{EncryptionWishes, Route, Wishes};
use crate::gamestream::rtsp::{ControlPort, MediaPort};
use crate::gamestream::wire::hex;
use crate::gamestream::wire::rtsp::{Method, SessionUrl};
use crate::gamestream::wire::sdp::{Announcement, Channels, Malformed};
use crate::media::VideoCodec;

/// `session.json`: what the client was asked for. What is not told follows from what it announced.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Requested {
    #[serde(deserialize_with = "session_key")]
    pub(crate) rikey: SessionKey,
    /// Signed or unsigned 32 bits.
    rikeyid: i64,
    #[serde(default, rename = "sessionUrl0", deserialize_with = "session_url")]
    url: Option<SessionUrl>,
    width: u32,
    height: u32,
    fps: u32,
    channels: u32,
    /// kbit/s.
    bitrate: Option<u32>,
    packet_size: Option<u32>,
    /// 0 is none, -1 all streams.
    enc_flags: Option<i64>,
    /// H.264 0x1, HEVC 0x100, AV1 0x1000.
    video_formats: Option<u32>,
}

impl Requested {
    pub(crate) fn rikeyid(&self) -> u32 {
        self.rikeyid as u32
    }

    /// Where the dialogue was held.
    pub(crate) fn url(&self, announced: &Announcement) -> SessionUrl {
        let default = || SessionUrl::of((announced.address, SessionUrl::DEFAULT_PORT).into());
        self.url.clone().unwrap_or_else(default)
    }

    /// The same request as our wishes.
    pub(crate) fn wishes(&self, announced: &Announcement) -> Wishes {
        let Announcement { encryption, audio_encryption_flag, codec, .. } = *announced;
        let codecs = match self.video_formats {
            Some(formats) => {
                let all = [(0x1000, VideoCodec::Av1), (0x100, VideoCodec::Hevc), (0x1, VideoCodec::H264)];
                all.into_iter().filter(|(bit, _)| formats & bit != 0).map(|(_, codec)| codec).collect()
            }
            None => vec![codec],
        };
        let encryption = match self.enc_flags.map(|flags| flags as i32) {
            Some(0) => EncryptionWishes { video: false, audio: false },
            Some(-1) => EncryptionWishes { video: true, audio: true },
            _ => EncryptionWishes { video: encryption.video, audio: audio_encryption_flag },
        };
        Wishes {
            width: self.width,
            height: self.height,
            fps: self.fps,
            refresh_rate: announced.refresh_rate,
            bitrate: self.bitrate.unwrap_or(announced.bitrate),
            codecs,
            encryption,
            channels: Channels::from_count(self.channels).unwrap_or(announced.channels),
            packet_duration: announced.packet_duration,
            packet_size: self.packet_size.unwrap_or_else(|| announced.wished_packet_size()),
            route: if announced.local { Route::Local } else { Route::Remote },
        }
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
    pub(super) fn contains(&self, at: Duration, host: Ipv4Addr, client: Ipv4Addr) -> bool {
        (self.t0..=self.t1).contains(&at.as_secs_f64()) && host == self.host && client == self.client
    }
}

/// `rtsp.txt`: what both sides settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) announcement: Announcement,
    pub(crate) video_port: u16,
    pub(crate) audio_port: u16,
    pub(crate) control: ControlPort,
}

/// What `rtsp.txt` lacks, or says in an unknown way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) &'static str);

impl Negotiated {
    /// Reads the answers to SETUP, and ANNOUNCE.
    pub(super) fn read(transcript: &Transcript) -> Result<Self, Missing> {
        let (mut video, mut audio, mut control) = (None, None, None);
        let mut announcement = None;
        for (request, response) in transcript.exchanges() {
            match (request.method, request.target.strip_prefix("streamid=")) {
                (Method::Setup, Some(target)) => match target.split('/').next() {
                    Some("video") => video = Some(MediaPort::video(&response.headers).port),
                    Some("audio") => audio = Some(MediaPort::audio(&response.headers).port),
                    Some("control") => control = ControlPort::parse(&response.headers).ok(),
                    _ => {}
                },
                (Method::Announce, _) => announcement = Some(Announcement::parse(&request.body)),
                _ => {}
            }
        }
        let announcement = announcement.ok_or(Missing("ANNOUNCE"))?;
        Ok(Self {
            announcement: announcement.map_err(|malformed| match malformed {
                Malformed::Missing { attribute }
                | Malformed::Number { attribute }
                | Malformed::Range { attribute, .. } => Missing(attribute),
                _ => Missing("ANNOUNCE"),
            })?,
            video_port: video.ok_or(Missing("SETUP of video"))?,
            audio_port: audio.ok_or(Missing("SETUP of audio"))?,
            control: control.ok_or(Missing("SETUP of control"))?,
        })
    }

    pub(super) fn control_nonce(&self) -> ControlNonce {
        if self.announcement.control_v2() { ControlNonce::V2 } else { ControlNonce::Old }
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

fn session_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SessionUrl>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| SessionUrl::from_str(&text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::gamestream::rtsp::Dialogue;
    use crate::gamestream::wire::rtsp::Request;
    use crate::gamestream::wire::sdp::Encryption;
    use crate::recording::transcript::tests::transcript;

    pub(in crate::recording) const SESSION: &str = r#"{"rikey":"000102030405060708090a0b0c0d0e0f",
        "rikeyid":-5,"width":1280,"height":720,"fps":60,"channels":2,"bitrate":4000,
        "sessionUrl0":"rtsp://127.0.0.1:48010","packetSize":1024,"encFlags":0,"videoFormats":1}"#;

    const ANSWERS: [&str; 7] = [
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\na=x-ss-general.featureFlags:0\n",
        "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: A;timeout = 90\r\nTransport: server_port=48201\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 4\r\nTransport: server_port=48101\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 5\r\nTransport: server_port=47999\r\nX-SS-Connect-Data: 7\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n",
    ];

    pub(in crate::recording) fn requested() -> Requested {
        serde_json::from_str(SESSION).unwrap()
    }

    /// What [`SESSION`]'s client announces.
    pub(in crate::recording) fn announcement() -> Announcement {
        Announcement {
            address: "127.0.0.1".parse().unwrap(),
            video_port: 48101,
            encryption: Encryption::default(),
            audio_encryption_flag: false,
            width: 1280,
            height: 720,
            fps: 60,
            refresh_rate: 0,
            packet_size: 1024,
            encoder_bitrate: 3200,
            bitrate: 4000,
            local: true,
            codec: VideoCodec::H264,
            channels: Channels::Stereo,
            high_quality_audio: false,
            packet_duration: Duration::from_millis(5),
        }
    }

    /// The messages of our own client, and of a host that answers it.
    pub(in crate::recording) fn messages() -> Vec<Vec<u8>> {
        let (requested, announcement) = (requested(), announcement());
        let (url, wishes) = (requested.url(&announcement), requested.wishes(&announcement));
        let now = crate::task::now();
        let mut dialogue = Dialogue::new(now, url, announcement.address, &requested.rikey, wishes);
        let mut messages = Vec::new();
        for answer in ANSWERS {
            messages.push(dialogue.poll_request(now).unwrap().unwrap());
            dialogue.handle_connected(now);
            dialogue.handle_bytes(now, answer.as_bytes()).unwrap();
            dialogue.handle_end(now).unwrap();
            messages.push(answer.into());
        }
        messages
    }

    fn negotiated(messages: &[Vec<u8>]) -> Result<Negotiated, Missing> {
        Negotiated::read(&Transcript::parse(&transcript(messages)).unwrap())
    }

    #[test]
    fn the_dialogue_gives_ports_and_what_was_announced() {
        let control = ControlPort { port: 47999, connect_data: 7 };
        let expected =
            Negotiated { announcement: announcement(), video_port: 48101, audio_port: 48201, control };
        assert_eq!(negotiated(&messages()), Ok(expected));
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |first: &str| {
            let mut messages = messages();
            let at = messages.iter().position(|message| message.starts_with(first.as_bytes())).unwrap();
            messages.drain(at..at + 2);
            negotiated(&messages)
        };
        assert_eq!(without("ANNOUNCE "), Err(Missing("ANNOUNCE")));
        assert_eq!(without("SETUP streamid=video"), Err(Missing("SETUP of video")));
        assert_eq!(without("SETUP streamid=audio"), Err(Missing("SETUP of audio")));
        assert_eq!(without("SETUP streamid=control"), Err(Missing("SETUP of control")));
        let mut messages = messages();
        let mut announce = Request::parse(&messages[10]).unwrap();
        announce.body = announce.body.replace("x-nv-aqos.packetDuration:5", "x-nv-aqos.packetDuration:x");
        messages[10].clear();
        announce.emit(&mut messages[10]);
        assert_eq!(negotiated(&messages), Err(Missing("x-nv-aqos.packetDuration")));
    }

    #[test]
    fn the_request_gives_key_and_wishes() {
        let requested = requested();
        assert_eq!(requested.rikeyid(), 0xffff_fffb);
        assert!(!format!("{requested:?}").contains("0a0b"), "the key is not printed");
        let wishes = requested.wishes(&Announcement { local: false, ..announcement() });
        assert_eq!((wishes.width, wishes.height, wishes.fps, wishes.bitrate), (1280, 720, 60, 4000));
        assert_eq!((wishes.packet_size, wishes.route), (1024, Route::Remote));
        assert_eq!(wishes.codecs, [VideoCodec::H264]);
        assert_eq!(wishes.encryption, EncryptionWishes { video: false, audio: false });
    }

    #[test]
    fn wishes_that_are_not_told_follow_from_the_announcement() {
        let told = r#"{"rikey":"000102030405060708090a0b0c0d0e0f","rikeyid":1,"width":1280,"height":720,"fps":60,"channels":2}"#;
        let requested: Requested = serde_json::from_str(told).unwrap();
        let encryption = Encryption { control: true, video: true, audio: false };
        let announced =
            Announcement { encryption, packet_size: 992, codec: VideoCodec::Av1, ..announcement() };
        let wishes = requested.wishes(&announced);
        assert_eq!((wishes.packet_size, wishes.bitrate), (1024, 4000));
        assert_eq!(wishes.codecs, [VideoCodec::Av1]);
        assert_eq!(wishes.encryption, EncryptionWishes { video: true, audio: false });
        assert_eq!(requested.url(&announced).to_string(), "rtsp://127.0.0.1:48010");
    }

    #[test]
    fn a_key_or_url_that_is_none_is_refused_and_the_key_is_not_in_the_error() {
        for key in ["000102030405060708090a0b0c0d0e", "+00102030405060708090a0b0c0d0e0f0", "00010203…"] {
            let text = SESSION.replace("000102030405060708090a0b0c0d0e0f", key);
            let error = serde_json::from_str::<Requested>(&text).unwrap_err().to_string();
            assert!(error.contains("32 hexadecimal digits") && !error.contains("0001"), "{error}");
        }
        let error = serde_json::from_str::<Requested>(&SESSION.replace("rtsp:", "http:")).unwrap_err();
        assert!(error.to_string().contains("URL"), "{error}");
    }
}
