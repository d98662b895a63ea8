//! The life of a stream, pure: what state it is in, and when silence becomes a stall.

use std::time::{Duration, Instant};

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
    /// The source ended or failed and is run again; until its first frame.
    Reconnecting {
        /// The how-manieth try in a row, from 1.
        attempt: u32,
        /// When it begins, or began.
        next: Instant,
        /// Why the last run is over.
        reason: EndReason,
    },
    /// It is over.
    Ended(EndReason),
}

/// Why a stream is over. An error to whoever waits for frames.
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

/// Whether a source that ended is run again. Never before the stream's first frame, so that a first start that fails is told
/// at once; nor after an error that is permanent, or when the source says that it was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// It is not.
    Never,
    /// When it failed or panicked.
    #[default]
    OnFailure,
    /// When the host ended the stream, too.
    Always,
}

/// When a source is run again. Restarts count as in a row until a run has streamed for [`healthy_after`](Self::healthy_after).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestartBackoff {
    /// The wait before the first restart in a row; each further one is twice as long. Default 1 s.
    pub first: Duration,
    /// The longest wait. Default 30 s.
    pub longest: Duration,
    /// So many failures in a row open the breaker. Default 5, at least 1.
    pub breaker_failures: u32,
    /// The wait when it opens; then the waits begin anew. Default 30 s.
    pub breaker_pause: Duration,
    /// So often it opens; instead of once more the stream ends. Default 10.
    pub breaker_trips: u32,
    /// A run with pictures for so long makes its failure the first in a row. Default 60 s.
    pub healthy_after: Duration,
}

impl Default for RestartBackoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            breaker_trips: 10,
            healthy_after: Duration::from_secs(60),
        }
    }
}

/// What a Streamer holds against a source that shows nothing; the cause of a [`SourceError`], to downcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Silent {
    /// The connection stood, and no picture came.
    #[error(
        "no picture came within {} s of the connection to the host, and {datagrams} datagrams with media did",
        waited.as_secs_f32()
    )]
    NoFirstFrame {
        /// For how long.
        waited: Duration,
        /// [`SourceStats::datagrams`](crate::SourceStats::datagrams): how much was seen.
        datagrams: u64,
    },
    /// Pictures ceased, while the source went on.
    #[error("the host sent no picture for {} s, not even a keyframe that was asked for", silent.as_secs_f32())]
    Frozen {
        /// For how long.
        silent: Duration,
    },
}

/// A desktop where nothing moves sends few frames, so silence this long is no error yet: a keyframe is asked for, once.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// How long the answer to that may take. Hosts answer within 0.4 s even under loss (streams reference, 6.5).
const STALL_AFTER_PROBE: Duration = Duration::from_secs(1);

/// The state machine. Time is an argument.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
    /// While streaming.
    silence: Option<Silence>,
}

#[derive(Debug)]
enum Silence {
    Since(Instant),
    Probed(Instant),
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self { state: State::Starting, silence: None }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn handle_stage(&mut self, stage: Stage) {
        if matches!(self.state, State::Starting | State::Connecting(_)) {
            self.state = State::Connecting(stage);
        }
    }

    pub(crate) fn handle_connected(&mut self) {
        if matches!(self.state, State::Starting | State::Connecting(_)) {
            self.state = State::Connected;
        }
    }

    pub(crate) fn handle_frame(&mut self, now: Instant) {
        if !matches!(self.state, State::Ended(_)) {
            self.state = State::Streaming;
            self.silence = Some(Silence::Since(now));
        }
    }

    pub(crate) fn handle_end(&mut self, result: Result<Ended, SourceError>) {
        self.end(match result {
            Ok(Ended::Stopped) => EndReason::Stopped,
            Ok(Ended::ByHost) => EndReason::ByHost,
            Err(error) => EndReason::Failed(error),
        });
    }

    /// The first reason counts.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Ended(_)) {
            self.state = State::Ended(reason);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.state != State::Streaming {
            return None;
        }
        self.silence.as_ref().map(|silence| match silence {
            Silence::Since(frame) => *frame + PROBE_AFTER,
            Silence::Probed(probe) => *probe + STALL_AFTER_PROBE,
        })
    }

    /// True when the source shall be asked for a keyframe, as a sign of life.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.timeout().is_none_or(|timeout| now < timeout) {
            return false;
        }
        let probe = matches!(self.silence, Some(Silence::Since(_)));
        if probe {
            self.silence = Some(Silence::Probed(now));
        } else {
            self.silence = None;
            self.state = State::Stalled;
        }
        probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_source_is_probed_at_one_second_and_stalled_at_two() {
        let start = crate::task::now();
        let mut life = Lifecycle::new();
        assert_eq!(life.timeout(), None, "before the first frame silence is no stall");
        life.handle_frame(start);
        assert_eq!(*life.state(), State::Streaming);

        let at = |ms| start + Duration::from_millis(ms);
        assert!(!life.handle_timeout(at(999)));
        assert!(life.handle_timeout(at(1000)));
        assert!(!life.handle_timeout(at(1000)), "one probe, not one per poll");
        assert!(!life.handle_timeout(at(1999)));
        assert_eq!(*life.state(), State::Streaming);
        assert!(!life.handle_timeout(at(2000)));
        assert_eq!(*life.state(), State::Stalled);
        assert_eq!(life.timeout(), None);

        life.handle_frame(at(5000));
        assert_eq!(*life.state(), State::Streaming, "a frame ends the stall");
    }

    #[test]
    fn a_still_desktop_that_answers_the_probe_stays_streaming() {
        let mut now = crate::task::now();
        let mut life = Lifecycle::new();
        life.handle_frame(now);
        for _ in 0..10 {
            now += PROBE_AFTER;
            assert!(life.handle_timeout(now));
            now += Duration::from_millis(400);
            assert!(!life.handle_timeout(now));
            life.handle_frame(now);
            assert_eq!(*life.state(), State::Streaming);
        }
    }

    #[test]
    fn the_first_reason_of_the_end_stays() {
        let now = crate::task::now();
        let mut life = Lifecycle::new();
        life.handle_stage(Stage::RtspHandshake);
        assert_eq!(*life.state(), State::Connecting(Stage::RtspHandshake));
        life.handle_connected();
        life.handle_stage(Stage::Launch);
        assert_eq!(*life.state(), State::Connected, "a late stage does not go back");
        life.handle_end(Ok(Ended::ByHost));
        life.end(EndReason::Stopped);
        life.handle_frame(now);
        assert_eq!(*life.state(), State::Ended(EndReason::ByHost));
    }
}
