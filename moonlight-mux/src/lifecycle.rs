//! The life of a stream, pure: what state it is in, when silence is a stall or a failure, and when its source is run again.

mod backoff;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use self::backoff::RestartBackoff;
pub(crate) use self::backoff::{Backoff, Wait};
use crate::source::{Ended, SourceError, Stage};

/// What a stream is doing. One `watch` channel tells it to everybody, with the reason of the end in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Nothing has been heard of the source yet.
    Starting,
    /// The source is connecting; this stage has begun.
    Connecting(Stage),
    /// The connection to the host stands, no frame has arrived yet.
    Connected,
    /// Frames flow. Never "a frame was asked for".
    Streaming,
    /// Frames have ceased, and a keyframe that was asked for did not come.
    Stalled,
    /// The source ended after it had streamed, and is run again. Lasts up to the first frame of a run.
    Reconnecting {
        /// Which restart in a row, from 1 (see [`RestartBackoff`]).
        attempt: u32,
        /// When it begins, or began.
        next: Instant,
        /// Why the run before it is over.
        reason: EndReason,
    },
    /// It is over.
    Ended(EndReason),
}

/// Why a stream, or one run of its source, is over. An error to whoever waits for frames.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// It was stopped here.
    #[error("the stream was stopped")]
    Stopped,
    /// The host ended it.
    #[error("the host ended the stream")]
    ByHost,
    /// It failed.
    #[error("the stream failed")]
    Failed(#[source] SourceError),
    /// The source panicked: a bug in it.
    #[error("the stream's source panicked")]
    SourcePanicked,
}

impl From<Result<Ended, SourceError>> for EndReason {
    fn from(result: Result<Ended, SourceError>) -> Self {
        match result {
            Ok(Ended::Stopped) => Self::Stopped,
            Ok(Ended::ByHost) => Self::ByHost,
            Err(error) => Self::Failed(error),
        }
    }
}

/// Whether a source that ended is run again.
///
/// Never before the stream's first frame, so that a first start that fails is told at once; nor behind an error that is
/// permanent, nor when the source says that it was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// It is not.
    Never,
    /// When it failed or panicked.
    #[default]
    OnFailure,
    /// Also when the host ended the stream.
    Always,
}

impl RestartPolicy {
    pub(crate) fn covers(self, reason: &EndReason) -> bool {
        match reason {
            EndReason::Stopped => false,
            EndReason::ByHost => self == Self::Always,
            EndReason::Failed(error) => self != Self::Never && !error.is_permanent(),
            EndReason::SourcePanicked => self != Self::Never,
        }
    }
}

/// A run that shows nothing has failed; the cause of a retryable [`SourceError`], to downcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Silent {
    /// The connection stood, and no picture came.
    #[error(
        "no picture came within {waited:?} of the connection to the host; datagrams with media: {datagrams}"
    )]
    NoFirstFrame {
        /// For how long.
        waited: Duration,
        /// [`SourceStats::datagrams`](crate::SourceStats::datagrams): how much was seen.
        datagrams: u64,
    },
    /// Pictures ceased while the source went on.
    #[error("no picture came for {silent:?}, not even a keyframe that was asked for")]
    Frozen {
        /// For how long.
        silent: Duration,
    },
}

/// How a stream lives.
#[derive(Clone, Debug)]
pub(crate) struct LifecycleConfig {
    pub(crate) restart: RestartPolicy,
    pub(crate) backoff: RestartBackoff,
    /// From the connection to the first frame of a run.
    pub(crate) first_frame_timeout: Duration,
    /// From the last frame of a run to its failure.
    pub(crate) stall_timeout: Duration,
}

/// The state machine. Time is an argument, and so is chance.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    config: LifecycleConfig,
    state: State,
    phase: Phase,
    backoff: Backoff,
    /// A frame came, in this run or an earlier one.
    has_streamed: bool,
    restarts: u64,
}

/// What the source is doing, as far as it was told.
#[derive(Debug)]
enum Phase {
    Running(Run),
    /// It was told to stop, since it shows nothing.
    Stopping {
        failure: SourceError,
        had_pictures: Duration,
        /// How long it may take; `None` when it was dropped.
        until: Option<Instant>,
    },
    /// It does not run.
    Waiting {
        until: Instant,
    },
    /// It will not run any more.
    Over,
}

#[derive(Debug, Default)]
struct Run {
    connected: Option<Instant>,
    pictures: Option<Pictures>,
}

#[derive(Debug)]
struct Pictures {
    first: Instant,
    last: Instant,
    silence: Silence,
}

#[derive(Debug)]
enum Silence {
    Unnoticed,
    Probed(Instant),
    Stalled,
}

/// What the source's owner shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the source for a keyframe, as a sign of life.
    Probe,
    /// Tell the source to stop; its end is awaited.
    Stop,
    /// It did not stop: drop it; its end is awaited all the same.
    Drop,
    /// Run the source again.
    Run,
}

