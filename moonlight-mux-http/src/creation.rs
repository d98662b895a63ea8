//! Makes streamers, and keeps those that are persistent: they are tried again when they failed.

mod keeper;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::recipes::{Recipe, Recipes};

use self::keeper::Keeper;

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

/// Makes streamers in a registry. They are the registry's: a request that is dropped stops nothing.
#[derive(Debug)]
pub(crate) struct Creation {
    desk: Arc<Desk>,
    /// One task for each streamer that is being deleted: who asked for it may go.
    removals: Mutex<JoinSet<()>>,
}

/// Where it is decided which streamer has an id.
#[derive(Debug)]
struct Desk {
    registry: Registry,
    max_streamers: usize,
    recipes: Arc<Recipes>,
    /// Held while a streamer is counted, made and remembered.
    deciding: Mutex<()>,
    kept: Option<KeptStreamers>,
    /// One task for each persistent streamer that is not over. They end with the server.
    keepers: Mutex<JoinSet<()>>,
}

/// A streamer that was made, whose first verdict is awaited.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) streamer: Streamer,
    /// Of a persistent one.
    ticket: Option<Ticket>,
    /// Until it is dropped, its keeper waits.
    _verdict: oneshot::Sender<()>,
}

impl Creation {
    pub(crate) fn new(registry: Registry, max_streamers: usize, kept: Option<KeptStreamers>) -> Self {
        let desk = Desk {
            registry,
            max_streamers,
            recipes: Arc::default(),
            deciding: Mutex::default(),
            kept,
            keepers: Mutex::default(),
        };
        Self { desk: Arc::new(desk), removals: Mutex::default() }
    }

    /// Where persistent streamers are kept.
    pub(crate) fn kept(&self) -> Option<&KeptStreamers> {
        self.desk.kept.as_ref()
    }

    /// Makes a streamer; a persistent one if something of it shall be kept. What is kept is on the disk before anything is
    /// stopped or made for it. Cancel safe: it is made all the same.
    pub(crate) async fn create(
        &self,
        recipe: Recipe,
        mode: InputMode,
        keep: Option<Kept>,
        on_conflict: OnConflict,
    ) -> Result<Made, Problem> {
        let all = {
            let _deciding = self.desk.decide();
            // So that nothing is written for a request that is refused.
            self.desk.check_free(&recipe.id, on_conflict)?;
            if self.desk.registry.is_shut_down() {
                return Err(Problem::ShuttingDown);
            }
            self.desk.check_room(&recipe.id)?;
            match self.kept().filter(|all| keep.is_some() || all.contains(&recipe.id)) {
                Some(all) => all.clone(),
                None => return self.desk.make(recipe, mode, None, on_conflict),
            }
        };
        let (desk, id, draft) = (self.desk.clone(), recipe.id.clone(), keep.clone());
        let make = move || {
            let _deciding = desk.decide();
            desk.check_free(&recipe.id, on_conflict)?;
            desk.make(recipe, mode, keep, on_conflict)
        };
        all.change(id, draft, make).await?
    }

    /// Makes a streamer that has ended once more, as it was made, with the input mode that it had. A persistent one stays
    /// persistent.
    pub(crate) fn restart(&self, ended: &Streamer) -> Result<Streamer, Problem> {
        let desk = &self.desk;
        let _deciding = desk.decide();
        // Another call may have been faster.
        let current = desk.registry.get(ended.id()).ok_or(Problem::StreamerNotFound)?;
        if !current.is_same(ended) {
            return Err(desk.exists(&current));
        }
        let recipe = desk.recipes.of(ended).ok_or(Problem::NotRestartable)?;
        if !matches!(ended.state(), State::Ended(_)) {
            return Err(desk.exists(ended));
        }
        // What is on the disk stays as it is.
        let keep =
            desk.kept.as_ref().filter(|_| desk.is_persistent(ended)).and_then(|all| all.get(&recipe.id));
        Ok(desk.make(recipe, ended.input_mode(), keep, OnConflict::Refuse)?.streamer)
    }

