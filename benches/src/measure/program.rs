//! What the `main` of each measuring program does.

use std::error::Error;
use std::io;

use clap::{Args, Parser};
use serde::Serialize;

use super::{host, receivers};

/// Arguments that all have.
#[derive(Clone, Copy, Debug, Args)]
pub struct Common {
    /// So many threads run the product. Default: one for each processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    pub json: bool,
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
    if run_if_told()? {
        return Ok(());
    }
    let arguments = A::parse();
    let Common { workers, json } = common(&arguments);
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
