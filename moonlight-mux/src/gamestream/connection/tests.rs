use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::gamestream::control::EndReason as ControlEnd;
use crate::gamestream::crypto::tests::key;
use crate::gamestream::crypto::{ControlCipher, Side};
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::test_stream::{audio, key_frame, opus, p_frame, video};
use crate::gamestream::wire::control::{ClientMessage, Frame, HostMessage, Sealed, Termination};
use crate::gamestream::wire::enet::{Body, CONNECTION, Command, Datagram, Handshake, Header};
use crate::gamestream::wire::input::Input;
use crate::input::{HostInput, KeyCode, Modifiers};
use crate::media::{AudioInfo, StreamInfo, VideoCodec, VideoInfo};

/// To OPTIONS, DESCRIBE, SETUP of audio, of video, of control, ANNOUNCE and PLAY.
const ANSWERS: [&str; 7] = [
    "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
    "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\na=x-ss-general.featureFlags:0\n",
    "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: A\r\nTransport: server_port=48001\r\nX-SS-Ping-Payload: AAAAAAAAAAAAAAAA\r\n\r\n",
    "RTSP/1.0 200 OK\r\nCSeq: 4\r\nTransport: server_port=48002\r\nX-SS-Ping-Payload: VVVVVVVVVVVVVVVV\r\n\r\n",
    "RTSP/1.0 200 OK\r\nCSeq: 5\r\nTransport: server_port=48003\r\nX-SS-Connect-Data: 77\r\n\r\n",
    "RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n",
    "RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n",
];

/// A connection to a host that answers as the test says.
struct Played {
    connection: Connection,
    now: Instant,
    cipher: ControlCipher,
    /// From the CONNECT, as the host answers it.
    handshake: Option<Handshake>,
    connect_data: Option<u32>,
    sequence: u16,
    /// The host acknowledges nothing.
    deaf: bool,
    /// Datagrams of the client's, to all ports.
    sent: usize,
    /// What the client said on the control stream, with its channel.
    messages: Vec<(u8, ClientMessage)>,
    control_ports: BTreeSet<u16>,
    /// Datagrams to the media ports.
    pings: Vec<Transmit>,
    events: Vec<Event>,
}

impl Played {
    fn new() -> Self {
        let now = crate::task::now();
        let config = ConnectionConfig {
            url: "rtsp://10.9.8.7:48011".parse().unwrap(),
            host: "192.168.1.50".parse().unwrap(),
            key: key(),
            rikeyid: 1,
            wishes: wishes(),
            seed: 5,
        };
        Self {
            connection: Connection::new(now, config),
            now,
            cipher: ControlCipher::new(&key(), ControlNonce::Old),
            handshake: None,
            connect_data: None,
            sequence: 0,
            deaf: false,
            sent: 0,
            messages: Vec::new(),
            control_ports: BTreeSet::new(),
            pings: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The host has answered so many requests.
    fn answered(count: usize) -> Self {
        let mut played = Self::new();
        for answer in &ANSWERS[..count] {
            played.answer(answer);
        }
        played
    }

    /// The host has taken the control stream, and nothing of that is left to look at.
    fn connected() -> Self {
        let mut played = Self::answered(7);
        played.verify();
        assert!(played.events.contains(&Event::Connected));
        played.events.clear();
        played.messages.clear();
        played.pings.clear();
        played
    }

    fn answer(&mut self, answer: &str) {
        assert!(self.connection.poll_request(self.now).is_some());
        self.connection.handle_connected(self.now);
        self.connection.handle_bytes(self.now, answer.as_bytes());
        self.connection.handle_end(self.now);
        self.exchange();
    }

    fn verify(&mut self) {
        let answer = self.handshake.expect("the client has sent its CONNECT");
        self.control(CONNECTION, Body::VerifyConnect(answer));
    }

    fn control(&mut self, channel: u8, body: Body<'_>) {
        self.sequence += 1;
        let datagram = datagram(channel, self.sequence, true, body);
        self.connection.handle_datagram(self.now, Stream::Control, &datagram);
        self.exchange();
    }

    fn say(&mut self, message: &HostMessage) {
        let mut clear = Vec::new();
        message.emit(&mut clear);
        let sealed = self.cipher.seal(Side::Host, 0, clear);
        self.sequence = 0;
        self.control(0, Body::Reliable(&sealed));
    }

    fn media(&mut self, stream: Stream, datagrams: impl IntoIterator<Item = Vec<u8>>) {
        for datagram in datagrams {
            self.connection.handle_datagram(self.now, stream, &datagram);
            self.exchange();
        }
    }

    /// Time passes, in which the host acknowledges everything.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.connection.poll_timeout().filter(|&due| due <= until) {
            assert!(due >= self.now, "what was due is done");
            self.now = due;
            self.connection.handle_timeout(due);
            self.exchange();
        }
        self.now = until;
    }

