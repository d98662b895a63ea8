//! Hosts that misbehave, and the recorded HTTP API. The recorded dialogues are held again by `recording/reference/rtsp.rs`.

use std::fs;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::recorded::{exchanges, recording, sessions};
use crate::gamestream::wire::http::request::{Call, UniqueId};
use crate::gamestream::wire::http::{self, ServerInfo, Started};
use crate::media::VideoCodec;

fn now() -> Instant {
    crate::task::now()
}

#[test]
fn recorded_answers_of_the_http_api_parse_and_recorded_requests_are_understood() {
    let Some(sessions) = sessions() else { return };
    let pairings = ["v0.23-pairing", "v2025-pairing", "wolf-pairing"].map(|name| recording(name).unwrap());
    let pairings = pairings.iter().flat_map(|folder| {
        ["list.http.txt", "rightpin.http.txt", "wrongpin.http.txt"].map(|file| folder.join(file))
    });
    let files = sessions.iter().map(|session| session.join("http.txt")).chain(pairings);
    let (mut answers, mut rebuilt, mut starts) = (0, 0, 0);
    for file in files.filter(|file| file.exists()) {
        for exchange in exchanges(&file) {
            let (uniqueid, call) = Call::parse(&exchange.target).unwrap();
            let uniqueid = uniqueid.unwrap();
            assert_eq!(uniqueid.to_string(), "0123456789ABCDEF");
            check_request(&exchange.target, &uniqueid, &call);
            assert!(exchange.https || !call.needs_https(), "{}", exchange.target);
            let Some(answer) = exchange.answer else { continue };
            answers += 1;
            let mut built = String::new();
            let refused = match &call {
                Call::ServerInfo => ServerInfo::parse(&answer).map(|info| {
                    assert!(info.version.is_supported() && !info.nvidia && info.permission.is_none());
                    info.emit(&mut built);
                }),
                Call::Apps => http::parse_apps(&answer).map(|apps| {
                    assert!(apps.len() > 1);
                    http::emit_apps(&apps, &mut built);
                }),
                Call::Launch(_) => Started::parse(&answer).map(|started| {
                    starts += 1;
                    started.emit(http::Start::Launch, &mut built);
                }),
                Call::Resume(_) => Started::parse(&answer).map(|started| {
                    starts += 1;
                    started.emit(http::Start::Resume, &mut built);
                }),
                Call::Cancel => http::parse_cancelled(&answer).map(|()| http::emit_cancelled(&mut built)),
                // Pictures are no documents, pairing has tests of its own, and what comes of unpairing does not matter.
                Call::AppImage(_) | Call::Pair(_) | Call::Unpair => continue,
            };
            match refused {
                Ok(()) if built.as_bytes() == answer => rebuilt += 1,
                // Display modes, an address, Wolf's order: not of interest to a client.
                Ok(()) => assert!(matches!(call, Call::ServerInfo), "{file:?}: {built}"),
                Err(http::Error::Refused(refusal)) => assert!(refusal.status >= 400, "{refusal}"),
                Err(error) => panic!("{file:?} {}: {error}", exchange.target),
            }
        }
    }
    assert!(
        answers > 100 && rebuilt > 50 && starts >= 20,
        "{answers} answers, {rebuilt} rebuilt, {starts} starts"
    );
}

/// What a call is made of makes the same target, but for what our client says differently (docs/gamestream.md).
fn check_request(target: &str, uniqueid: &UniqueId, call: &Call) {
    let (before, after) = target.split_once("&uuid=").unwrap();
    let (uuid, after) = after.split_at(after.find('&').unwrap_or(after.len()));
    let uuid = Uuid::parse_str(uuid).unwrap();
    let expected =
        format!("{before}&uuid={}{}", uuid.simple(), after.replace("&gcmap=1", "&gcmap=1&gcpersist=0"));
    assert_eq!(call.target(uniqueid, uuid), expected);
}

