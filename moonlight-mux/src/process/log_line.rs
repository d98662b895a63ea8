//! The child's log on its stderr: a line for each event, `LEVEL`, a tab, the target, a tab, and the text.
//!
//! In the text a backslash, a line feed and a carriage return are `\\`, `\n` and `\r`. A line of any other form is what
//! a library or the system printed: plain text.

use bytes::{Buf, BytesMut};
use tracing::Level;

/// The longest line that is taken over, in bytes. Of a longer one, its beginning.
pub(crate) const MAX_LINE: usize = 8 * 1024;

/// A line that a child wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogLine {
    /// An event of its log.
    Event { level: Level, target: String, text: String },
    /// Anything else.
    Plain(String),
}

impl LogLine {
    /// What a line says, which has no line feed at its end.
    pub(crate) fn parse(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        Self::event(&line).unwrap_or_else(|| Self::Plain(line.trim_end().to_owned()))
    }

    fn event(line: &str) -> Option<Self> {
        let (level, rest) = line.split_once('\t')?;
        let (target, text) = rest.split_once('\t')?;
        let level = LEVELS.into_iter().find(|known| known.as_str() == level)?;
        let is_target = !target.is_empty() && !target.contains(|c: char| c.is_whitespace() || c.is_control());
        is_target.then(|| Self::Event { level, target: target.to_owned(), text: unescape(text) })
    }
}

/// A line for an event, with the line feed behind it.
pub(crate) fn encode(level: Level, target: &str, text: &str) -> String {
    let mut line = format!("{level}\t{target}\t");
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(escaped @ ('\\' | 'n' | 'r'))) => {
                chars.next();
                out.push(match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    _ => '\\',
                });
            }
            _ => out.push(c),
        }
    }
    out
}

const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// Takes lines out of what a child prints, however it is cut into pieces. Keeps no more than a line of [`MAX_LINE`] and the
/// piece that was pushed last, if [`next`](Self::next) is called until it gives `None`.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// Up to here there is no line feed.
    searched: usize,
    /// The beginning of this line was given already.
    skipping: bool,
}

impl Lines {
    /// What was read next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, without its line feed; `None` until more was pushed.
    pub(crate) fn next(&mut self) -> Option<LogLine> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = self.buffer.len();
                if self.skipping {
                    self.take(self.searched);
                    return None;
                }
                if self.searched <= MAX_LINE {
                    return None;
                }
                let line = LogLine::parse(&self.buffer[..MAX_LINE]);
                self.take(self.searched);
                self.skipping = true;
                return Some(line);
            };
            let line = LogLine::parse(&self.buffer[..end.min(MAX_LINE)]);
            self.take(end + 1);
            if !std::mem::take(&mut self.skipping) {
                return Some(line);
            }
        }
    }

    /// What was printed last, without a line feed behind it. Nothing comes after it.
    pub(crate) fn finish(&mut self) -> Option<LogLine> {
        let is_line = !self.skipping && !self.buffer.is_empty();
        is_line.then(|| LogLine::parse(&self.buffer.split()))
    }

    fn take(&mut self, count: usize) {
        self.buffer.advance(count);
        self.searched = 0;
    }
}
