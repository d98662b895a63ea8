//! What the fuzz targets call of the direct path. No public interface.

use bytes::Bytes;

use super::history::PacketHistory;
use super::keys::ConnectionKeys;
use super::rtcp;
use super::rtp::{ExtendedSequence, Header};
use super::sent::Sent;
use super::srtp::{MasterKey, Profile, RtcpOpener, RtcpSealer, RtpSealer};
use crate::gamestream::fuzzing::Forms;
use crate::media::{FrameNumber, VideoFrame, VideoTimestamp};
use crate::task;
use crate::webrtc::fuzzing::assert_payloads;
use crate::webrtc::health::Report;
use crate::webrtc::packetiser::Packetiser;
use crate::webrtc::resend::{RESEND_PACKETS, Resends};

/// What comes from a viewer as RTCP: as it is, a datagram by which a connection's key is checked (what one key takes under one
/// profile, no other does); and sealed as the viewer would, reports. Few are read of one datagram, and none a second time.
pub fn srtcp(bytes: &[u8]) -> Forms {
    let mut forms = opened(bytes);
    if bytes.len() >= RTCP_HEADER {
        forms.extend(read(bytes));
    }
    forms
}

const RTCP_HEADER: usize = 8;

fn read(packet: &[u8]) -> Forms {
    let keys = ConnectionKeys {
        profile: Profile::AeadAes128Gcm,
        ours: MasterKey { key: [0; 16], salt: [0; 14] },
        viewers: master_key(),
    };
    let (_, mut receiver) = rtcp::of_connection(&keys);
    let (mut datagram, now) = (packet.to_vec(), task::now());
    RtcpSealer::new(keys.profile, &keys.viewers).seal(&mut datagram, 1);
    let reports = receiver.read(now, &datagram);
    assert!(reports.len() <= 16 && receiver.read(now, &datagram).is_empty());
    let form = |(_, report)| match report {
        Report::Reception(_) => "reception",
        Report::Nack(lost) => {
            assert!(lost.len() <= RESEND_PACKETS.into());
            "nack"
        }
        Report::KeyframeRequest => "keyframe",
    };
    reports.into_iter().map(form).collect()
}

fn opened(datagram: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let keys = [master_key(), MasterKey { key: [0; 16], salt: [0; 14] }];
    let opens = |key| {
        Profile::ALL
            .into_iter()
            .filter(move |&profile| RtcpOpener::new(profile, key).open(datagram).is_some())
    };
    let opened: Vec<_> = keys.iter().flat_map(|key| opens(key).map(move |profile| (key, profile))).collect();
    assert!(opened.len() <= 1);
    if let [(key, profile)] = opened[..]
        && *key == master_key()
    {
        forms.insert(match profile {
            Profile::AeadAes128Gcm => "sealed",
            Profile::Aes128CmHmacSha1_80 => "signed",
        });
    }
    forms
}

fn master_key() -> MasterKey {
    MasterKey { key: *b"moonlight-mux!!!", salt: *b"fuzz targets\0\0" }
}

/// What a viewer is sent and asks for again, three bytes each: a kind and two arguments. What is sent again is what was sent
/// under the number, and no more than was sent.
pub fn nack(script: &[u8]) -> Forms {
    let mut forms = Forms::new();
    let mut history = PacketHistory::new(Packetiser::H264);
    let (mut sent, mut resends) = (Sent::new(FIRST), Resends::default());
    let sealers = Profile::ALL.map(|profile| (profile, RtpSealer::new(profile, &master_key())));
    let mut retransmissions = ExtendedSequence::initial(9);
    let (mut newest, mut payloads, mut again, mut out) = (1000u64, Vec::<Bytes>::new(), 0, Vec::new());
    for step in script.chunks_exact(3) {
        let (kind, a, b) = (step[0] % 4, step[1], step[2]);
        if kind < 3 {
            // The next frame; one that the viewer skips; one of before, which another viewer may have had.
            let frame = if kind == 2 { newest - u64::from(a) } else { newest + 1 };
            newest = newest.max(frame);
            let frame = history.packets_of(&small_packets(frame, b));
            assert_payloads(&frame.payloads);
            if kind != 1 {
                let first = sent.push(frame.first, frame.payloads.len(), frame.payloads.len());
                assert_eq!(first, FIRST.plus(payloads.len() as u64));
                payloads.extend(frame.payloads.iter().map(|payload| payload.bytes.clone()));
                resends.earn(frame.payloads.len());
            }
            continue;
        }
        let number = sent.last().wrapping_sub(u16::from_be_bytes([a, b]));
        let Some((index, sequence)) = sent.index_of(number) else {
            forms.insert("unknown");
            continue;
        };
        assert_eq!(sequence.number(), number);
        let Some((frame, at)) = history.get(index) else {
            forms.insert("gone");
            continue;
        };
        let payload = &frame.payloads[at].bytes;
        assert_eq!(Some(payload), payloads.get((sequence.0 - FIRST.0) as usize));
        if resends.take(1) == 0 {
            forms.insert("refused");
            continue;
        }
        forms.insert("again");
        again += 1;
        assert!(again <= payloads.len());
        let header = Header {
            marker: frame.payloads[at].marker,
            payload_type: 103,
            sequence: retransmissions.advance(1),
            timestamp: frame.timestamp,
            ssrc: 8,
            playout_delay: (a & 1 == 1).then_some(b),
        };
        for (profile, sealer) in &sealers {
            out.clear();
            sealer.write_again(&mut out, &header, sequence, payload);
            assert_eq!(out.len(), header.len() + 2 + payload.len() + profile.tag_len());
        }
    }
    forms
}

