//! The control stream's share.

use std::time::{Duration, Instant};

use super::{Forms, Script};
use crate::gamestream::control::{Control, ControlConfig, Event};
use crate::gamestream::crypto::{ControlCipher, ControlNonce, SessionKey, Side};
use crate::gamestream::wire::control::{
    ClientMessage, Envelope, FecStatus, Frame, HostMessage, MAX_ENVELOPE, Sealed,
};
use crate::gamestream::wire::enet::{Body, CONNECTION, Command, Datagram, Handshake, Header};
use crate::gamestream::wire::input::Input;

/// A datagram of the control socket: what parses builds back to the same bytes.
pub fn enet_datagram(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(datagram) = Datagram::parse(bytes) {
        forms.insert("datagram");
        let mut built = Vec::new();
        datagram.emit(&mut built);
        assert_eq!(built, bytes);
    }
    forms
}

/// An envelope, or a message of either side: what parses builds back to something that means the same.
pub fn control_message(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(sealed) = Sealed::parse(bytes) {
        forms.insert("sealed");
        let mut built = Vec::new();
        Envelope { sequence: sealed.sequence(), tag: sealed.tag() }.emit(sealed.ciphertext(), &mut built);
        assert_eq!(built, bytes);
    }
    let Ok(frame) = Frame::parse(bytes) else { return forms };
    let mut built = Vec::new();
    frame.emit(&mut built);
    assert_eq!(built, bytes);
    if let Ok(message) = ClientMessage::parse(&frame) {
        forms.insert("client-message");
        built.clear();
        message.emit(&mut built);
        let again = Frame::parse(&built).expect("what was built parses");
        assert_eq!(ClientMessage::parse(&again), Ok(message));
    }
    if let Ok(message) = HostMessage::parse(&frame) {
        forms.insert("host-message");
        built.clear();
        message.emit(&mut built);
        let again = Frame::parse(&built).expect("what was built parses");
        assert_eq!(HostMessage::parse(&again), Ok(message));
    }
    forms
}

/// An input packet: what parses builds back to the same bytes.
pub fn input_packet(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Ok(input) = Input::parse(bytes) {
        forms.insert("input");
        let mut built = Vec::new();
        input.emit(&mut built);
        assert_eq!(built, bytes);
        assert!(input.channel() < 0x30);
    }
    forms
}

/// A control stream: the bytes are a script of a host's datagrams, of what is asked of the stream, and of passing time.
/// Whatever the host says: the stream's end is its last event, its datagrams are ENet's, and its time never stands still.
pub fn control_stream(script: &[u8]) -> Forms {
    let mut script = Script(script);
    let key = SessionKey::new([7; 16]);
    let nonce = if script.byte().unwrap_or_default() & 1 == 0 { ControlNonce::V2 } else { ControlNonce::Old };
    let cipher = ControlCipher::new(&key, nonce);
    // The stream only compares and adds to it.
    let mut now: Instant = crate::task::now();
    let mut stream = Control::new(now, &ControlConfig { key, nonce, connect_data: 1, seed: 2 });
    let mut checker = Checker::default();
    let mut sequence = 0;

    checker.check(&mut stream);
    while let Some(step) = script.byte() {
        match step % 8 {
            0 => {
                now += Duration::from_millis(u64::from(script.byte().unwrap_or_default()) * 8);
                stream.handle_timeout(now);
                assert!(stream.poll_timeout().is_none_or(|due| due > now), "what was due is done");
            }
            1 => stream.handle_datagram(now, script.bytes()),
            2 => {
                if let Some(handshake) = checker.handshake {
                    let answer = Handshake { channels: 1 + u32::from(step >> 3), ..handshake };
                    stream.handle_datagram(now, &datagram(step, 0xff, 1, Body::VerifyConnect(answer)));
                }
            }
            3 => {
                let message = script.bytes();
                let sealed = cipher.seal(Side::Host, sequence, message[..message.len().min(200)].to_vec());
                sequence += 1;
                let number = u16::from(script.byte().unwrap_or_default());
                stream.handle_datagram(now, &datagram(step, 0, number, Body::Reliable(&sealed)));
            }
            4 => {
                let Some(number) = script.byte() else { break };
                let (channel, sent_time) = (if step & 8 == 0 { CONNECTION } else { step >> 4 }, 0);
                let body = Body::Acknowledge { sequence: number.into(), sent_time };
                stream.handle_datagram(now, &datagram(step, channel, number.into(), body));
            }
            5 => stream.request_idr(now),
            6 => {
                let input = Input::Scroll(i16::from(step));
                // Refused when there is no connection or no room, which is as good here.
                let _ = stream.send_input(now, input);
                stream.report_fec(FecStatus {
                    frame: step.into(),
                    highest_sequence: 0,
                    next_missing_sequence: 0,
                    missing_before_highest: 0,
                    data_shards: 0,
                    parity_shards: 0,
                    received_data_shards: 0,
                    received_parity_shards: 0,
                    percentage: 0,
                    block: 0,
                    blocks: 0,
                });
            }
            _ if step == 0xff => stream.close(now),
            _ => {
                let body = if step & 8 == 0 { Body::Ping } else { Body::Disconnect { data: 0 } };
                stream.handle_datagram(now, &datagram(step, CONNECTION, step.into(), body));
            }
        }
        checker.check(&mut stream);
    }
    checker.forms
}

