//! The log of a streamer's process: lines on its standard error, which the server takes over.

use std::fmt::{self, Write as _};
use std::io;
use std::panic;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::process::log_line;

/// What is logged where `RUST_LOG` does not say. The WebRTC crate warns of each extension of a browser's that it does not know.
const DEFAULT: &str = "warn,moonlight_mux=info,rtc_dtls=error,rtc_ice=error";
/// Every line of a streamer's process is about its streamer, and the server says which.
const STREAMER: &str = "streamer";

pub(super) fn begin() {
    // A server that does not read its log must not hold up the stream: lines are lost then.
    let _ = never_wait();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // To standard error, which may be what failed, and then panics.
        .log_internal_errors(false)
        .event_format(Lines)
        .with_writer(io::stderr)
        .try_init();
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let message = panicked.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "panicked");
    }));
}

/// Only where it is a pipe, whose other end is the server's alone.
fn never_wait() -> rustix::io::Result<()> {
    let stderr = io::stderr();
    if FileType::from_raw_mode(fstat(&stderr)?.st_mode) == FileType::Fifo {
        fcntl_setfl(&stderr, fcntl_getfl(&stderr)? | OFlags::NONBLOCK)?;
    }
    Ok(())
}

/// Formats events as [`log_line`] has them.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        let spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root());
        for span in spans.filter(|span| span.name() != STREAMER) {
            text.push_str(span.name());
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(text, "{{{fields}}}")?;
            }
            text.push_str(": ");
        }
        context.format_fields(Writer::new(&mut text), event)?;
        let metadata = event.metadata();
        writer.write_str(&log_line::encode(*metadata.level(), metadata.target(), &text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;
    use crate::process::log_line::{Lines as Reader, LogLine};

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_what_the_server_reads_with_all_spans_but_the_streamers() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Lines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let streamer = tracing::info_span!("streamer", id = "a");
            let _streamer = streamer.enter();
            tracing::warn!(target: "some::target", n = 1, "two\nlines \\ and a tab\t");
            let _peer = tracing::info_span!("peer", id = 7).entered();
            tracing::info!("inside");
        });
        let mut reader = Reader::default();
        reader.push(&kept.0.lock().unwrap());
        let event = |level, target: &str, text: &str| {
            Some(LogLine::Event { level, target: target.into(), text: text.into() })
        };
        assert_eq!(reader.next(), event(Level::WARN, "some::target", "two\nlines \\ and a tab\t n=1"));
        assert_eq!(reader.next(), event(Level::INFO, module_path!(), "peer{id=7}: inside"));
        assert_eq!(reader.next(), None);
    }
}
