//! Pictures and sound, against what the host sent and what the reference client got.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{Difference, VideoProperty, lines};
use crate::media::{AudioFrame, AudioTimestamp, FrameNumber, VideoFrame};
use crate::recording::RecordingError;
use crate::recording::replay::{Replayed, sha256};

/// The reference files of a folder that tell of media, each of them empty where there is none.
#[derive(Debug)]
pub(super) struct Reference {
    sent: Vec<SentFrame>,
    units: Vec<DecodeUnit>,
    packets: Vec<OpusPacket>,
}

/// A line of `frames.jsonl`: a frame as the host sent it.
#[derive(Debug, Deserialize)]
struct SentFrame {
    n: u64,
    #[serde(rename = "frameType")]
    frame_type: u8,
    /// Tenths of a millisecond; 0 is unknown.
    host_lat: u64,
    trimmed_len: usize,
    trimmed_sha256: String,
}

/// A line of `du.jsonl`: a frame as the reference client handed it to its decoder, with the padding of its last shard.
#[derive(Debug, Deserialize)]
struct DecodeUnit {
    n: u64,
    /// 1 is an IDR frame.
    #[serde(rename = "type")]
    kind: u8,
    len: usize,
    sha256: String,
    /// 0 throughout for hosts that do not stamp.
    rtp: u32,
}

/// A line of `audio.jsonl`: an Opus packet as the reference client handed it to its decoder; length 0 is a loss.
#[derive(Debug, Deserialize)]
struct OpusPacket {
    len: usize,
    sha256: Option<String>,
}

impl Reference {
    pub(super) fn read(folder: &Path) -> Result<Self, RecordingError> {
        Ok(Self {
            sent: lines(folder, "frames.jsonl")?.unwrap_or_default(),
            units: lines(folder, "du.jsonl")?.unwrap_or_default(),
            packets: lines(folder, "audio.jsonl")?.unwrap_or_default(),
        })
    }

    /// Returns the pictures that no reference file tells of.
    pub(super) fn compare(
        &self,
        replayed: &[Replayed],
        packet_duration: Duration,
        differences: &mut BTreeSet<Difference>,
    ) -> Vec<FrameNumber> {
        let mut audio: Vec<&AudioFrame> = Vec::new();
        let mut pictures = Pictures::default();
        for replayed in replayed {
            match replayed {
                Replayed::Video { frame, delivered, .. } => pictures.add(frame, *delivered),
                Replayed::Audio(frame) => audio.push(frame),
            }
        }
        pictures.check_order(differences);
        self.compare_sent(&pictures, differences);
        self.compare_units(&pictures, differences);
        self.compare_audio(&audio, packet_duration, differences);

        let known = self.known();
        pictures.whole.keys().filter(|n| !known.contains(n)).map(|&n| FrameNumber(n)).collect()
    }

    /// The frames that either list tells of.
    fn known(&self) -> BTreeSet<u64> {
        self.sent.iter().map(|sent| sent.n).chain(self.units.iter().map(|unit| unit.n)).collect()
    }

    /// Every frame is there as the host sent it, and only those are held back whose references were lost.
    fn compare_sent(&self, pictures: &Pictures<'_>, differences: &mut BTreeSet<Difference>) {
        for sent in &self.sent {
            let number = FrameNumber(sent.n);
            let Some(frame) = pictures.whole.get(&sent.n) else {
                differences.insert(Difference::Missing(number));
                continue;
            };
            if !pictures.delivered.contains(&sent.n) && !pictures.is_behind_a_loss(sent.n) {
                differences.insert(Difference::HeldBack(number));
            }
            let latency = (sent.host_lat > 0).then(|| Duration::from_micros(sent.host_lat * 100));
            let bytes = frame.data.len() == sent.trimmed_len && sha256(&frame.data) == sent.trimmed_sha256;
            let checks = [
                (VideoProperty::Bytes, bytes),
                (VideoProperty::Keyframe, frame.keyframe == (sent.frame_type == 2)),
                (VideoProperty::HostLatency, frame.host_latency == latency),
            ];
            differences.extend(failed(number, checks));
        }
    }

