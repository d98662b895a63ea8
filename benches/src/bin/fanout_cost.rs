//! What one more viewer costs: processor time of the sending process for each RTP packet and viewer, beside what the
//! system alone takes for encrypting and sending it.
//!
//! `cargo run --release -p moonlight-mux-benches --bin fanout_cost -- --viewers 50 --mbps 20 --json`
//!
//! The ways are measured one after the other, the limit with GSO first and last. Receivers are another process.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::io;
use std::time::Duration;

use clap::Parser;
use moonlight_mux_benches::crowd::CrowdConfig;
use moonlight_mux_benches::measure::figures::Figures;
use moonlight_mux_benches::measure::frame::{PAYLOAD, Rate};
use moonlight_mux_benches::measure::janus::{Janus, reachable_address};
use moonlight_mux_benches::measure::limit::{Call, Sender};
use moonlight_mux_benches::measure::process::{Spent, Stopwatch, load_average, resident};
use moonlight_mux_benches::measure::program::{self, Common};
use moonlight_mux_benches::measure::receivers::{Received, Receivers};
use moonlight_mux_benches::measure::server::{Egress, Server};
use moonlight_mux_benches::measure::{AUDIO_PACKET, Flow, MeasuredSource};
use serde::Serialize;
use tokio::time::sleep;

