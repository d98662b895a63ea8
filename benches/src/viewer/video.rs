//! The receiving end of a video stream: packets in, frames and counts out, wishes for keyframes. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access_unit::{AccessUnit, Codec};
use super::check::{Cursor, FrameCheck, Verdict};
use super::depacketize::{Payload, depacketize, host_clock, is_keyframe, starts_keyframe};
use super::reassembly::{Counts, Packet, Reassembly};

/// A frame that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its RTP timestamp, 90 kHz, extended to 64 bits: the low 32 are what was on the wire.
    pub timestamp: u64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Whether a decoder could show it: it and all frames before it, back to a keyframe, arrived whole.
    pub contiguous: bool,
    /// The frame itself.
    pub unit: AccessUnit,
}

/// Counts of a video stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VideoStats {
    /// RTP packets that arrived, each once.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Packets that came behind later ones and were still of use: retransmissions, and those overtaken on the way.
    pub recovered: u64,
    /// Sequence numbers that were missing when they were given up: NACKs did not help.
    pub lost: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Whole frames.
    pub frames: u64,
    /// Whole keyframes.
    pub keyframes: u64,
    /// Whole frames that a decoder could not show, because it missed one since the last keyframe.
    pub undecodable: u64,
    /// How many times one or more frames in a row were missing or unusable between whole ones.
    pub gaps: u64,
    /// Frames of which all packets arrived and which yet do not follow the payload format: the sender's fault.
    pub malformed: u64,
    /// Frames with a timestamp not later than that of the frame before.
    pub backwards: u64,
    /// Frames judged [`Verdict::Next`].
    pub verified: u64,
    /// Frames judged [`Verdict::Skipped`].
    pub skipped: u64,
    /// Frames judged [`Verdict::Misplaced`].
    pub misplaced: u64,
    /// Frames judged [`Verdict::Unknown`].
    pub mismatches: u64,
}

/// Whether frames are only counted, or put together as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Costs no copy.
    Count,
    Assemble,
}

/// Receives one video stream.
#[derive(Debug)]
pub(crate) struct VideoReceiver {
    codec: Codec,
    detail: Detail,
    check: Option<Arc<FrameCheck>>,
    cursor: Cursor,
    reassembly: Reassembly,
    wish: KeyframeWish,
    contiguous: bool,
    /// A frame since the last given one was unusable.
    gap: bool,
    last_timestamp: Option<u64>,
    stats: VideoStats,
}

impl VideoReceiver {
    /// `patience`: how long a missing packet is waited for. `check` needs [`Detail::Assemble`], and gets it.
    pub(crate) fn new(
        codec: Codec,
        detail: Detail,
        check: Option<Arc<FrameCheck>>,
        patience: Duration,
        wish: KeyframeWish,
    ) -> Self {
        let detail = if check.is_some() { Detail::Assemble } else { detail };
        Self {
            codec,
            detail,
            check,
            cursor: Cursor::default(),
            reassembly: Reassembly::new(patience),
            wish,
            contiguous: false,
            gap: false,
            last_timestamp: None,
            stats: VideoStats::default(),
        }
    }

