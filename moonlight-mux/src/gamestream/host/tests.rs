//! Calls against hosts that say what they should not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::task::{Task, spawn};

/// One identity for all tests: making one takes time.
fn identity() -> Identity {
    static IDENTITY: std::sync::OnceLock<Identity> = std::sync::OnceLock::new();
    IDENTITY.get_or_init(|| Identity::generate().unwrap()).clone()
}

fn host_identity() -> Identity {
    static IDENTITY: std::sync::OnceLock<Identity> = std::sync::OnceLock::new();
    IDENTITY.get_or_init(|| Identity::generate().unwrap()).clone()
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn host_at(port: u16, certificate: Option<Certificate>) -> Host {
    let mut config = HostConfig::new(HostAddress::new("127.0.0.1", port).unwrap(), identity());
    config.certificate = certificate;
    Host::new(config)
}

/// Reads a request's head and gives its first line.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request is whole"));
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("connection: close\r\n"), "{head}");
    head.lines().next().unwrap().to_owned()
}

/// What one caller is answered, as it goes over the wire; what is left of the connection then.
async fn answer(listener: &TcpListener, bytes: &[u8]) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let line = request(&mut stream).await;
    stream.write_all(bytes).await.unwrap();
    (line, stream)
}

fn response(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn server_info(https_port: u16) -> String {
    wire::tests::SERVER_INFO.replace("<HttpsPort>47984<", &format!("<HttpsPort>{https_port}<"))
}

#[tokio::test]
async fn an_answer_is_what_its_length_says_and_the_connection_is_closed_behind_it() {
    let (listener, port) = listener().await;
    let host = host_at(port, None);
    // Wolf writes a second response behind the first (session 10.4).
    let bytes = [response(&server_info(47984)), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()].concat();
    let serving = async {
        let (line, mut stream) = answer(&listener, &bytes).await;
        assert!(line.starts_with("GET /serverinfo?uniqueid="), "{line}");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    };
    let (info, ()) = tokio::join!(host.info(), serving);
    assert_eq!(info.unwrap().name, "pc");
}

#[tokio::test]
async fn hostile_answers_are_errors_that_name_host_and_call() {
    let endless = {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        bytes.resize(MAX_DOCUMENT + 100, b' ');
        bytes
    };
    let endless_head = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 64 * 1024]].concat();
    let refused = response("<root status_code=\"503\" status_message=\"no\"/>");
    type Check = fn(&HostErrorCause) -> bool;
    let cases: [(&[u8], Check); 8] = [
        (b"", |cause| *cause == HostErrorCause::Closed),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n<ro", |cause| *cause == HostErrorCause::Closed),
        (b"\x16\x03\x01 what?\r\n\r\n", |cause| matches!(cause, HostErrorCause::Malformed(_))),
        (&endless, |cause| *cause == HostErrorCause::TooLong { limit: MAX_DOCUMENT }),
        (&endless_head, |cause| matches!(cause, HostErrorCause::Malformed(_))),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<root>", |cause| {
            matches!(cause, HostErrorCause::Malformed(_))
        }),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n<root status_code=\"200\"/>\r\n", |cause| {
            matches!(cause, HostErrorCause::Malformed(_))
        }),
        (
            &refused,
            |cause| matches!(cause, HostErrorCause::Host { code: 503, message: Some(m) } if m == "no"),
        ),
    ];
    for (n, (bytes, check)) in cases.into_iter().enumerate() {
        let (listener, port) = listener().await;
        let host = host_at(port, None);
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            // Whoever has read enough closes.
            let _ = stream.write_all(bytes).await;
        };
        let (info, ()) = tokio::join!(host.info(), serving);
        let error = info.unwrap_err();
        assert!(check(&error.cause), "case {n}: {:?}", error.cause);
        assert_eq!(error.call, HostCall::ServerInfo);
        let beginning = format!("127.0.0.1:{port}: server info failed after ");
        assert!(error.to_string().starts_with(&beginning), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_told_apart() {
    let (listener, port) = listener().await;
    drop(listener);
    assert_eq!(host_at(port, None).info().await.unwrap_err().cause, HostErrorCause::Refused);
    // A label is too long by one, so that nobody outside is asked.
    let nowhere = HostConfig::new("x".repeat(64).parse().unwrap(), identity());
    let error = Host::new(nowhere).info().await.unwrap_err();
    assert_eq!(error.cause, HostErrorCause::NameNotFound, "{error}");
}

#[tokio::test]
async fn a_silent_host_costs_no_more_than_the_time_it_is_given() {
    let (listener, port) = listener().await;
    let mut config = HostConfig::new(HostAddress::new("127.0.0.1", port).unwrap(), identity());
    config.timeout = Duration::from_millis(50);
    let error = Host::new(config).info().await.unwrap_err();
    assert_eq!(error.cause, HostErrorCause::Timeout);
    assert!(error.elapsed >= Duration::from_millis(50));
    drop(listener);
}

#[tokio::test]
async fn any_time_out_can_be_configured() {
    let mut config = HostConfig::new("127.0.0.1:1".parse().unwrap(), identity());
    config.timeout = Duration::MAX;
    let method = PairingMethod::Wolf { socket: "/no/such/socket".into() };
    assert!(Host::new(config).pair_by(&method).await.is_err());
}

#[tokio::test]
async fn a_port_that_did_not_answer_in_time_is_asked_for_anew() {
    let (tls, port) = listener().await;
    let host = host_at(1, Some(host_identity().pairing().certificate().clone()));
    host.known().https_port = Some(port);
    {
        let mut call = Box::pin(host.apps());
        assert!(poll!(&mut call).is_pending(), "it connects");
    }
    assert_eq!(host.known().https_port, None);
    drop(tls);
}

#[tokio::test]
async fn what_needs_pairing_says_so_without_asking() {
    let (_listener, port) = listener().await;
    let error = host_at(port, None).apps().await.unwrap_err();
    assert_eq!((error.call, error.cause.clone()), (HostCall::AppList, HostErrorCause::NotPaired));
    assert!(error.is_permanent());
}

fn acceptor(own: &Identity) -> TlsAcceptor {
    let certificate = CertificateDer::from(own.pairing().certificate().der().to_vec());
    let key = PrivatePkcs8KeyDer::from(own.key_pkcs8().to_vec());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// An HTTPS server that answers each call with `body`, and tells how each connection ended: in order or not.
fn https(listener: TcpListener, own: Identity, body: &'static str) -> Task<Vec<bool>> {
    let acceptor = acceptor(&own);
    spawn(async move {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                ends.push(false);
                break;
            };
            request(&mut stream).await;
            stream.write_all(&response(body)).await.unwrap();
            stream.flush().await.unwrap();
            // TLS without its good-bye is an error here.
            ends.push(matches!(stream.read(&mut [0; 1]).await, Ok(0)));
        }
        ends
    })
}

