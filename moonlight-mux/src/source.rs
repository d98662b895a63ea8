//! Where frames come from: a Moonlight host, a recording, or anything that implements [`VideoSource`].

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;

#[cfg(any(test, feature = "test-host"))]
use crate::input::InputMode;
use crate::input::{HostFeedback, InputFeatures, InputHub, Inputs};
use crate::media::{AudioFrame, StreamInfo, VideoFrame};

/// A recipe for a stream: the Streamer runs it, and again after it ended, as
/// [`StreamerConfig::restart`](crate::StreamerConfig::restart) says; never twice at once.
///
/// # Contract
/// [`run`](Self::run) states its [`StreamInfo`] before its first frame, numbers its frames upwards from any
/// number, starts with a keyframe without being asked, and gives no frame whose references were lost: behind a gap it goes
/// on with a keyframe. Up to [`SourceIo::connected`] it keeps time itself: nobody else ends a connect that takes for ever.
/// When [`SourceIo::command`] gives `None` it ends within 2 s, behind a [`Command::Quit`] within 12 s; after that its future
/// is dropped.
#[async_trait]
pub trait VideoSource: Send + Sync + 'static {
    /// Streams until the source ends, fails, or is told to stop. Need not be cancel safe.
    ///
    /// # Errors
    /// Whatever ends the stream against the Streamer's wish; [`SourceError::is_permanent`] says whether to try again.
    async fn run(&self, io: SourceIo) -> Result<Ended, SourceError>;
}

#[async_trait]
impl<S: VideoSource + ?Sized> VideoSource for Arc<S> {
    async fn run(&self, io: SourceIo) -> Result<Ended, SourceError> {
        (**self).run(io).await
    }
}

/// Why a [`VideoSource`] ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The host ended the stream on purpose, or there is nothing more to send.
    ByHost,
}

/// Why a [`VideoSource`] failed. Cheap to clone: every waiter gets it.
#[derive(Clone, Debug)]
pub struct SourceError {
    permanent: bool,
    stage: Option<Stage>,
    cause: Arc<dyn Error + Send + Sync>,
}

impl SourceError {
    /// A failure that another try would meet again: a damaged recording, an unknown app, a missing right.
    pub fn permanent(cause: impl Error + Send + Sync + 'static) -> Self {
        Self { permanent: true, stage: None, cause: Arc::new(cause) }
    }

    /// A failure that may pass: a network error, a busy host.
    pub fn retryable(cause: impl Error + Send + Sync + 'static) -> Self {
        Self { permanent: false, stage: None, cause: Arc::new(cause) }
    }

    /// The same failure, with the stage in which it happened.
    #[must_use]
    pub fn in_stage(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    /// Whether trying again is pointless.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The stage in which it happened, if it happened while connecting.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The typed cause, to downcast.
    #[must_use]
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.cause
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Some(stage) => write!(f, "{stage}: {}", self.cause),
            None => self.cause.fmt(f),
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

impl PartialEq for SourceError {
    /// Two failures are equal when they are one and the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cause, &other.cause) && self.stage == other.stage
    }
}

/// A step of connecting, in the order in which they happen. `Display` gives the name that Moonlight prints.
///
/// Source: the stage callbacks in the recordings' `events.jsonl`; the first two are ours, for the HTTP calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stage {
    /// `server info`
    ServerInfo,
    /// `launch`
    Launch,
    /// `platform initialization`
    PlatformInitialization,
    /// `name resolution`
    NameResolution,
    /// `audio stream initialization`
    AudioStreamInitialization,
    /// `RTSP handshake`
    RtspHandshake,
    /// `control stream initialization`
    ControlStreamInitialization,
    /// `video stream initialization`
    VideoStreamInitialization,
    /// `input stream initialization`
    InputStreamInitialization,
    /// `control stream establishment`
    ControlStreamEstablishment,
    /// `video stream establishment`
    VideoStreamEstablishment,
    /// `audio stream establishment`
    AudioStreamEstablishment,
    /// `input stream establishment`
    InputStreamEstablishment,
}

