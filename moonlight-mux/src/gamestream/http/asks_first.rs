//! The order of question and answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that gives nothing to read before something was written.
///
/// Sunshine answers a client that it does not know without waiting for what is asked (session 5), and to an HTTP client an
/// answer to nothing is no HTTP.
#[derive(Debug)]
pub(super) struct AsksFirst<S> {
    stream: S,
    asked: bool,
    /// Who wants to read too early.
    reader: Option<Waker>,
}

impl<S> AsksFirst<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, asked: false, reader: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AsksFirst<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.asked {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AsksFirst<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
