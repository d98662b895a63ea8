//! A streamer's process by itself: a real one, with this test in its server's place.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "processes run in real time")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use moonlight_mux::Identity;
use serde_json::{Value, json};

/// A machine under load may take long for what takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

struct Process {
    child: Child,
    socket: UnixStream,
}

impl Process {
    fn start(envs: &[(&str, &str)]) -> Self {
        let (socket, theirs) = UnixStream::pair().expect("a socket pair");
        socket.set_read_timeout(Some(LIMIT)).expect("a socket");
        let child =
            command(OwnedFd::from(theirs).into()).envs(envs.iter().copied()).spawn().expect("it starts");
        Self { child, socket }
    }

    /// One that is ready to stream.
    fn ready(envs: &[(&str, &str)], limits: Value) -> Self {
        let mut process = Self::start(envs);
        assert_eq!(process.word()["Hello"]["pid"], process.child.id());
        process.tell(&json!({"Hello": {"version": 1, "pid": std::process::id()}}));
        process.tell(&init(limits));
        assert!(process.word()["Ready"]["udp"].is_u64());
        process
    }

    fn tell(&mut self, message: &Value) {
        let payload = message.to_string();
        let length = u32::try_from(payload.len()).expect("a short message");
        self.socket.write_all(&[&length.to_be_bytes(), payload.as_bytes()].concat()).expect("it listens");
    }

    fn try_word(&mut self) -> std::io::Result<Value> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut payload = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut payload)?;
        Ok(serde_json::from_slice(&payload).expect("JSON"))
    }

    fn word(&mut self) -> Value {
        self.try_word().expect("a word")
    }

    /// Its server is gone. How it ends, after how long, and what it logged.
    fn orphaned(mut self) -> (ExitStatus, Duration, String) {
        let began = Instant::now();
        drop(self.socket);
        let status = self.child.wait().expect("it is ours");
        let took = began.elapsed();
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
        (status, took, log)
    }
}

fn command(stdin: Stdio) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamer_child"));
    command
        .args(["moonlight-mux-streamer", "desk"])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn init(limits: Value) -> Value {
    let identity = Identity::generate().expect("randomness");
    let [certificate, key] =
        [identity.certificate_pem(), identity.key_pkcs8()].map(|part| STANDARD.encode(part));
    json!({"Init": {
        "streamer_id": "desk",
        "source": {
            // Nobody is there.
            "host": {
                "address": "127.0.0.1:1",
                "identity": {"certificate": certificate, "key": key},
                "certificate": null,
                "local_address": null,
                "timeout": {"secs": 10, "nanos": 0},
            },
            "config": {
                "app": {"Title": "Desktop"}, "width": 640, "height": 480, "fps": 30, "bitrate_kbps": 1000,
                "packet_size": 1024, "codecs": ["H264"], "channels": "Stereo",
                "packet_duration": {"secs": 0, "nanos": 5_000_000},
                "encrypt_video": false, "encrypt_audio": false, "play_audio_on_host": false,
            },
        },
        "config": {},
        "webrtc": {
            "bind": "127.0.0.1:0", "tcp": null, "public_addresses": [], "ice_servers": [], "turn_secrets": [],
            "direct": true,
        },
        "limits": limits,
    }})
}

