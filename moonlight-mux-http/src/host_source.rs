//! A host of this server's as a source.

use std::pin::pin;

use async_trait::async_trait;
use moonlight_mux::{
    Ended, HostAddress, HostId, Hosts, HostsError, IdentityName, MoonlightConfig, MoonlightSource,
    SourceError, SourceIo, SpawnableSource, VideoSource,
};

/// Streams from a host. Whatever it takes to get there happens while it runs, so that a streamer is there, and has the
/// name, from the first moment: the identity is made, and the host is paired with if that needs nobody.
#[derive(Clone, Debug)]
pub(crate) struct HostSource {
    pub(crate) hosts: Hosts,
    pub(crate) host: HostId,
    /// Where that host is: when it was removed, its number may be another one's.
    pub(crate) address: HostAddress,
    pub(crate) identity: IdentityName,
    pub(crate) config: MoonlightConfig,
}

#[async_trait]
impl VideoSource for HostSource {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut making = pin!(self.moonlight());
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                command = io.command() => if command.is_none() {
                    return Ok(Ended::Stopped);
                },
            }
        };
        made?.run(io).await
    }
}

#[async_trait]
impl SpawnableSource for HostSource {
    async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
        if self.hosts.get(self.host).is_none_or(|host| host.address != self.address) {
            return Err(failed(HostsError::Unknown { id: self.host }));
        }
        self.hosts.source(self.host, &self.identity, self.config.clone()).await.map_err(failed)
    }
}

fn failed(error: HostsError) -> SourceError {
    match error {
        HostsError::Host(error) if error.is_permanent() => SourceError::permanent(error),
        HostsError::Host(error) => SourceError::retryable(error),
        error => SourceError::permanent(error),
    }
}

#[cfg(test)]
mod tests {
    use moonlight_mux::{AppSelector, EndReason, HostOptions, Streamer, StreamerConfig};

    use super::*;

    /// Nobody is asked: there is nobody at these addresses.
    #[tokio::test]
    async fn a_stream_does_not_go_to_the_host_that_has_its_hosts_number_now() {
        let address = |text: &str| text.parse::<HostAddress>().unwrap();
        let hosts = Hosts::in_memory();
        let host = HostId(0);
        let source = HostSource {
            hosts: hosts.clone(),
            host,
            address: address("127.0.0.1:1"),
            identity: IdentityName::default(),
            config: MoonlightConfig::new(AppSelector::Title("Desktop".to_owned())),
        };
        let why = async || {
            let streamer =
                Streamer::start("desk".parse().unwrap(), source.clone(), StreamerConfig::default());
            let Err(EndReason::Failed(error)) = streamer.wait_streaming().await else { panic!("it runs") };
            error.to_string()
        };
        assert_eq!(why().await, "there is no host 0");
        hosts.declare(host, address("127.0.0.2:1"), HostOptions::default()).unwrap();
        assert_eq!(why().await, "there is no host 0");
    }
}
