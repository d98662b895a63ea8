//! What the fuzz targets call: any bytes in, and a panic is a finding. No public interface.

use std::collections::{HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::candidates::{Reach, with_candidates};
use super::channels::inbox::Inbox;
use super::channels::input_message::{Channel, InputMessage};
use super::channels::{Decode, existing_page};
use super::framing::{self, Decoder};
use super::packetiser::{MAX_PAYLOAD, Payload, annex_b, av1, h264, hevc};
use super::{negotiate, stun};
use crate::gamestream::fuzzing::Forms;
use crate::input::{InputEvent, PointerPhase};
use crate::media::VideoCodec;
use crate::task;

pub use super::direct::fuzzing::{nack, srtcp};

/// A datagram at the viewers' UDP port.
pub fn stun(datagram: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if stun::local_ufrag(datagram).is_some() {
        forms.insert("request");
        assert_eq!(stun::Kind::of(datagram), stun::Kind::Stun);
    }
    forms
}

/// A frame of each codec: payloads are bounded, and the last one is marked.
pub fn packetiser(frame: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let frame = Bytes::copy_from_slice(frame);
    let payloads = h264::packetise(&frame);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("h264");
        assert!(annex_b::nal_units(&frame).next().is_some());
    }
    let payloads = hevc::packetise(&frame);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("hevc");
        assert!(annex_b::nal_units(&frame).next().is_some());
    }
    let payloads = av1::packetise(&frame, true);
    assert_payloads(&payloads);
    if !payloads.is_empty() {
        forms.insert("av1");
    }
    forms
}

