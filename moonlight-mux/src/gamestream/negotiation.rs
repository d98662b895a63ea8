//! From what a host offers and what is wished to what is announced, and to what the session is then like.
//!
//! Source: protocol document, session 15.1 and 17; vectors of 24.5 and 24.6.

use std::net::IpAddr;
use std::time::Duration;

use super::crypto::SessionKey;
use super::input::HostKind;
use super::session::{AudioConfig, SessionConfig, VideoConfig};
use super::wire::http::AppId;
use super::wire::http::request::Launch;
use super::wire::sdp::{Announcement, Channels, Encryption, Offer, OpusLayout};
use crate::input::InputFeatures;
use crate::media::{AudioInfo, StreamInfo, VideoCodec, VideoInfo};

/// What a session shall be like.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// Pixels, 16 to 8192.
    pub(crate) width: u32,
    /// Pixels, 16 to 8192; made even.
    pub(crate) height: u32,
    /// Frames per second, 1 to 1000.
    pub(crate) fps: u32,
    /// Hundredths of a hertz; 0 is unknown.
    pub(crate) refresh_rate: u32,
    /// kbit/s, 500 to 1,000,000; with FEC and audio.
    pub(crate) bitrate: u32,
    /// The best first; the first that the host has is taken.
    pub(crate) codecs: Vec<VideoCodec>,
    /// What to encrypt beyond what the host asks for; the control stream always is, as well as the host can.
    pub(crate) encryption: EncryptionWishes,
    pub(crate) channels: Channels,
    /// Of an Opus packet, 5 or 10 ms.
    pub(crate) packet_duration: Duration,
    /// Bytes, 256 to 1408: the most for [`Announcement::packet_size`], before encryption takes its share.
    pub(crate) packet_size: u32,
    pub(crate) route: Route,
}

/// What to encrypt if the host can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EncryptionWishes {
    pub(crate) video: bool,
    pub(crate) audio: bool,
}

/// What lies between client and host. A tunnel counts as remote too: its datagrams are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Local,
    Remote,
}

impl Route {
    /// Local for private, link-local and loopback addresses, among them all of fc00::/7, which the reference client
    /// takes for remote in part (session 17.4).
    pub(crate) fn to(address: IpAddr) -> Self {
        let local = match address.to_canonical() {
            IpAddr::V4(address) => address.is_private() || address.is_link_local() || address.is_loopback(),
            IpAddr::V6(address) => {
                let site_local = address.segments()[0] & 0xffc0 == 0xfec0;
                address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_loopback()
                    || site_local
            }
        };
        if local { Self::Local } else { Self::Remote }
    }
}

/// Why wishes and offer do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("{wish} cannot be {value}")]
    Wish { wish: &'static str, value: u32 },
    #[error("the host has none of the wished codecs")]
    Codec,
    #[error("the host has no layout for {channels} channels")]
    Layout { channels: u8 },
}

/// What both sides settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) announcement: Announcement,
    /// How to decode what comes.
    pub(crate) layout: OpusLayout,
    /// What the host can do with input.
    pub(crate) features: InputFeatures,
    pub(crate) host_kind: HostKind,
}

impl Agreement {
    /// As [`Announcement::control_v2`].
    pub(crate) fn control_v2(&self) -> bool {
        self.announcement.control_v2()
    }

    /// As [`Announcement::info`].
    pub(crate) fn info(&self) -> StreamInfo {
        self.announcement.info()
    }

    /// As [`Announcement::session`].
    pub(crate) fn session(&self, key: SessionKey, rikeyid: u32) -> SessionConfig {
        self.announcement.session(key, rikeyid)
    }
}

/// What a session is like once it was announced.
impl Announcement {
    /// Whether control messages have nonces of 12 bytes; else they have 16, as NVIDIA's.
    pub(crate) fn control_v2(&self) -> bool {
        self.encryption.control
    }

    /// What the stream carries.
    pub(crate) fn info(&self) -> StreamInfo {
        let Self { codec, width, height, fps, channels, packet_duration, .. } = *self;
        StreamInfo {
            video: VideoInfo { codec, width, height, fps },
            audio: Some(AudioInfo { channels: channels.count(), packet_duration }),
        }
    }

