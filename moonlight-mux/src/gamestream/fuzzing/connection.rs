//! A whole connection's share.

use std::time::{Duration, Instant};

use super::control::{answer_to, datagram};
use super::{Forms, Script};
use crate::gamestream::connection::{Connection, ConnectionConfig, Event, Stream};
use crate::gamestream::crypto::{RtspCipher, SessionKey};
use crate::gamestream::negotiation::{EncryptionWishes, Route, Wishes};
use crate::gamestream::wire::enet::{Body, CONNECTION, Datagram, Handshake};
use crate::gamestream::wire::rtsp::{Sender, SessionUrl};
use crate::gamestream::wire::sdp::Channels;
use crate::input::HostInput;
use crate::media::VideoCodec;

/// A connection: the bytes are a script of a host's answers and datagrams, of what is asked of the connection, and of
/// passing time. Whatever the host says: events come in order, the end is the last, and time never stands still.
pub fn connection(script: &[u8]) -> Forms {
    let mut script = Script(script);
    // The connection only compares and adds to it.
    let mut now: Instant = crate::task::now();
    let begin = script.byte().unwrap_or_default();
    let rtsp = (begin & 8 != 0).then(|| RtspCipher::new(&key()));
    let mut connection = Connection::new(now, config(rtsp.is_some()));
    let mut checker = Checker::default();
    let answered = usize::from(begin % 8);
    for answer in &ANSWERS[..answered] {
        handle_answer(&mut connection, now, rtsp.as_ref(), answer.as_bytes());
        checker.check(&mut connection);
    }
    while let Some(step) = script.byte() {
        match step % 8 {
            0 => {
                now += Duration::from_millis(u64::from(script.byte().unwrap_or_default()) * 16);
                connection.handle_timeout(now);
                assert!(connection.poll_timeout().is_none_or(|due| due > now), "what was due is done");
            }
            1 => connection.handle_datagram(now, Stream::Control, script.bytes()),
            2 => connection.handle_datagram(now, Stream::Video, script.bytes()),
            3 => connection.handle_datagram(now, Stream::Audio, script.bytes()),
            4 => {
                if let Some(handshake) = checker.handshake {
                    let answer = datagram(1, CONNECTION, 1, Body::VerifyConnect(handshake));
                    connection.handle_datagram(now, Stream::Control, &answer);
                }
            }
            5 => handle_answer(&mut connection, now, rtsp.as_ref(), script.bytes()),
            6 => {
                let Some(frame) = script.shard() else { break };
                let (header, payload) = frame;
                let mut datagram = Vec::new();
                header.emit(&payload, &mut datagram);
                connection.handle_datagram(now, Stream::Video, &datagram);
            }
            _ => match step >> 3 {
                0 => connection.close(now),
                1 => connection.handle_refused(now),
                2 => connection.handle_broken(now),
                3 => connection.request_idr(now),
                4 => {
                    let end = datagram(step, CONNECTION, step.into(), Body::Disconnect { data: 0 });
                    connection.handle_datagram(now, Stream::Control, &end);
                }
                5 => drop(connection.poll_request(now)),
                6 => connection.handle_connected(now),
                7 => connection.handle_bytes(now, script.bytes()),
                8 => connection.handle_end(now),
                // None is taken when there is no connection or no room, which is as good here.
                _ => {
                    let text = HostInput::Text(char::from(step));
                    let scroll = HostInput::Scroll { horizontal: false, amount: step.into() };
                    let mut inputs = [text, scroll].into_iter().skip((step & 1).into());
                    connection.handle_inputs(now, |_| inputs.next());
                }
            },
        }
        checker.check(&mut connection);
    }
    checker.forms
}

fn key() -> SessionKey {
    SessionKey::new([7; 16])
}