#[tokio::test]
async fn a_paired_host_is_called_by_https_and_each_connection_is_closed_in_order() {
    let (clear, port) = listener().await;
    let (tls, https_port) = listener().await;
    let own = host_identity();
    let host = host_at(port, Some(own.pairing().certificate().clone()));
    let body = "<root status_code=\"200\"><App><AppTitle>\u{200b}Desktop</AppTitle><ID>7</ID></App></root>";
    let serving = https(tls, own, body);
    let info = spawn(async move { drop(answer(&clear, &response(&server_info(https_port))).await) });
    for _ in 0..2 {
        let apps = host.apps().await.unwrap();
        assert_eq!((apps.len(), apps[0].title.as_str(), apps[0].id.get()), (1, "Desktop", 7));
    }
    info.await.unwrap();
    assert_eq!(serving.await.unwrap(), [true, true]);
}

#[tokio::test]
async fn a_pairing_that_was_dropped_keeps_the_next_one_waiting_until_the_host_was_told() {
    let (listener, port) = listener().await;
    let host = host_at(port, None);
    let pin: Pin = "0042".parse().unwrap();
    let mut pairing = Box::pin(host.pair(&pin));
    let until_the_second_stage = async {
        drop(answer(&listener, &response(&server_info(47984))).await);
        let mut stage = String::new();
        PairAnswer::ServerCertificate(host_identity().certificate_pem().to_vec()).emit(&mut stage);
        drop(answer(&listener, &response(&stage)).await);
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream
    };
    let asked = tokio::select! {
        paired = &mut pairing => panic!("{paired:?}"),
        stream = until_the_second_stage => stream,
    };
    drop(pairing);
    let (mut stream, _) = listener.accept().await.unwrap();
    let told = request(&mut stream).await;
    assert!(told.contains(&format!("clientchallenge={}", "0".repeat(32))), "{told}");
    let turn = &host.inner.turns.pair;
    assert!(turn.try_lock().is_err(), "it is told at this moment");
    drop((stream, asked));
    drop(turn.lock().await);
}

