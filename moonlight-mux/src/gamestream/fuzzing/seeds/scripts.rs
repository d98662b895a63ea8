//! The seeds that are scripts: what the tests' host sends, step by step as the targets read it.

use super::{Seeds, emitted, host_messages, named};
use crate::gamestream::crypto::{
    AudioCipher, ControlCipher, ControlNonce, RtspCipher, SessionKey, Side, VideoCipher,
};
use crate::gamestream::fuzzing::control::datagram;
use crate::gamestream::test_stream::{audio, blocks, key_frame, opus, p_frame, video};
use crate::gamestream::wire::control::{HostMessage, Termination};
use crate::gamestream::wire::enet::{Body, Fragment};
use crate::gamestream::wire::rtsp::Sender;

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
pub(super) fn media_sessions() -> Seeds {
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
            "two-blocks.fec-status",
            blocks(1, 1500, &key_frame(1), 2)
                .into_iter()
                .fold(media(H264), |script, block| script.each(VIDEO, without(block, &[0]))),
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
pub(super) fn control_streams() -> Seeds {
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
pub(super) fn connections() -> Seeds {
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
    const SEALED: u8 = 8;
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
    let sealed = RtspCipher::new(&key).seal(Sender::Host, 0, ok.into());
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
        ("sealed-dialogue.video", answered(ANSWERED | SEALED).step(VERIFY).each(VIDEO, key_frame())),
        (
            "sealed-answer-in-parts",
            answered(SEALED)
                .step(REQUEST)
                .step(TAKEN)
                .bytes(ANSWER_PART, &sealed[..30])
                .bytes(ANSWER_PART, &sealed[30..])
                .step(ANSWER_END),
        ),
        (
            "clear-answer-to-a-sealed-request.ended",
            answered(SEALED).step(REQUEST).step(TAKEN).bytes(ANSWER_PART, ok).step(ANSWER_END),
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