#[test]
fn recorded_facts_of_the_http_api_parse() {
    let Some(facts) = recording("http-facts") else { return };
    let files = fs::read_dir(facts).unwrap().map(|entry| entry.unwrap().path());
    let wolf = recording("wolf-http-facts").unwrap().join("http.txt");
    let (mut documents, mut refusals) = (0, 0);
    for file in files.chain([wolf]) {
        let text = fs::read_to_string(file).unwrap();
        // Some were cut when they were written down.
        let whole = |line: &&str| line.ends_with("</root>") || line.ends_with("/>");
        for line in text.lines().filter(|line| line.starts_with("<root ")).filter(whole) {
            documents += 1;
            match ServerInfo::parse(line.as_bytes()) {
                Ok(info) => assert!(info.version.is_supported()),
                // It is another answer.
                Err(http::Error::Missing { .. }) => {}
                Err(http::Error::Refused(refusal)) => {
                    refusals += 1;
                    assert!([400, 401, 404, 503].contains(&refusal.status), "{refusal}");
                    assert_eq!(refusal.is_unpaired(), refusal.status == 401);
                }
                Err(error) => panic!("{line}: {error}"),
            }
        }
    }
    assert!(documents > 40 && refusals > 10, "{documents} documents, {refusals} refusals");
}

#[test]
fn recorded_answers_to_bad_requests_parse() {
    let Some(facts) = recording("wolf-http-facts") else { return };
    let text = fs::read_to_string(facts.join("rtsp-robustness.txt")).unwrap();
    let mut statuses = Vec::new();
    for line in text.lines().filter(|line| line.trim_start().starts_with("->")) {
        let Some((_, answer)) = line.split_once("b'") else { continue };
        let answer = answer[..answer.find('\'').unwrap()].replace("\\r\\n", "\r\n");
        match Response::parse(answer.as_bytes()) {
            Ok(response) => statuses.push(response.status),
            Err(error) => assert_eq!(error, Malformed::Empty),
        }
    }
    for status in [200, 400, 404] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
}

/// A host that answers as the test says, in clear.
struct Played {
    dialogue: Dialogue,
    now: Instant,
}

impl Played {
    fn new(url: &str) -> Self {
        let now = now();
        let host = "192.168.1.50".parse().unwrap();
        Self { dialogue: Dialogue::new(now, url.parse().unwrap(), host, &key(), wishes()), now }
    }

    fn after(&mut self, time: Duration) -> Result<(), Error> {
        self.now += time;
        self.dialogue.handle_timeout(self.now)
    }

    fn request(&mut self) -> Request {
        let bytes = self.dialogue.poll_request(self.now).unwrap().unwrap();
        self.dialogue.handle_connected(self.now);
        Request::parse(&bytes).unwrap()
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.dialogue.handle_bytes(self.now, bytes)?;
        self.dialogue.handle_end(self.now)
    }

    /// Goes through the stages before this one.
    fn until(url: &str, stage: Stage) -> Self {
        let mut played = Self::new(url);
        let answers = [
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\na=x-ss-general.featureFlags:0\n",
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: DEADBEEFCAFE;timeout = 90\r\nTransport: server_port=48000\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 4\r\nTransport: server_port=47998\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 5\r\nX-SS-Connect-Data: 3405691582\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n",
        ];
        for answer in &answers[..stage as usize] {
            played.request();
            played.answer(answer.as_bytes()).unwrap();
        }
        while played.dialogue.poll_event().is_some() {}
        played
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.dialogue.poll_event()).collect()
    }
}

const URL: &str = "rtsp://10.9.8.7:48011";

#[test]
fn the_urls_own_words_are_said_whatever_the_hosts_address_is() {
    let mut played = Played::until(URL, Stage::Announce);
    let announce = played.request();
    assert_eq!(played.dialogue.port(), 48011);
    assert_eq!(announce.headers.find("Host"), Some("10.9.8.7"));
    assert!(announce.body.contains("IN IPv4 192.168.1.50\r\n"));
    let mut options = Played::new(URL);
    assert_eq!(options.request().target, URL);
}

