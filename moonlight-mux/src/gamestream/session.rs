//! A session's receiving side: routes datagrams to the streams' machines and their results to one queue of events.

use std::time::{Duration, Instant};

use super::audio::Audio;
use super::crypto::{AudioCipher, SessionKey, VideoCipher};
use super::video::{Output, Video};
use super::wire::Malformed;
use super::wire::audio;
use super::wire::control::FecStatus;
use super::wire::video::{Packet, Sealed};
use crate::media::{AudioFrame, FrameNumber, VideoCodec, VideoFrame};

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
    /// The host shall be told how a FEC block got on.
    FecStatus(FecStatus),
    /// FEC repaired this frame; it comes next, as [`Video`](Self::Video) or [`HeldBack`](Self::HeldBack). To be counted.
    Repaired(FrameNumber),
    /// A whole frame that is of no use, since what it refers to was lost. To be counted.
    HeldBack(VideoFrame),
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
        if let Some(status) = self.video.poll_fec_status() {
            return Some(Event::FecStatus(status));
        }
        let video = self.video.poll_output().map(|output| match output {
            Output::Frame(frame) => Event::Video(frame),
            Output::HeldBack(frame) => Event::HeldBack(frame),
            Output::Repaired(number) => Event::Repaired(number),
        });
        video.or_else(|| self.audio.poll_frame().map(Event::Audio))
    }
}

fn trace_malformed(handled: Result<(), Malformed>) {
    if let Err(error) = handled {
        tracing::trace!(%error, "datagram dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gamestream::crypto::tests::{RIKEYID, SEALED, key};
    use crate::gamestream::test_stream::{audio, key_frame, opus, p_frame, video};
    use crate::gamestream::wire;
    use crate::gamestream::wire::tests::hex;

    struct Streams {
        session: Session,
        now: Instant,
    }

    /// What came out: frame numbers, audio timestamps, requests for an IDR frame, numbers again.
    #[derive(Debug, Default, PartialEq)]
    struct Out {
        video: Vec<u64>,
        audio: Vec<u64>,
        requests: usize,
        repaired: Vec<u64>,
        held_back: Vec<u64>,
        fec_statuses: Vec<u32>,
    }

    impl Streams {
        #[expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]
        fn new(encrypted: bool) -> Self {
            let config = SessionConfig {
                key: key(),
                rikeyid: RIKEYID,
                video: VideoConfig { codec: VideoCodec::H264, encrypted },
                audio: AudioConfig { encrypted, packet_duration: Duration::from_millis(5) },
            };
            Self { session: Session::new(&config), now: Instant::now() }
        }

        fn out(&mut self) -> Out {
            let mut out = Out::default();
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Video(frame) => out.video.push(frame.number.0),
                    Event::Audio(frame) => out.audio.push(frame.timestamp.0),
                    Event::RequestIdr => out.requests += 1,
                    Event::FecStatus(status) => out.fec_statuses.push(status.frame),
                    Event::Repaired(number) => out.repaired.push(number.0),
                    Event::HeldBack(frame) => out.held_back.push(frame.number.0),
                }
            }
            out
        }

        fn video(&mut self, datagrams: impl IntoIterator<Item = Vec<u8>>) -> Out {
            datagrams.into_iter().for_each(|datagram| self.session.handle_video(self.now, &datagram));
            self.out()
        }

        fn audio(&mut self, datagrams: impl IntoIterator<Item = Vec<u8>>) -> Out {
            datagrams.into_iter().for_each(|datagram| self.session.handle_audio(self.now, &datagram));
            self.out()
        }
    }

    #[test]
    fn the_documents_encrypted_frame_comes_out_of_three_of_its_shards() {
        let mut streams = Streams::new(true);
        let sealed = SEALED.map(|(_, _, text)| hex(text));
        assert_eq!(streams.video(sealed[1..3].to_vec()), Out::default());
        let out = Out { video: vec![7], repaired: vec![7], fec_statuses: vec![7], ..Out::default() };
        assert_eq!(streams.video([sealed[3].clone()]), out);
    }

    #[test]
    fn the_documents_encrypted_audio_comes_out_without_two_of_its_packets() {
        let mut streams = Streams::new(true);
        let packets = wire::audio::tests::GROUP.map(hex);
        let out = streams.audio([0, 3, 4, 5].map(|i| packets[i].clone()));
        assert_eq!(out, Out { audio: (8..12).map(|n| n * 240).collect(), ..Out::default() });
    }

    #[test]
    fn a_frame_number_in_clear_drops_what_is_past_and_zero_says_nothing() {
        let mut streams = Streams::new(true);
        let cipher = VideoCipher::new(&key());
        let sealed = |number: u32, hint: u32| {
            let datagrams = video(number, 0, &key_frame(number)).into_iter().enumerate();
            let seal = |(i, datagram)| {
                let mut sealed = Vec::new();
                cipher.seal(u64::from(number * 100) + i as u64, hint, datagram, &mut sealed);
                sealed
            };
            datagrams.map(seal).collect::<Vec<_>>()
        };
        assert_eq!(streams.video(sealed(7, 7)).video, [7]);
        assert!(streams.video(sealed(8, 6)).video.is_empty());
        assert_eq!(streams.video(sealed(8, 0)).video, [8]);
    }

    #[test]
    fn forged_clear_and_malformed_datagrams_change_nothing_in_an_encrypted_stream() {
        let mut streams = Streams::new(true);
        let sealed = SEALED.map(|(_, _, text)| hex(text));
        let forged = sealed.clone().map(|mut datagram| {
            datagram[50] ^= 1;
            datagram
        });
        streams.video(forged);
        streams.video(video(7, 0, &p_frame(7)));
        streams.video([vec![], vec![0; 40], vec![0; 5000]]);
        let out = Out { video: vec![7], repaired: vec![7], fec_statuses: vec![7], ..Out::default() };
        assert_eq!(streams.video(sealed[1..].to_vec()), out);
    }

    #[test]
    fn events_and_time_outs_of_both_streams_come_out_of_one_session() {
        let mut streams = Streams::new(false);
        streams.session.handle_audio(streams.now, &audio(0, &opus(0))[0]);
        let out = streams.video(video(1, 0, &key_frame(1)));
        assert_eq!(out, Out { video: vec![1], audio: vec![0], ..Out::default() });

        let began = streams.now;
        assert_eq!(streams.video(video(3, 0, &p_frame(3))), Out::default());
        streams.now += Duration::from_millis(4);
        assert_eq!(streams.audio([audio(4, &opus(4))[0].clone()]), Out::default());
        assert_eq!(streams.session.poll_timeout(), Some(began + Duration::from_millis(10)));
        streams.session.handle_timeout(began + Duration::from_millis(10));
        assert_eq!(streams.out(), Out { requests: 1, held_back: vec![3], ..Out::default() });
        assert_eq!(streams.session.poll_timeout(), Some(began + Duration::from_millis(14)));
        streams.session.handle_timeout(began + Duration::from_millis(14));
        assert_eq!(streams.out(), Out { audio: vec![960], ..Out::default() });
        assert_eq!(streams.session.poll_timeout(), None);
    }
}
