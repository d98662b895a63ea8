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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(level: Level, target: &str, text: &str) -> LogLine {
        LogLine::Event { level, target: target.to_owned(), text: text.to_owned() }
    }

    fn plain(text: &str) -> LogLine {
        LogLine::Plain(text.to_owned())
    }

    #[test]
    fn lines_of_the_log_and_whatever_else_is_printed() {
        for (line, meaning) in [
            (
                "INFO\tmoonlight_mux::streamer\tfirst frame bytes=7",
                event(Level::INFO, "moonlight_mux::streamer", "first frame bytes=7"),
            ),
            ("ERROR\ta\t", event(Level::ERROR, "a", "")),
            ("TRACE\ta\tb\tc", event(Level::TRACE, "a", "b\tc")),
            ("WARN\ta\ttwo\\nlines \\\\n \\x", event(Level::WARN, "a", "two\nlines \\n \\x")),
            ("hello", plain("hello")),
            ("hello\r", plain("hello")),
            ("", plain("")),
            ("INFO a b", plain("INFO a b")),
            ("info\ta\tb", plain("info\ta\tb")),
            ("INFO\t\tb", plain("INFO\t\tb")),
            ("INFO\ta b\tc", plain("INFO\ta b\tc")),
            (
                "thread 'main' panicked at src/main.rs:1:1:",
                plain("thread 'main' panicked at src/main.rs:1:1:"),
            ),
        ] {
            assert_eq!(LogLine::parse(line.as_bytes()), meaning, "{line}");
        }
        assert_eq!(LogLine::parse(b"\xff!"), plain("\u{fffd}!"));
        assert_eq!(encode(Level::WARN, "a::b", "x\r\ny\\"), "WARN\ta::b\tx\\r\\ny\\\\\n");
    }

    /// What comes out of a stream in pieces of this size, and what is kept at most.
    fn lines(stream: &[u8], piece: usize) -> (Vec<LogLine>, usize) {
        let (mut lines, mut found, mut most) = (Lines::default(), Vec::new(), 0);
        for piece in stream.chunks(piece) {
            lines.push(piece);
            most = most.max(lines.buffer.capacity());
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        found.extend(lines.finish());
        (found, most)
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_its_beginning_is_told() {
        let mut stream = b"before\n".to_vec();
        stream.extend(vec![b'x'; 10_000_000]);
        stream.extend(b"\nbehind\nlast");
        let (found, most) = lines(&stream, 4096);
        let cut = plain(&"x".repeat(MAX_LINE));
        assert_eq!(found, [plain("before"), cut.clone(), plain("behind"), plain("last")]);
        assert!(most <= 4 * MAX_LINE, "{most}");
        assert_eq!(lines(&stream, stream.len()).0, found, "in one piece");
        assert_eq!(lines(&stream[..1_000_000], 4096).0, [plain("before"), cut]);
    }

    proptest! {
        #[test]
        fn events_read_back_as_they_were_written_however_the_stream_is_cut(
            events in proptest::collection::vec((0usize..5, "[a-z_:]{1,20}", any::<String>()), 0..10),
            piece in 1usize..100,
        ) {
            let stream: String =
                events.iter().map(|(level, target, text)| encode(LEVELS[*level], target, text)).collect();
            let events: Vec<_> =
                events.iter().map(|(level, target, text)| event(LEVELS[*level], target, text)).collect();
            prop_assert_eq!(lines(stream.as_bytes(), piece).0, events);
        }

        #[test]
        fn any_bytes_give_lines(stream in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..40) {
            let (found, _) = lines(&stream, piece);
            let count = stream.split(|byte| *byte == b'\n').count();
            prop_assert_eq!(found.len(), count - usize::from(stream.ends_with(b"\n") || stream.is_empty()));
        }
    }
}
