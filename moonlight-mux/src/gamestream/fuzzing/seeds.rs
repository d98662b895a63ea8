//! The seeds that are made from the protocol document's vectors and from what tests let a host say. They stand in
//! `fuzz/seeds`; `WRITE_SEEDS=1` writes them there.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use super::control::datagram;
use crate::gamestream::crypto::tests::{SEALED, key};
use crate::gamestream::crypto::{
    AudioCipher, ControlCipher, ControlNonce, RtspCipher, SessionKey, Side, VideoCipher,
};
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::pairing::tests::document;
use crate::gamestream::test_stream::{audio, blocks, key_frame, opus, p_frame, video};
use crate::gamestream::wire;
use crate::gamestream::wire::control::{Hdr, HostMessage, Termination, TriggerEffects};
use crate::gamestream::wire::enet::{Body, Fragment, Throttle};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest, SignedSecret};
use crate::gamestream::wire::http::request::tests::LAUNCH;
use crate::gamestream::wire::http::request::{Call, UniqueId};
use crate::gamestream::wire::http::tests::SERVER_INFO;
use crate::gamestream::wire::sdp::{Channels, Encryption};
use crate::gamestream::wire::tests::hex;
use crate::media::VideoCodec;
use crate::recording::pcap::tests::capture;

#[test]
fn the_seeds_in_the_folder_are_those_of_the_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, seeds) in [
        ("video_datagram", video_datagrams()),
        ("audio_datagram", audio_datagrams()),
        ("pcap", captures()),
        ("rtsp", rtsp_messages()),
        ("sdp", sdp_bodies()),
        ("xml", documents()),
        ("pairing", pairing_messages()),
        ("control_message", control_messages()),
        ("enet_datagram", enet_datagrams()),
        ("input_packet", input_packets()),
        ("media_session", media_sessions()),
        ("control_stream", control_streams()),
        ("connection", connections()),
    ] {
        for (name, bytes) in seeds {
            let path = folder.join(target).join(name);
            if env::var_os("WRITE_SEEDS").is_some() {
                fs::create_dir_all(folder.join(target)).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            let is_there = fs::read(&path).is_ok_and(|found| found == bytes);
            assert!(is_there, "{} differs: see fuzz/README.md", path.display());
        }
    }
}

/// Names, and what stands in the files.
type Seeds = Vec<(String, Vec<u8>)>;

/// Hexadecimal vectors, numbered in their order.
fn numbered<'a>(name: &str, form: &str, vectors: impl IntoIterator<Item = &'a str>) -> Seeds {
    let vectors = vectors.into_iter().enumerate();
    vectors.map(|(i, vector)| (format!("{name}-{i}.{form}"), hex(vector))).collect()
}

fn named(seeds: impl IntoIterator<Item = (&'static str, impl Into<Vec<u8>>)>) -> Seeds {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.into())).collect()
}

fn emitted(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes);
    bytes
}

fn written(emit: impl FnOnce(&mut String)) -> Vec<u8> {
    let mut text = String::new();
    emit(&mut text);
    text.into_bytes()
}

/// Streams 10.7, and pings of streams 5.
fn video_datagrams() -> Seeds {
    let ping = wire::video::Ping::Payload { payload: *b"0123456789ABCDEF", counter: 1 };
    let mut seeds = numbered("shard", "packet", wire::video::tests::PACKETS);
    seeds.extend(numbered("shard", "sealed", SEALED.map(|(_, _, sealed)| sealed)));
    seeds.extend(named([
        ("idr.frame-header", hex("012200020c000000")),
        ("legacy.ping", emitted(|out| wire::video::Ping::Legacy.emit(out))),
        ("payload.ping", emitted(|out| ping.emit(out))),
    ]));
    seeds
}

