//! What the server's log says of viewers' paths.

use std::io;
use std::sync::{Mutex, MutexGuard};

use tracing_subscriber::filter::LevelFilter;

/// The log of this process: whoever listens is alone in it.
pub(crate) struct MediaPaths;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().expect("no holder of this lock panics")
}

impl MediaPaths {
    pub(crate) fn listen() -> Self {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_ansi(false);
        log.with_writer(|| Self).init();
        Self
    }

    /// Those that were told since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let path = |line: String| Some(line.split_once("path=\"")?.1.split_once('"')?.0.to_owned());
        lines().drain(..).filter_map(path).collect()
    }
}

/// A line at a time.
impl io::Write for MediaPaths {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if text.contains("the viewer's media path") {
            lines().push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