fn config(encrypted: bool) -> ConnectionConfig {
    let scheme = if encrypted { "rtspenc" } else { "rtsp" };
    let url: SessionUrl = format!("{scheme}://192.168.1.50:48010").parse().expect("it is one");
    ConnectionConfig {
        url,
        host: [192, 168, 1, 50].into(),
        key: key(),
        rikeyid: 1,
        wishes: Wishes {
            width: 1920,
            height: 1080,
            fps: 60,
            refresh_rate: 0,
            bitrate: 20_000,
            codecs: vec![VideoCodec::H264],
            encryption: EncryptionWishes::default(),
            channels: Channels::Stereo,
            packet_duration: Duration::from_millis(5),
            packet_size: 1392,
            route: Route::Local,
        },
        seed: 2,
    }
}

fn handle_answer(connection: &mut Connection, now: Instant, rtsp: Option<&RtspCipher>, answer: &[u8]) {
    if connection.poll_request(now).is_some() {
        connection.handle_connected(now);
        match rtsp {
            Some(cipher) => connection.handle_bytes(now, &cipher.seal(Sender::Host, 0, answer.to_vec())),
            None => connection.handle_bytes(now, answer),
        }
        connection.handle_end(now);
    }
}

#[derive(Default)]
struct Checker {
    /// As the CONNECT says it.
    handshake: Option<Handshake>,
    connected: bool,
    informed: bool,
    pictured: bool,
    ended: bool,
    forms: Forms,
}

impl Checker {
    fn check(&mut self, connection: &mut Connection) {
        let mut datagrams = 0;
        while let Some(transmit) = connection.poll_transmit() {
            datagrams += 1;
            if transmit.stream == Stream::Control {
                let datagram = Datagram::parse(&transmit.bytes).expect("what was built parses");
                for command in datagram.commands {
                    self.handshake = answer_to(&command.body).or(self.handshake);
                }
            }
        }
        assert!(datagrams <= 300, "queues are bounded");
        while let Some(event) = connection.poll_event() {
            assert!(!self.ended, "{event:?} after the end");
            self.forms.insert(match event {
                Event::StageStarting(_) | Event::StageComplete(_) => {
                    assert!(!self.connected);
                    "stage"
                }
                Event::Connected => {
                    assert!(!std::mem::replace(&mut self.connected, true), "connected once");
                    "connected"
                }
                Event::Info(_) => {
                    assert!(!std::mem::replace(&mut self.informed, true), "informed once");
                    "info"
                }
                Event::Video(frame) => {
                    assert!(self.informed && (self.pictured || frame.keyframe));
                    self.pictured = true;
                    "video"
                }
                Event::Audio(_) => {
                    assert!(self.informed);
                    "audio"
                }
                Event::Host(_) => {
                    assert!(self.informed);
                    "host"
                }
                Event::Ended { .. } => {
                    self.ended = true;
                    "ended"
                }
            });
        }
        assert!(!self.ended || connection.poll_timeout().is_none(), "no time is left after the end");
    }
}

/// To OPTIONS, DESCRIBE, SETUP of audio, of video, of control, ANNOUNCE and PLAY.
const ANSWERS: [&str; 7] = [
    "RTSP/1.0 200 OK\r\n\r\n",
    "RTSP/1.0 200 OK\r\n\r\na=x-ss-general.featureFlags:0\n",
    "RTSP/1.0 200 OK\r\nSession: A\r\n\r\n",
    "RTSP/1.0 200 OK\r\nX-SS-Ping-Payload: 0123456789ABCDEF\r\n\r\n",
    "RTSP/1.0 200 OK\r\nX-SS-Connect-Data: 77\r\n\r\n",
    "RTSP/1.0 200 OK\r\n\r\n",
    "RTSP/1.0 200 OK\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_script_leaves_a_connection_in_order(
            // Most begin with a host that answers everything, and take the control stream.
            answered in prop_oneof![1 => 0u8..16, 3 => Just(7)],
            verified in prop::bool::weighted(0.8),
            script in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let begin: &[u8] = if verified { &[4] } else { &[] };
            connection(&[&[answered], begin, &script[..]].concat());
        }
    }
}
