//! Recordings of real sessions come out as the host sent them and as the reference client got them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panic")]

#[path = "recordings/folder.rs"]
mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moonlight_mux::{AudioFrame, Recording, VideoCodec, VideoFrame};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::folder::recording;

/// A line of `frames.jsonl`: a frame as the host sent it.
#[derive(Deserialize)]
struct SentFrame {
    n: u64,
    #[serde(rename = "frameType")]
    frame_type: u8,
    host_lat: u64,
    trimmed_len: usize,
    trimmed_sha256: String,
}

/// A line of `du.jsonl`: a frame as the reference client handed it to its decoder, with the padding of its last shard.
#[derive(Deserialize)]
struct DecodeUnit {
    n: u64,
    #[serde(rename = "type")]
    kind: u8,
    len: usize,
    sha256: String,
    rtp: u32,
}

/// A line of `audio.jsonl`: an Opus packet as the reference client handed it to its decoder; length 0 is a loss.
#[derive(Deserialize)]
struct OpusPacket {
    len: usize,
    sha256: Option<String>,
}

/// Whether everything that the host sent is in the recording.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    /// All of it, and `frames.jsonl` tells of every frame.
    None,
    /// All frames can be repaired; of those behind the client's last one, `frames.jsonl` tells only of some.
    Repaired,
    /// As before, and some frames are lost for good, so a new key frame is waited for.
    Frames,
}

fn check(test: &str, name: &str, codec: VideoCodec, loss: Loss) {
    let Some(folder) = recording(test, name) else { return };
    let recording = Recording::open(&folder).unwrap();
    assert_eq!(recording.info().video.codec, codec);
    let frames: Vec<&VideoFrame> = recording.frames().collect();
    let sent: Vec<SentFrame> = lines(&folder, "frames.jsonl").unwrap_or_default();
    let units: Vec<DecodeUnit> = lines(&folder, "du.jsonl").unwrap();

    check_order(&frames);
    check_against_the_host(&frames, &sent, &units, loss);
    check_against_the_client(&frames, &units);
    let audio: Vec<&AudioFrame> = recording.audio().collect();
    let packets = lines(&folder, "audio.jsonl").unwrap();
    check_audio(&audio, &packets, recording.info().audio.as_ref().unwrap().packet_duration);
}

fn check_order(frames: &[&VideoFrame]) {
    assert!(frames[0].keyframe, "the first frame is a keyframe");
    for pair in frames.windows(2) {
        let (before, after) = (pair[0].number.0, pair[1].number.0);
        assert!(after == before + 1 || (after > before && pair[1].keyframe), "{before}, then {after}");
        assert!(pair[0].timestamp < pair[1].timestamp, "frame {after}");
    }
}

/// Every frame is as the host sent it, and only those are missing whose references were lost.
fn check_against_the_host(frames: &[&VideoFrame], sent: &[SentFrame], units: &[DecodeUnit], loss: Loss) {
    let by_number: BTreeMap<u64, &SentFrame> = sent.iter().map(|frame| (frame.n, frame)).collect();
    let known: BTreeSet<u64> = by_number.keys().copied().chain(units.iter().map(|unit| unit.n)).collect();
    // A frame that was repaired when the reference client had stopped is in neither list.
    let told = match loss {
        Loss::None => u64::MAX,
        Loss::Repaired | Loss::Frames => units.last().unwrap().n,
    };
    let mut compared = 0;
    for frame in frames {
        let n = frame.number.0;
        assert!(
            n > told || known.contains(&n),
            "frame {n} is more than the host or the reference client know of"
        );
        let Some(sent) = by_number.get(&n) else { continue };
        assert_eq!(frame.data.len(), sent.trimmed_len, "length of frame {n}");
        assert_eq!(sha256(&frame.data), sent.trimmed_sha256, "frame {n}");
        assert_eq!(frame.keyframe, sent.frame_type == 2, "keyframe {n}");
        let latency = (sent.host_lat > 0).then(|| Duration::from_micros(sent.host_lat * 100));
        assert_eq!(frame.host_latency, latency, "host latency of frame {n}");
        compared += 1;
    }

    let given: BTreeSet<u64> = frames.iter().map(|frame| frame.number.0).collect();
    match loss {
        Loss::None | Loss::Repaired => {
            assert!(known.is_subset(&given));
            assert!(frames.windows(2).all(|pair| pair[0].number.0 + 1 == pair[1].number.0));
        }
        Loss::Frames => {
            assert!(
                sent.iter().any(|frame| !given.contains(&frame.n)),
                "it is as lossy as it is meant to be"
            );
            for missing in known.difference(&given) {
                let last = given.range(..missing).next_back().unwrap();
                let next_key = frames.iter().find(|frame| frame.number.0 > *missing);
                assert!(!known.contains(&(last + 1)), "frame {missing} is behind a gap");
                assert!(next_key.is_none_or(|frame| frame.keyframe));
            }
        }
    }
    assert!(sent.is_empty() || compared > sent.len() / 2, "{compared} compared");
}

