//! Every pair of settings in some session: pictures whole or absent, sound as it was, the host's own log.

use std::collections::BTreeSet;

use super::super::*;
use super::net::{FRAME, Net, Path, config};
use crate::gamestream::connection::Event;
use crate::gamestream::negotiation::tests::wishes;
use crate::gamestream::negotiation::{EncryptionWishes, Wishes};
use crate::gamestream::wire::sdp::Encryption;
use crate::input::{HostInput, KeyCode, Modifiers};
use crate::media::VideoCodec;

/// What is supported, what the client wishes, and whether RTSP is encrypted.
const ENCRYPTION: [(u32, EncryptionWishes, bool); 6] = [
    (0, EncryptionWishes { video: false, audio: false }, false),
    (1, EncryptionWishes { video: false, audio: false }, false),
    (0, EncryptionWishes { video: false, audio: true }, true),
    (5, EncryptionWishes { video: false, audio: true }, true),
    (7, EncryptionWishes { video: true, audio: false }, false),
    (7, EncryptionWishes { video: true, audio: true }, true),
];
const CODECS: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];
const MANNERS: [Manner; 3] = [Manner::Sunshine, Manner::SunshineV023, Manner::Wolf];
const LOSS: [u64; 4] = [0, 1, 5, 20];
const REORDERING: [u64; 2] = [0, 20];
const LIMIT: [Option<u32>; 2] = [None, Some(512)];

const COUNTS: [usize; 6] =
    [ENCRYPTION.len(), CODECS.len(), MANNERS.len(), LOSS.len(), REORDERING.len(), LIMIT.len()];

/// Which setting of each.
type Row = [usize; COUNTS.len()];

/// Two settings and what they are.
type Pair = (usize, usize, usize, usize);

fn pairs(row: &Row) -> impl Iterator<Item = Pair> {
    (0..row.len()).flat_map(move |a| (a + 1..row.len()).map(move |b| (a, row[a], b, row[b])))
}

fn all_rows() -> Vec<Row> {
    let mut rows = vec![[0; COUNTS.len()]];
    for (setting, &count) in COUNTS.iter().enumerate() {
        let with = |row: &Row, value| {
            let mut row = *row;
            row[setting] = value;
            row
        };
        rows = rows.iter().flat_map(|row| (0..count).map(move |value| with(row, value))).collect();
    }
    rows
}

/// Rows that have all pairs: each time the one with most that are missing yet.
fn table() -> Vec<Row> {
    let rows = all_rows();
    let mut missing: BTreeSet<Pair> = rows.iter().flat_map(pairs).collect();
    let mut table = Vec::new();
    while !missing.is_empty() {
        let best = rows.iter().max_by_key(|row| pairs(row).filter(|pair| missing.contains(pair)).count());
        let best = *best.unwrap();
        pairs(&best).for_each(|pair| {
            missing.remove(&pair);
        });
        table.push(best);
    }
    table
}

fn net(row: &Row, seed: u64) -> Net {
    let [encryption, codec, manner, loss, reordering, limit] = *row;
    let (supported, encryption, rtsp) = ENCRYPTION[encryption];
    let supported = Encryption::from_bits(supported);
    let requested = Encryption { control: supported.control, ..Encryption::default() };
    let mut config = config(MANNERS[manner]);
    config.encryption = EncryptionOffer { supported, requested };
    config.launch.rtsp_encryption = rtsp;
    config.packet_size_limit = LIMIT[limit];
    let wishes = Wishes { codecs: vec![CODECS[codec]], encryption, ..wishes() };
    let (loss, reordering) = (LOSS[loss], REORDERING[reordering]);
    let path = Path { loss, reordering, delay: Duration::from_millis(10) };
    Net::new(config, wishes, path, seed)
}

#[test]
fn every_pair_of_settings_streams_and_what_arrives_is_what_was_sent() {
    let table = table();
    assert!(table.len() < 40, "{} sessions", table.len());
    for (seed, row) in table.iter().enumerate() {
        check(row, seed as u64);
    }
}

