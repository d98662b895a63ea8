//! `serve` and its configuration file, as a person uses them.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use support::folder::Folder;
use support::{PATIENCE, get, program};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

struct Server {
    _child: Child,
    address: std::net::SocketAddr,
}

/// Starts it and reads where it serves.
async fn serve(mut command: Command) -> Server {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
    let address = line.strip_prefix("serving at http://").and_then(|rest| rest.strip_suffix('/'));
    let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
    Server { _child: child, address }
}

fn command(config: &Path) -> Command {
    let mut command = program(&["serve"]);
    command.env("MOONLIGHT_MUX_CONFIG", config);
    command
}

fn write(folder: &Folder, text: &str) -> PathBuf {
    let path = folder.file("config.toml");
    std::fs::write(&path, text).expect("it is written");
    path
}

#[tokio::test]
async fn options_win_over_the_environment_and_the_environment_over_the_file() {
    let folder = Folder::new("precedence");
    let config = write(&folder, "listen = \"127.0.0.2:0\"\nstate_dir = \"state\"\n");
    let address = |server: &Server| server.address.ip().to_string();
    assert_eq!(address(&serve(command(&config)).await), "127.0.0.2");
    let mut from_environment = command(&config);
    from_environment.env("MOONLIGHT_MUX_LISTEN", "127.0.0.3:0");
    assert_eq!(address(&serve(from_environment).await), "127.0.0.3");
    let mut from_option = command(&config);
    from_option.env("MOONLIGHT_MUX_LISTEN", "127.0.0.3:0").args(["--listen", "127.0.0.4:0"]);
    assert_eq!(address(&serve(from_option).await), "127.0.0.4");
    assert!(folder.file("state").is_dir(), "beside the file");
}

#[tokio::test]
async fn hosts_of_the_file_are_served() {
    let folder = Folder::new("hosts");
    let text =
        "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[[hosts]]\nid = 7\naddress = \"127.0.0.1:1\"\n";
    let server = serve(command(&write(&folder, text))).await;
    let (status, body) = get(server.address, "/api/hosts").await;
    assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
    let hosts: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(hosts["hosts"][0]["host_id"], 7, "{hosts}");
}

#[tokio::test]
async fn a_bad_file_ends_with_2_and_says_where_it_is_bad() {
    let folder = Folder::new("bad");
    let config = write(&folder, "listen = \"127.0.0.1:0\"\n\n[reachability]\nupd = \"0.0.0.0:1\"\n");
    let output = timeout(PATIENCE, command(&config).output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    let expected = format!("moonlight-mux: {}:4: reachability.upd: unknown field `upd`", config.display());
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[tokio::test]
async fn one_port_for_several_processes_ends_with_2_and_says_what_to_do() {
    let folder = Folder::new("one-port");
    let text = "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[reachability]\nudp = \"127.0.0.1:4000\"\n";
    let output = command(&write(&folder, text)).output();
    let output = timeout(PATIENCE, output).await.expect("it ends").expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("--udp 127.0.0.1:4000 is one port") && said.contains("--udp-ports"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_turn_server_that_nobody_can_log_in_to_ends_with_2() {
    let folder = Folder::new("turn");
    let text = "listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[reachability.turn]\nurls = [\"turn:a:1\"]\n\
                secret_file = \"none\"\n";
    let config = write(&folder, text);
    for (arguments, words) in [(&[][..], "cannot be read"), (&["--turn", "turn:b:1"], "--turn needs ")] {
        let output = command(&config).args(arguments).output();
        let output = timeout(PATIENCE, output).await.expect("it ends").expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains(words), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}
