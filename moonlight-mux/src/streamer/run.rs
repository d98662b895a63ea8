//! One run of a source: its task, owned here, and what passes between it and the actor.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::Instrument;

use super::ExitPolicy;
use super::story::{Story, Teller};
use crate::input::InputHub;
use crate::lifecycle::{EndReason, SOURCE_GRACE};
use crate::source::{Command, Ended, Event, SourceEnd, SourceError, SourceIo, SourceStats, VideoSource};
use crate::task::{self, Task};

pub(super) struct Run {
    task: Task<Result<Ended, SourceError>>,
    events: mpsc::Receiver<Event>,
    /// Dropping it tells the source to stop.
    commands: Option<mpsc::Sender<Command>>,
    pub(super) story: Story,
}

/// What comes from a run.
pub(super) enum News {
    Event(Event),
    /// Nothing of it is left but what it said before: see [`Run::left_over`].
    Ended(EndReason),
}

impl Run {
    pub(super) fn start(
        source: Arc<dyn VideoSource>,
        stats: watch::Sender<SourceStats>,
        input: InputHub,
        teller: Teller,
    ) -> Self {
        stats.send_replace(SourceStats::default());
        let (io, SourceEnd { events, commands }) = SourceIo::new(stats, input);
        let task = task::spawn(async move { source.run(io).await }.instrument(tracing::Span::current()));
        Self { task, events, commands: Some(commands), story: Story::new(teller) }
    }

    /// What comes next; waits for ever where there is no run. Cancel safe. Not to be called behind an end.
    pub(super) async fn next(run: &mut Option<Self>) -> News {
        let Some(run) = run else { return pending().await };
        tokio::select! {
            biased;
            Some(event) = run.events.recv() => News::Event(event),
            result = &mut run.task => News::Ended(match result {
                Ok(result) => result.into(),
                Err(error) => {
                    if error.is_panic() {
                        tracing::error!(%error, "the source panicked");
                    }
                    EndReason::SourcePanicked
                }
            }),
        }
    }

    /// What it said before it ended and nobody has heard yet.
    pub(super) fn left_over(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    pub(super) fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Full: the source does not listen; the wishes that it has not heard stand before this one.
            let _ = commands.try_send(command);
        }
    }

    /// Tells it to stop.
    pub(super) fn stop(&mut self) {
        self.commands = None;
    }

    /// Drops the source's future.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    /// Tells it to stop for good, waits until it has, and drops it when it does not.
    pub(super) async fn finish(mut self, policy: ExitPolicy) {
        let grace = match policy {
            ExitPolicy::LeaveRunning => SOURCE_GRACE,
            ExitPolicy::Quit => {
                self.command(Command::Quit);
                QUIT_GRACE
            }
        };
        self.stop();
        let Self { task, mut events, .. } = self;
        let ended = async {
            while events.recv().await.is_some() {}
            task.await
        };
        match timeout(grace, ended).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the source failed while it was stopped"),
            Ok(Err(error)) => tracing::error!(%error, "the source panicked while it was stopped"),
            Err(_) => tracing::warn!("the source did not end within {grace:?}: dropped"),
        }
    }
}

/// How long a source may take to end when it also ends the app: a host may need 10 s for its answer.
const QUIT_GRACE: Duration = Duration::from_secs(12);
