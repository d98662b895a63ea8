//! A server that does not listen for a while, and a conversation that arrives in pieces or in heaps.

use std::env;
use std::net::SocketAddr;
use std::process::{Child, ChildStdout};

use moonlight_mux::{Host, HostConfig, Identity, Pin};
use moonlight_mux_http::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

/// A process with a server and a streamer in it, whose host is the test's. Killed when it is dropped.
struct Server {
    process: Child,
    /// What it says.
    lines: mpsc::Receiver<String>,
}

/// Makes this test's process such a server, of the host at this address.
const HOST: &str = "MMUX_TEST_HOST";
/// What a server's lines begin with, since the test harness writes there too.
const MARK: &str = "server: ";

impl Server {
    fn start(test: &str, live: &Live) -> Self {
        let mut process = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", test, "--nocapture"])
            .env(HOST, live.host.http_address().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = lines(process.stdout.take().expect("piped"));
        Self { process, lines }
    }

    /// What it says next.
    async fn line(&mut self) -> String {
        in_time(self.lines.recv()).await.expect("it says more")
    }

    fn send(&self, signal: Signal) {
        send(self.process.id(), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lines(output: ChildStdout) -> mpsc::Receiver<String> {
    let (told, lines) = mpsc::channel(16);
    // Ends with the process.
    drop(tokio::task::spawn_blocking(move || {
        for line in std::io::BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(said) = line.strip_prefix(MARK)
                && told.blocking_send(said.to_owned()).is_err()
            {
                return;
            }
        }
    }));
    lines
}

/// The server: pairs, streams, serves, and never ends.
async fn be_a_server(host: &str, process: ProcessConfig) {
    #[expect(clippy::print_stdout, reason = "the test that started it reads that")]
    let say = |line: String| println!("\n{MARK}{line}");
    let identity = Identity::generate().expect("keys");
    let client = Host::new(HostConfig::new(host.parse().expect("an address"), identity));
    let pin = Pin::random().expect("random numbers");
    say(pin.digits().to_owned());
    in_time(client.pair(&pin)).await.expect("the PIN is right");
    let registry = Registry::new();
    let id = "one".parse().expect("an id");
    let source = MoonlightSource::new(client, small());
    let streamer = registry.create_process(id, source, quick(), process).expect("a free name");
    streaming(&streamer).await;
    let listener = moonlight_mux_http::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    say(listener.local_addr().expect("an address").to_string());
    say(pid(&streamer).to_string());
    let router = moonlight_mux_http::router(registry.clone(), loopback(), ServerConfig::default());
    moonlight_mux_http::serve(listener, router, registry, std::future::pending()).await.expect("it serves");
}

/// What the API says of the streamer.
async fn info(server: SocketAddr) -> serde_json::Value {
    let mut socket = TcpStream::connect(server).await.expect("it listens");
    let request = format!("GET /api/streamers/one HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it listens");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("text");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("an answer").1).expect("JSON")
}

/// What a process has resident, in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_streams_on_while_its_server_does_not_listen_and_is_heard_again_afterwards() {
    if let Ok(host) = env::var(HOST) {
        return be_a_server(&host, process(Some("loud"))).await;
    }
    let _alone = ALONE.lock().await;
    let live = Live::start(host(Manner::Sunshine)).await;
    let test = "held_up::a_process_streams_on_while_its_server_does_not_listen_and_is_heard_again_afterwards";
    let mut server = Server::start(test, &live);
    live.host.enter_pin(&server.line().await);
    let address: SocketAddr = server.line().await.parse().expect("an address");
    let child: u32 = server.line().await.parse().expect("a process");
    let url = format!("ws://{address}/api/streamers/one/peer").parse().expect("an address");
    let viewer = Viewer::connect(&url, None, ViewerConfig::default()).await.expect("it takes viewers");
    in_time(viewer.wait_for(|stats| stats.video.frames > 30)).await.expect("it sees pictures");

    let before = resident(child);
    server.send(Signal::SIGSTOP);
    // Eight seconds of pictures, and of 2,500 messages and as many log lines a second, of which some hundred fit.
    let seen = viewer.stats().video.frames;
    let stats =
        in_time(viewer.wait_for(|stats| stats.video.frames >= seen + 240)).await.expect("it sees pictures");
    let after = resident(child);
    eprintln!(
        "{} pictures while the server was stopped; {before} bytes resident before, {after} after",
        stats.video.frames - seen
    );
    assert!(after < before + 8_000_000, "{before} before, {after} after");
    server.send(Signal::SIGCONT);

    in_time(async {
        // As the process says it, and not as it was when the server was stopped.
        while info(address).await["status"] != "active" {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let seen = viewer.stats().video.frames;
    in_time(viewer.wait_for(|stats| stats.video.frames >= seen + 90)).await.expect("it sees pictures");
    let info = info(address).await;
    let known = (&info["status"], &info["pid"], &info["restarts"], &info["connected_peers"]);
    assert_eq!(known, (&"active".into(), &child.into(), &0.into(), &1.into()), "{info}");
    // What asks for both directions.
    let late = Viewer::connect(&url, None, ViewerConfig::default()).await.expect("it takes viewers");
    in_time(late.wait_for(|stats| stats.video.frames > 5)).await.expect("it sees pictures");
    assert_eq!(viewer.stats().connected_anew, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_byte_by_byte_or_all_at_once_is_understood() {
    let _alone = ALONE.lock().await;
    let (live, rtc) = (Live::start(host(Manner::Sunshine)).await, loopback());
    for cut in ["bytes", "together"] {
        let mut config = process(None);
        config.command.as_mut().expect("one").envs.push(("MMUX_RELAY".into(), cut.into()));
        let streamer = spawned(&live, "one", config).await;
        let first = pid(&streamer);
        let (viewer, handle) =
            join(&streamer, &rtc, ViewerConfig { join_timeout: live::PATIENCE, ..Default::default() }).await;
        in_time(viewer.wait_for(|stats| stats.video.frames > 5)).await.expect("it sees pictures");
        // A descriptor passes, too.
        let frames = streamer.subscribe();
        assert_eq!(pictures(&frames, 90).await.len(), 90, "{cut}");
        let mut stats = handle.watch_stats();
        in_time(stats.wait_for(|stats| stats.frames > 30)).await.expect("it is counted");
        assert_eq!(
            (streamer.state(), pid(&streamer), streamer.restarts()),
            (State::Streaming, first, 0),
            "{cut}"
        );
        assert!(streamer.kick(handle.id(), LeaveReason::Kicked));
        assert_eq!(in_time(handle.closed()).await, LeaveReason::Kicked);
        streamer.shutdown(ExitPolicy::LeaveRunning).await;
        assert!(!is_there(first));
    }
}
