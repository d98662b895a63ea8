//! The list of streams that run in processes of their own.

use std::fs;

use moonlight_mux::{Faults, HostStep, Manner, ProcessCommand, ProcessConfig};
use moonlight_mux_http::{Isolation, ServerConfig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::scene::{Scene, WATCHED};
use super::support::page::{PATIENCE, command, open};
use super::{BROWSER, Folder};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_a_process_tells_of_its_crashes_and_is_there_again() {
    let _one_at_a_time = BROWSER.lock().await;
    let folder = Folder::new("processes");
    fs::create_dir_all(&folder.0).expect("a folder");
    let mut program = ProcessCommand::new(env!("CARGO_BIN_EXE_streamer_child"));
    // The first process panics, before it has a picture: the host says nothing for so long.
    program.envs = vec![
        ("MMUX_FAULT".into(), "panic".into()),
        ("MMUX_FAULT_FRAMES".into(), "0".into()),
        ("MMUX_FAULT_ONCE".into(), folder.0.join("panicked").into()),
        ("MMUX_HOLD".into(), folder.0.join("hold").into()),
    ];
    // The later ones wait for the test, however long the page and it take.
    let hold = folder.0.join("hold");
    let mut process = ProcessConfig::default();
    process.ready_timeout = 10 * PATIENCE;
    process.command = Some(program);
    process.webrtc.bind = ([127, 0, 0, 1], 0).into();
    let config = ServerConfig { isolation: Isolation::Process(Box::new(process)), ..ServerConfig::default() };
    let mut scene = Scene::with(Manner::Sunshine, config).await;
    scene.pair().await;
    scene.host.set_faults(silent());
    scene.fill("#new-name", "desk").await;
    scene.fill_small().await;
    scene.click("#new-create").await;
    scene.says(".streamer .state", "Failed").await;
    scene.says(".streamer .problem", "The streamer's process ended with").await;
    scene.says(".foot .code", "process_failed").await;
    scene.click(".log summary").await;
    scene.says(".log pre", "as it was told to").await;
    scene.pictures("list-process-failed").await;

    scene.host.set_faults(Faults::default());
    fs::write(&hold, "").expect("a file");
    scene.click(".again").await;
    scene.says(".streamer .state", "Starting").await;
    fs::remove_file(&hold).expect("it was there");
    scene.says(".streamer .state", "Live").await;
    let first = scene.process().await;
    let viewer = open(&mut scene.chromium, &format!("http://{}/s/desk?name=Ann", scene.address)).await;
    scene.info("desk", WATCHED).await;
    scene.chromium.close(viewer).await.expect("the page closes");
    command(&mut scene.chromium, &scene.page, "Page.bringToFront", json!({})).await;
    scene.info("desk", "info.peers.length === 0").await;

    fs::write(&hold, "").expect("a file");
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("a process of ours");
    scene.says(".streamer .state", "Reconnecting").await;
    scene.says(".streamer .problem", "The streamer's process ended with signal 9.").await;
    scene.says("#announcement", "desk: Reconnecting.").await;
    scene.pictures("list-process-killed").await;
    fs::remove_file(&hold).expect("it was there");
    scene.says(".streamer .state", "Live").await;
    scene.says(".foot .details", "restarted").await;
    let second = scene.process().await;
    assert_ne!(first, second);

    scene.click(".stop").await;
    scene.click("#stop-confirm").await;
    scene.until("document.getElementById('empty').checkVisibility()").await;
    assert!(scene.registry.list().is_empty());
    assert!(!fs::exists(format!("/proc/{second}")).expect("Linux"));
    scene.quit().await;
}

/// The host answers nobody who wants to stream.
fn silent() -> Faults {
    let mut faults = Faults::default();
    faults.silent = vec![HostStep::ServerInfo];
    faults
}
