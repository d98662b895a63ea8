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