    /// Every frame that the reference client got is handed on, with its bytes and its timestamp.
    fn compare_units(&self, pictures: &Pictures<'_>, differences: &mut BTreeSet<Difference>) {
        let stamped = self.units.iter().any(|unit| unit.rtp != 0);
        for unit in &self.units {
            let number = FrameNumber(unit.n);
            let Some(frame) = pictures.whole.get(&unit.n) else {
                differences.insert(Difference::Missing(number));
                continue;
            };
            if !pictures.delivered.contains(&unit.n) {
                differences.insert(Difference::HeldBack(number));
            }
            // In front of an IDR slice the reference client drops an SEI.
            let padded = frame.keyframe
                || frame.data.len() <= unit.len && {
                    let mut padded = frame.data.to_vec();
                    padded.resize(unit.len, 0);
                    sha256(&padded) == unit.sha256
                };
            let checks = [
                (VideoProperty::PaddedBytes, padded),
                (VideoProperty::Keyframe, frame.keyframe == (unit.kind == 1)),
                (VideoProperty::Timestamp, !stamped || frame.timestamp.rtp() == unit.rtp),
            ];
            differences.extend(failed(number, checks));
        }
    }

    /// Somewhere in the sound, in step with the packets' numbers, stands all that the reference client got.
    fn compare_audio(
        &self,
        audio: &[&AudioFrame],
        packet_duration: Duration,
        differences: &mut BTreeSet<Difference>,
    ) {
        let step = (packet_duration.as_nanos() * u128::from(AudioTimestamp::HZ) / 1_000_000_000) as u64;
        let mut before = None;
        let mut ours = BTreeMap::new();
        for frame in audio {
            let at = frame.timestamp;
            if !at.0.is_multiple_of(step) || before.is_some_and(|before| before >= at) {
                differences.insert(Difference::AudioOutOfOrder(at));
            }
            before = Some(at);
            ours.insert(at.0 / step, sha256(&frame.data));
        }
        // The first packet that is not there, if the client's first one is ours of this number.
        let first_missing = |first: u64| {
            (first..).zip(&self.packets).position(|(number, packet)| {
                packet.len > 0 && ours.get(&number).map(String::as_str) != packet.sha256.as_deref()
            })
        };
        let mut furthest = (!self.packets.is_empty() && ours.is_empty()).then_some(0);
        for &first in ours.keys() {
            match first_missing(first) {
                None => return,
                missing => furthest = furthest.max(missing),
            }
        }
        differences.extend(furthest.map(|line| Difference::Audio { line }));
    }
}

/// The pictures of a replay.
#[derive(Default)]
struct Pictures<'a> {
    whole: BTreeMap<u64, &'a VideoFrame>,
    delivered: BTreeSet<u64>,
    in_order: Vec<&'a VideoFrame>,
}

impl<'a> Pictures<'a> {
    fn add(&mut self, frame: &'a VideoFrame, delivered: bool) {
        self.whole.insert(frame.number.0, frame);
        if delivered {
            self.delivered.insert(frame.number.0);
            self.in_order.push(frame);
        }
    }

    /// Whether a decoder can follow what is handed on.
    fn check_order(&self, differences: &mut BTreeSet<Difference>) {
        let Some(first) = self.in_order.first() else {
            differences.insert(Difference::NoVideo);
            return;
        };
        if !first.keyframe {
            differences.insert(Difference::NoKeyframe(first.number));
        }
        for pair in self.in_order.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            if after.number <= before.number || after.timestamp <= before.timestamp {
                differences.insert(Difference::OutOfOrder(after.number));
            } else if after.number.0 > before.number.0 + 1 && !after.keyframe {
                differences.insert(Difference::NoKeyframe(after.number));
            }
        }
    }

    /// Whether a frame could not be put together between the last that was handed on and this one.
    fn is_behind_a_loss(&self, number: u64) -> bool {
        let next = self.delivered.range(..number).next_back().map_or(0, |last| last + 1);
        (next..number).any(|n| !self.whole.contains_key(&n))
    }
}

fn failed<const N: usize>(
    frame: FrameNumber,
    checks: [(VideoProperty, bool); N],
) -> impl Iterator<Item = Difference> {
    checks
        .into_iter()
        .filter(|(_, holds)| !holds)
        .map(move |(property, _)| Difference::Video { frame, property })
}