/// Streams 10.6.
fn audio_datagrams() -> Seeds {
    let group = wire::audio::tests::GROUP;
    let clear = wire::audio::Data { sequence: 8, timestamp: 40, payload: &hex(wire::audio::tests::OPUS[0]) };
    let mut seeds = numbered("encrypted", "data", group[..4].iter().copied());
    seeds.extend(numbered("encrypted", "parity", group[4..].iter().copied()));
    seeds.push(("clear.data".to_owned(), emitted(|out| clear.emit(out))));
    seeds
}

fn captures() -> Seeds {
    let at = Duration::from_micros(1_500_000);
    let micros = capture(&[(at, 47998, 5000, vec![1, 2, 3]), (at * 2, 48000, 5001, vec![])]);
    let mut nanos = micros.clone();
    nanos[..2].copy_from_slice(&[0x4d, 0x3c]);
    let mut big_endian = micros[..24 + 16 + 45].to_vec();
    for word in [0..4, 20..24, 24..28, 28..32, 32..36, 36..40] {
        big_endian[word].reverse();
    }
    // ARP, a fragment and TCP, in front of a datagram.
    let mut others = capture(&vec![(at, 1, 2, vec![]); 4]);
    for (record, byte, value) in [(0, 13, 0x06), (1, 20, 0x20), (2, 23, 6)] {
        others[24 + record * (16 + 42) + 16 + byte] = value;
    }
    // Four bytes of IP options.
    let mut options = capture(&[(at, 1, 2, vec![7; 8])]);
    options[24 + 16 + 14] = 0x46;
    options[24 + 16 + 14 + 24 + 4..][..2].copy_from_slice(&[0, 12]);
    named([
        ("micros.datagrams", micros),
        ("nanos.datagrams", nanos),
        ("big-endian.datagrams", big_endian),
        ("among-others.datagrams", others),
        ("ip-options.datagrams", options),
    ])
}

/// Session 14 and 24.4.
fn rtsp_messages() -> Seeds {
    let [options, play, setup, announce] = wire::rtsp::tests::REQUESTS;
    let [ok, refused, described] = wire::rtsp::tests::RESPONSES;
    let cipher = RtspCipher::new(&key());
    let mut seeds = named([
        ("options.request", options),
        ("play.request", play),
        ("setup.request", setup),
        ("announce.request", announce),
        ("ok.response", ok),
        ("refused.response", refused),
        ("described.response", described),
        (
            "setup.response",
            "RTSP/1.0 200 OK\r\nCSeq: 5\r\nSession: DEADBEEFCAFE;timeout = 90\r\nTransport: server_port=47999\r\nX-SS-Connect-Data: 4242\r\nX-SS-Ping-Payload: 0123456789ABCDEF\r\n\r\n",
        ),
        ("lenient.response", "RTSP/1.0 200 OK\r\nsession:  DEADBEEFCAFE;timeout = 90 \r\n"),
    ]);
    seeds.extend(named([
        ("options.sealed", cipher.seal(wire::rtsp::Sender::Client, 1, options.into())),
        ("described.sealed", cipher.seal(wire::rtsp::Sender::Host, 2, described.into())),
    ]));
    seeds
}

/// Session 15 and 24.5.
fn sdp_bodies() -> Seeds {
    let announcement = wire::sdp::tests::announcement();
    let surround = wire::sdp::Announcement {
        encryption: Encryption { control: true, video: true, audio: true },
        audio_encryption_flag: true,
        codec: VideoCodec::Hevc,
        channels: Channels::Surround51,
        high_quality_audio: true,
        local: false,
        packet_duration: Duration::from_millis(10),
        ..announcement
    };
    named([
        ("sunshine.offer", wire::sdp::tests::SUNSHINE.into()),
        ("wolf.offer", wire::sdp::tests::WOLF.into()),
        ("stereo.announcement", written(|out| announcement.emit(out))),
        ("surround-encrypted.announcement", written(|out| surround.emit(out))),
    ])
}

