//! The RTSP dialogue, against what was on the wire, our formats, and what our client says in its place.

use std::collections::{BTreeSet, HashMap};

use super::{Difference, RtspProperty};
use crate::gamestream::crypto::RtspCipher;
use crate::gamestream::rtsp::{Dialogue, Event};
use crate::gamestream::wire::rtsp::{
    Envelope, Headers, MAX_RESPONSE, Malformed, Method, Request, Response, Sealed, Sender, SessionUrl,
};
use crate::gamestream::wire::sdp::{Announcement, Offer};
use crate::recording::pcap::Segment;
use crate::recording::replay::Replay;
use crate::recording::transcript::Message;
use crate::task;

/// Returns how many messages were compared.
pub(super) fn compare(recorded: &Replay, differences: &mut BTreeSet<Difference>) -> usize {
    let messages = recorded.transcript.messages();
    for (number, message) in messages.iter().enumerate() {
        differences.extend(check_formats(message).err().map(|property| differs(number, property)));
    }
    compare_wire(recorded, differences);
    differences.extend(compare_client(recorded).err());
    messages.len()
}

fn differs(message: usize, property: RtspProperty) -> Difference {
    Difference::Rtsp { message, property }
}

/// What parses builds back to the same bytes.
fn check_formats(message: &Message) -> Result<(), RtspProperty> {
    let Message { sender, bytes } = message;
    let mut built = Vec::new();
    let body = match sender {
        Sender::Client => Request::parse(bytes).map(|request| {
            request.emit(&mut built);
            request.method != Method::Announce || rebuilds_announcement(&request.body)
        }),
        Sender::Host => Response::parse(bytes).map(|response| {
            response.emit(&mut built);
            response.body.is_empty() || rebuilds_offer(&response.body)
        }),
    };
    match body {
        Ok(_) if built != *bytes => Err(RtspProperty::Content),
        Ok(true) => Ok(()),
        Ok(false) => Err(RtspProperty::Body),
        Err(_) => Err(RtspProperty::Content),
    }
}

fn rebuilds_announcement(body: &str) -> bool {
    let mut built = String::new();
    Announcement::parse(body).is_ok_and(|announcement| {
        announcement.emit(&mut built);
        built == body
    })
}

fn rebuilds_offer(body: &str) -> bool {
    let mut built = String::new();
    Offer::parse(body).is_ok_and(|offer| {
        offer.emit(&mut built);
        // Who says nothing of encryption, as Wolf, writes another order and other line ends.
        built == body || offer.encryption.is_none() && Offer::parse(&built) == Ok(offer)
    })
}

/// The same messages were on the wire, each on a connection of its own: where the capture has any.
fn compare_wire(recorded: &Replay, differences: &mut BTreeSet<Difference>) {
    let port = recorded.requested.url(&recorded.negotiated.announcement).port();
    let cipher = RtspCipher::new(&recorded.requested.rikey);
    let sent = messages_on_the_wire(recorded.segments(), port);
    if sent.is_empty() {
        return;
    }
    let messages = recorded.transcript.messages();
    for number in 0..messages.len().max(sent.len()) {
        let same = match (messages.get(number), sent.get(number)) {
            (Some(message), Some(sent)) => is_on_the_wire(message, sent, &cipher),
            _ => false,
        };
        if !same {
            differences.insert(differs(number, RtspProperty::Wire));
        }
    }
}

/// In clear, or sealed to the same bytes as we would seal it.
fn is_on_the_wire(message: &Message, sent: &Message, cipher: &RtspCipher) -> bool {
    let Message { sender, bytes } = message;
    let bytes = match Sealed::parse(&sent.bytes) {
        Ok(sealed) => &cipher.seal(*sender, sealed.sequence(), bytes.clone()),
        Err(_) => bytes,
    };
    *sender == sent.sender && *bytes == sent.bytes
}

