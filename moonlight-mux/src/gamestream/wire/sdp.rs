//! The bodies of RTSP: what a host offers (DESCRIBE) and what a client settles on (ANNOUNCE).
//!
//! Source: protocol document, session 15 and 16; vectors of 24.5 and 24.7.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::VideoCodec;

/// The longest accepted body; the recorded ones have up to 1500 bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024;

/// The most audio layouts of an offer; the recorded ones have up to six.
pub(crate) const MAX_LAYOUTS: usize = 32;

/// Why text is not the body that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    #[error("there is none")]
    Empty,
    #[error("{got} bytes where no more than {limit} are expected")]
    Long { limit: usize, got: usize },
    #[error("{attribute} is missing")]
    Missing { attribute: &'static str },
    #[error("{attribute} is no number")]
    Number { attribute: &'static str },
    /// A number that no client or host can mean.
    #[error("{attribute} is {value}")]
    Range { attribute: &'static str, value: i64 },
    #[error("a surround-params is no layout of up to eight channels")]
    Layout,
    #[error("more than {MAX_LAYOUTS} audio layouts")]
    Layouts,
}

/// The three streams that can be encrypted (session 17.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encryption {
    /// 0x01: the control stream with nonces of 12 bytes.
    pub(crate) control: bool,
    /// 0x02
    pub(crate) video: bool,
    /// 0x04
    pub(crate) audio: bool,
}

impl Encryption {
    /// Other bits have no meaning yet.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self { control: bits & 1 != 0, video: bits & 2 != 0, audio: bits & 4 != 0 }
    }

    pub(crate) fn bits(self) -> u32 {
        u32::from(self.control) | u32::from(self.video) << 1 | u32::from(self.audio) << 2
    }
}

/// How an Opus multistream packet is put together; sampled at 48 kHz always (session 15.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpusLayout {
    /// 1 to 8.
    pub(crate) channels: u8,
    pub(crate) streams: u8,
    /// How many of the streams hold two channels.
    pub(crate) coupled: u8,
    /// For each channel the decoded one that it is; 0 behind the last channel.
    pub(crate) mapping: [u8; 8],
}

impl OpusLayout {
    /// `surround-params`: channels, streams, coupled streams and the mapping, a digit each.
    pub(crate) fn parse(digits: &str) -> Result<Self, Malformed> {
        let mut all = [0; 11];
        let digits = digits.as_bytes();
        if !(4..=all.len()).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed::Layout);
        }
        for (digit, byte) in all.iter_mut().zip(digits) {
            *digit = byte - b'0';
        }
        let [channels, streams, coupled, mapping @ ..] = all;
        let used = mapping.get(..channels.into()).ok_or(Malformed::Layout)?;
        let fits = digits.len() == 3 + usize::from(channels)
            && streams > 0
            && coupled <= streams
            && used.iter().all(|&decoded| decoded < streams + coupled);
        if !fits {
            return Err(Malformed::Layout);
        }
        Ok(Self { channels, streams, coupled, mapping })
    }

    pub(crate) fn emit(&self, out: &mut String) {
        let Self { channels, streams, coupled, mapping } = self;
        out.extend([channels, streams, coupled].map(|&digit| char::from(b'0' + digit)));
        out.extend(mapping[..usize::from(*channels)].iter().map(|&digit| char::from(b'0' + digit)));
    }
}

/// What a host can do: the body of its answer to DESCRIBE (session 15).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// `None` from Wolf.
    pub(crate) encryption: Option<EncryptionOffer>,
    /// 0x01: pen and touch events; 0x02: touch events of gamepads.
    pub(crate) features: u32,
    /// Reference frames can be invalidated.
    pub(crate) invalidation: bool,
    pub(crate) hevc: bool,
    pub(crate) av1: bool,
    /// In the host's order, which says what is normal and what is high quality.
    pub(crate) layouts: Vec<OpusLayout>,
}

/// What a host says of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncryptionOffer {
    pub(crate) supported: Encryption,
    pub(crate) requested: Encryption,
}

