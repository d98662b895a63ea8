//! Over real sockets, with pure clients.

mod client;
mod facts;

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use self::client::{Answer, UNIQUEID, connect, http, https, pair, pair_call};
use super::*;
use crate::gamestream::connection::{ConnectionConfig, EndReason, Event};
use crate::gamestream::crypto::SessionKey;
use crate::gamestream::driver::Driver;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::pairing::client::Failure;
use crate::gamestream::pairing::tests::document;
use crate::gamestream::wire::control::Termination;
use crate::gamestream::wire::http::Started;
use crate::input::{HostInput, KeyCode, Modifiers, MouseButton, Position};
use crate::media::{FrameNumber, VideoTimestamp};
use crate::source::{Ended, SourceError, SourceIo};

/// A host on which the document's client is paired.
async fn host(config: TestHostConfig) -> TestHost {
    let host = TestHost::start(config).await.unwrap();
    host.trust(document::CLIENT_CERTIFICATE).unwrap();
    host
}

fn config(manner: Manner) -> TestHostConfig {
    TestHostConfig { manner, picture: HostPicture::Black, ..TestHostConfig::default() }
}

fn target(call: &str) -> String {
    format!("/{call}?uniqueid={UNIQUEID}&uuid=x")
}

fn start(call: &str) -> String {
    format!(
        "{}&appid=881448767&mode=1280x720x60&additionalStates=1&sops=0&rikey=000102030405060708090a0b0c0d0e0f&\
         rikeyid=-5&localAudioPlayMode=0&surroundAudioInfo=196610&remoteControllersBitmap=0&gcmap=0&gcpersist=0&corever=1",
        target(call)
    )
}

/// Not within a time in which any answer comes. On a machine that is slow it is true of more, and so never fails by chance.
async fn is_unanswered(answer: impl Future + Unpin) -> bool {
    tokio::time::timeout(Duration::from_millis(300), answer).await.is_err()
}

fn status(answer: Option<Answer>) -> i32 {
    let body = answer.expect("there is an answer").1;
    crate::gamestream::wire::xml::Document::parse(body.as_bytes()).unwrap().status
}

#[tokio::test]
async fn a_client_pairs_with_its_pin_and_with_no_other() {
    let host = TestHost::start(config(Manner::Sunshine)).await.unwrap();
    assert_eq!(status(https(&host, &target("applist")).await), 401);

    let mut events = host.events();
    let wrong = async {
        events.find(|event| *event == HostEvent::PinWanted).await;
        host.enter_pin("0000");
    };
    let ((outcome, client), ()) = tokio::join!(pair(&host, "1234"), wrong);
    assert_eq!(outcome, Err(Failure::WrongPin));

    // The host still holds the first attempt: without a cleanup the next one fails (session 8.8).
    host.enter_pin("1234");
    assert_eq!(pair(&host, "1234").await.0, Err(Failure::Unexpected));
    host.enter_pin("0000");
    let (outcome, client_again) = pair(&host, "1234").await;
    assert_eq!(outcome, Err(Failure::WrongPin));
    assert_eq!(status(pair_call(&host, client_again.cleanup().unwrap()).await), 400);
    drop(client);

    host.enter_pin("1234");
    let (outcome, client) = pair(&host, "1234").await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        client.paired().map(Certificate::der),
        Some(host.config().identity.unwrap().pairing().certificate().der())
    );
    assert_eq!(status(https(&host, &target("applist")).await), 200);
    assert!(host.log().contains(&HostEvent::Paired));

    host.distrust_all();
    assert_eq!(status(https(&host, &target("applist")).await), 401);
    host.shutdown().await;
}

