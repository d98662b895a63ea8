//! A source of frames of one size at a steady rate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    AudioFrame, AudioInfo, AudioTimestamp, Command, Ended, FrameNumber, HostSource, SourceError, SourceIo,
    StreamInfo, VideoCodec, VideoFrame, VideoInfo, VideoSource, VideoTimestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::interval;

use super::frame::{Rate, access_unit, made_at_of};
use crate::task;

/// Whether a [`MeasuredSource`] flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// At most [`MOST_SENT`]. Full: no more are noted.
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// When a test host sent a frame. All times are since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When the source made it: no two of a source are the same.
    pub made_at: Duration,
    /// Just before its first datagram was given to the system.
    pub first: Duration,
    /// Just before its last one was, which is parity.
    pub last: Duration,
}

/// An hour at 60 frames per second.
const MOST_SENT: usize = 216_000;

/// How much sound a packet has, as a host sends it. It is of 60 bytes, 96 kbit/s.
pub const AUDIO_PACKET: Duration = Duration::from_millis(5);
pub(super) const AUDIO_BYTES: usize = 60;

impl MeasuredSource {
    /// With or without sound.
    #[must_use]
    pub fn new(rate: Rate, audio: bool) -> Self {
        let flow = Arc::new(watch::Sender::new(Flow::Trickle));
        Self { rate, audio, flow, keyframes_asked: Arc::default(), sent: Arc::default() }
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

    /// The frames that a test host has sent since the last call.
    #[must_use]
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().expect("no holder of this lock panics"))
    }
}

impl HostSource for MeasuredSource {
    fn sent(&self, frame: &VideoFrame, first: Instant, last: Instant) {
        let (now, wall_clock) = (task::now(), task::wall_clock());
        let at = |time| wall_clock.saturating_sub(now.saturating_duration_since(time));
        let Some(made_at) = made_at_of(&frame.data) else { return };
        let mut sent = self.sent.lock().expect("no holder of this lock panics");
        if sent.len() < MOST_SENT {
            sent.push(Sent { made_at, first: at(first), last: at(last) });
        }
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