impl Offer {
    /// Searches each line, as clients do: Wolf puts an `a=` too many in front and a space behind the colon.
    pub(crate) fn parse(body: &str) -> Result<Self, Malformed> {
        check_len(body)?;
        let mut offer = Self::default();
        let (mut supported, mut requested) = (None, None);
        for line in body.lines() {
            if let Some(value) = behind(line, "x-ss-general.featureFlags:") {
                offer.features = number("x-ss-general.featureFlags", value)?;
            } else if let Some(value) = behind(line, "x-ss-general.encryptionSupported:") {
                supported = Some(number("x-ss-general.encryptionSupported", value)?);
            } else if let Some(value) = behind(line, "x-ss-general.encryptionRequested:") {
                requested = Some(number("x-ss-general.encryptionRequested", value)?);
            } else if let Some(digits) = behind(line, "surround-params=") {
                if offer.layouts.len() == MAX_LAYOUTS {
                    return Err(Malformed::Layouts);
                }
                offer.layouts.push(OpusLayout::parse(digits)?);
            }
            offer.invalidation |= line.contains("x-nv-video[0].refPicInvalidation");
            offer.hevc |= line.contains("sprop-parameter-sets=AAAAAU");
            offer.av1 |= line.contains("AV1/90000");
        }
        let flags = |bits: Option<u32>| Encryption::from_bits(bits.unwrap_or(0));
        offer.encryption = (supported.is_some() || requested.is_some())
            .then(|| EncryptionOffer { supported: flags(supported), requested: flags(requested) });
        Ok(offer)
    }

    /// Appends the body as Sunshine writes it.
    pub(crate) fn emit(&self, out: &mut String) {
        let mut line = |name: &str, value: u32| {
            writeln!(out, "a=x-ss-general.{name}:{value}").expect("text can be appended to");
        };
        line("featureFlags", self.features);
        if let Some(EncryptionOffer { supported, requested }) = self.encryption {
            line("encryptionSupported", supported.bits());
            line("encryptionRequested", requested.bits());
        }
        if self.invalidation {
            out.push_str("x-nv-video[0].refPicInvalidation=1\n");
        }
        if self.hevc {
            out.push_str("sprop-parameter-sets=AAAAAU\n");
        }
        if self.av1 {
            out.push_str("a=rtpmap:98 AV1/90000\n");
        }
        for layout in &self.layouts {
            out.push_str("a=fmtp:97 surround-params=");
            layout.emit(out);
            out.push('\n');
        }
    }
}

/// What a client settles on: the body of ANNOUNCE, for hosts of version 7.1.431 with extensions (session 16.2).
///
/// What all clients say alike, or what viewers in browsers leave no choice about, is in no field: 8 bits 4:2:0, one
/// reference frame, one slice, Rec. 709 with limited range, encrypted control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The host's, as this client reaches it.
    pub(crate) address: IpAddr,
    pub(crate) video_port: u16,
    pub(crate) encryption: Encryption,
    /// The older way to say that audio is encrypted, and the only one for Wolf.
    pub(crate) audio_encryption_flag: bool,
    /// Pixels, 16 to 8192.
    pub(crate) width: u32,
    /// Pixels, 16 to 8192.
    pub(crate) height: u32,
    /// Frames per second, 1 to 1000.
    pub(crate) fps: u32,
    /// Hundredths of a hertz; 0 is unknown.
    pub(crate) refresh_rate: u32,
    /// Bytes behind a video datagram's RTP header and its extension, 64 to 2000 (session 17.4).
    pub(crate) packet_size: u32,
    /// kbit/s, what is left of the bitrate for the encoder.
    pub(crate) encoder_bitrate: u32,
    /// kbit/s, what the user wishes for the stream as a whole.
    pub(crate) bitrate: u32,
    /// Whether the host shall mark packets for a local network.
    pub(crate) local: bool,
    pub(crate) codec: VideoCodec,
    pub(crate) channels: Channels,
    /// Of surround only.
    pub(crate) high_quality_audio: bool,
    /// 1 to 60 ms; hosts know 5 and 10.
    pub(crate) packet_duration: Duration,
}

/// The loudspeakers that sound is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Channels {
    /// Two.
    Stereo,
    /// 5.1.
    Surround51,
    /// 7.1.
    Surround71,
}

impl Channels {
    pub(crate) fn count(self) -> u8 {
        match self {
            Self::Stereo => 2,
            Self::Surround51 => 6,
            Self::Surround71 => 8,
        }
    }