pub(super) fn assert_payloads(payloads: &[Payload]) {
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
        ("hevc", negotiate::offers(&sdp, VideoCodec::Hevc)),
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

/// A message of either channel of our page: what is read is written to what means the same.
pub fn input_message(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    for channel in [Channel::Input, Channel::Motion] {
        let Ok(message) = InputMessage::parse(channel, bytes) else { continue };
        let again = message.to_bytes();
        let kind = KINDS[usize::from(bytes[4]) - 1];
        match kind {
            // The keys are a set, which is written in one order.
            "held" => assert!(again.len() <= bytes.len()),
            // Bits that have no meaning yet are left out.
            "gamepad-connected" | "gamepad" => {
                assert_eq!(again.len(), bytes.len());
                assert!(again.iter().zip(bytes).all(|(again, byte)| again & !byte == 0));
            }
            _ => assert_eq!(again, bytes),
        }
        assert_eq!(InputMessage::parse(channel, &again), Ok(message));
        forms.insert(kind);
    }
    forms
}

/// The kinds of messages, from 1.
const KINDS: [&str; 14] = [
    "key",
    "text",
    "button",
    "scroll",
    "pointer",
    "touch",
    "pen",
    "gamepad-connected",
    "gamepad-disconnected",
    "gamepad",
    "gamepad-motion",
    "gamepad-touch",
    "held",
    "release-all",
];

/// What our page says on its channels, message by message: a byte for the channel, one for the length, the message. A message
/// makes at most three events, and fingers and gamepads come before they do anything.
pub fn input_channels(mut script: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let (mut inbox, now, mut events) = (Inbox::default(), task::now(), VecDeque::new());
    let (mut fingers, mut gamepads) = (HashSet::new(), HashSet::new());
    while let [channel, len, rest @ ..] = script {
        let (message, next) = rest.split_at(rest.len().min(usize::from(*len)));
        script = next;
        let label = INPUT_CHANNELS[usize::from(*channel) % INPUT_CHANNELS.len()];
        let taken = inbox.decode(now, label, message, &mut events);
        assert!(events.len() <= 3 && (taken.is_ok() || events.is_empty()), "{label}: {events:?}");
        for event in events.drain(..) {
            forms.insert(match event {
                InputEvent::Key { .. } => "key",
                InputEvent::Text(text) => {
                    assert_eq!(text.len() + 5, message.len());
                    "text"
                }
                InputEvent::PointerTo(_) => "pointer-to",
                InputEvent::PointerBy { dx, dy } => {
                    assert!((dx, dy) != (0, 0) && dx.abs().max(dy.abs()) <= 32767);
                    "pointer-by"
                }
                InputEvent::Button { .. } => "button",
                InputEvent::Scroll { .. } => "scroll",
                InputEvent::Touch(touch) => {
                    assert!(match touch.phase {
                        PointerPhase::Down => {
                            fingers.insert(touch.contact);
                            true
                        }
                        PointerPhase::Move => fingers.contains(&touch.contact),
                        _ => fingers.remove(&touch.contact),
                    });
                    assert!(fingers.len() <= 32);
                    "touch"
                }
                InputEvent::Pen(_) => "pen",
                InputEvent::GamepadConnected { index, .. } => {
                    gamepads.insert(index);
                    "gamepad-connected"
                }
                InputEvent::GamepadDisconnected { index } => {
                    gamepads.remove(&index);
                    "gamepad-disconnected"
                }
                InputEvent::Gamepad { index, .. } => {
                    assert!(label == "input" || gamepads.contains(&index));
                    gamepads.insert(index);
                    "gamepad"
                }
                InputEvent::GamepadMotion { index, reading } => {
                    assert!(gamepads.contains(&index) && reading.value.iter().all(|axis| axis.is_finite()));
                    "gamepad-motion"
                }
                InputEvent::GamepadTouch { index, .. } => {
                    assert!(gamepads.contains(&index));
                    "gamepad-touch"
                }
                InputEvent::Held { .. } => "held",
                InputEvent::ReleaseAll => {
                    fingers.clear();
                    "release-all"
                }
            });
        }
    }
    forms
}

const INPUT_CHANNELS: [&str; 3] = ["input", "motion", "events"];

/// What an existing page says on its channels, message by message: a byte for the channel, one for the length, the message.
/// Fingers come before they move and go, and there are never more than anybody has.
pub fn existing_page(mut script: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut page = existing_page::Decoder::default();
    let (mut now, mut events, mut down) = (task::now(), VecDeque::new(), HashSet::new());
    let mut unplugged = HashSet::new();
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
                InputEvent::Gamepad { index, .. } => {
                    assert!(!unplugged.contains(&index));
                    "gamepad"
                }
                InputEvent::GamepadConnected { index, .. } => {
                    unplugged.remove(&index);
                    "gamepad-connected"
                }
                InputEvent::GamepadDisconnected { index } => {
                    assert!(unplugged.insert(index));
                    "gamepad-disconnected"
                }
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
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::{env, fs};

    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::SEEDS;
    use crate::webrtc::channels::input_message::tests::{bodies, vectors};
    use crate::webrtc::channels::sequence::Sequence;

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(prop_oneof![2 => 0u8..2, 1 => any::<u8>()], 0..3000)) {
            stun(&bytes);
            packetiser(&bytes);
            description(&bytes);
            tcp_frames(&bytes);
            srtcp(&bytes);
            nack(&bytes);
            existing_page(&bytes);
            input_message(&bytes);
            input_channels(&bytes);
        }

        #[test]
        fn any_messages_are_taken_in_any_order(
            messages in prop::collection::vec((any::<bool>(), 0u8..20, bodies()), 0..60),
        ) {
            let mut script = Vec::new();
            for (channel, sequence, body) in messages {
                let message = InputMessage { sequence: Sequence(sequence.into()), body }.to_bytes();
                if let Ok(len) = u8::try_from(message.len()) {
                    script.extend([u8::from(channel), len]);
                    script.extend(message);
                }
            }
            input_channels(&script);
        }
    }

    /// Those of `vectors.json`, one by one and together.
    #[test]
    fn the_seeds_of_input_are_the_vectors() {
        let (mut seeds, mut scripts) = (Vec::new(), BTreeMap::<_, Vec<u8>>::new());
        for (name, channel, bytes, _) in vectors() {
            let kind = KINDS[usize::from(bytes[4]) - 1];
            // What one device says is one script, and the form is one of what it brings about.
            let (device, form) = match kind {
                "pointer" | "button" | "scroll" => ("pointer", "pointer-by"),
                "touch" | "pen" => (kind, kind),
                kind if kind.starts_with("gamepad") => ("gamepads", "gamepad-touch"),
                _ => ("keyboard", "release-all"),
            };
            let script = scripts.entry(format!("{device}.{form}")).or_default();
            script.extend([u8::from(channel == Channel::Motion), bytes.len().try_into().unwrap()]);
            script.extend(&bytes);
            let name = name.replace([',', ':'], "").replace(' ', "-");
            seeds.push(("input_message", format!("{name}.{kind}"), bytes));
        }
        seeds.extend(scripts.into_iter().map(|(name, script)| ("input_channels", name, script)));
        for (target, name, bytes) in seeds {
            assert_seed(target, &name, &bytes);
        }
    }

    pub(in crate::webrtc) fn assert_seed(target: &str, name: &str, bytes: &[u8]) {
        let folder = Path::new(SEEDS).join(target);
        let path = folder.join(name);
        if env::var_os("WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let is_there = fs::read(&path).is_ok_and(|found| found == bytes);
        assert!(is_there, "{} differs: see fuzz/README.md", path.display());
    }
}