impl Stage {
    /// The name that Moonlight prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerInfo => "server info",
            Self::Launch => "launch",
            Self::PlatformInitialization => "platform initialization",
            Self::NameResolution => "name resolution",
            Self::AudioStreamInitialization => "audio stream initialization",
            Self::RtspHandshake => "RTSP handshake",
            Self::ControlStreamInitialization => "control stream initialization",
            Self::VideoStreamInitialization => "video stream initialization",
            Self::InputStreamInitialization => "input stream initialization",
            Self::ControlStreamEstablishment => "control stream establishment",
            Self::VideoStreamEstablishment => "video stream establishment",
            Self::AudioStreamEstablishment => "audio stream establishment",
            Self::InputStreamEstablishment => "input stream establishment",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the Streamer wants of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send a keyframe as soon as possible. Already coalesced and rate limited over all viewers.
    Keyframe,
    /// End the app on the host when stopping, which comes next.
    Quit,
}

/// What a source counts in the run that is on, or was last. All zero for a source that counts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SourceStats {
    /// Datagrams with media that came from the host.
    pub datagrams: u64,
    /// Datagrams that the kernel dropped, since nobody read them in time.
    pub kernel_drops: u64,
    /// What the kernel gives the media sockets to receive into, in bytes; `None` when it was not asked.
    pub receive_buffer: Option<usize>,
    /// Pictures of which packets were lost and then calculated from their parity.
    pub repaired: u64,
    /// Whole pictures that were not handed on, since ones that they refer to were lost.
    pub held_back: u64,
    /// Keyframes that the host was asked for.
    pub keyframe_requests: u64,
    /// To the host and back; `None` until it was measured.
    pub round_trip: Option<Duration>,
}

/// What a source tells the Streamer's actor.
#[derive(Debug)]
pub(crate) enum Event {
    StageStarting(Stage),
    StageComplete(Stage),
    Connected,
    Info(StreamInfo),
    Video(VideoFrame),
    Audio(AudioFrame),
}

/// From source to Streamer: 128 frames are a second at 120 frames per second, far more than the actor is ever behind.
/// Full: video is dropped up to the next keyframe, audio packet by packet; see `RESERVED`.
const EVENTS: usize = 256;
/// Slots that media may not take, so that stages and formats always find room: two per stage, and some to spare.
const RESERVED: usize = 32;
/// From Streamer to source. Full: a keyframe wish is dropped, since an older one is waiting.
const COMMANDS: usize = 16;

/// A running source's connection to its Streamer. Nothing that it sends ever blocks.
#[derive(Debug)]
pub struct SourceIo {
    events: mpsc::Sender<Event>,
    commands: mpsc::Receiver<Command>,
    statistics: watch::Sender<SourceStats>,
    hub: InputHub,
    /// A video frame was dropped here: none may follow before a keyframe.
    dropping: bool,
}

/// The Streamer's end of a [`SourceIo`].
#[derive(Debug)]
pub(crate) struct SourceEnd {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl SourceIo {
    /// `statistics` is where [`Self::statistics`] go, `hub` where [`Self::inputs`] come from.
    pub(crate) fn new(statistics: watch::Sender<SourceStats>, hub: InputHub) -> (Self, SourceEnd) {
        let (events_tx, events) = mpsc::channel(EVENTS);
        let (commands, commands_rx) = mpsc::channel(COMMANDS);
        let io = Self { events: events_tx, commands: commands_rx, statistics, hub, dropping: false };
        (io, SourceEnd { events, commands })
    }

    /// For a source that no Streamer runs: nobody reads what it counts, and it gets no input.
    #[cfg(any(test, feature = "test-host"))]
    pub(crate) fn alone() -> (Self, SourceEnd) {
        Self::new(watch::Sender::default(), InputHub::new(InputMode::ViewOnly))
    }

    /// A step of connecting begins.
    pub fn stage_starting(&mut self, stage: Stage) {
        self.tell(Event::StageStarting(stage));
    }