/// Session 5 to 10 and 24.7.
fn documents() -> Seeds {
    named([
        ("sunshine.server-info", SERVER_INFO),
        (
            "bare.server-info",
            "<root status_code='200'><appversion>7</appversion><state/><currentgame>0</currentgame><PairStatus>1</PairStatus><Permission>117835012</Permission></root>",
        ),
        (
            "two.apps",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<root status_code=\"200\"><App><IsHdrSupported>1</IsHdrSupported><AppTitle>Desktop</AppTitle><ID>881448767</ID></App><App><AppTitle>\u{200b}&amp;&lt;</AppTitle><ID>2</ID></App></root>",
        ),
        ("none.apps", "<root status_code='200'/>"),
        (
            "launched.started",
            "<root status_code='200'><sessionUrl0>rtspenc://192.168.1.50:48010</sessionUrl0><gamesession>1</gamesession></root>",
        ),
        (
            "resumed.started",
            "<root status_code='200'><sessionUrl0>rtsp://10.0.0.1:48010</sessionUrl0><resume>1</resume></root>",
        ),
        (
            "refused.document",
            "<root status_code=\"503\" status_message=\"The host&apos;s limit\"><resume>0</resume></root>",
        ),
        ("status-of-32-bits.document", "<root status_code=\"4294967295\"/>"),
        ("text-behind.document", "<root status_code=\"200\"><resume>1</resume></root>HTTP/1.1 400 Bad <root"),
        (
            "nested.document",
            "<root status_code='200'><x><ID>0</ID></x><App> <ID>\n7 </ID><a><ID>8</ID></a></App><ID>1</ID><App><![CDATA[<]]>&#x41;<!-- --></App></root>",
        ),
        (
            "document-type",
            "<!DOCTYPE root [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><root status_code=\"200\">&b;</root>",
        ),
    ])
}

/// Session 8 and 24.2, and the requests of session 24.3.
fn pairing_messages() -> Seeds {
    let secret = |text| SignedSecret { secret: [0x30; 16], signature: hex(text) };
    let answers = [
        ("no.answer", PairAnswer::No),
        ("yes.answer", PairAnswer::Yes),
        ("certificate.answer", PairAnswer::ServerCertificate(document::HOST_CERTIFICATE.into())),
        ("challenge-response.answer", PairAnswer::ChallengeResponse([0x5b; 48])),
        ("secret.answer", PairAnswer::ServerSecret(secret(document::HOST_SIGNATURE))),
    ];
    let client_certificate = document::CLIENT_CERTIFICATE.into();
    let calls = [
        ("info.call", Call::ServerInfo),
        ("apps.call", Call::Apps),
        ("cancel.call", Call::Cancel),
        ("unpair.call", Call::Unpair),
        (
            "certificate.call",
            Call::Pair(PairRequest::ServerCertificate { salt: [0xa1; 16], client_certificate }),
        ),
        ("challenge.call", Call::Pair(PairRequest::ClientChallenge([0x80; 16]))),
        ("challenge-response.call", Call::Pair(PairRequest::ServerChallengeResponse([0xe5; 32]))),
        ("secret.call", Call::Pair(PairRequest::ClientSecret(secret(document::CLIENT_SIGNATURE)))),
        ("pair-challenge.call", Call::Pair(PairRequest::PairChallenge)),
    ];
    let uniqueid: UniqueId = "0123456789ABCDEF".parse().unwrap();
    let certificate = Certificate::from_pem(document::HOST_CERTIFICATE.as_bytes()).unwrap();

    let mut seeds = named(answers.map(|(name, answer)| (name, written(|out| answer.emit(out)))));
    seeds.extend(named(calls.map(|(name, call)| (name, call.target(&uniqueid, uuid::Uuid::nil())))));
    seeds.extend(named([
        ("launch.call", LAUNCH.into()),
        ("resume.call", LAUNCH.replace("launch", "resume").into()),
        ("pem.certificate", document::HOST_CERTIFICATE.into()),
        ("der.certificate", certificate.der().to_vec()),
    ]));
    seeds
}

