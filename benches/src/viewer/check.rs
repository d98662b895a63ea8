//! Are the frames that arrive the frames that were sent? Pure.

use std::collections::HashMap;

use super::access_unit::AccessUnit;

/// The frames of a source, in order, to compare arriving ones with. Share it among viewers by `Arc`.
///
/// The source may play them in a loop: after the last one comes the first.
#[derive(Clone, Debug)]
pub struct FrameCheck {
    /// Fingerprints, in order.
    order: Vec<u64>,
    /// Where each fingerprint is; a still picture may repeat the same bytes.
    positions: HashMap<u64, Vec<usize>>,
}

impl FrameCheck {
    /// From the source's frames, in the order in which they are sent.
    pub fn new<'a>(frames: impl IntoIterator<Item = &'a AccessUnit>) -> Self {
        let order: Vec<u64> = frames.into_iter().map(AccessUnit::fingerprint).collect();
        let mut positions: HashMap<u64, Vec<usize>> = HashMap::new();
        for (position, &fingerprint) in order.iter().enumerate() {
            positions.entry(fingerprint).or_default().push(position);
        }
        Self { order, positions }
    }

    fn is_behind(&self, position: usize, fingerprint: u64) -> Option<usize> {
        let next = if position + 1 == self.order.len() { 0 } else { position + 1 };
        (self.order[next] == fingerprint).then_some(next)
    }
}

/// What a [`FrameCheck`] says of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It follows the frame before it, or is the first one.
    Next,
    /// It is a frame of the source, elsewhere than behind the one before it, where a viewer may skip: at a keyframe, or
    /// after a loss.
    Skipped,
    /// It is a frame of the source that does not follow the one before it, although nothing was lost.
    Misplaced,
    /// It is no frame of the source: it was damaged, cut, or put together wrongly.
    Unknown,
}

/// Where one viewer is in the source's frames.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// All positions that the last frame can have been at: several where frames repeat.
    candidates: Vec<usize>,
    begun: bool,
}

impl Cursor {
    /// Judges the next frame; `may_skip`: it is a keyframe, or frames before it were lost.
    pub(crate) fn judge(&mut self, check: &FrameCheck, unit: &AccessUnit, may_skip: bool) -> Verdict {
        let fingerprint = unit.fingerprint();
        let Some(positions) = check.positions.get(&fingerprint) else {
            self.candidates.clear();
            return Verdict::Unknown;
        };
        let next: Vec<usize> =
            self.candidates.iter().filter_map(|&at| check.is_behind(at, fingerprint)).collect();
        if !next.is_empty() {
            self.candidates = next;
            return Verdict::Next;
        }
        let lost_track = std::mem::replace(&mut self.candidates, positions.clone()).is_empty();
        if !std::mem::replace(&mut self.begun, true) {
            Verdict::Next
        } else if may_skip || lost_track {
            Verdict::Skipped
        } else {
            Verdict::Misplaced
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::access_unit::Codec;
    use super::*;

    fn unit(byte: u8) -> AccessUnit {
        AccessUnit::from_units(Codec::H264, vec![Bytes::copy_from_slice(&[0x41, byte])])
    }

    fn check(source: &[u8], arriving: &[(u8, bool)], expected: &[Verdict]) {
        let frames: Vec<AccessUnit> = source.iter().copied().map(unit).collect();
        let check = FrameCheck::new(&frames);
        let mut cursor = Cursor::default();
        let verdicts: Vec<Verdict> =
            arriving.iter().map(|&(byte, may_skip)| cursor.judge(&check, &unit(byte), may_skip)).collect();
        assert_eq!(verdicts, expected, "{source:?} {arriving:?}");
    }

    #[test]
    fn frames_are_judged_by_what_they_are_and_where_they_stand() {
        use Verdict::*;
        check(&[1, 2, 3], &[(2, true), (3, false), (1, false), (2, false)], &[Next, Next, Next, Next]);
        check(&[1, 2, 3], &[(1, true), (3, false), (1, false)], &[Next, Misplaced, Next]);
        check(&[1, 2, 3], &[(1, true), (1, false)], &[Next, Misplaced]);
        check(&[1, 2, 3], &[(1, true), (3, true), (1, false)], &[Next, Skipped, Next]);
        check(&[1, 2, 3], &[(1, true), (9, false), (2, false), (3, false)], &[Next, Unknown, Skipped, Next]);
        check(&[], &[(1, true)], &[Unknown]);
    }

    #[test]
    fn repeated_frames_leave_several_places_open_until_the_next_different_one() {
        use Verdict::*;
        check(
            &[5, 5, 5, 6, 5, 7],
            &[(5, true), (7, false), (5, false), (5, false), (5, false), (6, false), (7, false)],
            &[Next, Next, Next, Next, Next, Next, Misplaced],
        );
    }
}
