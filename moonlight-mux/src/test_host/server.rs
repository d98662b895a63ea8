//! A host's sockets for HTTP, HTTPS and RTSP, and the owner of its tasks.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::calls::{self, Peer};
use super::log::{Book, HostCounts};
use super::state::Shared;
use super::stream::{Order, Stream};
use super::{HostEvent, HostSessionId, HostStep, Manner};
use crate::gamestream::pairing::certificate::Certificate;
use crate::task::{self, TaskSet};

/// What a host listens on.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) https: TcpListener,
    pub(super) rtsp: TcpListener,
}

/// Serves until it is stopped; then everything is closed at once.
pub(super) async fn run(
    shared: Arc<Shared>,
    listeners: Listeners,
    tls: TlsAcceptor,
    mut streams: mpsc::Receiver<Stream>,
    stop: CancellationToken,
) {
    let mut tasks = TaskSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some((tcp, from)) = accept(&listeners.http) => {
                tasks.spawn(serve_http(Arc::clone(&shared), tcp, from));
            }
            Some((tcp, from)) = accept(&listeners.https) => {
                tasks.spawn(serve_https(Arc::clone(&shared), tls.clone(), tcp, from));
            }
            Some((tcp, from)) = accept(&listeners.rtsp) => {
                tasks.spawn(serve_rtsp(Arc::clone(&shared), tcp, from));
            }
            Some(stream) = streams.recv() => {
                tasks.spawn(stream.run());
            }
            Some((_, ended)) = tasks.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a task of the test host failed");
            },
        }
    }
    drop(listeners);
    drop(streams);
    tasks.shutdown().await;
}

/// The next connection; `None` after a while if there can be none, since descriptors are short, say.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(connection) => Some(connection),
        Err(error) => {
            tracing::warn!(%error, "the test host cannot accept a connection");
            task::at(Some(task::now() + Duration::from_millis(50))).await;
            None
        }
    }
}

async fn serve_http(shared: Arc<Shared>, tcp: TcpStream, from: SocketAddr) {
    let _open = Open::new(&shared.book, |counts| &mut counts.open_connections);
    let peer = Peer { address: from.ip(), certificate: None };
    if let Some(mut tcp) = serve_call(&shared, peer, tcp).await {
        let _ = tcp.shutdown().await;
    }
}

async fn serve_https(shared: Arc<Shared>, tls: TlsAcceptor, tcp: TcpStream, from: SocketAddr) {
    let _open = Open::new(&shared.book, |counts| &mut counts.open_connections);
    // Whoever shows no certificate, or does not take this host's, gets no further.
    let Ok(tls) = tls.accept(tcp).await else { return };
    let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let Some(Ok(certificate)) = certificate.map(|shown| Certificate::from_der(shown.to_vec())) else {
        return;
    };
    let peer = Peer { address: from.ip(), certificate: Some(certificate) };
    let _turn = match shared.config.manner {
        Manner::Wolf => None,
        Manner::Sunshine | Manner::SunshineV023 => Some(shared.https_turn.lock().await),
    };
    if let Some(mut tls) = serve_call(&shared, peer, tls).await {
        let _ = tls.shutdown().await;
        if shared.config.manner == Manner::Sunshine {
            let _ = drain(&mut tls).await;
        }
    }
}

/// Answers one call; gives the connection back if it is still of use.
async fn serve_call<I>(shared: &Arc<Shared>, peer: Peer, io: I) -> Option<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, peer) = (Arc::clone(shared), peer.clone());
        async move {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            match calls::answer(&shared, &peer, target).await {
                Answer::Nothing => Err(NoAnswer),
                Answer::Body { http_status, content_type, body, .. } => {
                    let mut response = Response::builder().status(http_status);
                    if let Some(content_type) = content_type {
                        response = response.header(header::CONTENT_TYPE, content_type);
                    }
                    Ok(response.body(Full::new(body)).expect("the status is from 100 to 999"))
                }
            }
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service);
    let parts = connection.without_shutdown().await.ok()?;
    Some(parts.io.into_inner())
}

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

async fn serve_rtsp(shared: Arc<Shared>, mut tcp: TcpStream, from: SocketAddr) {
    let _open = Open::new(&shared.book, |counts| &mut counts.open_rtsp_connections);
    if shared.state().rtsp_is_dead {
        // It accepts, and that is all.
        std::future::pending::<Infallible>().await;
    }
    shared.answers(HostStep::Rtsp).await;
    let exchange = exchange(&shared, &mut tcp, from).await;
    let closed = match exchange {
        Ok(()) => {
            let _ = tcp.shutdown().await;
            drain(&mut tcp).await
        }
        Err(error) => {
            shared.state().rtsp_is_dead |= shared.config.manner == Manner::Wolf;
            Err(error)
        }
    };
    if closed.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset) {
        shared.book.note(HostEvent::RtspReset);
    }
}

/// Reads a request and answers it, or nothing where it belongs to no session.
async fn exchange(shared: &Shared, tcp: &mut TcpStream, from: SocketAddr) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        let more = tcp.read_buf(&mut received).await?;
        let session = shared.session_of(from.ip(), &received);
        let (session, (number, answer)) = match session {
            Some((id, orders)) => {
                let (sender, answer) = oneshot::channel();
                let order = Order::Rtsp { received: received.clone(), answer: sender };
                // Fails when the session has just ended: closed without a byte.
                let _ = orders.send(order).await;
                match answer.await {
                    Ok(None) if more > 0 && received.len() <= MAX_REQUEST => continue,
                    Ok(answer) => (Some(id), answer.unwrap_or_default()),
                    Err(_) => (Some(id), Default::default()),
                }
            }
            None => (None, Default::default()),
        };
        let answer = shared.spoil_rtsp(number, answer);
        tcp.write_all(&answer).await?;
        note_request(&shared.book, session, &received, &answer);
        return Ok(());
    }
}

fn note_request(book: &Book, session: Option<HostSessionId>, request: &[u8], answer: &[u8]) {
    // Sealed ones are not read here.
    let word = |text: &[u8], n: usize| {
        let text = str::from_utf8(text).ok()?;
        text.split([' ', '\r']).nth(n).map(str::to_owned)
    };
    let method = word(request, 0).filter(|method| method.bytes().all(|byte| byte.is_ascii_uppercase()));
    let status = word(answer, 1).and_then(|status| status.parse().ok());
    book.note(HostEvent::Rtsp { session, method, status });
}

/// Reads until the other side has closed.
async fn drain(io: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut rest = [0; 1024];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}

/// What no request is longer than, whatever the manner.
const MAX_REQUEST: usize = 64 * 1024;

/// A connection is counted as open as long as this lives.
struct Open {
    book: Book,
    count: fn(&mut HostCounts) -> &mut usize,
}

impl Open {
    fn new(book: &Book, count: fn(&mut HostCounts) -> &mut usize) -> Self {
        book.count(|counts| *count(counts) += 1);
        Self { book: book.clone(), count }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.book.count(|counts| *(self.count)(counts) -= 1);
    }
}