    fn exchange(&mut self) {
        while let Some(transmit) = self.connection.poll_transmit() {
            self.sent += 1;
            if transmit.stream != Stream::Control {
                self.pings.push(transmit);
                continue;
            }
            self.control_ports.insert(transmit.port);
            let parsed = Datagram::parse(&transmit.bytes).unwrap();
            for command in &parsed.commands {
                self.take(command);
                let body = Body::Acknowledge {
                    sequence: command.sequence,
                    sent_time: parsed.header.sent_time.unwrap_or(0),
                };
                if command.wants_ack && !self.deaf && !matches!(command.body, Body::Connect { .. }) {
                    let answer = datagram(command.channel, command.sequence, false, body);
                    self.connection.handle_datagram(self.now, Stream::Control, &answer);
                }
            }
        }
        self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
    }

    fn take(&mut self, command: &Command<'_>) {
        if let Body::Connect { handshake, data } = command.body {
            self.connect_data = Some(data);
            self.handshake = Some(Handshake { incoming_session: 0, outgoing_session: 0, ..handshake });
        } else if !command.body.data().is_empty() {
            let sealed = Sealed::parse(command.body.data()).unwrap();
            let clear = self.cipher.open(Side::Client, &sealed).unwrap();
            let message = ClientMessage::parse(&Frame::parse(&clear).unwrap()).unwrap();
            self.messages.push((command.channel, message));
        }
    }

    fn ended(&self) -> Option<EndReason> {
        match self.events.last() {
            Some(&Event::Ended { reason }) => Some(reason),
            _ => None,
        }
    }

    fn pings(&mut self, stream: Stream) -> usize {
        let pings = self.pings.iter().filter(|ping| ping.stream == stream).count();
        self.pings.retain(|ping| ping.stream != stream);
        pings
    }
}

fn datagram(channel: u8, sequence: u16, wants_ack: bool, body: Body<'_>) -> Vec<u8> {
    let header = Header { peer: 0, session: 0, sent_time: wants_ack.then_some(1) };
    let command = Command { wants_ack, unsequenced: false, channel, sequence, body };
    let mut bytes = Vec::new();
    Datagram { header, commands: vec![command] }.emit(&mut bytes);
    bytes
}

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn what_is_known_of_the_stream_comes_once_connected_and_before_any_media() {
    let mut played = Played::answered(7);
    played.media(Stream::Video, video(0, 0, &key_frame(0)));
    played.media(Stream::Audio, audio(0, &opus(0)));
    let waiting = Event::StageStarting(Stage::ControlStreamEstablishment);
    assert_eq!(played.events.last(), Some(&waiting), "media waits");
    played.verify();
    let at = played.events.iter().position(|event| *event == Event::Connected).unwrap();
    assert_eq!(played.events[at - 1], Event::StageComplete(Stage::InputStreamEstablishment));
    let Event::Info(info) = &played.events[at + 1] else { panic!("{:?}", played.events[at + 1]) };
    let video = VideoInfo { codec: VideoCodec::H264, width: 1920, height: 1080, fps: 60 };
    let audio = AudioInfo { channels: 2, packet_duration: Duration::from_millis(5) };
    assert_eq!(*info, StreamInfo { video, audio: Some(audio) });
    assert!(matches!(&played.events[at + 2], Event::Video(frame) if frame.keyframe && frame.number.0 == 0));
    assert_eq!(played.events[at + 3..].len(), 4, "the audio group");
}

