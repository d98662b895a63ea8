//! Streamers as supervised processes of their own: a host's session that crashes, hangs or grows takes nobody else with it.
//!
//! The process runs an ordinary [`Streamer`] and its own [`WebRtc`](crate::WebRtc); the handle here looks the same, and
//! behind it is a supervisor, which owns the process from its start until it is reaped (docs/ipc.md).

#[cfg(unix)]
mod child;
mod config;
#[cfg(unix)]
mod error;
pub(crate) mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(unix)]
pub(crate) mod link;
pub(crate) mod log_line;
#[cfg(unix)]
mod media;
pub(crate) mod media_frames;
#[cfg(unix)]
mod memory;
pub(crate) mod message;
#[cfg(unix)]
mod ports;
#[cfg(unix)]
mod spawn;
mod supervision;
#[cfg(unix)]
mod supervisor;
#[cfg(unix)]
mod viewer;

use std::sync::Arc;

use async_trait::async_trait;

#[cfg(unix)]
pub use self::child::run_child_if_asked;
#[cfg(all(unix, feature = "bench-support"))]
pub use self::child::{Fault, run_faulty_child_if_asked};
pub use self::config::{Limits, ProcessCommand, ProcessConfig};
#[cfg(unix)]
pub use self::error::{ProcessError, ProcessExit};
#[cfg(unix)]
use self::supervisor::Supervisor;
use crate::gamestream::source::MoonlightSource;
use crate::source::SourceError;
#[cfg(unix)]
use crate::streamer::{Streamer, StreamerConfig, StreamerId};

/// A source that a process of its own can run: a Moonlight host.
#[async_trait]
pub trait SpawnableSource: Send + Sync + 'static {
    /// What the next process shall run. Called here before each process is started: pairing, identities and files stay in
    /// this process. Dropped when the streamer is stopped meanwhile.
    ///
    /// # Errors
    /// Whatever stands in the way; [`SourceError::is_permanent`] says whether to try again, once the stream has had pictures.
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError>;
}

#[async_trait]
impl SpawnableSource for MoonlightSource {
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
        Ok(self.clone())
    }
}

#[async_trait]
impl<S: SpawnableSource + ?Sized> SpawnableSource for Arc<S> {
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
        (**self).moonlight().await
    }
}

#[cfg(unix)]
impl Streamer {
    /// Like [`start`](Self::start), in a process of its own, which this one supervises: it is started again when it crashes,
    /// hangs, or takes more than its [`Limits`], as [`StreamerConfig::restart`] and [`StreamerConfig::backoff`] say, and is
    /// gone when the streamer is. Viewers stay meanwhile: pages connect anew to the next process by themselves.
    ///
    /// WebRTC viewers ([`WebRtc::peer`](crate::WebRtc::peer)) are served by the process itself; any other egress is served
    /// here with frames that the process hands over, and its viewer has no input.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "dropping the last handle stops the streamer"]
    pub fn spawn_process(
        id: StreamerId,
        source: impl SpawnableSource,
        config: StreamerConfig,
        process: ProcessConfig,
    ) -> Self {
        Self::kept_by(id, config, supervisor::tell_created, |ends| {
            Supervisor::new(Arc::new(source), process, ends).run()
        })
    }
}