#[test]
fn setup_tells_ports_pings_and_connect_data() {
    let setup = |stage, headers: &str| {
        let mut played = Played::until(URL, stage);
        played.request();
        played.answer(format!("RTSP/1.0 200 OK\r\nSession: A\r\n{headers}\r\n\r\n").as_bytes())?;
        let [event] = &played.events()[..] else { panic!("one event") };
        Ok(event.clone())
    };
    let audio = |port, ping| Ok(Event::Audio(MediaPort { port, ping }));
    let check = |headers: &str, port, ping: Option<&[u8; 16]>| {
        assert_eq!(setup(Stage::SetupAudio, headers), audio(port, ping.copied()), "{headers}");
    };
    check("Transport: server_port=47998", 47998, None);
    check("Transport: unicast;server_port=48001-48002;source=192.168.35.177", 48001, None);
    check("Transport: server_port=0", 48000, None);
    check("Transport: server_port=99999", 48000, None);
    check("A: b", 48000, None);
    check("X-SS-Ping-Payload: 0123456789ABCDEF", 48000, Some(b"0123456789ABCDEF"));
    check("X-SS-Ping-Payload: 0123456789ABCDE", 48000, None);
    check("X-SS-Ping-Payload: 0123456789ABCDEF0", 48000, None);

    let control = |text: &str| setup(Stage::SetupControl, &format!("X-SS-Connect-Data: {text}"));
    let data = |connect_data| Ok(Event::Control(ControlPort { port: 47999, connect_data }));
    assert_eq!(control("3405691582"), data(0xcafe_babe));
    assert_eq!(control("0xcafebabe"), data(0xcafe_babe));
    assert_eq!(setup(Stage::SetupControl, "A: b"), data(0));
    let wrong = |stage, name| Err(Error { stage, cause: Cause::Header { name } });
    assert_eq!(control("4294967296"), wrong(Stage::SetupControl, "X-SS-Connect-Data"));
}

#[test]
fn a_session_token_is_needed_and_sent_back() {
    let token = |value: &str| {
        let mut played = Played::until(URL, Stage::SetupAudio);
        assert_eq!(played.request().headers.find("Session"), None);
        played.answer(format!("RTSP/1.0 200 OK\r\n{value}\r\n\r\n").as_bytes())?;
        Ok(played.request().headers.find("Session").map(str::to_owned))
    };
    assert_eq!(token("Session: DEADBEEFCAFE;timeout = 90"), Ok(Some("DEADBEEFCAFE".to_owned())));
    let missing = Err(Error { stage: Stage::SetupAudio, cause: Cause::Header { name: "Session" } });
    for value in ["A: b", "Session: ", "Session: ;timeout=90", "Session: a b"] {
        assert_eq!(token(value), missing, "{value}");
    }
}

#[test]
fn what_a_host_says_wrong_ends_it_at_its_stage() {
    let wrong = |stage, answer: &[u8]| {
        let mut played = Played::until(URL, stage);
        played.request();
        let error = played.answer(answer).unwrap_err();
        assert_eq!(error.stage, stage);
        assert_eq!(played.dialogue.poll_request(played.now), Ok(None));
        assert_eq!(played.dialogue.poll_timeout(), None);
        error.cause
    };
    assert_eq!(wrong(Stage::Options, b""), Cause::NoSession);
    assert_eq!(wrong(Stage::Play, b"HTTP/1.1 200 OK"), Cause::Malformed(Malformed::FirstLine));
    assert_eq!(wrong(Stage::Announce, b"RTSP/1.0 403 FORBIDDEN\r\n\r\n"), Cause::Status(403));
    assert_eq!(wrong(Stage::Describe, b"RTSP/1.0 200 OK\r\n\r\n"), Cause::Offer(sdp::Malformed::Empty));
    assert_eq!(
        wrong(Stage::Describe, b"RTSP/1.0 200 OK\r\n\r\na=x-ss-general.featureFlags:x"),
        Cause::Offer(sdp::Malformed::Number { attribute: "x-ss-general.featureFlags" })
    );
    let long = vec![b'x'; MAX_RESPONSE + 1];
    let limit = Malformed::Long { limit: MAX_RESPONSE, got: MAX_RESPONSE + 1 };
    assert_eq!(wrong(Stage::Options, &long), Cause::Malformed(limit));
}

#[test]
fn answers_in_clear_or_forged_end_an_encrypted_dialogue() {
    let wrong = |answer: &[u8]| {
        let mut played = Played::new("rtspenc://192.168.1.50:48010");
        let request = played.dialogue.poll_request(played.now).unwrap().unwrap();
        assert!(Request::parse(&request).is_err(), "it is not in clear");
        played.dialogue.handle_connected(played.now);
        played.answer(answer).unwrap_err().cause
    };
    let clear = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
    assert_eq!(wrong(clear), Cause::Malformed(Malformed::NotEncrypted));
    let forged = RtspCipher::new(&key()).seal(Sender::Client, 1, clear.to_vec());
    assert_eq!(wrong(&forged), Cause::Forged(Forged));
    assert_eq!(wrong(b""), Cause::NoSession);
}

