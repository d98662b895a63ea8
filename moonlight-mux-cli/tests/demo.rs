//! The program as a person runs it: what it prints, serves, and ends with.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moonlight-mux"));
    command.args(arguments).env_remove("MOONLIGHT_MUX_LISTEN").env("RUST_LOG", "warn");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running `demo` and the address that it printed.
async fn demo(arguments: &[&str]) -> (Child, SocketAddr) {
    let mut command = program(&["demo", "--listen", "127.0.0.1:0"]);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("it runs");
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
    let url = line.strip_prefix("demo plays at http://").and_then(|url| url.strip_suffix("/s/demo"));
    let address = url.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
    (child, address)
}

/// Runs the program until it ends by itself: its exit code and what it says on standard error.
async fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let run = timeout(PATIENCE, program(arguments).output());
    let Output { status, stderr, .. } = run.await.expect("it ends").expect("it runs");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

/// The status line and the body of the answer to `GET path`.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = timeout(PATIENCE, async {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers");
        answer
    });
    let answer = answer.await.expect("in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().expect("a status line").to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_demo_prints_its_address_and_streams() {
    let (_child, address) = demo(&["--size", "640x360", "--fps", "30"]).await;
    for path in ["/", "/s/demo"] {
        let (status, body) = get(address, path).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(body.contains("<html"), "{body}");
    }
    let (status, body) = get(address, "/api/streamers").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let list: Value = serde_json::from_str(&body).expect("JSON");
    let streamer = &list["streamers"][0];
    assert_eq!(streamer["streamer_id"], "demo");
    assert_eq!(streamer["status"], "active");
    assert_eq!((&streamer["width"], &streamer["height"]), (&640.into(), &360.into()));
    assert_eq!((&streamer["fps"], &streamer["codec"]), (&30.into(), &"H.264".into()));
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_and_ctrl_c_end_it_within_two_seconds() {
    for signal in ["-TERM", "-INT"] {
        let (mut child, address) = demo(&["--size", "640x360"]).await;
        // A browser's connection that stays open does not hold it up.
        let _idle = TcpStream::connect(address).await.expect("it listens");
        let pid = child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
        assert!(killed.success());
        let ended = timeout(Duration::from_secs(2), child.wait()).await.expect("within 2 s");
        assert_eq!(ended.expect("it has ended").code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_used_port_ends_with_1_and_says_what_to_do() {
    let used = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = used.local_addr().expect("an address");
    let (code, said) = ends(&["demo", "--listen", &address.to_string()]).await;
    let sentence =
        format!("moonlight-mux: port {} is in use: choose another with --listen 127.0.0.1:", address.port());
    assert!(said.contains(&sentence), "{said}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn wrong_arguments_end_with_2_and_say_what_is_wrong() {
    for (arguments, sentence) in [
        (&["--size", "1281x720"][..], "1281x720 has an odd side: try 1280x720"),
        (&["--size", "10000x720"], "10000x720 is out of range"),
        (&["--size", "large"], "a size is WIDTHxHEIGHT in pixels, as in 1280x720"),
        (&["--fps", "0"], "0 is not in 1..=240"),
        (&["--listen", "0.0.0.0:8080"], "nobody is asked who they are yet"),
    ] {
        let (code, said) = ends(&[&["demo"], arguments].concat()).await;
        assert!(said.contains(sentence), "{said}");
        assert_eq!(code, Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn every_help_has_examples_and_exit_codes() {
    for command in [&[][..], &["demo"], &["serve"]] {
        let run = program(&[command, &["--help"]].concat()).output();
        let output = timeout(PATIENCE, run).await.expect("it ends").expect("it runs");
        let help = String::from_utf8(output.stdout).expect("text");
        assert!(help.contains("Examples:\n  moonlight-mux "), "{help}");
        assert!(help.contains("Exit codes: 0 "), "{help}");
        assert_eq!(output.status.code(), Some(0));
    }
}