    /// One bit for each place of a loudspeaker.
    pub(crate) fn mask(self) -> u32 {
        match self {
            Self::Stereo => 0x3,
            Self::Surround51 => 0x3f,
            Self::Surround71 => 0x63f,
        }
    }

    pub(crate) fn from_count(count: u32) -> Option<Self> {
        [Self::Stereo, Self::Surround51, Self::Surround71]
            .into_iter()
            .find(|channels| u32::from(channels.count()) == count)
    }
}

impl Announcement {
    /// What a host reads. Only what has no place in this value may be missing, as Sunshine demands.
    pub(crate) fn parse(body: &str) -> Result<Self, Malformed> {
        check_len(body)?;
        let attributes: HashMap<&str, &str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("a=")?.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        let read = |attribute: &'static str, range: RangeInclusive<u32>| {
            let value = attributes.get(attribute).ok_or(Malformed::Missing { attribute })?;
            let value = number(attribute, value)?;
            if !range.contains(&value) {
                return Err(Malformed::Range { attribute, value: value.into() });
            }
            Ok(value)
        };
        let line = |start: &'static str| body.lines().find_map(|line| line.strip_prefix(start));
        let address = line("o=").and_then(|origin| origin.split_ascii_whitespace().last());
        let address = address.map(|address| address.trim_matches(['[', ']']));
        let port = line("m=video ").and_then(|port| port.trim().parse().ok());
        let channels = read("x-nv-audio.surround.numChannels", 1..=8)?;
        Ok(Self {
            address: address
                .and_then(|address| address.parse().ok())
                .ok_or(Malformed::Missing { attribute: "o=" })?,
            video_port: port.ok_or(Malformed::Missing { attribute: "m=video" })?,
            encryption: Encryption::from_bits(read("x-ss-general.encryptionEnabled", 0..=7)?),
            audio_encryption_flag: read("x-nv-general.featureFlags", 0..=u32::MAX)? & AUDIO_ENCRYPTION != 0,
            width: read("x-nv-video[0].clientViewportWd", 16..=8192)?,
            height: read("x-nv-video[0].clientViewportHt", 16..=8192)?,
            fps: read("x-nv-video[0].maxFPS", 1..=1000)?,
            refresh_rate: read("x-nv-video[0].clientRefreshRateX100", 0..=100_000)?,
            packet_size: read("x-nv-video[0].packetSize", 64..=2000)?,
            encoder_bitrate: read("x-nv-vqos[0].bw.maximumBitrateKbps", 1..=MAX_BITRATE)?,
            bitrate: read("x-ml-video.configuredBitrateKbps", 1..=MAX_BITRATE)?,
            local: read("x-nv-vqos[0].qosTrafficType", 0..=5)? != 0,
            codec: match read("x-nv-vqos[0].bitStreamFormat", 0..=2)? {
                0 => VideoCodec::H264,
                1 => VideoCodec::Hevc,
                _ => VideoCodec::Av1,
            },
            channels: Channels::from_count(channels).ok_or(Malformed::Range {
                attribute: "x-nv-audio.surround.numChannels",
                value: channels.into(),
            })?,
            high_quality_audio: read("x-nv-audio.surround.AudioQuality", 0..=1)? == 1,
            packet_duration: Duration::from_millis(read("x-nv-aqos.packetDuration", 1..=60)?.into()),
        })
    }

    /// Appends the body with the attributes, their order and the spaces of the reference client.
    pub(crate) fn emit(&self, out: &mut String) {
        let address = match self.address {
            IpAddr::V4(address) => format!("IPv4 {address}"),
            IpAddr::V6(address) => format!("IPv6 [{address}]"),
        };
        let mut line = |line: std::fmt::Arguments<'_>| {
            write!(out, "{line}\r\n").expect("text can be appended to");
        };
        line(format_args!("v=0"));
        line(format_args!("o=android 0 14 IN {address}"));
        line(format_args!("s=NVIDIA Streaming Client"));
        self.attributes(|name, value| line(format_args!("a={name}:{value} ")));
        line(format_args!("t=0 0"));
        line(format_args!("m=video {}  ", self.video_port));
    }

    fn attributes(&self, mut attribute: impl FnMut(&str, u32)) {
        let flag = |enabled: bool| u32::from(enabled);
        let audio_encryption = if self.audio_encryption_flag { AUDIO_ENCRYPTION } else { 0 };
        let (hevc, format) = match self.codec {
            VideoCodec::H264 => (Some(0), 0),
            VideoCodec::Hevc => (Some(1), 1),
            VideoCodec::Av1 => (None, 2),
        };
        // It sends FEC status, and knows ping payloads and connect data.
        attribute("x-ml-general.featureFlags", 3);
        attribute("x-ss-general.encryptionEnabled", self.encryption.bits());
        attribute("x-ss-video[0].chromaSamplingType", 0);
        attribute("x-nv-video[0].clientViewportWd", self.width);
        attribute("x-nv-video[0].clientViewportHt", self.height);
        attribute("x-nv-video[0].maxFPS", self.fps);
        attribute("x-nv-video[0].packetSize", self.packet_size);
        attribute("x-nv-video[0].rateControlMode", 4);
        attribute("x-nv-video[0].timeoutLengthMs", 7000);
        attribute("x-nv-video[0].framesWithInvalidRefThreshold", 0);
        attribute("x-nv-video[0].initialBitrateKbps", self.encoder_bitrate);
        attribute("x-nv-video[0].initialPeakBitrateKbps", self.encoder_bitrate);
        attribute("x-nv-vqos[0].bw.minimumBitrateKbps", self.encoder_bitrate);
        attribute("x-nv-vqos[0].bw.maximumBitrateKbps", self.encoder_bitrate);
        attribute("x-ml-video.configuredBitrateKbps", self.bitrate);
        attribute("x-nv-vqos[0].fec.enable", 1);
        attribute("x-nv-vqos[0].videoQualityScoreUpdateTime", 5000);
        attribute("x-nv-vqos[0].qosTrafficType", if self.local { 5 } else { 0 });
        attribute("x-nv-aqos.qosTrafficType", if self.local { 4 } else { 0 });
        attribute("x-nv-general.featureFlags", 0x87 | audio_encryption);
        attribute("x-nv-general.useReliableUdp", 13);
        attribute("x-nv-vqos[0].fec.minRequiredFecPackets", 2);
        attribute("x-nv-vqos[0].bllFec.enable", 0);
        attribute("x-nv-vqos[0].drc.enable", 0);
        attribute("x-nv-general.enableRecoveryMode", 0);
        attribute("x-nv-video[0].videoEncoderSlicesPerFrame", 1);
        if let Some(hevc) = hevc {
            attribute("x-nv-clientSupportHevc", hevc);
        }
        attribute("x-nv-vqos[0].bitStreamFormat", format);
        attribute("x-nv-video[0].dynamicRangeMode", 0);
        attribute("x-nv-video[0].maxNumReferenceFrames", 1);
        attribute("x-nv-video[0].clientRefreshRateX100", self.refresh_rate);
        attribute("x-nv-audio.surround.numChannels", self.channels.count().into());
        attribute("x-nv-audio.surround.channelMask", self.channels.mask());
        attribute("x-nv-audio.surround.enable", flag(self.channels != Channels::Stereo));
        attribute("x-nv-audio.surround.AudioQuality", flag(self.high_quality_audio));
        let duration = u32::try_from(self.packet_duration.as_millis()).unwrap_or(u32::MAX);
        attribute("x-nv-aqos.packetDuration", duration);
        // Rec. 709, limited range.
        attribute("x-nv-video[0].encoderCscMode", 2);
    }
}

