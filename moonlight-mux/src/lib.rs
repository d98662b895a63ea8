//! One Moonlight session, any number of browsers, nobody needed.

mod broadcast;
mod egress;
#[allow(
    dead_code,
    reason = "until the driver stands, only recordings and tests use it, and only its receiving half"
)]
mod gamestream;
mod keyframe;
mod lifecycle;
mod media;
mod peer;
#[cfg(feature = "test-host")]
mod recording;
mod registry;
mod signalling;
mod source;
mod streamer;
mod task;
mod webrtc;

pub use broadcast::{Broadcaster, Media, Stats, Subscription};
pub use egress::{Egress, ViewerIo};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use gamestream::fuzzing;
pub use media::*;
pub use peer::{LeaveReason, PeerConfig, PeerHandle, PeerId, PeerInfo};
#[cfg(feature = "test-host")]
pub use recording::{PcapError, Recording, RecordingError};
pub use registry::{CreateError, Registry};
pub use signalling::*;
pub use source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
pub use streamer::*;
pub use webrtc::{BindError, WebRtc, WebRtcConfig};
