//! The task that owns a streamer's process.

use std::sync::Arc;

use super::{ProcessConfig, SpawnableSource};
use crate::lifecycle::{EndReason, State};
use crate::streamer::Ends;

pub(super) struct Supervisor {
    source: Arc<dyn SpawnableSource>,
    process: ProcessConfig,
    ends: Ends,
}

impl Supervisor {
    pub(super) fn new(source: Arc<dyn SpawnableSource>, process: ProcessConfig, ends: Ends) -> Self {
        Self { source, process, ends }
    }

    pub(super) async fn run(self) {
        self.ends.state.send_replace(State::Ended(EndReason::Stopped));
    }
}
