//! When each frame of a recording that is played over and over is due, and how it is numbered and stamped.

use std::time::{Duration, Instant};

use super::{Item, Media};
use crate::media::{AudioFrame, AudioTimestamp, FrameNumber, VideoFrame, VideoTimestamp};

/// A position in a recording that is being played. Pure.
///
/// What is played without a break is a stretch; a new one begins when the recording starts over and when a keyframe
/// is gone back to. All items of a stretch are moved alike, so sound and picture stay together, and the outgoing
/// timestamps follow the clock over all stretches.
#[derive(Debug)]
pub(super) struct Playback<'a> {
    items: &'a [Item],
    /// How long one round takes.
    length: Duration,
    /// The distance of frames, and of audio packets, at the least, where two stretches meet.
    spacing: Duration,
    /// What is played next.
    position: usize,
    started: Instant,
    /// When the recording's beginning would have been played for this stretch to be where it is.
    origin: Instant,
    /// By how much this stretch's timestamps are later than the recorded ones.
    shift: Duration,
    /// By how much its frame numbers are higher; wraps.
    number_shift: u64,
    last_video: Option<(FrameNumber, VideoTimestamp)>,
    last_audio: Option<AudioTimestamp>,
}

impl<'a> Playback<'a> {
    /// Starts at the first of `items`, which hold at least one frame, in the order of their times.
    pub(super) fn new(items: &'a [Item], spacing: Duration, now: Instant) -> Self {
        Self {
            items,
            length: items.last().map_or(Duration::ZERO, |item| item.at) + spacing,
            spacing,
            position: 0,
            started: now,
            origin: now,
            shift: Duration::ZERO,
            number_shift: 0,
            last_video: None,
            last_audio: None,
        }
    }

    /// When [`next`](Self::next) is due.
    pub(super) fn due(&self) -> Instant {
        self.origin + self.items[self.position].at
    }

    /// Plays what is due.
    pub(super) fn next(&mut self) -> Media {
        let media = match &self.items[self.position].media {
            Media::Video(frame) => {
                let number = FrameNumber(frame.number.0.wrapping_add(self.number_shift));
                let timestamp = VideoTimestamp(frame.timestamp.0 + ticks(self.shift, VideoTimestamp::HZ));
                self.last_video = Some((number, timestamp));
                Media::Video(VideoFrame { number, timestamp, ..frame.clone() })
            }
            Media::Audio(frame) => {
                let timestamp = AudioTimestamp(frame.timestamp.0 + ticks(self.shift, AudioTimestamp::HZ));
                self.last_audio = Some(timestamp);
                Media::Audio(AudioFrame { timestamp, ..frame.clone() })
            }
        };
        self.position += 1;
        if self.position == self.items.len() {
            self.begin_stretch(0, self.origin + self.length);
        }
        media
    }

    /// Goes back to the nearest keyframe. If that is what is due now, or there is none, nothing changes.
    pub(super) fn back_to_keyframe(&mut self, now: Instant) {
        let upto = if self.due() <= now { self.position + 1 } else { self.position };
        let keyframe = self.items[..upto].iter().rposition(Item::is_keyframe);
        if let Some(at) = keyframe.filter(|&at| at < self.position) {
            self.begin_stretch(at, now - self.items[at].at);
        }
    }

    fn begin_stretch(&mut self, position: usize, origin: Instant) {
        self.position = position;
        self.origin = origin;
        self.shift = origin.saturating_duration_since(self.started);
        for item in &self.items[position..] {
            if let (Media::Video(frame), Some((number, timestamp))) = (&item.media, self.last_video) {
                self.number_shift = (number.0 + 1).wrapping_sub(frame.number.0);
                let least = time(timestamp.0, VideoTimestamp::HZ) + self.spacing;
                self.shift =
                    self.shift.max(least.saturating_sub(time(frame.timestamp.0, VideoTimestamp::HZ)));
                break;
            }
        }
        for item in &self.items[position..] {
            if let (Media::Audio(frame), Some(timestamp)) = (&item.media, self.last_audio) {
                let least = time(timestamp.0, AudioTimestamp::HZ) + self.spacing;
                self.shift =
                    self.shift.max(least.saturating_sub(time(frame.timestamp.0, AudioTimestamp::HZ)));
                break;
            }
        }
    }
}

fn ticks(time: Duration, hz: u64) -> u64 {
    (time.as_nanos() * u128::from(hz) / NANOS) as u64
}

/// Rounded up, so that `ticks(time(n))` is `n`.
fn time(ticks: u64, hz: u64) -> Duration {
    Duration::from_nanos((u128::from(ticks) * NANOS).div_ceil(hz.into()) as u64)
}

const NANOS: u128 = 1_000_000_000;
