//! The task that owns a streamer's process, from its start until it is reaped. It only selects: what becomes of the process is
//! decided in `supervision.rs`.

mod launch;
mod running;
mod story;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::running::{News, Running};
use super::message::{FromChild, Init, MoonlightInit, ToChild};
use super::ports::Port;
use super::spawn::{End, Launcher, Started, System};
use super::supervision::{Action, Supervision, SupervisionConfig};
use super::viewer::{RemoteViewer, Service, Switchboard, ToViewer};
use super::{ProcessConfig, ProcessError, SpawnableSource};
use crate::broadcast::Stats;
use crate::gamestream::source::MoonlightSource;
use crate::input::Mirrored;
use crate::lifecycle::{EndReason, State};
use crate::peer::{LeaveReason, PeerId};
use crate::source::SourceError;
use crate::streamer::{Ends, Exit, ExitPolicy, Join, Viewers, chance, log_wait};
use crate::task::{self, Task};

/// How long a process may take to end when it is told to: as long as its source may, and a second for the way.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// The same when it also ends the app on the host.
const QUIT_GRACE: Duration = Duration::from_secs(13);
/// Words of a process that has ended are there already; only who else holds its socket could say more.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Supervisor {
    source: Arc<dyn SpawnableSource>,
    process: ProcessConfig,
    ends: Ends,
    launcher: Arc<dyn Launcher>,
    switchboard: Switchboard,
    service: watch::Sender<Option<Service>>,
}

/// What the supervisor keeps while the stream lives.
struct Live {
    supervision: Supervision,
    viewers: Viewers,
    /// It is found out what to run.
    preparing: Option<Task<Result<MoonlightSource, SourceError>>>,
    running: Option<Running>,
    /// Of the processes that are gone: what passed through them, and how often their sources were run again; and how often a
    /// process was started again.
    before: Before,
}

#[derive(Default)]
struct Before {
    stats: Stats,
    restarts: u64,
}

impl Supervisor {
    pub(super) fn new(source: Arc<dyn SpawnableSource>, process: ProcessConfig, ends: Ends) -> Self {
        Self::with(source, process, ends, Arc::new(System))
    }

    fn with(
        source: Arc<dyn SpawnableSource>,
        process: ProcessConfig,
        ends: Ends,
        launcher: Arc<dyn Launcher>,
    ) -> Self {
        let service = watch::Sender::new(None);
        Self { source, process, ends, launcher, switchboard: Switchboard::default(), service }
    }

    pub(super) async fn run(mut self) {
        let config = SupervisionConfig {
            restart: self.ends.config.restart,
            backoff: self.ends.config.backoff.clone(),
            ready_timeout: self.process.ready_timeout,
            silence_stalled: self.process.silence_stalled,
            silence_killed: self.process.silence_killed,
        };
        let Ends { input, doors, broadcaster, .. } = &self.ends;
        let (input, broadcaster) = (input.clone(), broadcaster.clone());
        input.mirror(Mirrored::default());
        broadcaster.mirror(Stats::default());
        let viewers =
            Viewers::new(self.ends.config.max_peers, self.ends.peers.clone(), input.clone(), doors.clone());
        let mut live = Live {
            supervision: Supervision::new(config),
            viewers,
            preparing: Some(self.prepare()),
            running: None,
            before: Before::default(),
        };

        let mut keeping_time = pin!(input.keep_time());
        let stopped = loop {
            self.publish(&live.supervision);
            if live.supervision.is_over() {
                break false;
            }
            let timeout = [live.supervision.timeout(), live.running.as_ref().map(|running| running.look_at)];
            tokio::select! {
                source = prepared(&mut live.preparing) => self.handle_prepared(&mut live, source),
                news = Running::next(&mut live.running) => self.handle_news(&mut live, news).await,
                () = task::at(timeout.into_iter().flatten().min()) => self.handle_timeout(&mut live),
                () = broadcaster.keyframe_wished() => {
                    if let Some(running) = &mut live.running {
                        running.handle_wish(&broadcaster);
                    }
                }
                () = input.changed() => self.tell_input(&mut live),
                Some(join) = self.ends.joins.recv() => self.join(&mut live.viewers, join),
                Some(gone) = live.viewers.next_gone() => live.viewers.remove(gone),
                () = &mut keeping_time => {
                    keeping_time.set(input.keep_time());
                    live.viewers.refresh();
                }
                () = self.ends.stop.cancelled() => break true,
            }
        };

        let exit = *self.ends.exit.borrow();
        let Exit { policy, peers } =
            if stopped { exit } else { Exit { peers: LeaveReason::StreamEnded, ..exit } };
        live.supervision.end(EndReason::Stopped);
        self.publish(&live.supervision);
        live.preparing = None;
        self.ends.joins.close();
        // Who comes too late is told so by its own egress.
        while let Some(join) = self.ends.joins.recv().await {
            self.join(&mut live.viewers, join);
        }
        let Live { mut viewers, running, before, .. } = live;
        let finish_process = async {
            if let Some(running) = running {
                self.finish(running, &before, policy, peers).await;
            }
        };
        broadcaster.close();
        tokio::join!(viewers.leave(peers), finish_process);
        tracing::info!("streamer ended");
    }

