//! A source of frames of one size at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    AudioFrame, AudioInfo, AudioTimestamp, Command, Ended, FrameNumber, SourceError, SourceIo, StreamInfo,
    VideoCodec, VideoFrame, VideoInfo, VideoSource, VideoTimestamp,
};
use tokio::sync::watch;
use tokio::time::interval;

use super::frame::{Rate, access_unit};
use crate::task;

/// Whether a [`MeasuredSource`] flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// One small keyframe a second and no sound, so that the stream is alive and nobody has much to do.
    Trickle,
    /// All that the rate says.
    Full,
}

/// Frames that say when they were made ([`access_unit`]). It begins with [`Flow::Trickle`]. Clones are handles to one.
#[derive(Clone, Debug)]
pub struct MeasuredSource {
    rate: Rate,
    audio: bool,
    flow: Arc<watch::Sender<Flow>>,
    keyframes_asked: Arc<AtomicU64>,
}

/// How much sound a packet has, as a host sends it. It is of 60 bytes, 96 kbit/s.
pub const AUDIO_PACKET: Duration = Duration::from_millis(5);
pub(super) const AUDIO_BYTES: usize = 60;

impl MeasuredSource {
    /// With or without sound.
    #[must_use]
    pub fn new(rate: Rate, audio: bool) -> Self {
        let flow = Arc::new(watch::Sender::new(Flow::Trickle));
        Self { rate, audio, flow, keyframes_asked: Arc::default() }
    }

    /// From the next frame on.
    pub fn set_flow(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// How many keyframes it was asked for so far.
    #[must_use]
    pub fn keyframes_asked(&self) -> u64 {
        self.keyframes_asked.load(Relaxed)
    }
}

#[async_trait]
impl VideoSource for MeasuredSource {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let fps = self.rate.fps.max(1);
        let packets = self.rate.packets_per_frame();
        io.connected();
        io.info(StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps },
            audio: self.audio.then_some(AudioInfo { channels: 2, packet_duration: AUDIO_PACKET }),
        });
        let mut flow = self.flow.subscribe();
        let mut pictures = interval(Duration::from_secs(1) / fps);
        let mut sounds = interval(AUDIO_PACKET);
        let (mut number, mut ticks, mut sound) = (0, 0, 0);
        let mut keyframe_due = true;
        loop {
            let full = *flow.borrow_and_update() == Flow::Full;
            tokio::select! {
                _ = pictures.tick() => {
                    let timestamp = VideoTimestamp(ticks * VideoTimestamp::HZ / u64::from(fps));
                    let trickles = ticks.is_multiple_of(u64::from(fps));
                    ticks += 1;
                    if full || keyframe_due || trickles {
                        let packets = if full { packets } else { 1 };
                        let keyframe = keyframe_due || !full;
                        keyframe_due = false;
                        io.video(VideoFrame {
                            number: FrameNumber(number),
                            timestamp,
                            keyframe,
                            host_latency: None,
                            data: access_unit(keyframe, packets, task::wall_clock()),
                        });
                        number += 1;
                    }
                }
                _ = sounds.tick(), if self.audio => {
                    if full {
                        io.audio(AudioFrame {
                            timestamp: AudioTimestamp(sound * AUDIO_PACKET.as_millis() as u64 * 48),
                            data: Bytes::from_static(&[0xfc; AUDIO_BYTES]),
                        });
                    }
                    sound += 1;
                }
                _ = flow.changed() => keyframe_due = true,
                command = io.command() => match command {
                    Some(Command::Keyframe) => {
                        keyframe_due = true;
                        self.keyframes_asked.fetch_add(1, Relaxed);
                    }
                    Some(_) => {}
                    None => return Ok(Ended::Stopped),
                },
            }
        }
    }
}
