//! What streamers that were created here stream: who meets one in its way is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use moonlight_mux::{Registry, Streamer, StreamerId};
use serde::Serialize;

/// What a streamer streams, as its request said; `null` is what the request left to the server.
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

/// The targets of the streamers in a registry.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<HashMap<StreamerId, (SystemTime, Target)>>);

impl Targets {
    /// Remembers it for as long as the streamer is in the registry.
    pub(crate) fn insert(&self, registry: &Registry, streamer: &Streamer, target: Target) {
        let mut targets = self.lock();
        targets.insert(streamer.id().clone(), (streamer.created_at(), target));
        targets.retain(|id, _| registry.get(id).is_some());
    }

    /// None if it was not created here.
    pub(crate) fn of(&self, streamer: &Streamer) -> Option<Target> {
        let targets = self.lock();
        // Another one, of the same name, may have taken its place by other ways than these.
        let (created_at, target) = targets.get(streamer.id())?;
        (*created_at == streamer.created_at()).then(|| target.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamerId, (SystemTime, Target)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