    /// Finds out what to run.
    fn prepare(&self) -> Task<Result<MoonlightSource, SourceError>> {
        let source = self.source.clone();
        task::spawn(tracing::Instrument::in_current_span(async move { source.moonlight().await }))
    }

    fn handle_prepared(&self, live: &mut Live, source: Result<MoonlightSource, EndReason>) {
        live.preparing = None;
        let started = source.and_then(|source| {
            let started = self.start(source).map_err(SourceError::retryable);
            started.map_err(EndReason::Failed)
        });
        match started {
            Ok(running) => {
                tracing::info!(pid = running.pid(), "process spawned");
                tracing::info!("IPC channels created");
                self.ends.pid.send_replace(Some(running.pid()));
                live.supervision.handle_started(task::now());
                live.running = Some(running);
            }
            Err(reason) => handle_end(live, reason, false),
        }
    }

    fn start(&self, source: MoonlightSource) -> Result<Running, ProcessError> {
        let mut webrtc = self.process.webrtc.clone();
        let port = match &self.process.udp_ports {
            Some(range) => Some(
                Port::take(range, webrtc.bind.ip(), webrtc.tcp.map(|tcp| tcp.ip()))
                    .ok_or(ProcessError::NoPort)?,
            ),
            None => None,
        };
        if let Some(port) = port.as_ref().map(Port::number) {
            webrtc.bind.set_port(port);
            webrtc.tcp.iter_mut().for_each(|tcp| tcp.set_port(port));
        }
        let mut config = self.ends.config.clone();
        config.input_mode = self.ends.input.mode();
        let init = Init {
            streamer_id: self.ends.id.clone(),
            source: MoonlightInit::new(&source),
            config,
            webrtc,
            limits: self.process.limits.clone(),
        };
        let started = self.launcher.start(&self.ends.id, &self.process)?;
        Ok(Running::new(started, init, source.host().launch_slot(), port))
    }

    async fn handle_news(&self, live: &mut Live, news: News) {
        match news {
            News::Word(word) => {
                let Some(running) = &mut live.running else { return };
                self.handle_word(&mut live.supervision, running, &live.before, word);
            }
            News::Closed => live.supervision.handle_closed(task::now()),
            News::Turn => {
                if let Some(running) = &mut live.running {
                    running.grant_launch();
                }
            }
            News::Ended(end) => {
                let Some(running) = live.running.take() else { return };
                let (running, reason, own) =
                    self.bury(&mut live.supervision, running, &mut live.before, end).await;
                // Viewers whose process is gone look whether there will be another.
                handle_end(live, reason, own);
                self.publish(&live.supervision);
                running.close().await;
            }
        }
    }

    /// Hears the last words of a process that has ended. Gives what is left of it, why it is gone, and whether it said so
    /// itself.
    async fn bury(
        &self,
        supervision: &mut Supervision,
        mut running: Running,
        before: &mut Before,
        end: End,
    ) -> (Running, EndReason, bool) {
        let deadline = task::now() + LAST_WORDS;
        while let Some(word) = running.last_word(deadline).await {
            self.handle_word(supervision, &mut running, before, word);
        }
        self.service.send_replace(None);
        self.ends.pid.send_replace(None);
        self.ends.input.mirror(Mirrored::default());
        running.count_into(&mut before.stats, &mut before.restarts);
        before.stats.bits_per_second = 0;
        before.stats.last_frame_age = self.ends.broadcaster.stats().last_frame_age;
        self.ends.broadcaster.mirror(before.stats.clone());
        let exit = end.exit;
        let (reason, own) = running.why(end);
        match (&reason, own) {
            (EndReason::Failed(error), false) => {
                tracing::error!(%error, pid = running.pid(), %exit, "the streamer's process is gone");
            }
            _ => tracing::info!(pid = running.pid(), %exit, "the streamer's process has ended"),
        }
        (running, reason, own)
    }

