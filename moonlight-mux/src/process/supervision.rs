//! What becomes of a streamer's process, pure: when it is stalled, when it is killed, and when the next one is started.
//!
//! The process restarts its source by itself (`lifecycle.rs`); this restarts the process. States between the two are the
//! process's own, as it tells them.

use std::time::{Duration, Instant};

use crate::lifecycle::{Backoff, EndReason, RestartBackoff, RestartPolicy, State, Wait};

/// How processes are supervised.
#[derive(Clone, Debug)]
pub(super) struct SupervisionConfig {
    pub(super) restart: RestartPolicy,
    pub(super) backoff: RestartBackoff,
    /// From a process's start until it is ready.
    pub(super) ready_timeout: Duration,
    pub(super) silence_stalled: Duration,
    pub(super) silence_killed: Duration,
}

/// The state machine. Time is an argument, and so is chance.
#[derive(Debug)]
pub(super) struct Supervision {
    config: SupervisionConfig,
    state: State,
    phase: Phase,
    backoff: Backoff,
    /// Pictures came, from this process or an earlier one.
    has_streamed: bool,
}

#[derive(Debug)]
enum Phase {
    /// It is found out what to run.
    Preparing,
    Running(Run),
    /// It was killed, and is not reaped yet.
    Killed {
        had_pictures: Duration,
        has_streamed: bool,
    },
    Waiting {
        until: Instant,
    },
    Over,
}

#[derive(Debug)]
struct Run {
    heard: Instant,
    ready: Readiness,
    silent: bool,
    /// What it said last of its state.
    told: State,
    /// When it first said that pictures flow, and when it said something last while they did.
    pictures: Option<(Instant, Instant)>,
    /// It ended its conversation; its process has until then.
    closed: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Readiness {
    Until(Instant),
    Ready,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Kill the process; its end is awaited.
    Kill(Doom),
    /// Find out what to run, and start a process.
    Start,
}

/// Why a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    /// It was not ready in time.
    NotReady { waited: Duration },
    /// It says nothing any more.
    Silent { silent: Duration },
    /// It takes too much memory, in bytes.
    OverMemory { resident: u64, limit: u64 },
    /// It ended its conversation, and did not end.
    Lingers,
}

impl Supervision {
    /// It is found out what the first process shall run.
    pub(super) fn new(config: SupervisionConfig) -> Self {
        Self {
            backoff: Backoff::new(config.backoff.clone()),
            config,
            state: State::Starting,
            phase: Phase::Preparing,
            has_streamed: false,
        }
    }

