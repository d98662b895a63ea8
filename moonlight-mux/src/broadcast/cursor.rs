//! Where one viewer stands in its stream. Pure.

use std::sync::Arc;

use super::Media;
use super::ring::Ring;
use crate::media::{AudioFrame, FrameNumber, VideoFrame};

/// One viewer's places in the ring and its gate: pictures in an unbroken chain from a keyframe on, or none.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    gate: Gate,
    /// The positions of what comes next.
    video: u64,
    audio: u64,
    /// The last picture that the viewer took, or was told that it misses.
    taken: Option<FrameNumber>,
}

#[derive(Debug, Default)]
enum Gate {
    /// The viewer is not ready: everything passes by.
    #[default]
    Idle,
    /// The viewer needs a keyframe.
    Shut {
        /// It fell behind, and has not asked for one yet: it asks when it has caught up, not before.
        ask_at_end: bool,
    },
    /// The viewer does not answer: everything passes by, until it does again.
    Paused,
    /// The viewer gets each picture that follows this one.
    Open { last: FrameNumber },
}

pub(super) struct Taken {
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

impl Cursor {
    /// The viewer is ready for what comes from now on. True when it was not before: it needs a keyframe.
    pub(super) fn start(&mut self, ring: &Ring) -> bool {
        let first = !self.is_started();
        if first {
            self.begin(ring);
        }
        first
    }

    pub(super) fn is_started(&self) -> bool {
        !matches!(self.gate, Gate::Idle)
    }

    /// Nothing more until [`Self::resume`]. A viewer that is not ready stays so.
    pub(super) fn pause(&mut self) {
        if self.is_started() {
            self.gate = Gate::Paused;
        }
    }

    /// Sound at once, pictures from the next keyframe on.
    pub(super) fn resume(&mut self, ring: &Ring) {
        if matches!(self.gate, Gate::Paused) {
            self.begin(ring);
        }
    }

    /// No more pictures until a keyframe that is still to come. Sound goes on.
    pub(super) fn skip_to_keyframe(&mut self, ring: &Ring) {
        if matches!(self.gate, Gate::Open { .. } | Gate::Shut { .. }) {
            self.wait_for_keyframe(ring);
        }
    }

    fn begin(&mut self, ring: &Ring) {
        self.wait_for_keyframe(ring);
        self.audio = ring.audio.end();
    }

    fn wait_for_keyframe(&mut self, ring: &Ring) {
        self.gate = Gate::Shut { ask_at_end: false };
        self.video = ring.video.end();
    }

    /// Sound first: it is small, and the ear forgives less than the eye.
    pub(super) fn take(&mut self, ring: &Ring) -> Taken {
        let nothing = if ring.closed { Next::Closed } else { Next::Empty };
        if matches!(self.gate, Gate::Idle | Gate::Paused) {
            return Taken { next: nothing, wants_keyframe: false };
        }
        if let Some(frame) = self.take_audio(ring) {
            return Taken::of(Media::Audio(frame));
        }
        if let Some(frame) = self.find_video(ring) {
            let before = FrameNumber(frame.number.0.saturating_sub(1));
            if let Some(taken) = self.taken.replace(before)
                && taken < before
            {
                return Taken::of(Media::Gap { lost: before.0 - taken.0 });
            }
            self.taken = Some(frame.number);
            self.gate = Gate::Open { last: frame.number };
            self.video += 1;
            return Taken::of(Media::Video(frame.clone()));
        }
        let wants_keyframe = matches!(self.gate, Gate::Shut { ask_at_end: true });
        if wants_keyframe {
            self.gate = Gate::Shut { ask_at_end: false };
        }
        Taken { next: nothing, wants_keyframe }
    }

    fn take_audio(&mut self, ring: &Ring) -> Option<Arc<AudioFrame>> {
        self.audio = self.audio.max(ring.audio.start());
        let frame = ring.audio.get(self.audio)?;
        self.audio += 1;
        Some(frame.clone())
    }

    /// The next picture that is of use to the viewer, who then stands in front of it.
    fn find_video<'a>(&mut self, ring: &'a Ring) -> Option<&'a Arc<VideoFrame>> {
        if self.video < ring.video.start() {
            let keyframe = ring.newest_keyframe(self.video);
            // Who waits for a keyframe, and missed none, lost nothing.
            if keyframe.is_some() || matches!(self.gate, Gate::Open { .. }) {
                self.gate = Gate::Shut { ask_at_end: true };
            }
            self.video = keyframe.filter(|&at| at >= ring.video.start()).unwrap_or_else(|| ring.video.end());
        }
        loop {
            let frame = ring.video.get(self.video)?;
            let follows = matches!(self.gate, Gate::Open { last } if frame.number.0 == last.0 + 1);
            if follows || frame.keyframe {
                return Some(frame);
            }
            if let Gate::Open { .. } = self.gate {
                // Only a source that breaks its contract goes on with anything but a keyframe behind a gap.
                self.gate = Gate::Shut { ask_at_end: true };
            }
            self.video += 1;
        }
    }
}

