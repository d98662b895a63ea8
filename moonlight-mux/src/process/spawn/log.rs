//! A process's output, told in this process's log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::Level;

use crate::process::log_line::{Lines, LogLine};
use crate::task;

/// So many of the last lines are kept for whoever asks why the process is gone.
const TAIL: usize = 20;

/// A process's last lines. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    was_refused_memory: bool,
}

impl Tail {
    /// The oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    /// Whether it said that it did not get the memory that it asked for.
    pub(super) fn was_refused_memory(&self) -> bool {
        self.lock().was_refused_memory
    }

    fn push(&self, line: String) {
        let mut kept = self.lock();
        // In the standard library's words, behind which a stack may follow that is longer than this.
        kept.was_refused_memory |= line.starts_with("memory allocation of ");
        if kept.lines.len() == TAIL {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Tells what comes line by line, until its end.
pub(super) async fn tell_log(output: Option<impl AsyncRead + Unpin>, tail: Tail) {
    let Some(mut output) = output else { return };
    let (mut lines, mut flood) = (Lines::default(), Flood::default());
    let mut chunk = vec![0; 4096];
    loop {
        let count = output.read(&mut chunk).await.unwrap_or(0);
        lines.push(&chunk[..count]);
        while let Some(line) = lines.next() {
            tell(line, &mut flood, &tail);
        }
        if count == 0 {
            if let Some(line) = lines.finish() {
                tell(line, &mut flood, &tail);
            }
            return;
        }
    }
}

fn tell(line: LogLine, flood: &mut Flood, tail: &Tail) {
    let (level, from, text) = match line {
        LogLine::Event { level, target, text } => (level, target, text),
        LogLine::Plain(text) => (Level::INFO, String::new(), text),
    };
    if let Some(left_out) = flood.handle(task::now()) {
        if left_out > 0 {
            tracing::warn!(target: TARGET, left_out, "the process logs too much");
        }
        match level {
            Level::ERROR => tracing::error!(target: TARGET, from, "{text}"),
            Level::WARN => tracing::warn!(target: TARGET, from, "{text}"),
            Level::INFO => tracing::info!(target: TARGET, from, "{text}"),
            Level::DEBUG => tracing::debug!(target: TARGET, from, "{text}"),
            Level::TRACE => tracing::trace!(target: TARGET, from, "{text}"),
        }
    }
    tail.push(if from.is_empty() { text } else { format!("{level} {from}: {text}") });
}

/// Of these lines in this process's log, by which they can be filtered.
const TARGET: &str = "moonlight_mux::process::child";

/// Lines in a second that are told.
const LINES_PER_SECOND: u32 = 1000;

/// Leaves out what is too much.
#[derive(Debug, Default)]
struct Flood {
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Flood {
    /// A line comes. Gives how many were left out before it, if it is to be told.
    fn handle(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told == LINES_PER_SECOND {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_twenty_lines_are_kept_the_unfinished_one_too() {
        let mut text: String = (0..30).map(|n| format!("line {n}\n")).collect();
        text.push_str("WARN\tlib::x\thalf\\na line\nthe end");
        let tail = Tail::default();
        tell_log(Some(text.as_bytes()), tail.clone()).await;
        let lines = tail.lines();
        assert_eq!(lines.len(), TAIL);
        assert_eq!(lines[..2], ["line 12", "line 13"]);
        assert_eq!(lines[18..], ["WARN lib::x: half\na line", "the end"]);
    }

    #[tokio::test]
    async fn that_memory_was_refused_is_known_however_much_is_said_behind_it() {
        for (begins, is_so) in
            [("memory allocation of 5 bytes failed\n", true), ("INFO\ta\tmemory allocation of 5\n", false)]
        {
            let tail = Tail::default();
            let text = begins.to_owned() + &"stack\n".repeat(100);
            tell_log(Some(text.as_bytes()), tail.clone()).await;
            assert_eq!((tail.was_refused_memory(), tail.lines().len()), (is_so, TAIL));
        }
    }

    #[test]
    fn of_a_flood_a_thousand_lines_a_second_are_told() {
        let begin = task::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut flood = Flood::default();
        let told = (0..5000).filter(|_| flood.handle(begin).is_some()).count();
        assert_eq!((told, flood.handle(at(999))), (1000, None));
        assert_eq!(flood.handle(at(1000)), Some(4001));
        assert_eq!(flood.handle(at(1000)), Some(0));
    }
}
