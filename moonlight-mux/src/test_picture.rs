//! A live test picture with sound, made here: a source that needs no host.

#[allow(dead_code, reason = "nobody but a test host hears of input")]
mod desktop;
mod encoder;
mod font;
mod pace;
mod picture;
mod tone;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

pub(crate) use self::desktop::Desktop;
use self::encoder::VideoEncoder;
use self::pace::{Lag, Pace, Tick};
use self::picture::Picture;
use self::tone::Tone;
use crate::media::{
    AudioFrame, AudioInfo, AudioTimestamp, FrameNumber, StreamInfo, VideoCodec, VideoFrame, VideoInfo,
    VideoTimestamp,
};
use crate::source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
use crate::task::{self, Worker};

/// A live test picture with sound, encoded here as H.264 and Opus: a [`VideoSource`] that needs no host.
///
/// The picture has bars and a ball that move, the time of day in UTC to the millisecond, and along its top the frame's
/// number for programs: 32 cells, lowest bit first, white for 1. The sound is 440 Hz left and 660 Hz right. As each
/// second begins, a lamp in the picture is lit and the sound ticks. Where a test host streams it, it shows what viewers do:
/// pointer, fingers and pens with the lines that they draw, keys, typed text, gamepads. Clock, timestamps and sound go by the time at which
/// a run began: a clock that is set later does not show.
///
/// Like a game-streaming host it sends no keyframe but the first and those that are asked for. When encoding takes
/// longer than a frame's time it leaves frames out rather than lag: the next one shows what is on then.
///
/// Encoding costs processor time whether anybody watches or not, on tokio's threads for blocking work: about 1 ms per frame
/// at 1280x720, 3 ms at 1920x1080 and 15 ms at 3840x2160; twice that where it was built without nasm.
///
/// H.264 encoders are covered by patents: who distributes a program with the feature `test-picture` may need a licence.
#[derive(Debug)]
pub struct TestPicture {
    config: TestPictureConfig,
    packet_ms: u32,
    desktop: Desktop,
    skipped: AtomicU64,
}

/// How a [`TestPicture`] looks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestPictureConfig {
    /// Default 1280x720. Processor time grows with the number of pixels.
    pub size: PictureSize,
    /// Frames per second, 1 to 240. Default 60. Processor time grows with it. At 1 a streamer takes every frame for a
    /// sign of life that is late, and asks for a keyframe each time.
    pub fps: u32,
    /// What the video takes at most, on average, in bits per second: 100,000 to 100,000,000. Default: 0.08 bits per
    /// pixel, at least 500,000: 4.4 Mbit/s at the default size and rate. Where it is too little, the picture gets coarse,
    /// then frames are left out.
    pub bits_per_second: Option<u32>,
    /// How long a packet of sound lasts: 5, 10 or 20 ms. Default 10 ms.
    pub packet_duration: Duration,
}

impl Default for TestPictureConfig {
    fn default() -> Self {
        Self {
            size: PictureSize { width: 1280, height: 720 },
            fps: 60,
            bits_per_second: None,
            packet_duration: Duration::from_millis(10),
        }
    }
}

/// A picture's size that can be encoded: both sides even, from 64x64 to 3840x2160, or 2160x3840 upright. As text
/// `1280x720`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    width: u32,
    height: u32,
}

/// The numbers or the text are no [`PictureSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPictureSize {
    /// The text is not two numbers.
    #[error("a size is WIDTHxHEIGHT in pixels, as in 1280x720")]
    Malformed,
    /// A side is odd, and the colours of H.264 have half the resolution.
    #[error("{width}x{height} has an odd side: try {}x{}", width & !1, height & !1)]
    Odd {
        /// The width that was asked for.
        width: u32,
        /// The height that was asked for.
        height: u32,
    },
    /// A side is too short or too long for the encoder.
    #[error("{width}x{height} is out of range: from 64x64 to 3840x2160, or 2160x3840 upright")]
    OutOfRange {
        /// The width that was asked for.
        width: u32,
        /// The height that was asked for.
        height: u32,
    },
}

