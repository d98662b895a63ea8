//! Where the recordings of real sessions are, for every test file that needs them (`#[path]`).

use std::io::{Write, stderr};
use std::path::PathBuf;

/// The folder of one recording: below `MOONLIGHT_MUX_RECORDINGS`, else in `../shared/captures` beside the workspace.
///
/// `None` where there are no recordings at all; then it has said on stderr that `test` is left out. Where there are
/// some, each test must find its own.
pub(crate) fn recording(test: &str, name: &str) -> Option<PathBuf> {
    let all = match std::env::var_os("MOONLIGHT_MUX_RECORDINGS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures"),
    };
    if all.is_dir() {
        return Some(all.join(name));
    }
    // In one piece, and past the test harness, which swallows what a passing test prints.
    let line = format!("left out: {test}: no recordings\n");
    stderr().write_all(line.as_bytes()).expect("stderr can be written");
    None
}