impl Taken {
    fn of(media: Media) -> Self {
        Self { next: Next::Media(media), wants_keyframe: false }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::ring::{AUDIO_FRAMES, VIDEO_FRAMES};
    use super::*;
    use crate::media::{AudioTimestamp, VideoTimestamp};

    fn frame(number: u64, keyframe: bool) -> Arc<VideoFrame> {
        Arc::new(VideoFrame {
            number: FrameNumber(number),
            timestamp: VideoTimestamp(0),
            keyframe,
            host_latency: None,
            data: Bytes::new(),
        })
    }

    fn audio(n: u64) -> Arc<AudioFrame> {
        Arc::new(AudioFrame { timestamp: AudioTimestamp(n), data: Bytes::new() })
    }

    /// A stream of which somebody takes.
    fn stream() -> Ring {
        let mut ring = Ring::new();
        ring.join();
        ring
    }

    /// And somebody who is ready for what comes.
    fn watched() -> (Ring, Cursor) {
        let (ring, mut cursor) = (stream(), Cursor::default());
        assert!(cursor.start(&ring));
        (ring, cursor)
    }

    /// What waits, as numbers: pictures `v12`, sound `a3`, gaps `lost 4`; and whether a keyframe is wished for.
    fn drain(cursor: &mut Cursor, ring: &Ring) -> (Vec<String>, bool) {
        let mut all = Vec::new();
        loop {
            let taken = cursor.take(ring);
            match taken.next {
                Next::Media(Media::Video(frame)) => all.push(format!("v{}", frame.number.0)),
                Next::Media(Media::Audio(frame)) => all.push(format!("a{}", frame.timestamp.0)),
                Next::Media(Media::Gap { lost }) => all.push(format!("lost {lost}")),
                Next::Empty | Next::Closed => return (all, taken.wants_keyframe),
            }
        }
    }

    fn quiet<const N: usize>(all: [&str; N]) -> (Vec<String>, bool) {
        (all.map(str::to_owned).to_vec(), false)
    }

    proptest! {
        /// Whatever a viewer takes and whenever, and however it is held and paused, it sees an unbroken chain from each keyframe
        /// on, and each gap is told with its length. What is kept for it stays bounded.
        #[test]
        fn a_viewer_sees_whole_chains_or_nothing(
            steps in prop::collection::vec(
                (0u64..3, prop::bool::weighted(0.02), 0usize..3, prop::option::weighted(0.05, 0u8..3)),
                1..600,
            ),
        ) {
            let (mut ring, mut cursor) = watched();
            let (mut number, mut seen, mut told) = (0, None::<u64>, 0);
            for (skipped, keyframe, takes, order) in steps {
                match order {
                    Some(0) => cursor.pause(),
                    Some(1) => cursor.resume(&ring),
                    Some(_) => cursor.skip_to_keyframe(&ring),
                    None => {}
                }
                // A source that lost frames goes on with a keyframe.
                let skipped = skipped / 2;
                number += 1 + skipped;
                ring.push_video(frame(number, keyframe || skipped > 0));
                prop_assert!(ring.video.end() - ring.video.start() <= VIDEO_FRAMES as u64);
                for _ in 0..takes {
                    match cursor.take(&ring).next {
                        Next::Media(Media::Video(frame)) => {
                            let lost = seen.map_or(0, |seen| frame.number.0 - seen - 1);
                            prop_assert_eq!(lost, told);
                            prop_assert!(frame.keyframe || (seen.is_some() && lost == 0));
                            seen = Some(frame.number.0);
                            told = 0;
                        }
                        Next::Media(Media::Gap { lost }) => {
                            // The keyframe behind a gap may be dropped before it is taken.
                            told += lost;
                        }
                        Next::Empty => {}
                        Next::Media(Media::Audio(_)) | Next::Closed => prop_assert!(false, "nobody sent that"),
                    }
                }
            }
        }

        /// However late it takes what it gets, as long as that is still there.
        #[test]
        fn who_is_no_more_than_the_ring_behind_loses_nothing(
            waits in prop::collection::vec(1..=VIDEO_FRAMES as u64, 1..20),
        ) {
            let (mut ring, mut cursor) = watched();
            let (mut number, mut got) = (0, Vec::new());
            for waits in waits {
                for _ in 0..waits {
                    ring.push_video(frame(number, number == 0));
                    number += 1;
                }
                let (more, wants_keyframe) = drain(&mut cursor, &ring);
                prop_assert!(!wants_keyframe);
                got.extend(more);
            }
            prop_assert_eq!(got, (0..number).map(|n| format!("v{n}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_fell_behind_asks_when_it_has_caught_up_unless_a_keyframe_is_there() {
        let (mut ring, mut cursor) = watched();
        for number in 0..200 {
            ring.push_video(frame(number, number == 0));
        }
        assert_eq!(drain(&mut cursor, &ring), (vec![], true));
        assert_eq!(drain(&mut cursor, &ring), quiet([]), "once");
        ring.push_video(frame(200, true));
        assert_eq!(
            drain(&mut cursor, &ring),
            quiet(["v200"]),
            "it has taken nothing that a gap could follow"
        );
        for number in 201..300 {
            ring.push_video(frame(number, number == 250 || number == 298));
        }
        let newest = quiet(["lost 97", "v298", "v299"]);
        assert_eq!(drain(&mut cursor, &ring), newest, "what is older would be late");
    }

    #[test]
    fn who_waits_for_a_keyframe_asks_for_one_only_if_it_missed_one() {
        let (mut ring, mut cursor) = watched();
        ring.push_video(frame(0, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["v0"]));
        cursor.skip_to_keyframe(&ring);
        for number in 1..100 {
            ring.push_video(frame(number, false));
        }
        assert_eq!(drain(&mut cursor, &ring), quiet([]));
        for number in 100..200 {
            ring.push_video(frame(number, number == 100));
        }
        assert_eq!(drain(&mut cursor, &ring), (vec![], true));
        ring.push_video(frame(200, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["lost 199", "v200"]));
    }

    #[test]
    fn when_sound_is_late_the_oldest_is_dropped() {
        let (mut ring, mut cursor) = watched();
        for n in 0..60 {
            ring.push_audio(audio(n));
        }
        let (all, _) = drain(&mut cursor, &ring);
        assert_eq!((all.len(), all.first().map(String::as_str)), (AUDIO_FRAMES, Some("a10")));
    }

    #[test]
    fn a_viewer_that_skips_gets_sound_and_the_next_keyframe() {
        let (mut ring, mut cursor) = watched();
        ring.push_video(frame(1, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["v1"]));
        ring.push_video(frame(2, false));
        cursor.skip_to_keyframe(&ring);
        ring.push_video(frame(3, false));
        ring.push_audio(audio(1));
        assert_eq!(drain(&mut cursor, &ring), quiet(["a1"]), "it waits for one that comes anyway");
        ring.push_video(frame(4, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["lost 2", "v4"]));
    }

    #[test]
    fn a_paused_viewer_gets_nothing_until_it_is_resumed_and_then_a_keyframe() {
        let (mut ring, mut cursor) = (stream(), Cursor::default());
        cursor.pause();
        assert!(cursor.start(&ring), "a viewer that is not ready cannot be paused");
        ring.push_video(frame(1, true));
        ring.push_audio(audio(1));
        cursor.pause();
        cursor.skip_to_keyframe(&ring);
        ring.push_video(frame(2, true));
        ring.push_audio(audio(2));
        assert!(!cursor.start(&ring), "it has been ready before");
        assert_eq!(drain(&mut cursor, &ring), quiet([]));
        cursor.resume(&ring);
        ring.push_video(frame(3, false));
        ring.push_audio(audio(3));
        ring.push_video(frame(4, true));
        cursor.resume(&ring);
        ring.push_video(frame(5, false));
        let expected = quiet(["a3", "v4", "v5"]);
        assert_eq!(
            drain(&mut cursor, &ring),
            expected,
            "it has taken no picture yet that a gap could follow"
        );
    }

    #[test]
    fn a_gap_in_the_source_shuts_the_gate_until_a_keyframe() {
        let (mut ring, mut cursor) = watched();
        ring.push_video(frame(1, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["v1"]));
        ring.push_video(frame(3, false));
        assert_eq!(drain(&mut cursor, &ring), (vec![], true));
        ring.push_video(frame(4, false));
        assert_eq!(drain(&mut cursor, &ring), quiet([]));
        ring.push_video(frame(5, true));
        assert_eq!(drain(&mut cursor, &ring), quiet(["lost 3", "v5"]));
    }

    #[test]
    fn nothing_is_kept_that_nobody_takes() {
        let (mut ring, mut cursor) = (Ring::new(), Cursor::default());
        ring.push_video(frame(0, true));
        assert_eq!((ring.video.start(), ring.video.end()), (1, 1));
        ring.join();
        cursor.start(&ring);
        ring.push_video(frame(1, true));
        ring.push_audio(audio(1));
        ring.leave();
        assert!(ring.video.get(1).is_none() && ring.audio.get(0).is_none());
        assert_eq!(drain(&mut cursor, &ring), (vec![], true), "positions go on");
    }
}
