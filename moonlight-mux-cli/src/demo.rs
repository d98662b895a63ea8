//! `demo`: a live test picture, from a host of its own.

use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use moonlight_mux::{
    AppSelector, EndReason, HostErrorCause, HostId, HostOptions, Hosts, IdentityName, MoonlightConfig,
    PairingMethod, PictureSize, Pin, PinEntry, State, Streamer, TestHost, TestHostConfig,
};

use crate::server::{Listen, Server};
use crate::values::Kind;
use crate::{Failure, exit_codes};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    #[command(flatten)]
    listen: Listen,
    /// The picture's size in pixels, up to 3840x2160.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720")]
    size: PictureSize,
    /// Frames per second, 1 to 240. Fewer are sent where encoding takes too long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: u32,
}

const EXAMPLES: &str = concat!(
    "\
Examples:
  moonlight-mux demo
  moonlight-mux demo --listen 127.0.0.1:0 --size 1920x1080 --fps 30
  moonlight-mux demo --input-mode one_at_a_time

",
    exit_codes!()
);

/// Through a host of its own on loopback, so that all of the protocol is at work.
pub(crate) async fn run(demo: Demo) -> Result<(), Failure> {
    let host = Arc::new(TestHost::start(TestHostConfig::default()).await?);
    let hosts = Hosts::in_memory();
    let mut options = HostOptions::default();
    // Also for whoever creates streamers over HTTP, under any identity.
    options.pairing = PairingMethod::Other(Arc::new(HostUser(host.clone())));
    hosts.declare(HOST, host.address(), options)?;
    let mut config = MoonlightConfig::new(AppSelector::Title(APP.to_owned()));
    (config.width, config.height, config.fps) = (demo.size.width(), demo.size.height(), demo.fps);
    let source = hosts.source(HOST, &IdentityName::default(), config).await?;
    let server = Server::bind(&demo.listen, Kind::InProcess, false).await?.with_hosts(hosts);
    let streamer = server.create("demo".parse()?, source)?;
    streamer.wait_streaming().await?;
    server.announce(&streamer);
    server.run(failed(streamer.clone())).await?;
    match streamer.state() {
        State::Ended(reason) if is_failure(&reason) => Err(reason.into()),
        _ => Ok(()),
    }
}

/// Sits at the demo's host, and enters each PIN there.
struct HostUser(Arc<TestHost>);

#[async_trait]
impl PinEntry for HostUser {
    async fn enter_pin(&self, pin: &Pin) -> Result<(), HostErrorCause> {
        self.0.enter_pin(pin.digits());
        Ok(())
    }
}

/// Waits until the streamer has failed.
async fn failed(streamer: Streamer) {
    let mut state = streamer.watch_state();
    let failed = state.wait_for(|state| matches!(state, State::Ended(reason) if is_failure(reason)));
    if failed.await.is_err() {
        // It ended otherwise: somebody stopped it over HTTP.
        std::future::pending::<()>().await;
    }
}

fn is_failure(reason: &EndReason) -> bool {
    !matches!(reason, EndReason::Stopped | EndReason::ByHost)
}

/// The only one.
const HOST: HostId = HostId(0);
/// What a test host runs unless told otherwise.
const APP: &str = "Desktop";
