//! RTSP: what hosts answer to what they should not be asked.

use proptest::prelude::*;

use super::super::*;
use super::net::config;
use crate::gamestream::crypto::RtspCipher;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::wire::rtsp::{Sealed, Sender};
use crate::gamestream::wire::sdp::Encryption;
use crate::gamestream::wire::sdp::tests::announcement;
use crate::media::VideoCodec;
use crate::task;

/// A session without encryption of RTSP.
pub(super) fn session(manner: Manner) -> HostSession {
    let mut config = config(manner);
    config.launch.rtsp_encryption = false;
    HostSession::new(task::now(), config)
}

pub(super) fn announce(announcement: &Announcement) -> String {
    let mut body = String::new();
    announcement.emit(&mut body);
    format!(
        "ANNOUNCE streamid=control/13/0 RTSP/1.0\r\nCSeq: 6\r\nContent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(session: &mut HostSession, request: &str) -> String {
    assert!(session.is_whole_request(request.as_bytes()));
    String::from_utf8(session.handle_rtsp(task::now(), request.as_bytes())).unwrap()
}

#[test]
fn bad_requests_get_what_real_hosts_answer() {
    let bad = "RTSP/1.0 400 BAD REQUEST\r\nCSeq: 0\r\n\r\n";
    let ok = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
    let lines = |lines: &[&str]| format!("{}\r\n\r\n", lines.join("\r\n"));
    let swapped = lines(&["OPTIONS rtsp://1.2.3.4:1 RTSP/1.0", "Host: 1.2.3.4", "CSeq: 1"]);
    let named = lines(&["OPTIONS rtsp://pc:1 RTSP/1.0", "CSeq: 1"]);
    let portless = lines(&["OPTIONS rtsp://1.2.3.4 RTSP/1.0", "CSeq: 1"]);
    let http = lines(&["GET / HTTP/1.1", "CSeq: 1"]);
    for (request, wolf, sunshine) in
        [(swapped, bad, ok), (named, bad, ok), (portless, bad, ok), (http, bad, bad)]
    {
        assert_eq!(ask(&mut session(Manner::Wolf), &request), wolf, "{request}");
        assert_eq!(ask(&mut session(Manner::Sunshine), &request), sunshine, "{request}");
    }
    for manner in [Manner::Wolf, Manner::Sunshine] {
        let mut session = session(manner);
        let unknown = ask(&mut session, &lines(&["TEARDOWN / RTSP/1.0", "CSeq: 8"]));
        assert_eq!(unknown, "RTSP/1.0 404 NOT FOUND\r\nCSeq: 8\r\n\r\n");
        let setup = ask(&mut session, &lines(&["SETUP streamid=smell/0/0 RTSP/1.0", "CSeq: 3"]));
        assert_eq!(setup, "RTSP/1.0 404 NOT FOUND\r\nCSeq: 3\r\n\r\n");
        assert_eq!(ask(&mut session, &lines(&["OPTIONS rtsp://1.2.3.4:1 RTSP/1.0", "CSeq: 1"])), ok);
    }
    let letters = lines(&["ANNOUNCE streamid=control/13/0 RTSP/1.0", "CSeq: 6", "Content-length: abc"]);
    assert_eq!(ask(&mut session(Manner::Wolf), &letters), "", "closed without a byte");
    assert_eq!(ask(&mut session(Manner::Sunshine), &letters), bad);
}

#[test]
fn an_announcement_that_cannot_be_met_is_refused_and_may_be_tried_again() {
    let refused = |status: &str| format!("RTSP/1.0 {status}\r\nCSeq: 6\r\n\r\n");
    let whole = announce(&announcement());
    let cut = whole.replace("clientViewportWd", "clientViewportXx");
    assert_eq!(ask(&mut session(Manner::Sunshine), &cut), refused("400 BAD REQUEST"));
    assert_eq!(ask(&mut session(Manner::Wolf), &cut), "", "closed without a byte");

    let mut config = config(Manner::Sunshine);
    config.launch.rtsp_encryption = false;
    config.hevc = false;
    let all = Encryption { control: true, video: true, audio: true };
    config.encryption = EncryptionOffer { supported: all, requested: all };
    let mut session = HostSession::new(task::now(), config);
    let hevc = Announcement { codec: VideoCodec::Hevc, encryption: all, ..announcement() };
    assert_eq!(ask(&mut session, &announce(&hevc)), refused("400 BAD REQUEST"));
    assert_eq!(ask(&mut session, &whole), refused("403 FORBIDDEN"), "encryption is mandatory");
    assert_eq!(session.poll_event(), None);
    let met = Announcement { encryption: all, ..announcement() };
    assert_eq!(ask(&mut session, &announce(&met)), refused("200 OK"));
    assert_eq!(session.poll_event(), Some(HostSessionEvent::Announced(Box::new(met))));
    assert_eq!(ask(&mut session, &announce(&met)), refused("200 OK"));
    assert_eq!(session.poll_event(), None, "once is enough");
}

#[test]
fn where_rtsp_is_encrypted_clear_requests_get_an_encrypted_400() {
    let mut session = HostSession::new(task::now(), config(Manner::Sunshine));
    assert!(session.encrypts_rtsp());
    let cipher = RtspCipher::new(&key());
    for sequence in 1..3 {
        let request = b"OPTIONS rtsp://1.2.3.4:1 RTSP/1.0\r\nCSeq: 1\r\n\r\n";
        assert!(session.is_whole_request(request));
        let answer = session.handle_rtsp(task::now(), request);
        let sealed = Sealed::parse(&answer).unwrap();
        assert_eq!(sealed.sequence(), sequence, "each answer has its own");
        let clear = cipher.open(Sender::Host, &sealed).unwrap();
        assert_eq!(clear, b"RTSP/1.0 400 BAD REQUEST\r\nCSeq: 0\r\n\r\n");
    }
}

#[test]
fn a_request_is_whole_with_its_last_byte() {
    let clear = announce(&announcement());
    let sealed = RtspCipher::new(&key()).seal(Sender::Client, 6, clear.clone().into());
    let sessions = [session(Manner::Wolf), HostSession::new(task::now(), config(Manner::Sunshine))];
    for (session, request) in sessions.iter().zip([clear.into_bytes(), sealed]) {
        for len in 0..request.len() {
            assert!(!session.is_whole_request(&request[..len]), "{len}");
        }
        assert!(session.is_whole_request(&request));
    }
}

#[test]
fn an_ended_session_answers_nothing() {
    let mut session = session(Manner::Sunshine);
    session.disconnect(task::now());
    assert_eq!(session.poll_event(), Some(HostSessionEvent::Ended(EndReason::Host)));
    assert_eq!(ask(&mut session, "OPTIONS rtsp://1.2.3.4:1 RTSP/1.0\r\nCSeq: 1\r\n\r\n"), "");
    assert_eq!(session.poll_timeout(), None);
}

/// What somebody sends to a host.
#[derive(Clone, Debug)]
enum Step {
    Rtsp(Vec<u8>),
    Announce,
    Datagram(Stream, Vec<u8>),
    Ping(Stream),
    Show(usize),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = prop_oneof![Just(Stream::Control), Just(Stream::Video), Just(Stream::Audio)];
    let media = prop_oneof![Just(Stream::Video), Just(Stream::Audio)];
    // Now and then something like an ENet datagram.
    let enet = (0u8..16, prop::collection::vec(any::<u8>(), 0..60))
        .prop_map(|(command, rest)| [&[0x8f, 0xff, 0, 1, 0x80 | command, 0xff, 0, 1][..], &rest].concat());
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 0..100), enet];
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Rtsp),
        1 => "[A-Z]{3,8} [a-z=/0-9]{1,20} RTSP/1.0\r\nCSeq: [0-9]{1,3}\r\n\r\n".prop_map(|text| Step::Rtsp(text.into())),
        1 => Just(Step::Announce),
        6 => (stream, bytes).prop_map(|(stream, bytes)| Step::Datagram(stream, bytes)),
        1 => media.prop_map(Step::Ping),
        1 => (0usize..5000).prop_map(Step::Show),
        2 => (0u16..4000).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn any_client_is_survived(
        manner in prop_oneof![Just(Manner::Sunshine), Just(Manner::SunshineV023), Just(Manner::Wolf)],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut session = session(manner);
        let mut now = task::now();
        let from = ([127, 0, 0, 1], 5).into();
        let mut ended = 0;
        for step in steps {
            match step {
                Step::Rtsp(bytes) => {
                    session.is_whole_request(&bytes);
                    session.handle_rtsp(now, &bytes);
                }
                Step::Announce => {
                    session.handle_rtsp(now, announce(&announcement()).as_bytes());
                }
                Step::Datagram(stream, bytes) => session.handle_datagram(now, stream, from, &bytes),
                Step::Ping(stream) => {
                    let payload = session.responder.ping_payload().unwrap_or([0; 16]);
                    let mut bytes = Vec::new();
                    Ping::Payload { payload, counter: 1 }.emit(&mut bytes);
                    session.handle_datagram(now, stream, from, &bytes);
                }
                Step::Show(len) => session.send_video(VideoTimestamp(0), None, true, &vec![1; len]),
                Step::Pass(ms) => {
                    now += Duration::from_millis(ms.into());
                    session.handle_timeout(now);
                }
            }
            while session.poll_transmit().is_some() {}
            while let Some(event) = session.poll_event() {
                prop_assert_eq!(ended, 0, "the end is the last");
                ended += usize::from(matches!(event, HostSessionEvent::Ended(_)));
            }
            prop_assert_eq!(session.poll_timeout().is_none(), ended > 0 || (manner == Manner::Wolf && session.live.is_none()));
        }
    }
}
