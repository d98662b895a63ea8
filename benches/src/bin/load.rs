//! Viewers of another WebRTC stack at a server's URL, through its real signalling.
//!
//! `cargo run --release -p moonlight-mux-benches --bin load -- --url ws://127.0.0.1:8080/api/streamers/{id}/peer --viewers 20`
//!
//! Each frame's packets are decrypted and put together; with `--recording` one viewer of ten compares each frame with the
//! recording that the server plays. Where the stream is a test host's live picture on this machine, as `moonlight-mux demo` serves
//! it, each frame tells how long it was under way. Exits with 1 when a frame was wrong, a viewer ended early, or one could not join.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::error::Error;
use std::iter::successors;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use moonlight_mux::{Recording, VideoCodec};
use moonlight_mux_benches::measure::figures::Figures;
use moonlight_mux_benches::measure::load::{Load, load};
use moonlight_mux_benches::viewer::{AccessUnit, Codec, FrameCheck};
use tokio_tungstenite::tungstenite::http::Uri;

/// Joins viewers at a server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's peer WebSocket: ws://HOST:PORT/api/streamers/ID/peer
    #[arg(long)]
    url: Uri,
    /// How many viewers.
    #[arg(long, default_value_t = 1)]
    viewers: usize,
    /// How long they stay once all have a picture.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The codec of the stream, where there is no recording to tell. Default: H.264.
    #[arg(long, value_enum)]
    codec: Option<Codec>,
    /// The folder of the recording that the server plays, to compare frames with.
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Of so many viewers one compares.
    #[arg(long, default_value_t = 10)]
    check_every: usize,
    /// Prints one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut why = error.to_string();
            for cause in successors(error.source(), |&cause| cause.source()) {
                let cause = cause.to_string();
                // Some errors say their cause themselves.
                if !why.ends_with(&cause) {
                    why = format!("{why}: {cause}");
                }
            }
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all frames were right and all viewers stayed.
async fn run(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let (mut codec, mut check) = (arguments.codec.unwrap_or(Codec::H264), None);
    if let Some(folder) = arguments.recording {
        let recording = Recording::open(folder)?;
        codec = match recording.info().video.codec {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::Hevc => Codec::Hevc,
            VideoCodec::Av1 => Codec::Av1,
            other => return Err(format!("no viewer takes {}", other.name()).into()),
        };
        let units: Result<Vec<_>, _> =
            recording.frames().map(|frame| AccessUnit::parse(codec, &frame.data)).collect();
        check = Some(Arc::new(FrameCheck::new(&units?)));
    }
    let wanted = Load {
        url: arguments.url,
        viewers: arguments.viewers,
        time: Duration::from_secs(arguments.seconds),
        codec,
        check,
        check_every: arguments.check_every,
    };
    let compared = wanted.check.is_some();
    let report = load(&wanted).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{} viewers", report.viewers);
        let times = [
            ("connected after", report.connected_ms),
            ("first frame after", report.first_frame_ms),
            ("from frame to frame", report.frame_gap_ms),
            ("from the host", report.host_latency_ms),
        ];
        for (name, figures) in times {
            let Some(Figures { median, p99, max, .. }) = figures else { continue };
            println!("{name:<20} median {median:.1} ms, 99th percentile {p99:.1}, longest {max:.1}");
        }
        println!("{:<20} {:.3} % of {} packets", "lost", report.loss * 100.0, report.packets + report.lost);
        if compared {
            println!(
                "{:<20} {} of {} frames, by those that compare",
                "right", report.verified, report.frames
            );
        }
        println!("{:<20} {} frames, {} viewers ended early", "wrong", report.wrong, report.ended_early);
    }
    Ok(report.wrong == 0 && report.ended_early == 0)
}