#[test]
fn refused_connections_are_tried_again_for_ten_seconds() {
    let mut played = Played::new(URL);
    let mut attempts = 0;
    let error = loop {
        let request = played.dialogue.poll_request(played.now).unwrap().unwrap();
        assert!(request.starts_with(b"OPTIONS "));
        attempts += 1;
        if let Err(error) = played.dialogue.handle_refused(played.now) {
            break error;
        }
        assert_eq!(played.dialogue.poll_timeout(), Some(played.now + Duration::from_millis(500)));
        assert_eq!(played.dialogue.poll_request(played.now), Ok(None));
        played.after(Duration::from_millis(500)).unwrap();
    };
    assert_eq!(error, Error { stage: Stage::Options, cause: Cause::Refused });
    assert_eq!(attempts, 21);
}

#[test]
fn silence_ends_it() {
    let mut played = Played::new(URL);
    played.dialogue.poll_request(played.now).unwrap().unwrap();
    played.after(Duration::from_millis(9999)).unwrap();
    let error = played.after(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error, Error { stage: Stage::Options, cause: Cause::Unreachable });

    let mut played = Played::new(URL);
    played.request();
    played.after(Duration::from_millis(14_999)).unwrap();
    played.dialogue.handle_bytes(played.now, b"RTSP").unwrap();
    played.after(Duration::from_millis(14_999)).unwrap();
    let error = played.after(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error, Error { stage: Stage::Options, cause: Cause::Silent });
    assert_eq!(played.dialogue.handle_broken(), Ok(()), "it has ended already");

    let mut played = Played::new(URL);
    played.request();
    assert_eq!(played.dialogue.handle_broken().unwrap_err().cause, Cause::Unreachable);
}

#[test]
fn wishes_and_offer_that_do_not_meet_end_it_before_the_announcement() {
    let mut played = Played::until(URL, Stage::Announce);
    played.dialogue.wishes.codecs = vec![VideoCodec::Av1];
    let error = played.dialogue.poll_request(played.now).unwrap_err();
    let cause = Cause::Negotiation(negotiation::Error::Codec);
    assert_eq!(error, Error { stage: Stage::Announce, cause });
}

#[test]
fn a_request_that_no_host_can_take_is_not_sent() {
    let mut played = Played::until(URL, Stage::Announce);
    // What a host gives must not make the announcement too long for it: here it does.
    played.dialogue.session = Some("x".repeat(2000));
    let error = played.dialogue.poll_request(played.now).unwrap_err();
    assert!(matches!(error.cause, Cause::RequestTooLong { got } if got > MAX_REQUEST), "{error:?}");
}

#[test]
fn the_key_is_not_printed() {
    let played = Played::new("rtspenc://192.168.1.50:48010");
    assert!(format!("{:?}", played.dialogue).contains("RtspCipher(…)"));
}

proptest! {
    #[test]
    fn any_host_is_survived(
        answers in prop::collection::vec(
            "(RTSP/1.0 200 OK\r\n(Session: .{0,9}\r\n|Transport: server_port=[0-9]{0,6}\r\n|X-SS-[A-Z]{3}.{0,9}\r\n)*\r\n)?(.|\n){0,30}",
            1..10),
        encrypted: bool,
    ) {
        let url = if encrypted { "rtspenc://1.2.3.4:5" } else { URL };
        let mut played = Played::new(url);
        for (i, answer) in answers.into_iter().enumerate() {
            let Ok(Some(_)) = played.dialogue.poll_request(played.now) else { break };
            played.dialogue.handle_connected(played.now);
            let answer = answer.into_bytes();
            let answer = match &played.dialogue.cipher {
                Some(cipher) => cipher.seal(Sender::Host, i as u32 + 1, answer),
                None => answer,
            };
            if played.answer(&answer).is_err() {
                prop_assert_eq!(played.dialogue.poll_timeout(), None);
                break;
            }
        }
    }
}
