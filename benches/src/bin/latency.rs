//! How long a frame takes from a host's socket to a viewer's, through the whole product.
//!
//! `cargo run --release -p moonlight-mux-benches --bin latency -- --viewers 50 --mbps 20 --workers 1 --json`
//!
//! Three processes: a test host, whose frames say when they were made; the server, which streams from it over the whole
//! protocol; and the viewers, who open each packet. All times are of one clock, the viewers' are the kernel's.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::error::Error;
use std::io;
use std::time::Duration;

use clap::Parser;
use moonlight_mux_benches::crowd::CrowdConfig;
use moonlight_mux_benches::measure::Flow;
use moonlight_mux_benches::measure::figures::Figures;
use moonlight_mux_benches::measure::host::MeasuredHost;
use moonlight_mux_benches::measure::latency::Hops;
use moonlight_mux_benches::measure::process::load_average;
use moonlight_mux_benches::measure::program::{self, Common};
use moonlight_mux_benches::measure::receivers::{Received, Receivers};
use moonlight_mux_benches::measure::server::{Egress, Server};
use serde::Serialize;
use tokio::time::sleep;

/// Measures how long a frame takes from a host's socket to a viewer's.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// With a packet of sound each 5 ms.
    #[arg(long)]
    audio: bool,
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
    audio: bool,
    egress: Egress,
    load_average: f64,
    hops: Hops,
    received: Received,
    /// All viewers stayed, nine of ten frames that the rate says were sent, at most one of a hundred was lost on the way to each
    /// viewer, and no packet was forged.
    valid: bool,
}

const SETTLE: Duration = Duration::from_secs(1);
/// For what is on its way to the receivers.
const ARRIVE: Duration = Duration::from_millis(200);
const LEAST: f64 = 0.9;
const MOST_LOSS: f64 = 0.01;

fn main() -> Result<(), Box<dyn Error>> {
    program::run(|arguments: &Arguments| arguments.common, async |arguments| measure(arguments).await, print)
}

async fn measure(arguments: &Arguments) -> io::Result<Report> {
    let &Arguments { audio, egress, common } = arguments;
    let Common { viewers, fps, seconds, .. } = common;
    let load_average = load_average()?;
    let mut host = MeasuredHost::start(common.rate(), audio).await?;
    let server = Server::start(host.source(), egress).await?;
    server.streamer().wait_streaming().await.map_err(io::Error::other)?;
    let stream = server.note_frames();
    let mut receivers = Receivers::start().await?;
    receivers.join(server.url(), viewers, CrowdConfig::default()).await?;
    host.set_flow(Flow::Full).await?;
    sleep(SETTLE).await;

    receivers.take().await?;
    host.take_sent().await?;
    // Those that the host's list lacks are left out.
    sleep(common.time()).await;
    let sent = host.take_sent().await?;
    sleep(ARRIVE).await;
    let (received, frames) = receivers.take_frames().await?;
    let hops = Hops::of(&sent, &stream.take(), &frames);
    receivers.leave().await?;
    server.stop().await;

    let wanted = f64::from(fps) * seconds as f64;
    let at_viewers = hops.host_to_viewer_ms.map_or(0, |figures| figures.count);
    let valid = received.connected == viewers
        && hops.frames as f64 >= wanted * LEAST
        && at_viewers as f64 >= (sent.len() * viewers) as f64 * (1.0 - MOST_LOSS)
        && received.forged == 0;
    Ok(Report { common, audio, egress, load_average, hops, received, valid })
}

fn print(report: &Report) {
    let &Report { common: Common { viewers, mbps, fps, .. }, load_average, hops, valid, .. } = report;
    let note = if valid { "" } else { "; NOT VALID" };
    println!("{viewers} viewers, {mbps} Mbit/s, {fps} frames per second; load average {load_average}{note}");
    println!();
    println!("| | median | 99th percentile | longest |");
    println!("| --- | --- | --- | --- |");
    let rows = [
        ("the host's first datagram to its last", hops.host_sends_ms),
        ("the host's first datagram to the frame in the stream", hops.host_to_stream_ms),
        ("from there to a viewer's last packet", hops.stream_to_viewer_ms),
        ("the host's last datagram to a viewer's last packet", hops.last_to_viewer_ms),
        ("the host's first datagram to a viewer's last packet", hops.host_to_viewer_ms),
    ];
    for (name, figures) in rows {
        let Some(Figures { median, p99, max, .. }) = figures else { continue };
        println!("| {name} | {median:.2} ms | {p99:.2} ms | {max:.2} ms |");
    }
}