    fn handle_word(
        &self,
        supervision: &mut Supervision,
        running: &mut Running,
        before: &Before,
        word: FromChild,
    ) {
        let now = task::now();
        supervision.handle_word(now);
        story::tell(&word);
        match word {
            FromChild::Hello { version, pid } => running.handle_hello(version, pid),
            FromChild::Ready { .. } => {
                supervision.handle_ready();
                if running.handle_ready() {
                    let service = Service { outbox: running.outbox.clone(), over: running.over.clone() };
                    self.service.send_replace(Some(service));
                    running.watch_or_not(&self.ends.broadcaster);
                    self.ends.input.look_again();
                }
            }
            FromChild::NotReady { error } => running.refused = Some(error),
            FromChild::State { state } => {
                let state = state.into_state(now);
                if let State::Ended(reason) = &state {
                    running.ended = Some(reason.clone());
                }
                supervision.handle_state(now, state);
                self.publish(supervision);
            }
            FromChild::Info { info } => {
                self.ends.info.send_if_modified(|known| {
                    let changed = known.as_deref() != Some(&info);
                    if changed {
                        *known = Some(Arc::new(info));
                    }
                    changed
                });
            }
            FromChild::ToPeer { peer_id, signal } => self.say(peer_id, ToViewer::Signal(signal)),
            FromChild::PeerClosing { peer_id, reason } => self.say(peer_id, ToViewer::Closing(reason)),
            FromChild::PeerClosed { peer_id, reason } => self.say(peer_id, ToViewer::Closed(reason)),
            FromChild::Input { features, turn, acting } => {
                self.ends.input.mirror(Mirrored { features, turn, acting });
            }
            FromChild::Stats { stream, source, restarts, peers, malformed, dropped } => {
                running.handle_stats(stream, restarts, malformed, dropped);
                let (mut stats, mut all) = (before.stats.clone(), before.restarts);
                // The last frame of the process before, until there is one of this.
                stats.last_frame_age = self.ends.broadcaster.stats().last_frame_age;
                running.count_into(&mut stats, &mut all);
                self.ends.broadcaster.mirror(stats);
                self.ends.source_stats.send_if_modified(|known| std::mem::replace(known, source) != source);
                self.ends.restarts.send_if_modified(|known| std::mem::replace(known, all) != all);
                for (peer, stats) in peers {
                    self.switchboard.count(peer, stats);
                }
                running.watch_or_not(&self.ends.broadcaster);
            }
            FromChild::LaunchWanted => running.want_launch(),
            FromChild::LaunchOver { pending_ms } => {
                running.end_launch(now, Duration::from_millis(pending_ms));
            }
            FromChild::Stopped { reason } => {
                running.ended = Some(reason);
                supervision.handle_closed(now);
            }
            FromChild::PeerJoined { .. }
            | FromChild::FirstFrame { .. }
            | FromChild::StageStarting { .. }
            | FromChild::StageComplete { .. }
            | FromChild::StageFailed { .. }
            | FromChild::MoonlightConnected
            | FromChild::ConnectionComplete { .. }
            | FromChild::FormatChanged { .. }
            | FromChild::FirstPicture { .. } => {}
        }
    }

    fn say(&self, peer: PeerId, word: ToViewer) {
        if !self.switchboard.say(peer, word) {
            tracing::warn!(%peer, "the viewer's signalling takes nothing any more");
            self.ends.doors.ask_to_leave(peer, LeaveReason::SignallingTimeout);
        }
    }

