//! What waits for one viewer, pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Media;
use crate::media::{AudioFrame, FrameNumber, VideoFrame};

/// A second at 60 frames per second: more would be old when it arrives. Full: the queue keeps what it has, which the
/// viewer can decode, and drops what comes until a keyframe; that then replaces what still waits.
pub(super) const VIDEO_FRAMES: usize = 60;
/// A quarter of a second at 5 ms. Full: the oldest packet is dropped.
const AUDIO_FRAMES: usize = 50;

/// One viewer's queues and its gate: pictures in an unbroken chain from a keyframe on, or none.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    gate: Gate,
    video: VecDeque<Arc<VideoFrame>>,
    audio: VecDeque<Arc<AudioFrame>>,
    /// The last picture that the viewer took, or was told that it misses.
    taken: Option<FrameNumber>,
    closed: bool,
}

#[derive(Debug, Default)]
enum Gate {
    /// The viewer is not ready: everything passes by.
    #[default]
    Idle,
    /// The viewer needs a keyframe.
    Shut {
        /// It fell behind, and has not asked for one yet: it asks when it has caught up, not before.
        ask_when_empty: bool,
    },
    /// The viewer does not answer: everything passes by, until it does again.
    Paused,
    /// The viewer gets each picture that follows this one.
    Open { last: FrameNumber },
}

pub(super) struct Pushed {
    /// There is something to fetch.
    pub(super) filled: bool,
    pub(super) wants_keyframe: bool,
}

pub(super) struct Popped {
    pub(super) next: Next,
    pub(super) wants_keyframe: bool,
}

/// What a viewer has next.
#[derive(Debug)]
pub(crate) enum Next {
    Media(Media),
    /// Nothing yet.
    Empty,
    /// The stream is over.
    Closed,
}

impl Outbox {
    /// The viewer is ready. True when it was not before: it needs a keyframe.
    pub(super) fn start(&mut self) -> bool {
        let first = !self.is_started();
        if first {
            self.gate = Gate::Shut { ask_when_empty: false };
        }
        first
    }

    pub(super) fn is_started(&self) -> bool {
        !matches!(self.gate, Gate::Idle)
    }

    /// Nothing more until [`Self::resume`]; what waits is dropped. A viewer that is not ready stays so.
    pub(super) fn pause(&mut self) {
        if !matches!(self.gate, Gate::Idle) {
            self.gate = Gate::Paused;
            self.video.clear();
            self.audio.clear();
        }
    }

    /// Sound at once, pictures from the next keyframe on.
    pub(super) fn resume(&mut self) {
        if matches!(self.gate, Gate::Paused) {
            self.gate = Gate::Shut { ask_when_empty: false };
        }
    }

    /// No more pictures until a keyframe; those that wait are dropped. Sound goes on.
    pub(super) fn skip_to_keyframe(&mut self) {
        if matches!(self.gate, Gate::Open { .. } | Gate::Shut { .. }) {
            self.gate = Gate::Shut { ask_when_empty: false };
            self.video.clear();
        }
    }

    pub(super) fn push_video(&mut self, frame: &Arc<VideoFrame>) -> Pushed {
        let full = self.video.len() >= VIDEO_FRAMES;
        match self.gate {
            Gate::Idle | Gate::Paused => return Pushed::NOTHING,
            Gate::Open { .. } if frame.keyframe => {
                if full {
                    self.video.clear();
                }
            }
            Gate::Open { last } if frame.number.0 != last.0 + 1 => {
                // Only a source that breaks its contract goes on with anything but a keyframe behind a gap.
                self.gate = Gate::Shut { ask_when_empty: false };
                return Pushed { filled: false, wants_keyframe: true };
            }
            Gate::Open { .. } if full => {
                self.gate = Gate::Shut { ask_when_empty: true };
                return Pushed::NOTHING;
            }
            Gate::Open { .. } => {}
            Gate::Shut { .. } if frame.keyframe => self.video.clear(),
            Gate::Shut { .. } => return Pushed::NOTHING,
        }
        self.gate = Gate::Open { last: frame.number };
        self.video.push_back(frame.clone());
        Pushed { filled: true, wants_keyframe: false }
    }

    /// True when there is something to fetch.
    pub(super) fn push_audio(&mut self, frame: &Arc<AudioFrame>) -> bool {
        if matches!(self.gate, Gate::Idle | Gate::Paused) {
            return false;
        }
        if self.audio.len() == AUDIO_FRAMES {
            self.audio.pop_front();
        }
        self.audio.push_back(frame.clone());
        true
    }

    /// True: there is something to fetch, the end.
    pub(super) fn close(&mut self) -> bool {
        self.closed = true;
        true
    }

    /// Sound first: it is small, and the ear forgives less than the eye.
    pub(super) fn pop(&mut self) -> Popped {
        if let Some(frame) = self.audio.pop_front() {
            return Popped::of(Next::Media(Media::Audio(frame)));
        }
        if let Some(frame) = self.video.front() {
            let before = FrameNumber(frame.number.0.saturating_sub(1));
            if let Some(taken) = self.taken
                && taken < before
            {
                self.taken = Some(before);
                return Popped::of(Next::Media(Media::Gap { lost: before.0 - taken.0 }));
            }
        }
        if let Some(frame) = self.video.pop_front() {
            self.taken = Some(frame.number);
            return Popped::of(Next::Media(Media::Video(frame)));
        }
        let wants_keyframe = matches!(self.gate, Gate::Shut { ask_when_empty: true });
        if wants_keyframe {
            self.gate = Gate::Shut { ask_when_empty: false };
        }
        Popped { next: if self.closed { Next::Closed } else { Next::Empty }, wants_keyframe }
    }
}