    /// What the receiving side needs to know.
    pub(crate) fn session(&self, key: SessionKey, rikeyid: u32) -> SessionConfig {
        let Self { encryption, audio_encryption_flag, codec, packet_duration, .. } = *self;
        SessionConfig {
            key,
            rikeyid,
            video: VideoConfig { codec, encrypted: encryption.video },
            audio: AudioConfig { encrypted: encryption.audio || audio_encryption_flag, packet_duration },
        }
    }

    /// The packet size that was wished for, before encryption took its share.
    pub(crate) fn wished_packet_size(&self) -> u32 {
        if self.encryption.video { self.packet_size + SEALED_LEN } else { self.packet_size }
    }
}

impl Wishes {
    /// What `/launch` and `/resume` are asked. Key and key id are new each time.
    pub(crate) fn launch(&self, app: AppId, gamepads: u16, key: SessionKey, rikeyid: u32) -> Launch {
        Launch {
            app,
            width: self.width,
            height: self.even_height(),
            fps: self.fps,
            optimise: false,
            key,
            rikeyid,
            play_on_host: false,
            channels: self.channels,
            gamepads,
            rtsp_encryption: true,
            // Viewers that join while the host is silent must not wait for sound.
            continuous_audio: true,
        }
    }

    /// Settles everything. `address` is the host's, as this client reaches it; `video_port` is from SETUP.
    pub(crate) fn meet(&self, offer: &Offer, address: IpAddr, video_port: u16) -> Result<Agreement, Error> {
        self.check()?;
        let encryption = self.encryption(offer);
        let (layout, high_quality_audio) = self.layout(offer)?;
        Ok(Agreement {
            announcement: Announcement {
                address,
                video_port,
                encryption,
                audio_encryption_flag: self.encryption.audio || encryption.audio,
                width: self.width,
                height: self.even_height(),
                fps: self.fps,
                refresh_rate: self.refresh_rate,
                packet_size: self.packet_size(address, encryption),
                encoder_bitrate: self.encoder_bitrate(),
                bitrate: self.bitrate,
                local: self.route == Route::Local,
                codec: self.codec(offer)?,
                channels: self.channels,
                high_quality_audio,
                packet_duration: self.packet_duration,
            },
            layout,
            features: InputFeatures {
                touch: offer.features & TOUCH != 0,
                gamepad_sensors: offer.features & GAMEPAD_SENSORS != 0,
            },
            // It alone says nothing of encryption (session 15.1).
            host_kind: if offer.encryption.is_none() { HostKind::Wolf } else { HostKind::Usual },
        })
    }

    /// Refuses what no host takes.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let duration = u32::try_from(self.packet_duration.as_millis()).unwrap_or(u32::MAX);
        let checks = [
            ("width", self.width, 16..=8192),
            ("height", self.height, 16..=8192),
            ("fps", self.fps, 1..=1000),
            ("refresh rate", self.refresh_rate, 0..=100_000),
            ("bitrate", self.bitrate, 500..=1_000_000),
            ("packet duration", duration, 5..=10),
            ("packet size", self.packet_size, 256..=1408),
        ];
        for (wish, value, range) in checks {
            if !range.contains(&value) || (wish == "packet duration" && value % 5 != 0) {
                return Err(Error::Wish { wish, value });
            }
        }
        Ok(())
    }

    fn even_height(&self) -> u32 {
        self.height & !1
    }

    /// Session 17.1.
    fn encryption(&self, offer: &Offer) -> Encryption {
        let Some(offered) = offer.encryption else { return Encryption::default() };
        let (supported, requested) = (offered.supported, offered.requested);
        Encryption {
            control: supported.control,
            video: (supported.video && self.encryption.video) || requested.video,
            audio: (supported.audio && self.encryption.audio) || requested.audio,
        }
    }

    /// Session 17.2; H.264 is there always.
    fn codec(&self, offer: &Offer) -> Result<VideoCodec, Error> {
        let offered = |codec: &VideoCodec| match codec {
            VideoCodec::H264 => true,
            VideoCodec::Hevc => offer.hevc,
            VideoCodec::Av1 => offer.av1,
        };
        self.codecs.iter().copied().find(offered).ok_or(Error::Codec)
    }

    /// Session 17.4.
    fn packet_size(&self, address: IpAddr, encryption: Encryption) -> u32 {
        let most = match (self.route, address.to_canonical()) {
            (Route::Local, _) => u32::MAX,
            (Route::Remote, IpAddr::V4(_)) => 1024,
            (Route::Remote, IpAddr::V6(_)) => 1184,
        };
        let size = self.packet_size.min(most) / 16 * 16;
        // Each datagram is as long as without encryption.
        if encryption.video { size - SEALED_LEN } else { size }
    }

    /// Session 17.5: what the encoder gets, by the client's reckoning.
    fn encoder_bitrate(&self) -> u32 {
        let bitrate = self.bitrate / 5 * 4 + self.bitrate % 5 * 4 / 5;
        let deducted = if self.route == Route::Remote && bitrate > 500 { bitrate - 500 } else { bitrate };
        deducted.min(100_000)
    }

    /// Session 15.1 and 17.6: how packets are put together, and whether in high quality.
    fn layout(&self, offer: &Offer) -> Result<(OpusLayout, bool), Error> {
        let channels = self.channels.count();
        if self.channels == Channels::Stereo {
            let mapping = [0, 1, 0, 0, 0, 0, 0, 0];
            return Ok((OpusLayout { channels, streams: 1, coupled: 1, mapping }, false));
        }
        let mut layouts = offer.layouts.iter().filter(|layout| layout.channels == channels);
        let normal = layouts.next();
        match layouts.next().filter(|_| self.bitrate >= HIGH_QUALITY_AUDIO) {
            Some(high) => Ok((*high, true)),
            None => match normal {
                Some(normal) => Ok((in_client_order(*normal), false)),
                None if self.channels == Channels::Surround51 => {
                    let mapping = [0, 4, 1, 5, 2, 3, 0, 0];
                    Ok((OpusLayout { channels, streams: 4, coupled: 2, mapping }, false))
                }
                None => Err(Error::Layout { channels }),
            },
        }
    }
}

