//! The control streams of the recorded sessions, compared with what they are known to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Control, ControlConfig, EndReason, Event};
use crate::gamestream::crypto::{ControlCipher, ControlNonce, SessionKey, Side};
use crate::gamestream::recorded::folder;
use crate::gamestream::wire::control::{ClientMessage, Delivery, Frame, HostMessage, Sealed, kind};
use crate::gamestream::wire::enet::{Body, Command, Datagram};
use crate::gamestream::wire::tests::hex;
use crate::recording::pcap;

/// A line of `control.jsonl`.
#[derive(Debug, Deserialize)]
struct Line {
    dir: char,
    /// A command of the connection itself.
    hdr: Option<String>,
    undecryptable: Option<String>,
    ch: Option<u8>,
    enetcmd: Option<u8>,
    seq: Option<u32>,
    #[serde(rename = "type")]
    kind: Option<String>,
    payload: Option<String>,
}

/// What `session.json` says that matters here.
#[derive(Deserialize)]
struct Secrets {
    rikey: String,
}

/// What `meta.json` says that matters here: a session's share of a capture, in seconds since 1970.
#[derive(Deserialize)]
pub(crate) struct Share {
    pub(crate) t0: f64,
    pub(crate) t1: f64,
}

/// How often each message and input was seen.
type Seen = BTreeMap<String, usize>;

