//! All streamers of a process, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;

#[cfg(unix)]
use crate::gamestream::source::MoonlightSource;
use crate::peer::LeaveReason;
#[cfg(unix)]
use crate::process::{ProcessConfig, SpawnableSource};
use crate::source::{Ended, SourceError, SourceIo, VideoSource};
use crate::streamer::{ExitPolicy, State, Streamer, StreamerConfig, StreamerId};
use crate::task::TaskSet;

/// Owns streamers. Clones are handles to the same registry; dropping the last one stops them.
#[derive(Clone, Default)]
pub struct Registry {
    streamers: Arc<Mutex<Streamers>>,
}

#[derive(Default)]
struct Streamers {
    by_id: BTreeMap<StreamerId, Streamer>,
    /// What those wait for that have replaced others: who replaces one of them waits for that too.
    predecessors: BTreeMap<StreamerId, Arc<Predecessor>>,
    shut_down: bool,
}

impl Registry {
    /// A registry without streamers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a streamer. Decided atomically: of many calls with one id, one succeeds. One with this name that has ended
    /// gives way.
    ///
    /// # Errors
    /// See [`CreateError`]; then `source` was not run.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn create(
        &self,
        id: StreamerId,
        source: impl VideoSource,
        config: StreamerConfig,
    ) -> Result<Streamer, CreateError> {
        self.create_by(id, |id| Streamer::start(id, source, config))
    }

    /// As [`create`](Self::create), in a process of its own ([`Streamer::spawn_process`]).
    ///
    /// # Errors
    /// See [`CreateError`]; then no process was started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub fn create_process(
        &self,
        id: StreamerId,
        source: impl SpawnableSource,
        config: StreamerConfig,
        process: ProcessConfig,
    ) -> Result<Streamer, CreateError> {
        self.create_by(id, |id| Streamer::spawn_process(id, source, config, process))
    }

    fn create_by(
        &self,
        id: StreamerId,
        start: impl FnOnce(StreamerId) -> Streamer,
    ) -> Result<Streamer, CreateError> {
        let mut streamers = self.lock_open()?;
        if let Some(streamer) = streamers.by_id.get(&id)
            && !matches!(streamer.state(), State::Ended(_))
        {
            return Err(CreateError::Exists { id });
        }
        Ok(streamers.insert(id, start))
    }

    /// As [`create`](Self::create), and one with this name that runs gives way too: it is stopped as
    /// [`remove`](Self::remove) does, leaving its app running, and `source` is not run before nothing of it is left.
    ///
    /// # Errors
    /// [`CreateError::ShutDown`]; then `source` was not run.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn replace(
        &self,
        id: StreamerId,
        source: impl VideoSource,
        config: StreamerConfig,
    ) -> Result<Streamer, CreateError> {
        self.replace_by(id, |id, predecessor| Streamer::start(id, Successor { predecessor, source }, config))
    }

    /// As [`replace`](Self::replace), in a process of its own ([`Streamer::spawn_process`]), which is not started before
    /// nothing is left of the streamer that gave way. Either may be of either kind.
    ///
    /// # Errors
    /// [`CreateError::ShutDown`]; then no process was started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub fn replace_process(
        &self,
        id: StreamerId,
        source: impl SpawnableSource,
        config: StreamerConfig,
        process: ProcessConfig,
    ) -> Result<Streamer, CreateError> {
        self.replace_by(id, |id, predecessor| {
            Streamer::spawn_process(id, Successor { predecessor, source }, config, process)
        })
    }

    fn replace_by(
        &self,
        id: StreamerId,
        start: impl FnOnce(StreamerId, Arc<Predecessor>) -> Streamer,
    ) -> Result<Streamer, CreateError> {
        let mut streamers = self.lock_open()?;
        let streamer = streamers.by_id.remove(&id);
        let before = streamers.predecessors.remove(&id);
        // At once, so that it ends though nobody comes to wait for it.
        if let Some(streamer) = &streamer {
            streamer.begin_stop(ExitPolicy::LeaveRunning, LeaveReason::StreamerDeleted);
        }
        let predecessor =
            Arc::new(Predecessor { streamer: AsyncMutex::new(streamer), before: AsyncMutex::new(before) });
        let created = streamers.insert(id.clone(), |id| start(id, predecessor.clone()));
        streamers.predecessors.insert(id, predecessor);
        Ok(created)
    }

    /// The streamer with this name. One that has ended stays until it is removed or its name is used again, so that its
    /// reason can be read.
    #[must_use]
    pub fn get(&self, id: &StreamerId) -> Option<Streamer> {
        self.lock().by_id.get(id).cloned()
    }

    /// All streamers, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Streamer> {
        self.lock().by_id.values().cloned().collect()
    }

    /// Takes a streamer out and stops it; when this returns, nothing of it is left, nor of those that it has replaced. False
    /// when there is none.
    ///
    /// The name is free at once. Cancel safe: the streamer stops all the same.
    pub async fn remove(&self, id: &StreamerId, policy: ExitPolicy) -> bool {
        let removed = self.lock().remove(id);
        match removed {
            Some(removed) => {
                removed.stop(policy, LeaveReason::StreamerDeleted).await;
                true
            }
            None => false,
        }
    }

    /// As [`remove`](Self::remove), if that name still means this very streamer: for who created one and found that it
    /// failed. False, and nothing is done, when it was removed or replaced meanwhile.
    pub async fn remove_if_same(&self, streamer: &Streamer, policy: ExitPolicy) -> bool {
        let removed = {
            let mut streamers = self.lock();
            let is_same = streamers.by_id.get(streamer.id()).is_some_and(|known| known.is_same(streamer));
            is_same.then(|| streamers.remove(streamer.id())).flatten()
        };
        match removed {
            Some(removed) => {
                removed.stop(policy, LeaveReason::StreamerDeleted).await;
                true
            }
            None => false,
        }
    }

    /// Stops all streamers, leaving the apps on their hosts running, and takes no new ones. Viewers are told that the
    /// server shuts down. Not cancel safe: streamers that have not been reached go on.
    pub async fn shutdown(&self) {
        let streamers = {
            let mut streamers = self.lock();
            streamers.shut_down = true;
            let ids = streamers.by_id.keys();
            ids.filter_map(|id| streamers.held(id)).collect::<Vec<_>>()
        };
        let mut stopping = TaskSet::new();
        for held in streamers {
            stopping
                .spawn(async move { held.stop(ExitPolicy::LeaveRunning, LeaveReason::ServerShutdown).await });
        }
        while stopping.join_next().await.is_some() {}
    }

    /// Whether [`shutdown`](Self::shutdown) was called: then there will be no new streamers.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.lock().shut_down
    }

    /// As long as there may be new streamers.
    fn lock_open(&self) -> Result<MutexGuard<'_, Streamers>, CreateError> {
        let streamers = self.lock();
        if streamers.shut_down { Err(CreateError::ShutDown) } else { Ok(streamers) }
    }

    fn lock(&self) -> MutexGuard<'_, Streamers> {
        self.streamers.lock().expect("no holder of this lock panics")
    }
}

