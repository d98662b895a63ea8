//! HTTP and HTTPS calls: a connection for each, closed after its answer.
//!
//! Newer builds of Sunshine serve one HTTPS connection at a time and wait for the client to close it (session 5); so
//! nothing is kept alive, and TLS is ended in order. Source: protocol document, session 5.

mod asks_first;
mod pinned;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use self::asks_first::AsksFirst;
pub(crate) use self::pinned::client_config;
pub(super) use self::pinned::web_config;
use super::address::HostAddress;

/// What is asked. Never printed: targets have keys in them, and bodies PINs.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    /// With its `Content-Type`.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
    /// The value of `Authorization`.
    pub(super) authorization: Option<header::HeaderValue>,
    /// The most that is read of an answer's body.
    pub(super) limit: usize,
}

impl Ask {
    pub(super) fn get(target: String, limit: usize) -> Self {
        Self { method: Method::GET, target, body: None, authorization: None, limit }
    }
}

/// What a server answered, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Why there is no answer. `HostErrorCause` has the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    NameNotFound,
    Refused,
    Unreachable(io::ErrorKind),
    LocalAddress(io::ErrorKind),
    Tls,
    WrongCertificate,
    Closed,
    Malformed,
    TooLong { limit: usize },
}

/// The addresses of a host; the ones of the local address's kind if there is one.
pub(super) async fn resolve(host: &HostAddress, local: Option<IpAddr>) -> Result<Vec<IpAddr>, CallError> {
    let found = lookup_host((host.name(), host.port())).await.map_err(|_| CallError::NameNotFound)?;
    let fits = |address: &IpAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let mut addresses = Vec::new();
    for address in found.map(|address| address.ip()).filter(fits) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(CallError::NameNotFound) } else { Ok(addresses) }
}

/// Connects to the first address that answers; each gets its share of `patience`.
pub(super) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    local: Option<IpAddr>,
    patience: Duration,
) -> Result<(TcpStream, IpAddr), CallError> {
    let share = patience / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = CallError::NameNotFound;
    for &address in addresses {
        match timeout(share, connect_one(SocketAddr::new(address, port), local)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => last = error,
            Err(_) => last = CallError::Unreachable(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}

async fn connect_one(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, CallError> {
    let unreachable = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => CallError::Refused,
        kind => CallError::Unreachable(kind),
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(unreachable)?;
    if let Some(local) = local {
        let bound = socket.bind(SocketAddr::new(local, 0));
        bound.map_err(|error| CallError::LocalAddress(error.kind()))?;
    }
    socket.connect(address).await.map_err(unreachable)
}

/// One call in clear.
pub(super) async fn call<S>(stream: S, host: &str, ask: Ask) -> Result<Answer, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    exchange(stream, host, ask).await
}

/// One call under TLS.
pub(super) async fn call_tls(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
    ask: Ask,
) -> Result<Answer, CallError> {
    let peer = stream.peer_addr().map_err(|error| CallError::Unreachable(error.kind()))?;
    let name = ServerName::from(peer.ip());
    let connected = TlsConnector::from(config).connect(name, stream).await;
    let stream = connected.map_err(|error| tls_error(&error))?;
    exchange(stream, host, ask).await
}

/// Asks, reads the answer to its end, and closes.
async fn exchange<S>(stream: S, host: &str, ask: Ask) -> Result<Answer, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ask { method, target, body, authorization, limit } = ask;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close");
    if let Some((content_type, _)) = &body {
        request = request.header(header::CONTENT_TYPE, *content_type);
    }
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let body = Full::new(Bytes::from(body.map(|(_, bytes)| bytes).unwrap_or_default()));
    let request = request.body(body).expect("targets and host names are made of what stands in URLs");

    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEADERS)
        .max_headers(100)
        .handshake::<_, Full<Bytes>>(TokioIo::new(AsksFirst::new(stream)));
    let (mut sender, connection) = handshake.await.map_err(|error| http_error(&error))?;
    let asking = async move {
        let answer = sender.send_request(request).await.map_err(|error| http_error(&error))?;
        let status = answer.status().as_u16();
        let body =
            Limited::new(answer.into_body(), limit).collect().await.map_err(|error| match error
                .downcast::<LengthLimitError>(
            ) {
                Ok(_) => CallError::TooLong { limit },
                Err(error) => {
                    error.downcast::<hyper::Error>().map_or(CallError::Malformed, |e| http_error(&e))
                }
            })?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    let mut asking = Box::pin(asking);
    let mut connection = Box::pin(connection.without_shutdown());
    let (answer, parts) = tokio::select! {
        biased;
        answer = &mut asking => (answer, None),
        parts = &mut connection => (asking.await, parts.ok()),
    };
    // Whoever asked is gone: the connection gives its socket back.
    let parts = match parts {
        Some(parts) => Some(parts),
        None => timeout(CLOSING, connection).await.ok().and_then(Result::ok),
    };
    if let Some(parts) = parts {
        // The answer is there; whether the host hears our good-bye is its own affair.
        let _ = timeout(CLOSING, parts.io.into_inner().shutdown()).await;
    }
    answer
}

fn http_error(error: &hyper::Error) -> CallError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return tls_error(cause);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        CallError::Closed
    } else {
        CallError::Malformed
    }
}

/// What the connection came to, read or written through TLS.
fn tls_error(error: &io::Error) -> CallError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(error), _) if pinned::is_wrong_certificate(error) => CallError::WrongCertificate,
        (Some(_), _) => CallError::Tls,
        (None, io::ErrorKind::UnexpectedEof) => CallError::Closed,
        (None, kind) => CallError::Unreachable(kind),
    }
}

/// Of an answer's head. Hosts send less than 1 KiB.
const MAX_HEADERS: usize = 16 * 1024;
/// For a host to take our good-bye.
const CLOSING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_there_before_the_question_is_one() {
        let (near, mut far) = duplex(1024);
        let body = "<root status_code=\"401\"/>";
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        far.write_all(answer.as_bytes()).await.unwrap();
        let answer = call(near, "pc", Ask::get("/applist".to_owned(), 1024)).await.unwrap();
        assert_eq!((answer.status, answer.body.as_ref()), (200, body.as_bytes()));
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.unwrap();
        assert!(asked.starts_with("GET /applist HTTP/1.1\r\n"), "{asked}");
    }
}