/// What went over connections to this port, a message each way on each of them, in the order in which they began.
fn messages_on_the_wire<'a>(segments: impl Iterator<Item = Segment<'a>>, port: u16) -> Vec<Message> {
    let mut streams: Vec<Stream<'_>> = Vec::new();
    let mut current = HashMap::new();
    for segment in segments.filter(|s| s.source.port() == port || s.destination.port() == port) {
        let at = *current.entry((segment.source, segment.destination)).or_insert(streams.len());
        match streams.get_mut(at).filter(|_| !segment.syn) {
            Some(stream) => stream.parts.push(segment),
            None => {
                current.insert((segment.source, segment.destination), streams.len());
                streams.push(Stream { first: segment, parts: vec![segment] });
            }
        }
    }
    let message = |stream: &Stream<'_>| {
        let began = stream.parts.iter().find(|part| !part.payload.is_empty())?;
        let sender = if began.destination.port() == port { Sender::Client } else { Sender::Host };
        Some((began.at, Message { sender, bytes: stream.bytes() }))
    };
    let mut messages: Vec<_> = streams.iter().filter_map(message).collect();
    messages.sort_by_key(|(at, _)| *at);
    messages.into_iter().map(|(_, message)| message).collect()
}

/// One direction of a TCP connection.
struct Stream<'a> {
    first: Segment<'a>,
    /// As they came.
    parts: Vec<Segment<'a>>,
}

impl Stream<'_> {
    /// What was sent, up to the first gap; no more than an answer may have, and one byte.
    fn bytes(&self) -> Vec<u8> {
        let first = self.first.sequence.wrapping_add(self.first.syn.into());
        let offset = |part: &Segment<'_>| part.sequence.wrapping_add(part.syn.into()).wrapping_sub(first);
        let mut parts: Vec<_> = self.parts.iter().map(|part| (offset(part) as usize, part.payload)).collect();
        parts.sort_by_key(|&(offset, _)| offset);
        let mut bytes = Vec::new();
        for (offset, payload) in parts {
            // What is sent again stands in the stream once.
            let Some(known) = bytes.len().checked_sub(offset) else { break };
            bytes.extend(payload.get(known..).unwrap_or_default());
            if bytes.len() > Envelope::LEN + MAX_RESPONSE {
                bytes.truncate(Envelope::LEN + MAX_RESPONSE + 1);
                break;
            }
        }
        bytes
    }
}

/// With the recorded answers, our client says what the reference client said. Returns what it learns.
fn compare_client(recorded: &Replay) -> Result<Vec<Event>, Difference> {
    let Replay { requested, negotiated, transcript, .. } = recorded;
    let announced = &negotiated.announcement;
    let url = requested.url(announced);
    let cipher = url.is_encrypted().then(|| RtspCipher::new(&requested.rikey));
    let wishes = requested.wishes(announced);
    let now = task::now();
    let mut dialogue = Dialogue::new(now, url.clone(), announced.address, &requested.rikey, wishes);
    let (mut sequence, mut events) = (0, Vec::new());
    for (number, Message { sender, bytes }) in transcript.messages().iter().enumerate() {
        let differs = |property| differs(number, property);
        match sender {
            Sender::Client => {
                sequence += 1;
                let said = dialogue.poll_request(now).ok().flatten();
                let said = said.and_then(|request| open(cipher.as_ref(), request));
                let expected = as_our_client(bytes, &url).map_err(|_| differs(RtspProperty::Content))?;
                if said != Some(expected) {
                    return Err(differs(RtspProperty::Said));
                }
                dialogue.handle_connected(now);
            }
            Sender::Host => {
                let answer = match &cipher {
                    Some(cipher) => cipher.seal(Sender::Host, sequence, bytes.clone()),
                    None => bytes.clone(),
                };
                let taken = answer.chunks(100).try_for_each(|part| dialogue.handle_bytes(now, part));
                let taken = taken.and_then(|()| dialogue.handle_end(now));
                taken.map_err(|_| differs(RtspProperty::Taken))?;
                events.extend(std::iter::from_fn(|| dialogue.poll_event()));
            }
        }
    }
    match dialogue.poll_request(now) {
        Ok(None) => Ok(events),
        _ => Err(differs(transcript.messages().len(), RtspProperty::Said)),
    }
}

fn open(cipher: Option<&RtspCipher>, request: Vec<u8>) -> Option<Vec<u8>> {
    match cipher {
        Some(cipher) => cipher.open(Sender::Client, &Sealed::parse(&request).ok()?).ok(),
        None => Some(request),
    }
}

/// Makes up for what our client says differently (docs/gamestream.md): the reference client hides the session's URL
/// when it wants audio of low quality.
fn as_our_client(request: &[u8], url: &SessionUrl) -> Result<Vec<u8>, Malformed> {
    let mut request = Request::parse(request)?;
    if request.target == format!("rtsp://{HIDDEN}:{}", url.port()) {
        request.target = url.to_string();
    }
    let headers = request.headers.iter().map(|header| match header {
        ("Host", HIDDEN) => ("Host", url.host()),
        other => other,
    });
    request.headers = headers.fold(Headers::default(), |headers, (name, value)| headers.with(name, value));
    let mut bytes = Vec::new();
    request.emit(&mut bytes);
    Ok(bytes)
}

