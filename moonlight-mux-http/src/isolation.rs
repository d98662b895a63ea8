//! Where a streamer that is created over HTTP runs.

use std::sync::Arc;

#[cfg(unix)]
use moonlight_mux::ProcessConfig;
use moonlight_mux::{CreateError, Registry, Streamer, StreamerConfig, StreamerId};

use crate::creation::OnConflict;
use crate::host_source::HostSource;
use crate::recipes::Make;

/// Where streamers run that are created over HTTP.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// In this process.
    #[default]
    InProcess,
    /// Each in a process of its own, which serves its viewers itself: one that crashes takes no other with it. The program
    /// calls [`run_child_if_asked`](moonlight_mux::run_child_if_asked) first thing in its `main`, or the configuration names
    /// one that does.
    #[cfg(unix)]
    Process(Box<ProcessConfig>),
}

impl Isolation {
    pub(crate) fn make(&self, id: StreamerId, source: HostSource) -> Arc<Make> {
        match self {
            Self::InProcess => Arc::new(move |registry, config, on_conflict| {
                in_process(registry, id.clone(), source.clone(), config, on_conflict)
            }),
            #[cfg(unix)]
            Self::Process(process) => {
                let process = process.clone();
                Arc::new(move |registry: &Registry, config, on_conflict| {
                    let (id, source, process) = (id.clone(), source.clone(), (*process).clone());
                    match on_conflict {
                        OnConflict::Refuse => registry.create_process(id, source, config, process),
                        OnConflict::Replace => registry.replace_process(id, source, config, process),
                    }
                })
            }
        }
    }
}

fn in_process(
    registry: &Registry,
    id: StreamerId,
    source: HostSource,
    config: StreamerConfig,
    on_conflict: OnConflict,
) -> Result<Streamer, CreateError> {
    match on_conflict {
        OnConflict::Refuse => registry.create(id, source, config),
        OnConflict::Replace => registry.replace(id, source, config),
    }
}