#[tokio::test]
async fn another_host_in_its_place_is_found_out() {
    let (clear, port) = listener().await;
    let (tls, https_port) = listener().await;
    let host = host_at(port, Some(identity().pairing().certificate().clone()));
    let serving = https(tls, host_identity(), "<root status_code=\"200\"/>");
    let info = spawn(async move { drop(answer(&clear, &response(&server_info(https_port))).await) });
    let error = host.apps().await.unwrap_err();
    assert_eq!(error.cause, HostErrorCause::WrongCertificate);
    assert!(error.is_permanent());
    info.await.unwrap();
    assert_eq!(serving.await.unwrap(), [false]);
}

#[tokio::test]
async fn a_client_without_rights_is_told_so() {
    let (clear, port) = listener().await;
    let (tls, https_port) = listener().await;
    let own = host_identity();
    let host = host_at(port, Some(own.pairing().certificate().clone()));
    let body =
        "<root status_code=\"200\"><App><AppTitle>Permission Denied</AppTitle><ID>114514</ID></App></root>";
    let _serving = https(tls, own, body);
    let _info = spawn(async move { drop(answer(&clear, &response(&server_info(https_port))).await) });
    let error = host.apps().await.unwrap_err();
    assert_eq!(error.cause, HostErrorCause::MissingRight { right: HostRight::List });
}

fn in_a_minute() -> Instant {
    task::now() + Duration::from_secs(60)
}

/// Two ports with consecutive numbers: the second is the one of the web interface.
async fn neighbours() -> (TcpListener, TcpListener, u16) {
    loop {
        let (first, port) = listener().await;
        // Somebody else's, or none at all.
        let Some(next) = port.checked_add(1) else { continue };
        if let Ok(second) = TcpListener::bind(("127.0.0.1", next)).await {
            return (first, second, port);
        }
    }
}

/// Sunshine's web interface: each call gets the next of the answers. Gives their heads and bodies.
async fn web_interface(listener: TcpListener, answers: &[(u16, &str)]) -> Vec<(String, serde_json::Value)> {
    let acceptor = acceptor(&host_identity());
    let mut calls = Vec::new();
    for (status, body) in answers {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut sent = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut sent).await.unwrap();
        calls.push((head, serde_json::from_slice(&sent).unwrap()));
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    calls
}

fn sunshine() -> PairingMethod {
    PairingMethod::Sunshine { user: "admin".to_owned(), password: "hunter2".to_owned() }
}