/// Every frame that the reference client got is there, with its bytes and its timestamp.
fn check_against_the_client(frames: &[&VideoFrame], units: &[DecodeUnit]) {
    let by_number: BTreeMap<u64, &VideoFrame> = frames.iter().map(|frame| (frame.number.0, *frame)).collect();
    let host_stamps = units.iter().any(|unit| unit.rtp != 0);
    for unit in units {
        let n = unit.n;
        let frame = by_number.get(&n).unwrap_or_else(|| panic!("frame {n} is missing"));
        assert_eq!(frame.keyframe, unit.kind == 1, "keyframe {n}");
        if host_stamps {
            assert_eq!(frame.timestamp.rtp(), unit.rtp, "timestamp of frame {n}");
        }
        // In front of an IDR slice it drops an SEI.
        if !frame.keyframe {
            let mut padded = frame.data.to_vec();
            assert!(padded.len() <= unit.len);
            padded.resize(unit.len, 0);
            assert_eq!(sha256(&padded), unit.sha256, "frame {n} with its padding");
        }
    }
}

/// Somewhere in what we got, in step with the packets' numbers, stands all that the reference client got.
fn check_audio(audio: &[&AudioFrame], packets: &[OpusPacket], packet_duration: Duration) {
    let step = packet_duration.as_millis() as u64 * 48;
    let ours: BTreeMap<u64, String> = audio
        .iter()
        .map(|frame| {
            assert_eq!(frame.timestamp.0 % step, 0);
            (frame.timestamp.0 / step, sha256(&frame.data))
        })
        .collect();
    assert_eq!(ours.len(), audio.len(), "each packet once");
    assert!(audio.is_sorted_by_key(|frame| frame.timestamp));
    let in_step_from = |first: u64| {
        (first..).zip(packets).all(|(number, packet)| {
            packet.len == 0 || ours.get(&number).map(String::as_str) == packet.sha256.as_deref()
        })
    };
    let first = ours.keys().copied().find(|&first| in_step_from(first));
    assert!(first.is_some(), "the reference client got something that is not here");
    assert!(packets.iter().filter(|packet| packet.len > 0).count() <= ours.len());
}

fn lines<T: DeserializeOwned>(folder: &Path, file: &str) -> Option<Vec<T>> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn sha256(data: &[u8]) -> String {
    digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! recordings {
    ($($test:ident: $folder:literal, $codec:ident, $loss:ident;)*) => {
        $(#[test]
        fn $test() {
            check(stringify!($test), $folder, VideoCodec::$codec, Loss::$loss);
        })*
    };
}

recordings! {
    v0_23_av1: "v0.23-av1", Av1, None;
    v0_23_clear: "v0.23-clear", H264, None;
    v0_23_default: "v0.23-default", H264, None;
    v0_23_hevc_all_encrypted: "v0.23-hevc-all-encrypted", Hevc, None;
    v0_23_host_closes_app: "v0.23-host-closes-app", H264, None;
    v0_23_idr_request: "v0.23-idr-request", H264, None;
    v0_23_loss5_clear: "v0.23-loss5-clear", H264, Frames;
    v0_23_multi_block_loss5_encrypted: "v0.23-multi-block-loss5-encrypted", H264, Repaired;
    v0_23_surround51: "v0.23-surround51", H264, None;
    v2025_all_encrypted: "v2025-all-encrypted", H264, None;
    v2025_loss5_encrypted: "v2025-loss5-encrypted", H264, Frames;
    wolf_cancelled: "wolf-cancelled", H264, None;
    wolf_default: "wolf-default", H264, None;
    wolf_hevc: "wolf-hevc", Hevc, None;
    wolf_loss5: "wolf-loss5", H264, None;
    wolf_multi_block_loss3: "wolf-multi-block-loss3", H264, None;
    wolf_no_encryption: "wolf-no-encryption", H264, None;
    wolf_pause_resume_first: "wolf-pause-resume/s1", H264, None;
    wolf_pause_resume_second: "wolf-pause-resume/s2", H264, None;
    wolf_ps_pad: "wolf-ps-pad", H264, None;
}
