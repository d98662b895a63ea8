//! `hosts` and `stream` against a host of the test's own, as a person uses them.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use moonlight_mux::{HostEvent, TestHost, TestHostConfig};
use support::file::File;
use support::folder::Folder;
use support::{PATIENCE, program};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A host and the folder where the program keeps what it knows of it.
struct Setting {
    host: TestHost,
    folder: Folder,
}

impl Setting {
    async fn new(name: &str) -> Self {
        let host = TestHost::start(TestHostConfig::default()).await.expect("a host");
        Self { host, folder: Folder::new(name) }
    }

    async fn paired(name: &str) -> Self {
        let setting = Self::new(name).await;
        let address = setting.host.address().to_string();
        setting.ends(&["hosts", "add", &address]).await.is(0);
        setting.pair().await;
        setting
    }

    async fn pair(&self) {
        let (child, pin) = self.pairing().await;
        self.host.enter_pin(&pin);
        Ended::of(child).await.is(0).says("Paired with test host as moonlight-mux.");
    }

    /// The program while it waits for a PIN, and the PIN.
    async fn pairing(&self) -> (Child, String) {
        let mut child =
            self.program(&["hosts", "pair", "0"]).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
        let pin = line.strip_prefix("Enter the PIN ").and_then(|rest| rest.strip_suffix(" at test host."));
        let pin = pin.unwrap_or_else(|| panic!("{line}")).to_owned();
        timeout(PATIENCE, self.host.wait_for(|event| *event == HostEvent::PinWanted)).await.expect("in time");
        (child, pin)
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.arg("--state-dir").arg(self.folder.file("state"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn ends(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.program(arguments).spawn().expect("it runs")).await
    }

    /// The program while it streams: frames are in the file.
    async fn streaming(&self, arguments: &[&str]) -> (Child, PathBuf) {
        let path = self.folder.file("stream.mp4");
        let arguments = [STREAM, arguments, &["--record", path.to_str().expect("text")]].concat();
        let child = self.program(&arguments).spawn().expect("it runs");
        timeout(PATIENCE, File::until(&path, 10)).await.expect("frames in time");
        (child, path)
    }
}

const STREAM: &[&str] = &["stream", "test host", "Desktop", "--size", "640x360", "--fps", "30"];

/// How the program ended, and what it said.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    async fn of(child: Child) -> Self {
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ran");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words) || self.err.contains(words), "{}{}", self.out, self.err);
        self
    }
}

async fn signal(child: &Child, signal: &str) {
    let pid = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.expect("kill runs").success());
}

fn read(path: &Path) -> File {
    File::parse(&std::fs::read(path).expect("the file is there"))
}

#[tokio::test]
async fn a_host_is_added_paired_listed_asked_and_removed() {
    let setting = Setting::new("added").await;
    let address = setting.host.address().to_string();
    setting.ends(&["hosts", "list"]).await.is(0).says("No host is known");
    setting.ends(&["hosts", "apps", "0"]).await.is(2).says("no host is known as \"0\"");
    setting.ends(&["hosts", "add", &address]).await.is(0).says("test host is host 0");
    setting.ends(&["hosts", "apps", "0"]).await.is(1).says("pair with it by `moonlight-mux hosts pair 0`");
    setting.pair().await;
    for host in ["0", "test host", "TEST HOST", &address] {
        setting.ends(&["hosts", "apps", host]).await.is(0).says("Desktop");
    }
    setting.ends(&["hosts", "list"]).await.is(0).says(&address).says("moonlight-mux");
    setting.ends(&["hosts", "remove", "test host"]).await.is(0);
    setting.ends(&["hosts", "list"]).await.is(0).says("No host is known");
}

