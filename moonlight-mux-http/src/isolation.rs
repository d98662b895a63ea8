//! Where a streamer that is created over HTTP runs.

use std::sync::Arc;

use moonlight_mux::StreamerId;

use crate::creation::{Make, OnConflict};
use crate::host_source::HostSource;

/// Where streamers run that are created over HTTP.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// In this process.
    #[default]
    InProcess,
}

impl Isolation {
    pub(crate) fn make(&self, id: StreamerId, source: HostSource) -> Arc<Make> {
        match self {
            Self::InProcess => Arc::new(move |registry, config, on_conflict| match on_conflict {
                OnConflict::Refuse => registry.create(id.clone(), source.clone(), config),
                OnConflict::Replace => registry.replace(id.clone(), source.clone(), config),
            }),
        }
    }
}
