//! Streamers in processes of their own: what parent and child tell each other (docs/ipc.md).

pub(crate) mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod log_line;
pub(crate) mod media_frames;
pub(crate) mod message;

use serde::{Deserialize, Serialize};

/// What the process of a streamer may use of its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Resident memory in bytes: a process that has more is killed, and started again. Default: as much as there is.
    pub memory: Option<u64>,
    /// Open files and sockets. Default: as many as the parent may have.
    pub open_files: Option<u64>,
    /// How much it yields to others, 0 to 19. Default 0.
    pub nice: i32,
}
