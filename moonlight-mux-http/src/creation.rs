//! Makes streamers, and keeps those that are persistent: they are tried again when they failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use moonlight_mux::{
    CreateError, EndReason, ExitPolicy, InputMode, Registry, State, Streamer, StreamerConfig, StreamerId,
};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time;

use crate::failure::Failure;
use crate::kept::{Kept, KeptStreamers, Ticket};
use crate::problem::Problem;
use crate::target::{Target, Targets};

/// What becomes of a running streamer with the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnConflict {
    /// It stays, and the request is refused.
    #[default]
    Refuse,
    /// It is stopped first.
    Replace,
}

/// How a streamer is made, as often as it takes.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) id: StreamerId,
    pub(crate) target: Target,
    pub(crate) make: Arc<Make>,
}

/// Asks the registry for the streamer, with this configuration.
pub(crate) type Make =
    dyn Fn(&Registry, StreamerConfig, OnConflict) -> Result<Streamer, CreateError> + Send + Sync;

/// Makes streamers in a registry. They are the registry's: a request that is dropped stops nothing.
#[derive(Debug)]
pub(crate) struct Creation {
    registry: Registry,
    max_streamers: usize,
    targets: Arc<Targets>,
    /// Held while a streamer is counted, made and remembered.
    deciding: Arc<Mutex<()>>,
    kept: Option<KeptStreamers>,
    /// One task for each persistent streamer that is not over. They end with the server.
    keepers: Mutex<JoinSet<()>>,
    /// One task for each streamer that is being deleted: who asked for it may go.
    removals: Mutex<JoinSet<()>>,
    /// Held while a persistent one is taken from the disk: one at a time is.
    forgetting: Arc<tokio::sync::Mutex<()>>,
}

/// A streamer that was made, whose first verdict is awaited.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) streamer: Streamer,
    /// Of a persistent one.
    ticket: Option<Ticket>,
    /// Whether another streamer is kept now, or one less.
    unwritten: bool,
    /// Until it is dropped, its keeper waits.
    _verdict: oneshot::Sender<()>,
}

impl Creation {
    pub(crate) fn new(registry: Registry, max_streamers: usize, kept: Option<KeptStreamers>) -> Self {
        Self {
            registry,
            max_streamers,
            targets: Arc::default(),
            deciding: Arc::default(),
            kept,
            keepers: Mutex::default(),
            removals: Mutex::default(),
            forgetting: Arc::default(),
        }
    }

    /// Where persistent streamers are kept.
    pub(crate) fn kept(&self) -> Option<&KeptStreamers> {
        self.kept.as_ref()
    }

    /// Asks the disk, before anything is stopped for it, whether it would take a streamer that is persistent, or one in the place
    /// of a persistent one.
    pub(crate) async fn can_keep(&self, id: &StreamerId, persistent: bool) -> Result<(), Problem> {
        match self.kept.as_ref().filter(|all| persistent || all.contains(id)) {
            Some(all) => Ok(all.write().await?),
            None => Ok(()),
        }
    }