/// Measures what a viewer costs.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// With a packet of sound each 5 ms.
    #[arg(long)]
    audio: bool,
    /// Receivers get each datagram by itself, without UDP_GRO.
    #[arg(long)]
    no_gro: bool,
    /// Receivers open one packet of so many, beside each frame's first: for more viewers than they could open all of.
    #[arg(long, default_value_t = 1)]
    open_every: u64,
    /// Which limits are measured beside the one with GSO. `--limits` without any: none, for more packets than those can send.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_values_t = [Call::Sendmmsg, Call::Sendto])]
    limits: Vec<Call>,
    /// Which of the product's ways are measured. For memory, one: the second finds what the first has left free.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Egress::Direct, Egress::Standard])]
    egress: Vec<Egress>,
    /// Measures Debian's Janus too, with so many event loops; 0 is its default, a thread for each viewer.
    #[arg(long, value_name = "EVENT_LOOPS", conflicts_with = "audio")]
    janus: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    common: Common,
    audio: bool,
    gro: bool,
    open_every: u64,
    packets_per_frame: usize,
    payload_bytes: usize,
    us_per_packet_viewer: Costs,
    /// To `limit_gso`.
    ratio: Ratios,
    /// Whether each way is ([`Way::valid`]).
    valid: bool,
    load_average: f64,
    ways: Ways,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Costs {
    limit_gso: Option<f64>,
    limit_sendmmsg: Option<f64>,
    limit_sendto: Option<f64>,
    direct: Option<f64>,
    standard: Option<f64>,
    janus: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Ratios {
    direct: Option<f64>,
    standard: Option<f64>,
    janus: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Ways {
    limit_gso: Way,
    limit_sendmmsg: Option<Way>,
    limit_sendto: Option<Way>,
    direct: Option<Way>,
    standard: Option<Way>,
    janus: Option<Way>,
    limit_gso_again: Way,
}

/// One way of sending.
#[derive(Clone, Debug, Serialize)]
struct Way {
    us_per_packet_viewer: f64,
    /// Of one processor.
    cores: f64,
    /// RTP packets that were sent to all viewers together.
    packets_per_second: f64,
    /// Bytes of those, in millions: RTP header, sealed payload, tag. From what the received ones had.
    megabytes_per_second: f64,
    /// What one processor carries at this cost.
    packets_per_second_of_a_core: f64,
    /// At most 1 % of the packets were lost, none was forged, they came at nine tenths of the wanted pace or more, and all
    /// viewers stayed.
    valid: bool,
    /// Packets of those that the rate says; 1 when the machine keeps up.
    pace: f64,
    /// RTP packets that were sent, to all viewers together.
    packets: u64,
    received: Received,
    /// Of the product: until a viewer was connected.
    join_ms: Option<Figures>,
    /// Of the product.
    memory: Option<Memory>,
}

/// Resident bytes of the sending process, in kB.
#[derive(Clone, Copy, Debug, Serialize)]
struct Memory {
    without_viewers: u64,
    /// For each viewer that is connected and gets next to nothing.
    idle_viewer: f64,
    /// For each viewer after it has been streamed to.
    streaming_viewer: f64,
}

impl Way {
    /// `wanted`: packets per second to all viewers together.
    fn of(spent: Spent, packets: u64, wanted: f64, received: Received) -> Self {
        let Spent { cpu, elapsed } = spent;
        let (cpu, elapsed) = (cpu.as_secs_f64(), elapsed.as_secs_f64());
        let packets_per_second = packets as f64 / elapsed;
        let pace = packets_per_second / wanted;
        let opens = received.forged == 0 && received.opened > 0;
        Self {
            us_per_packet_viewer: cpu * 1e6 / packets as f64,
            cores: cpu / elapsed,
            packets_per_second,
            megabytes_per_second: packets_per_second * received.bytes_per_packet() / 1e6,
            packets_per_second_of_a_core: packets as f64 / cpu,
            valid: opens && received.loss <= MOST_LOSS && pace >= LEAST_PACE,
            pace,
            packets,
            received,
            join_ms: None,
            memory: None,
        }
    }
}

const MOST_LOSS: f64 = 0.01;
const LEAST_PACE: f64 = 0.9;
/// From the flow's beginning to what is measured.
const SETTLE: Duration = Duration::from_secs(1);
/// For what is on its way to the receivers.
const ARRIVE: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::run(|arguments: &Arguments| arguments.common, async |arguments| measure(arguments).await, print)
}

async fn measure(arguments: &Arguments) -> io::Result<Report> {
    let &Arguments { common, audio, no_gro, open_every, .. } = arguments;
    let rate = common.rate();
    let mut bench = Bench {
        receivers: Receivers::start().await?,
        viewers: common.viewers,
        rate,
        audio,
        time: common.time(),
        config: CrowdConfig { gro: !no_gro, open_every, ..CrowdConfig::default() },
    };
    let load_average = load_average()?;
    let limit_gso = bench.limit(Call::Gso).await?;
    let (mut limit_sendmmsg, mut limit_sendto) = (None, None);
    for (call, way) in [(Call::Sendmmsg, &mut limit_sendmmsg), (Call::Sendto, &mut limit_sendto)] {
        if arguments.limits.contains(&call) {
            *way = Some(bench.limit(call).await?);
        }
    }
    let (mut direct, mut standard) = (None, None);
    for (egress, way) in [(Egress::Direct, &mut direct), (Egress::Standard, &mut standard)] {
        if arguments.egress.contains(&egress) {
            *way = Some(bench.product(egress).await?);
        }
    }
    let janus = match arguments.janus {
        Some(event_loops) => Some(bench.janus(event_loops).await?),
        None => None,
    };
    let limit_gso_again = bench.limit(Call::Gso).await?;

    let us = |way: &Way| way.us_per_packet_viewer;
    let limit = (us(&limit_gso) + us(&limit_gso_again)) / 2.0;
    let ratio = |way: &Option<Way>| way.as_ref().map(|way| us(way) / limit);
    let costs = Costs {
        limit_gso: Some(limit),
        limit_sendmmsg: limit_sendmmsg.as_ref().map(us),
        limit_sendto: limit_sendto.as_ref().map(us),
        direct: direct.as_ref().map(us),
        standard: standard.as_ref().map(us),
        janus: janus.as_ref().map(us),
    };
    let optional = [&limit_sendmmsg, &limit_sendto, &direct, &standard, &janus];
    let all = [&limit_gso, &limit_gso_again].into_iter().chain(optional.into_iter().flatten());
    let valid = all.into_iter().all(|way| way.valid);
    Ok(Report {
        common,
        audio,
        gro: !no_gro,
        open_every,
        packets_per_frame: rate.packets_per_frame(),
        payload_bytes: PAYLOAD,
        us_per_packet_viewer: costs,
        ratio: Ratios { direct: ratio(&direct), standard: ratio(&standard), janus: ratio(&janus) },
        valid,
        load_average,
        ways: Ways { limit_gso, limit_sendmmsg, limit_sendto, direct, standard, janus, limit_gso_again },
    })
}

struct Bench {
    receivers: Receivers,
    viewers: usize,
    rate: Rate,
    audio: bool,
    time: Duration,
    config: CrowdConfig,
}

impl Bench {
    /// RTP packets per second to all viewers together.
    fn wanted(&self) -> f64 {
        let video = self.rate.packets_per_frame() as f64 * f64::from(self.rate.fps);
        let audio = if self.audio { 1.0 / AUDIO_PACKET.as_secs_f64() } else { 0.0 };
        (video + audio) * self.viewers as f64
    }

    async fn limit(&mut self, call: Call) -> io::Result<Way> {
        let addresses = self.receivers.open(self.viewers, self.config).await?;
        let mut sender = Sender::new(call, &addresses)?;
        let (spent, packets) = sender.run(self.rate, self.audio, self.time).await?;
        sleep(ARRIVE).await;
        let received = self.receivers.take().await?;
        self.receivers.leave().await?;
        Ok(Way::of(spent, packets, self.wanted(), received))
    }

    async fn product(&mut self, egress: Egress) -> io::Result<Way> {
        let source = MeasuredSource::new(self.rate, self.audio);
        let server = Server::start(source.clone(), egress).await?;
        let without = resident()?;
        let join_ms = self.receivers.join(server.url(), self.viewers, self.config).await?;
        sleep(SETTLE).await;
        let idle = resident()?;

        source.set_flow(Flow::Full);
        sleep(SETTLE).await;
        self.receivers.take().await?;
        let watch = Stopwatch::start()?;
        sleep(self.time).await;
        let spent = watch.spent()?;
        let received = self.receivers.take().await?;
        let streaming = resident()?;

        self.receivers.leave().await?;
        server.stop().await;
        let packets = received.expected;
        let each = |held: u64| held.saturating_sub(without) as f64 / 1000.0 / self.viewers as f64;
        let memory = Memory {
            without_viewers: without / 1000,
            idle_viewer: each(idle),
            streaming_viewer: each(streaming),
        };
        let as_wanted = egress == Egress::Standard || received.with_aes_128_gcm == self.viewers;
        let all_here = received.connected == self.viewers && as_wanted;
        let way = Way::of(spent, packets, self.wanted(), received);
        Ok(Way { join_ms, memory: Some(memory), valid: way.valid && all_here, ..way })
    }
}

impl Bench {
    /// The same for a Janus, whose processor time is measured instead of ours.
    async fn janus(&mut self, event_loops: u32) -> io::Result<Way> {
        let mut janus = Janus::start(event_loops).await?;
        let config = CrowdConfig { bind: reachable_address()?, ..self.config };
        let join_ms = self.receivers.join_janus(janus.url(), self.viewers, config).await?;
        janus.feed(self.rate)?;
        sleep(SETTLE).await;
        self.receivers.take().await?;
        let (watch, before) = (Stopwatch::start()?, janus.clock().spent()?);
        sleep(self.time).await;
        let spent = Spent { cpu: janus.clock().spent()?.saturating_sub(before), ..watch.spent()? };
        let received = self.receivers.take().await?;
        self.receivers.leave().await?;
        let way = Way::of(spent, received.expected, self.wanted(), received);
        Ok(Way { join_ms, ..way })
    }
}

fn print(report: &Report) {
    let &Report { common: Common { viewers, mbps, fps, .. }, packets_per_frame, load_average, .. } = report;
    println!(
        "{viewers} viewers, {mbps} Mbit/s, {fps} frames per second of {packets_per_frame} packets; load average {load_average}"
    );
    println!();
    println!(
        "| way | µs per packet and viewer | times the limit | cores | packets/s | MB/s | packets/s of a core | pace | lost | latency, 99th percentile |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let ways = &report.ways;
    let limit = report.us_per_packet_viewer.limit_gso.unwrap_or(f64::NAN);
    let rows = [
        ("limit: GSO", Some(&ways.limit_gso)),
        ("limit: sendmmsg", ways.limit_sendmmsg.as_ref()),
        ("limit: sendto", ways.limit_sendto.as_ref()),
        ("direct", ways.direct.as_ref()),
        ("standard", ways.standard.as_ref()),
        ("Janus", ways.janus.as_ref()),
        ("limit: GSO, again", Some(&ways.limit_gso_again)),
    ];
    for (name, way) in rows {
        let Some(way) = way else { continue };
        let Way { us_per_packet_viewer: us, cores, packets_per_second: packets, pace, received, .. } = way;
        let Way { megabytes_per_second: bytes, packets_per_second_of_a_core: of_a_core, .. } = way;
        let latency = received.latency_ms.map_or(f64::NAN, |latency| latency.p99);
        let lost = received.loss * 100.0;
        let note = if way.valid { "" } else { ", not valid" };
        let times = us / limit;
        println!(
            "| {name} | {us:.2} | {times:.2} | {cores:.2} | {packets:.0} | {bytes:.0} | {of_a_core:.0} | {pace:.2} | {lost:.2} %{note} | {latency:.2} ms |"
        );
    }
}
