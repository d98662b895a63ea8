//! moonlight-mux on the command line.

mod reachability;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use moonlight_mux::{Recording, Registry, StreamerConfig, StreamerId, WebRtc};
use moonlight_mux_http::ServerConfig;
use tracing_subscriber::EnvFilter;

use reachability::Reachability;

/// One Moonlight session, any number of browsers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  moonlight-mux serve --recording demo=recordings/v0.23-clear
  moonlight-mux serve --listen 127.0.0.1:0 --recording a=FOLDER --recording b=FOLDER

Exit codes: 0 stopped, 1 could not start, 2 wrong arguments.
RUST_LOG sets what is logged to standard error, as in RUST_LOG=moonlight_mux=debug.";

/// What is logged by default. The WebRTC crate warns of each extension of a browser's that it does not know.
const LOG: &str = "warn,moonlight_mux=info,moonlight_mux_http=info,rtc_dtls=error,rtc_ice=error";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve streams to browsers until Ctrl-C.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where browsers connect: the address of one interface, port 0 for a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", env = "MOONLIGHT_MUX_LISTEN")]
    listen: SocketAddr,
    /// A recorded session to serve in a loop under a name. May be given several times.
    #[arg(long, value_name = "NAME=FOLDER", required = true)]
    recording: Vec<NamedRecording>,
    #[command(flatten)]
    reachability: Reachability,
}

#[derive(Clone, Debug)]
struct NamedRecording {
    id: StreamerId,
    folder: PathBuf,
}

impl FromStr for NamedRecording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = text.split_once('=').ok_or("expected NAME=FOLDER")?;
        let id = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        Ok(Self { id, folder: folder.into() })
    }
}

/// What stopped the program, as a sentence with its causes.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Cli { command: Command::Serve(serve) } = Cli::parse();
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("moonlight-mux: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Failure> {
    let recordings = serve.recording.into_iter().map(|NamedRecording { id, folder }| {
        let recording = Recording::open(&folder)?;
        Ok((id, recording))
    });
    let recordings = recordings.collect::<Result<Vec<_>, Failure>>()?;
    let listener = moonlight_mux_http::bind(serve.listen).await?;
    let address = listener.local_addr()?;
    let rtc = WebRtc::bind(serve.reachability.config(address.ip())?)?;
    if let Some(warning) = serve.reachability.warning(&rtc) {
        eprintln!("{warning}");
    }
    let registry = Registry::new();
    for (id, recording) in recordings {
        let streamer = registry.create(id, recording, StreamerConfig::default())?;
        eprintln!("{} plays at http://{address}/s/{}", streamer.id(), streamer.id());
    }
    let router = moonlight_mux_http::router(registry.clone(), rtc, ServerConfig::default());
    eprintln!("Press Ctrl-C to stop.");
    moonlight_mux_http::serve(listener, router, registry, async {
        // Without a handler the program cannot be stopped in order, but it can run.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
    .await?;
    Ok(())
}