impl Lifecycle {
    /// The source runs for the first time.
    pub(crate) fn new(config: LifecycleConfig) -> Self {
        Self {
            state: State::Starting,
            phase: Phase::Running(Run::default()),
            backoff: Backoff::new(config.backoff.clone()),
            config,
            has_streamed: false,
            restarts: 0,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// How often the source was run again.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(crate) fn handle_stage(&mut self, stage: Stage) {
        if matches!(self.state, State::Starting | State::Connecting(_)) {
            self.state = State::Connecting(stage);
        }
    }

    pub(crate) fn handle_connected(&mut self, now: Instant) {
        let Phase::Running(run) = &mut self.phase else { return };
        run.connected.get_or_insert(now);
        if matches!(self.state, State::Starting | State::Connecting(_)) {
            self.state = State::Connected;
        }
    }

    pub(crate) fn handle_frame(&mut self, now: Instant) {
        let Phase::Running(run) = &mut self.phase else { return };
        let first = run.pictures.as_ref().map_or(now, |pictures| pictures.first);
        run.pictures = Some(Pictures { first, last: now, silence: Silence::Unnoticed });
        self.has_streamed = true;
        self.state = State::Streaming;
    }

    /// The run is over and nothing of it is left. Gives the wait until the next one; `None` when the stream is over.
    /// `chance` is a random number from 0 to 1.
    pub(crate) fn handle_end(&mut self, now: Instant, reason: EndReason, chance: f64) -> Option<Wait> {
        let (reason, had_pictures) = match &self.phase {
            Phase::Running(run) => (reason, run.had_pictures()),
            Phase::Stopping { failure, had_pictures, .. } => {
                (EndReason::Failed(failure.clone()), *had_pictures)
            }
            Phase::Waiting { .. } | Phase::Over => return None,
        };
        let again = self.has_streamed && self.config.restart.covers(&reason);
        let Some(wait) = again.then(|| self.backoff.handle_end(had_pictures, chance)).flatten() else {
            self.end(reason);
            return None;
        };
        let next = now + wait.lasts;
        self.phase = Phase::Waiting { until: next };
        self.state = State::Reconnecting { attempt: wait.attempt, next, reason };
        Some(wait)
    }

    /// The first reason counts.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Ended(_)) {
            self.phase = Phase::Over;
            self.state = State::Ended(reason);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next; a time in the past means at once.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running(Run { pictures: Some(pictures), .. }) => match pictures.silence {
                Silence::Unnoticed => Some(pictures.last + PROBE_AFTER),
                Silence::Probed(at) => Some(at + STALL_AFTER_PROBE),
                Silence::Stalled if self.config.restart == RestartPolicy::Never => None,
                Silence::Stalled => pictures.last.checked_add(self.config.stall_timeout),
            },
            Phase::Running(run) => {
                run.connected.and_then(|at| at.checked_add(self.config.first_frame_timeout))
            }
            Phase::Stopping { until, .. } => *until,
            Phase::Waiting { until } => Some(*until),
            Phase::Over => None,
        }
    }

    /// `datagrams`: how many the source has seen in this run.
    pub(crate) fn handle_timeout(&mut self, now: Instant, datagrams: u64) -> Option<Action> {
        if self.timeout().is_none_or(|timeout| now < timeout) {
            return None;
        }
        match &mut self.phase {
            Phase::Running(run) => match &mut run.pictures {
                Some(pictures) => match pictures.silence {
                    Silence::Unnoticed => {
                        pictures.silence = Silence::Probed(now);
                        Some(Action::Probe)
                    }
                    Silence::Probed(_) => {
                        pictures.silence = Silence::Stalled;
                        self.state = State::Stalled;
                        None
                    }
                    Silence::Stalled => {
                        let silent = now - pictures.last;
                        Some(self.stop_run(now, Silent::Frozen { silent }))
                    }
                },
                None => {
                    let waited = self.config.first_frame_timeout;
                    Some(self.stop_run(now, Silent::NoFirstFrame { waited, datagrams }))
                }
            },
            Phase::Stopping { until, .. } => {
                *until = None;
                Some(Action::Drop)
            }
            Phase::Waiting { .. } => {
                self.phase = Phase::Running(Run::default());
                self.restarts += 1;
                Some(Action::Run)
            }
            Phase::Over => None,
        }
    }

    fn stop_run(&mut self, now: Instant, silent: Silent) -> Action {
        let had_pictures = match &self.phase {
            Phase::Running(run) => run.had_pictures(),
            _ => Duration::ZERO,
        };
        self.phase = Phase::Stopping {
            failure: SourceError::retryable(silent),
            had_pictures,
            until: Some(now + SOURCE_GRACE),
        };
        Action::Stop
    }
}

impl Run {
    fn had_pictures(&self) -> Duration {
        self.pictures.as_ref().map_or(Duration::ZERO, |pictures| pictures.last - pictures.first)
    }
}

/// A desktop where nothing moves sends few frames, so silence this long is no error yet: a keyframe is asked for, once.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// How long the answer to that may take. Hosts answer within 0.4 s even under loss (streams reference, 6.5).
const STALL_AFTER_PROBE: Duration = Duration::from_secs(1);
/// How long a source may take to end when it is told to (contract of `VideoSource`).
pub(crate) const SOURCE_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
