//! The HTTP API's requests.
//!
//! Source: protocol document, session 4.2, 4.3, 5, 8.2, 9 and 10.1; vectors of 24.2 and 24.3.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::AppId;
use super::pairing::{self, PairRequest};
use crate::gamestream::crypto::SessionKey;
use crate::gamestream::wire::hex;
use crate::gamestream::wire::query::{self, Target};
use crate::gamestream::wire::sdp::Channels;

/// Why a target is no request of the HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    #[error("the target is malformed")]
    Target(#[from] query::Malformed),
    #[error("the path is unknown")]
    Path,
    #[error("{parameter} is missing or makes no sense")]
    Parameter { parameter: &'static str },
    #[error("no stage of pairing")]
    Pair(#[from] pairing::Malformed),
}

/// What a client calls itself; the same at all times towards one host (session 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UniqueId(String);

/// Text that is no client's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not 1 to 64 letters, digits and dashes")]
pub(crate) struct NotAUniqueId;

impl FromStr for UniqueId {
    type Err = NotAUniqueId;

    fn from_str(text: &str) -> Result<Self, NotAUniqueId> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        fits.then(|| Self(text.to_owned())).ok_or(NotAUniqueId)
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client asks a host.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    ServerInfo,
    Apps,
    /// An app's picture.
    AppImage(AppId),
    Pair(PairRequest),
    Launch(Launch),
    Resume(Launch),
    Cancel,
    /// Only Wolf and GFE know it.
    Unpair,
}

impl Call {
    /// Whether it goes by HTTPS; `/serverinfo` does as soon as the client is paired.
    pub(crate) fn needs_https(&self) -> bool {
        match self {
            Self::ServerInfo | Self::Unpair => false,
            Self::Pair(request) => *request == PairRequest::PairChallenge,
            Self::Apps | Self::AppImage(_) | Self::Launch(_) | Self::Resume(_) | Self::Cancel => true,
        }
    }

    /// The request's target. `uuid` is new for each request, so that nothing between answers from a cache.
    pub(crate) fn target(&self, uniqueid: &UniqueId, uuid: Uuid) -> String {
        let path = match self {
            Self::ServerInfo => "/serverinfo",
            Self::Apps => "/applist",
            Self::AppImage(_) => "/appasset",
            Self::Pair(_) => "/pair",
            Self::Launch(_) => "/launch",
            Self::Resume(_) => "/resume",
            Self::Cancel => "/cancel",
            Self::Unpair => "/unpair",
        };
        let target = Target::new(path).with("uniqueid", uniqueid).with("uuid", uuid.simple());
        let target = match self {
            Self::Pair(request) => request.append(target),
            Self::Launch(launch) | Self::Resume(launch) => launch.append(target),
            Self::AppImage(app) => target.with("appid", app).with("AssetType", 2).with("AssetIdx", 0),
            Self::ServerInfo | Self::Apps | Self::Cancel | Self::Unpair => target,
        };
        let mut text = String::new();
        target.emit(&mut text);
        text
    }

    /// What a host reads: who asks, and what for. Hosts answer some questions of unnamed clients too.
    pub(crate) fn parse(target: &str) -> Result<(Option<UniqueId>, Self), Malformed> {
        let target = Target::parse(target)?;
        let uniqueid = match target.find("uniqueid") {
            None => None,
            Some(id) => Some(id.parse().map_err(|_| Malformed::Parameter { parameter: "uniqueid" })?),
        };
        let call = match target.path.as_str() {
            "/serverinfo" => Self::ServerInfo,
            "/applist" => Self::Apps,
            "/appasset" => {
                let app = target.find("appid").and_then(|id| id.parse().ok());
                Self::AppImage(app.ok_or(Malformed::Parameter { parameter: "appid" })?)
            }
            "/pair" => Self::Pair(PairRequest::find(&target)?),
            "/launch" => Self::Launch(Launch::find(&target)?),
            "/resume" => Self::Resume(Launch::find(&target)?),
            "/cancel" => Self::Cancel,
            "/unpair" => Self::Unpair,
            _ => return Err(Malformed::Path),
        };
        Ok((uniqueid, call))
    }
}

/// What `/launch` and `/resume` ask for (session 10.1).
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) app: AppId,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    pub(crate) fps: u32,
    /// The host may change the mode of its display.
    pub(crate) optimise: bool,
    /// New for every session.
    pub(crate) key: SessionKey,
    /// New for every session.
    pub(crate) rikeyid: u32,
    /// The host's loudspeakers stay on.
    pub(crate) play_on_host: bool,
    pub(crate) channels: Channels,
    /// One bit for each pad.
    pub(crate) gamepads: u16,
    /// The client can encrypt RTSP: Sunshine then does.
    pub(crate) rtsp_encryption: bool,
    /// Audio packets come while the host is silent too. Sunshine knows it since v2026.516.
    pub(crate) continuous_audio: bool,
}