#[test]
fn the_first_words_are_those_of_the_document_and_the_mouse_stays_where_it_is() {
    let mut played = Played::answered(7);
    assert!(played.messages.is_empty());
    assert_eq!((&played.control_ports, played.connect_data), (&BTreeSet::from([48003]), Some(77)));
    assert!(!played.connection.wants_input(), "there is no host yet");
    played.verify();
    let haptics = ClientMessage::Input(Input::EnableHaptics);
    let expected = [ClientMessage::RequestIdr, ClientMessage::StartB, ClientMessage::Ping, haptics];
    assert_eq!(played.messages, expected.map(|message| (0, message)));
    played.messages.clear();
    played.pass(SECOND);
    assert!(played.messages.len() >= 10);
    assert!(played.messages.iter().all(|(_, message)| *message == ClientMessage::Ping));

    let input = HostInput::Key { code: KeyCode(65), down: true, modifiers: Modifiers::default() };
    let mut next = Some(input);
    played.connection.handle_inputs(played.now, |_| next.take());
    played.exchange();
    assert_eq!(played.messages.last().unwrap(), &(2, ClientMessage::Input(input.into())));
}

#[test]
fn each_stream_is_pinged_from_its_setup_and_once_more_when_the_host_listens() {
    let mut played = Played::answered(3);
    let ping = |stream, port, payload: u8, counter: u8| Transmit {
        stream,
        port,
        bytes: [&[payload; 16][..], &[0, 0, 0, counter]].concat(),
    };
    assert_eq!(played.pings, [ping(Stream::Audio, 48001, b'A', 1)]);
    played.answer(ANSWERS[3]);
    assert_eq!(played.pings[1..], [ping(Stream::Video, 48002, b'V', 1)]);
    played.answer(ANSWERS[4]);
    assert_eq!(played.pings.len(), 2);
    played.answer(ANSWERS[5]);
    let again = [ping(Stream::Audio, 48001, b'A', 2), ping(Stream::Video, 48002, b'V', 2)];
    assert_eq!(played.pings[2..], again);
    played.answer(ANSWERS[6]);
    played.verify();
    played.pings.clear();
    played.pass(5 * SECOND);
    assert_eq!((played.pings(Stream::Audio), played.pings(Stream::Video)), (10, 10));
}

#[test]
fn a_stream_that_begins_without_a_key_frame_is_asked_for_one() {
    let requests = |played: &Played| {
        let request = (1, ClientMessage::RequestIdr);
        played.messages.iter().filter(|message| **message == request).count()
    };
    let mut played = Played::connected();
    played.media(Stream::Video, video(0, 0, &p_frame(0)));
    assert_eq!(requests(&played), 1, "at once");

    let mut played = Played::connected();
    played.media(Stream::Video, video(3, 0, &p_frame(3)));
    assert_eq!(requests(&played), 0, "an earlier frame may be late");
    played.pass(crate::gamestream::REORDERING);
    assert_eq!(requests(&played), 1);
    played.connection.request_idr(played.now);
    played.exchange();
    assert_eq!(requests(&played), 2, "so can anybody");
    assert!(played.events.is_empty());
}

#[test]
fn how_long_no_video_comes_is_for_the_owner_to_judge() {
    let mut played = Played::connected();
    played.media(Stream::Audio, audio(0, &opus(0)));
    played.pass(60 * SECOND);
    assert_eq!(played.ended(), None);
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    assert!(matches!(played.events.last(), Some(Event::Video(_))));
}

#[test]
fn video_without_a_key_frame_within_ten_seconds_ends_it() {
    let mut played = Played::connected();
    played.pass(5 * SECOND);
    played.media(Stream::Video, video(1, 0, &p_frame(1)));
    played.pass(5 * SECOND);
    played.media(Stream::Video, video(2, 0, &p_frame(2)));
    played.pass(5 * SECOND - MOMENT);
    assert_eq!(played.ended(), None);
    played.pass(MOMENT);
    assert_eq!(played.ended(), Some(EndReason::NoPicture));
}

#[test]
fn a_picture_in_time_is_enough() {
    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &p_frame(1)));
    played.pass(10 * SECOND - MOMENT);
    played.media(Stream::Video, video(2, 0, &key_frame(2)));
    played.pass(60 * SECOND);
    assert!(matches!(&played.events[..], [Event::Video(frame)] if frame.number.0 == 2));
}

