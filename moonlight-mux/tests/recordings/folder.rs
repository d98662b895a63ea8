//! Where the recordings of real sessions are, for every test file that needs them (`#[path]`).

use std::path::PathBuf;

/// The folder of one recording: below `MOONLIGHT_MUX_RECORDINGS`, else in `../shared/captures` beside the workspace.
///
/// `None` where there are no recordings at all; then it has said on stderr that the calling test is left out. Where
/// there are some, each test must find its own.
pub(crate) fn recording(name: &str) -> Option<PathBuf> {
    let all = match std::env::var_os("MOONLIGHT_MUX_RECORDINGS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures"),
    };
    if !all.is_dir() {
        let thread = std::thread::current();
        eprintln!("left out: {}: no recordings", thread.name().unwrap_or(name));
        return None;
    }
    Some(all.join(name))
}
