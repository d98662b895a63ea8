//! The recorded sessions, held again: what the hosts said, when they said it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::gamestream::crypto::{ControlCipher, RtspCipher, Side};
use crate::gamestream::recorded::sessions;
use crate::gamestream::wire;
use crate::gamestream::wire::control::{
    ClientMessage, FecStatus, Frame, HostMessage, Sealed, Termination, kind,
};
use crate::gamestream::wire::enet::{Body, Datagram};
use crate::gamestream::wire::rtsp::Sender;
use crate::recording::Recording;

/// A line of `events.jsonl`.
#[derive(Deserialize)]
struct Line {
    e: String,
    stage: Option<String>,
}

/// A line of `control.jsonl`.
#[derive(Deserialize)]
struct ControlLine {
    dir: char,
    #[serde(rename = "type")]
    kind: Option<String>,
    payload: Option<String>,
}

/// A session that is held again.
struct Replay {
    connection: Connection,
    now: Instant,
    events: Vec<Event>,
    /// All that went to the media ports.
    pings: Vec<Transmit>,
    key: SessionKey,
    fec_statuses: Vec<FecStatus>,
}

impl Replay {
    /// RTSP in no time, with the recorded answers.
    fn new(recorded: &crate::recording::Replay, seed: u32) -> Self {
        let announced = &recorded.negotiated.announcement;
        let url = recorded.requested.url(announced);
        let (key, rikeyid) = (recorded.requested.rikey.clone(), recorded.requested.rikeyid());
        let cipher = url.is_encrypted().then(|| RtspCipher::new(&key));
        let wishes = recorded.requested.wishes(announced);
        let now = crate::task::now();
        let config =
            ConnectionConfig { url, host: announced.address, key: key.clone(), rikeyid, wishes, seed };
        let mut replay = Self {
            connection: Connection::new(now, config),
            now,
            events: Vec::new(),
            pings: Vec::new(),
            key,
            fec_statuses: Vec::new(),
        };
        let messages = recorded.transcript.messages();
        let answers = messages.iter().filter(|message| message.sender == Sender::Host);
        for (i, answer) in answers.enumerate() {
            replay.connection.poll_request(now).unwrap();
            replay.connection.handle_connected(now);
            let seal = |cipher: &RtspCipher| cipher.seal(Sender::Host, i as u32 + 1, answer.bytes.clone());
            let sealed = cipher.as_ref().map(seal);
            replay.connection.handle_bytes(now, sealed.as_ref().unwrap_or(&answer.bytes));
            replay.connection.handle_end(now);
            replay.exchange();
        }
        replay
    }

    fn pass(&mut self, until: Instant) {
        while let Some(due) = self.connection.poll_timeout().filter(|&due| due <= until) {
            self.connection.handle_timeout(due);
            self.exchange();
        }
        self.now = self.now.max(until);
    }

    fn exchange(&mut self) {
        while let Some(transmit) = self.connection.poll_transmit() {
            if transmit.stream == Stream::Control {
                self.fec_statuses.extend(fec_statuses(&self.key, &transmit.bytes));
            } else {
                self.pings.push(transmit);
            }
        }
        self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
    }
}

/// What the client reports in a datagram of the control stream.
fn fec_statuses(key: &SessionKey, datagram: &[u8]) -> Vec<FecStatus> {
    let commands = Datagram::parse(datagram).unwrap().commands.into_iter();
    let clear = commands.filter_map(|command| {
        let sealed = Sealed::parse(command.body.data()).ok()?;
        let nonces = [ControlNonce::V2, ControlNonce::Old];
        Some(
            nonces
                .iter()
                .find_map(|&nonce| ControlCipher::new(key, nonce).open(Side::Client, &sealed).ok())
                .unwrap(),
        )
    });
    let messages = clear.map(|clear| ClientMessage::parse(&Frame::parse(&clear).unwrap()).unwrap());
    messages
        .filter_map(
            |message| if let ClientMessage::FecStatus(status) = message { Some(status) } else { None },
        )
        .collect()
}

/// How much of everything a session had.
#[derive(Debug, Default)]
struct Seen {
    video: usize,
    audio: usize,
    messages: usize,
    /// Pictures and sounds that came after the end.
    late: usize,
}

