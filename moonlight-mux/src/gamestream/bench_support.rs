//! What the benches call: a synthetic video stream through the receiving side. No public interface.

use std::time::{Duration, Instant};

use super::crypto::{SessionKey, VideoCipher};
use super::session::{AudioConfig, Event, Session, SessionConfig, VideoConfig};
use super::test_stream::{Shape, key_frame, p_frame, shaped};
use super::wire::video::Sealed;
use crate::media::VideoCodec;

/// A second of 60 frames at 20 Mbit/s, a key frame and P frames, in datagrams of the usual size with 20 % of FEC,
/// less what was lost; all of it can be repaired.
#[derive(Debug)]
pub struct Stream {
    key: SessionKey,
    encrypted: bool,
    /// When each was received, and its bytes.
    datagrams: Vec<(Instant, Vec<u8>)>,
}

impl Stream {
    /// Frames in it.
    pub const FRAMES: usize = 60;

    /// The same bytes and the same losses each time. `loss`: how many of a hundred datagrams are lost, at random.
    #[must_use]
    pub fn new(encrypted: bool, loss: u8) -> Self {
        let key = SessionKey::new([7; 16]);
        let cipher = VideoCipher::new(&key);
        let mut random = Random(SEED);
        let mut datagrams = Vec::new();
        let mut counter = 0;
        let mut now = crate::task::now();
        for number in 1..=Self::FRAMES as u32 {
            let (mut data, len) =
                if number == 1 { (key_frame(number), KEY_FRAME_LEN) } else { (p_frame(number), P_FRAME_LEN) };
            data.resize_with(len, || random.next());
            for datagram in shaped(number, number * 1500, &data, SHAPE).concat() {
                let mut sealed = Vec::new();
                if encrypted {
                    cipher.seal(counter, number, datagram, &mut sealed);
                } else {
                    sealed = datagram;
                }
                counter += 1;
                if u16::from(random.next()) * 100 >= u16::from(loss) * 256 {
                    datagrams.push((now, sealed));
                }
            }
            now += Duration::from_millis(16);
        }
        Self { key, encrypted, datagrams }
    }

    /// Bytes of all datagrams that were received.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.datagrams.iter().map(|(_, datagram)| datagram.len() as u64).sum()
    }

    /// Through decryption, FEC and reassembly; how many frames came out, and how many of them FEC repaired.
    #[must_use]
    pub fn receive(&self) -> (usize, usize) {
        let mut session = Session::new(&SessionConfig {
            key: self.key.clone(),
            rikeyid: 0,
            video: VideoConfig { codec: VideoCodec::H264, encrypted: self.encrypted },
            audio: AudioConfig { encrypted: false, packet_duration: Duration::from_millis(5) },
        });
        let (mut frames, mut repaired) = (0, 0);
        for (now, datagram) in &self.datagrams {
            session.handle_video(*now, datagram);
            while let Some(event) = session.poll_event() {
                match event {
                    Event::Video(_) => frames += 1,
                    Event::Repaired(_) => repaired += 1,
                    Event::Audio(_) | Event::RequestIdr | Event::FecStatus(_) | Event::HeldBack(_) => {}
                }
            }
        }
        (frames, repaired)
    }

    /// AES-128-GCM alone over the same bytes of an encrypted stream; how many datagrams it opened.
    #[must_use]
    pub fn open(&self) -> usize {
        let cipher = VideoCipher::new(&self.key);
        let mut clear = Vec::new();
        let opens = |(_, datagram): &&(Instant, Vec<u8>)| {
            Sealed::parse(datagram).is_ok_and(|sealed| cipher.open(&sealed, &mut clear).is_ok())
        };
        self.datagrams.iter().filter(opens).count()
    }

    /// Datagrams in it.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.datagrams.len()
    }
}

/// A linear congruential generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

/// One of which all frames can be repaired.
const SEED: u64 = 1;

/// Datagrams of 1408 bytes: 16 of RTP, and a packet of 1392.
const SHAPE: Shape = Shape { payload_len: 1376, blocks: 1, percentage: 20 };

const KEY_FRAME_LEN: usize = 150_000;
const P_FRAME_LEN: usize = 40_000;
