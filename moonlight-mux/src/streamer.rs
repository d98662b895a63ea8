//! The Streamer: one source kept alive, with or without viewers.

mod actor;
mod run;
mod story;
mod viewers;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use self::actor::Actor;
pub(crate) use self::actor::chance;
pub(crate) use self::story::{Teller, Told, log_wait};
pub(crate) use self::viewers::{Door, Doors, Join, Viewers};
use crate::broadcast::{Broadcaster, Stats, Subscription};
use crate::egress::{Egress, ViewerIo};
use crate::input::{InputFeatures, InputHub, InputMode, Rights};
pub use crate::lifecycle::{EndReason, RestartBackoff, RestartPolicy, Silent, State};
use crate::media::StreamInfo;
use crate::peer::{LeaveReason, PeerConfig, PeerHandle, PeerId, PeerInfo, PeerStats};
use crate::source::{SourceStats, VideoSource};
use crate::task;
use crate::text_form::text_form;

/// Names a streamer: 1 to 128 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamerId(Arc<str>);

/// The text is no [`StreamerId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a streamer's id has 1 to 128 characters, letters, digits, '.', '_' and '-' only")]
pub struct InvalidStreamerId;

impl FromStr for StreamerId {
    type Err = InvalidStreamerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidStreamerId)
        }
    }
}

impl StreamerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamerId({})", self.0)
    }
}

text_form!(StreamerId);

/// How a streamer behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StreamerConfig {
    /// How many viewers it takes at once. Default 1000. Each streaming viewer costs memory (about 1 MB on the standard
    /// path) and its share of the processor.
    pub max_peers: usize,
    /// Whether the source is run again after it ended. Default: when it failed.
    pub restart: RestartPolicy,
    /// How long it waits before it does.
    pub backoff: RestartBackoff,
    /// From [`SourceIo::connected`](crate::SourceIo::connected) to the run's first picture; when none came, the run has
    /// failed ([`Silent::NoFirstFrame`]). Up to there a source keeps time itself. Default 30 s: hosts that start a
    /// container send nothing for as long as that takes.
    pub first_frame_timeout: Duration,
    /// How viewers share the host's keyboard, pointer and the rest, at first. Default: all at once.
    pub input_mode: InputMode,
    /// From a run's last picture to its failure ([`Silent::Frozen`]), when keyframes that were asked for did not come.
    /// At least 2 s, by which time it is [`State::Stalled`]. Without restarts it stays so. Default 12 s: a host from which
    /// nothing comes at all has failed after 10 s, and is to be called silent.
    pub stall_timeout: Duration,
}

impl Default for StreamerConfig {
    fn default() -> Self {
        Self {
            max_peers: 1000,
            restart: RestartPolicy::default(),
            backoff: RestartBackoff::default(),
            first_frame_timeout: Duration::from_secs(30),
            input_mode: InputMode::default(),
            stall_timeout: Duration::from_secs(12),
        }
    }
}

/// What becomes of the app on the host when a streamer is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitPolicy {
    /// It goes on running, to be resumed later.
    #[default]
    LeaveRunning,
    /// It is ended, by the source that runs: between two runs ([`State::Reconnecting`]) there is none that could. A source
    /// that is stopped while its host has not answered the launch yet ends what runs by then.
    Quit,
}

/// One source kept alive, and its viewers. Clones are handles to the same streamer.
///
/// It streams with nobody watching: viewers can neither start nor stop the source. A source that is lost is run again, and
/// viewers stay ([`StreamerConfig::restart`]). Dropping a handle stops nothing;
/// dropping the last one stops the streamer as [`shutdown`](Self::shutdown) does, without waiting.
#[derive(Clone)]
pub struct Streamer {
    inner: Arc<Inner>,
}

struct Inner {
    id: StreamerId,
    created_at: SystemTime,
    broadcaster: Broadcaster,
    joins: mpsc::Sender<Join>,
    state: watch::Receiver<State>,
    info: watch::Receiver<Option<Arc<StreamInfo>>>,
    peers: watch::Receiver<Arc<[PeerInfo]>>,
    source_stats: watch::Receiver<SourceStats>,
    restarts: watch::Receiver<u64>,
    pid: watch::Receiver<Option<u32>>,
    input: InputHub,
    doors: Doors,
    exit: watch::Sender<Exit>,
    /// Cancelled when the actor has ended and nothing of the streamer is left.
    ended: CancellationToken,
    stop: CancellationToken,
    /// Stops the actor when the last handle is dropped.
    _stop_with_last_handle: DropGuard,
}