fn check(row: &Row, seed: u64) {
    let mut net = net(row, seed);
    let loss = LOSS[row[3]];
    let story = format!("{row:?}, seed {seed}");
    let mut typed = Vec::new();
    for step in 0..60u8 {
        net.run(Duration::from_millis(50));
        if net.connected_at.is_some() {
            let input = match step % 2 {
                0 => HostInput::Key { code: KeyCode(step), down: true, modifiers: Modifiers::default() },
                _ => HostInput::PointerBy { dx: step.into(), dy: -1 },
            };
            let mut next = Some(input);
            net.client.handle_inputs(net.now, |_| next.take());
            assert_eq!(next, None, "{story}: there is room");
            typed.push(input);
        }
    }
    let streamed = net.now;
    net.run(Duration::from_secs(1));
    assert!(net.connected_at.is_some(), "{story}: {:?}", net.events);
    assert_eq!(net.host_end(), None, "{story}");
    assert!(!net.events.iter().any(|event| matches!(event, Event::Ended { .. })), "{story}");

    check_pictures(&net, streamed, loss, &story);
    check_sounds(&net, loss, &story);

    // The host's own log.
    let received = net.inputs();
    let haptics = received.iter().filter(|input| **input == Input::EnableHaptics).count();
    assert_eq!(haptics, 1, "{story}");
    let received: Vec<_> = received.iter().filter_map(|input| HostInput::try_from(input).ok()).collect();
    let of = |inputs: &[HostInput], keys: bool| {
        let keys = move |input: &&HostInput| matches!(input, HostInput::Key { .. }) == keys;
        inputs.iter().filter(keys).copied().collect::<Vec<_>>()
    };
    assert!(typed.len() > 20, "{story}");
    assert_eq!(of(&received, true), of(&typed, true), "{story}: keys, once each and in order");
    assert_eq!(of(&received, false), of(&typed, false), "{story}: moves, once each and in order");
    let log = net.host.received();
    let due = (net.now - net.connected_at.unwrap()).as_millis() as u64 / 100;
    assert!(log.control_pings > due * 8 / 10 && log.control_pings <= due + 1, "{story}: {log:?}");
    assert!(log.video_pings >= 4 && log.audio_pings >= 4, "{story}: {log:?}");
    let starts = net.host_events.iter();
    let starts =
        starts.filter(|(_, e)| matches!(e, HostSessionEvent::KeyframeWanted { start: true })).count();
    assert_eq!(starts, 1, "{story}");
    let keyframes = net.sent.iter().filter(|sent| sent.keyframe).count() as u64;
    assert!(keyframes <= 2 + log.keyframe_requests, "{story}: none that nobody asked for");
    if loss == 0 {
        assert_eq!(log.keyframe_requests, 0, "{story}");
    }
    // The first thing that a keyframe request does is bring a keyframe.
    for (at, event) in &net.host_events {
        if let HostSessionEvent::KeyframeWanted { .. } = event
            && let Some(next) = net.sent.iter().find(|sent| sent.at > *at)
        {
            assert!(next.keyframe && next.at <= *at + FRAME, "{story}");
        }
    }
}

/// A picture comes, as it was, exactly if FEC can make it whole and what it refers to came.
fn check_pictures(net: &Net, streamed: Instant, loss: u64, story: &str) {
    let first = net.first_number();
    let mut came = vec![false; net.sent.len()];
    for (_, frame) in &net.pictures {
        let index = (frame.number.0 - first) as usize;
        let sent = &net.sent[index];
        assert!(frame.data == sent.data, "{story}: frame {index} is not what was sent");
        assert_eq!(frame.keyframe, sent.keyframe, "{story}: frame {index}");
        came[index] = true;
    }
    assert!(net.pictures.is_sorted_by(|(_, a), (_, b)| a.number < b.number), "{story}");
    assert!(net.pictures.first().is_some_and(|(_, frame)| frame.keyframe), "{story}");
    let connected = net.connected_at.unwrap();
    let begin = net.sent.iter().position(|sent| sent.at >= connected).unwrap().max(1);
    let end = net.sent.iter().take_while(|sent| sent.at < streamed).count();
    for index in begin..end {
        let sent = &net.sent[index];
        let expected = sent.arrived() && (sent.keyframe || came[index - 1]);
        assert_eq!(came[index], expected, "{story}: frame {index} of {}", net.sent.len());
    }
    let share = came[begin..end].iter().filter(|came| **came).count() * 100 / (end - begin);
    let least = match loss {
        0 => 100,
        1 => 95,
        5 => 80,
        _ => 15,
    };
    assert!(share >= least, "{story}: {share} % of all frames");
}

/// A packet of sound comes as it was, in order, at its place.
fn check_sounds(net: &Net, loss: u64, story: &str) {
    let mut places = Vec::new();
    for frame in &net.heard {
        let place = (frame.timestamp.0 / 240) as usize;
        assert!(frame.data == net.sounds[place], "{story}: sound {place} is not what was sent");
        places.push(place);
    }
    assert!(places.is_sorted_by(|a, b| a < b), "{story}");
    let (first, last) = (places[0], *places.last().unwrap());
    let share = places.len() * 100 / (last - first + 1);
    let least = match loss {
        0 => 100,
        1 => 99,
        5 => 98,
        _ => 80,
    };
    assert!(places.len() > 400 && share >= least, "{story}: {share} % of {} sounds", net.sounds.len());
}

#[test]
fn the_table_has_every_pair() {
    let wanted: BTreeSet<Pair> = all_rows().iter().flat_map(pairs).collect();
    let had: BTreeSet<Pair> = table().iter().flat_map(pairs).collect();
    assert_eq!(had, wanted);
}

#[test]
fn a_lost_picture_is_made_good_by_a_keyframe_within_a_round_trip_and_a_frame() {
    for manner in MANNERS {
        let mut net = Net::streaming(manner);
        let round_trip = net.path.delay * 2;
        net.lose_picture = Some(net.sent.len());
        net.run(Duration::from_millis(500));
        let lost = net.lose_picture.unwrap();
        // The client knows when the next picture has begun and a late datagram had its time.
        let known = net.sent[lost + 1].at + net.path.delay + crate::gamestream::REORDERING;
        let first = net.first_number() as usize;
        let back = net.pictures.iter().find(|(_, frame)| frame.number.0 as usize - first > lost).unwrap();
        assert!(back.1.keyframe, "{manner:?}");
        assert!(back.0 <= known + round_trip + FRAME, "{manner:?}: {:?}", back.0 - known);
        assert_eq!(net.host.received().keyframe_requests, 1, "{manner:?}");
        let keyframes = net.sent[lost..].iter().filter(|sent| sent.keyframe).count();
        assert_eq!(keyframes, 1, "{manner:?}");
    }
}
