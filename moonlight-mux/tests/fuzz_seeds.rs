//! The fuzz targets over their seeds, without a fuzzer: what the seeds show stays true, and nothing near them panics.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use moonlight_mux::fuzzing;

macro_rules! targets {
    ($($target:ident),* $(,)?) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            fuzzing::run_over_seeds(stringify!($target), fuzzing::$target);
        })*
    };
}

targets! {
    audio_datagram,
    connection,
    control_message,
    control_stream,
    description,
    enet_datagram,
    existing_page,
    host_clock,
    input_channels,
    input_message,
    input_packet,
    ipc_frames,
    ipc_media,
    ipc_message,
    media_session,
    nack,
    packetiser,
    pairing,
    pcap,
    rtsp,
    sdp,
    srtcp,
    stun,
    tcp_frames,
    video_datagram,
    xml,
}

/// Of another crate, which runs it itself.
const ELSEWHERE: [&str; 2] = ["kept_streamers", "peer_message"];

#[test]
fn every_target_has_seeds_and_runs_over_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let built = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""));

    let run: BTreeSet<_> = TARGETS.iter().chain(&ELSEWHERE).map(|&target| target.to_owned()).collect();
    assert_eq!(names(&folder.join("fuzz_targets")), run);
    assert_eq!(built.map(str::to_owned).collect::<BTreeSet<_>>(), run);
    assert_eq!(names(&folder.join("seeds")), run);
}
