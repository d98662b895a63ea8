//! The control stream, against `control.jsonl`, our formats, and what our control stream makes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::listener::Listener;
use super::{ControlProperty, Difference};
use crate::gamestream::control::ControlConfig;
use crate::gamestream::crypto::{ControlCipher, Side};
use crate::gamestream::wire::control::{
    ClientMessage, Delivery, Frame, GENERIC_CHANNEL, HostMessage, Sealed, kind,
};
use crate::gamestream::wire::enet::{Body, Command, Datagram};
use crate::gamestream::wire::hex;
use crate::recording::replay::Replay;

/// A line of `control.jsonl`: a command that opens or closes the connection, a message that no key opens, or a message.
/// Bytes are in hexadecimal digits.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// Seconds since 1970.
    t: Option<f64>,
    /// `C` or `H`.
    dir: String,
    /// A command of the connection itself, and its number.
    hdr: Option<String>,
    enet: Option<u8>,
    /// The whole envelope.
    undecryptable: Option<String>,
    ch: Option<u8>,
    enetcmd: Option<u8>,
    reliable: Option<bool>,
    ack: Option<bool>,
    seq: Option<u32>,
    #[serde(rename = "type")]
    kind: Option<String>,
    len: Option<usize>,
    payload: Option<String>,
}

/// What one side said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Client(ClientMessage),
    Host(HostMessage),
    /// The session's key does not open it, and `control.jsonl` says so too.
    Sealed,
}

/// Returns all messages that could be compared, resent ones too. Without lines only those that open.
pub(super) fn compare(
    recorded: &Replay,
    lines: Option<&[Line]>,
    differences: &mut BTreeSet<Difference>,
) -> Vec<Said> {
    let port = recorded.negotiated.control.port;
    let nonce = recorded.negotiated.control_nonce();
    let mut comparison = Comparison {
        cipher: ControlCipher::new(&recorded.requested.rikey, nonce),
        lines,
        number: 0,
        said: Vec::new(),
        differences,
    };
    let config = ControlConfig {
        key: recorded.requested.rikey.clone(),
        nonce,
        connect_data: recorded.negotiated.control.connect_data,
        seed: 0,
    };
    let mut listener = Listener::new(config);
    let mut count = 0;
    for datagram in recorded.datagrams() {
        let side = match (datagram.source.port() == port, datagram.destination.port() == port) {
            (false, true) => Side::Client,
            (true, _) => Side::Host,
            (false, false) => continue,
        };
        let number = count;
        count += 1;
        let Ok(parsed) = Datagram::parse(datagram.payload) else {
            comparison.differences.insert(Difference::ControlDatagram { datagram: number });
            continue;
        };
        let mut built = Vec::new();
        parsed.emit(&mut built);
        if built != datagram.payload {
            comparison.differences.insert(Difference::ControlDatagram { datagram: number });
        }
        let first = comparison.number;
        for command in &parsed.commands {
            comparison.take(datagram.at, side, command, &mut listener);
        }
        if !listener.take(datagram.at, side, &parsed, datagram.payload) {
            comparison.differs(first, ControlProperty::Connect);
        }
    }
    for number in comparison.number..lines.map_or(0, <[_]>::len) {
        comparison.differs(number, ControlProperty::NotSent);
    }
    let said = comparison.said;
    listener.compare(differences);
    said
}

/// What was on the wire, against the lines.
struct Comparison<'a> {
    cipher: ControlCipher,
    lines: Option<&'a [Line]>,
    /// Of the next message or command that has a line.
    number: usize,
    said: Vec<Said>,
    differences: &'a mut BTreeSet<Difference>,
}