fn host_messages() -> [(&'static str, HostMessage); 6] {
    let effects =
        TriggerEffects { flags: 0x0c, left_mode: 0x21, right_mode: 0x26, left: [7; 10], right: [9; 10] };
    [
        ("rumble-triggers.host-message", HostMessage::RumbleTriggers { controller: 1, left: 2, right: 3 }),
        ("motion.host-message", HostMessage::Motion { controller: 0, rate: 100, sensor: 1 }),
        ("led.host-message", HostMessage::Led { controller: 2, rgb: [1, 2, 3] }),
        ("triggers.host-message", HostMessage::AdaptiveTriggers { controller: 0, effects }),
        ("hdr.host-message", HostMessage::Hdr(Hdr { enabled: true, max_luminance: 1000, ..Hdr::default() })),
        ("frame-conversion.host-message", HostMessage::Termination(Termination::FRAME_CONVERSION)),
    ]
}

/// Streams 10.3; and each message with a byte too few, as cutting it does not give: its length says so too.
fn control_messages() -> Seeds {
    let (of_client, of_host) = wire::control::tests::VECTORS.split_at(6);
    let mut seeds = numbered("vector", "client-message", of_client.iter().map(|vector| vector.clear));
    seeds.extend(numbered("vector", "host-message", of_host.iter().map(|vector| vector.clear)));
    let vectors = wire::control::tests::VECTORS;
    seeds.extend(numbered("vector", "sealed", vectors.iter().map(|vector| vector.sealed)));
    let messages = host_messages();
    seeds.extend(named(messages.map(|(name, message)| (name, emitted(|out| message.emit(out))))));
    seeds.extend(named([
        ("fec-status.client-message", hex("0255150000000002000a000700030003000200010001420001")),
        ("padded-rumble.host-message", hex("0b010c00000000000100020003000000")),
    ]));
    let short = seeds.iter().filter(|(name, _)| !name.ends_with("sealed")).map(|(name, message)| {
        let len = (message.len() - 5) as u16;
        let framing = [&message[..2], &len.to_le_bytes()].concat();
        (format!("short-{}", name.replace('.', "-")), [&framing, &message[4..message.len() - 1]].concat())
    });
    let short: Seeds = short.collect();
    seeds.extend(short);
    seeds
}

/// Streams 1.2, and one of each command that stands not there.
fn enet_datagrams() -> Seeds {
    let fragment = Fragment { start: 1, count: 2, number: 1, total: 8, offset: 4, data: b"tail" };
    let throttle = Throttle { interval: 5000, acceleration: 2, deceleration: 2 };
    let bodies = [
        ("disconnect.datagram", Body::Disconnect { data: 7 }),
        ("ping.datagram", Body::Ping),
        ("fragment.datagram", Body::Fragment(fragment)),
        ("unreliable-fragment.datagram", Body::UnreliableFragment(fragment)),
        ("unsequenced.datagram", Body::Unsequenced { group: 1, data: b"x" }),
        ("bandwidth.datagram", Body::BandwidthLimit { incoming: 1, outgoing: 2 }),
        ("throttle.datagram", Body::Throttle(throttle)),
    ];
    let mut seeds = numbered("vector", "datagram", wire::enet::tests::DATAGRAMS);
    seeds.extend(named(bodies.map(|(name, body)| (name, datagram(3, 0, 1, body)))));
    seeds
}

/// Streams 10.4; and each packet with a byte too few, as its length says too.
fn input_packets() -> Seeds {
    let mut seeds = numbered("vector", "input", wire::input::tests::PACKETS);
    let short = wire::input::tests::PACKETS.iter().enumerate().map(|(i, packet)| {
        let mut packet = hex(packet);
        packet.pop();
        packet[3] -= 1;
        (format!("short-{i}"), packet)
    });
    seeds.extend(short);
    seeds
}

/// A script: steps as the targets read them.
struct Script(Vec<u8>);

impl Script {
    /// Without bytes behind it.
    fn step(mut self, step: u8) -> Self {
        self.0.push(step);
        self
    }

    /// With one byte behind it.
    fn short(mut self, step: u8, value: u8) -> Self {
        self.0.extend([step, value]);
        self
    }

    /// With bytes behind it.
    fn bytes(mut self, step: u8, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.extend([step, u8::try_from(bytes.len()).expect("scripts have no room for more")]);
        self.0.extend(bytes);
        self
    }

    fn each(self, step: u8, datagrams: impl IntoIterator<Item = Vec<u8>>) -> Self {
        datagrams.into_iter().fold(self, |script, datagram| script.bytes(step, datagram))
    }
}

impl From<Script> for Vec<u8> {
    fn from(script: Script) -> Self {
        script.0
    }
}

/// All but these, by their place.
fn without(datagrams: Vec<Vec<u8>>, lost: &[usize]) -> impl Iterator<Item = Vec<u8>> {
    datagrams.into_iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, datagram)| datagram)
}

