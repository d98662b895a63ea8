//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

use std::collections::{HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::candidates::{Reach, with_candidates};
use super::channels::{Decode, existing_page};
use super::framing::{self, Decoder};
use super::packetiser::{MAX_PAYLOAD, Payload, av1, h264};
use super::{negotiate, stun};
use crate::gamestream::fuzzing::Forms;
use crate::input::{InputEvent, PointerPhase};
use crate::media::VideoCodec;
use crate::task;

/// A datagram at the viewers' UDP port.
pub fn stun(datagram: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if stun::local_ufrag(datagram).is_some() {
        forms.insert("request");
        assert_eq!(stun::Kind::of(datagram), stun::Kind::Stun);
    }
    forms
}

/// A frame of either codec: payloads are bounded, and the last one is marked.
pub fn packetiser(frame: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let frame = Bytes::copy_from_slice(frame);
    let payloads = h264::packetise(&frame);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("h264");
        assert!(h264::nal_units(&frame).next().is_some());
    }
    let payloads = av1::packetise(&frame, true);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("av1");
    }
    forms
}

fn assert_payloads(payloads: &[Payload]) {
    assert!(payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.bytes.len())));
    assert_eq!(payloads.iter().filter(|payload| payload.marker).count(), payloads.len().min(1));
    assert!(payloads.last().is_none_or(|payload| payload.marker));
}

/// A session description from a browser, as far as we read it ourselves.
pub fn description(sdp: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let sdp = String::from_utf8_lossy(sdp);
    for (form, offered) in [
        ("h264", negotiate::offers(&sdp, VideoCodec::H264)),
        ("av1", negotiate::offers(&sdp, VideoCodec::Av1)),
        ("audio", negotiate::offers_audio(&sdp)),
    ] {
        if offered && negotiate::ufrag(&sdp).is_some() {
            forms.insert(form);
        }
    }
    let _ = (negotiate::offers_channels(&sdp), negotiate::takes(&sdp, VideoCodec::H264));
    assert!(negotiate::without_rejected_credentials(&sdp).len() <= sdp.len());
    let reach = Reach {
        udp_port: 5000,
        tcp: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443))),
        public: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
    };
    let rewritten = with_candidates(&sdp, &reach);
    assert_eq!(with_candidates(&rewritten, &reach), rewritten);
    forms
}

/// What comes through a viewer's TCP connection, wherever it is cut: the first byte says into how many bytes at a time.
pub fn tcp_frames(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let Some((&cut, stream)) = bytes.split_first() else { return forms };
    let frames = |cut| {
        let mut decoder = Decoder::new(1500);
        let mut frames = Vec::new();
        for mut input in stream.chunks(cut) {
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(_) => return frames,
                }
            }
        }
        frames
    };
    let whole = frames(stream.len().max(1));
    assert_eq!(frames(usize::from(cut).max(1)), whole);
    let mut again = Vec::new();
    for frame in &whole {
        again.extend(framing::header(frame).expect("16 bits said its length"));
        again.extend(frame);
    }
    assert!(stream.starts_with(&again));
    if !whole.is_empty() {
        forms.insert("frames");
    }
    forms
}

/// What an existing page says on its channels, message by message: a byte for the channel, one for the length, the message.
/// Fingers come before they move and go, and there are never more than anybody has.
pub fn existing_page(mut script: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut page = existing_page::Decoder::default();
    let (mut now, mut events, mut down) = (task::now(), VecDeque::new(), HashSet::new());
    while let [channel, len, rest @ ..] = script {
        let (message, next) = rest.split_at(rest.len().min(usize::from(*len)));
        script = next;
        now += Duration::from_millis(700);
        let label = PAGE_CHANNELS[usize::from(*channel) % PAGE_CHANNELS.len()];
        let taken = page.decode(now, label, message, &mut events);
        assert!(events.len() <= 2 && (taken.is_ok() || events.is_empty()), "{label}: {events:?}");
        for event in events.drain(..) {
            forms.insert(match event {
                InputEvent::Key { .. } => "key",
                InputEvent::Text(text) => {
                    assert!(!text.is_empty() && text.len() < message.len());
                    "text"
                }
                InputEvent::PointerTo(_) | InputEvent::PointerBy { .. } => "pointer",
                InputEvent::Button { .. } => "button",
                InputEvent::Scroll { dx, dy, .. } => {
                    assert_ne!((dx, dy), (0, 0));
                    "scroll"
                }
                InputEvent::Touch(touch) => {
                    assert!(match touch.phase {
                        PointerPhase::Down => down.insert(touch.contact),
                        PointerPhase::Move => down.contains(&touch.contact),
                        _ => down.remove(&touch.contact),
                    });
                    assert!(down.len() <= 10);
                    "touch"
                }
                InputEvent::Gamepad { .. } => "gamepad",
                InputEvent::GamepadConnected { .. } => "gamepad-connected",
                InputEvent::GamepadDisconnected { .. } => "gamepad-disconnected",
                event => panic!("no page says {event:?}"),
            });
        }
    }
    forms
}

const PAGE_CHANNELS: [&str; 13] = [
    "keyboard",
    "mouse",
    "mouseClicks",
    "mouseAbsolute",
    "mouseRelative",
    "mouse_reliable",
    "mouse_absolute",
    "mouse_relative",
    "touch",
    "controllers",
    "controller0",
    "controller15",
    "stats",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(prop_oneof![2 => 0u8..2, 1 => any::<u8>()], 0..3000)) {
            stun(&bytes);
            packetiser(&bytes);
            description(&bytes);
            tcp_frames(&bytes);
            existing_page(&bytes);
        }
    }
}
