//! What the `main` of each measuring program does.

use std::error::Error;
use std::io;
use std::time::Duration;

use clap::{Args, Parser};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use super::frame::Rate;
use super::{host, receivers};

/// Arguments that all have, and what their reports say of them.
#[derive(Clone, Copy, Debug, Args, Serialize)]
pub struct Common {
    /// How many viewers.
    #[arg(long, default_value_t = 50)]
    pub viewers: usize,
    /// Megabits of RTP payload per second, for each viewer: as many whole packets in each frame as come closest to it.
    #[arg(long, default_value_t = 18.432)]
    pub mbps: f64,
    /// Frames per second.
    #[arg(long, default_value_t = 60)]
    pub fps: u32,
    /// Seconds for each thing that is measured.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// So many threads run the product. Default: one for each processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

impl Common {
    /// What each viewer gets.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate { mbps: self.mbps, fps: self.fps }
    }

    /// For each thing that is measured.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures as the command line says, and prints what came of it, unless this process is one that a measuring one has
/// started.
///
/// # Errors
/// Whatever `measure` says.
#[expect(clippy::print_stdout, reason = "it is what the programs are for")]
pub fn run<A: Parser, R: Serialize>(
    common: impl Fn(&A) -> Common,
    measure: impl AsyncFn(&A) -> io::Result<R>,
    print: impl Fn(&R),
) -> Result<(), Box<dyn Error>> {
    allow_many_descriptors()?;
    if run_if_told()? {
        return Ok(());
    }
    let arguments = A::parse();
    let Common { workers, json, .. } = common(&arguments);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        runtime.worker_threads(workers.into());
    }
    let runtime = runtime.enable_all().build()?;
    let report = runtime.block_on(measure(&arguments))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

/// As many descriptors as an administrator allows: a viewer needs one here and two at the receivers, and many systems give a
/// program 1,024 unless it asks.
fn allow_many_descriptors() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Makes this process a receiver or a host if it was started as one ([`Receivers::start`](receivers::Receivers::start),
/// [`MeasuredHost::start`](host::MeasuredHost::start)): gives true when it is done then. The first that a program's
/// `main` calls.
///
/// # Errors
/// When who started it cannot be reached, or says what nobody says who does.
pub fn run_if_told() -> io::Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let (Some(role), Some(address)) = (arguments.next(), arguments.next()) else { return Ok(false) };
    match role.as_str() {
        receivers::ROLE => receivers::run(&address)?,
        host::ROLE => host::run(&address)?,
        _ => return Ok(false),
    }
    Ok(true)
}