    /// Of a stream that has ended: nothing is to be done any more.
    pub(super) fn over() -> Self {
        let config = SupervisionConfig {
            restart: RestartPolicy::Never,
            backoff: RestartBackoff::default(),
            ready_timeout: Duration::ZERO,
            silence_stalled: Duration::ZERO,
            silence_killed: Duration::ZERO,
        };
        let mut over = Self::new(config);
        over.end(EndReason::Stopped);
        over
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// A process was started.
    pub(super) fn handle_started(&mut self, now: Instant) {
        if let Phase::Preparing = self.phase {
            let ready = match now.checked_add(self.config.ready_timeout) {
                Some(until) => Readiness::Until(until),
                None => Readiness::Ready,
            };
            let told = State::Starting;
            let run = Run { heard: now, ready, silent: false, told, pictures: None, closed: None };
            self.phase = Phase::Running(run);
        }
    }

    /// The process said something, whatever it was.
    pub(super) fn handle_word(&mut self, now: Instant) {
        let Phase::Running(run) = &mut self.phase else { return };
        run.heard = now;
        if let (State::Streaming, Some((_, last))) = (&run.told, &mut run.pictures) {
            *last = now;
        }
        if std::mem::take(&mut run.silent) {
            let told = run.told.clone();
            self.show(told);
        }
    }

    /// The process can stream.
    pub(super) fn handle_ready(&mut self) {
        if let Phase::Running(run) = &mut self.phase {
            run.ready = Readiness::Ready;
        }
    }

    /// The process said what its stream is doing. Its end it says in other words: [`Self::handle_end`].
    pub(super) fn handle_state(&mut self, now: Instant, state: State) {
        let Phase::Running(run) = &mut self.phase else { return };
        if state == State::Streaming {
            let first = run.pictures.map_or(now, |(first, _)| first);
            run.pictures = Some((first, now));
            self.has_streamed = true;
        }
        if !matches!(state, State::Ended(_)) {
            run.told = state.clone();
            self.show(state);
        }
    }

    /// The process will say nothing more, and should end.
    pub(super) fn handle_closed(&mut self, now: Instant) {
        if let Phase::Running(run) = &mut self.phase {
            run.closed.get_or_insert(now + LINGER);
        }
    }

    /// The process takes so much memory, in bytes.
    pub(super) fn handle_memory(&mut self, resident: u64, limit: Option<u64>) -> Option<Action> {
        let limit = limit.filter(|&limit| resident > limit)?;
        matches!(self.phase, Phase::Running(_)).then(|| self.kill(Doom::OverMemory { resident, limit }))
    }

    /// Nothing is left of the process, or none could be started. `own` when the process said itself that its stream has ended.
    /// Gives the wait until the next; `None` when the stream is over. `chance` is a random number from 0 to 1.
    pub(super) fn handle_end(
        &mut self,
        now: Instant,
        reason: EndReason,
        own: bool,
        chance: f64,
    ) -> Option<Wait> {
        let (had_pictures, has_streamed) = match &self.phase {
            Phase::Preparing => (Duration::ZERO, false),
            Phase::Running(run) => (run.had_pictures(), run.pictures.is_some()),
            Phase::Killed { had_pictures, has_streamed } => (*had_pictures, *has_streamed),
            Phase::Waiting { .. } | Phase::Over => return None,
        };
        // A process whose stream had pictures has tried what there is to try.
        let again = self.has_streamed && !(own && has_streamed) && self.config.restart.covers(&reason);
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
    pub(super) fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Ended(_)) {
            self.phase = Phase::Over;
            self.state = State::Ended(reason);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next; a time in the past means at once.
    pub(super) fn timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running(run) => run.deadline(&self.config),
            Phase::Waiting { until } => Some(*until),
            Phase::Preparing | Phase::Killed { .. } | Phase::Over => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Action> {
        let due = self.timeout().filter(|&due| due <= now)?;
        let config = &self.config;
        match &mut self.phase {
            // This program was held up, and has not heard yet what was said meanwhile.
            Phase::Running(run) if now.saturating_duration_since(due) > LATE => {
                run.forgive(now);
                None
            }
            Phase::Running(run) if run.closed.is_some() => Some(self.kill(Doom::Lingers)),
            Phase::Running(Run { ready: Readiness::Until(_), .. }) => {
                let waited = config.ready_timeout;
                Some(self.kill(Doom::NotReady { waited }))
            }
            Phase::Running(run) => {
                let silent = now.saturating_duration_since(run.heard);
                if silent >= config.silence_killed {
                    return Some(self.kill(Doom::Silent { silent }));
                }
                run.silent = true;
                if self.state == State::Streaming {
                    self.state = State::Stalled;
                }
                None
            }
            Phase::Waiting { .. } => {
                self.phase = Phase::Preparing;
                Some(Action::Start)
            }
            Phase::Preparing | Phase::Killed { .. } | Phase::Over => None,
        }
    }

    /// A new process connects from the start; that is [`State::Reconnecting`] until it has pictures.
    fn show(&mut self, state: State) {
        let begins = matches!(state, State::Starting | State::Connecting(_) | State::Connected);
        if !(begins && self.has_streamed) {
            self.state = state;
        }
    }

    fn kill(&mut self, doom: Doom) -> Action {
        if let Phase::Running(run) = &self.phase {
            let (had_pictures, has_streamed) = (run.had_pictures(), run.pictures.is_some());
            self.phase = Phase::Killed { had_pictures, has_streamed };
        }
        Action::Kill(doom)
    }
}

impl Run {
    fn had_pictures(&self) -> Duration {
        self.pictures.map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
    }

    /// Whatever was due begins anew now.
    fn forgive(&mut self, now: Instant) {
        self.heard = now;
        if let Readiness::Until(until) = &mut self.ready {
            *until = now + LINGER;
        }
        if let Some(until) = &mut self.closed {
            *until = now + LINGER;
        }
    }

    fn deadline(&self, config: &SupervisionConfig) -> Option<Instant> {
        match (self.closed, &self.ready) {
            (Some(until), _) => Some(until),
            (None, Readiness::Until(until)) => Some(*until),
            (None, Readiness::Ready) => {
                let kill = self.heard.checked_add(config.silence_killed);
                let stall = self.heard.checked_add(config.silence_stalled).filter(|_| !self.silent);
                kill.into_iter().chain(stall).min()
            }
        }
    }
}

/// How long a process may take to end behind its last word.
const LINGER: Duration = Duration::from_secs(2);
/// Whoever is called so long behind the time was stopped, or had no processor: the process is not to blame.
const LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
