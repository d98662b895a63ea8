//! The task that owns one stream. It only selects: what to do is decided in the pure parts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::viewers::{Join, Viewers};
use super::{Exit, ExitPolicy, StreamerConfig, StreamerId};
use crate::broadcast::Broadcaster;
use crate::keyframe::KeyframePolicy;
use crate::lifecycle::{EndReason, Lifecycle, State};
use crate::media::StreamInfo;
use crate::peer::{LeaveReason, PeerInfo};
use crate::source::{Command, Ended, Event, SourceEnd, SourceError, SourceIo, SourceStats, VideoSource};
use crate::task::{self, Task};

/// How long a source may take to end when it is told to (contract of `VideoSource`).
const SOURCE_GRACE: Duration = Duration::from_secs(2);

/// What the actor is given.
pub(super) struct Actor {
    pub(super) id: StreamerId,
    pub(super) source: Arc<dyn VideoSource>,
    pub(super) config: StreamerConfig,
    pub(super) broadcaster: Broadcaster,
    pub(super) joins: mpsc::Receiver<Join>,
    pub(super) state: watch::Sender<State>,
    pub(super) info: watch::Sender<Option<Arc<StreamInfo>>>,
    pub(super) peers: watch::Sender<Arc<[PeerInfo]>>,
    pub(super) source_stats: watch::Sender<SourceStats>,
    pub(super) restarts: watch::Sender<u64>,
    pub(super) exit: watch::Receiver<Exit>,
    pub(super) stop: CancellationToken,
}

/// What the actor keeps while the source runs.
struct Running {
    lifecycle: Lifecycle,
    keyframes: KeyframePolicy,
    viewers: Viewers,
    /// Dropping it tells the source to stop.
    commands: Option<mpsc::Sender<Command>>,
}

type SourceTask = Task<Result<Ended, SourceError>>;

impl Actor {
    pub(super) async fn run(self) {
        let span = tracing::info_span!("streamer", id = %self.id);
        self.run_in_span().instrument(span).await;
    }

    async fn run_in_span(mut self) {
        tracing::info!("streamer starts");
        let (io, SourceEnd { mut events, commands }) = SourceIo::new(self.source_stats.clone());
        self.broadcaster.begin_run();
        let recipe = self.source.clone();
        let mut source =
            task::spawn(async move { recipe.run(io).await }.instrument(tracing::Span::current()));
        let mut running = Running {
            lifecycle: Lifecycle::new(),
            keyframes: KeyframePolicy::default(),
            viewers: Viewers::new(self.config.max_peers, self.peers.clone()),
            commands: Some(commands),
        };

        let ended = loop {
            self.publish_state(&running.lifecycle);
            let now = task::now();
            let timeout = [running.lifecycle.timeout(), running.keyframes.timeout(now)];
            tokio::select! {
                Some(event) = events.recv() => self.handle_event(&mut running, event),
                () = task::at(timeout.into_iter().flatten().min()) => running.handle_timeout(),
                () = self.broadcaster.keyframe_wished() => running.keyframes.wish(),
                Some(join) = self.joins.recv() => running.viewers.add(join),
                Some(gone) = running.viewers.next_gone() => running.viewers.remove(gone),
                result = &mut source => break Some(result),
                () = self.stop.cancelled() => break None,
            }
        };

        if let Some(result) = ended {
            // What the source sent before it ended comes before its end.
            while let Ok(event) = events.try_recv() {
                self.handle_event(&mut running, event);
            }
            running.handle_source_end(result);
            self.finish(&mut running, LeaveReason::StreamEnded).await;
        } else {
            let exit = *self.exit.borrow();
            running.lifecycle.end(EndReason::Stopped);
            running.stop_source(exit.policy);
            tokio::join!(self.finish(&mut running, exit.peers), wait_for_source(source, events),);
        }
        tracing::info!("streamer ended");
    }

    fn handle_event(&self, running: &mut Running, event: Event) {
        match event {
            Event::StageStarting(stage) => {
                tracing::info!(%stage, "stage starting");
                running.lifecycle.handle_stage(stage);
            }
            Event::StageComplete(stage) => tracing::info!(%stage, "stage complete"),
            Event::Connected => {
                tracing::info!("connected to the host: the stream is live");
                running.lifecycle.handle_connected();
            }
            Event::Info(info) => {
                tracing::info!(
                    codec = info.video.codec.name(),
                    width = info.video.width,
                    height = info.video.height,
                    fps = info.video.fps,
                    "stream format"
                );
                self.info.send_replace(Some(Arc::new(info)));
            }
            Event::Video(frame) => {
                running.lifecycle.handle_frame(task::now());
                if frame.keyframe {
                    running.keyframes.handle_keyframe();
                }
                self.broadcaster.publish_video(frame);
            }
            Event::Audio(frame) => self.broadcaster.publish_audio(frame),
        }
    }

    fn publish_state(&self, lifecycle: &Lifecycle) {
        self.state.send_if_modified(|state| {
            if state == lifecycle.state() {
                return false;
            }
            *state = lifecycle.state().clone();
            match state {
                State::Stalled => {
                    tracing::warn!("stalled: no frame for 2 s, not even a keyframe that was asked for");
                }
                State::Ended(EndReason::Failed(error)) => tracing::error!(%error, "the source failed"),
                state => tracing::debug!(?state, "state"),
            }
            true
        });
    }

    /// Lets the viewers go and waits until nothing is left of them.
    async fn finish(&mut self, running: &mut Running, reason: LeaveReason) {
        self.publish_state(&running.lifecycle);
        self.joins.close();
        // Who comes too late is told so by its own egress.
        while let Some(join) = self.joins.recv().await {
            running.viewers.add(join);
        }
        self.broadcaster.close();
        running.viewers.leave(reason).await;
    }
}

impl Running {
    fn handle_timeout(&mut self) {
        let now = task::now();
        if self.lifecycle.handle_timeout(now) {
            self.keyframes.wish();
        }
        if self.keyframes.handle_timeout(now) {
            self.command(Command::Keyframe);
        }
    }

    fn handle_source_end(&mut self, result: Result<Result<Ended, SourceError>, JoinError>) {
        match result {
            Ok(result) => self.lifecycle.handle_end(result),
            Err(error) => {
                tracing::error!(%error, "the source panicked");
                self.lifecycle.end(EndReason::SourcePanicked);
            }
        }
    }

    fn stop_source(&mut self, policy: ExitPolicy) {
        if policy == ExitPolicy::Quit {
            self.command(Command::Quit);
        }
        self.commands = None;
    }

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Full: the source does not listen; the wishes that it has not heard stand before this one.
            let _ = commands.try_send(command);
        }
    }
}

/// Waits for a source that was told to stop, and drops it when it does not.
async fn wait_for_source(source: SourceTask, mut events: mpsc::Receiver<Event>) {
    let ended = async {
        while events.recv().await.is_some() {}
        source.await
    };
    match timeout(SOURCE_GRACE, ended).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the source failed while it was stopped"),
        Ok(Err(error)) => tracing::error!(%error, "the source panicked while it was stopped"),
        Err(_) => tracing::warn!("the source did not end within {SOURCE_GRACE:?}: dropped"),
    }
}