/// `None` where there are no recordings.
fn check(test: &str, name: &str) -> Option<Seen> {
    let folder = folder::recording(test, name)?;
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let secrets: Secrets = serde_json::from_str(&text("session.json")).unwrap();
    let key = SessionKey::new(hex(&secrets.rikey).try_into().unwrap());
    let cipher = ControlCipher::new(&key, nonce(&text("rtsp.txt")));
    let mut lines = text("control.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Line>(line).unwrap())
        .collect::<Vec<_>>()
        .into_iter();

    let mut seen = Seen::new();
    let mut replay = Replay::new(key, nonce(&text("rtsp.txt")));
    let (file, share) = capture(&folder);
    for datagram in pcap::datagrams(&file).unwrap() {
        let to_host = datagram.destination.port() == CONTROL_PORT;
        let at = datagram.at.as_secs_f64();
        let ours = share.as_ref().is_none_or(|share| share.t0 <= at && at <= share.t1);
        if !ours || !(to_host || datagram.source.port() == CONTROL_PORT) {
            continue;
        }
        let side = if to_host { Side::Client } else { Side::Host };
        let parsed = Datagram::parse(datagram.payload).unwrap();
        let mut built = Vec::new();
        parsed.emit(&mut built);
        assert_eq!(built, datagram.payload);
        *seen.entry("datagram".into()).or_default() += 1;
        replay.take(datagram.at, side, &parsed, datagram.payload);
        for command in parsed.commands {
            match command.body {
                Body::Connect { .. } | Body::VerifyConnect(_) | Body::Disconnect { .. } => {
                    let line = lines.next().unwrap();
                    assert_eq!(line.dir, letter(side));
                    assert_eq!(hex(&line.hdr.unwrap()), command_bytes(command));
                }
                _ if command.body.data().is_empty() => {}
                _ => {
                    let message = check_message(&cipher, side, command, &lines.next().unwrap(), &mut seen);
                    if side == Side::Host && replay.host_sequences.insert(command.sequence) {
                        replay.expected.extend(message);
                    }
                }
            }
        }
    }
    assert_eq!(lines.count(), 0, "lines that are not on the wire");
    replay.check();
    Some(seen)
}

/// What the host said, if it is the host's and can be read.
fn check_message(
    cipher: &ControlCipher,
    side: Side,
    command: Command<'_>,
    line: &Line,
    seen: &mut Seen,
) -> Option<HostMessage> {
    let bytes = command.body.data();
    let mut count = |what: &str| *seen.entry(what.into()).or_default() += 1;
    assert_eq!(line.dir, letter(side));
    let sealed = Sealed::parse(bytes).unwrap();
    let opened = cipher.open(side, &sealed);
    if let Some(undecryptable) = &line.undecryptable {
        assert_eq!(hex(undecryptable), bytes);
        opened.unwrap_err();
        count("undecryptable");
        return None;
    }
    let clear = opened.unwrap();
    assert_eq!(cipher.seal(side, sealed.sequence(), clear.clone()), bytes);

    let frame = Frame::parse(&clear).unwrap();
    assert_eq!(line.seq, Some(sealed.sequence()));
    assert_eq!(line.ch, Some(command.channel));
    assert_eq!(hex(line.kind.as_ref().unwrap()), frame.kind.to_be_bytes());
    assert_eq!(hex(line.payload.as_ref().unwrap()), frame.payload);

    let mut built = Vec::new();
    match side {
        Side::Client => {
            let message = ClientMessage::parse(&frame).unwrap();
            message.emit(&mut built);
            assert_eq!(built, clear, "{message:?}");
            // START A is a request for an IDR frame on another channel.
            let start_a = message == ClientMessage::RequestIdr && command.channel == 0;
            assert!(start_a || message.channel() == command.channel, "{message:?}");
            let delivery = match message.delivery() {
                Delivery::Reliable => 6,
                Delivery::Unreliable => 7,
                Delivery::Unsequenced => 9,
            };
            assert_eq!(line.enetcmd, Some(delivery), "{message:?}");
            assert!(!matches!(message, ClientMessage::Unknown { .. }), "{message:?}");
            let name = format!("{message:?}");
            count(name.split([' ', '{']).next().unwrap());
            if frame.kind == kind::INPUT {
                count("input");
            }
            None
        }
        Side::Host => {
            let message = HostMessage::parse(&frame).unwrap();
            message.emit(&mut built);
            assert!(!matches!(message, HostMessage::Unknown { .. }), "{message:?}");
            let again = Frame::parse(&built).unwrap();
            let (same, padding) = frame.payload.split_at(again.payload.len());
            assert!(padding.len() <= 2, "{message:?}");
            // The first four bytes of a rumble message mean nothing.
            let from = if frame.kind == kind::RUMBLE { 4 } else { 0 };
            assert_eq!(again.payload[from..], same[from..], "{message:?}");
            assert!(!padding.is_empty() || from > 0 || built == clear);
            assert_eq!((command.channel, command.wants_ack), (0, true));
            let name = format!("{message:?}");
            count(name.split([' ', '{', '(']).next().unwrap());
            Some(message)
        }
    }
}

/// A control stream that takes part in the recorded session: it gets what the host sent, when the host sent it.
struct Replay {
    config: ControlConfig,
    stream: Option<Control>,
    start: Instant,
    began: Duration,
    events: Vec<Event>,
    /// Those of the host's packets, to know one that is sent again.
    host_sequences: BTreeSet<u16>,
    expected: Vec<HostMessage>,
    client_left: bool,
}

impl Replay {
    fn new(key: SessionKey, nonce: ControlNonce) -> Self {
        Self {
            config: ControlConfig { key, nonce, connect_data: 0, seed: 0 },
            stream: None,
            start: crate::task::now(),
            began: Duration::ZERO,
            events: Vec::new(),
            host_sequences: BTreeSet::new(),
            expected: Vec::new(),
            client_left: false,
        }
    }

    fn take(&mut self, at: Duration, side: Side, datagram: &Datagram<'_>, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else {
            let Body::Connect { handshake, data } = datagram.commands[0].body else { panic!("{datagram:?}") };
            let seed = u32::from_be_bytes(handshake.connect_id);
            self.began = at;
            let config = ControlConfig { connect_data: data, seed, ..self.config.clone() };
            let mut stream = Control::new(self.start, &config);
            let ours = stream.poll_datagram().unwrap();
            // But for the sent time.
            assert_eq!(
                (ours.len(), &ours[4..]),
                (bytes.len(), &bytes[4..]),
                "it connects as the reference does"
            );
            self.stream = Some(stream);
            return;
        };
        let now = self.start + (at - self.began);
        while let Some(due) = stream.poll_timeout().filter(|&due| due <= now) {
            stream.handle_timeout(due);
        }
        let leaving = |command: &Command<'_>| matches!(command.body, Body::Disconnect { .. });
        self.client_left |= side == Side::Client && datagram.commands.iter().any(leaving);
        if self.client_left {
            stream.close(now);
        }
        if side == Side::Host {
            stream.handle_datagram(now, bytes);
        }
        while let Some(datagram) = stream.poll_datagram() {
            Datagram::parse(&datagram).unwrap();
        }
        self.events.extend(std::iter::from_fn(|| stream.poll_event()));
    }

    /// It heard all that the host said, once and in order, and knows how it ended.
    fn check(mut self) {
        let termination = match self.expected.last() {
            Some(&HostMessage::Termination(code)) => Some(code),
            _ => None,
        };
        let messages = self.expected.iter().filter(|m| !matches!(m, HostMessage::Termination(_)));
        let mut expected = vec![Event::Connected];
        expected.extend(messages.cloned().map(Event::Message));
        let end = match self.events.last() {
            Some(Event::Disconnected { .. }) => self.events.pop(),
            _ => None,
        };
        assert_eq!(self.events, expected);
        let reason = termination.map_or(EndReason::Closed, EndReason::Terminated);
        // Some captures end before the host acknowledged the client's disconnect.
        assert!(end.is_none() || end == Some(Event::Disconnected { reason }), "{end:?}");
        assert!(end.is_some() || termination.is_none());
    }
}