    /// A step of connecting is done.
    pub fn stage_complete(&mut self, stage: Stage) {
        self.tell(Event::StageComplete(stage));
    }

    /// The connection to the host stands; frames may take a while yet
    /// ([`StreamerConfig::first_frame_timeout`](crate::StreamerConfig::first_frame_timeout)).
    pub fn connected(&mut self) {
        self.tell(Event::Connected);
    }

    /// What the stream carries, before its first frame and whenever it changes (then a keyframe follows).
    pub fn info(&mut self, info: StreamInfo) {
        self.tell(Event::Info(info));
    }

    /// Hands on a picture. When the Streamer is behind, pictures are dropped up to the next keyframe.
    pub fn video(&mut self, frame: VideoFrame) {
        if self.dropping && !frame.keyframe {
            return;
        }
        self.dropping = !self.offer(Event::Video(frame));
    }

    /// Hands on a packet of sound. When the Streamer is behind, it is dropped.
    pub fn audio(&mut self, frame: AudioFrame) {
        self.offer(Event::Audio(frame));
    }

    /// What this run has counted so far; replaces what was said before. Once a second is often enough.
    pub fn statistics(&mut self, stats: SourceStats) {
        self.statistics.send_replace(stats);
    }

    /// Begins to take what viewers do, until the returned stream is dropped. A source that never does takes no input, and
    /// viewers are told so. Once per run.
    #[must_use]
    pub fn inputs(&mut self, features: InputFeatures) -> Inputs {
        self.hub.connect(features)
    }

    /// Hands on what the host wants of a gamepad, to the viewer whose it is.
    pub fn feedback(&mut self, feedback: HostFeedback) {
        self.hub.feedback(feedback);
    }

    /// The Streamer's next wish; `None` means that the source shall end. Cancel safe.
    pub async fn command(&mut self) -> Option<Command> {
        self.commands.recv().await
    }

    /// Sends media, if that leaves the reserved slots free.
    fn offer(&mut self, event: Event) -> bool {
        self.events.capacity() > RESERVED && self.events.try_send(event).is_ok()
    }

    fn tell(&mut self, event: Event) {
        if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
            tracing::warn!(
                ?event,
                "the source changes its stage or format faster than the streamer can follow"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::{FrameNumber, VideoTimestamp};

    fn frame(number: u64, keyframe: bool) -> VideoFrame {
        VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(number * 1500),
            keyframe,
            host_latency: None,
            data: Bytes::from_static(&[0]),
        }
    }

    #[test]
    fn a_streamer_that_is_behind_gets_whole_groups_of_pictures_or_nothing() {
        let (mut io, mut end) = SourceIo::alone();
        for n in 0..1000 {
            io.video(frame(n, n == 0));
        }
        let mut last = None;
        while let Ok(Event::Video(frame)) = end.events.try_recv() {
            assert_eq!(last.map_or(0, |n| n + 1), frame.number.0, "frames before the overflow come in order");
            last = Some(frame.number.0);
        }
        assert_eq!(last, Some((EVENTS - RESERVED - 1) as u64));

        io.video(frame(1000, false));
        assert!(end.events.try_recv().is_err(), "a frame whose references were dropped is not handed on");
        io.video(frame(1001, true));
        io.video(frame(1002, false));
        assert!(matches!(end.events.try_recv(), Ok(Event::Video(f)) if f.number.0 == 1001));
        assert!(matches!(end.events.try_recv(), Ok(Event::Video(f)) if f.number.0 == 1002));
    }

    #[test]
    fn stages_find_room_behind_media() {
        let (mut io, mut end) = SourceIo::alone();
        for n in 0..1000 {
            io.video(frame(n, true));
        }
        io.stage_starting(Stage::RtspHandshake);
        let mut last = None;
        while let Ok(event) = end.events.try_recv() {
            last = Some(event);
        }
        assert!(matches!(last, Some(Event::StageStarting(Stage::RtspHandshake))));
    }
}