const FIRST: ExtendedSequence = ExtendedSequence(0x7f00);

/// A frame of so many packets of three bytes.
fn small_packets(number: u64, packets: u8) -> VideoFrame {
    let slice = |i: u8| [0, 0, 1, 0x61, number as u8, i | 1];
    VideoFrame {
        number: FrameNumber(number),
        timestamp: VideoTimestamp(number * 1500),
        keyframe: false,
        host_latency: None,
        data: (0..packets).flat_map(slice).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rtc::srtp::context::Context;
    use rtc::srtp::protection_profile::ProtectionProfile;

    use super::*;
    use crate::webrtc::fuzzing::tests::assert_seed;

    /// Reports as the crate seals them, a short and a long one, under either profile; and under another key.
    #[test]
    fn the_seeds_of_srtcp_are_what_the_crate_seals() {
        let provider = rtc::crypto::default_provider().unwrap();
        let context = |key: &MasterKey, profile: ProtectionProfile| {
            let salt = &key.salt[..profile.salt_len()];
            Context::new(&key.key, salt, profile, None, None, provider.crypto()).unwrap()
        };
        let gcm = ProtectionProfile::AeadAes128Gcm;
        let mut ours = context(&master_key(), gcm);
        let mut strange = context(&MasterKey { key: [7; 16], salt: [7; 14] }, gcm);
        let mut signed = context(&master_key(), ProtectionProfile::Aes128CmHmacSha1_80);
        let empty = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let full = [&[0x81, 200, 0, 12, 0, 0, 0, 7][..], &[5; 44]].concat();
        assert_seed("srtcp", "empty-receiver-report.sealed", &ours.encrypt_rtcp(&empty).unwrap());
        assert_seed("srtcp", "sender-report.sealed", &ours.encrypt_rtcp(&full).unwrap());
        assert_seed("srtcp", "empty-receiver-report.signed", &signed.encrypt_rtcp(&empty).unwrap());
        assert_seed("srtcp", "sender-report.signed", &signed.encrypt_rtcp(&full).unwrap());
        assert_seed("srtcp", "another-key", &strange.encrypt_rtcp(&full).unwrap());
        assert_seed("srtcp", "clear", &full);
    }

    /// In clear, as a browser puts them together (RFC 3550, 6.4.2; RFC 4585, 6.2.1 and 6.3.1; RFC 5104, 4.3.1).
    #[test]
    fn the_seeds_of_srtcp_in_clear_are_a_viewers_reports() {
        let block = [&[0, 0, 0, 7][..], &[3; 20]].concat();
        let report = [&[0x81, 201, 0, 7, 0, 0, 0, 9][..], &block].concat();
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 7, 0xff, 0xfe, 0, 5];
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 7];
        let fir = [0x84, 206, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 0];
        assert_seed("srtcp", "receiver-report.reception", &report);
        assert_seed("srtcp", "with-a-nack.nack", &[&report[..], &nack].concat());
        assert_seed("srtcp", "with-a-pli.keyframe", &[&report[..], &pli].concat());
        assert_seed("srtcp", "fir.keyframe", &fir);
    }

    #[test]
    fn the_seeds_of_nack_are_scripts_with_each_outcome() {
        const NEXT: u8 = 0;
        const SKIPPED: u8 = 1;
        const BEFORE: u8 = 2;
        const NACK: u8 = 3;
        for (name, script) in [
            ("lost.again", vec![[NEXT, 0, 5], [NACK, 0, 2], [NEXT, 0, 1], [NACK, 0, 1]]),
            ("behind-a-skipped-frame.again", vec![[NEXT, 0, 5], [SKIPPED, 0, 9], [NEXT, 0, 2], [NACK, 0, 3]]),
            // Numbers from 0x7f00 on wrap after 33,024 packets.
            ("over-a-wrap.again", [vec![[NEXT, 0, 255]; 131], vec![[NACK, 0, 0], [NACK, 2, 0]]].concat()),
            ("never-sent.unknown", vec![[NEXT, 0, 5], [NACK, 0, 5], [NACK, 0xff, 0xff]]),
            ("too-old.unknown", [vec![[NEXT, 0, 255]; 6], vec![[NACK, 4, 0]]].concat()),
            (
                "others-went-on.gone",
                [vec![[NEXT, 0, 5]], vec![[SKIPPED, 0, 255]; 5], vec![[NACK, 0, 0]]].concat(),
            ),
            ("flood.refused", vec![[NEXT, 0, 1], [NACK, 0, 0], [NACK, 0, 0]]),
            (
                "far-behind.gone",
                [vec![[NEXT, 0, 255]; 6], vec![[BEFORE, 5, 3], [NACK, 0, 0], [BEFORE, 0, 255], [NACK, 0, 0]]]
                    .concat(),
            ),
        ] {
            assert_seed("nack", name, &script.concat());
        }
    }
}