fn sealed_audio(cipher: &AudioCipher, base: u16) -> Vec<Vec<u8>> {
    let mut sequence = base;
    let payloads = opus(base).map(|opus| {
        sequence += 1;
        cipher.seal(sequence - 1, &opus)
    });
    audio(base, &payloads)
}

fn sealed_video(cipher: &VideoCipher, number: u32, data: &[u8]) -> Vec<Vec<u8>> {
    let seal = |(i, datagram)| {
        let mut sealed = Vec::new();
        cipher.seal(u64::from(number) << 8 | i as u64, number, datagram, &mut sealed);
        sealed
    };
    video(number, number * 1500, data).into_iter().enumerate().map(seal).collect()
}

/// Streams 6 and 7.
fn media_sessions() -> Seeds {
    const PASS: u8 = 0;
    const VIDEO: u8 = 1;
    const AUDIO: u8 = 2;
    const SHARD: u8 = 5;
    const HEVC: u8 = 0;
    const AV1: u8 = 1 << 2;
    const H264: u8 = 2 << 2;
    const VIDEO_ENCRYPTED: u8 = 1;
    const AUDIO_ENCRYPTED: u8 = 2;
    const FIVE_MS: u8 = 16;
    let frame = |number: u32| match number {
        1 => video(1, 1500, &key_frame(1)),
        _ => video(number, number * 1500, &p_frame(number)),
    };
    let key = |flags| SessionKey::new([flags; 16]);
    let media = |flags| Script(vec![flags]);

    let mut reordered = [frame(1), frame(2)].concat();
    reordered.swap(1, 4);
    reordered.swap(6, 9);
    let encrypted = H264 | VIDEO_ENCRYPTED | AUDIO_ENCRYPTED | FIVE_MS;
    let cipher = VideoCipher::new(&key(encrypted));
    let sound = AudioCipher::new(&key(encrypted), 1);
    let hevc: Vec<u8> = p_frame(1).into_iter().chain([0, 0, 1, 0x40, 0, 0, 1, 0x26, 0x65]).skip(5).collect();
    named([
        ("whole.video", media(H264).each(VIDEO, [frame(1), frame(2), frame(3)].concat())),
        ("reordered.video", media(H264).each(VIDEO, reordered)),
        ("av1.video", media(AV1).each(VIDEO, frame(1))),
        ("hevc.video", media(HEVC).each(VIDEO, video(1, 1500, &hevc))),
        (
            "one-block.repaired",
            media(H264).each(VIDEO, without(frame(1), &[0, 3])).each(VIDEO, without(frame(2), &[1])),
        ),
        (
            "three-blocks.repaired",
            blocks(1, 1500, &key_frame(1), 3)
                .into_iter()
                .fold(media(H264), |script, block| script.each(VIDEO, without(block, &[1]))),
        ),
        (
            "lost-frame.request-idr",
            media(H264)
                .each(VIDEO, frame(1))
                .each(VIDEO, without(frame(2), &[0, 1, 2, 3]))
                .short(PASS, 100)
                .each(VIDEO, frame(3))
                .short(PASS, 255)
                .each(VIDEO, video(4, 6000, &key_frame(4))),
        ),
        (
            "after-a-gap.held-back",
            media(H264).each(VIDEO, frame(1)).each(VIDEO, frame(3)).short(PASS, 200).each(VIDEO, frame(4)),
        ),
        (
            "encrypted.video",
            media(encrypted)
                .each(VIDEO, sealed_video(&cipher, 1, &key_frame(1)))
                .each(AUDIO, sealed_audio(&sound, 8))
                .each(VIDEO, without(sealed_video(&cipher, 2, &p_frame(2)), &[0])),
        ),
        (
            "encrypted.audio",
            media(encrypted)
                .each(AUDIO, sealed_audio(&sound, 0))
                .each(AUDIO, without(sealed_audio(&sound, 4), &[0, 2])),
        ),
        ("clear.audio", media(H264).each(AUDIO, audio(4, &opus(4))).each(AUDIO, audio(8, &opus(8)))),
        (
            "given-up.audio",
            media(H264 | FIVE_MS)
                .each(AUDIO, audio(0, &opus(0)))
                .each(AUDIO, without(audio(4, &opus(4)), &[0, 1, 2]))
                .each(AUDIO, audio(8, &opus(8)))
                .short(PASS, 50)
                .each(AUDIO, audio(12, &opus(12))),
        ),
        // Two shards of one frame in the script's own form: the first is all of it.
        (
            "shards.video",
            media(H264)
                .step(SHARD)
                .step(4)
                .step(0)
                .step(0)
                .step(0)
                .step(1)
                .step(8)
                .step(SHARD)
                .step(8)
                .step(0)
                .step(0)
                .step(0)
                .step(2)
                .step(3),
        ),
    ])
}

