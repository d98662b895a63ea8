//! What is told of a stream's start and of each run of its source. Operators know the lines: each comes once, in this order.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::lifecycle::{EndReason, State, Wait};
use crate::media::{StreamInfo, VideoFrame};
use crate::source::{SourceError, Stage};

/// To whom the story is told.
#[derive(Clone, Default)]
pub(crate) enum Teller {
    /// The log.
    #[default]
    Log,
    /// Somebody who tells it in a log of their own. Must not wait.
    Other(Arc<dyn Fn(Told) + Send + Sync>),
}

/// A part of the story.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// The streamer was made.
    Created,
    /// Its source is run for the first time.
    Started,
    StageStarting(Stage),
    StageComplete(Stage),
    /// A run failed in this stage. The log hears of it when it hears how the run ended.
    StageFailed(Stage, SourceError),
    /// The connection to the host stands.
    Connected,
    /// It is known what the run carries.
    Complete(StreamInfo),
    /// What the run carries has changed.
    FormatChanged(StreamInfo),
    /// The run's first picture.
    FirstPicture {
        keyframe: bool,
        bytes: usize,
    },
}

impl Teller {
    pub(super) fn tell(&self, told: Told) {
        match self {
            Self::Log => told.log(),
            Self::Other(tell) => tell(told),
        }
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "Log",
            Self::Other(_) => "Other",
        })
    }
}

impl Told {
    fn log(&self) {
        match self {
            Self::Created => tracing::info!("create called"),
            Self::Started => tracing::info!("StartMoonlight (headless mode)"),
            Self::StageStarting(stage) => tracing::info!(%stage, "stage starting"),
            Self::StageComplete(stage) => tracing::info!(%stage, "stage complete"),
            Self::StageFailed(..) => {}
            Self::Connected => tracing::info!("Moonlight connected: stream is live headless"),
            Self::Complete(info) => log_format(info, "connection complete"),
            Self::FormatChanged(info) => log_format(info, "stream format changed"),
            Self::FirstPicture { keyframe, bytes } => tracing::info!(keyframe, bytes, "first frame"),
        }
    }
}

fn log_format(StreamInfo { video, .. }: &StreamInfo, message: &str) {
    let codec = video.codec.name();
    tracing::info!(width = video.width, height = video.height, codec, fps = video.fps, "{message}");
}

/// Why the next run, or the next process, is waited for, and how long.
pub(crate) fn log_wait(state: &State, wait: Wait) {
    if let State::Reconnecting { reason, .. } = state {
        let error = match reason {
            EndReason::Failed(error) => error as &dyn Error,
            reason => reason,
        };
        tracing::warn!(error, attempt = wait.attempt, wait = ?wait.lasts, "reconnecting");
    }
    if let Some(trips) = wait.breaker {
        tracing::warn!(trips, pause = ?wait.lasts, "too many failures in a row: the breaker opens");
    }
}

/// One run's.
#[derive(Debug, Default)]
pub(super) struct Story {
    teller: Teller,
    connected: bool,
    info: Option<StreamInfo>,
    complete: bool,
    has_pictures: bool,
}

impl Story {
    pub(super) fn new(teller: Teller) -> Self {
        Self { teller, ..Self::default() }
    }

    pub(super) fn stage_starting(&self, stage: Stage) {
        self.teller.tell(Told::StageStarting(stage));
    }

    pub(super) fn stage_complete(&self, stage: Stage) {
        self.teller.tell(Told::StageComplete(stage));
    }

    pub(super) fn connected(&mut self) {
        if !self.connected {
            self.connected = true;
            self.teller.tell(Told::Connected);
            self.complete();
        }
    }

    /// A source may know its format before it is connected.
    pub(super) fn info(&mut self, info: &StreamInfo) {
        if self.info.as_ref() != Some(info) {
            self.info = Some(info.clone());
            if self.complete {
                self.teller.tell(Told::FormatChanged(info.clone()));
            } else if self.connected {
                self.complete();
            }
        }
    }

    pub(super) fn video(&mut self, frame: &VideoFrame) {
        if !self.has_pictures {
            self.has_pictures = true;
            // A source that is never connected to anything says so by its frames.
            self.complete();
            self.teller.tell(Told::FirstPicture { keyframe: frame.keyframe, bytes: frame.data.len() });
        }
    }

    fn complete(&mut self) {
        if !self.complete
            && let Some(info) = self.info.clone()
        {
            self.complete = true;
            self.teller.tell(Told::Complete(info));
        }
    }
}
