//! Serves a recorded session to browsers, in real time and in a loop.
//!
//! `cargo run --release -p moonlight-mux-examples --example replay -- FOLDER --serve 127.0.0.1:8080`

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use moonlight_mux::{Recording, Registry, StreamerConfig, WebRtc, WebRtcConfig};
use moonlight_mux_http::ServerConfig;

const USAGE: &str = "usage: replay FOLDER --serve ADDRESS:PORT";

#[tokio::main]
async fn main() -> ExitCode {
    // The WebRTC crate warns of each extension of a browser's that it does not know.
    let filter = "warn,moonlight_mux=info,moonlight_mux_http=info,rtc_dtls=error,rtc_ice=error";
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    eprint!("replay: {error}");
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.for_each(|cause| eprint!(": {cause}"));
    eprintln!();
    ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, flag, address] = &arguments[..] else { return Err(USAGE.into()) };
    if flag != "--serve" {
        return Err(USAGE.into());
    }

    let recording = Recording::open(folder)?;
    let listener = moonlight_mux_http::bind(address.parse::<SocketAddr>()?).await?;
    let address = listener.local_addr()?;

    // One UDP port for all viewers, on the interface that the page is served from.
    let mut config = WebRtcConfig::default();
    config.bind = SocketAddr::new(address.ip(), 0);
    let rtc = WebRtc::bind(config)?;

    let registry = Registry::new();
    registry.create("replay".parse()?, recording, StreamerConfig::default())?;
    let router = moonlight_mux_http::router(registry.clone(), rtc, ServerConfig::default());
    eprintln!("http://{address}/s/replay (Ctrl-C to stop)");
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(moonlight_mux_http::serve(listener, router, registry, stop).await?)
}
