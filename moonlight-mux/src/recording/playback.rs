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

    /// When [`play`](Self::play) is due.
    pub(super) fn due(&self) -> Instant {
        self.origin + self.items[self.position].at
    }

    /// Plays what is due.
    pub(super) fn play(&mut self) -> Media {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// A recording of 60 frames a second and 10 ms packets of sound, received with a jitter of up to 4 ms. Frames from
    /// `first` on; those of `keys` are keyframes.
    fn items(first: u64, keys: &[usize], count: usize) -> Vec<Item> {
        let jitter = |i: usize| Duration::from_millis((i as u64 * 7) % 5);
        let mut items = Vec::new();
        for i in 0..count {
            let frame = VideoFrame {
                number: FrameNumber(first + i as u64),
                timestamp: VideoTimestamp(5000 + 1500 * i as u64),
                keyframe: keys.contains(&i),
                host_latency: None,
                data: Bytes::from(vec![i as u8]),
            };
            let at = Duration::from_micros(16_667) * i as u32 + jitter(i);
            items.push(Item { at, media: Media::Video(frame) });
        }
        for i in 0..count * 5 / 3 {
            let frame =
                AudioFrame { timestamp: AudioTimestamp(480 * i as u64), data: Bytes::from(vec![i as u8]) };
            let at = Duration::from_millis(10) * i as u32 + jitter(i);
            items.push(Item { at, media: Media::Audio(frame) });
        }
        items.sort_by_key(|item| item.at);
        items
    }

    const SPACING: Duration = Duration::from_micros(16_667);

    #[expect(clippy::disallowed_methods, reason = "any instant will do: the tests only add to it")]
    fn start() -> Instant {
        Instant::now()
    }

    /// The number, timestamp and content of each frame, and when it was due, over `count` items.
    fn play(playback: &mut Playback<'_>, count: usize) -> Vec<(Instant, Media)> {
        (0..count).map(|_| (playback.due(), playback.play())).collect()
    }

    fn pictures(played: &[(Instant, Media)]) -> Vec<(Instant, &VideoFrame)> {
        let mut pictures = Vec::new();
        for (due, media) in played {
            if let Media::Video(frame) = media {
                pictures.push((*due, frame));
            }
        }
        pictures
    }

    fn sounds(played: &[(Instant, Media)]) -> Vec<u64> {
        let sound = |media: &Media| match media {
            Media::Audio(frame) => Some(frame.timestamp.0),
            Media::Video(_) => None,
        };
        played.iter().filter_map(|(_, media)| sound(media)).collect()
    }

    #[test]
    fn the_first_round_is_as_recorded() {
        let items = items(7, &[0], 30);
        let mut playback = Playback::new(&items, SPACING, start());
        let played = play(&mut playback, items.len());
        let frames: Vec<_> = pictures(&played).iter().map(|(_, f)| (f.number.0, f.timestamp.0)).collect();
        assert_eq!(frames, (0..30).map(|i| (7 + i, 5000 + 1500 * i)).collect::<Vec<_>>());
        assert_eq!(sounds(&played), (0..50).map(|i| 480 * i).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_and_timestamps_rise_on_over_rounds_and_follow_the_clock() {
        let items = items(0, &[0], 30);
        let began = start();
        let mut playback = Playback::new(&items, SPACING, began);
        let played = play(&mut playback, items.len() * 1000);
        let frames = pictures(&played);
        for (i, (due, frame)) in frames.iter().enumerate() {
            assert_eq!((frame.number.0, frame.data[0]), (i as u64, (i % 30) as u8));
            assert_eq!(frame.keyframe, i % 30 == 0);
            let clock = ticks(*due - began, VideoTimestamp::HZ) + 5000;
            assert!(frame.timestamp.0.abs_diff(clock) < 90 * 10, "within jitter of the clock, frame {i}");
        }
        assert!(frames.windows(2).all(|pair| pair[0].1.timestamp < pair[1].1.timestamp));
        assert!(sounds(&played).is_sorted_by(|a, b| a + 480 <= *b));
    }

    #[test]
    fn a_keyframe_wish_goes_back_to_the_nearest_keyframe() {
        let items = items(0, &[0, 10, 20], 30);
        let began = start();
        let mut playback = Playback::new(&items, SPACING, began);
        // Up to and with frame 14.
        let mut played = Vec::new();
        while pictures(&played).len() < 15 {
            played.extend(play(&mut playback, 1));
        }
        let now = played.last().unwrap().0 + Duration::from_millis(3);
        playback.back_to_keyframe(now);
        assert_eq!(playback.due(), now, "at once");
        playback.back_to_keyframe(now + Duration::from_millis(3));
        assert_eq!(playback.due(), now, "several wishes are one");
        let after = play(&mut playback, 20);
        let (_, frame) = pictures(&after)[0];
        assert_eq!((frame.keyframe, frame.data[0], frame.number.0), (true, 10, 15));
        assert!(frame.timestamp.0 >= 5000 + 1500 * 14 + 1500);
        let (_, frame) = pictures(&after)[1];
        assert_eq!((frame.data[0], frame.number.0), (11, 16));
        assert!(sounds(&played).last().unwrap() + 480 <= sounds(&after)[0]);
    }

    #[test]
    fn a_keyframe_wish_changes_nothing_before_the_first_frame() {
        let mut items = items(0, &[0], 30);
        items.retain(|item| item.at > Duration::ZERO || matches!(item.media, Media::Audio(_)));
        let mut playback = Playback::new(&items, SPACING, start());
        let due = playback.due();
        playback.back_to_keyframe(due);
        assert_eq!(playback.due(), due);
    }

    proptest! {
        #[test]
        fn whenever_keyframes_are_wished_for_everything_rises(
            wishes in prop::collection::vec((1usize..90, 0u64..30), 1..30),
            first in prop_oneof![Just(0), Just(1), Just(1u64 << 40)],
        ) {
            let items = items(first, &[0, 10, 20], 30);
            let mut playback = Playback::new(&items, SPACING, start());
            let mut played = Vec::new();
            for (count, wait_ms) in wishes {
                played.extend(play(&mut playback, count));
                let now = played.last().unwrap().0 + Duration::from_millis(wait_ms).min(SPACING);
                playback.back_to_keyframe(now);
                prop_assert!(playback.due() + Duration::from_millis(100) > now);
            }
            let frames = pictures(&played);
            for pair in frames.windows(2) {
                let ((before_due, before), (due, after)) = (pair[0], pair[1]);
                prop_assert!(before_due <= due);
                prop_assert_eq!(before.number.0 + 1, after.number.0);
                prop_assert!(before.timestamp < after.timestamp);
                prop_assert!(before.data[0] + 1 == after.data[0] || after.keyframe);
            }
            prop_assert!(sounds(&played).is_sorted_by(|a, b| a + 480 <= *b));
        }
    }
}