    fn handle_timeout(&self, live: &mut Live) {
        let now = task::now();
        let mut action = live.supervision.handle_timeout(now);
        if let Some(running) = &mut live.running
            && let Some(resident) = running.look(now)
        {
            let limit = self.process.limits.memory;
            action = action.or_else(|| live.supervision.handle_memory(resident, limit));
            // What was not taken before is told again.
            self.tell_input(live);
        }
        match action {
            Some(Action::Kill(doom)) => {
                if let Some(running) = &mut live.running {
                    tracing::warn!(?doom, pid = running.pid(), "the streamer's process is killed");
                    running.kill(doom);
                }
            }
            Some(Action::Start) => {
                live.before.restarts += 1;
                self.ends.restarts.send_replace(live.before.restarts);
                tracing::info!(restarts = live.before.restarts, "the streamer's process is started again");
                live.preparing = Some(self.prepare());
            }
            None => {}
        }
    }

    /// Tells the process what viewers may do, where that has changed.
    fn tell_input(&self, live: &mut Live) {
        let Some(running) = live.running.as_mut().filter(|running| running.is_ready()) else { return };
        running.tell_mode(self.ends.input.mode());
        self.switchboard.tell_rights(
            |peer| self.ends.input.rights(peer),
            |peer_id, rights| running.outbox.offer(ToChild::SetRights { peer_id, rights }, None),
        );
    }

    fn join(&self, viewers: &mut Viewers, mut join: Join) {
        if let Some(relocated) = join.egress.relocate() {
            let (switchboard, service) = (self.switchboard.clone(), self.service.subscribe());
            join.egress = Box::new(RemoteViewer::new(relocated, join.name.clone(), switchboard, service));
        }
        viewers.add(join);
    }

    fn publish(&self, supervision: &Supervision) {
        self.ends.state.send_if_modified(|state| {
            if state == supervision.state() {
                return false;
            }
            *state = supervision.state().clone();
            match state {
                State::Stalled => tracing::warn!("stalled: no frame, or no word of the streamer's process"),
                State::Ended(EndReason::Failed(error)) => tracing::error!(%error, "the stream failed"),
                state => tracing::debug!(?state, "state"),
            }
            true
        });
    }

    /// Lets the process end, kills it when it does not, and clears away what is left of it.
    async fn finish(&self, running: Running, before: &Before, policy: ExitPolicy, peers: LeaveReason) {
        let (quit, grace) = match policy {
            ExitPolicy::LeaveRunning => (false, STOP_GRACE),
            ExitPolicy::Quit => (true, QUIT_GRACE),
        };
        // The state is told already: what it does on its way out is nobody's business.
        let mut supervision = Supervision::over();
        let mut before = Before { stats: before.stats.clone(), restarts: before.restarts };
        let outbox = running.outbox.clone();
        let stop = outbox.send(ToChild::Stop { quit, reason: peers });
        tokio::pin!(stop);
        let (mut stop, mut told) = (stop, false);
        let mut deadline = Some(task::now() + grace);
        let mut running = Some(running);
        loop {
            tokio::select! {
                _ = &mut stop, if !told => told = true,
                news = Running::next(&mut running) => match news {
                    News::Word(word) => {
                        if let Some(running) = &mut running {
                            self.handle_word(&mut supervision, running, &before, word);
                        }
                    }
                    News::Ended(end) => {
                        if let Some(running) = running.take() {
                            let (running, ..) = self.bury(&mut supervision, running, &mut before, end).await;
                            running.close().await;
                        }
                        return;
                    }
                    News::Turn | News::Closed => {}
                },
                () = task::at(deadline) => {
                    deadline = None;
                    if let Some(running) = &mut running {
                        tracing::warn!(pid = running.pid(), "the streamer's process did not end within {grace:?}: killed");
                        running.kill_for_good();
                    }
                }
            }
        }
    }
}

/// The first line of a streamer's story.
pub(super) fn tell_created() {
    tracing::info!("create called");
}

/// Whatever ended, this is what comes next.
fn handle_end(live: &mut Live, reason: EndReason, own: bool) {
    let Some(wait) = live.supervision.handle_end(task::now(), reason, own, chance()) else { return };
    log_wait(live.supervision.state(), wait);
}

/// What is to be run, once that is found out; waits for ever when nobody is at it. Cancel safe.
async fn prepared(
    preparing: &mut Option<Task<Result<MoonlightSource, SourceError>>>,
) -> Result<MoonlightSource, EndReason> {
    let Some(task) = preparing else { return pending().await };
    match task.await {
        Ok(source) => source.map_err(EndReason::Failed),
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "the source panicked");
            }
            Err(EndReason::SourcePanicked)
        }
    }
}
