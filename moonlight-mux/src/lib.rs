//! One Moonlight session, any number of browsers, nobody needed.
//!
//! ```text
//! VideoSource ──▶ Streamer ──▶ Broadcaster ──▶ Egress, one per viewer ──▶ browser
//!             ◀── keyframe, at most one per 500 ms ◀── wishes of all viewers
//!             ◀── input: one user of the host ◀── what all viewers do
//! ```
//!
//! - A [`VideoSource`] is where frames come from: a Moonlight host ([`MoonlightSource`]), or anything of your own.
//! - [`Hosts`] keeps hosts, and the identities that are paired with them.
//! - A [`Streamer`] keeps one source alive, with or without viewers. A [`Registry`] owns streamers by name.
//! - A [`Broadcaster`] hands each frame to all viewers; whoever is behind skips to the next keyframe, alone.
//! - An [`Egress`] is one viewer's way out. [`WebRtc`] makes them, from any [`Signalling`] transport.
//! - Viewers act on the host, together or one at a time ([`InputMode`]), each as far as its [`Rights`] go, and let go whatever
//!   they held when they leave. A source asks for it with [`SourceIo::inputs`].
//! - A [`PeerHandle`] holds a viewer, tells when it is gone and why, and sends it away.
//! - What passes between processes (docs/ipc.md) implements serde's traits. Its form may change with each version.
//!
//! ```
//! use moonlight_mux::{ExitPolicy, Media, Registry, StreamerConfig};
//! # use moonlight_mux::*;
//! # struct MySource;
//! # #[async_trait::async_trait]
//! # impl VideoSource for MySource {
//! #     async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
//! #         io.video(VideoFrame { number: FrameNumber(0), timestamp: VideoTimestamp(0), keyframe: true,
//! #             host_latency: None, data: bytes::Bytes::from_static(&[0, 0, 1, 0x65]) });
//! #         while io.command().await.is_some() {}
//! #         Ok(Ended::Stopped)
//! #     }
//! # }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new();
//! let streamer = registry.create("desktop".parse()?, MySource, StreamerConfig::default())?;
//! streamer.wait_streaming().await?; // live from here on, with zero viewers
//!
//! let frames = streamer.subscribe(); // recording, analysis: no browser needed
//! # streamer.shutdown(ExitPolicy::LeaveRunning).await;
//! while let Some(media) = frames.recv().await {
//!     match media {
//!         Media::Video(frame) => println!("{} bytes", frame.data.len()),
//!         Media::Audio(_) => {}
//!         Media::Gap { lost } => println!("{lost} frames lost"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! All of it needs a tokio runtime. Nothing here opens a port but [`WebRtc::bind`].

mod broadcast;
mod egress;
#[cfg_attr(
    not(feature = "test-host"),
    allow(dead_code, reason = "formats are parsed and built; hosts' halves are the test host's")
)]
mod gamestream;
mod hosts;
mod input;
mod keyframe;
mod lifecycle;
mod media;
mod peer;
mod process;
#[cfg(feature = "test-host")]
mod recording;
mod registry;
mod signalling;
mod source;
mod state_dir;
mod streamer;
mod task;
#[cfg(feature = "test-host")]
mod test_host;
#[cfg(feature = "test-picture")]
mod test_picture;
mod text_form;
mod webrtc;

pub use broadcast::{Broadcaster, Media, Stats, Subscription};
#[doc(hidden)]
pub use egress::Relocated;
pub use egress::{Egress, ViewerIo};
pub use gamestream::address::{HostAddress, InvalidHostAddress};
pub use gamestream::host::{
    App, Host, HostCall, HostConfig, HostError, HostErrorCause, HostInfo, HostRight, MalformedAnswer,
    PairingMethod, PinEntry,
};
pub use gamestream::identity::{Identity, IdentityError, IdentityName, InvalidIdentityName};
pub use gamestream::pairing::certificate::{Certificate as HostCertificate, Unusable as UnusableCertificate};
pub use gamestream::pairing::{NoRandomness, NotAPin, Pin};
pub use gamestream::source::{
    AppSelector, Channels, ConnectionError, ConnectionErrorKind, InvalidConfig, MoonlightConfig,
    MoonlightSource,
};
pub use gamestream::wire::http::{AppId, NotAnAppId};
pub use gamestream::wire::wake::{MacAddress, NotAMacAddress};
pub use hosts::{HostId, HostOptions, HostRecord, Hosts, HostsError, Pairing};
pub use input::{
    Buttons, DeviceClass, GamepadButtons, GamepadFeedback, GamepadIndex, GamepadInfo, GamepadKind,
    GamepadSlot, GamepadState, GamepadTouch, HostFeedback, HostInput, InputEvent, InputFeatures, InputMode,
    InputStatus, Inputs, InvalidInputMode, KeyCode, KeySet, Locks, Modifiers, MouseButton, Pen, PenTool,
    Pointer, PointerPhase, Position, Rights, Sensor, SensorReading, Touch,
};
pub use media::*;
pub use peer::{
    InvalidPeerName, LeaveReason, MediaPath, PeerConfig, PeerHandle, PeerId, PeerInfo, PeerName, PeerStats,
};
pub use process::{Limits, ProcessCommand, ProcessConfig, SpawnableSource};
#[cfg(unix)]
pub use process::{ProcessError, ProcessExit, run_child_if_asked};
#[cfg(feature = "test-host")]
pub use recording::{
    Comparison, ControlProperty, Difference, PcapError, Recording, RecordingError, Replay, Replayed,
    RtspProperty, VideoProperty,
};
pub use registry::{CreateError, Registry};
pub use signalling::*;
pub use source::{Command, Ended, SourceError, SourceIo, SourceStats, Stage, VideoSource};
pub use state_dir::{Damaged, Loaded, StateDirectory, StateError};
pub use streamer::*;
#[cfg(feature = "test-host")]
pub use test_host::*;
#[cfg(feature = "test-picture")]
pub use test_picture::{InvalidPictureSize, PictureSize, TestPicture, TestPictureConfig, TestPictureError};
pub use webrtc::{BindError, TurnSecret, WebRtc, WebRtcConfig};

/// What the benches call. No public interface.
#[cfg(feature = "bench-support")]
#[doc(hidden)]
pub mod bench_support {
    pub use crate::gamestream::bench_support::*;
    pub use crate::input::bench_support::*;
    #[cfg(unix)]
    pub use crate::process::{Fault, run_faulty_child_if_asked};
    pub use crate::webrtc::bench_support::*;
}

/// What the fuzz targets call. No public interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

/// The README's example, as a test.
#[cfg(all(doctest, feature = "test-picture"))]
#[doc = include_str!("../../README.md")]
struct Readme;
