//! A session's receiving side: routes datagrams to the streams' machines and their results to one queue of events.

use std::time::{Duration, Instant};

use super::audio::Audio;
use super::crypto::{AudioCipher, SessionKey, VideoCipher};
use super::video::Video;
use super::wire::Malformed;
use super::wire::audio;
use super::wire::video::{Packet, Sealed};
use crate::media::{AudioFrame, VideoCodec, VideoFrame};

/// What was negotiated before the streams begin.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    /// `rikey`.
    pub(crate) key: SessionKey,
    /// `rikeyid`, taken as unsigned.
    pub(crate) rikeyid: u32,
    pub(crate) video: VideoConfig,
    pub(crate) audio: AudioConfig,
}

/// The video stream, as negotiated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VideoConfig {
    pub(crate) codec: VideoCodec,
    /// `encryptionEnabled & 2`.
    pub(crate) encrypted: bool,
}

/// The audio stream, as negotiated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AudioConfig {
    /// `encryptionEnabled & 4` or `featureFlags & 0x20`.
    pub(crate) encrypted: bool,
    /// 5 or 10 ms.
    pub(crate) packet_duration: Duration,
}

/// Pure: datagrams and time in, events out.
///
/// After each `handle_*` call [`poll_event`](Self::poll_event) until `None`; then
/// [`poll_timeout`](Self::poll_timeout) says when [`handle_timeout`](Self::handle_timeout) is due.
#[derive(Debug)]
pub(crate) struct Session {
    video: Video,
    video_cipher: Option<VideoCipher>,
    audio: Audio,
    /// Holds one datagram while it is opened.
    scratch: Vec<u8>,
}

/// What a session has for its driver.
#[derive(Debug)]
pub(crate) enum Event {
    Video(VideoFrame),
    Audio(AudioFrame),
    /// The host shall be asked for an IDR frame.
    RequestIdr,
}

impl Session {
    pub(crate) fn new(config: &SessionConfig) -> Self {
        let SessionConfig { key, rikeyid, video, audio } = config;
        let audio_cipher = audio.encrypted.then(|| AudioCipher::new(key, *rikeyid));
        Self {
            video: Video::new(video.codec),
            video_cipher: video.encrypted.then(|| VideoCipher::new(key)),
            audio: Audio::new(audio_cipher, audio.packet_duration),
            scratch: Vec::new(),
        }
    }

    /// Takes in a datagram of the video socket. What is malformed or forged is dropped.
    pub(crate) fn handle_video(&mut self, now: Instant, datagram: &[u8]) {
        let handled = match &self.video_cipher {
            None => Packet::parse(datagram).map(|packet| self.video.handle(now, &packet)),
            Some(cipher) => Sealed::parse(datagram).and_then(|sealed| {
                let hint = sealed.frame_hint();
                if (hint != 0 && self.video.is_past(hint)) || cipher.open(&sealed, &mut self.scratch).is_err()
                {
                    return Ok(());
                }
                Packet::parse(&self.scratch).map(|packet| self.video.handle(now, &packet))
            }),
        };
        trace_malformed(handled);
    }

    /// Takes in a datagram of the audio socket. What is malformed is dropped.
    pub(crate) fn handle_audio(&mut self, now: Instant, datagram: &[u8]) {
        let handled = audio::Packet::parse(datagram).map(|packet| self.audio.handle(now, &packet));
        trace_malformed(handled);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.video.poll_timeout(), self.audio.poll_timeout()].into_iter().flatten().min()
    }

    /// Time has passed. Call it when due; earlier or later does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.video.handle_timeout(now);
        self.audio.handle_timeout(now);
    }

    /// What there is to do or to hand on.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if self.video.poll_refresh() {
            return Some(Event::RequestIdr);
        }
        let video = self.video.poll_frame().map(Event::Video);
        video.or_else(|| self.audio.poll_frame().map(Event::Audio))
    }
}

fn trace_malformed(handled: Result<(), Malformed>) {
    if let Err(error) = handled {
        tracing::trace!(%error, "datagram dropped");
    }
}
