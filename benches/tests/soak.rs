//! A streamer in a process of its own with nobody watching: frames come, memory stays, and nobody asks for a keyframe.
//!
//! `SOAK_SECONDS=3600 cargo test --release -p moonlight-mux-benches --test soak -- --nocapture` for an hour. Without it
//! 10 s, in which memory is only printed. It has a `main` of its own, since it is the streamer's process too.

#![expect(clippy::print_stdout, reason = "a soak says what it sees")]
#![expect(clippy::disallowed_methods, reason = "it takes the time that it takes")]

use std::fs;
use std::time::Duration;

use moonlight_mux::{
    AppSelector, ExitPolicy, Host, HostConfig, Identity, MoonlightConfig, MoonlightSource, Pin,
    ProcessConfig, State, Streamer, StreamerConfig, TestHost, TestHostConfig,
};
use tokio::time::{Instant, sleep_until, timeout};

/// How often it looks.
const SAMPLES: u32 = 24;
/// Samples by which both processes have reached their size.
const WARM_UP: usize = 8;
/// A soak shorter than this says nothing of memory.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// What an allocator's pages may waver by: an hour at 60 frames a second would make 100 kB a frame of a leak of one byte in
/// twenty.
const RESIDENT_GROWTH: u64 = 6 << 20;
/// Frames that the process has and has not told of yet: it does so each second, or two on a machine that does much else.
const UNTOLD: u64 = 120;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    moonlight_mux::run_child_if_asked();
    let seconds =
        std::env::var("SOAK_SECONDS").map_or(10, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(soak(Duration::from_secs(seconds)));
}

/// What was seen at one time.
struct Sample {
    host_frames: u64,
    frames: u64,
    keyframe_requests: u64,
    /// Bytes, of the process that supervises (and plays the host) and of the streamer's.
    resident: [u64; 2],
    descriptors: [usize; 2],
}

async fn soak(length: Duration) {
    let host = TestHost::start(TestHostConfig::default()).await.expect("a free port");
    let client = Host::new(HostConfig::new(host.address(), Identity::generate().expect("keys")));
    let pin = Pin::random().expect("random numbers");
    host.enter_pin(pin.digits());
    client.pair(&pin).await.expect("the PIN is right");
    let mut config = MoonlightConfig::new(AppSelector::Title("Desktop".to_owned()));
    (config.width, config.height, config.fps) = (1280, 720, 60);
    let source = MoonlightSource::new(client, config);
    let id = "soak".parse().expect("a name");
    let streamer = Streamer::spawn_process(id, source, StreamerConfig::default(), ProcessConfig::default());
    timeout(PATIENCE, streamer.wait_streaming()).await.expect("it takes no minute").expect("it streams");
    let pid = streamer.pid().expect("it has a process");

    let mut state = streamer.watch_state();
    let mut samples = vec![look(&host, &streamer, pid)];
    let began = Instant::now();
    println!(
        "  after    host's frames    streamer's    keyframe requests    resident, supervisor and streamer"
    );
    for n in 1..=SAMPLES {
        let next = began + length * n / SAMPLES;
        tokio::select! {
            () = sleep_until(next) => {}
            left = state.wait_for(|state| *state != State::Streaming) => {
                panic!("it did not stay as it was: {:?}", left.map(|state| state.clone()));
            }
        }
        let sample = look(&host, &streamer, pid);
        println!(
            "{:>5} s {:>16} {:>13} {:>20} {:>12} kB {:>10} kB",
            began.elapsed().as_secs(),
            sample.host_frames,
            sample.frames,
            sample.keyframe_requests,
            sample.resident[0] >> 10,
            sample.resident[1] >> 10,
        );
        samples.push(sample);
    }

    let (first, last) = (&samples[0], samples.last().expect("there are some"));
    let (sent, came) = (last.host_frames - first.host_frames, last.frames - first.frames);
    assert!(sent > 0 && (came + UNTOLD) * 100 >= sent * 95, "{came} of {sent} frames came");
    assert_eq!(last.keyframe_requests, first.keyframe_requests, "nobody watches, and nothing was lost");
    assert_eq!((streamer.restarts(), streamer.pid()), (0, Some(pid)));
    if length >= LONG_ENOUGH {
        let most = |of: usize, samples: &[Sample]| samples.iter().map(|s| s.resident[of]).max().unwrap_or(0);
        for (of, name) in ["supervisor", "streamer"].into_iter().enumerate() {
            let (early, late) = (most(of, &samples[..WARM_UP]), most(of, &samples[WARM_UP..]));
            assert!(late <= early + RESIDENT_GROWTH, "the {name} grew from {early} to {late} bytes");
            assert_eq!(samples[WARM_UP].descriptors[of], last.descriptors[of], "descriptors of the {name}");
        }
    }

    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    assert!(!fs::exists(format!("/proc/{pid}")).expect("/proc"), "its process is gone, and no zombie");
    println!(
        "{came} of {sent} frames, {} keyframe requests",
        last.keyframe_requests - first.keyframe_requests
    );
}

fn look(host: &TestHost, streamer: &Streamer, pid: u32) -> Sample {
    let counts = host.counts();
    let pids = [std::process::id(), pid];
    Sample {
        host_frames: counts.frames,
        frames: streamer.stats().video_frames,
        keyframe_requests: counts.keyframe_requests,
        resident: pids.map(resident),
        descriptors: pids.map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count()),
    }
}

/// `VmRSS` in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().strip_suffix(" kB").and_then(|line| line.parse::<u64>().ok()).expect("a number") << 10
}
