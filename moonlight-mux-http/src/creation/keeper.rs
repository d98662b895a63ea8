//! Tries a persistent streamer again.

use std::sync::Arc;
use std::time::Duration;

use moonlight_mux::{EndReason, InputMode, Registry, State, Streamer};
use tokio::time;

use super::{OnConflict, config, has_failed};
use crate::kept::{KeptStreamers, Ticket};
use crate::recipes::{Recipe, Recipes};

/// Tries one persistent streamer again whenever it has failed, until it is forgotten, or over otherwise.
pub(super) struct Keeper {
    pub(super) registry: Registry,
    pub(super) recipes: Arc<Recipes>,
    pub(super) kept: KeptStreamers,
    pub(super) recipe: Recipe,
    pub(super) ticket: Ticket,
}

impl Keeper {
    pub(super) async fn run(self, mut streamer: Streamer) {
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

    /// None if the streamer was forgotten or declared anew, its id is another one's, or the server is shutting down.
    fn again(&self) -> Option<Streamer> {
        let Self { registry, recipes, kept, recipe, ticket } = self;
        let made = kept.while_current(&recipe.id, *ticket, |kept| {
            // It was understood when it was kept.
            let mode = kept.understood().map_or_else(|_| InputMode::default(), |(_, mode)| mode);
            (recipe.make)(registry, config(mode), OnConflict::Refuse)
        });
        let streamer = made?.ok()?;
        recipes.insert(registry, &streamer, recipe.clone());
        Some(streamer)
    }
}

pub(super) async fn end_of(streamer: &Streamer) -> State {
    let mut state = streamer.watch_state();
    let ended = state.wait_for(|state| matches!(state, State::Ended(_))).await;
    ended.map_or(State::Ended(EndReason::Stopped), |state| state.clone())
}

/// Another try would most probably meet it again.
fn is_permanent(state: &State) -> bool {
    matches!(state, State::Ended(EndReason::Failed(error)) if error.is_permanent())
}

/// From a persistent streamer's failure to the next try; each further one in a row is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// A host that comes back is found within a minute. A stream that went on for so long has begun well.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