#[test]
fn whoever_starts_it_by_hand_is_told_so() {
    let output = command(Stdio::null()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(log.contains("this command is for servers"), "{log}");
    let unasked = Command::new(env!("CARGO_BIN_EXE_streamer_child")).output().expect("it starts");
    assert_eq!(unasked.status.code(), Some(2), "its main goes on");
}

#[test]
fn it_keeps_to_its_limits_and_ends_when_its_server_does() {
    let process = Process::ready(&[], json!({"open_files": 300, "nice": 5}));
    let proc = format!("/proc/{}", process.child.id());
    let limits = fs::read_to_string(format!("{proc}/limits")).expect("it lives");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("Linux");
    assert_eq!(files.split_whitespace().nth(3), Some("300"));
    assert_eq!(fs::read_link(format!("{proc}/fd/0")).expect("it lives").to_str(), Some("/dev/null"));
    let nice = |stat: &str| -> i32 {
        // The name, which may have blanks, ends with the last parenthesis; nice is the 19th field (proc(5)).
        let fields = stat.rsplit(')').next().expect("a stat");
        fields.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
    };
    let own = nice(&fs::read_to_string("/proc/self/stat").expect("Linux"));
    let threads: Vec<_> = fs::read_dir(format!("{proc}/task")).expect("it lives").flatten().collect();
    // The watchdog is older than the limits, and as nice.
    assert!(threads.len() >= 4, "{threads:?}");
    for thread in threads {
        let stat = fs::read_to_string(thread.path().join("stat")).expect("it lives");
        assert_eq!(nice(&stat), (own + 5).min(19), "{stat}");
    }
    let (status, took, log) = process.orphaned();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(took < LIMIT / 6, "{took:?}");
}

/// A field of `/proc/PID/status` that counts memory, in bytes.
fn memory(process: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).expect("it lives");
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("Linux");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn the_memory_that_it_may_ask_for_begins_behind_what_it_had_before() {
    const MEMORY: u64 = 100_000_000;
    const MAY: u64 = 2 * MEMORY + 64 * 1024 * 1024;
    /// What it may have given back meanwhile.
    const GIVEN_BACK: u64 = 16_000_000;
    for reserved in [0, 2 * MAY] {
        let process = Process::ready(&[("MMUX_MAPPED", &reserved.to_string())], json!({"memory": MEMORY}));
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.child.id())).expect("it lives");
        let data = limits.lines().find_map(|line| line.strip_prefix("Max data size")).expect("Linux");
        let data: u64 = data.split_whitespace().next().and_then(|data| data.parse().ok()).expect("a number");
        let (mapped, resident) = (memory(&process, "VmData"), memory(&process, "VmRSS"));
        eprintln!("it may have {data}, has {mapped} and {resident} of that resident");
        assert!(mapped > reserved && resident < MEMORY, "{mapped} {resident}");
        assert!((MAY + reserved..MAY + mapped + GIVEN_BACK).contains(&data), "{data} {mapped}");
        let (status, _, log) = process.orphaned();
        assert_eq!(status.code(), Some(3), "{log}");
    }
}

#[test]
fn what_a_server_does_not_read_is_dropped_and_counted_and_it_is_understood_afterwards() {
    // It says thousands of things a second.
    let mut process = Process::ready(&[("MMUX_FAULT", "chatter"), ("MMUX_FAULT_FRAMES", "0")], json!({}));
    let log = BufReader::new(process.child.stderr.as_mut().expect("piped"));
    let mut lines = log.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("the other process does not read: a message was dropped")));
    drop(lines);
    process.tell(&json!("WhatIsThat"));

    let (mut heard, mut last) = (0, 0);
    loop {
        let word = process.word();
        heard += u64::from(word == "MoonlightConnected");
        if let Some(stats) = word.get("Stats") {
            let dropped = stats["dropped"].as_u64().expect("a number");
            assert!(dropped >= last, "{dropped} behind {last}");
            last = dropped;
            if dropped > 0 && stats["malformed"] == 1 {
                break;
            }
        }
    }
    eprintln!("{heard} of them were heard, {last} dropped");
    assert!(heard > 256, "what had room was kept: {heard}");
    let (status, _, log) = process.orphaned();
    assert_eq!(status.code(), Some(3), "{log}");
}

#[test]
fn one_that_hangs_ends_too_when_its_server_does() {
    let envs = [("MMUX_FAULT", "hang"), ("MMUX_FAULT_FRAMES", "0")];
    let mut process = Process::ready(&envs, json!({}));
    // Until it says nothing more, which it does each second.
    process.socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a socket");
    let silent = loop {
        if let Err(error) = process.try_word() {
            break error;
        }
    };
    assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
    let (status, took, log) = process.orphaned();
    assert_eq!(status.code(), None, "it was killed by its watchdog: {log}");
    eprintln!("gone {took:?} after its server");
    assert!(took < LIMIT / 6, "{took:?}");
}

#[test]
fn a_host_that_is_not_there_is_told_with_its_stage_and_the_end_of_the_stream_is_its_own() {
    let mut process = Process::ready(&[], json!({}));
    process.tell(&json!("StartMoonlight"));
    let mut words = Vec::new();
    while let Ok(word) = process.try_word() {
        words.push(word);
    }
    let failed = words.iter().find(|word| word.get("StageFailed").is_some()).expect("it failed");
    assert_eq!(failed["StageFailed"]["stage"], "ServerInfo");
    let last = words.last().expect("it said something");
    assert!(last["Stopped"]["reason"].get("Failed").is_some(), "{last}");
    let (status, _, log) = process.orphaned();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines.iter().all(|line| line.split('\t').count() == 3), "each is a line of the log: {lines:?}");
}
