//! One Moonlight session, any number of browsers, nobody needed.

mod gamestream;
mod media;
mod source;
mod task;

pub use media::*;
pub use source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