#[tokio::test]
async fn sunshine_takes_the_pin_by_its_web_interface_as_soon_as_it_waits_for_one() {
    let (_host, web, port) = neighbours().await;
    let host = host_at(port, None);
    let pin: Pin = "0042".parse().unwrap();
    let (method, deadline) = (sunshine(), in_a_minute());
    let answers = [(200, r#"{"status":false}"#), (200, r#"{"status":true}"#)];
    let (entered, calls) = tokio::join!(host.enter(&method, &pin, deadline), web_interface(web, &answers));
    assert_eq!(entered, Ok(()));
    assert_eq!(calls.len(), 2);
    for (head, body) in calls {
        assert!(head.starts_with("POST /api/pin HTTP/1.1\r\n"), "{head}");
        // admin:hunter2
        assert!(head.contains("authorization: Basic YWRtaW46aHVudGVyMg==\r\n"), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        assert!(!head.contains("origin:") && !head.contains("referer:"), "{head}");
        assert_eq!(body["pin"], "0042");
        assert!(body["name"].is_string());
    }
}

#[tokio::test]
async fn a_web_interface_that_refuses_or_waits_for_nobody_is_told_without_the_password() {
    for (answer, cause) in [
        ((401, r#"{"status":false}"#), HostErrorCause::Interface { status: 401 }),
        ((200, r#"{"status":false}"#), HostErrorCause::NobodyPairs),
        ((200, "<html>"), HostErrorCause::no_json()),
    ] {
        let (_host, web, port) = neighbours().await;
        let host = host_at(port, None);
        let (pin, method, now) = (Pin::random().unwrap(), sunshine(), task::now());
        let answers = [answer];
        let (entered, _) = tokio::join!(host.enter(&method, &pin, now), web_interface(web, &answers));
        assert_eq!(entered, Err(cause));
        let printed = format!("{entered:?} {method:?} {host:?}");
        assert!(!printed.contains("hunter2") && !printed.contains("aHVudGVyMg"), "{printed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_never_enters_a_pin_keeps_nobody_waiting_for_ever() {
    let host = host_at(1, None);
    let _turn = host.turn_to_pair().await;
    let error = host.pair_by(&sunshine()).await.unwrap_err();
    assert_eq!((error.call, &error.cause), (HostCall::EnterPin, &HostErrorCause::PairingBusy));
    assert!(!error.is_permanent() && error.elapsed >= Duration::from_secs(10), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn wolf_takes_the_pin_by_its_socket() {
    use tokio::net::UnixListener;

    let path = std::env::temp_dir().join(format!("moonlight-mux-wolf-{}", Uuid::new_v4()));
    let socket = UnixListener::bind(&path).unwrap();
    let pin: Pin = "0042".parse().unwrap();
    let serving = async {
        for (wanted, answer) in [
            ("GET /api/v1/pair/pending HTTP/1.1", r#"{"success":true,"requests":[]}"#),
            (
                "GET /api/v1/pair/pending HTTP/1.1",
                r#"{"success":true,"requests":[{"pair_secret":"A1","pin":"127.0.0.1"},{"pair_secret":"B2","pin":"127.0.0.1"}]}"#,
            ),
            ("POST /api/v1/pair/client HTTP/1.1", r#"{"success":true}"#),
        ] {
            let (mut stream, _) = socket.accept().await.unwrap();
            assert_eq!(request(&mut stream).await, wanted);
            if wanted.starts_with("POST") {
                let mut body = [0; 33];
                stream.read_exact(&mut body).await.unwrap();
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(body, serde_json::json!({ "pair_secret": "B2", "pin": "0042" }));
            }
            stream.write_all(&response(answer)).await.unwrap();
        }
    };
    let host = host_at(1, None);
    let method = PairingMethod::Wolf { socket: path.clone() };
    let (entered, ()) = tokio::join!(host.enter(&method, &pin, in_a_minute()), serving);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(entered, Ok(()));
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_a_time_out_as_any_other() {
    let late = CallError::Unreachable(std::io::ErrorKind::TimedOut);
    assert_eq!(HostErrorCause::from(late), HostErrorCause::Timeout);
    let kind = std::io::ErrorKind::HostUnreachable;
    assert_eq!(HostErrorCause::from(CallError::Unreachable(kind)), HostErrorCause::Unreachable(kind));
}

#[test]
fn an_interface_that_refuses_is_not_asked_again_and_one_that_is_in_trouble_is() {
    let host = host_at(1, None);
    let asking = host.ask(HostCall::EnterPin);
    for (status, permanent) in
        [(307, true), (400, true), (401, true), (403, true), (500, false), (503, false)]
    {
        let error = asking.error(HostErrorCause::Interface { status });
        assert_eq!(error.is_permanent(), permanent, "{status}");
    }
}

#[test]
fn pins_are_four_digits_of_any_kind() {
    let pins: std::collections::BTreeSet<_> =
        (0..64).map(|_| Pin::random().unwrap().digits().to_owned()).collect();
    assert!(pins.iter().all(|pin| pin.len() == 4 && pin.bytes().all(|digit| digit.is_ascii_digit())));
    assert!(pins.len() > 50, "they differ");
}
