//! One Moonlight session, any number of browsers, nobody needed.

mod broadcast;
mod keyframe;
mod lifecycle;
mod media;
mod source;
mod task;

pub use broadcast::{Broadcaster, Media, Stats, Subscription};
pub use lifecycle::{EndReason, State};
pub use media::*;
pub use source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