fn check(session: &Path) -> Seen {
    let recorded = Recording::replay(session).unwrap();
    let datagrams: Vec<_> = recorded.datagrams().collect();
    let to_control = datagrams.iter().find(|datagram| datagram.destination.port() == CONTROL_PORT).unwrap();
    let Body::Connect { handshake, .. } = Datagram::parse(to_control.payload).unwrap().commands[0].body
    else {
        panic!("the client connects first")
    };

    let mut replay = Replay::new(&recorded, u32::from_be_bytes(handshake.connect_id));
    let start = replay.now;
    let began = datagrams[0].at;
    let audio_port = replay.connection.audio.as_ref().unwrap().port();
    let video_port = replay.connection.video.as_ref().unwrap().port();
    for (stream, port) in [(Stream::Audio, audio_port), (Stream::Video, video_port)] {
        let theirs = datagrams.iter().find(|datagram| datagram.destination.port() == port).unwrap();
        let ours = replay.pings.iter().find(|ping| ping.stream == stream).unwrap();
        assert_eq!((ours.port, &ours.bytes[..]), (port, theirs.payload), "{session:?}: the first ping");
    }
    for datagram in &datagrams {
        let now = replay.now.max(start + datagram.at.saturating_sub(began));
        replay.pass(now);
        let stream = match datagram.source.port() {
            CONTROL_PORT => Stream::Control,
            port if port == video_port => Stream::Video,
            port if port == audio_port => Stream::Audio,
            _ => continue,
        };
        replay.connection.handle_datagram(now, stream, datagram.payload);
        replay.exchange();
    }
    replay.pass(replay.now + Duration::from_millis(30));
    replay.connection.close(replay.now);
    replay.pass(replay.now + Duration::from_secs(2));
    compare_fec_statuses(session, &replay.fec_statuses);
    compare(session, replay)
}

/// Every FEC block that the reference client reported is reported, with the same bytes but where it gave up though it had
/// enough to repair.
fn compare_fec_statuses(session: &Path, ours: &[FecStatus]) {
    let text = fs::read_to_string(session.join("control.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<ControlLine>(line).unwrap());
    for line in lines.filter(|line| line.dir == 'C' && line.kind.as_deref() == Some("5502")) {
        let payload = wire::tests::hex(&line.payload.unwrap());
        let theirs = ClientMessage::parse(&Frame { kind: kind::FEC_STATUS, payload: &payload }).unwrap();
        let ClientMessage::FecStatus(theirs) = theirs else { panic!("{session:?}: {theirs:?}") };
        let mut reports = ours.iter().filter(|our| (our.frame, our.block) == (theirs.frame, theirs.block));
        let our = *reports.next().unwrap_or_else(|| panic!("{session:?}: {theirs:?} is not reported"));
        assert_eq!(reports.next(), None, "{session:?}: once each");
        if theirs.received_data_shards + theirs.received_parity_shards > theirs.data_shards {
            assert_eq!(our.received_data_shards + our.received_parity_shards, our.data_shards, "{session:?}");
            continue;
        }
        assert_eq!(our, theirs, "{session:?}");
    }
}

/// With what the reference client reported, and with what a [`Recording`] gives.
fn compare(session: &Path, replay: Replay) -> Seen {
    let text = fs::read_to_string(session.join("events.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
    let reported: Vec<String> = lines
        .filter_map(|Line { e, stage }| match (&e[..], stage) {
            ("stage_starting" | "stage_complete", Some(stage)) => Some(format!("{e} {stage}")),
            ("connection_started", _) => Some(e),
            _ => None,
        })
        .collect();
    assert_eq!(reported.len(), 23, "{session:?}");

    let recording = Recording::open(session).unwrap();
    let (mut video, mut audio) = (recording.frames(), recording.audio());
    let mut events = replay.events.into_iter();
    let ours = events.by_ref().take(reported.len()).map(|event| match event {
        Event::StageStarting(stage) => format!("stage_starting {stage}"),
        Event::StageComplete(stage) => format!("stage_complete {stage}"),
        Event::Connected => "connection_started".to_owned(),
        other => panic!("{session:?}: {other:?} while connecting"),
    });
    assert_eq!(ours.collect::<Vec<_>>(), reported, "{session:?}");
    assert_eq!(events.next(), Some(Event::Info(recording.info().clone())), "{session:?}");

    let mut seen = Seen::default();
    let mut end = None;
    for event in events {
        assert_eq!(end, None, "{session:?}: {event:?} after the end");
        match event {
            Event::Video(frame) => {
                assert_eq!(Some(&frame), video.next(), "{session:?}");
                seen.video += 1;
            }
            Event::Audio(frame) => {
                assert_eq!(Some(&frame), audio.next(), "{session:?}");
                seen.audio += 1;
            }
            Event::Host(HostMessage::Unknown { .. }) => panic!("{session:?}: {event:?}"),
            Event::Host(_) => seen.messages += 1,
            Event::Ended { reason } => end = Some(reason),
            other => panic!("{session:?}: {other:?} once connected"),
        }
    }
    seen.late = video.count() + audio.count();
    let name = session.to_string_lossy();
    let by_host = name.ends_with("v0.23-host-closes-app") || name.ends_with("wolf-cancelled");
    let reason = if by_host { EndReason::Terminated(Termination::INTENDED) } else { EndReason::Closed };
    assert_eq!(end, Some(reason), "{session:?}");
    assert!(by_host || seen.late == 0, "{session:?}: {seen:?}");
    seen
}

const CONTROL_PORT: u16 = 47999;

#[test]
fn recorded_sessions_connect_stream_and_end_as_they_did() {
    let Some(sessions) = sessions() else { return };
    for session in sessions {
        let seen = check(&session);
        assert!(seen.video > 20 && seen.audio > 200 && seen.late < 20, "{session:?}: {seen:?}");
    }
}