impl Pushed {
    const NOTHING: Self = Self { filled: false, wants_keyframe: false };
}

impl Popped {
    fn of(next: Next) -> Self {
        Self { next, wants_keyframe: false }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::VideoTimestamp;

    fn frame(number: u64, keyframe: bool) -> Arc<VideoFrame> {
        Arc::new(VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(0),
            keyframe,
            host_latency: None,
            data: Bytes::new(),
        })
    }

    proptest! {
        /// Whatever a viewer fetches and whenever, and however it is held and paused, it sees an unbroken chain from each keyframe on, each gap is told
        /// with its length, and the queue stays bounded.
        #[test]
        fn a_viewer_sees_whole_chains_or_nothing(
            steps in prop::collection::vec(
                (0u64..3, prop::bool::weighted(0.02), 0usize..3, prop::option::weighted(0.05, 0u8..3)),
                1..600,
            ),
        ) {
            let mut outbox = Outbox::default();
            prop_assert!(outbox.start());
            let (mut number, mut seen, mut told) = (0, None::<u64>, 0);
            for (skipped, keyframe, pops, order) in steps {
                match order {
                    Some(0) => outbox.pause(),
                    Some(1) => outbox.resume(),
                    Some(_) => outbox.skip_to_keyframe(),
                    None => {}
                }
                // A source that lost frames goes on with a keyframe.
                let skipped = skipped / 2;
                number += 1 + skipped;
                outbox.push_video(&frame(number, keyframe || skipped > 0));
                prop_assert!(outbox.video.len() <= VIDEO_FRAMES);
                for _ in 0..pops {
                    match outbox.pop().next {
                        Next::Media(Media::Video(frame)) => {
                            let lost = seen.map_or(0, |seen| frame.number.0 - seen - 1);
                            prop_assert_eq!(lost, told);
                            prop_assert!(frame.keyframe || (seen.is_some() && lost == 0));
                            seen = Some(frame.number.0);
                            told = 0;
                        }
                        Next::Media(Media::Gap { lost }) => {
                            // The keyframe behind a gap may be overtaken by another one before it is fetched.
                            told += lost;
                        }
                        Next::Empty => {}
                        Next::Media(Media::Audio(_)) | Next::Closed => prop_assert!(false, "nobody sent that"),
                    }
                }
            }
        }
    }

    #[test]
    fn when_sound_is_late_the_oldest_is_dropped() {
        let mut outbox = Outbox::default();
        outbox.start();
        for n in 0..60 {
            outbox.push_audio(&audio(n));
        }
        assert_eq!(outbox.audio.len(), AUDIO_FRAMES);
        assert_eq!(outbox.audio.front().map(|frame| frame.timestamp.0), Some(10));
    }

    fn audio(n: u64) -> Arc<AudioFrame> {
        Arc::new(AudioFrame { timestamp: crate::media::AudioTimestamp(n), data: Bytes::new() })
    }

    /// What waits, as numbers: pictures `v12`, sound `a3`, gaps `lost 4`.
    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| match outbox.pop().next {
            Next::Media(Media::Video(frame)) => Some(format!("v{}", frame.number.0)),
            Next::Media(Media::Audio(frame)) => Some(format!("a{}", frame.timestamp.0)),
            Next::Media(Media::Gap { lost }) => Some(format!("lost {lost}")),
            Next::Empty | Next::Closed => None,
        })
        .collect()
    }

    #[test]
    fn a_viewer_that_skips_gets_sound_and_the_next_keyframe() {
        let mut outbox = Outbox::default();
        outbox.start();
        outbox.push_video(&frame(1, true));
        assert_eq!(drain(&mut outbox), ["v1"]);
        outbox.push_video(&frame(2, false));
        outbox.skip_to_keyframe();
        assert!(!outbox.push_video(&frame(3, false)).filled);
        assert!(outbox.push_audio(&audio(1)));
        assert_eq!(drain(&mut outbox), ["a1"]);
        assert!(!outbox.pop().wants_keyframe, "it waits for one that comes anyway");
        outbox.push_video(&frame(4, true));
        assert_eq!(drain(&mut outbox), ["lost 2", "v4"]);
    }

    #[test]
    fn a_paused_viewer_gets_nothing_until_it_is_resumed_and_then_a_keyframe() {
        let mut outbox = Outbox::default();
        outbox.pause();
        assert!(outbox.start(), "a viewer that is not ready cannot be paused");
        outbox.push_video(&frame(1, true));
        outbox.push_audio(&audio(1));
        outbox.pause();
        outbox.skip_to_keyframe();
        assert!(!outbox.push_video(&frame(2, true)).filled);
        assert!(!outbox.push_audio(&audio(2)));
        assert!(!outbox.start(), "it has been ready before");
        assert!(drain(&mut outbox).is_empty());
        outbox.resume();
        assert!(!outbox.push_video(&frame(3, false)).filled);
        assert!(outbox.push_audio(&audio(3)));
        assert!(outbox.push_video(&frame(4, true)).filled);
        outbox.resume();
        outbox.push_video(&frame(5, false));
        assert_eq!(
            drain(&mut outbox),
            ["a3", "v4", "v5"],
            "it has taken no picture yet that a gap could follow"
        );
    }

    #[test]
    fn a_gap_in_the_source_shuts_the_gate_until_a_keyframe() {
        let mut outbox = Outbox::default();
        outbox.start();
        assert!(outbox.push_video(&frame(1, true)).filled);
        let pushed = outbox.push_video(&frame(3, false));
        assert!(!pushed.filled && pushed.wants_keyframe);
        assert!(!outbox.push_video(&frame(4, false)).filled);
        assert!(outbox.push_video(&frame(5, true)).filled);
    }
}
