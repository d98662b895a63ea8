//! Do viewers notice that others are stopped, lose packets, or have a narrow line?
//!
//! `cargo run --release -p moonlight-mux-benches --bin isolation -- --viewers 50 --mbps 5 --json`
//!
//! The narrow line has a tenth of what each of the good viewers has. Three runs behind each other with the same viewers at the same server: alone, beside the three troublemakers, and alone
//! again. Receivers are another process, and the times are the kernel's, as datagrams reach their sockets.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::io;
use std::time::Duration;

use clap::Parser;
use moonlight_mux_benches::crowd::CrowdConfig;
use moonlight_mux_benches::measure::process::load_average;
use moonlight_mux_benches::measure::program::{self, Common};
use moonlight_mux_benches::measure::receivers::{Received, Receivers};
use moonlight_mux_benches::measure::server::{Egress, Server};
use moonlight_mux_benches::measure::troublemakers::TroubleReport;
use moonlight_mux_benches::measure::{Flow, MeasuredSource};
use serde::Serialize;
use tokio::time::sleep;

/// Measures what viewers notice of bad ones.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Which of the product's ways.
    #[arg(long, value_enum, default_value = "direct")]
    egress: Egress,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    common: Common,
    egress: Egress,
    load_average: f64,
    alone: Run,
    in_bad_company: Run,
    alone_again: Run,
    bad_company: TroubleReport,
    /// The 99th percentile of the frame gaps in bad company, to the larger one of the two runs without.
    p99_ratio: Option<f64>,
    /// Lost nothing in bad company, and `p99_ratio` is at most 1.2.
    isolated: bool,
}

#[derive(Debug, Serialize)]
struct Run {
    received: Received,
    /// Keyframes that the source was asked for.
    keyframes_asked: u64,
}

const SETTLE: Duration = Duration::from_secs(1);
const MOST_RATIO: f64 = 1.2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::run(|arguments: &Arguments| arguments.common, async |arguments| measure(arguments).await, print)
}

async fn measure(arguments: &Arguments) -> io::Result<Report> {
    let &Arguments { egress, common } = arguments;
    let Common { viewers, mbps, .. } = common;
    let time = common.time();
    let load_average = load_average()?;
    let source = MeasuredSource::new(common.rate(), false);
    let server = Server::start(source.clone(), egress).await?;
    let mut receivers = Receivers::start().await?;
    receivers.join(server.url(), viewers, CrowdConfig::default()).await?;
    source.set_flow(Flow::Full);

    let alone = run(&mut receivers, &source, time).await?;
    receivers.trouble(server.url(), (mbps * 1e6 / 8.0 / 10.0) as u64).await?;
    let in_bad_company = run(&mut receivers, &source, time).await?;
    let bad_company = receivers.end_trouble().await?;
    let alone_again = run(&mut receivers, &source, time).await?;
    receivers.leave().await?;
    server.stop().await;

    let p99 = |run: &Run| run.received.frame_gap_ms.map(|gaps| gaps.p99);
    let without = p99(&alone).into_iter().chain(p99(&alone_again)).reduce(f64::max);
    let p99_ratio = p99(&in_bad_company).zip(without).map(|(with, without)| with / without);
    let lost_nothing = in_bad_company.received.expected == in_bad_company.received.packets
        && in_bad_company.received.connected == viewers;
    let isolated = lost_nothing && p99_ratio.is_some_and(|ratio| ratio <= MOST_RATIO);
    Ok(Report {
        common,
        egress,
        load_average,
        alone,
        in_bad_company,
        alone_again,
        bad_company,
        p99_ratio,
        isolated,
    })
}

async fn run(receivers: &mut Receivers, source: &MeasuredSource, time: Duration) -> io::Result<Run> {
    sleep(SETTLE).await;
    receivers.take().await?;
    let asked = source.keyframes_asked();
    sleep(time).await;
    let received = receivers.take().await?;
    Ok(Run { received, keyframes_asked: source.keyframes_asked() - asked })
}

fn print(report: &Report) {
    let &Report { common: Common { viewers, mbps, fps, .. }, load_average, .. } = report;
    println!("{viewers} viewers, {mbps} Mbit/s, {fps} frames per second; load average {load_average}");
    println!();
    println!("| | frame gap, median | 99th percentile | longest | lost | worst viewer's | keyframes asked |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let runs = [
        ("alone", &report.alone),
        ("in bad company", &report.in_bad_company),
        ("alone again", &report.alone_again),
    ];
    for (name, Run { received, keyframes_asked }) in runs {
        let Some(gaps) = received.frame_gap_ms else { continue };
        println!(
            "| {name} | {:.2} ms | {:.2} ms | {:.2} ms | {:.3} % | {:.3} % | {keyframes_asked} |",
            gaps.median,
            gaps.p99,
            gaps.max,
            received.loss * 100.0,
            received.worst_loss * 100.0
        );
    }
    println!();
    let verdict = if report.isolated { "isolated" } else { "not isolated" };
    println!("99th percentile {:.2} times that of alone: {verdict}", report.p99_ratio.unwrap_or(f64::NAN));
    println!("{:?}", report.bad_company);
}
