//! What existing backends do, with each streamer in a process of its own: the tests of the HTTP crate once more, since here is
//! a program that can be that process; and what becomes of the processes.

#![cfg(unix)]

#[path = "../../moonlight-mux-http/tests/live_host.rs"]
mod live_host;
mod support;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use support::{PATIENCE, call, demo, end, get};
use tokio::process::Command;
use tokio::time::timeout;

const DEMO: [&str; 6] = ["--isolation", "process", "--size", "320x180", "--fps", "30"];

/// The process that the demo's streamer runs in, once it streams; another one than `before`.
async fn pid(address: SocketAddr, before: Option<u64>) -> u64 {
    let streams = async {
        loop {
            let (_, body) = get(address, "/api/streamers/demo").await;
            let info: Value = serde_json::from_str(&body).expect("JSON");
            match info["pid"].as_u64() {
                pid @ Some(now) if pid != before && info["status"] == "active" => return now,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    timeout(PATIENCE, streams).await.expect("it streams")
}

/// Neither running nor a zombie.
async fn until_gone(pid: u64) {
    let gone = async {
        while Path::new("/proc").join(pid.to_string()).exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is gone");
}

async fn kill(signal: &str, pid: u64) {
    let killed = Command::new("kill").args([signal, &pid.to_string()]).status().await.expect("kill runs");
    assert!(killed.success());
}

#[tokio::test]
async fn a_streamers_process_goes_with_it_and_with_the_server_however_that_ends() {
    for signal in ["-TERM", "-KILL"] {
        let (server, address) = demo(&DEMO).await;
        let streamer = pid(address, None).await;
        assert_ne!(Some(streamer), server.id().map(u64::from));
        end(server, signal).await;
        until_gone(streamer).await;
    }
    let (_server, address) = demo(&DEMO).await;
    let streamer = pid(address, None).await;
    let (status, answer) = call(address, "DELETE", "/api/streamers/demo", "").await;
    assert_eq!(status, "HTTP/1.1 204 No Content", "{answer}");
    assert!(!Path::new("/proc").join(streamer.to_string()).exists(), "it was awaited");
}

/// What `/proc` says of a process.
fn proc(pid: u64, file: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file)).expect("it runs")
}

#[tokio::test]
async fn a_streamers_process_has_the_limits_that_the_options_say() {
    let limits = ["--streamer-open-files", "123", "--streamer-nice", "7", "--udp-ports", "20300-20399"];
    let (server, address) = demo(&[&DEMO[..], &limits].concat()).await;
    let streamer = pid(address, None).await;
    let files = proc(streamer, "limits");
    let files = files.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(files.split_whitespace().nth(3), Some("123"), "{files}");
    // The 19th field (proc_pid_stat(5)); the 2nd is in brackets.
    let nice = |pid| {
        let stat = proc(pid, "stat");
        let behind = stat.rsplit_once(')').expect("a name").1;
        behind.split_whitespace().nth(16).expect("a number").parse::<i32>().expect("a number")
    };
    let server = nice(u64::from(server.id().expect("it runs")));
    assert_eq!(nice(streamer), (server + 7).min(19));
    let ports = udp_ports(streamer);
    // Those to its host are the system's choice.
    assert_eq!(ports.iter().filter(|port| (20_300..=20_399).contains(*port)).count(), 1, "{ports:?}");
}

/// The UDP ports that a process has: `/proc/PID/net/udp` has those of everybody, with the inodes of their sockets.
fn udp_ports(pid: u64) -> BTreeSet<u16> {
    let descriptors =
        std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).expect("it runs");
    let links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
    let own: HashSet<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let sockets = proc(pid, "net/udp");
    let sockets = sockets.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        Some((port, format!("socket:[{}]", fields.get(9)?)))
    });
    sockets.filter(|(_, socket)| own.contains(socket)).map(|(port, _)| port).collect()
}

#[tokio::test]
async fn a_streamer_whose_process_crashes_or_hangs_runs_again_in_another() {
    let (_server, address) = demo(&DEMO).await;
    let mut streamer = pid(address, None).await;
    for signal in ["-ABRT", "-KILL", "-STOP"] {
        kill(signal, streamer).await;
        let next = pid(address, Some(streamer)).await;
        until_gone(streamer).await;
        streamer = next;
    }
    let (_, body) = get(address, "/api/streamers/demo").await;
    let info: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(info["restarts"], 3, "{info}");
}
