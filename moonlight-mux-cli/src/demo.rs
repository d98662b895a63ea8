//! `demo`: a live test picture.

use clap::Args;
use moonlight_mux::{
    EndReason, PictureSize, State, Streamer, StreamerConfig, TestPicture, TestPictureConfig,
};

use crate::server::{Listen, Server};
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

",
    exit_codes!()
);

pub(crate) async fn run(demo: Demo) -> Result<(), Failure> {
    let mut config = TestPictureConfig::default();
    config.size = demo.size;
    config.fps = demo.fps;
    let picture = TestPicture::new(config)?;
    let server = Server::bind(&demo.listen).await?;
    let streamer = server.registry().create("demo".parse()?, picture, StreamerConfig::default())?;
    streamer.wait_streaming().await?;
    server.announce(&streamer);
    server.run(failed(streamer.clone())).await?;
    match streamer.state() {
        State::Ended(reason) if is_failure(&reason) => Err(reason.into()),
        _ => Ok(()),
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
