//! What a session with a host shall be like.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gamestream::crypto::SessionKey;
use crate::gamestream::negotiation::{self, EncryptionWishes, Route, Wishes};
use crate::gamestream::wire::http::request::Launch;
use crate::gamestream::wire::http::{App, AppId};
use crate::gamestream::wire::sdp::Channels;
use crate::media::VideoCodec;

/// What to stream from a host, and how. What the host cannot do is settled when connecting: codecs by their order here,
/// packet size and encryption by what the host asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MoonlightConfig {
    /// What to run.
    pub app: AppSelector,
    /// Pixels, 16 to 8192; 1920 by default.
    pub width: u32,
    /// Pixels, 16 to 8192, made even; 1080 by default.
    pub height: u32,
    /// Frames per second, 1 to 1000; 60 by default.
    pub fps: u32,
    /// In kbit/s, 500 to 1,000,000, with parity and sound; 20,000 by default.
    pub bitrate_kbps: u32,
    /// The most bytes in a video packet, 256 to 1408; 1392 by default. Less on routes that are not local.
    pub packet_size: u32,
    /// The best first; the first that the host has is taken. H.264 alone by default: every browser plays it.
    pub codecs: Vec<VideoCodec>,
    /// Stereo by default.
    pub channels: Channels,
    /// Of a packet of sound: 5 ms, the default, or 10 ms.
    pub packet_duration: Duration,
    /// Encrypt video although the host does not ask for it, if it can. Not by default.
    pub encrypt_video: bool,
    /// Encrypt sound although the host does not ask for it, if it can. Not by default.
    pub encrypt_audio: bool,
    /// The host's own loudspeakers stay on. Not by default.
    pub play_audio_on_host: bool,
}

impl MoonlightConfig {
    /// 1920x1080 at 60 frames per second with 20 Mbit/s, H.264 and stereo.
    #[must_use]
    pub fn new(app: AppSelector) -> Self {
        Self {
            app,
            width: 1920,
            height: 1080,
            fps: 60,
            bitrate_kbps: 20_000,
            packet_size: 1392,
            codecs: vec![VideoCodec::H264],
            channels: Channels::Stereo,
            packet_duration: Duration::from_millis(5),
            encrypt_video: false,
            encrypt_audio: false,
            play_audio_on_host: false,
        }
    }

    /// Refuses what no host takes, before any is asked.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.codecs.is_empty() {
            return Err(InvalidConfig { field: "codecs", value: 0 });
        }
        match self.wishes(Route::Local).check() {
            Err(negotiation::Error::Wish { wish, value }) => Err(InvalidConfig { field: wish, value }),
            _ => Ok(()),
        }
    }

    /// What the host is asked to launch or to resume.
    pub(super) fn launch(&self, app: AppId, key: SessionKey, rikeyid: u32) -> Launch {
        let launch = self.wishes(Route::Local).launch(app, NO_GAMEPADS, key, rikeyid);
        Launch { play_on_host: self.play_audio_on_host, ..launch }
    }

    /// What is wished of a host at the end of `route`.
    pub(super) fn wishes(&self, route: Route) -> Wishes {
        Wishes {
            width: self.width,
            height: self.height,
            fps: self.fps,
            refresh_rate: self.fps.saturating_mul(100),
            bitrate: self.bitrate_kbps,
            codecs: self.codecs.clone(),
            encryption: EncryptionWishes { video: self.encrypt_video, audio: self.encrypt_audio },
            channels: self.channels,
            packet_duration: self.packet_duration,
            packet_size: self.packet_size,
            route,
        }
    }
}

/// A value of a [`MoonlightConfig`] that no host takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be {value}")]
pub struct InvalidConfig {
    /// Which.
    pub field: &'static str,
    /// What it was set to; for a list its length.
    pub value: u32,
}

impl InvalidConfig {
    /// All that [`MoonlightConfig::check`] names.
    pub(crate) const FIELDS: [&'static str; 8] =
        ["codecs", "width", "height", "fps", "refresh rate", "bitrate", "packet size", "packet duration"];
}

/// Names one of a host's apps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AppSelector {
    /// By number; it changes when the app is renamed.
    Id(AppId),
    /// By title, exactly as the host shows it; invisible characters in front do not count.
    Title(String),
}

impl AppSelector {
    /// The first of a host's apps that is meant.
    pub(super) fn find<'a>(&self, apps: &'a [App]) -> Option<&'a App> {
        apps.iter().find(|app| match self {
            Self::Id(id) => app.id == *id,
            Self::Title(title) => app.title == title.trim_start_matches(INVISIBLE),
        })
    }
}

impl fmt::Display for AppSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "app {id}"),
            Self::Title(title) => write!(f, "{title:?}"),
        }
    }
}

/// What the Apollo family puts in front of titles (session 9).
const INVISIBLE: [char; 2] = ['\u{200b}', '\u{200c}'];

/// They come and go with viewers.
const NO_GAMEPADS: u16 = 0;