fn host_message(cipher: &ControlCipher, sequence: u32, message: &HostMessage) -> Vec<u8> {
    cipher.seal(Side::Host, sequence, emitted(|out| message.emit(out)))
}

/// Streams 1.4, 2 and 8.
fn control_streams() -> Seeds {
    const PASS: u8 = 0;
    const DATAGRAM: u8 = 1;
    const VERIFY: u8 = 2 | 31 << 3;
    const MESSAGE: u8 = 3;
    /// On the connection's own channel; `on` for the others.
    const ACKNOWLEDGE: u8 = 4;
    const IDR: u8 = 5;
    const INPUT: u8 = 6;
    const PING: u8 = 7;
    const DISCONNECT: u8 = 0x0f;
    const CLOSE: u8 = 0xff;
    let on = |channel: u8| ACKNOWLEDGE | 1 << 3 | channel << 4;
    let control = |nonce| Script(vec![nonce]);
    let clear = |message: &HostMessage| emitted(|out| message.emit(out));
    let rumble = HostMessage::Rumble { controller: 0, low_frequency: 1, high_frequency: 2 };
    let end = HostMessage::Termination(Termination::INTENDED);
    let messages = host_messages().into_iter().map(|(_, message)| message).take(5);
    let every = messages.enumerate().fold(control(0).step(VERIFY), |script, (i, message)| {
        script.bytes(MESSAGE, clear(&message)).step(i as u8 + 1)
    });
    let cipher = ControlCipher::new(&SessionKey::new([7; 16]), ControlNonce::V2);
    let sealed = host_message(&cipher, 0, &rumble);
    let (head, tail) = sealed.split_at(20);
    let fragment = |number, offset, data| {
        Body::Fragment(Fragment { start: 1, count: 2, number, total: sealed.len() as u32, offset, data })
    };
    named([
        ("verified.connected", control(0).step(VERIFY).short(ACKNOWLEDGE, 2).short(PASS, 20)),
        ("every-kind.message", every),
        ("old-nonce.message", control(1).step(VERIFY).bytes(MESSAGE, clear(&rumble)).step(1)),
        (
            "reordered.message",
            control(0)
                .step(VERIFY)
                .bytes(MESSAGE, clear(&rumble))
                .step(2)
                .bytes(MESSAGE, clear(&rumble))
                .step(1),
        ),
        (
            "fragments.connected",
            control(0)
                .step(VERIFY)
                .bytes(DATAGRAM, datagram(1, 0, 2, fragment(1, 20, tail)))
                .bytes(DATAGRAM, datagram(1, 0, 1, fragment(0, 0, head))),
        ),
        (
            "unreliable.connected",
            control(0)
                .step(VERIFY)
                .bytes(DATAGRAM, datagram(1, 0, 0, Body::Unreliable { sequence: 1, data: &sealed }))
                .bytes(DATAGRAM, datagram(1, 0, 0, Body::Unsequenced { group: 1, data: &sealed })),
        ),
        (
            "input-and-idr.connected",
            control(0)
                .step(VERIFY)
                .step(INPUT)
                .step(IDR)
                .step(IDR)
                .short(on(1), 1)
                .short(PASS, 20)
                .short(on(0), 1)
                .short(on(0), 2)
                .short(on(3), 1)
                .step(PING),
        ),
        ("terminated.disconnected", control(0).step(VERIFY).bytes(MESSAGE, clear(&end)).step(1)),
        ("by-host.disconnected", control(0).step(VERIFY).step(DISCONNECT)),
        (
            "refused.disconnected",
            control(0).step(DISCONNECT).bytes(DATAGRAM, datagram(1, 0xff, 1, Body::Disconnect { data: 0 })),
        ),
        (
            "unreachable.disconnected",
            [255; 6].into_iter().fold(control(0), |script, t| script.short(PASS, t)),
        ),
        ("silent.disconnected", [255; 6].into_iter().fold(control(0).step(VERIFY), |s, t| s.short(PASS, t))),
        ("closed.disconnected", control(0).step(VERIFY).step(CLOSE).short(PASS, 255)),
        (
            "closed-and-acknowledged.disconnected",
            control(0)
                .step(VERIFY)
                .step(CLOSE)
                .short(on(0), 1)
                .short(on(0), 2)
                .short(on(0), 3)
                .short(ACKNOWLEDGE, 2)
                .short(ACKNOWLEDGE, 3),
        ),
    ])
}

