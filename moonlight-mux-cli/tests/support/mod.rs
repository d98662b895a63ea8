//! The program as a child process, and questions to its API.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

#[path = "../../../benches/tests/support/decoded.rs"]
pub(crate) mod decoded;
pub(crate) mod file;
pub(crate) mod folder;
#[path = "../../../benches/tests/support/page.rs"]
pub(crate) mod page;
pub(crate) mod relay;

/// Far above what anything here takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where streamers can run.
pub(crate) const ISOLATIONS: &[&str] = if cfg!(unix) { &["in-process", "process"] } else { &["in-process"] };

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moonlight-mux"));
    command
        .args(arguments)
        .env_remove("MOONLIGHT_MUX_LISTEN")
        .env_remove("MOONLIGHT_MUX_CONFIG")
        .env_remove("MOONLIGHT_MUX_STATE_DIR")
        .env_remove("MOONLIGHT_MUX_INPUT_MODE")
        .env_remove("MOONLIGHT_MUX_ISOLATION")
        .env_remove("MOONLIGHT_MUX_UDP_PORTS")
        .env("RUST_LOG", "warn,rtc_dtls=error,rtc_ice=error");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running `demo` and the address that it printed.
pub(crate) async fn demo(arguments: &[&str]) -> (Child, SocketAddr) {
    demo_at(([127, 0, 0, 1], 0).into(), arguments).await
}

/// The same on a port of the caller's choice.
pub(crate) async fn demo_at(listen: SocketAddr, arguments: &[&str]) -> (Child, SocketAddr) {
    let mut command = program(&["demo", "--listen", &listen.to_string()]);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("it runs");
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
    let url = line.strip_prefix("demo plays at http://").and_then(|url| url.strip_suffix("/s/demo"));
    let address = url.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
    (child, address)
}

/// The status line and the body of the answer to `GET path`.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (String, String) {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

/// The status line and the body of the answer to `POST path` with a JSON body.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> (String, String) {
    call(address, "POST", path, body).await
}

/// The same with another method.
pub(crate) async fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> (String, String) {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let length = body.len();
    let body = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    exchange(address, head + &body).await
}

async fn exchange(address: SocketAddr, request: String) -> (String, String) {
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

/// What the API says of the streamer.
pub(crate) async fn streamer(address: SocketAddr) -> Value {
    let (status, body) = get(address, "/api/streamers/demo").await;
    assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// Sends the program a signal and waits until it has ended.
#[cfg(unix)]
pub(crate) async fn end(mut child: Child, signal: &str) {
    let pid = child.id().expect("it runs").to_string();
    let killed = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
    assert!(killed.success());
    timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it has ended");
}