/// The capture, and which part of it belongs to the session.
pub(crate) fn capture(folder: &Path) -> (Vec<u8>, Option<Share>) {
    let own: PathBuf = folder.join("wire.pcap");
    if own.is_file() {
        return (fs::read(own).unwrap(), None);
    }
    let meta = fs::read_to_string(folder.join("meta.json")).unwrap();
    let shared = folder.parent().unwrap().join("wire.pcap");
    (fs::read(shared).unwrap(), Some(serde_json::from_str(&meta).unwrap()))
}

fn nonce(rtsp: &str) -> ControlNonce {
    let enabled = rtsp.lines().find_map(|line| line.split_once("x-ss-general.encryptionEnabled:"));
    match enabled.map_or(0, |(_, flags)| flags.trim().parse::<u32>().unwrap()) & 1 {
        0 => ControlNonce::Old,
        _ => ControlNonce::V2,
    }
}

fn letter(side: Side) -> char {
    match side {
        Side::Client => 'C',
        Side::Host => 'H',
    }
}

fn command_bytes(command: Command<'_>) -> Vec<u8> {
    let header = crate::gamestream::wire::enet::Header { peer: 0, session: 0, sent_time: None };
    let mut bytes = Vec::new();
    Datagram { header, commands: vec![command] }.emit(&mut bytes);
    bytes.split_off(2)
}

const CONTROL_PORT: u16 = 47999;

macro_rules! recordings {
    ($($test:ident: $folder:literal, [$($message:literal),*];)*) => {
        $(#[test]
        fn $test() {
            let Some(seen) = check(stringify!($test), $folder) else { return };
            for message in ["datagram", "Ping", $($message),*] {
                assert!(seen.contains_key(message), "{message}: {seen:?}");
            }
        })*
    };
}

recordings! {
    v0_23_av1: "v0.23-av1", ["Hdr"];
    v0_23_clear: "v0.23-clear", ["Hdr", "input"];
    v0_23_default: "v0.23-default", ["Hdr", "input"];
    v0_23_hevc_all_encrypted: "v0.23-hevc-all-encrypted", ["Hdr"];
    v0_23_host_closes_app: "v0.23-host-closes-app", ["Termination"];
    v0_23_idr_request: "v0.23-idr-request", ["RequestIdr"];
    v0_23_loss5_clear: "v0.23-loss5-clear", ["FecStatus(FecStatus"];
    v0_23_multi_block_loss5_encrypted: "v0.23-multi-block-loss5-encrypted", ["FecStatus(FecStatus"];
    v0_23_surround51: "v0.23-surround51", [];
    v2025_all_encrypted: "v2025-all-encrypted",
        ["Motion", "Led", "Rumble", "RumbleTriggers", "AdaptiveTriggers", "Hdr", "input"];
    v2025_loss5_encrypted: "v2025-loss5-encrypted", ["FecStatus(FecStatus"];
    wolf_cancelled: "wolf-cancelled", ["Termination", "undecryptable"];
    wolf_default: "wolf-default", ["StartB", "input"];
    wolf_hevc: "wolf-hevc", ["StartB"];
    wolf_loss5: "wolf-loss5", ["FecStatus(FecStatus"];
    wolf_multi_block_loss3: "wolf-multi-block-loss3", ["FecStatus(FecStatus"];
    wolf_no_encryption: "wolf-no-encryption", [];
    wolf_pause_resume_first: "wolf-pause-resume/s1", [];
    wolf_pause_resume_second: "wolf-pause-resume/s2", [];
    wolf_ps_pad: "wolf-ps-pad", ["Motion", "Led", "Rumble"];
}