/// What a host answers to a CONNECT.
pub(super) fn answer_to(body: &Body<'_>) -> Option<Handshake> {
    match *body {
        Body::Connect { handshake, .. } => {
            Some(Handshake { incoming_session: 0, outgoing_session: 0, ..handshake })
        }
        _ => None,
    }
}

/// A host's datagram with one command.
pub(super) fn datagram(step: u8, channel: u8, sequence: u16, body: Body<'_>) -> Vec<u8> {
    let wants_ack = !matches!(body, Body::Acknowledge { .. });
    let header = Header { peer: 0, session: 0, sent_time: wants_ack.then_some(step.into()) };
    let command = Command { wants_ack, unsequenced: false, channel, sequence, body };
    let mut bytes = Vec::new();
    Datagram { header, commands: vec![command] }.emit(&mut bytes);
    bytes
}

#[derive(Default)]
struct Checker {
    /// As the stream's CONNECT says it.
    handshake: Option<Handshake>,
    connected: bool,
    ended: bool,
    forms: Forms,
}

impl Checker {
    fn check(&mut self, stream: &mut Control) {
        let mut datagrams = 0;
        while let Some(bytes) = stream.poll_datagram() {
            let datagram = Datagram::parse(&bytes).expect("what was built parses");
            for command in datagram.commands {
                match answer_to(&command.body) {
                    Some(answer) => self.handshake = Some(answer),
                    None => assert!(command.body.data().len() <= MAX_ENVELOPE),
                }
            }
            datagrams += 1;
        }
        assert!(datagrams <= 256, "the queue is bounded");
        while let Some(event) = stream.poll_event() {
            assert!(!self.ended, "{event:?} after the end");
            self.forms.insert(match event {
                Event::Connected => {
                    assert!(!std::mem::replace(&mut self.connected, true), "connected once");
                    "connected"
                }
                Event::Message(_) => {
                    assert!(self.connected);
                    "message"
                }
                Event::Disconnected { .. } => {
                    self.ended = true;
                    "disconnected"
                }
            });
        }
        assert_eq!(
            self.ended,
            stream.poll_timeout().is_none(),
            "there is time until the end, and none after"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;
    use crate::gamestream::wire::{control, enet, input};

    /// One of these packets, changed in a few places and cut or lengthened.
    fn changed(packets: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
        let changes = prop::collection::vec((0usize..60, any::<u8>()), 0..5);
        let resize = prop::option::weighted(0.3, 0usize..80);
        (0..packets.len(), changes, resize).prop_map(move |(packet, changes, len)| {
            let mut bytes = hex(packets[packet]);
            bytes.resize(len.unwrap_or(bytes.len()), 0);
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes
        })
    }

    fn messages() -> Vec<&'static str> {
        control::tests::VECTORS.iter().flat_map(|vector| [vector.clear, vector.sealed]).collect()
    }

    proptest! {
        #[test]
        fn any_enet_datagram_is_taken_or_refused(bytes in changed(enet::tests::DATAGRAMS.to_vec())) {
            enet_datagram(&bytes);
        }

        #[test]
        fn any_control_message_is_taken_or_refused(bytes in changed(messages())) {
            control_message(&bytes);
        }

        #[test]
        fn any_input_packet_is_taken_or_refused(bytes in changed(input::tests::PACKETS.to_vec())) {
            input_packet(&bytes);
        }

        #[test]
        fn any_script_leaves_the_control_stream_in_order(
            // Most begin by answering the CONNECT.
            answer in prop::bool::weighted(0.8),
            script in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let begin: &[u8] = if answer { &[0, 0xfa] } else { &[0] };
            control_stream(&[begin, &script[..]].concat());
        }
    }
}