#[tokio::test]
async fn a_pairing_with_the_wrong_pin_fails_and_the_next_one_works() {
    let setting = Setting::new("pin").await;
    let address = setting.host.address().to_string();
    setting.ends(&["hosts", "add", &address]).await.is(0);
    let (child, pin) = setting.pairing().await;
    setting.host.enter_pin(if pin == "0000" { "0001" } else { "0000" });
    Ended::of(child).await.is(1).says("it was given another PIN");
    setting.pair().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_pairing_that_is_given_up_can_be_begun_again() {
    let setting = Setting::new("given-up").await;
    let address = setting.host.address().to_string();
    setting.ends(&["hosts", "add", &address]).await.is(0);
    let (child, _) = setting.pairing().await;
    signal(&child, "-INT").await;
    Ended::of(child).await.is(1).says("given up");
    setting.pair().await;
}

#[tokio::test]
async fn a_stream_of_two_seconds_ends_with_0_and_its_recording_is_whole() {
    let setting = Setting::paired("seconds").await;
    let path = setting.folder.file("two.mp4");
    let arguments = [STREAM, &["--seconds", "2", "--record", path.to_str().expect("text")]].concat();
    setting.ends(&arguments).await.is(0).says("connected").says(" frames  ");
    let File { video, audio, whole, begins_with_keyframe } = read(&path);
    assert!(whole && begins_with_keyframe);
    assert!(video > 0 && audio > 0, "{video} pictures, {audio} packets of sound");
    assert_eq!(setting.host.wait_for_counts(|counts| counts.sessions == 0).await.sessions, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_recording_plays_after_the_program_was_killed() {
    let setting = Setting::paired("killed").await;
    let (mut child, path) = setting.streaming(&[]).await;
    let before = read(&path).video;
    signal(&child, "-KILL").await;
    timeout(PATIENCE, child.wait()).await.expect("it ends").expect("it ran");
    let after = read(&path);
    assert!(after.begins_with_keyframe && after.video >= before, "{} of {before} pictures", after.video);
}

#[cfg(unix)]
#[tokio::test]
async fn a_stream_that_is_stopped_ends_with_0_and_its_host_is_told() {
    let setting = Setting::paired("stopped").await;
    for name in ["-TERM", "-INT"] {
        let (child, path) = setting.streaming(&[]).await;
        signal(&child, name).await;
        Ended::of(child).await.is(0).says(" frames  ");
        assert!(read(&path).whole);
        let ended = setting.host.wait_for_counts(|counts| counts.sessions == 0);
        timeout(PATIENCE, ended).await.expect("no session is left");
        std::fs::remove_file(path).expect("it is there");
    }
}

#[tokio::test]
async fn the_exit_code_tells_how_a_stream_ended() {
    let setting = Setting::new("codes").await;
    let address = setting.host.address().to_string();
    setting.ends(STREAM).await.is(2).says("no host is known as \"test host\"");
    setting.ends(&["hosts", "add", &address]).await.is(0);
    setting.ends(STREAM).await.is(1).says("hosts pair 0");
    setting.pair().await;
    setting.ends(&["stream", "0", "Nothing"]).await.is(1).says("no such app");
    let nowhere = setting.folder.file("no/such/folder/stream.mp4");
    let arguments = [STREAM, &["--record", nowhere.to_str().expect("text")]].concat();
    setting.ends(&arguments).await.is(5);

    let (child, path) = setting.streaming(&[]).await;
    setting.host.end_sessions();
    Ended::of(child).await.is(3).says("the host ended the stream");
    assert!(read(&path).whole);
    std::fs::remove_file(path).expect("it is there");

    let (child, _) = setting.streaming(&["--restart", "never"]).await;
    let Setting { host, folder } = setting;
    host.kill().await;
    Ended::of(child).await.is(4);
    drop(folder);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_an_error() {
    let setting = Setting::new("gone").await;
    setting.ends(&["hosts", "add", "127.0.0.1:1"]).await.is(1).says("127.0.0.1:1: server info failed");
    setting.ends(&["hosts", "add", "127.0.0.1:x"]).await.is(2);
}