    /// Makes a streamer; a persistent one if something of it shall be kept. [`until_kept`](Self::until_kept) comes next.
    pub(crate) fn start(
        &self,
        recipe: Recipe,
        mode: InputMode,
        keep: Option<Kept>,
        on_conflict: OnConflict,
    ) -> Result<Made, Problem> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let id = &recipe.id;
        if on_conflict == OnConflict::Refuse
            && let Some(streamer) = self.registry.get(id).filter(|streamer| self.is_tried_again(streamer))
        {
            return Err(self.exists(&streamer));
        }
        self.make_room(id)?;
        let streamer = match (recipe.make)(&self.registry, config(mode), on_conflict) {
            Ok(streamer) => streamer,
            Err(CreateError::Exists { .. }) => {
                let taken = self.registry.get(id);
                return Err(taken.map_or(Problem::StreamerExists(None), |taken| self.exists(&taken)));
            }
            // `ShutDown`, and reasons that the library learns before this server does.
            Err(_) => return Err(Problem::ShuttingDown),
        };
        self.targets.insert(&self.registry, &streamer, recipe.target.clone());
        let (verdict, pending) = oneshot::channel();
        let (mut ticket, mut unwritten) = (None, false);
        if let Some(all) = &self.kept {
            unwritten = all.remove(id).is_some() || keep.is_some();
            ticket = keep.map(|kept| all.insert(id.clone(), kept));
        }
        if let Some(ticket) = ticket {
            self.keep_trying(recipe, ticket, streamer.clone(), Some(pending));
        }
        Ok(Made { streamer, ticket, unwritten, _verdict: verdict })
    }

    /// Starts a streamer that is kept, when the server starts. It is tried until it runs or is deleted.
    pub(crate) fn restore(&self, recipe: Recipe, mode: InputMode, ticket: Ticket) {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        match (recipe.make)(&self.registry, config(mode), OnConflict::Refuse) {
            Ok(streamer) => {
                self.targets.insert(&self.registry, &streamer, recipe.target.clone());
                self.keep_trying(recipe, ticket, streamer, None);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(id = %recipe.id, error, "a persistent streamer was not started");
            }
        }
    }

    /// Waits until a new streamer, or that there is one less, is on the disk. If it cannot be, the streamer goes.
    pub(crate) async fn until_kept(&self, made: &Made) -> Result<(), Problem> {
        let Some(all) = self.kept.as_ref().filter(|_| made.unwritten) else { return Ok(()) };
        let Err(error) = all.write().await else { return Ok(()) };
        self.give_up(made).await;
        Err(error.into())
    }

    /// Waits until the stream runs, up to [`VERDICT`]. One that will never run leaves no entry.
    pub(crate) async fn until_verdict(&self, made: &Made) -> Result<(), Problem> {
        match time::timeout(VERDICT, made.streamer.wait_streaming()).await {
            Ok(Err(reason)) => {
                self.give_up(made).await;
                Err(match &reason {
                    EndReason::Stopped if self.registry.is_shut_down() => Problem::ShuttingDown,
                    EndReason::Stopped => Problem::StreamerStopped,
                    reason => Problem::Failure(Failure::of_start(reason)),
                })
            }
            // It streams, or goes on trying.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Removes the streamer that has this id now, from the disk first. False when there is none. Cancel safe: it goes all the same.
    pub(crate) async fn remove(&self, id: &StreamerId, policy: ExitPolicy) -> Result<bool, Problem> {
        let removal = {
            let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = self.kept.as_ref().and_then(|all| all.ticket(id).map(|ticket| (all.clone(), ticket)));
            Removal {
                registry: self.registry.clone(),
                deciding: self.deciding.clone(),
                forgetting: self.forgetting.clone(),
                streamer: self.registry.get(id),
                id: id.clone(),
                kept,
                policy,
            }
        };
        let (removed, was_removed) = oneshot::channel();
        {
            let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
            while removals.try_join_next().is_some() {}
            removals.spawn(async move {
                // Who asked may have gone.
                let _ = removed.send(removal.run().await);
            });
        }
        // Without a word the runtime goes down.
        was_removed.await.unwrap_or(Err(Problem::ShuttingDown))
    }

    /// Notes another input mode of a persistent streamer; [`until_noted`](Self::until_noted) comes next.
    pub(crate) fn note_input_mode(&self, streamer: &Streamer, mode: InputMode) {
        if let Some(all) = self.kept.as_ref().filter(|_| self.is_persistent(streamer)) {
            all.set_input_mode(streamer.id(), mode);
        }
    }

    /// Waits until what was noted of a streamer is on the disk.
    pub(crate) async fn until_noted(&self, streamer: &Streamer) -> Result<(), Problem> {
        match self.kept.as_ref().filter(|_| self.is_persistent(streamer)) {
            Some(all) => Ok(all.write().await?),
            None => Ok(()),
        }
    }

    /// Whether it comes back after a restart of the server.
    pub(crate) fn is_persistent(&self, streamer: &Streamer) -> bool {
        let kept = self.kept.as_ref().is_some_and(|all| all.contains(streamer.id()));
        kept && self.targets.of(streamer).is_some()
    }

    /// Whether it has failed, and that is not the end of it.
    pub(crate) fn is_tried_again(&self, streamer: &Streamer) -> bool {
        has_failed(&streamer.state()) && self.is_persistent(streamer)
    }

    /// A first start that came to nothing, unless the server goes down: then it is for the next start.
    async fn give_up(&self, made: &Made) {
        let Made { streamer, ticket, .. } = made;
        let forgotten = match (&self.kept, ticket) {
            (Some(all), Some(ticket)) if !self.registry.is_shut_down() => {
                all.remove_if_current(streamer.id(), *ticket).then_some(all)
            }
            _ => None,
        };
        let forget = async {
            let Some(all) = forgotten else { return };
            if let Err(error) = all.write().await {
                tracing::error!(error = &error as &dyn std::error::Error, "a streamer cannot be forgotten");
            }
        };
        // Both begin at once, whatever becomes of who waits here: an end can take its time.
        tokio::join!(forget, self.registry.remove_if_same(streamer, ExitPolicy::LeaveRunning));
    }

    /// When all places are taken, the oldest streamer that has ended gives its own: it is only there to be read of.
    fn make_room(&self, id: &StreamerId) -> Result<(), Problem> {
        let streamers = self.registry.list();
        if streamers.len() < self.max_streamers || streamers.iter().any(|streamer| streamer.id() == id) {
            return Ok(());
        }
        let over = streamers
            .iter()
            .filter(|streamer| matches!(streamer.state(), State::Ended(_)) && !self.is_persistent(streamer));
        let oldest = over.min_by_key(|streamer| streamer.created_at());
        let oldest = oldest.ok_or(Problem::Limit { what: "streamers", max: self.max_streamers })?;
        // Its name is free at once. What is left of it goes by itself.
        let _ = self.registry.remove_if_same(oldest, ExitPolicy::LeaveRunning).now_or_never();
        Ok(())
    }

    fn exists(&self, streamer: &Streamer) -> Problem {
        Problem::StreamerExists(self.targets.of(streamer))
    }

    fn keep_trying(
        &self,
        recipe: Recipe,
        ticket: Ticket,
        streamer: Streamer,
        pending: Option<oneshot::Receiver<()>>,
    ) {
        let Some(kept) = self.kept.clone() else { return };
        let keeper =
            Keeper { registry: self.registry.clone(), targets: self.targets.clone(), kept, recipe, ticket };
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        while keepers.try_join_next().is_some() {}
        keepers.spawn(async move {
            if let Some(pending) = pending {
                // Its end is all that it tells.
                let _ = pending.await;
            }
            keeper.run(streamer).await;
        });
    }
}

/// Takes one streamer away.
struct Removal {
    registry: Registry,
    deciding: Arc<Mutex<()>>,
    forgetting: Arc<tokio::sync::Mutex<()>>,
    id: StreamerId,
    streamer: Option<Streamer>,
    /// What is kept of it.
    kept: Option<(KeptStreamers, Ticket)>,
    policy: ExitPolicy,
}

impl Removal {
    async fn run(self) -> Result<bool, Problem> {
        let Self { registry, deciding, forgetting, id, mut streamer, kept, policy } = self;
        let mut forgotten = false;
        if let Some((all, ticket)) = kept {
            let _forgetting = forgetting.lock().await;
            // Until it is off the disk it is what it was, and tried again.
            all.leave(Some(ticket));
            let written = all.write().await;
            let _deciding = deciding.lock().unwrap_or_else(PoisonError::into_inner);
            all.leave(None);
            written?;
            forgotten = all.remove_if_current(&id, ticket);
            if forgotten {
                // Its keeper may have made a newer one meanwhile, and makes none any more.
                streamer = registry.get(&id);
            }
        }
        let removed = match streamer {
            Some(streamer) => registry.remove_if_same(&streamer, policy).await,
            None => false,
        };
        Ok(forgotten || removed)
    }
}

/// Tries one persistent streamer again whenever it has failed, until it is forgotten, or over otherwise.
struct Keeper {
    registry: Registry,
    targets: Arc<Targets>,
    kept: KeptStreamers,
    recipe: Recipe,
    ticket: Ticket,
}

impl Keeper {
    async fn run(self, mut streamer: Streamer) {
        let mut wait = FIRST_WAIT;
        loop {
            let began_well = streamer.wait_streaming().await.is_ok()
                && time::timeout(LONGEST_WAIT, end_of(&streamer)).await.is_err();
            let end = end_of(&streamer).await;
            if !has_failed(&end) {
                return;
            }
            if is_permanent(&end) {
                wait = LONGEST_WAIT;
            } else if began_well {
                wait = FIRST_WAIT;
            }
            tracing::info!(id = %self.recipe.id, ?wait, "a persistent streamer failed, and is tried again");
            drop(streamer);
            time::sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
            match self.again() {
                Some(next) => streamer = next,
                None => return,
            }
        }
    }

    /// None if the streamer was forgotten, its id is another one's, or the server is shutting down.
    fn again(&self) -> Option<Streamer> {
        let Self { registry, targets, kept, recipe, ticket } = self;
        let made = kept.while_current(&recipe.id, *ticket, |kept| {
            // It was understood when it was kept.
            let mode = kept.understood().map_or_else(|_| InputMode::default(), |(_, mode)| mode);
            (recipe.make)(registry, config(mode), OnConflict::Refuse)
        });
        let streamer = made?.ok()?;
        targets.insert(registry, &streamer, recipe.target.clone());
        Some(streamer)
    }
}

fn config(mode: InputMode) -> StreamerConfig {
    let mut config = StreamerConfig::default();
    config.input_mode = mode;
    config
}

async fn end_of(streamer: &Streamer) -> State {
    let mut state = streamer.watch_state();
    let ended = state.wait_for(|state| matches!(state, State::Ended(_))).await;
    ended.map_or(State::Ended(EndReason::Stopped), |state| state.clone())
}

/// Against everybody's wish.
fn has_failed(state: &State) -> bool {
    matches!(state, State::Ended(reason) if !matches!(reason, EndReason::Stopped | EndReason::ByHost))
}

/// Another try would most probably meet it again.
fn is_permanent(state: &State) -> bool {
    matches!(state, State::Ended(EndReason::Failed(error)) if error.is_permanent())
}

/// Existing clients give up after 30 s; by then they have their answer.
const VERDICT: Duration = Duration::from_secs(25);
/// From a persistent streamer's failure to the next try; each further one in a row is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// A host that comes back is found within a minute. A stream that went on for so long has begun well.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