/// In the place of the session's host.
const HIDDEN: &str = "0.0.0.0";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    use super::*;
    use crate::gamestream::recorded::sessions;

    #[test]
    fn with_the_recorded_hosts_we_say_what_the_reference_client_said() {
        let Some(sessions) = sessions() else { return };
        for session in sessions {
            let recorded = Replay::open(&session).unwrap();
            let mut differences = BTreeSet::new();
            assert_eq!(compare(&recorded, &mut differences), 14, "{session:?}");
            assert_eq!(differences, BTreeSet::new(), "{session:?}");
            let port = recorded.requested.url(&recorded.negotiated.announcement).port();
            assert_eq!(messages_on_the_wire(recorded.segments(), port).len(), 14, "{session:?}");
        }
    }

    #[test]
    fn recorded_hosts_tell_what_hosts_of_their_kind_tell() {
        let Some(sessions) = sessions() else { return };
        for session in sessions {
            let events = compare_client(&Replay::open(&session).unwrap()).unwrap();
            let [
                Event::Audio(audio),
                Event::Video(video),
                Event::Control(control),
                Event::Announced(agreement),
                Event::Playing,
            ] = &events[..]
            else {
                panic!("{session:?}: {events:?}")
            };
            let wolf = session.to_string_lossy().contains("wolf-");
            assert_eq!(control.port, 47999);
            assert_eq!(control.connect_data == 0, wolf);
            assert_eq!(agreement.control_v2(), !wolf);
            assert_eq!((video.ping.is_none(), audio.ping.is_none()), (wolf, wolf));
            assert_eq!(agreement.announcement.video_port, video.port);
            if wolf {
                assert!(video.port >= 48100 && audio.port >= 48200);
            } else {
                assert_eq!((video.port, audio.port), (47998, 48000));
            }
        }
    }

    fn segment(ports: (u16, u16), syn: bool, sequence: u32, payload: &[u8]) -> Segment<'_> {
        let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let (source, destination) = (address(ports.0), address(ports.1));
        Segment { at: Duration::ZERO, source, destination, syn, sequence, payload }
    }

    fn on_the_wire(segments: &[Segment<'_>]) -> Vec<(Sender, String)> {
        let messages = messages_on_the_wire(segments.iter().copied(), 48010);
        messages.into_iter().map(|m| (m.sender, String::from_utf8(m.bytes).unwrap())).collect()
    }

    #[test]
    fn each_connection_gives_a_message_each_way() {
        let (up, down) = ((5000, 48010), (48010, 5000));
        let segments = [
            segment(up, true, u32::MAX - 1, b""),
            segment(down, true, 100, b""),
            segment(up, false, u32::MAX, b"PLAY"),
            segment((5001, 80), false, 1, b"GET"),
            // Out of order, and with what was sent already.
            segment(down, false, 105, b"/1.0"),
            segment(down, false, 101, b"RT"),
            segment(down, false, 102, b"TSP"),
            segment(up, false, 3, b" /"),
            // The same ports again.
            segment(up, true, 7, b""),
            segment(up, false, 8, b"OPTIONS"),
            segment((5002, 48010), true, 7, b""),
            segment((5002, 48010), false, 9, b"behind a gap"),
            segment((5003, 48010), false, 9, b"begun before"),
        ];
        let expected = [
            (Sender::Client, "PLAY /"),
            (Sender::Host, "RTSP/1.0"),
            (Sender::Client, "OPTIONS"),
            (Sender::Client, ""),
            (Sender::Client, "begun before"),
        ];
        assert_eq!(on_the_wire(&segments), expected.map(|(sender, text)| (sender, text.to_owned())));
    }

    #[test]
    fn no_more_of_a_connection_is_kept_than_a_message_may_have() {
        let payload = vec![b'x'; 60_000];
        let parts = (0..9).map(|i| segment((48010, 5000), false, i * 60_000, &payload));
        let messages = on_the_wire(&parts.collect::<Vec<_>>());
        assert_eq!(messages[0].1.len(), Envelope::LEN + MAX_RESPONSE + 1);
    }
}