/// What Sunshine's encoder gets, in kbit/s, by the host's reckoning (session 17.5). `fec` is in percent.
#[cfg(test)]
pub(crate) fn host_bitrate(configured: u32, fec: u8, channels: Channels, high_quality: bool) -> u32 {
    let mut bitrate = configured;
    if fec <= 80 {
        // In single precision, as the host does.
        bitrate = (bitrate as f32 / (100.0 / f32::from(100 - fec))) as u32;
    }
    let audio = u32::from(channels.count()) * if high_quality { 256 } else { 96 };
    bitrate -= audio.min(bitrate / 5);
    bitrate - (bitrate / 10).min(500)
}

/// Hosts write the layout of normal quality with the LFE last: it moves behind the centre.
fn in_client_order(mut layout: OpusLayout) -> OpusLayout {
    if layout.channels == 8 && layout.mapping == SUNSHINE_71 {
        // Sunshine garbles the order of this one when it writes it; it encodes in the client's.
        layout.mapping = [0, 1, 2, 3, 4, 5, 6, 7];
    } else {
        layout.mapping[3..layout.channels.into()].rotate_right(1);
    }
    layout
}

/// The mapping of `85301245367`.
const SUNSHINE_71: [u8; 8] = [0, 1, 2, 4, 5, 3, 6, 7];

/// Bits of [`Offer::features`] (streams 0).
const TOUCH: u32 = 0x01;
const GAMEPAD_SENSORS: u32 = 0x02;

/// kbit/s from which on surround is asked for in high quality.
const HIGH_QUALITY_AUDIO: u32 = 15_000;

