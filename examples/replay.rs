//! Serves a recorded session to browsers, in real time and in a loop:
//!
//! `cargo run --release -p moonlight-mux-examples --example replay -- FOLDER --serve 127.0.0.1:8080`
//!
//! Without `--serve`: puts it through the receiving side as fast as it goes, prints a line of JSON for each frame and
//! each packet of sound, then one that sums up, and fails if the folder's reference files tell of more.

use std::error::Error;
use std::io::{ErrorKind, Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;

use moonlight_mux::{Recording, Registry, Replayed, StreamerConfig, WebRtc, WebRtcConfig};
use moonlight_mux_http::ServerConfig;
use serde::Serialize;

const USAGE: &str = "usage: replay FOLDER [--serve ADDRESS:PORT]";

#[tokio::main]
async fn main() -> ExitCode {
    // The WebRTC crate warns of each extension of a browser's that it does not know.
    let filter = "warn,moonlight_mux=info,moonlight_mux_http=info,rtc_dtls=error,rtc_ice=error";
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [folder] => replay(folder, &mut stdout().lock()),
        [folder, "--serve", address] => serve(folder, address).await,
        _ => Err(USAGE.into()),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    if error.downcast_ref().map(std::io::Error::kind) == Some(ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprint!("replay: {error}");
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.for_each(|cause| eprint!(": {cause}"));
    eprintln!();
    ExitCode::FAILURE
}

/// A line of output.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    /// A frame that could be put together; not delivered if what it refers to was lost.
    Video { n: u64, idr: bool, len: usize, sha256: String, repaired: bool, delivered: bool },
    /// A packet of sound, counted from 0.
    Audio { audio: usize, len: usize, sha256: String },
    /// Frames, repaired ones among them, frames that could not be put together between the first and the last one,
    /// packets of sound; messages of the control stream and of the RTSP dialogue that were compared; what differs.
    Sum {
        frames: u64,
        repaired: u64,
        lost: u64,
        audio: usize,
        control: usize,
        rtsp: usize,
        differences: usize,
    },
}

fn replay(folder: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let replay = Recording::replay(folder)?;
    let mut replayed = Vec::new();
    let (mut frames, mut all_repaired, mut audio, mut numbers) = (0, 0, 0, None);
    for event in replay.events() {
        let (len, sha256) = (event.data().len(), event.sha256());
        let line = match &event {
            Replayed::Video { frame, repaired, delivered } => {
                let n = frame.number.0;
                frames += 1;
                all_repaired += u64::from(*repaired);
                numbers = Some((numbers.map_or(n, |(first, _)| first), n));
                let (idr, repaired, delivered) = (frame.keyframe, *repaired, *delivered);
                Line::Video { n, idr, len, sha256, repaired, delivered }
            }
            Replayed::Audio(_) => {
                audio += 1;
                Line::Audio { audio: audio - 1, len, sha256 }
            }
        };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
        replayed.push(event);
    }

    let comparison = replay.compare(&replayed);
    comparison.differences.iter().for_each(|difference| eprintln!("{difference}"));
    let sum = Line::Sum {
        frames,
        repaired: all_repaired,
        lost: numbers.map_or(0, |(first, last)| last - first + 1 - frames),
        audio,
        control: comparison.control,
        rtsp: comparison.rtsp,
        differences: comparison.differences.len(),
    };
    writeln!(out, "{}", serde_json::to_string(&sum)?)?;
    match comparison.differences.len() {
        0 => Ok(()),
        count => Err(format!("{count} differences").into()),
    }
}

async fn serve(folder: &str, address: &str) -> Result<(), Box<dyn Error>> {
    let recording = Recording::open(folder)?;
    let listener = moonlight_mux_http::bind(address.parse::<SocketAddr>()?).await?;
    let address = listener.local_addr()?;

    // One UDP port for all viewers, on the interface that the page is served from.
    let mut config = WebRtcConfig::default();
    config.bind = SocketAddr::new(address.ip(), 0);
    let rtc = WebRtc::bind(config)?;

    let registry = Registry::new();
    registry.create("replay".parse()?, recording, StreamerConfig::default())?;
    let router = moonlight_mux_http::router(registry.clone(), rtc, ServerConfig::default());
    eprintln!("http://{address}/s/replay (Ctrl-C to stop)");
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(moonlight_mux_http::serve(listener, router, registry, stop).await?)
}

#[cfg(test)]
#[path = "../moonlight-mux/tests/recordings/folder.rs"]
mod folder;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::folder::recording;
    use super::*;

    fn check(test: &str, name: &str, sum: &Value, held_back: usize) {
        let Some(folder) = recording(test, name) else { return };
        let mut out = Vec::new();
        replay(folder.to_str().unwrap(), &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!(last, sum);

        let count = |name: &str, value: Value| lines.iter().filter(|line| line[name] == value).count();
        assert_eq!(count("repaired", true.into()), sum["repaired"]);
        assert_eq!(count("delivered", false.into()), held_back);
        assert_eq!(count("delivered", true.into()) + held_back, sum["frames"]);
        let sound: Vec<u64> = lines.iter().filter_map(|line| line["audio"].as_u64()).collect();
        assert_eq!(sound, (0..sum["audio"].as_u64().unwrap()).collect::<Vec<_>>());
        assert_eq!(lines.len(), sound.len() + count("delivered", true.into()) + held_back);
        let whole =
            |line: &Value| line["len"].as_u64() > Some(0) && line["sha256"].as_str().unwrap().len() == 64;
        assert!(lines.iter().all(whole));
        assert_eq!(lines.iter().find(|line| line["n"].is_u64()).unwrap()["idr"], true);
    }

    #[test]
    fn a_whole_recording_gives_a_line_for_each_frame_and_packet() {
        let sum = json!({"frames": 472, "repaired": 0, "lost": 0, "audio": 756, "control": 126, "rtsp": 14, "differences": 0});
        check("a_whole_recording", "v0.23-clear", &sum, 0);
    }

    #[test]
    fn a_lossy_recording_tells_what_was_repaired_held_back_and_lost() {
        let sum = json!({"frames": 484, "repaired": 114, "lost": 4, "audio": 760, "control": 253, "rtsp": 14, "differences": 0});
        check("a_lossy_recording", "v2025-loss5-encrypted", &sum, 8);
    }
}