    /// Starts a streamer that is kept, when the server starts. It is tried until it runs or is deleted.
    pub(crate) fn restore(&self, recipe: Recipe, mode: InputMode, ticket: Ticket) {
        let desk = &self.desk;
        let _deciding = desk.decide();
        match (recipe.make)(&desk.registry, config(mode), OnConflict::Refuse) {
            Ok(streamer) => {
                desk.recipes.insert(&desk.registry, &streamer, recipe.clone());
                desk.keep_trying(recipe, ticket, streamer, None);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(id = %recipe.id, error, "a persistent streamer was not started");
            }
        }
    }

    /// Waits until the stream runs, up to [`VERDICT`]. One that will never run leaves no entry.
    pub(crate) async fn until_verdict(&self, made: &Made) -> Result<(), Problem> {
        let verdict = self.verdict(&made.streamer).await;
        if verdict.is_err() {
            self.give_up(made).await;
        }
        verdict
    }

    /// Waits until the stream runs, up to [`VERDICT`], and tells why it never will.
    pub(crate) async fn verdict(&self, streamer: &Streamer) -> Result<(), Problem> {
        match time::timeout(VERDICT, streamer.wait_streaming()).await {
            Ok(Err(EndReason::Stopped)) if self.desk.registry.is_shut_down() => Err(Problem::ShuttingDown),
            Ok(Err(EndReason::Stopped)) => Err(Problem::StreamerStopped),
            Ok(Err(reason)) => Err(Problem::Failure(Failure::of_start(&reason))),
            // It streams, or goes on trying.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Removes the streamer that has this id now, from the disk first. False when there is none. Cancel safe: it goes all the same.
    pub(crate) async fn remove(&self, id: &StreamerId, policy: ExitPolicy) -> Result<bool, Problem> {
        let removal = Removal::new(self.desk.clone(), id.clone(), policy);
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
        if let Some(all) = self.kept().filter(|_| self.is_persistent(streamer)) {
            all.set_input_mode(streamer.id(), mode);
        }
    }

    /// Waits until what was noted of a streamer is on the disk.
    pub(crate) async fn until_noted(&self, streamer: &Streamer) -> Result<(), Problem> {
        match self.kept().filter(|_| self.is_persistent(streamer)) {
            Some(all) => Ok(all.write().await?),
            None => Ok(()),
        }
    }

    /// Whether it comes back after a restart of the server.
    pub(crate) fn is_persistent(&self, streamer: &Streamer) -> bool {
        self.desk.is_persistent(streamer)
    }

    /// A first start that came to nothing, unless the server goes down: then it is for the next start.
    async fn give_up(&self, made: &Made) {
        let Made { streamer, ticket, .. } = made;
        let forgotten = match (self.kept(), ticket) {
            (Some(all), Some(ticket)) if !self.desk.registry.is_shut_down() => {
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
        tokio::join!(forget, self.desk.registry.remove_if_same(streamer, ExitPolicy::LeaveRunning));
    }
}

impl Desk {
    fn decide(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a streamer may have this id. Who asks decides.
    fn check_free(&self, id: &StreamerId, on_conflict: OnConflict) -> Result<(), Problem> {
        let taken = self.registry.get(id).filter(|streamer| {
            let over = matches!(streamer.state(), State::Ended(_));
            on_conflict == OnConflict::Refuse && (!over || self.is_tried_again(streamer))
        });
        taken.map_or(Ok(()), |streamer| Err(self.exists(&streamer)))
    }

    /// Makes and remembers a streamer in the place of what was kept under its id. Who makes decides.
    fn make(
        &self,
        recipe: Recipe,
        mode: InputMode,
        keep: Option<Kept>,
        on_conflict: OnConflict,
    ) -> Result<Made, Problem> {
        let id = &recipe.id;
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
        self.recipes.insert(&self.registry, &streamer, recipe.clone());
        let ticket = self.kept.as_ref().and_then(|all| {
            all.remove(id);
            keep.map(|kept| all.insert(id.clone(), kept))
        });
        let (verdict, pending) = oneshot::channel();
        if let Some(ticket) = ticket {
            self.keep_trying(recipe, ticket, streamer.clone(), Some(pending));
        }
        Ok(Made { streamer, ticket, _verdict: verdict })
    }

    fn is_persistent(&self, streamer: &Streamer) -> bool {
        let kept = self.kept.as_ref().is_some_and(|all| all.contains(streamer.id()));
        kept && self.recipes.of(streamer).is_some()
    }

    /// Whether it has failed, and that is not the end of it.
    fn is_tried_again(&self, streamer: &Streamer) -> bool {
        has_failed(&streamer.state()) && self.is_persistent(streamer)
    }

    /// When all places are taken, the oldest streamer that has ended gives its own: it is only there to be read of. That one,
    /// if it takes one.
    fn check_room(&self, id: &StreamerId) -> Result<Option<Streamer>, Problem> {
        let streamers = self.registry.list();
        if streamers.len() < self.max_streamers || streamers.iter().any(|streamer| streamer.id() == id) {
            return Ok(None);
        }
        let over = streamers
            .into_iter()
            .filter(|streamer| matches!(streamer.state(), State::Ended(_)) && !self.is_persistent(streamer));
        let oldest = over.min_by_key(|streamer| streamer.created_at());
        oldest.map(Some).ok_or(Problem::Limit { what: "streamers", max: self.max_streamers })
    }

    fn make_room(&self, id: &StreamerId) -> Result<(), Problem> {
        if let Some(oldest) = self.check_room(id)? {
            // Its name is free at once. What is left of it goes by itself.
            let _ = self.registry.remove_if_same(&oldest, ExitPolicy::LeaveRunning).now_or_never();
        }
        Ok(())
    }

    fn exists(&self, streamer: &Streamer) -> Problem {
        Problem::StreamerExists(self.recipes.of(streamer).map(|recipe| recipe.target))
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
            Keeper { registry: self.registry.clone(), recipes: self.recipes.clone(), kept, recipe, ticket };
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
    desk: Arc<Desk>,
    id: StreamerId,
    streamer: Option<Streamer>,
    /// Of what is kept of it.
    ticket: Option<Ticket>,
    policy: ExitPolicy,
}

impl Removal {
    /// Of what has this id now.
    fn new(desk: Arc<Desk>, id: StreamerId, policy: ExitPolicy) -> Self {
        let (streamer, ticket) = {
            let _deciding = desk.decide();
            (desk.registry.get(&id), desk.kept.as_ref().and_then(|all| all.ticket(&id)))
        };
        Self { desk, id, streamer, ticket, policy }
    }

    async fn run(self) -> Result<bool, Problem> {
        let (desk, id, policy) = (self.desk.clone(), self.id.clone(), self.policy);
        // Who lost against a restart removes what that one made.
        Ok(self.once().await? || Self::new(desk, id, policy).once().await?)
    }

    /// False when it was another one's place by then.
    async fn once(self) -> Result<bool, Problem> {
        let Self { desk, id, mut streamer, ticket, policy } = self;
        let mut forgotten = false;
        if let (Some(all), Some(ticket)) = (&desk.kept, ticket) {
            let (desk, of) = (desk.clone(), id.clone());
            // Until it is off the disk it is what it was, and tried again.
            let forget = move || {
                let _deciding = desk.decide();
                let current = desk.kept.as_ref().is_some_and(|all| all.remove_if_current(&of, ticket));
                if current {
                    desk.recipes.forget(&of);
                }
                // Its keeper may have made a newer one meanwhile, and makes none any more.
                current.then(|| desk.registry.get(&of)).ok_or(DeclaredAnew)
            };
            if let Ok(current) = all.change(id.clone(), None, forget).await? {
                streamer = current;
                forgotten = true;
            }
        }
        let Some(streamer) = streamer else { return Ok(forgotten) };
        let mut removing = pin!(desk.registry.remove_if_same(&streamer, policy));
        // Its name is free at once, and nobody decides meanwhile.
        let begun = {
            let _deciding = desk.decide();
            removing.as_mut().now_or_never()
        };
        let removed = match begun {
            Some(removed) => removed,
            None => removing.await,
        };
        Ok(forgotten || removed)
    }
}

/// What was to be forgotten is another one's by now.
struct DeclaredAnew;

fn config(mode: InputMode) -> StreamerConfig {
    let mut config = StreamerConfig::default();
    config.input_mode = mode;
    config
}

/// Against everybody's wish.
fn has_failed(state: &State) -> bool {
    matches!(state, State::Ended(reason) if !matches!(reason, EndReason::Stopped | EndReason::ByHost))
}

/// Existing clients give up after 30 s; by then they have their answer.
const VERDICT: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests;