#[tokio::test]
async fn newer_sunshine_answers_nobody_over_https_while_a_client_leaves_its_connection_open() {
    let host = host(config(Manner::Sunshine)).await;
    let mut open = connect(&host).await.unwrap();
    open.write_all(b"GET /applist HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));

    let applist = target("applist");
    let mut other = std::pin::pin!(https(&host, &applist));
    assert!(is_unanswered(&mut other).await);
    let calls = |event: &&HostEvent| matches!(event, HostEvent::Called { .. });
    assert_eq!(host.log().iter().filter(calls).count(), 1);
    host.wait_for_counts(|counts| counts.open_connections == 2).await;
    drop(open);
    assert_eq!(status(other.await), 200);
    host.wait_for_counts(|counts| counts.open_connections == 0).await;
}

#[tokio::test]
async fn a_host_that_was_killed_starts_again_as_the_same_host() {
    let host = host(config(Manner::Sunshine)).await;
    let before = http(&host, &target("serverinfo")).await.unwrap();
    let config = host.config();
    host.kill().await;
    assert!(TcpStream::connect((config.address, config.ports.http)).await.is_err(), "all is closed");

    let host = TestHost::start(config).await.unwrap();
    assert_eq!(http(&host, &target("serverinfo")).await.unwrap(), before);
    assert_eq!(status(https(&host, &target("applist")).await), 200, "the client is still paired");
    host.kill().await;
}

#[tokio::test]
async fn a_session_streams_and_the_host_tells_what_it_saw() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let host = host(config(manner)).await;
        let mut driver = launch(&host, "launch").await;
        while driver.next().await != Event::Connected {}
        host.wait_for(|event| matches!(event, HostEvent::MediaStarted(_))).await;
        assert_eq!(host.sessions(), 1);
        let requests = host.log().iter().filter(|event| matches!(event, HostEvent::Rtsp { .. })).count();
        assert_eq!(requests, 7, "{manner:?}");

        driver.close();
        while !matches!(driver.next().await, Event::Ended { .. }) {}
        let ended = HostEvent::Ended { session: HostSessionId(0), reason: HostEndReason::ByClient };
        host.wait_for(|event| *event == ended).await;
        host.wait_for_counts(|counts| (counts.sessions, counts.open_rtsp_connections) == (0, 0)).await;
        assert!(!host.log().contains(&HostEvent::RtspReset));
        host.shutdown().await;
    }
}

/// One picture.
#[derive(Debug)]
struct OnePicture(mpsc::Sender<(VideoFrame, Instant, Instant)>);

#[async_trait]
impl VideoSource for OnePicture {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.video(VideoFrame {
            number: FrameNumber(0),
            timestamp: VideoTimestamp(0),
            keyframe: true,
            host_latency: None,
            data: [&[0, 0, 0, 1, 0x67, 0x64, 0, 0x20, 0, 0, 0, 1, 0x68, 0xee, 0, 0, 0, 1][..], &[0x65; 9000]]
                .concat()
                .into(),
        });
        while io.command().await.is_some() {}
        Ok(Ended::Stopped)
    }
}

impl HostSource for OnePicture {
    fn sent(&self, frame: &VideoFrame, first: Instant, last: Instant) {
        self.0.try_send((frame.clone(), first, last)).unwrap();
    }
}

#[tokio::test]
async fn a_source_is_told_when_its_picture_left() {
    let (sender, mut sent) = mpsc::channel(2);
    let picture = HostPicture::Source(Arc::new(OnePicture(sender)));
    let host = host(TestHostConfig { picture, ..config(Manner::Sunshine) }).await;
    let before = task::now();
    let mut driver = launch(&host, "launch").await;
    let received = async {
        loop {
            if let Event::Video(frame) = driver.next().await {
                return frame;
            }
        }
    };
    let (received, sent) = tokio::join!(received, sent.recv());
    let (frame, first, last) = sent.unwrap();
    assert_eq!(received.data, frame.data);
    // Ten datagrams are not given to the system at one moment.
    assert!(before < first && first < last && last < task::now());
    host.shutdown().await;
}