impl Streamers {
    fn insert(&mut self, id: StreamerId, start: impl FnOnce(StreamerId) -> Streamer) -> Streamer {
        let streamer = start(id.clone());
        self.predecessors.remove(&id);
        self.by_id.insert(id, streamer.clone());
        streamer
    }

    fn remove(&mut self, id: &StreamerId) -> Option<Held> {
        let held = self.held(id);
        self.by_id.remove(id);
        self.predecessors.remove(id);
        held
    }

    fn held(&self, id: &StreamerId) -> Option<Held> {
        let streamer = self.by_id.get(id)?.clone();
        Some(Held { streamer, predecessor: self.predecessors.get(id).cloned() })
    }
}

/// A streamer, and those that may not have ended yet for which it has waited.
struct Held {
    streamer: Streamer,
    predecessor: Option<Arc<Predecessor>>,
}

impl Held {
    /// Stops it, and waits until nothing of them is left. Cancel safe: all stop all the same.
    async fn stop(self, policy: ExitPolicy, peers: LeaveReason) {
        self.streamer.stop(policy, peers).await;
        if let Some(predecessor) = self.predecessor {
            predecessor.gone().await;
        }
    }
}

/// A source that begins when a streamer has stopped.
struct Successor<S> {
    predecessor: Arc<Predecessor>,
    source: S,
}

/// A streamer that gives way and was told to, until it has, and what it waited for itself: it is called away from that.
struct Predecessor {
    streamer: AsyncMutex<Option<Streamer>>,
    before: AsyncMutex<Option<Arc<Predecessor>>>,
}

impl Predecessor {
    /// Waits until nothing of them is left. Cancel safe.
    async fn gone(&self) {
        let mut predecessor = self.streamer.lock().await;
        if let Some(streamer) = &*predecessor {
            streamer.shutdown(ExitPolicy::LeaveRunning).await;
        }
        *predecessor = None;
        drop(predecessor);
        let mut before = self.before.lock().await;
        if let Some(before) = &*before {
            Box::pin(before.gone()).await;
        }
        *before = None;
    }
}

#[async_trait]
impl<S: VideoSource> VideoSource for Successor<S> {
    async fn run(&self, io: SourceIo) -> Result<Ended, SourceError> {
        self.predecessor.gone().await;
        self.source.run(io).await
    }
}

#[cfg(unix)]
#[async_trait]
impl<S: SpawnableSource> SpawnableSource for Successor<S> {
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
        self.predecessor.gone().await;
        self.source.moonlight().await
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list().iter().map(Streamer::id)).finish()
    }
}

/// Why a streamer was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one with this name.
    #[error("a streamer named {id} exists already")]
    Exists {
        /// The name.
        id: StreamerId,
    },
    /// The registry was shut down.
    #[error("the server is shutting down")]
    ShutDown,
}