/// Streams 1.4 and 8, session 18 to 21.
fn connections() -> Seeds {
    const PASS: u8 = 0;
    const CONTROL: u8 = 1;
    const VIDEO: u8 = 2;
    const AUDIO: u8 = 3;
    const VERIFY: u8 = 4;
    const ANSWER: u8 = 5;
    const CLOSE: u8 = 7;
    const REFUSED: u8 = 7 | 1 << 3;
    const BROKEN: u8 = 7 | 2 << 3;
    const IDR: u8 = 7 | 3 << 3;
    const REQUEST: u8 = 7 | 5 << 3;
    const TAKEN: u8 = 7 | 6 << 3;
    const ANSWER_PART: u8 = 7 | 7 << 3;
    const ANSWER_END: u8 = 7 | 8 << 3;
    const INPUT: u8 = 7 | 9 << 3;
    const ANSWERED: u8 = 7;
    let key = SessionKey::new([7; 16]);
    let answered = |count| Script(vec![count]);
    let connected = || answered(ANSWERED).step(VERIFY);
    let old = ControlCipher::new(&key, ControlNonce::Old);
    let say = |cipher: &ControlCipher, message: &HostMessage| {
        datagram(1, 0, 1, Body::Reliable(&host_message(cipher, 0, message)))
    };
    let rumble = HostMessage::Rumble { controller: 0, low_frequency: 1, high_frequency: 2 };
    let end = HostMessage::Termination(Termination::INTENDED);
    let key_frame = || video(1, 1500, &key_frame(1));
    let p_frame = |number: u32| video(number, number * 1500, &p_frame(number));
    let ok = "RTSP/1.0 200 OK\r\n\r\n";
    let encrypted = answered(1)
        .bytes(ANSWER, "RTSP/1.0 200 OK\r\n\r\na=x-ss-general.featureFlags:3\na=x-ss-general.encryptionSupported:7\na=x-ss-general.encryptionRequested:7\n")
        .bytes(ANSWER, "RTSP/1.0 200 OK\r\nSession: A\r\nTransport: server_port=48000\r\nX-SS-Ping-Payload: 0123456789ABCDEF\r\n\r\n")
        .bytes(ANSWER, "RTSP/1.0 200 OK\r\nTransport: server_port=47998\r\n\r\n")
        .bytes(ANSWER, "RTSP/1.0 200 OK\r\nTransport: server_port=47999\r\nX-SS-Connect-Data: 4242\r\n\r\n")
        .bytes(ANSWER, ok)
        .bytes(ANSWER, ok)
        .step(VERIFY);
    let (picture, sound) = (VideoCipher::new(&key), AudioCipher::new(&key, 1));
    let v2 = ControlCipher::new(&key, ControlNonce::V2);
    named([
        ("clear.video", connected().each(VIDEO, [key_frame(), p_frame(2)].concat()).each(VIDEO, p_frame(3))),
        ("clear.audio", connected().each(AUDIO, audio(0, &opus(0))).each(AUDIO, audio(4, &opus(4)))),
        (
            "losses.video",
            connected()
                .each(VIDEO, without(key_frame(), &[1, 2]))
                .each(AUDIO, without(audio(0, &opus(0)), &[1]))
                .each(VIDEO, without(p_frame(2), &[0, 1, 2, 3]))
                .short(PASS, 10)
                .each(VIDEO, p_frame(3))
                .short(PASS, 30)
                .each(VIDEO, video(4, 6000, &self::key_frame(4))),
        ),
        (
            "encrypted.video",
            Script(encrypted.0.clone()).each(VIDEO, sealed_video(&picture, 1, &self::key_frame(1))),
        ),
        ("encrypted.audio", Script(encrypted.0.clone()).each(AUDIO, sealed_audio(&sound, 0))),
        ("encrypted.host", encrypted.bytes(CONTROL, say(&v2, &rumble))),
        ("rumble.host", connected().bytes(CONTROL, say(&old, &rumble)).step(IDR).step(INPUT).short(PASS, 10)),
        // Media in front of the control stream.
        (
            "early-media.video",
            answered(ANSWERED)
                .each(VIDEO, key_frame())
                .each(AUDIO, audio(0, &opus(0)))
                .step(VERIFY)
                .short(PASS, 1),
        ),
        ("no-answer.ended", [255; 12].into_iter().fold(answered(0).step(REQUEST), |s, t| s.short(PASS, t))),
        (
            "refused.ended",
            [0x20; 24].into_iter().fold(answered(0), |s, t| s.step(REQUEST).step(REFUSED).short(PASS, t)),
        ),
        ("broken.ended", answered(2).step(REQUEST).step(TAKEN).step(BROKEN)),
        (
            "broken-off.ended",
            answered(3).step(REQUEST).step(TAKEN).bytes(ANSWER_PART, "RTSP/1.0 2").step(ANSWER_END),
        ),
        (
            "in-parts",
            answered(0)
                .step(REQUEST)
                .step(TAKEN)
                .bytes(ANSWER_PART, &ok[..9])
                .bytes(ANSWER_PART, &ok[9..])
                .step(ANSWER_END),
        ),
        ("empty-answer.ended", answered(0).bytes(ANSWER, "")),
        ("not-found.ended", answered(4).bytes(ANSWER, "RTSP/1.0 404 NOT FOUND\r\n\r\n")),
        (
            "no-video.ended",
            [200; 5].into_iter().fold(connected(), |script, time| script.short(PASS, time).step(VERIFY)),
        ),
        ("terminated-early.ended", connected().bytes(CONTROL, say(&old, &end))),
        ("terminated.ended", connected().each(VIDEO, key_frame()).bytes(CONTROL, say(&old, &end))),
        ("closed.ended", connected().each(VIDEO, key_frame()).step(CLOSE).short(PASS, 255)),
    ])
}
