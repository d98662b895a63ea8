//! What a streamer's process takes of its machine, as far as it can see to that itself.

use rustix::process::{Resource, Rlimit, nice, setrlimit};

use crate::process::Limits;

/// Memory is the server's to look at. What the system does not agree to is said and left.
pub(super) fn apply(limits: &Limits) {
    if let Some(open_files) = limits.open_files {
        let limit = Rlimit { current: Some(open_files), maximum: Some(open_files) };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, open_files, "the number of open files cannot be limited");
        }
    }
    if limits.nice != 0
        && let Err(error) = nice(limits.nice)
    {
        tracing::warn!(%error, nice = limits.nice, "the priority cannot be changed");
    }
}