impl Comparison<'_> {
    fn differs(&mut self, message: usize, property: ControlProperty) {
        self.differences.insert(Difference::Control { message, property });
    }

    fn take(&mut self, at: Duration, side: Side, command: &Command<'_>, listener: &mut Listener) {
        let number = self.number;
        let heard = match command.body {
            Body::Connect { .. } | Body::VerifyConnect(_) | Body::Disconnect { .. } => {
                self.number += 1;
                let hdr = |line: &Line| {
                    line.hdr.as_deref().is_some_and(|hdr| is_hex(hdr, &emitted(command)))
                        && line.enet.is_none_or(|number| number == command_number(command))
                };
                self.check_line(number, at, side, |line| [(ControlProperty::Command, hdr(line))]);
                return;
            }
            _ if command.body.data().is_empty() => None,
            _ => {
                self.number += 1;
                let said = self.message(number, at, side, command);
                let heard = match &said {
                    Some(Said::Host(message)) => Some(message.clone()),
                    _ => None,
                };
                self.said.extend(said);
                heard
            }
        };
        if let (Side::Host, Body::Reliable(_)) = (side, command.body) {
            listener.expect(command, heard.map(|message| (number, message)));
        }
    }

    /// Compares with the line of this number, if there are lines; the first difference is enough.
    fn check_line<const N: usize>(
        &mut self,
        number: usize,
        at: Duration,
        side: Side,
        checks: impl FnOnce(&Line) -> [(ControlProperty, bool); N],
    ) {
        let Some(lines) = self.lines else { return };
        let failed = match lines.get(number) {
            None => Some(ControlProperty::Unlisted),
            Some(line) => {
                let sent = line.dir == letter(side)
                    && line.t.is_none_or(|t| (t - at.as_secs_f64()).abs() < PRECISION);
                let mut checks = [(ControlProperty::Sender, sent)].into_iter().chain(checks(line));
                checks.find(|(_, holds)| !holds).map(|(property, _)| property)
            }
        };
        if let Some(property) = failed {
            self.differs(number, property);
        }
    }

    /// The message that a packet holds, if it can be compared.
    fn message(&mut self, number: usize, at: Duration, side: Side, command: &Command<'_>) -> Option<Said> {
        let bytes = command.body.data();
        let sealed = Sealed::parse(bytes).ok();
        let opened =
            sealed.and_then(|sealed| Some((sealed.sequence(), self.cipher.open(side, &sealed).ok()?)));
        let Some((sequence, clear)) = opened else {
            let listed = |line: &Line| line.undecryptable.as_deref().is_some_and(|text| is_hex(text, bytes));
            self.check_line(number, at, side, |line| [(ControlProperty::Sealing, listed(line))]);
            return self.lines.is_some().then_some(Said::Sealed);
        };
        if self.cipher.seal(side, sequence, clear.clone()) != bytes {
            self.differs(number, ControlProperty::Sealing);
        }
        let Ok(frame) = Frame::parse(&clear) else {
            self.differs(number, ControlProperty::Content);
            return None;
        };
        self.check_line(number, at, side, |line| {
            let text =
                |text: &Option<String>, bytes: &[u8]| text.as_deref().is_some_and(|text| is_hex(text, bytes));
            let reliable = matches!(command.body, Body::Reliable(_));
            let delivery = line.enetcmd == Some(command_number(command))
                && line.reliable.is_none_or(|said| said == reliable)
                && line.ack.is_none_or(|said| said == command.wants_ack);
            let payload = text(&line.payload, frame.payload);
            let len = line.len.is_none_or(|len| len == frame.payload.len());
            [
                (ControlProperty::Sealing, line.undecryptable.is_none()),
                (ControlProperty::Channel, line.ch == Some(command.channel)),
                (ControlProperty::Delivery, delivery),
                (ControlProperty::Sequence, line.seq == Some(sequence)),
                (ControlProperty::Kind, text(&line.kind, &frame.kind.to_be_bytes())),
                (ControlProperty::Payload, payload && len),
            ]
        });
        let checked = match side {
            Side::Client => check_client(command, &frame, &clear),
            Side::Host => check_host(command, &frame),
        };
        let (said, failed) = checked.unwrap_or((None, Some(ControlProperty::Content)));
        failed.into_iter().for_each(|property| self.differs(number, property));
        said
    }
}

/// The message, and in what our own code differs; `None` if it is malformed.
type Checked = Option<(Option<Said>, Option<ControlProperty>)>;

/// A client's message builds back to the same bytes, and goes the way that we would send it.
fn check_client(command: &Command<'_>, frame: &Frame<'_>, clear: &[u8]) -> Checked {
    let message = ClientMessage::parse(frame).ok()?;
    let mut built = Vec::new();
    message.emit(&mut built);
    // START A is a request for an IDR frame on another channel.
    let start_a = message == ClientMessage::RequestIdr && command.channel == GENERIC_CHANNEL;
    let delivery = match command.body {
        Body::Reliable(_) => Some(Delivery::Reliable),
        Body::Unreliable { .. } => Some(Delivery::Unreliable),
        Body::Unsequenced { .. } => Some(Delivery::Unsequenced),
        _ => None,
    };
    let failed = if built != clear {
        Some(ControlProperty::Content)
    } else if !start_a && message.channel() != command.channel {
        Some(ControlProperty::Channel)
    } else if delivery != Some(message.delivery()) {
        Some(ControlProperty::Delivery)
    } else {
        None
    };
    Some((Some(Said::Client(message)), failed))
}

/// A host's message comes as all hosts send theirs, and builds back to what means the same.
fn check_host(command: &Command<'_>, frame: &Frame<'_>) -> Checked {
    let message = HostMessage::parse(frame).ok()?;
    let mut built = Vec::new();
    message.emit(&mut built);
    let again = Frame::parse(&built).ok()?;
    let failed = if again.kind != frame.kind || !means_the_same(frame.kind, frame.payload, again.payload) {
        Some(ControlProperty::Content)
    } else if command.channel != GENERIC_CHANNEL {
        Some(ControlProperty::Channel)
    } else if !matches!(command.body, Body::Reliable(_)) || !command.wants_ack {
        Some(ControlProperty::Delivery)
    } else {
        None
    };
    Some((Some(Said::Host(message)), failed))
}

/// The same but for two bytes of padding, which Wolf adds (streams 2.2), for the first four bytes of a rumble message,
/// which mean nothing, and for HDR fields that a host leaves out.
fn means_the_same(kind: u16, sent: &[u8], built: &[u8]) -> bool {
    let from = if kind == kind::RUMBLE { 4 } else { 0 };
    let shared = sent.len().min(built.len());
    let left_out = &built[shared..];
    sent.get(from..shared) == built.get(from..shared)
        && sent.len() - shared <= 2
        && (left_out.is_empty() || kind == kind::HDR && left_out.iter().all(|&byte| byte == 0))
}

fn letter(side: Side) -> &'static str {
    match side {
        Side::Client => "C",
        Side::Host => "H",
    }
}

fn is_hex(text: &str, bytes: &[u8]) -> bool {
    text.len() == bytes.len() * 2 && text.eq_ignore_ascii_case(&hex::lower(bytes))
}

fn emitted(command: &Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.emit(&mut bytes);
    bytes
}

fn command_number(command: &Command<'_>) -> u8 {
    emitted(command)[0] & 0x0f
}

/// Seconds: captures tell microseconds.
const PRECISION: f64 = 0.000_000_5;

#[cfg(test)]
mod tests;
