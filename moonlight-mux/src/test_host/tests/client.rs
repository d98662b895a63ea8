//! A client of the HTTP API as simple as can be, and pairing through real sockets.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;
use x509_parser::pem::parse_x509_pem;

use super::super::TestHost;
use crate::gamestream::http::client_config;
use crate::gamestream::identity::Identity;
use crate::gamestream::pairing::client::{Client, Failure};
use crate::gamestream::pairing::tests::document;
use crate::gamestream::pairing::{Pin, Randomness, certificate};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest};
use crate::gamestream::wire::http::request::Call;

/// An answer: the status of HTTP, and the body.
pub(super) type Answer = (u16, String);

pub(super) const UNIQUEID: &str = "0123456789ABCDEF";

/// Of the document; it never pairs but in a test that says so.
pub(super) fn identity() -> Arc<certificate::Identity> {
    Arc::new(certificate::Identity::new(document::CLIENT_CERTIFICATE.into(), &key()).unwrap())
}

fn key() -> Vec<u8> {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", document::CLIENT_KEY);
    parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

pub(super) async fn http(host: &TestHost, target: &str) -> Option<Answer> {
    let tcp = TcpStream::connect(host.http_address()).await.unwrap();
    call(tcp, target).await
}

pub(super) async fn https(host: &TestHost, target: &str) -> Option<Answer> {
    call(connect(host).await.unwrap(), target).await
}

/// A connection with the document's certificate.
pub(super) async fn connect(host: &TestHost) -> std::io::Result<TlsStream<TcpStream>> {
    let address = (host.http_address().ip(), host.config().ports.https);
    let tcp = TcpStream::connect(address).await.unwrap();
    let client = Identity::from_parts(document::CLIENT_CERTIFICATE.into(), key()).unwrap();
    let own = host.config().identity.expect("a host that runs has one");
    let config = client_config(&client, own.pairing().certificate()).unwrap();
    TlsConnector::from(config).connect(ServerName::try_from("host").unwrap(), tcp).await
}

/// Asks, reads to the end and closes; `None` if the host closed without an answer.
pub(super) async fn call(mut io: impl AsyncRead + AsyncWrite + Unpin, target: &str) -> Option<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // TLS ends without a word where the host closes without an answer.
    let _ = io.read_to_end(&mut answer).await;
    let _ = io.shutdown().await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), body.len());
    Some((status, body.to_owned()))
}

/// All five stages; what is left to be sent after a failure is given back.
pub(super) async fn pair(host: &TestHost, pin: &str) -> (Result<(), Failure>, Client) {
    let pin: Pin = pin.parse().unwrap();
    let salt = *Uuid::new_v4().as_bytes();
    let random = Randomness { challenge: *Uuid::new_v4().as_bytes(), secret: *Uuid::new_v4().as_bytes() };
    let mut client = Client::new(identity(), salt, pin, random);
    while let Some(request) = client.request() {
        let answer = pair_call(host, request).await.expect("there is an answer");
        let answer = match PairAnswer::parse(answer.1.as_bytes()) {
            Ok(answer) => answer,
            Err(_) => return (Err(Failure::Unexpected), client),
        };
        if let Err(failure) = client.handle(&answer) {
            return (Err(failure), client);
        }
    }
    (Ok(()), client)
}

pub(super) async fn pair_call(host: &TestHost, request: PairRequest) -> Option<Answer> {
    let https_stage = request == PairRequest::PairChallenge;
    let target = Call::Pair(request).target(&UNIQUEID.parse().unwrap(), Uuid::new_v4());
    if https_stage { https(host, &target).await } else { http(host, &target).await }
}