/// A session of the pure client over its own sockets.
async fn launch(host: &TestHost, call: &str) -> Driver {
    let (_, body) = https(host, &start(call)).await.unwrap();
    let url = Started::parse(body.as_bytes()).unwrap().session_url.unwrap();
    let config = ConnectionConfig {
        url,
        host: host.http_address().ip(),
        key: SessionKey::new(std::array::from_fn(|i| i as u8)),
        rikeyid: -5i32 as u32,
        wishes: wishes(),
        seed: 5,
    };
    Driver::new(config, None).unwrap()
}

#[tokio::test]
async fn input_arrives_in_order_and_as_it_was_sent() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let host = host(config(manner)).await;
        let mut driver = launch(&host, "launch").await;
        while driver.next().await != Event::Connected {}
        // None of the modifiers, of which Wolf is not told.
        let key = |down| HostInput::Key { code: KeyCode(0x41), down, modifiers: Modifiers::default() };
        let sent = [
            HostInput::PointerTo(Position { x: 0x4000, y: 0xffff }),
            HostInput::Button { button: MouseButton::Left, down: true },
            key(true),
            key(false),
        ];
        driver.send_inputs(sent);
        let up = key(false);
        let last = HostEvent::Input(HostSessionId(0), up);
        let mut arrived = Box::pin(host.wait_for(|event| *event == last));
        loop {
            tokio::select! {
                _ = &mut arrived => break,
                event = driver.next() => assert!(!matches!(event, Event::Ended { .. }), "{event:?}"),
            }
        }
        let inputs = host.log().into_iter().filter_map(|event| match event {
            HostEvent::Input(_, input) => Some(input),
            _ => None,
        });
        assert_eq!(inputs.collect::<Vec<_>>(), sent, "{manner:?}");
    }
}

#[tokio::test]
async fn sessions_that_the_host_ends_are_told_so() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let host = host(config(manner)).await;
        let mut driver = launch(&host, "launch").await;
        while driver.next().await != Event::Connected {}
        host.wait_for(|event| matches!(event, HostEvent::ControlConnected(_))).await;
        host.end_sessions();
        let Event::Ended { reason } = (loop {
            if let ended @ Event::Ended { .. } = driver.next().await {
                break ended;
            }
        }) else {
            unreachable!("the loop ends so")
        };
        // No picture had come: that is early.
        assert_eq!(reason, EndReason::TerminatedEarly(Termination::INTENDED), "{manner:?}");
        let ended = HostEvent::Ended { session: HostSessionId(0), reason: HostEndReason::ByHost };
        host.wait_for(|event| *event == ended).await;
        host.kill().await;
    }
}

#[tokio::test]
async fn the_last_words_of_a_host_arrive_however_long_they_are_under_way() {
    for manner in [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf] {
        let host = host(config(manner)).await;
        let mut driver = launch(&host, "launch").await;
        while driver.next().await != Event::Connected {}
        host.wait_for(|event| matches!(event, HostEvent::ControlConnected(_))).await;
        host.set_faults(Faults { delay: Duration::from_millis(500), ..Faults::default() });
        host.end_sessions();
        let reason = loop {
            if let Event::Ended { reason } = driver.next().await {
                break reason;
            }
        };
        assert_eq!(reason, EndReason::TerminatedEarly(Termination::INTENDED), "{manner:?}");
        host.wait_for_counts(|counts| counts.sessions == 0).await;
    }
}

#[tokio::test]
async fn later_wolfs_tell_sessions_of_one_address_apart_by_the_host_that_the_client_names() {
    let host = host(TestHostConfig { session_addresses: true, ..config(Manner::Wolf) }).await;
    let mut first = launch(&host, "launch").await;
    let mut second = launch(&host, "launch").await;
    let connect = async |driver: &mut Driver| while driver.next().await != Event::Connected {};
    tokio::join!(connect(&mut first), connect(&mut second));
    for id in [0, 1] {
        let connected = HostEvent::ControlConnected(HostSessionId(id));
        host.wait_for(|event| *event == connected).await;
        let of_it = |event: &&HostEvent| matches!(event, HostEvent::Rtsp { session, .. } if *session == Some(HostSessionId(id)));
        assert_eq!(host.log().iter().filter(of_it).count(), 7);
    }
    host.kill().await;
}