/// The other ends of a streamer's channels, for whoever keeps it alive: the actor, or the supervisor of its process.
pub(crate) struct Ends {
    pub(crate) id: StreamerId,
    pub(crate) config: StreamerConfig,
    pub(crate) broadcaster: Broadcaster,
    pub(crate) joins: mpsc::Receiver<Join>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) info: watch::Sender<Option<Arc<StreamInfo>>>,
    pub(crate) peers: watch::Sender<Arc<[PeerInfo]>>,
    pub(crate) source_stats: watch::Sender<SourceStats>,
    pub(crate) restarts: watch::Sender<u64>,
    pub(crate) pid: watch::Sender<Option<u32>>,
    pub(crate) input: InputHub,
    pub(crate) doors: Doors,
    pub(crate) exit: watch::Receiver<Exit>,
    pub(crate) stop: CancellationToken,
}

/// How a stopped streamer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) policy: ExitPolicy,
    pub(crate) peers: LeaveReason,
}

/// Joins that the actor has not seen yet. Full: the join is refused, the actor is stuck.
const JOINS: usize = 64;

impl Streamer {
    /// Starts to stream from `source`. Returns at once; [`wait_streaming`](Self::wait_streaming) tells when it does.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "dropping the last handle stops the streamer"]
    pub fn start(id: StreamerId, source: impl VideoSource, config: StreamerConfig) -> Self {
        Self::start_told(id, Arc::new(source), config, Teller::Log)
    }

    /// The same, with its story told to somebody else.
    pub(crate) fn start_told(
        id: StreamerId,
        source: Arc<dyn VideoSource>,
        config: StreamerConfig,
        teller: Teller,
    ) -> Self {
        let created = teller.clone();
        Self::kept_by(
            id,
            config,
            move || created.tell(Told::Created),
            |ends| {
                let Ends { config, broadcaster, joins, state, info, peers, source_stats, restarts, .. } =
                    ends;
                let Ends { input, doors, exit, stop, .. } = ends;
                let actor = Actor {
                    source,
                    config,
                    broadcaster,
                    joins,
                    state,
                    info,
                    peers,
                    source_stats,
                    restarts,
                    input,
                    doors,
                    exit,
                    stop,
                    teller,
                };
                actor.run()
            },
        )
    }

