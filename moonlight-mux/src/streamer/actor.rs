//! The task that owns one stream. It only selects: what to do is decided in the pure parts.

use std::pin::pin;
use std::sync::Arc;

use aws_lc_rs::rand;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::run::{News, Run};
use super::story::{Teller, Told, log_wait};
use super::viewers::{Doors, Join, Viewers};
use super::{Exit, StreamerConfig};
use crate::broadcast::Broadcaster;
use crate::input::InputHub;
use crate::keyframe::KeyframePolicy;
use crate::lifecycle::{Action, EndReason, Lifecycle, LifecycleConfig, SOURCE_GRACE, State};
use crate::media::StreamInfo;
use crate::peer::{LeaveReason, PeerInfo};
use crate::source::{Command, Event, SourceStats, VideoSource};
use crate::task;

/// What the actor is given.
pub(super) struct Actor {
    pub(super) source: Arc<dyn VideoSource>,
    pub(super) config: StreamerConfig,
    pub(super) broadcaster: Broadcaster,
    pub(super) joins: mpsc::Receiver<Join>,
    pub(super) state: watch::Sender<State>,
    pub(super) info: watch::Sender<Option<Arc<StreamInfo>>>,
    pub(super) peers: watch::Sender<Arc<[PeerInfo]>>,
    pub(super) source_stats: watch::Sender<SourceStats>,
    pub(super) restarts: watch::Sender<u64>,
    pub(super) input: InputHub,
    pub(super) doors: Doors,
    pub(super) exit: watch::Receiver<Exit>,
    pub(super) stop: CancellationToken,
    pub(super) teller: Teller,
}

/// What the actor keeps while the stream lives.
struct Live {
    lifecycle: Lifecycle,
    keyframes: KeyframePolicy,
    viewers: Viewers,
    /// `None` between two runs.
    run: Option<Run>,
}

impl Actor {
    pub(super) async fn run(mut self) {
        let StreamerConfig { max_peers, restart, backoff, first_frame_timeout, stall_timeout, .. } =
            self.config.clone();
        let config = LifecycleConfig { restart, backoff, first_frame_timeout, stall_timeout };
        self.teller.tell(Told::Started);
        let mut live = Live {
            lifecycle: Lifecycle::new(config),
            keyframes: KeyframePolicy::default(),
            viewers: Viewers::new(max_peers, self.peers.clone(), self.input.clone(), self.doors.clone()),
            run: Some(self.start_source()),
        };

        let input = self.input.clone();
        let mut keeping_time = pin!(input.keep_time());
        let stopped = loop {
            self.publish(&live.lifecycle);
            if matches!(live.lifecycle.state(), State::Ended(_)) {
                break false;
            }
            let timeout = [live.lifecycle.timeout(), live.keyframes.timeout(task::now())];
            tokio::select! {
                news = Run::next(&mut live.run) => self.handle_news(&mut live, news),
                () = task::at(timeout.into_iter().flatten().min()) => self.handle_timeout(&mut live),
                () = self.broadcaster.keyframe_wished() => live.keyframes.wish(),
                Some(join) = self.joins.recv() => live.viewers.add(join),
                Some(gone) = live.viewers.next_gone() => live.viewers.remove(gone),
                () = &mut keeping_time => {
                    keeping_time.set(input.keep_time());
                    live.viewers.refresh();
                }
                () = self.stop.cancelled() => break true,
            }
        };

        if stopped {
            let Exit { policy, peers } = *self.exit.borrow();
            live.lifecycle.end(EndReason::Stopped);
            let run = live.run.take();
            let finish_run = async {
                if let Some(run) = run {
                    run.finish(policy).await;
                }
            };
            tokio::join!(self.finish(&mut live, peers), finish_run);
        } else {
            self.finish(&mut live, LeaveReason::StreamEnded).await;
        }
        tracing::info!("streamer ended");
    }

    fn start_source(&self) -> Run {
        self.broadcaster.begin_run();
        Run::start(self.source.clone(), self.source_stats.clone(), self.input.clone(), self.teller.clone())
    }

    fn handle_news(&self, live: &mut Live, news: News) {
        match news {
            News::Event(event) => self.handle_event(live, event),
            News::Ended(reason) => {
                // What the source sent before it ended comes before its end.
                while let Some(event) = live.run.as_mut().and_then(Run::left_over) {
                    self.handle_event(live, event);
                }
                live.run = None;
                self.input.handle_end();
                live.keyframes.handle_end();
                if let EndReason::Failed(error) = &reason
                    && let Some(stage) = error.stage()
                {
                    self.teller.tell(Told::StageFailed(stage, error.clone()));
                }
                let Some(wait) = live.lifecycle.handle_end(task::now(), reason, chance()) else { return };
                log_wait(live.lifecycle.state(), wait);
            }
        }
    }

    fn handle_event(&self, live: &mut Live, event: Event) {
        let Some(Run { story, .. }) = &mut live.run else { return };
        match event {
            Event::StageStarting(stage) => {
                story.stage_starting(stage);
                live.lifecycle.handle_stage(stage);
            }
            Event::StageComplete(stage) => story.stage_complete(stage),
            Event::Connected => {
                story.connected();
                live.lifecycle.handle_connected(task::now());
            }
            Event::Info(info) => {
                story.info(&info);
                self.info.send_if_modified(|known| {
                    let changed = known.as_deref() != Some(&info);
                    if changed {
                        *known = Some(Arc::new(info));
                    }
                    changed
                });
            }
            Event::Video(frame) => {
                story.video(&frame);
                live.lifecycle.handle_frame(task::now());
                live.keyframes.handle_frame(frame.keyframe);
                self.broadcaster.publish_video(frame);
            }
            Event::Audio(frame) => self.broadcaster.publish_audio(frame),
        }
    }

    fn handle_timeout(&self, live: &mut Live) {
        let now = task::now();
        let datagrams = self.source_stats.borrow().datagrams;
        match live.lifecycle.handle_timeout(now, datagrams) {
            Some(Action::Probe) => live.keyframes.wish(),
            Some(Action::Stop) => {
                tracing::warn!(datagrams, "the source shows nothing: stopped");
                live.run.as_mut().map(Run::stop);
            }
            Some(Action::Drop) => {
                tracing::warn!("the source did not end within {SOURCE_GRACE:?}: dropped");
                live.run.as_ref().map(Run::abort);
            }
            Some(Action::Run) => {
                tracing::info!(restarts = live.lifecycle.restarts(), "the source is run again");
                live.run = Some(self.start_source());
            }
            None => {}
        }
        if live.keyframes.handle_timeout(now)
            && let Some(run) = &live.run
        {
            run.command(Command::Keyframe);
        }
    }

    fn publish(&self, lifecycle: &Lifecycle) {
        self.restarts.send_if_modified(|restarts| {
            std::mem::replace(restarts, lifecycle.restarts()) != lifecycle.restarts()
        });
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
    async fn finish(&mut self, live: &mut Live, reason: LeaveReason) {
        self.publish(&live.lifecycle);
        self.joins.close();
        // Who comes too late is told so by its own egress.
        while let Some(join) = self.joins.recv().await {
            live.viewers.add(join);
        }
        self.broadcaster.close();
        live.viewers.leave(reason).await;
    }
}

/// A random number from 0 to 1.
pub(crate) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without a random number the wait is its longest.
    let _ = rand::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