#[tokio::test]
async fn a_reset_is_noticed_and_ends_wolfs_rtsp_for_good() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let host = host(config(manner)).await;
        let _ = https(&host, &start("launch")).await;
        let address = SocketAddr::new(host.http_address().ip(), host.config().ports.rtsp);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_zero_linger().unwrap();
        let mut half = socket.connect(address).await.unwrap();
        half.write_all(b"OPTIONS ").await.unwrap();
        host.wait_for_counts(|counts| counts.open_rtsp_connections == 1).await;
        drop(half);
        host.wait_for(|event| *event == HostEvent::RtspReset).await;

        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"OPTIONS rtsp://127.0.0.1:1 RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let mut read = Box::pin(next.read_to_end(&mut answer));
        if manner == Manner::Wolf {
            assert!(is_unanswered(&mut read).await, "it is dead");
        } else {
            assert!(read.await.unwrap() > 0, "it goes on");
        }
        host.kill().await;
    }
}

#[tokio::test]
async fn a_length_that_is_no_number_ends_wolfs_rtsp_for_good() {
    for manner in [Manner::Sunshine, Manner::Wolf] {
        let host = host(config(manner)).await;
        let _ = https(&host, &start("launch")).await;
        let address = SocketAddr::new(host.http_address().ip(), host.config().ports.rtsp);
        let ask = async |request: &str| {
            let mut rtsp = TcpStream::connect(address).await.unwrap();
            rtsp.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            rtsp.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let letters =
            ask("ANNOUNCE streamid=control/13/0 RTSP/1.0\r\nCSeq: 1\r\nContent-length: abc\r\n\r\n").await;
        assert_eq!(letters.is_empty(), manner == Manner::Wolf, "{manner:?}");
        let mut next = Box::pin(ask("OPTIONS rtsp://127.0.0.1:1 RTSP/1.0\r\nCSeq: 2\r\n\r\n"));
        if manner == Manner::Wolf {
            assert!(is_unanswered(&mut next).await, "it is dead");
        } else {
            assert!(!next.await.is_empty(), "it goes on");
        }
        host.kill().await;
    }
}

#[tokio::test]
async fn faults_spoil_the_calls_that_they_name() {
    let host = host(config(Manner::Sunshine)).await;
    let applist = target("applist");
    let with = |hostile| {
        host.set_faults(Faults { hostile: Some((HostStep::Apps, hostile)), ..Faults::default() });
        https(&host, &applist)
    };
    assert_eq!(with(HostileAnswer::Nothing).await, None);
    assert_eq!(status(with(HostileAnswer::Status(503)).await), 503);
    assert!(with(HostileAnswer::OtherXml).await.unwrap().1.contains("<html>"));
    assert!(!with(HostileAnswer::Truncated).await.unwrap().1.ends_with("</root>"));
    assert_eq!(status(http(&host, &target("serverinfo")).await), 200, "no other call is touched");

    host.set_faults(Faults { silent: vec![HostStep::Apps], ..Faults::default() });
    let mut asked = std::pin::pin!(https(&host, &applist));
    assert!(is_unanswered(&mut asked).await);
    host.wait_for_counts(|counts| counts.open_connections == 1).await;
    host.set_faults(Faults::default());
    assert_eq!(status(asked.await), 200);

    let refusal = StartRefusal { status: 503, message: "Out of order".to_owned() };
    host.set_faults(Faults { refuse_start: Some(refusal), ..Faults::default() });
    let (_, body) = https(&host, &start("launch")).await.unwrap();
    assert!(body.contains("status_code=\"503\" status_message=\"Out of order\""), "{body}");
    assert_eq!(host.sessions(), 0);
}