/// Why there can be no such [`TestPicture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestPictureError {
    /// The frame rate is out of range.
    #[error("{fps} frames per second are out of range: 1 to 240")]
    FrameRate {
        /// What was asked for.
        fps: u32,
    },
    /// The bit rate is out of range.
    #[error("{bits_per_second} bits per second are out of range: 100000 to 100000000")]
    BitRate {
        /// What was asked for.
        bits_per_second: u32,
    },
    /// Opus has no packets of such a length.
    #[error("a packet of sound cannot last {packet_duration:?}: 5, 10 or 20 ms")]
    PacketDuration {
        /// What was asked for.
        packet_duration: Duration,
    },
}

/// What ends a run: the cause in its [`SourceError`].
#[derive(Debug, thiserror::Error)]
enum EncodingError {
    #[error("the H.264 encoder does not start")]
    StartVideo(#[source] openh264::Error),
    #[error("the H.264 encoder failed")]
    Video(#[source] openh264::Error),
    #[error("the Opus encoder does not start")]
    StartAudio(#[source] ropus::EncoderBuildError),
    #[error("the Opus encoder failed")]
    Audio(#[source] ropus::EncodeError),
}

/// For how long the lamp is lit, and the sound ticks, as each second begins.
const FLASH: Duration = Duration::from_millis(100);
/// How many packets the sound may be late before some are left out: less would be heard on a busy machine.
const LATE_PACKETS: u64 = 10;

impl PictureSize {
    /// A size in pixels.
    ///
    /// # Errors
    /// When a side is odd or out of range.
    pub fn new(width: u32, height: u32) -> Result<Self, InvalidPictureSize> {
        let (shorter, longer) = (width.min(height), width.max(height));
        if !(64..=2160).contains(&shorter) || longer > 3840 {
            return Err(InvalidPictureSize::OutOfRange { width, height });
        }
        if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(InvalidPictureSize::Odd { width, height });
        }
        Ok(Self { width, height })
    }

    /// In pixels.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// In pixels.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }
}

impl FromStr for PictureSize {
    type Err = InvalidPictureSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |text: &str| text.parse().map_err(|_| InvalidPictureSize::Malformed);
        let (width, height) = text.split_once('x').ok_or(InvalidPictureSize::Malformed)?;
        Self::new(side(width)?, side(height)?)
    }
}

impl fmt::Display for PictureSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl TestPictureConfig {
    fn bits_per_second(&self) -> u32 {
        let pixels = u64::from(self.size.width) * u64::from(self.size.height) * u64::from(self.fps);
        let default = (pixels * 8 / 100).clamp(500_000, MAX_BITS_PER_SECOND.into());
        self.bits_per_second.unwrap_or(default as u32)
    }

    /// `None` if there is no such packet.
    fn packet_ms(&self) -> Option<u32> {
        let ms = self.packet_duration.as_millis();
        tone::PACKET_MS.into_iter().find(|&packet| u128::from(packet) == ms)
    }
}

const MIN_BITS_PER_SECOND: u32 = 100_000;
const MAX_BITS_PER_SECOND: u32 = 100_000_000;

impl TestPicture {
    /// A test picture. Nothing is drawn or encoded before it [runs](VideoSource::run).
    ///
    /// # Errors
    /// When the frame rate, the bit rate or the length of a packet is out of range.
    pub fn new(config: TestPictureConfig) -> Result<Self, TestPictureError> {
        let fps = config.fps;
        if !(1..=240).contains(&fps) {
            return Err(TestPictureError::FrameRate { fps });
        }
        let bits_per_second = config.bits_per_second();
        if !(MIN_BITS_PER_SECOND..=MAX_BITS_PER_SECOND).contains(&bits_per_second) {
            return Err(TestPictureError::BitRate { bits_per_second });
        }
        let packet_duration = config.packet_duration;
        let packet_ms = config.packet_ms().ok_or(TestPictureError::PacketDuration { packet_duration })?;
        let desktop = Desktop::new(config.size);
        Ok(Self { config, packet_ms, desktop, skipped: AtomicU64::new(0) })
    }

    /// Shows input that is handed to it, from the next frame on.
    #[allow(dead_code, reason = "nobody but a test host hears of input")]
    pub(crate) fn desktop(&self) -> Desktop {
        self.desktop.clone()
    }

    /// How many frames were left out so far, over all runs, since encoding took too long or the bit rate was too little.
    #[must_use]
    pub fn skipped_frames(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn info(&self) -> StreamInfo {
        let TestPictureConfig { size, fps, .. } = self.config;
        StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: size.width, height: size.height, fps },
            audio: Some(AudioInfo {
                channels: 2,
                packet_duration: Duration::from_millis(self.packet_ms.into()),
            }),
        }
    }

    fn handle_skipped(&self, lag: &mut Lag, tick: Tick) {
        self.skipped.fetch_add(tick.skipped, Ordering::Relaxed);
        if let Some(skipped) = lag.handle_tick(task::now(), tick) {
            let TestPictureConfig { size, fps, .. } = self.config;
            tracing::warn!(skipped, %size, fps, "too little processor time for this size and rate: frames left out");
        }
    }
}

#[async_trait]
impl VideoSource for TestPicture {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.stage_starting(Stage::VideoStreamEstablishment);
        let camera = Camera::new(&self.config, self.desktop.clone()).map_err(SourceError::permanent)?;
        let tone = Tone::new(self.packet_ms).map_err(SourceError::permanent)?;
        io.stage_complete(Stage::VideoStreamEstablishment);
        io.connected();
        io.info(self.info());

