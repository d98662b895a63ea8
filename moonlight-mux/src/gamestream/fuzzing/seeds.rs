//! The seeds that are made from the protocol document's vectors and from what tests let a host say. They stand in
//! `fuzz/seeds`; `WRITE_SEEDS=1` writes them there.

mod scripts;

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use super::control::datagram;
use crate::gamestream::crypto::RtspCipher;
use crate::gamestream::crypto::tests::{SEALED, key};
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::pairing::tests::document;
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
        ("media_session", scripts::media_sessions()),
        ("control_stream", scripts::control_streams()),
        ("connection", scripts::connections()),
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