impl Launch {
    fn append(&self, target: Target) -> Target {
        let audio = self.channels.mask() << 16 | u32::from(self.channels.count());
        let target = target
            .with("appid", self.app)
            .with("mode", format_args!("{}x{}x{}", self.width, self.height, self.fps))
            .with("additionalStates", 1)
            .with("sops", u8::from(self.optimise))
            .with("rikey", self.key.to_hex())
            .with("rikeyid", self.rikeyid as i32)
            .with("localAudioPlayMode", u8::from(self.play_on_host))
            .with("surroundAudioInfo", audio)
            .with("remoteControllersBitmap", self.gamepads)
            .with("gcmap", self.gamepads)
            .with("gcpersist", 0);
        let target = if self.rtsp_encryption { target.with("corever", 1) } else { target };
        if self.continuous_audio { target.with("continuousAudio", 1) } else { target }
    }

    fn find(target: &Target) -> Result<Self, Malformed> {
        let wrong = |parameter| Malformed::Parameter { parameter };
        let flag = |parameter| target.find(parameter) == Some("1");
        let mode = target.find("mode").ok_or(wrong("mode"))?;
        let mut numbers = mode.split('x').map(|number| number.parse().ok());
        let mut number = || numbers.next().flatten().ok_or(wrong("mode"));
        let (width, height, fps) = (number()?, number()?, number()?);
        let key = target.find("rikey").and_then(hex::decode_array).ok_or(wrong("rikey"))?;
        // Signed as Moonlight sends it, or unsigned.
        let rikeyid = target.find("rikeyid").and_then(|id| id.parse::<i64>().ok());
        let rikeyid = rikeyid.filter(|id| (i32::MIN.into()..=u32::MAX.into()).contains(id));
        let channels = match target.find("surroundAudioInfo") {
            None => Some(Channels::Stereo),
            Some(info) => info.parse::<u32>().ok().and_then(|info| Channels::from_count(info & 0xffff)),
        };
        let gamepads = target.find("gcmap").map_or(Ok(0), str::parse);
        Ok(Self {
            app: target.find("appid").and_then(|id| id.parse().ok()).ok_or(wrong("appid"))?,
            width,
            height,
            fps,
            optimise: flag("sops"),
            key: SessionKey::new(key),
            rikeyid: rikeyid.ok_or(wrong("rikeyid"))? as u32,
            play_on_host: flag("localAudioPlayMode"),
            channels: channels.ok_or(wrong("surroundAudioInfo"))?,
            gamepads: gamepads.map_err(|_| wrong("gcmap"))?,
            rtsp_encryption: target.find("corever").is_some_and(|version| version != "0"),
            continuous_audio: flag("continuousAudio"),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::pairing::tests::requests;
    use super::*;
    use crate::gamestream::crypto::tests::key;

    /// Session 24.3.
    pub(crate) const LAUNCH: &str = "/launch?uniqueid=9A3C5E7F10B2D4E6&uuid=5b0e4538410a40ba9374886fa5765a93&appid=881448767&mode=1920x1080x60&additionalStates=1&sops=0&rikey=000102030405060708090a0b0c0d0e0f&rikeyid=-768321928&localAudioPlayMode=0&surroundAudioInfo=196610&remoteControllersBitmap=0&gcmap=0&gcpersist=0&corever=1";
    const UUID: Uuid = Uuid::from_u128(0x5b0e_4538_410a_40ba_9374_886f_a576_5a93);

    fn launch() -> Launch {
        Launch {
            app: "881448767".parse().unwrap(),
            width: 1920,
            height: 1080,
            fps: 60,
            optimise: false,
            key: key(),
            rikeyid: 0xd234_5678,
            play_on_host: false,
            channels: Channels::Stereo,
            gamepads: 0,
            rtsp_encryption: true,
            continuous_audio: false,
        }
    }

    #[test]
    fn the_documents_launch_builds_and_parses_back() {
        let uniqueid: UniqueId = "9A3C5E7F10B2D4E6".parse().unwrap();
        let call = Call::Launch(launch());
        assert!(call.needs_https());
        assert_eq!(call.target(&uniqueid, UUID), LAUNCH);
        let (id, parsed) = Call::parse(LAUNCH).unwrap();
        assert_eq!(id, Some(uniqueid.clone()));
        assert_eq!(parsed.target(&uniqueid, UUID), LAUNCH);
    }

    #[test]
    fn key_ids_and_channels_are_written_as_the_document_says() {
        let uniqueid: UniqueId = "1".parse().unwrap();
        let target = |launch| Target::parse(&Call::Resume(launch).target(&uniqueid, UUID)).unwrap();
        for (rikeyid, text) in [
            (0xd234_5678, "-768321928"),
            (0xee47_7059, "-297308071"),
            (0x1234_5678, "305419896"),
            (0x7fff_ffff, "2147483647"),
            (0x8000_0000, "-2147483648"),
        ] {
            assert_eq!(target(Launch { rikeyid, ..launch() }).find("rikeyid"), Some(text));
            let unsigned = LAUNCH.replace("-768321928", &rikeyid.to_string());
            let Ok((_, Call::Launch(launch))) = Call::parse(&unsigned) else { panic!("it is a launch") };
            assert_eq!(launch.rikeyid, rikeyid);
        }
        for (channels, text) in [
            (Channels::Stereo, "196610"),
            (Channels::Surround51, "4128774"),
            (Channels::Surround71, "104792072"),
        ] {
            assert_eq!(target(Launch { channels, ..launch() }).find("surroundAudioInfo"), Some(text));
        }
    }

    #[test]
    fn what_is_missing_or_absurd_is_named() {
        let with = |from: &str, to: &str| {
            assert!(LAUNCH.contains(from));
            Call::parse(&LAUNCH.replace(from, to)).map(|_| ()).unwrap_err()
        };
        let wrong = |parameter| Malformed::Parameter { parameter };
        assert_eq!(with("appid=881448767", "appid=0"), wrong("appid"));
        assert_eq!(with("1920x1080x60", "1920x1080"), wrong("mode"));
        assert_eq!(with("0e0f", "0e"), wrong("rikey"));
        assert_eq!(with("rikeyid=-", "rikeyid=--"), wrong("rikeyid"));
        assert_eq!(with("rikeyid=-768321928", "rikeyid=4294967296"), wrong("rikeyid"));
        assert_eq!(with("196610", "3"), wrong("surroundAudioInfo"));
        assert_eq!(with("gcmap=0", "gcmap=65536"), wrong("gcmap"));
        assert_eq!(with("uniqueid=", "uniqueid=é"), wrong("uniqueid"));
        assert_eq!(with("/launch", "/lunch"), Malformed::Path);
        assert_eq!(
            Call::parse("/pair?phrase=bogus").map(|_| ()).unwrap_err(),
            Malformed::Pair(pairing::Malformed::Stage)
        );
        assert_eq!(
            Call::parse("/pair?phrase=getservercert&salt=00").map(|_| ()).unwrap_err(),
            Malformed::Pair(pairing::Malformed::Parameter { parameter: "salt" })
        );
    }

    #[test]
    fn the_key_is_not_printed() {
        assert!(!format!("{:?}", Call::Launch(launch())).contains("0a0b"));
    }

    proptest! {
        #[test]
        fn any_stage_of_pairing_builds_and_parses_back(request in requests(), uuid: u128) {
            let uniqueid: UniqueId = "0123456789ABCDEF".parse().unwrap();
            let target = Call::Pair(request.clone()).target(&uniqueid, Uuid::from_u128(uuid));
            let (id, Call::Pair(parsed)) = Call::parse(&target).unwrap() else { panic!("it is pairing") };
            prop_assert_eq!((id, parsed), (Some(uniqueid), request));
        }

        #[test]
        fn any_launch_builds_and_parses_back(
            mode: [u32; 3], key: [u8; 16], rikeyid: u32, flags: [bool; 4], gamepads: u16, channels in 0usize..3,
        ) {
            let launch = Launch {
                width: mode[0],
                height: mode[1],
                fps: mode[2],
                optimise: flags[0],
                key: SessionKey::new(key),
                rikeyid,
                play_on_host: flags[1],
                channels: [Channels::Stereo, Channels::Surround51, Channels::Surround71][channels],
                gamepads,
                rtsp_encryption: flags[3],
                continuous_audio: flags[2],
                ..launch()
            };
            let uniqueid: UniqueId = "1".parse().unwrap();
            let target = Call::Resume(launch).target(&uniqueid, UUID);
            let (_, parsed) = Call::parse(&target).unwrap();
            prop_assert_eq!(parsed.target(&uniqueid, UUID), target);
        }

        #[test]
        fn any_target_is_taken_or_refused(
            text in "/(pair|launch|resume|x)\\?((phrase|salt|clientcert|rikey|mode|appid|=|&|[0-9a-f]{2}|x|.){0,30})",
        ) {
            let _ = Call::parse(&text);
        }
    }
}
