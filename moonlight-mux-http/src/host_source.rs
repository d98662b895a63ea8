//! A host of this server's as a source.

use std::pin::pin;

use async_trait::async_trait;
use moonlight_mux::{
    Ended, HostId, Hosts, HostsError, IdentityName, MoonlightConfig, SourceError, SourceIo, VideoSource,
};

/// Streams from a host. Whatever it takes to get there happens while it runs, so that a streamer is there, and has the
/// name, from the first moment: the identity is made, and the host is paired with if that needs nobody.
#[derive(Clone, Debug)]
pub(crate) struct HostSource {
    pub(crate) hosts: Hosts,
    pub(crate) host: HostId,
    pub(crate) identity: IdentityName,
    pub(crate) config: MoonlightConfig,
}

#[async_trait]
impl VideoSource for HostSource {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut making = pin!(self.hosts.source(self.host, &self.identity, self.config.clone()));
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                command = io.command() => if command.is_none() {
                    return Ok(Ended::Stopped);
                },
            }
        };
        made.map_err(failed)?.run(io).await
    }
}

fn failed(error: HostsError) -> SourceError {
    match error {
        HostsError::Host(error) if error.is_permanent() => SourceError::permanent(error),
        HostsError::Host(error) => SourceError::retryable(error),
        error => SourceError::permanent(error),
    }
}
