//! One Moonlight session, any number of browsers, nobody needed.

mod broadcast;
mod egress;
mod keyframe;
mod lifecycle;
mod media;
mod peer;
mod registry;
mod signalling;
mod source;
mod streamer;
mod task;
mod webrtc;

pub use broadcast::{Broadcaster, Media, Stats, Subscription};
pub use egress::{Egress, ViewerIo};
pub use media::*;
pub use peer::{LeaveReason, PeerConfig, PeerHandle, PeerId, PeerInfo};
pub use registry::{CreateError, Registry};
pub use signalling::*;
pub use source::{Command, Ended, SourceError, SourceIo, Stage, VideoSource};
pub use streamer::*;
pub use webrtc::{BindError, WebRtc, WebRtcConfig};