fn check_len(body: &str) -> Result<(), Malformed> {
    match body.len() {
        got if got > MAX_BODY => Err(Malformed::Long { limit: MAX_BODY, got }),
        _ => Ok(()),
    }
}

fn behind<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(name).map(|(_, value)| value.trim())
}

/// A decimal number, or a hexadecimal one behind `0x` (session 15).
fn number(attribute: &'static str, text: &str) -> Result<u32, Malformed> {
    let text = text.trim();
    let value = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let value = value.map_err(|_| Malformed::Number { attribute })?;
    u32::try_from(value).map_err(|_| Malformed::Range { attribute, value })
}

/// Of `x-nv-general.featureFlags`.
const AUDIO_ENCRYPTION: u32 = 0x20;

/// kbit/s.
const MAX_BITRATE: u32 = 10_000_000;

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use aws_lc_rs::digest::{SHA256, digest};
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// Session 24.5.
    pub(crate) fn announcement() -> Announcement {
        Announcement {
            address: Ipv4Addr::new(192, 168, 1, 50).into(),
            video_port: 47998,
            encryption: Encryption { control: true, video: false, audio: false },
            audio_encryption_flag: false,
            width: 1920,
            height: 1080,
            fps: 60,
            refresh_rate: 6000,
            packet_size: 1392,
            encoder_bitrate: 16000,
            bitrate: 20000,
            local: true,
            codec: VideoCodec::H264,
            channels: Channels::Stereo,
            high_quality_audio: false,
            packet_duration: Duration::from_millis(5),
        }
    }

    pub(crate) const SUNSHINE: &str = "a=x-ss-general.featureFlags:3\na=x-ss-general.encryptionSupported:7\na=x-ss-general.encryptionRequested:1\nsprop-parameter-sets=AAAAAU\na=rtpmap:98 AV1/90000\na=fmtp:97 surround-params=21101\na=fmtp:97 surround-params=642012453\na=fmtp:97 surround-params=660012345\na=fmtp:97 surround-params=85301245367\na=fmtp:97 surround-params=88001234567\n";
    pub(crate) const WOLF: &str = "sprop-parameter-sets=AAAAAU\r\na=a=rtpmap:98 AV1/90000\r\na=fmtp:97 surround-params=21101\r\na=fmtp:97 surround-params=642014235\r\na=fmtp:97 surround-params=85301423675\r\na=x-ss-general.featureFlags: 3\r\n";

    #[test]
    fn the_documents_announcement_builds_and_parses_back() {
        let mut body = String::new();
        announcement().emit(&mut body);
        assert_eq!(body.len(), 1500);
        let expected = hex("2deeea04f94643eb4d4f88190d97a1abeab85774818cf132d8364b1e5387898b");
        assert_eq!(digest(&SHA256, body.as_bytes()).as_ref(), expected);
        assert_eq!(Announcement::parse(&body), Ok(announcement()));
    }

    #[test]
    fn sunshines_offer_parses_and_builds_back() {
        let offer = Offer::parse(SUNSHINE).unwrap();
        let encryption = offer.encryption.unwrap();
        assert_eq!((encryption.supported.bits(), encryption.requested.bits()), (7, 1));
        assert_eq!((offer.features, offer.hevc, offer.av1, offer.invalidation), (3, true, true, false));
        assert_eq!(
            offer.layouts[1],
            OpusLayout { channels: 6, streams: 4, coupled: 2, mapping: [0, 1, 2, 4, 5, 3, 0, 0] }
        );
        let mut built = String::new();
        offer.emit(&mut built);
        assert_eq!(built, SUNSHINE);
    }

    #[test]
    fn wolfs_offer_says_nothing_of_encryption() {
        let offer = Offer::parse(WOLF).unwrap();
        assert_eq!((offer.encryption, offer.features, offer.hevc, offer.av1), (None, 3, true, true));
        assert_eq!(offer.layouts.len(), 3);
    }

    #[test]
    fn absurd_offers_are_refused() {
        let offer = |text: &str| Offer::parse(text).unwrap_err();
        assert_eq!(
            offer("a=x-ss-general.featureFlags:many"),
            Malformed::Number { attribute: "x-ss-general.featureFlags" }
        );
        assert_eq!(
            offer("a=x-ss-general.encryptionSupported:-1"),
            Malformed::Range { attribute: "x-ss-general.encryptionSupported", value: -1 }
        );
        for layout in
            ["", "9", "999", "21", "2110", "211012", "91100000000", "01100", "20000", "21201", "21102"]
        {
            assert_eq!(offer(&format!("a=fmtp:97 surround-params={layout}")), Malformed::Layout, "{layout}");
        }
        assert_eq!(offer(&"surround-params=21101\n".repeat(33)), Malformed::Layouts);
        assert!(matches!(offer(&"x".repeat(MAX_BODY + 1)), Malformed::Long { .. }));
        assert_eq!(Offer::parse("x-ss-general.featureFlags:0x10").unwrap().features, 16);
        assert_eq!(Offer::parse(""), Ok(Offer::default()));
    }

    #[test]
    fn absurd_announcements_are_refused() {
        let mut body = String::new();
        announcement().emit(&mut body);
        let with = |from: &str, to: &str| {
            assert!(body.contains(from));
            Announcement::parse(&body.replace(from, to)).unwrap_err()
        };
        let range = |attribute, value| Malformed::Range { attribute, value };
        assert_eq!(with("Wd:1920", "Wd:0"), range("x-nv-video[0].clientViewportWd", 0));
        assert_eq!(
            with("Ht:1080", "Ht:99999999999"),
            range("x-nv-video[0].clientViewportHt", 99_999_999_999)
        );
        assert_eq!(with("maxFPS:60", "maxFPS:-60"), range("x-nv-video[0].maxFPS", -60));
        assert_eq!(with("numChannels:2", "numChannels:3"), range("x-nv-audio.surround.numChannels", 3));
        assert_eq!(
            with("packetSize:1392", "packetSize:x"),
            Malformed::Number { attribute: "x-nv-video[0].packetSize" }
        );
        assert_eq!(with("maxFPS", "minFPS"), Malformed::Missing { attribute: "x-nv-video[0].maxFPS" });
        assert_eq!(with("192.168.1.50", "pc"), Malformed::Missing { attribute: "o=" });
        assert_eq!(with("m=video 47998", "m=video 479980"), Malformed::Missing { attribute: "m=video" });
    }

    fn announcements() -> impl Strategy<Value = Announcement> {
        let flags = any::<[bool; 6]>();
        let sizes = (16u32..=8192, 16u32..=8192, 1u32..=1000, 0u32..=100_000, 64u32..=2000);
        let rates = (1..=MAX_BITRATE, 1..=MAX_BITRATE, 1u64..=60);
        (flags, sizes, rates, any::<Option<u128>>(), any::<u32>(), 0usize..9).prop_map(
            |(flags, sizes, rates, v6, v4, choice)| Announcement {
                address: v6.map_or(Ipv4Addr::from(v4).into(), |v6| Ipv6Addr::from(v6).into()),
                video_port: v4 as u16,
                encryption: Encryption { control: flags[0], video: flags[1], audio: flags[2] },
                audio_encryption_flag: flags[3],
                width: sizes.0,
                height: sizes.1,
                fps: sizes.2,
                refresh_rate: sizes.3,
                packet_size: sizes.4,
                encoder_bitrate: rates.0,
                bitrate: rates.1,
                local: flags[4],
                codec: [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1][choice % 3],
                channels: [Channels::Stereo, Channels::Surround51, Channels::Surround71][choice / 3],
                high_quality_audio: flags[5],
                packet_duration: Duration::from_millis(rates.2),
            },
        )
    }

    proptest! {
        #[test]
        fn any_announcement_builds_and_parses_back(announcement in announcements()) {
            let mut body = String::new();
            announcement.emit(&mut body);
            prop_assert_eq!(Announcement::parse(&body), Ok(announcement));
        }

        #[test]
        fn any_offer_builds_and_parses_back(
            encryption in any::<Option<(u8, u8)>>(), features: u32, flags: [bool; 3],
            layouts in prop::collection::vec(prop::sample::select(
                vec!["21101", "642012453", "660012345", "85301245367", "88001234567", "1100"]), 0..6),
        ) {
            let flag = |bits: u8| Encryption::from_bits(bits.into());
            let offer = Offer {
                encryption: encryption.map(|(supported, requested)| EncryptionOffer {
                    supported: flag(supported), requested: flag(requested),
                }),
                features,
                invalidation: flags[0],
                hevc: flags[1],
                av1: flags[2],
                layouts: layouts.into_iter().map(|digits| OpusLayout::parse(digits).unwrap()).collect(),
            };
            let mut body = String::new();
            offer.emit(&mut body);
            prop_assert_eq!(Offer::parse(&body), Ok(offer));
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "(a=|m=video |o=|x-ss-general|surround-params=|[0-9:.\r\n]|.){0,60}") {
            let _ = (Offer::parse(&text), Announcement::parse(&text));
        }
    }
}
