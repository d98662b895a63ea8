//! Hosts and streamers over HTTP, with a test host behind it: what existing backends do, word by word.

#[path = "live_host/again.rs"]
mod again;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use moonlight_mux::{
    Faults, HostErrorCause, HostEvent, HostOptions, Hosts, PairingMethod, Pin, PinEntry, StartRefusal,
    TestApp, TestHost, TestHostConfig,
};
use moonlight_mux_http::Isolation;
use serde_json::{Value, json};
use support::{Answer, Fixture, call, isolation, patch, post, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The only app of a test host.
const DESKTOP: u32 = 881_448_767;

/// A test host, and a server whose host 0 it is.
struct Live {
    host: Arc<TestHost>,
    fixture: Fixture,
    router: Router,
}

/// The test host's user, who enters each PIN.
struct User(Arc<TestHost>);

#[async_trait]
impl PinEntry for User {
    async fn enter_pin(&self, pin: &Pin) -> Result<(), HostErrorCause> {
        self.0.enter_pin(pin.digits());
        Ok(())
    }
}

impl Live {
    /// The server knows the host and pairs by itself.
    async fn new() -> Self {
        let host = Arc::new(TestHost::start(TestHostConfig::default()).await.expect("free ports"));
        Self::with(host.clone(), PairingMethod::Other(Arc::new(User(host)))).await
    }

    async fn with(host: Arc<TestHost>, pairing: PairingMethod) -> Self {
        let hosts = Hosts::in_memory();
        let mut options = HostOptions::default();
        options.pairing = pairing;
        hosts.add(address(&host), options).await.expect("the host answers");
        let fixture = Fixture::with_hosts(hosts);
        let router = fixture.router();
        Self { host, fixture, router }
    }

    async fn create(&self, query: &str, body: &Value) -> Answer {
        call(&self.router, post(&format!("/api/streamers{query}"), &body.to_string())).await
    }

    async fn get(&self, path: &str) -> Answer {
        call(&self.router, request("GET", path)).await
    }

    /// Asks again and again until the answer is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let answer = self.get(path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let answer = answer.json();
            if wanted(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn address(host: &TestHost) -> moonlight_mux::HostAddress {
    host.http_address().to_string().parse().expect("an address")
}

/// Over a connection of its own, which the server closes behind its answer.
async fn ask(server: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    stream.write_all(body.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// The body that existing backends send, for the test host's app and with a smaller picture.
fn golden() -> Value {
    json!({
        "streamer_id": "agent-ses_01k7jt2n9c5nt9pffq1r8kg92p",
        "client_unique_id": "helix-agent-ses_01k7jt2n9c5nt9pffq1r8kg92p",
        "host_id": 0, "app_id": DESKTOP, "bitrate": 20000, "packet_size": 1024, "fps": 60, "width": 320,
        "height": 240, "video_sample_queue_size": 10, "play_audio_local": false, "audio_sample_queue_size": 10,
        "video_supported_formats": 1, "video_colorspace": "Rec709", "video_color_range_full": false,
    })
}

/// The same with another value.
fn golden_with(field: &str, value: impl Into<Value>) -> Value {
    let mut body = golden();
    body[field] = value.into();
    body
}

/// A problem, as old clients and new ones read it.
fn problem(status: u16, title: &str, code: &str, unit_name: &str, detail: &str) -> Value {
    json!({"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code,
        "error": format!("{unit_name}: {detail}")})
}

#[tokio::test]
async fn an_existing_backend_gets_the_documented_answer() {
    let live = Live::new().await;
    let answer = live.create("", &golden()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), "application/json");
    let info = answer.json();
    let known = [
        "streamer_id",
        "status",
        "moonlight_connected",
        "connected_peers",
        "width",
        "height",
        "fps",
        "created_at",
        "peers",
    ];
    let newer = ["codec", "bitrate_kbps", "restarts", "input_mode", "persistent"];
    let process = !matches!(isolation(), Isolation::InProcess);
    // A process tells the age within a second.
    let own = if process { "pid" } else { "last_frame_age_ms" };
    let fields = info.as_object().unwrap().keys().map(String::as_str);
    let fields: BTreeSet<_> = fields.filter(|field| !process || *field != "last_frame_age_ms").collect();
    assert_eq!(fields, known.into_iter().chain(newer).chain([own]).collect());
    assert_eq!(info["pid"].as_u64().is_some_and(|pid| pid != u64::from(std::process::id())), process);
    assert_eq!(info["streamer_id"], "agent-ses_01k7jt2n9c5nt9pffq1r8kg92p");
    assert_eq!(info["status"], "active");
    assert_eq!(info["moonlight_connected"], true);
    assert_eq!((&info["connected_peers"], &info["peers"]), (&json!(0), &json!([])));
    assert_eq!((&info["width"], &info["height"], &info["fps"]), (&json!(320), &json!(240), &json!(60)));
    let created_at = info["created_at"].as_str().unwrap();
    assert!(created_at.len() == 20 && created_at.ends_with('Z'), "{created_at}");
    let launched = live.host.wait_for(|event| matches!(event, HostEvent::Launched { .. })).await;
    let HostEvent::Launched { app, resumed: false, width: 320, height: 240, fps: 60, .. } = launched else {
        panic!("{launched:?}")
    };
    assert_eq!(app, DESKTOP);

    let id = "/api/streamers/agent-ses_01k7jt2n9c5nt9pffq1r8kg92p";
    let info = live.until(id, |info| info["last_frame_age_ms"].is_u64()).await;
    assert_eq!(info["status"], "active");
    assert_eq!(call(&live.router, request("DELETE", id)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(live.get(id).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn each_way_to_fail_is_told_as_documented_and_leaves_no_entry() {
    let live = Live::new().await;
    let address = address(&live.host);
    let check = async |body: Value, status: u16, code: &str, unit_name: &str, words: &str| {
        let answer = live.create("", &body).await;
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), &problem["code"]), (status, &json!(code)), "{problem}");
        let error = problem["error"].as_str().unwrap();
        assert!(error.starts_with(&format!("{unit_name}: {address}: ")) && error.ends_with(words), "{error}");
        assert!(problem["stage"].is_string() && problem["elapsed_ms"].is_u64(), "{problem}");
        assert!(live.fixture.registry.list().is_empty());
        problem
    };
    check(golden_with("app_id", 5), 404, "app_not_found", "AppNotFound", "it has no such app").await;

    let mut faults = Faults::default();
    faults.refuse_start = Some(StartRefusal { status: 503, message: "no encoder".to_owned() });
    live.host.set_faults(faults);
    let words = "it refuses with status 503: no encoder";
    let problem = check(golden(), 502, "host_refused", "InternalServerError", words).await;
    assert_eq!((&problem["stage"], &problem["host_code"]), (&json!("launch"), &json!(503)));
    live.host.set_faults(Faults::default());

    let answer = live.create("", &golden_with("host_id", 1)).await;
    let expected =
        self::problem(404, "Not Found", "host_not_found", "HostNotFound", "there is no host with this id");
    assert_eq!((answer.status, answer.json()), (StatusCode::NOT_FOUND, expected));
}

#[tokio::test]
async fn a_host_that_nobody_paired_says_so() {
    let host = Arc::new(TestHost::start(TestHostConfig::default()).await.expect("free ports"));
    let live = Live::with(host, PairingMethod::Pin).await;
    let answer = live.create("", &golden()).await;
    let problem = answer.json();
    assert_eq!((answer.status.as_u16(), &problem["code"]), (400, &json!("host_not_paired")), "{problem}");
    assert!(problem["error"].as_str().unwrap().starts_with("HostNotPaired: "), "{problem}");
    assert!(live.fixture.registry.list().is_empty());
}

#[tokio::test]
async fn a_host_where_another_app_runs_is_busy() {
    let mut config = TestHostConfig::default();
    config.apps.push(TestApp::new(7, "Game"));
    let host = Arc::new(TestHost::start(config).await.expect("free ports"));
    let live = Live::with(host.clone(), PairingMethod::Other(Arc::new(User(host)))).await;
    assert_eq!(live.create("", &golden()).await.status, StatusCode::OK);
    let mut other = golden_with("app_id", 7);
    other["streamer_id"] = json!("other");
    let answer = live.create("", &other).await;
    let problem = answer.json();
    assert_eq!((answer.status.as_u16(), &problem["code"]), (409, &json!("host_busy")), "{problem}");
    assert!(
        problem["error"].as_str().unwrap().ends_with(&format!("it is busy with app {DESKTOP}")),
        "{problem}"
    );
}

#[tokio::test]
async fn of_64_creates_at_once_one_gets_200_and_then_all_of_400_gets_find_it() {
    let live = Live::new().await;
    live.fixture
        .serve(async |server| {
            let body = golden().to_string();
            let head = format!(
                "POST /api/streamers HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nAuthorization: Bearer some-credentials\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            let mut creates = JoinSet::new();
            for _ in 0..64 {
                let (head, body) = (head.clone(), body.clone());
                creates.spawn(async move { ask(server, &head, &body).await });
            }
            let answers = creates.join_all().await;
            let count = |start| answers.iter().filter(|answer| answer.starts_with(start)).count();
            assert_eq!(count("HTTP/1.1 200 "), 1);
            assert_eq!(count("HTTP/1.1 409 "), 63);
            let conflict = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 409 ")).unwrap();
            let conflict: Value = serde_json::from_str(conflict.split_once("\r\n\r\n").unwrap().1).unwrap();
            assert_eq!(conflict["code"], "streamer_exists");
            assert!(conflict["error"].as_str().unwrap().starts_with("AlreadyStreaming: "), "{conflict}");
            let golden = golden();
            for field in ["host_id", "app_id", "client_unique_id", "width", "height", "fps"] {
                assert_eq!(conflict["target"][field], golden[field], "{field}");
            }

            let path = format!("/api/streamers/{}", golden["streamer_id"].as_str().unwrap());
            let get = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
            let mut gets = JoinSet::new();
            for _ in 0..400 {
                let get = get.clone();
                gets.spawn(async move { ask(server, &get, "").await });
            }
            let hits = gets.join_all().await;
            assert_eq!(hits.iter().filter(|answer| answer.starts_with("HTTP/1.1 200 ")).count(), 400);
        })
        .await;
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_the_stream_coming_up() {
    let live = Live::new().await;
    let mut faults = Faults::default();
    faults.slow_launch = Duration::from_millis(300);
    live.host.set_faults(faults);
    live.fixture
        .serve(async |server| {
            let body = golden().to_string();
            let head = format!(
                "POST /api/streamers HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut client = TcpStream::connect(server).await.expect("it listens");
            client.write_all(head.as_bytes()).await.expect("it reads");
            live.host.wait_for(|event| matches!(event, HostEvent::Paired)).await;
            drop(client);
            let path = format!("/api/streamers/{}", golden()["streamer_id"].as_str().unwrap());
            live.until(&path, |info| info["status"] == "active").await;
        })
        .await;
}

#[tokio::test]
async fn whoever_does_not_wait_is_told_that_it_is_starting() {
    let live = Live::new().await;
    let answer = live.create("?wait=false", &golden()).await;
    let info = answer.json();
    assert_eq!((answer.status, &info["status"]), (StatusCode::OK, &json!("starting")));
    assert_eq!((&info["moonlight_connected"], &info["width"]), (&json!(false), &json!(0)));
    let path = format!("/api/streamers/{}", golden()["streamer_id"].as_str().unwrap());
    live.until(&path, |info| info["status"] == "active").await;

    let mut unknown = golden_with("app_id", 5);
    unknown["streamer_id"] = json!("unknown");
    assert_eq!(live.create("?wait=false", &unknown).await.json()["status"], "starting");
    let failed = live.until("/api/streamers/unknown", |info| info["status"] != "starting").await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("app_not_found")));
    // It is in nobody's way.
    unknown["app_id"] = json!(DESKTOP);
    assert_eq!(live.create("", &unknown).await.json()["status"], "active");
}

#[tokio::test]
async fn a_running_stream_is_replaced_when_that_is_asked() {
    let live = Live::new().await;
    let by_title =
        json!({"streamer_id": "desk", "host_id": 0, "app": "Desktop", "width": 320, "height": 240});
    let first = live.create("", &by_title).await;
    assert_eq!(first.json()["status"], "active", "{}", first.json());
    let refused = live.create("", &golden_with("streamer_id", "desk")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["target"]["app"], "Desktop");

    let mut larger = by_title;
    larger["width"] = json!(640);
    let second = live.create("?on_conflict=replace", &larger).await;
    let info = second.json();
    assert_eq!((second.status, &info["width"]), (StatusCode::OK, &json!(640)), "{info}");
    assert_eq!(live.fixture.registry.list().len(), 1);
    let resumed = |event: &HostEvent| matches!(event, HostEvent::Launched { resumed: true, width: 640, .. });
    live.host.wait_for(resumed).await;
}

#[tokio::test]
async fn a_host_is_added_paired_and_asked_for_its_apps() {
    let host = TestHost::start(TestHostConfig::default()).await.expect("free ports");
    let fixture = Fixture::with_hosts(Hosts::in_memory());
    let router = fixture.router();
    let live = Live { host: Arc::new(host), fixture, router };
    assert_eq!(live.get("/api/hosts").await.json(), json!({"hosts": []}));

    let address = address(&live.host).to_string();
    let body = json!({"address": address}).to_string();
    let added = call(&live.router, post("/api/hosts", &body)).await;
    let record = json!({"host_id": 0, "name": "test host", "address": address, "paired": false});
    assert_eq!((added.status, added.json()), (StatusCode::CREATED, record.clone()));
    assert_eq!(live.get("/api/hosts").await.json(), json!({"hosts": [record]}));
    let again = call(&live.router, post("/api/hosts", &body)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!((&again.json()["code"], &again.json()["host_id"]), (&json!("host_exists"), &json!(0)));

    let asked = live.get("/api/hosts/0").await.json();
    assert_eq!((&asked["state"], &asked["paired"]), (&json!("free"), &json!(false)));
    let unpaired = live.get("/api/hosts/0/apps").await;
    assert_eq!((unpaired.status.as_u16(), &unpaired.json()["code"]), (400, &json!("host_not_paired")));

    let pair = async || {
        let answer = call(&live.router, request("POST", "/api/hosts/0/pair")).await;
        assert_eq!(answer.status, StatusCode::OK);
        let pin = answer.json()["pin"].as_str().expect("a PIN").to_owned();
        assert!(pin.len() == 4 && pin.bytes().all(|digit| digit.is_ascii_digit()));
        assert_eq!(live.get("/api/hosts/0").await.json()["pairing"], json!({"status": "waiting"}));
        pin
    };
    let over = |host: &Value| host["pairing"]["status"] != "waiting";
    let pin = pair().await;
    live.host.enter_pin(if pin == "0000" { "1111" } else { "0000" });
    let failed = live.until("/api/hosts/0", over).await;
    assert_eq!(failed["pairing"]["status"], "failed");
    assert_eq!(failed["pairing"]["error"]["code"], "wrong_pin", "{failed}");

    let pin = pair().await;
    live.host.enter_pin(&pin);
    let paired = live.until("/api/hosts/0", over).await;
    assert_eq!((&paired["pairing"]["status"], &paired["paired"]), (&json!("paired"), &json!(true)));
    let apps = live.get("/api/hosts/0/apps").await;
    let desktop = json!({"app_id": DESKTOP, "title": "Desktop", "is_hdr_supported": false});
    let mut expected = apps.json();
    expected["apps"][0]["is_hdr_supported"] = json!(false);
    assert_eq!(expected, json!({"apps": [desktop]}));
    let image = live.get(&format!("/api/hosts/0/apps/{DESKTOP}/image")).await;
    assert_eq!((image.status, image.header("content-type")), (StatusCode::OK, "image/png"));

    let least = json!({"streamer_id": "desk", "host_id": 0, "app": "Desktop", "width": 320, "height": 240});
    assert_eq!(live.create("", &least).await.json()["status"], "active");
    let busy = live.get("/api/hosts/0").await.json();
    assert_eq!((&busy["state"], &busy["running_app_id"]), (&json!("busy"), &json!(DESKTOP)));

    assert_eq!(call(&live.router, request("DELETE", "/api/hosts/0")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(live.get("/api/hosts/0").await.json()["code"], "host_not_found");
    assert_eq!(live.get("/api/streamers/desk").await.json()["status"], "active", "its streamers go on");
}

#[tokio::test]
async fn reading_makes_no_identity() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reading_makes_no_identity");
    // Of an earlier run.
    let _ = fs::remove_dir_all(&directory);
    let host = TestHost::start(TestHostConfig::default()).await.expect("free ports");
    let hosts = Hosts::open(&directory).expect("a new directory");
    hosts.add(address(&host), HostOptions::default()).await.expect("the host answers");
    let router = Fixture::with_hosts(hosts).router();
    let identities = || {
        let entries = fs::read_dir(directory.join("identities")).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let before = identities();
    assert_eq!(before.len(), 1, "the server's own");
    for (path, status) in [("", 200), ("/apps", 400), ("/apps/1/image", 400)] {
        let path = format!("/api/hosts/0{path}?client_unique_id=stranger");
        let answer = call(&router, request("GET", &path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    assert_eq!(identities(), before);
}

#[tokio::test]
async fn a_host_that_is_gone_is_offline_and_is_not_added_anew() {
    let host = TestHost::start(TestHostConfig::default()).await.expect("free ports");
    let address = address(&host);
    let hosts = Hosts::in_memory();
    hosts.add(address.clone(), HostOptions::default()).await.expect("the host answers");
    host.kill().await;

    let router = Fixture::with_hosts(hosts).router();
    let answer = call(&router, request("GET", "/api/hosts/0")).await;
    let answer_json = answer.json();
    assert_eq!((answer.status, &answer_json["state"]), (StatusCode::OK, &json!("offline")));
    let error = json!({"stage": "server info", "code": "connection_failed"});
    for field in ["stage", "code"] {
        assert_eq!(answer_json["error"][field], error[field]);
    }

    let router = Fixture::with_hosts(Hosts::in_memory()).router();
    let body = json!({"address": address.to_string()}).to_string();
    let refused = call(&router, post("/api/hosts", &body)).await;
    let problem = refused.json();
    assert_eq!((refused.status.as_u16(), &problem["code"]), (502, &json!("connection_failed")));
    let error = problem["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("InternalServerError: {address}: server info failed after ")),
        "{error}"
    );
    assert!(error.ends_with("it refuses connections"), "{error}");
    assert_eq!(call(&router, request("GET", "/api/hosts")).await.json(), json!({"hosts": []}));
}

#[tokio::test]
async fn bad_calls_of_hosts_are_problems() {
    let live = Live::new().await;
    for (method, path, body, status, code) in [
        ("GET", "/api/hosts/1", "", 404, "host_not_found"),
        ("GET", "/api/hosts/desk", "", 404, "host_not_found"),
        ("GET", "/api/hosts/-1", "", 404, "host_not_found"),
        ("GET", "/api/hosts/4294967296", "", 404, "host_not_found"),
        ("GET", "/api/hosts/0?client_unique_id=a%20b", "", 422, "invalid_field"),
        ("GET", "/api/hosts/0?client_unique_id=a&client_unique_id=b", "", 400, "invalid_query"),
        ("GET", "/api/hosts/1/apps", "", 404, "host_not_found"),
        ("GET", "/api/hosts/0/apps/0/image", "", 404, "app_not_found"),
        ("GET", "/api/hosts/0/apps/desk/image", "", 404, "app_not_found"),
        ("DELETE", "/api/hosts/1", "", 404, "host_not_found"),
        ("PUT", "/api/hosts/0", "", 405, "method_not_allowed"),
        ("POST", "/api/hosts/1/pair", "{}", 404, "host_not_found"),
        ("POST", "/api/hosts/1/wake", "", 404, "host_not_found"),
        ("POST", "/api/hosts/0/wake", "", 409, "hardware_address_unknown"),
        ("POST", "/api/hosts/0/pair", "[]", 422, "not_an_object"),
        ("POST", "/api/hosts/0/pair", "{", 400, "invalid_json"),
        ("POST", "/api/hosts/0/pair", "{\"client_unique_id\":\"\"}", 422, "invalid_field"),
        ("POST", "/api/hosts", "{}", 422, "invalid_field"),
        ("POST", "/api/hosts", "{\"address\":7}", 422, "invalid_field"),
        ("POST", "/api/hosts", "{\"address\":\"a b\"}", 422, "invalid_field"),
        ("POST", "/api/hosts", "{\"address\":\"a:0\"}", 422, "invalid_field"),
        ("POST", "/api/hosts", "{\"address\":\"http://a/\"}", 422, "invalid_field"),
    ] {
        let mut request = if body.is_empty() { request(method, path) } else { post(path, body) };
        if body.is_empty() {
            *request.method_mut() = method.parse().expect("a method");
        }
        let answer = call(&live.router, request).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (status, &json!(code)),
            "{method} {path} {body}"
        );
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
}

/// A state directory, removed with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("moonlight-mux-live-host-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Live {
    /// A server that finds what an earlier one left in the directory.
    fn again(host: &Arc<TestHost>, scratch: &Scratch) -> Self {
        let hosts = Hosts::open(&scratch.0).expect("nobody else uses it");
        let mut options = HostOptions::default();
        options.pairing = PairingMethod::Other(Arc::new(User(host.clone())));
        hosts.declare(moonlight_mux::HostId(0), address(host), options).expect("it is written");
        let fixture = Fixture::keeping(hosts);
        let router = fixture.router();
        Self { host: host.clone(), fixture, router }
    }

    async fn end(self) {
        self.fixture.registry.shutdown().await;
    }
}

#[tokio::test]
async fn persistent_streamers_are_there_again_with_the_server_and_others_are_not() {
    let host = Arc::new(TestHost::start(TestHostConfig::default()).await.expect("free ports"));
    let scratch = Scratch::new("again");
    let server = Live::again(&host, &scratch);
    let mut desk = golden_with("persistent", true);
    desk["streamer_id"] = json!("desk");
    let info = server.create("", &desk).await.json();
    assert_eq!((&info["status"], &info["persistent"]), (&json!("active"), &json!(true)), "{info}");
    let mut other = golden_with("streamer_id", "other");
    other["client_unique_id"] = json!("other");
    assert_eq!(server.create("", &other).await.json()["persistent"], false);
    let mode = patch("/api/streamers/desk", r#"{"input_mode":"one_at_a_time","idle_ms":500}"#);
    assert_eq!(call(&server.router, mode).await.status, StatusCode::OK);
    let credentials = fs::read_to_string(scratch.0.join("streamers.json")).expect("it is there");
    assert!(
        !credentials.contains("other") && !credentials.contains("video_sample_queue_size"),
        "{credentials}"
    );
    server.end().await;

    let server = Live::again(&host, &scratch);
    let listed = server.get("/api/streamers").await.json();
    assert_eq!(listed["streamers"].as_array().map(Vec::len), Some(1), "at once: {listed}");
    let info = server.until("/api/streamers/desk", |info| info["status"] == "active").await;
    assert_eq!((&info["width"], &info["persistent"]), (&json!(320), &json!(true)), "{info}");
    assert_eq!((&info["input_mode"], &info["idle_ms"]), (&json!("one_at_a_time"), &json!(500)), "{info}");
    let refused = server.create("", &desk).await;
    assert_eq!(
        (refused.status, &refused.json()["target"]["app_id"]),
        (StatusCode::CONFLICT, &json!(DESKTOP))
    );
    assert_eq!(
        call(&server.router, request("DELETE", "/api/streamers/desk")).await.status,
        StatusCode::NO_CONTENT
    );
    server.end().await;

    let server = Live::again(&host, &scratch);
    assert_eq!(server.get("/api/streamers").await.json(), json!({"streamers": []}));
}

#[tokio::test]
async fn a_persistent_streamer_whose_host_is_away_at_the_start_is_there_and_runs_when_the_host_is_back() {
    let host = Arc::new(TestHost::start(TestHostConfig::default()).await.expect("free ports"));
    let scratch = Scratch::new("away");
    let server = Live::again(&host, &scratch);
    let desk = golden_with("persistent", true);
    assert_eq!(server.create("", &desk).await.json()["status"], "active");
    server.end().await;

    let mut faults = Faults::default();
    faults.refuse_start = Some(StartRefusal { status: 503, message: "no encoder".to_owned() });
    host.set_faults(faults);
    let server = Live::again(&host, &scratch);
    let path = format!("/api/streamers/{}", golden()["streamer_id"].as_str().expect("text"));
    let info = server.until(&path, |info| info["status"] == "failed").await;
    assert_eq!(
        (&info["error"]["code"], &info["persistent"]),
        (&json!("host_refused"), &json!(true)),
        "{info}"
    );
    assert_eq!(server.create("", &desk).await.status, StatusCode::CONFLICT, "it is tried again");
    host.set_faults(Faults::default());
    server.until(&path, |info| info["status"] == "active").await;
}
