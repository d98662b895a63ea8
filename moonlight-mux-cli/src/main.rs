//! moonlight-mux on the command line.

mod demo;
#[allow(dead_code)]
mod mp4;
mod reachability;
mod serve;
mod server;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// One Moonlight session, any number of browsers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a live test picture with sound in browsers until Ctrl-C: no host needed.
    Demo(demo::Demo),
    /// Serve recorded sessions to browsers until Ctrl-C.
    Serve(serve::Serve),
}

const EXAMPLES: &str = concat!(
    "\
Examples:
  moonlight-mux demo
  moonlight-mux serve --recording desktop=recordings/v0.23-clear
  moonlight-mux help demo

",
    exit_codes!()
);

/// The end of every command's help.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 could not start or failed, 2 wrong arguments.
RUST_LOG sets what is logged to standard error, as in RUST_LOG=moonlight_mux=debug."
    };
}
use exit_codes;

/// What is logged by default. The WebRTC crate warns of each extension of a browser's that it does not know.
const LOG: &str = "warn,moonlight_mux=info,moonlight_mux_http=info,rtc_dtls=error,rtc_ice=error";

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Serve(serve) => serve::run(serve).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("moonlight-mux: {failure}");
            ExitCode::FAILURE
        }
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