    pub(crate) fn stats(&self) -> VideoStats {
        let Counts { packets, recovered, lost, late } = self.reassembly.counts();
        VideoStats { packets, recovered, lost, late, ..self.stats }
    }

    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        sequence: u64,
        timestamp: u64,
        marker: bool,
        payload: Payload,
    ) {
        self.stats.bytes += payload.len() as u64;
        let starts_frame = starts_keyframe(self.codec, &payload);
        self.reassembly.handle_packet(now, Packet { sequence, timestamp, marker, starts_frame, payload });
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.reassembly.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.reassembly.poll_timeout(), self.wish.poll_timeout()].into_iter().flatten().min()
    }

    /// The next whole frame. `None` when there is none; [`Received::unit`] is `None` when frames are only counted.
    pub(crate) fn poll_frame(&mut self) -> Option<Received> {
        loop {
            let frame = self.reassembly.poll_frame()?;
            self.gap |= frame.gap_before;
            let unit = match self.detail {
                Detail::Count => None,
                Detail::Assemble => match depacketize(self.codec, &frame.payloads) {
                    Ok(unit) => Some(unit),
                    Err(error) => {
                        tracing::debug!(%error, timestamp = frame.timestamp, "malformed frame");
                        self.stats.malformed += 1;
                        self.gap = true;
                        self.contiguous = false;
                        continue;
                    }
                },
            };
            let keyframe = is_keyframe(self.codec, &frame.payloads);
            let host_clock = host_clock(self.codec, &frame.payloads);
            return Some(Received { host_clock, ..self.count(frame.timestamp, keyframe, unit) });
        }
    }

    /// Whether to ask for a keyframe now, because a decoder could not go on without one.
    pub(crate) fn poll_keyframe_wish(&mut self, now: Instant) -> bool {
        let undecodable = self.stats.frames > 0 && !self.contiguous;
        self.wish.poll(now, undecodable || self.gap || self.reassembly.lost_since_frame())
    }

    fn count(&mut self, timestamp: u64, keyframe: bool, unit: Option<AccessUnit>) -> Received {
        let gap = std::mem::take(&mut self.gap);
        self.contiguous = keyframe || (self.contiguous && !gap);
        let stats = &mut self.stats;
        stats.frames += 1;
        stats.keyframes += u64::from(keyframe);
        stats.undecodable += u64::from(!self.contiguous);
        stats.gaps += u64::from(gap);
        stats.backwards += u64::from(self.last_timestamp.is_some_and(|last| timestamp <= last));
        self.last_timestamp = Some(timestamp);
        if let (Some(check), Some(unit)) = (&self.check, &unit) {
            match self.cursor.judge(check, unit, keyframe || gap) {
                Verdict::Next => stats.verified += 1,
                Verdict::Skipped => stats.skipped += 1,
                Verdict::Misplaced => stats.misplaced += 1,
                Verdict::Unknown => stats.mismatches += 1,
            }
        }
        Received { timestamp, keyframe, contiguous: self.contiguous, host_clock: None, unit }
    }
}

/// A frame as [`VideoReceiver`] gives it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) timestamp: u64,
    pub(crate) keyframe: bool,
    pub(crate) contiguous: bool,
    /// When a test host began to send it, since 1970, if it says so.
    pub(crate) host_clock: Option<Duration>,
    pub(crate) unit: Option<AccessUnit>,
}

/// When to ask for a keyframe: at once when the picture is stuck, again after an interval while it stays so.
#[derive(Debug)]
pub(crate) struct KeyframeWish {
    /// `None`: never.
    interval: Option<Duration>,
    asked: Option<Instant>,
}

impl KeyframeWish {
    pub(crate) fn every(interval: Option<Duration>) -> Self {
        Self { interval, asked: None }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.asked.zip(self.interval).map(|(asked, interval)| asked + interval)
    }

    fn poll(&mut self, now: Instant, stuck: bool) -> bool {
        let Some(interval) = self.interval else { return false };
        if !stuck {
            self.asked = None;
            return false;
        }
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= interval);
        if due {
            self.asked = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);
    const INTERVAL: Duration = Duration::from_millis(500);
    const KEY: &[u8] = &[0x78, 0, 2, 0x67, 1, 0, 2, 0x65, 2];
    const DELTA: &[u8] = &[0x41, 7];

    /// A stream of one packet per frame.
    struct Stream {
        receiver: VideoReceiver,
        now: Instant,
    }

    impl Stream {
        fn new(detail: Detail, check: Option<Arc<FrameCheck>>) -> Self {
            let wish = KeyframeWish::every(Some(INTERVAL));
            let receiver = VideoReceiver::new(Codec::H264, detail, check, PATIENCE, wish);
            Self { receiver, now: crate::task::now() }
        }

        /// Feeds a packet, and gives `(keyframe, contiguous)` of each frame that it completes.
        fn feed(&mut self, sequence: u64, payload: &[u8]) -> Vec<(bool, bool)> {
            self.receiver.handle_packet(self.now, sequence, sequence * 1500, true, Arc::from(payload));
            self.frames()
        }

