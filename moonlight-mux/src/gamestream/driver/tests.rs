use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::exchange::{Exchange, Step};
use super::*;
use crate::gamestream::connection::EndReason;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::rtsp;
use crate::source::Stage;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANOTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads to the end; a reset fails.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the client closes its side normally");
    bytes
}

fn driver(port: u16, local: Option<IpAddr>) -> Driver {
    let config = ConnectionConfig {
        url: format!("rtsp://10.9.8.7:{port}").parse().unwrap(),
        host: LOCALHOST,
        key: key(),
        rikeyid: 1,
        wishes: wishes(),
        seed: 5,
    };
    Driver::new(config, local).unwrap()
}

#[tokio::test]
async fn an_exchange_ends_when_the_host_closes_and_closes_too() {
    let (listener, address) = listener().await;
    let mut exchange = Exchange::start(address, None, b"request".to_vec());
    let (mut host, _) = listener.accept().await.unwrap();
    assert_eq!(exchange.step().await, Step::Connected);
    let mut request = [0; 7];
    host.read_exact(&mut request).await.unwrap();
    assert_eq!(&request, b"request");

    host.write_all(b"answer").await.unwrap();
    assert_eq!(exchange.step().await, Step::Bytes(b"answer".to_vec()));
    host.shutdown().await.unwrap();
    assert_eq!(exchange.step().await, Step::Ended);
    assert!(read_to_end(&mut host).await.is_empty());
}

#[tokio::test]
async fn an_exchange_that_nobody_waits_for_any_more_is_finished_without_a_reset() {
    let (listener, address) = listener().await;
    let mut exchange = Exchange::start(address, None, b"request".to_vec());
    let (mut host, _) = listener.accept().await.unwrap();
    assert_eq!(exchange.step().await, Step::Connected);
    drop(exchange);

    assert_eq!(read_to_end(&mut host).await, b"request");
    // Unread bytes in a socket that is closed are what makes the kernel send a reset.
    host.write_all(&vec![b'a'; 16 << 20]).await.expect("the client still reads");
    host.shutdown().await.unwrap();
    assert!(read_to_end(&mut host).await.is_empty());
}

#[tokio::test]
async fn an_exchange_that_is_dropped_before_it_connected_asks_nothing_and_says_goodbye() {
    let (listener, address) = listener().await;
    drop(Exchange::start(address, None, b"request".to_vec()));
    let (mut host, _) = listener.accept().await.unwrap();
    assert!(read_to_end(&mut host).await.is_empty());
    host.write_all(b"who is there?").await.unwrap();
    host.shutdown().await.unwrap();
    assert!(read_to_end(&mut host).await.is_empty());
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_refuses() {
    // Held without listening, so that nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    assert_eq!(Exchange::start(address, None, Vec::new()).step().await, Step::Refused);
}

#[tokio::test]
async fn a_broken_connection_is_told_from_one_that_ended() {
    let (listener, address) = listener().await;
    let mut exchange = Exchange::start(address, None, b"request".to_vec());
    let (host, _) = listener.accept().await.unwrap();
    assert_eq!(exchange.step().await, Step::Connected);
    socket2::SockRef::from(&host).set_linger(Some(Duration::ZERO)).unwrap();
    drop(host);
    assert_eq!(exchange.step().await, Step::Broken);
}

#[tokio::test]
async fn a_session_comes_from_the_local_address_that_it_was_given() {
    let (listener, address) = listener().await;
    let mut driver = driver(address.port(), Some(ANOTHER));
    for socket in [&driver.control, &driver.video, &driver.audio] {
        assert_eq!(socket.local_addr().ip(), ANOTHER);
    }
    let accepted = async { listener.accept().await.unwrap().1 };
    let from = tokio::select! {
        from = accepted => from,
        () = async { loop { driver.next().await; } } => unreachable!("the dialogue waits for its answer"),
    };
    assert_eq!(from.ip(), ANOTHER);
}

#[tokio::test]
async fn an_unknown_local_address_is_an_error() {
    let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert!(HostSocket::bind(LOCALHOST, Some(nowhere), SMALL_BUFFER).is_err());
}

#[tokio::test]
async fn a_session_that_is_dropped_in_the_middle_of_a_request_resets_nothing() {
    let (listener, address) = listener().await;
    let mut driver = driver(address.port(), None);
    let accepted = async { listener.accept().await.unwrap().0 };
    let mut host = tokio::select! {
        host = accepted => host,
        () = async { loop { driver.next().await; } } => unreachable!("the dialogue waits for its answer"),
    };
    drop(driver);
    read_to_end(&mut host).await;
    host.write_all(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n").await.unwrap();
    host.shutdown().await.unwrap();
    assert!(read_to_end(&mut host).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_done_before_more_is_read() {
    // Whichever of what is ready would come first by chance.
    for _ in 0..10 {
        let (_listener, address) = listener().await;
        let mut driver = driver(address.port(), None);
        while futures_util::poll!(std::pin::pin!(driver.next())).is_ready() {}
        let sender = std::net::UdpSocket::bind((LOCALHOST, 0)).unwrap();
        sender.send_to(b"video", (LOCALHOST, driver.video.local_addr().port())).unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(matches!(driver.next().await, Event::Ended { .. }));
        assert_eq!(driver.video.datagrams(), 0);
    }
}

/// The whole way of an answer into the connection, and its end out of it.
#[tokio::test]
async fn a_host_that_knows_of_no_session_ends_it_with_a_reason() {
    let (listener, address) = listener().await;
    let host = task::spawn(async move {
        let (mut host, _) = listener.accept().await.unwrap();
        host.shutdown().await.unwrap();
        read_to_end(&mut host).await
    });
    let mut driver = driver(address.port(), None);
    let mut stages = Vec::new();
    let reason = loop {
        match driver.next().await {
            Event::StageStarting(stage) => stages.push(stage),
            Event::Ended { reason } => break reason,
            _ => {}
        }
    };
    assert_eq!(stages.last(), Some(&Stage::RtspHandshake));
    let EndReason::Rtsp { error, .. } = reason else { panic!("{reason:?}") };
    assert_eq!(error, rtsp::Error { stage: rtsp::Stage::Options, cause: rtsp::Cause::NoSession });
    assert!(host.await.unwrap().starts_with(b"OPTIONS rtsp://10.9.8.7:"));
}