#[test]
fn what_was_repaired_held_back_and_asked_for_is_counted() {
    let mut played = Played::connected();
    played.pass(MOMENT);
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    assert_eq!(
        played.connection.stats(),
        SourceStats { round_trip: played.connection.stats().round_trip, ..SourceStats::default() }
    );
    assert!(played.connection.stats().round_trip.is_some());

    let mut damaged = video(2, 1500, &p_frame(2));
    damaged.remove(0);
    played.media(Stream::Video, damaged);
    played.media(Stream::Video, video(4, 4500, &p_frame(4)));
    played.pass(SECOND);
    played.connection.request_idr(played.now);
    played.exchange();
    let SourceStats { repaired, held_back, keyframe_requests, .. } = played.connection.stats();
    assert_eq!((repaired, held_back, keyframe_requests), (1, 1, 2), "one for the gap, one for the caller");
}

#[test]
fn an_end_by_the_host_before_any_picture_is_told_apart() {
    let end = HostMessage::Termination(Termination::INTENDED);
    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &p_frame(1)));
    played.say(&end);
    assert_eq!(played.ended(), Some(EndReason::TerminatedEarly(Termination::INTENDED)));

    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    played.say(&end);
    assert_eq!(played.ended(), Some(EndReason::Terminated(Termination::INTENDED)));
    assert_eq!(played.connection.poll_timeout(), None);
    let events = played.events.len();
    played.pings.clear();
    played.media(Stream::Video, video(2, 0, &key_frame(2)));
    played.pass(10 * SECOND);
    assert_eq!((played.events.len(), played.pings.len()), (events, 0), "nothing follows");
}

#[test]
fn what_the_host_says_is_handed_on() {
    let mut played = Played::connected();
    let message = HostMessage::Led { controller: 1, rgb: [1, 2, 3] };
    played.say(&message);
    assert_eq!(played.events, [Event::Host(message)]);
}

#[test]
fn a_control_stream_that_breaks_says_why() {
    let mut played = Played::answered(7);
    played.pass(10 * SECOND);
    assert_eq!(played.ended(), Some(EndReason::Control(ControlEnd::Unreachable)));

    let mut played = Played::connected();
    played.control(CONNECTION, Body::Disconnect { data: 0 });
    assert_eq!(played.ended(), Some(EndReason::Control(ControlEnd::HostDisconnected)));
}

/// Lesson: 92,000 datagrams in 10 s to a host that had been killed.
#[test]
fn a_host_that_fell_silent_is_sent_little_until_it_is_left() {
    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    (played.deaf, played.sent) = (true, 0);
    played.pass(10 * SECOND);
    assert_eq!(played.ended(), Some(EndReason::Control(ControlEnd::HostSilent)));
    // Per second: ten pings of the control stream and four of media; and each reliable message some times again.
    assert!((100..500).contains(&played.sent), "{}", played.sent);
}

#[test]
fn an_rtsp_error_says_where_and_when() {
    let mut played = Played::answered(3);
    played.pass(SECOND);
    played.answer("RTSP/1.0 404 NOT FOUND\r\n\r\n");
    let error = rtsp::Error { stage: rtsp::Stage::SetupVideo, cause: rtsp::Cause::Status(404) };
    assert_eq!(played.ended(), Some(EndReason::Rtsp { elapsed: SECOND, error }));
    assert_eq!(played.connection.poll_request(played.now), None);
    assert_eq!(played.connection.poll_timeout(), None);

    let mut played = Played::answered(1);
    assert!(played.connection.poll_request(played.now).is_some());
    played.pass(10 * SECOND);
    let error = rtsp::Error { stage: rtsp::Stage::Describe, cause: rtsp::Cause::Unreachable };
    assert_eq!(played.ended(), Some(EndReason::Rtsp { elapsed: 10 * SECOND, error }));
}

#[test]
fn closing_tells_the_host_and_ends_media_at_once() {
    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    played.events.clear();
    played.connection.close(played.now);
    played.media(Stream::Video, video(2, 0, &key_frame(2)));
    assert_eq!(played.events, [Event::Ended { reason: EndReason::Closed }], "the host acknowledged it");
    played.connection.close(played.now);
    played.pass(10 * SECOND);
    assert_eq!((played.events.len(), played.pings.len()), (1, 0));
}

#[test]
fn a_host_that_does_not_acknowledge_the_end_is_left_after_a_second_and_a_half() {
    let mut played = Played::connected();
    played.media(Stream::Video, video(1, 0, &key_frame(1)));
    played.events.clear();
    played.deaf = true;
    played.connection.close(played.now);
    played.media(Stream::Video, video(2, 0, &key_frame(2)));
    played.say(&HostMessage::Led { controller: 0, rgb: [0; 3] });
    played.pass(3 * SECOND / 2 - MOMENT);
    assert_eq!((&played.events[..], played.pings.len()), (&[][..], 0), "nothing is of use any more");
    played.pass(MOMENT);
    assert_eq!(played.events, [Event::Ended { reason: EndReason::Closed }]);
}

