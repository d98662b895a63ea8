//! How streamers that were created here are made, and what they stream.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use moonlight_mux::{CreateError, Registry, Streamer, StreamerConfig, StreamerId};
use serde::Serialize;

use crate::creation::OnConflict;

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

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe").field("id", &self.id).field("target", &self.target).finish_non_exhaustive()
    }
}

/// What a streamer streams, as its request said, for who meets one in its way; `null` is what the request left to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Target {
    pub(crate) host_id: u32,
    pub(crate) app_id: Option<u32>,
    /// Its title.
    pub(crate) app: Option<String>,
    pub(crate) client_unique_id: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: u32,
}

/// The recipes of the streamers in a registry.
#[derive(Debug, Default)]
pub(crate) struct Recipes(Mutex<HashMap<StreamerId, (SystemTime, Recipe)>>);

impl Recipes {
    /// Remembers it for as long as the streamer is in the registry. Nothing is done if another one has its place by now.
    pub(crate) fn insert(&self, registry: &Registry, streamer: &Streamer, recipe: Recipe) {
        let mut recipes = self.lock();
        if !registry.get(streamer.id()).is_some_and(|current| current.is_same(streamer)) {
            return;
        }
        recipes.insert(streamer.id().clone(), (streamer.created_at(), recipe));
        recipes.retain(|id, _| registry.get(id).is_some());
    }

    /// None if it was not created here.
    pub(crate) fn of(&self, streamer: &Streamer) -> Option<Recipe> {
        let recipes = self.lock();
        // Another one, of the same name, may have taken its place by other ways than these.
        let (created_at, recipe) = recipes.get(streamer.id())?;
        (*created_at == streamer.created_at()).then(|| recipe.clone())
    }

    /// Nobody makes it again.
    pub(crate) fn forget(&self, id: &StreamerId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamerId, (SystemTime, Recipe)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