/// Bytes in front of an encrypted video datagram (streams 4.3).
const SEALED_LEN: u32 = 32;

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::sdp::tests::{SUNSHINE, WOLF, announcement};

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 50));

    /// Session 24.5.
    pub(crate) fn wishes() -> Wishes {
        Wishes {
            width: 1920,
            height: 1080,
            fps: 60,
            refresh_rate: 6000,
            bitrate: 20_000,
            codecs: vec![VideoCodec::H264],
            encryption: EncryptionWishes::default(),
            channels: Channels::Stereo,
            packet_duration: Duration::from_millis(5),
            packet_size: 1392,
            route: Route::Local,
        }
    }

    fn meet(wishes: &Wishes, offer: &str) -> Result<Agreement, Error> {
        wishes.meet(&Offer::parse(offer).unwrap(), HOST, 47998)
    }

    #[test]
    fn the_documents_wishes_make_the_documents_announcement() {
        let agreement = meet(&wishes(), SUNSHINE).unwrap();
        assert_eq!(agreement.announcement, announcement());
        assert!(agreement.control_v2());
        assert_eq!(agreement.layout.mapping[..2], [0, 1]);
    }

    #[test]
    fn encryption_is_what_is_wished_and_supported_or_requested() {
        let encryption = |offer: &str, video, audio| {
            let wishes = Wishes { encryption: EncryptionWishes { video, audio }, ..wishes() };
            let announcement = meet(&wishes, offer).unwrap().announcement;
            (announcement.encryption.bits(), announcement.audio_encryption_flag, announcement.packet_size)
        };
        let offer = |supported: u32, requested: u32| {
            format!(
                "x-ss-general.encryptionSupported:{supported}\nx-ss-general.encryptionRequested:{requested}\n"
            )
        };
        assert_eq!(encryption(&offer(5, 1), false, false), (1, false, 1392));
        assert_eq!(encryption(&offer(5, 1), true, true), (5, true, 1392));
        assert_eq!(encryption(&offer(7, 1), true, false), (3, false, 1360));
        assert_eq!(encryption(&offer(7, 7), false, false), (7, true, 1360));
        assert_eq!(encryption(WOLF, true, true), (0, true, 1392));
        assert_eq!(encryption(WOLF, false, false), (0, false, 1392));

        let quiet = meet(&wishes(), WOLF).unwrap();
        assert!(!quiet.control_v2());
        let key = SessionKey::new([0; 16]);
        assert!(!quiet.session(key.clone(), 1).audio.encrypted);
        let wishes = Wishes { encryption: EncryptionWishes { video: true, audio: true }, ..wishes() };
        let config = meet(&wishes, WOLF).unwrap().session(key, 1);
        assert!(config.audio.encrypted && !config.video.encrypted);
    }

    #[test]
    fn the_first_wished_codec_that_the_host_has_is_taken() {
        let codec = |offer: &str, codecs: &[VideoCodec]| {
            meet(&Wishes { codecs: codecs.to_vec(), ..wishes() }, offer).map(|a| a.announcement.codec)
        };
        use VideoCodec::{Av1, H264, Hevc};
        assert_eq!(codec(SUNSHINE, &[Av1, Hevc, H264]), Ok(Av1));
        assert_eq!(codec("", &[Av1, Hevc, H264]), Ok(H264));
        assert_eq!(codec("sprop-parameter-sets=AAAAAU", &[Av1, Hevc, H264]), Ok(Hevc));
        assert_eq!(codec(SUNSHINE, &[H264, Av1]), Ok(H264));
        assert_eq!(codec("", &[Av1]), Err(Error::Codec));
        assert_eq!(codec(SUNSHINE, &[]), Err(Error::Codec));
    }

    #[test]
    fn layouts_come_out_as_the_document_says() {
        let layout = |offer: &str, channels, bitrate| {
            let wishes = Wishes { channels, bitrate, ..wishes() };
            meet(&wishes, offer).map(|agreement| {
                let OpusLayout { channels, mapping, .. } = agreement.layout;
                (mapping[..channels.into()].to_vec(), agreement.announcement.high_quality_audio)
            })
        };
        use Channels::{Stereo, Surround51, Surround71};
        let check = |offer: &str, channels, bitrate, mapping: &[u8], high| {
            assert_eq!(layout(offer, channels, bitrate), Ok((mapping.to_vec(), high)));
        };
        check(SUNSHINE, Stereo, 50_000, &[0, 1], false);
        check(SUNSHINE, Surround51, 14_999, &[0, 1, 2, 3, 4, 5], false);
        check(SUNSHINE, Surround51, 15_000, &[0, 1, 2, 3, 4, 5], true);
        check(SUNSHINE, Surround71, 14_999, &[0, 1, 2, 3, 4, 5, 6, 7], false);
        check(SUNSHINE, Surround71, 15_000, &[0, 1, 2, 3, 4, 5, 6, 7], true);
        check(WOLF, Surround51, 50_000, &[0, 1, 4, 5, 2, 3], false);
        check(WOLF, Surround71, 50_000, &[0, 1, 4, 5, 2, 3, 6, 7], false);
        check("", Surround51, 50_000, &[0, 4, 1, 5, 2, 3], false);
        assert_eq!(layout("", Surround71, 50_000), Err(Error::Layout { channels: 8 }));
    }

    #[test]
    fn bitrates_are_reckoned_as_the_document_says() {
        for (bitrate, route, expected) in [
            (20_000, Route::Local, 16_000),
            (20_000, Route::Remote, 15_500),
            (10_000, Route::Remote, 7500),
            (600, Route::Remote, 480),
            (500, Route::Remote, 400),
            (150_000, Route::Local, 100_000),
        ] {
            assert_eq!(Wishes { bitrate, route, ..wishes() }.encoder_bitrate(), expected);
        }
        use Channels::{Stereo, Surround51};
        for (configured, fec, high, channels, expected) in [
            (20_000, 20, true, Stereo, 14_988),
            (10_000, 20, false, Stereo, 7308),
            (10_000, 20, true, Stereo, 6988),
            (50_000, 20, true, Surround51, 37_964),
            (50_000, 20, false, Surround51, 38_924),
            (1000, 20, false, Stereo, 576),
            (150_000, 20, true, Stereo, 118_988),
            (20_000, 10, true, Stereo, 16_988),
            (20_000, 90, true, Stereo, 18_988),
        ] {
            assert_eq!(host_bitrate(configured, fec, channels, high), expected);
        }
    }

    #[test]
    fn packets_are_smaller_on_remote_routes() {
        let size = |address: &str, route, packet_size| {
            let wishes = Wishes { route, packet_size, ..wishes() };
            let agreement = wishes.meet(&Offer::default(), address.parse().unwrap(), 1).unwrap();
            (agreement.announcement.packet_size, agreement.announcement.local)
        };
        assert_eq!(size("192.168.1.50", Route::Local, 1400), (1392, true));
        assert_eq!(size("203.0.113.1", Route::Remote, 1392), (1024, false));
        assert_eq!(size("2001:db8::1", Route::Remote, 1392), (1184, false));
        assert_eq!(size("::ffff:203.0.113.1", Route::Remote, 1392), (1024, false));
    }

    #[test]
    fn private_addresses_are_local() {
        let route = |address: &str| Route::to(address.parse().unwrap());
        for address in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "::1",
        ] {
            assert_eq!(route(address), Route::Local, "{address}");
        }
        for address in ["172.32.0.1", "203.0.113.1", "192.169.0.1", "2001:db8::1", "64:ff9b::a00:1"] {
            assert_eq!(route(address), Route::Remote, "{address}");
        }
    }

    #[test]
    fn wishes_that_no_host_takes_are_refused() {
        let refused = |wishes: Wishes| meet(&wishes, SUNSHINE).unwrap_err();
        let wish = |wish, value| Error::Wish { wish, value };
        assert_eq!(refused(Wishes { width: 0, ..wishes() }), wish("width", 0));
        assert_eq!(refused(Wishes { height: 8193, ..wishes() }), wish("height", 8193));
        assert_eq!(refused(Wishes { fps: 0, ..wishes() }), wish("fps", 0));
        assert_eq!(refused(Wishes { bitrate: 499, ..wishes() }), wish("bitrate", 499));
        assert_eq!(refused(Wishes { packet_size: 2000, ..wishes() }), wish("packet size", 2000));
        let odd = Wishes { packet_duration: Duration::from_millis(7), ..wishes() };
        assert_eq!(refused(odd), wish("packet duration", 7));
        let odd = meet(&Wishes { height: 1081, ..wishes() }, SUNSHINE).unwrap();
        assert_eq!(odd.announcement.height, 1080);
    }

    proptest! {
        /// What is agreed upon is always something that a host can read.
        #[test]
        fn any_agreement_can_be_announced(
            numbers: [u16; 4], bitrate: u32, flags: [bool; 3], bits: (u8, u8), channels in 0usize..3,
        ) {
            let wishes = Wishes {
                width: numbers[0].into(),
                height: numbers[1].into(),
                fps: u32::from(numbers[2]) % 1100,
                bitrate: bitrate % 1_100_000,
                packet_size: u32::from(numbers[3]) % 1500,
                encryption: EncryptionWishes { video: flags[0], audio: flags[1] },
                route: if flags[2] { Route::Local } else { Route::Remote },
                channels: [Channels::Stereo, Channels::Surround51, Channels::Surround71][channels],
                ..wishes()
            };
            let offer = format!(
                "x-ss-general.encryptionSupported:{}\nx-ss-general.encryptionRequested:{}\n{SUNSHINE}", bits.0, bits.1);
            if let Ok(agreement) = meet(&wishes, &offer) {
                let mut body = String::new();
                agreement.announcement.emit(&mut body);
                prop_assert_eq!(Announcement::parse(&body), Ok(agreement.announcement));
            }
        }
    }
}