#[test]
fn closing_before_the_control_stream_stands_ends_it_at_once() {
    for count in 0..=7 {
        let mut played = Played::answered(count);
        let asked = played.connection.poll_request(played.now).is_some();
        assert_eq!(asked, count < 7);
        played.connection.close(played.now);
        played.exchange();
        assert_eq!(played.ended(), Some(EndReason::Closed), "{count}");
        assert_eq!(played.connection.poll_request(played.now), None);
        assert_eq!(played.connection.poll_timeout(), None);
        played.connection.handle_broken(played.now);
        played.exchange();
        let ends = played.events.iter().filter(|event| matches!(event, Event::Ended { .. })).count();
        assert_eq!(ends, 1);
    }
}

/// What a host, or somebody in its place, does next.
#[derive(Clone, Debug)]
enum Step {
    Datagram(Stream, Vec<u8>),
    Frame(u32, bool),
    Sound(u16),
    Say(Vec<u8>),
    Verify,
    Disconnect,
    Answer(usize),
    Pass(u16),
    RequestIdr,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let stream = prop_oneof![Just(Stream::Control), Just(Stream::Video), Just(Stream::Audio)];
    prop_oneof![
        4 => (stream, prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(s, d)| Step::Datagram(s, d)),
        4 => (0u32..20, any::<bool>()).prop_map(|(number, key)| Step::Frame(number, key)),
        2 => (0u16..10).prop_map(|group| Step::Sound(group * 4)),
        2 => prop::collection::vec(any::<u8>(), 4..40).prop_map(Step::Say),
        2 => Just(Step::Verify),
        1 => Just(Step::Disconnect),
        2 => (0usize..7).prop_map(Step::Answer),
        4 => (0u16..4000).prop_map(Step::Pass),
        1 => Just(Step::RequestIdr),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn any_host_is_survived(
        answered in prop_oneof![1 => 0usize..7, 3 => Just(7)],
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut played = Played::answered(answered);
        for step in steps {
            match step {
                Step::Datagram(stream, datagram) => played.media(stream, [datagram]),
                Step::Frame(number, true) => played.media(Stream::Video, video(number, 0, &key_frame(number))),
                Step::Frame(number, false) => played.media(Stream::Video, video(number, 0, &p_frame(number))),
                Step::Sound(group) => played.media(Stream::Audio, audio(group, &opus(group))),
                Step::Say(clear) => {
                    let sealed = played.cipher.seal(Side::Host, 0, clear);
                    played.control(0, Body::Reliable(&sealed));
                }
                Step::Verify if played.handshake.is_some() => played.verify(),
                Step::Verify => {}
                Step::Disconnect => played.control(CONNECTION, Body::Disconnect { data: 0 }),
                Step::Answer(which) => {
                    if played.connection.poll_request(played.now).is_some() {
                        played.connection.handle_connected(played.now);
                    }
                    played.connection.handle_bytes(played.now, ANSWERS[which].as_bytes());
                    played.connection.handle_end(played.now);
                    played.exchange();
                }
                Step::Pass(ms) => played.pass(Duration::from_millis(ms.into())),
                Step::RequestIdr => {
                    played.connection.request_idr(played.now);
                    played.exchange();
                }
                Step::Close => {
                    played.connection.close(played.now);
                    played.exchange();
                }
            }
        }
        let at = |wanted: fn(&Event) -> bool| played.events.iter().position(wanted);
        let media = at(|e| matches!(e, Event::Video(_) | Event::Audio(_) | Event::Host(_)));
        let info = at(|e| matches!(e, Event::Info(_)));
        prop_assert!(media.is_none() || info.is_some_and(|info| Some(info) < media));
        let end = at(|e| matches!(e, Event::Ended { .. }));
        prop_assert!(end.is_none_or(|end| end == played.events.len() - 1), "the end is the last");
        prop_assert_eq!(end.is_some(), played.connection.state == State::Ended);
        let first = played.events.iter().find_map(|e| if let Event::Video(f) = e { Some(f.keyframe) } else { None });
        prop_assert!(first.unwrap_or(true), "a key frame is the first");
    }
}
