//! Streamers that come back when `serve` is started again, with a host of the test's own behind it.

#![cfg(unix)]

mod support;

use std::net::SocketAddr;
use std::process::Stdio;

use moonlight_mux::{TestHost, TestHostConfig};
use serde_json::{Value, json};
use support::folder::Folder;
use support::{ISOLATIONS, PATIENCE, call, end, get, post, program};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

/// `serve` with a state directory that is there again the next time.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(folder: &Folder, isolation: &str) -> Self {
        let arguments = ["serve", "--isolation", isolation, "--listen", "127.0.0.1:0", "--state-dir"];
        let mut command = program(&arguments);
        let mut child = command.arg(folder.file("state")).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text");
        let line = line.expect("a line");
        let address = line.strip_prefix("serving at http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Self { child, address }
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let reached = async {
            loop {
                let (status, body) = get(self.address, path).await;
                assert_eq!(status, "HTTP/1.1 200 OK", "{path}: {body}");
                let answer = serde_json::from_str(&body).expect("JSON");
                if wanted(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{path} is not as wanted"))
    }

    /// Adds the host and pairs with it, as a person does.
    async fn pair(&self, host: &TestHost) {
        let body = json!({"address": host.address().to_string()}).to_string();
        let (status, answer) = post(self.address, "/api/hosts", &body).await;
        assert_eq!(status, "HTTP/1.1 201 Created", "{answer}");
        let (_, answer) = post(self.address, "/api/hosts/0/pair", "{}").await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        host.enter_pin(answer["pin"].as_str().expect("a PIN"));
        self.until("/api/hosts/0", |host| host["pairing"]["status"] == "paired").await;
    }

    async fn create(&self, id: &str, persistent: bool) {
        let body = json!({"streamer_id": id, "host_id": 0, "app": "Desktop", "width": 320, "height": 180,
            "fps": 30, "persistent": persistent});
        let (status, answer) = post(self.address, "/api/streamers", &body.to_string()).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    }

    async fn ids(&self) -> Vec<String> {
        let (_, body) = get(self.address, "/api/streamers").await;
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let ids = list["streamers"].as_array().expect("a list").iter();
        ids.map(|info| info["streamer_id"].as_str().expect("text").to_owned()).collect()
    }
}

#[tokio::test]
async fn persistent_streamers_come_back_after_a_stop_and_after_a_kill() {
    for isolation in ISOLATIONS {
        let host = TestHost::start(TestHostConfig::default()).await.expect("a host");
        let folder = Folder::new(&format!("persistent-{isolation}"));
        let mut server = Server::start(&folder, isolation).await;
        server.pair(&host).await;
        server.create("stays", true).await;
        server.create("goes", false).await;
        for signal in ["-TERM", "-KILL"] {
            end(server.child, signal).await;
            server = Server::start(&folder, isolation).await;
            assert_eq!(server.ids().await, ["stays"], "{signal}");
            let info = server.until("/api/streamers/stays", |info| info["status"] == "active").await;
            assert_eq!((&info["persistent"], &info["height"]), (&json!(true), &json!(180)), "{info}");
            assert_eq!(info["pid"].is_u64(), *isolation == "process", "{info}");
        }
        let (status, answer) = call(server.address, "DELETE", "/api/streamers/stays", "").await;
        assert_eq!(status, "HTTP/1.1 204 No Content", "{answer}");
        end(server.child, "-TERM").await;
        assert!(Server::start(&folder, isolation).await.ids().await.is_empty());
    }
}

#[tokio::test]
async fn a_damaged_list_is_set_aside_and_told_of_and_a_second_server_is_refused() {
    let folder = Folder::new("damaged-streamers");
    std::fs::create_dir(folder.file("state")).expect("a folder");
    let list = folder.file("state").join("streamers.json");
    std::fs::write(&list, "{\"schema\":1,").expect("it is written");
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--state-dir"]);
    let mut child = command
        .arg(folder.file("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let told = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("it is told");
            if line.starts_with("moonlight-mux: the list of persistent streamers was damaged") {
                return line;
            }
        }
    };
    let told = timeout(PATIENCE, told).await.expect("in time");
    let aside = list.with_extension("damaged-1");
    assert!(told.contains(aside.to_str().expect("text")), "{told}");
    assert_eq!(std::fs::read_to_string(aside).expect("it is there"), "{\"schema\":1,");

    let mut second = program(&["serve", "--listen", "127.0.0.1:0", "--state-dir"]);
    let second = timeout(PATIENCE, second.arg(folder.file("state")).output()).await.expect("it ends");
    let second = second.expect("it ran");
    let said = String::from_utf8(second.stderr).expect("text");
    assert!(second.status.code() == Some(1) && said.contains("is in use by another program"), "{said}");
    end(child, "-TERM").await;

    std::fs::write(&list, "{\"schema\":999}").expect("it is written");
    let mut newer = program(&["serve", "--listen", "127.0.0.1:0", "--state-dir"]);
    let newer = timeout(PATIENCE, newer.arg(folder.file("state")).output()).await.expect("it ends");
    let newer = newer.expect("it ran");
    let said = String::from_utf8(newer.stderr).expect("text");
    assert!(newer.status.code() == Some(1) && said.contains("newer version (schema 999)"), "{said}");
}
