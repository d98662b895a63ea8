//! moonlight-mux on the command line.

mod config;
mod demo;
mod discover;
mod hosts;
mod isolation;
mod mp4;
mod reachability;
mod recorder;
mod secret;
mod serve;
mod server;
mod state;
mod stream;
mod values;

use std::fmt;
use std::io::IsTerminal;
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
    /// Serve hosts and recorded sessions to browsers until Ctrl-C.
    Serve(serve::Serve),
    /// Add hosts, pair with them, and see what they can run.
    Hosts(hosts::Hosts),
    /// Stream an app of a host with nobody watching, and record it if you like.
    Stream(stream::Stream),
}

const EXAMPLES: &str = concat!(
    "\
Examples:
  moonlight-mux demo
  moonlight-mux hosts add 192.168.1.5
  moonlight-mux hosts pair 192.168.1.5
  moonlight-mux stream 192.168.1.5 Desktop --record desktop.mp4
  moonlight-mux serve
  moonlight-mux help demo

",
    exit_codes!()
);

/// The end of every command's help.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 could not start or failed, 2 wrong arguments or configuration.
RUST_LOG sets what is logged to standard error, as in RUST_LOG=moonlight_mux=debug."
    };
}
use exit_codes;

/// What is logged by default. The WebRTC crate warns of each extension of a browser's that it does not know.
const LOG: &str = "warn,moonlight_mux=info,moonlight_mux_http=info,rtc_dtls=error,rtc_ice=error";

/// The same for commands that say themselves what becomes of a stream.
const QUIET: &str = "warn,moonlight_mux::streamer=off";

fn main() -> ExitCode {
    // A server starts this very program for each of its streamers.
    #[cfg(unix)]
    moonlight_mux::run_child_if_asked();
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            eprintln!("moonlight-mux: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Cli { command }: Cli) -> ExitCode {
    let default = match command {
        Command::Demo(_) | Command::Serve(_) => LOG,
        Command::Hosts(_) | Command::Stream(_) => QUIET,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let done = match command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Serve(serve) => serve::run(serve).await,
        Command::Hosts(hosts) => Box::pin(hosts::run(hosts)).await,
        Command::Stream(stream) => stream::run(stream).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("moonlight-mux: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// What stopped the program, as a sentence with its causes.
#[derive(Debug)]
struct Failure {
    text: String,
    exit: Exit,
}

/// How the program ends when it did not do what it was asked: its exit code.
#[derive(Clone, Copy, Debug)]
enum Exit {
    Failed = 1,
    Arguments = 2,
    EndedByHost = 3,
    Lost = 4,
    NotRecorded = 5,
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: Exit::Failed }
    }

    fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same with what to do about it.
    fn hint(self, hint: impl fmt::Display) -> Self {
        Self { text: format!("{}: {hint}", self.text), ..self }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::new(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