        fn wait(&mut self, time: Duration) -> Vec<(bool, bool)> {
            self.now += time;
            self.receiver.handle_timeout(self.now);
            self.frames()
        }

        fn frames(&mut self) -> Vec<(bool, bool)> {
            std::iter::from_fn(|| self.receiver.poll_frame())
                .map(|frame| (frame.keyframe, frame.contiguous))
                .collect()
        }

        fn wishes_keyframe(&mut self) -> bool {
            self.receiver.poll_keyframe_wish(self.now)
        }
    }

    #[test]
    fn frames_after_a_loss_are_not_contiguous_until_a_keyframe_which_is_wished_for() {
        for detail in [Detail::Count, Detail::Assemble] {
            let mut s = Stream::new(detail, None);
            assert_eq!(s.feed(0, KEY), [(true, true)]);
            assert_eq!(s.feed(1, DELTA), [(false, true)]);
            assert!(!s.wishes_keyframe());
            assert_eq!(s.feed(3, DELTA), []);
            assert!(!s.wishes_keyframe(), "a retransmission may still come");
            assert_eq!(s.wait(PATIENCE), []);
            assert!(s.wishes_keyframe());
            assert_eq!(s.receiver.poll_timeout(), Some(s.now + INTERVAL));
            assert_eq!(s.feed(4, DELTA), [(false, false)]);
            assert!(!s.wishes_keyframe(), "asked already");
            s.wait(INTERVAL);
            assert!(s.wishes_keyframe());
            assert_eq!(s.feed(5, KEY), [(true, true)]);
            assert!(!s.wishes_keyframe());
            assert_eq!(s.receiver.poll_timeout(), None);
            let expected = VideoStats {
                packets: 5,
                bytes: s.receiver.stats().bytes,
                lost: 1,
                frames: 4,
                keyframes: 2,
                undecodable: 1,
                gaps: 1,
                ..VideoStats::default()
            };
            assert_eq!(s.receiver.stats(), expected);
        }
    }

    #[test]
    fn a_stream_that_does_not_begin_with_a_keyframe_makes_a_wish() {
        let mut s = Stream::new(Detail::Count, None);
        assert!(!s.wishes_keyframe());
        assert_eq!(s.feed(0, DELTA), [(false, false)]);
        assert!(s.wishes_keyframe());
    }

    #[test]
    fn a_malformed_frame_is_counted_and_breaks_the_chain() {
        let mut s = Stream::new(Detail::Assemble, None);
        s.feed(0, KEY);
        assert_eq!(s.feed(1, &[0x7c, 0x05, 1]), []);
        assert!(s.wishes_keyframe());
        assert_eq!(s.feed(2, DELTA), [(false, false)]);
        let stats = s.receiver.stats();
        assert_eq!((stats.malformed, stats.gaps, stats.frames), (1, 1, 2));
    }

    #[test]
    fn frames_are_verified_against_the_source() {
        let unit = |data: &'static [u8]| AccessUnit::parse(Codec::H264, &Bytes::from_static(data)).unwrap();
        let source = [unit(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 2]), unit(&[0, 0, 1, 0x41, 7])];
        let mut s = Stream::new(Detail::Count, Some(Arc::new(FrameCheck::new(&source))));
        s.feed(0, KEY);
        s.feed(1, DELTA);
        s.feed(2, DELTA);
        s.feed(3, &[0x41, 8]);
        let stats = s.receiver.stats();
        assert_eq!((stats.verified, stats.misplaced, stats.mismatches, stats.skipped), (2, 1, 1, 0));
    }

    #[test]
    fn a_timestamp_that_does_not_rise_is_counted() {
        let mut s = Stream::new(Detail::Count, None);
        s.receiver.handle_packet(s.now, 0, 3000, true, Arc::from(KEY));
        s.receiver.handle_packet(s.now, 1, 1500, true, Arc::from(DELTA));
        s.frames();
        assert_eq!(s.receiver.stats().backwards, 1);
    }
}
