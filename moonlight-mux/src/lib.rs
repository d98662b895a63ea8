//! One Moonlight session, any number of browsers, nobody needed.

#[allow(
    dead_code,
    reason = "until the driver stands, only recordings and tests use it, and only its receiving half"
)]
mod gamestream;
mod media;
#[cfg(feature = "test-host")]
mod recording;
mod source;
mod task;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use gamestream::fuzzing;
pub use media::*;
#[cfg(feature = "test-host")]
pub use recording::{PcapError, Recording, RecordingError};
pub use source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
