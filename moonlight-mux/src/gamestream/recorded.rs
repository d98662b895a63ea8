//! What recordings hold in text, for tests.

#[path = "../../tests/recordings/folder.rs"]
pub(crate) mod folder;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of one recording, for the test that runs on this thread.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let thread = std::thread::current();
    folder::recording(thread.name().unwrap_or(name), name)
}

/// A request of the reference client, and the host's answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) https: bool,
    /// Path and query.
    pub(crate) target: String,
    /// `None` if the host closed the connection without any.
    pub(crate) answer: Option<Vec<u8>>,
}

/// All sessions: the folders with an RTSP dialogue.
pub(crate) fn sessions() -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![recording("")?];
    while let Some(folder) = waiting.pop() {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        waiting.extend(folders);
        if files.iter().any(|file| file.ends_with("rtsp.txt")) {
            found.push(folder);
        }
    }
    found.sort();
    assert!(found.len() >= 20, "{} sessions", found.len());
    Some(found)
}

/// A file of requests and answers of the HTTP API.
pub(crate) fn exchanges(file: &Path) -> Vec<Exchange> {
    let text = fs::read(file).unwrap();
    let mut rest = &text[..];
    let mut exchanges = Vec::new();
    while let Some(url) = line(&mut rest) {
        let url = url.strip_prefix("===== GET ").unwrap();
        let (scheme, url) = url.split_once("://").unwrap();
        let summary = line(&mut rest).unwrap();
        let summary: Vec<&str> = summary.split(' ').collect();
        let len = summary[summary.len() - 2].parse().unwrap();
        let body = take(&mut rest, len);
        exchanges.push(Exchange {
            https: scheme == "https",
            target: url[url.find('/').unwrap()..].to_owned(),
            answer: (summary[1] == "rc=0" || !body.is_empty()).then(|| body.to_vec()),
        });
    }
    exchanges
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = str::from_utf8(&rest[..end]).unwrap();
    *rest = &rest[end + 1..];
    Some(line)
}

/// So many bytes, and the line end behind them.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (bytes, behind) = rest.split_at(len);
    *rest = behind.strip_prefix(b"\n").unwrap();
    bytes
}
