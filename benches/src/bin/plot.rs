//! Draws the curve of `fanout_cost --json` over numbers of viewers.
//!
//! `cargo run --release -p moonlight-mux-benches --bin plot -- 1.json 10.json 50.json > docs/fanout.svg`

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use moonlight_mux_benches::measure::plot::plot;

/// Makes an SVG of reports.
#[derive(Debug, Parser)]
struct Arguments {
    /// Files, each with what one run of `fanout_cost --json` printed.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reports = Vec::new();
    for file in Arguments::parse().reports {
        reports.push(serde_json::from_str(&fs::read_to_string(file)?)?);
    }
    print!("{}", plot(&reports)?);
    Ok(())
}
