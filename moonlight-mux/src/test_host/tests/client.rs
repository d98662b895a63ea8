//! A client of the HTTP API as simple as can be, and pairing through real sockets.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;
use x509_parser::pem::parse_x509_pem;

use super::super::TestHost;
use crate::gamestream::pairing::client::{Client, Failure};
use crate::gamestream::pairing::tests::document;
use crate::gamestream::pairing::{Pin, Randomness, certificate::Identity};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest};
use crate::gamestream::wire::http::request::Call;

/// An answer: the status of HTTP, and the body.
pub(super) type Answer = (u16, String);

pub(super) const UNIQUEID: &str = "0123456789ABCDEF";

/// Of the document; it never pairs but in a test that says so.
pub(super) fn identity() -> Arc<Identity> {
    Arc::new(Identity::new(document::CLIENT_CERTIFICATE.into(), &key()).unwrap())
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
    let pem = parse_x509_pem(document::CLIENT_CERTIFICATE.as_bytes()).unwrap().1.contents;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyHost))
        .with_client_auth_cert(vec![CertificateDer::from(pem)], PrivatePkcs8KeyDer::from(key()).into())
        .unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("host").unwrap(), tcp).await
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

#[derive(Debug)]
struct AnyHost;

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