        let mut camera = Encoding::<_, Option<VideoFrame>>::new(camera);
        let mut microphone = Encoding::<_, AudioFrame>::new(tone);
        let started = task::now();
        let utc = task::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut pictures = Pace::new(self.config.fps, 0, started);
        let mut packets = Pace::new(1000 / self.packet_ms, LATE_PACKETS, started);
        let (mut lag, mut wished) = (Lag::default(), false);
        loop {
            tokio::select! {
                biased;
                command = io.command() => match command {
                    None => break,
                    Some(Command::Keyframe) => wished = true,
                    // There is no app to end; the end of the commands follows.
                    Some(Command::Quit) => {}
                },
                packet = microphone.finished() => io.audio(packet.map_err(SourceError::permanent)?),
                frame = camera.finished() => {
                    match frame.map_err(SourceError::permanent)? {
                        Some(frame) => io.video(frame),
                        None => drop(self.skipped.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                () = task::at(Some(packets.due())), if microphone.is_idle() => {
                    let index = packets.take(task::now()).index;
                    let utc = utc + packets.time(index);
                    let timestamp = AudioTimestamp(packets.timestamp(index, AudioTimestamp::HZ));
                    microphone.start(move |tone| Ok(AudioFrame { timestamp, data: tone.packet(utc)? }));
                }
                () = task::at(Some(pictures.due())), if camera.is_idle() => {
                    let tick = pictures.take(task::now());
                    self.handle_skipped(&mut lag, tick);
                    let shot = Shot {
                        utc: utc + pictures.time(tick.index),
                        timestamp: VideoTimestamp(pictures.timestamp(tick.index, VideoTimestamp::HZ)),
                        keyframe: std::mem::take(&mut wished),
                    };
                    camera.start(move |camera| camera.shoot(shot));
                }
            }
        }
        // At most what is left of one frame.
        camera.stop().await;
        microphone.stop().await;
        Ok(Ended::Stopped)
    }
}

type Encoding<Encoder, Encoded> = Worker<Encoder, Result<Encoded, EncodingError>>;

/// Draws and encodes.
struct Camera {
    picture: Picture,
    encoder: VideoEncoder,
    next: FrameNumber,
}

/// A frame to be made.
struct Shot {
    /// The time of day that it shows, since the start of 1970.
    utc: Duration,
    timestamp: VideoTimestamp,
    keyframe: bool,
}

impl Camera {
    fn new(config: &TestPictureConfig, desktop: Desktop) -> Result<Self, EncodingError> {
        let encoder = VideoEncoder::new(config.fps, config.bits_per_second())?;
        let picture = Picture::new(config.size, config.fps, desktop);
        Ok(Self { picture, encoder, next: FrameNumber(0) })
    }

    fn shoot(&mut self, shot: Shot) -> Result<Option<VideoFrame>, EncodingError> {
        let Shot { utc, timestamp, keyframe } = shot;
        let number = self.next;
        self.picture.draw(number.0 as u32, utc);
        let Some(unit) = self.encoder.encode(&self.picture, timestamp, keyframe)? else { return Ok(None) };
        self.next = FrameNumber(number.0 + 1);
        Ok(Some(VideoFrame {
            number,
            timestamp,
            keyframe: unit.keyframe,
            host_latency: None,
            data: unit.data,
        }))
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