    /// A streamer that `keep` keeps alive, given the other ends of its channels: it ends when that does. `created` tells that
    /// it was made, in its span.
    pub(crate) fn kept_by<K: Future<Output = ()> + Send + 'static>(
        id: StreamerId,
        config: StreamerConfig,
        created: impl FnOnce(),
        keep: impl FnOnce(Ends) -> K,
    ) -> Self {
        let span = tracing::info_span!("streamer", %id);
        span.in_scope(created);
        let broadcaster = Broadcaster::new();
        let (joins_tx, joins) = mpsc::channel(JOINS);
        let (state_tx, state) = watch::channel(State::Starting);
        let (info_tx, info) = watch::channel(None);
        let (peers_tx, peers) = watch::channel(Arc::from([]));
        let (source_stats_tx, source_stats) = watch::channel(SourceStats::default());
        let (restarts_tx, restarts) = watch::channel(0);
        let (pid_tx, pid) = watch::channel(None);
        let input = InputHub::new(config.input_mode);
        let doors = Doors::default();
        let exit = Exit { policy: ExitPolicy::LeaveRunning, peers: LeaveReason::StreamerDeleted };
        let (exit_tx, exit) = watch::channel(exit);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let keeping = span.in_scope(|| {
            keep(Ends {
                id: id.clone(),
                config,
                broadcaster: broadcaster.clone(),
                joins,
                state: state_tx,
                info: info_tx,
                peers: peers_tx,
                source_stats: source_stats_tx,
                restarts: restarts_tx,
                pid: pid_tx,
                input: input.clone(),
                doors: doors.clone(),
                exit,
                stop: stop.clone(),
            })
        });
        let when_ended = ended.clone().drop_guard();
        // Its owner is the guard in the handles.
        let life = async move {
            let _when_ended = when_ended;
            keeping.await;
        };
        task::spawn_cancelled_by_owner(life.instrument(span));
        let inner = Inner {
            id,
            created_at: task::wall_clock(),
            broadcaster,
            joins: joins_tx,
            state,
            info,
            peers,
            source_stats,
            restarts,
            pid,
            input,
            doors,
            exit: exit_tx,
            ended,
            _stop_with_last_handle: stop.clone().drop_guard(),
            stop,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &StreamerId {
        &self.inner.id
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.inner.created_at
    }

    /// What it is doing now.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.state.borrow().clone()
    }

    /// What it is doing, to watch.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.inner.state.clone()
    }

    /// Waits until frames flow: for the first one, or while it reconnects for the next. Cancel safe: the streamer goes on.
    ///
    /// # Errors
    /// The reason of the end, when it ends before or has ended. A first start that fails ends it; nothing is tried again.
    pub async fn wait_streaming(&self) -> Result<(), EndReason> {
        let mut state = self.watch_state();
        let reached = state.wait_for(|state| matches!(state, State::Streaming | State::Ended(_))).await;
        match reached.as_deref() {
            Ok(State::Ended(reason)) => Err(reason.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(EndReason::Stopped),
        }
    }

    /// What the stream carries; `None` before the source has said so.
    #[must_use]
    pub fn info(&self) -> Option<Arc<StreamInfo>> {
        self.inner.info.borrow().clone()
    }

    /// What passed through so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.broadcaster.stats()
    }

    /// What its source counts, in the run that is on or was last.
    #[must_use]
    pub fn source_stats(&self) -> SourceStats {
        *self.inner.source_stats.borrow()
    }

    /// How often its source was run again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        *self.inner.restarts.borrow()
    }

    /// The process that it runs in now; `None` when that is this one, and between two processes.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        *self.inner.pid.borrow()
    }

    /// Its viewers, in the order in which they joined.
    #[must_use]
    pub fn peers(&self) -> Arc<[PeerInfo]> {
        let peers = self.inner.peers.borrow().clone();
        let mut now = peers.to_vec();
        // Rights that were just changed are not listed anew yet.
        if self.inner.input.describe(&mut now) { now.into() } else { peers }
    }

    /// Its viewers, to watch. What they may do and who acts changes at most 10 times a second.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Arc<[PeerInfo]>> {
        self.inner.peers.clone()
    }

    /// How a viewer's connection does; `None` if there is no such viewer.
    #[must_use]
    pub fn peer_stats(&self, peer: PeerId) -> Option<PeerStats> {
        self.inner.doors.stats(peer)
    }

    /// Adds a viewer. Returns at once: the viewer connects, watches and leaves by itself.
    ///
    /// # Errors
    /// See [`AddPeerError`]; then nothing of the viewer is left, and its egress was dropped without being run.
    pub fn add_peer(&self, egress: impl Egress, config: PeerConfig) -> Result<PeerHandle, AddPeerError> {
        self.add_peer_as(PeerId::random(), Box::new(egress), config)
    }

    /// The same for a viewer that has its name already. No other viewer may have it.
    pub(crate) fn add_peer_as(
        &self,
        id: PeerId,
        egress: Box<dyn Egress>,
        config: PeerConfig,
    ) -> Result<PeerHandle, AddPeerError> {
        let PeerConfig { name, rights } = config;
        if matches!(*self.inner.state.borrow(), State::Ended(_)) {
            return Err(AddPeerError::Ended);
        }
        let (leave_tx, leave) = watch::channel(None);
        let (gone_tx, gone) = watch::channel(None);
        let (stats, watched) = watch::channel(PeerStats::default());
        let viewer = ViewerIo {
            id,
            media: self.inner.broadcaster.subscribe(),
            state: self.inner.state.clone(),
            info: self.inner.info.clone(),
            peers: self.inner.peers.clone(),
            leave,
            stats,
            input: self.inner.input.join(id, rights),
        };
        let join = Join { viewer, name, egress, leave: leave_tx.clone(), gone: gone_tx };
        self.inner.doors.insert(id, Door { leave: leave_tx.clone(), stats: watched.clone() });
        self.inner.joins.try_send(join).map_err(|error| {
            self.inner.doors.remove(id);
            match error {
                mpsc::error::TrySendError::Full(_) => AddPeerError::Busy,
                mpsc::error::TrySendError::Closed(_) => AddPeerError::Ended,
            }
        })?;
        Ok(PeerHandle::new(id, leave_tx, gone, watched))
    }

    /// The stream's frames, for code without a browser: recording, analysis. Starts at the next keyframe.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let subscription = self.inner.broadcaster.subscribe();
        subscription.start();
        subscription
    }

    /// Changes what a viewer may do, at once; what it holds and may not hold any more is let go. False if there is no such
    /// viewer.
    pub fn set_rights(&self, peer: PeerId, rights: Rights) -> bool {
        self.update_rights(peer, |_| rights).is_some()
    }

    /// The same by what the viewer may do so far, with nothing in between; gives what it may do now. `None` if there is no
    /// such viewer. `change` is called again if somebody else has changed them meanwhile.
    pub fn update_rights(&self, peer: PeerId, change: impl FnMut(Rights) -> Rights) -> Option<Rights> {
        self.inner.input.update_rights(peer, change)
    }

    /// Asks a viewer to leave, for this reason; the first reason counts. What it holds is let go at once, and it acts no more.
    /// False if there is no such viewer.
    pub fn kick(&self, peer: PeerId, reason: LeaveReason) -> bool {
        self.inner.doors.ask_to_leave(peer, reason)
    }

    /// How viewers share the host's input.
    #[must_use]
    pub fn input_mode(&self) -> InputMode {
        self.inner.input.mode()
    }

    /// Changes how viewers share the host's input, at once.
    pub fn set_input_mode(&self, mode: InputMode) {
        self.inner.input.set_mode(mode);
    }

    /// The same by what the mode is so far, with nothing in between; gives what it is now. `change` may call the streamer, but
    /// not change its mode: other changes wait for this one.
    ///
    /// # Errors
    /// What `change` refuses with; then the mode stays.
    pub fn update_input_mode<E>(
        &self,
        change: impl FnOnce(InputMode) -> Result<InputMode, E>,
    ) -> Result<InputMode, E> {
        self.inner.input.update_mode(change)
    }

    /// What its source does with input; `None` while it takes none.
    #[must_use]
    pub fn input_features(&self) -> Option<InputFeatures> {
        self.inner.input.features()
    }

    /// Whose turn it is, one at a time; `None` when nobody's, and in other modes.
    #[must_use]
    pub fn input_turn(&self) -> Option<PeerId> {
        self.inner.input.turn()
    }

    /// Wishes for a keyframe; coalesced and rate limited with the viewers' wishes.
    pub fn request_keyframe(&self) {
        self.inner.broadcaster.wish_keyframe();
    }

    /// Stops: viewers leave, the source ends, and when this returns nothing of the streamer is left but its last
    /// state. Takes up to 5 s when viewers or the source do not let go, 12 s with [`ExitPolicy::Quit`]. Again: waits for
    /// the same end, whose policy stands. Cancel safe: it stops all the same.
    pub async fn shutdown(&self, policy: ExitPolicy) {
        self.stop(policy, LeaveReason::StreamerDeleted).await;
    }

    /// Whether both are handles to one streamer; of two, one may have the name of the other.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) async fn stop(&self, policy: ExitPolicy, peers: LeaveReason) {
        self.begin_stop(policy, peers);
        self.inner.ended.cancelled().await;
    }

    /// From here on it stops. Whoever came first says how.
    pub(crate) fn begin_stop(&self, policy: ExitPolicy, peers: LeaveReason) {
        self.inner.exit.send_if_modified(|exit| {
            let first = !self.inner.stop.is_cancelled();
            if first {
                *exit = Exit { policy, peers };
                self.inner.stop.cancel();
            }
            first
        });
    }
}

impl fmt::Debug for Streamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamer").field("id", &self.inner.id).field("state", &self.state()).finish()
    }
}

/// Why a viewer was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddPeerError {
    /// The stream is over.
    #[error("the stream has ended")]
    Ended,
    /// More joins at once than the streamer can take; try again.
    #[error("too many viewers are joining at once")]
    Busy,
}
