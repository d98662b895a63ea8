//! Is a viewer behind, and what is done about it. Pure.
//!
//! Sending over UDP hardly ever blocks, so a viewer is judged by what comes back from it: silence stops its media and
//! then ends it; heavy loss holds its pictures back until a keyframe. All of its wishes for keyframes go through one
//! back-off, so that no viewer makes the others pay for its line (docs/webrtc.md, "A viewer that is behind").

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::channels::VideoQuality;
use crate::peer::LeaveReason;

/// What a viewer reports of one outgoing stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// How packets arrive.
    Reception(Reception),
    /// These sequence numbers have not arrived, and are asked for again.
    Nack(Vec<u16>),
    /// It cannot go on without a keyframe.
    KeyframeRequest,
}

/// How packets arrive at a viewer (a report block, RFC 3550, 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reception {
    /// The highest sequence number that arrived, in the low 16 bits; above them how often it wrapped.
    pub(super) highest: u32,
    /// Packets that have not arrived since the start. Where retransmissions count as arrived, it may fall.
    pub(super) lost: i32,
    /// In ticks of the stream's timestamps.
    pub(super) jitter: u32,
    pub(super) round_trip: Option<Duration>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is silent: send it no media.
    Pause,
    /// It answers again: send sound, and pictures from the next keyframe on.
    Resume,
    /// It loses too much: no pictures until a keyframe, be it one that comes anyway.
    Hold,
    /// Ask the source for a keyframe.
    RequestKeyframe,
    /// It has to go. Nothing comes behind this.
    Leave(LeaveReason),
}

/// One viewer, judged by its feedback.
#[derive(Debug)]
pub(super) struct Health {
    /// Packets that are kept for retransmission.
    history: u64,
    sent: Sent,
    silence: Silence,
    /// Where the loss is counted from; `None` while there is nothing to judge.
    window: Option<Window>,
    behind: Option<Behind>,
    keyframes: Backoff,
    /// A few at most: each call adds up to two, and its caller takes them.
    verdicts: VecDeque<Verdict>,
    left: bool,
}

impl Health {
    /// For a viewer that is connected since now. `history`: packets that are kept for retransmission.
    pub(super) fn new(now: Instant, history: u16) -> Self {
        Self {
            history: history.into(),
            sent: Sent::default(),
            silence: Silence { heard: now, look_again: None },
            window: None,
            behind: None,
            keyframes: Backoff::default(),
            verdicts: VecDeque::new(),
            left: false,
        }
    }

    /// Whether pictures flow, for the viewer to know.
    pub(super) fn quality(&self) -> VideoQuality {
        if self.silence.is_paused() {
            VideoQuality::Paused
        } else if self.behind.as_ref().is_some_and(|behind| behind.held) {
            VideoQuality::Held
        } else {
            VideoQuality::Flowing
        }
    }

    /// The last datagram from the viewer came at `heard`: any answer will do.
    pub(super) fn handle_heard(&mut self, now: Instant, heard: Instant) {
        if self.left || heard <= self.silence.heard {
            return;
        }
        self.silence.heard = heard;
        if self.silence.look_again.take().is_some() {
            self.verdicts.push_back(Verdict::Resume);
            // What it reports of the time before says nothing about now.
            self.judge_afresh();
            self.keyframes.wish(now);
        }
    }

    /// A picture, its beginning or more of it was sent in so many packets, the last of which had the sequence number `last`.
    pub(super) fn handle_sent(
        &mut self,
        now: Instant,
        begins: bool,
        keyframe: bool,
        packets: usize,
        last: u16,
    ) {
        if begins {
            self.sent.picture = self.sent.packets;
        }
        if begins && keyframe {
            self.sent.keyframe = self.sent.packets;
            self.keyframes.fulfil();
            if let Some(behind) = &mut self.behind
                && behind.held
            {
                behind.held = false;
                behind.tries_since = Some(now);
                self.judge_afresh();
            }
        }
        self.sent.packets += packets as u64;
        self.sent.last = last;
    }

    pub(super) fn handle_report(&mut self, now: Instant, report: &Report) {
        if self.left {
            return;
        }
        match report {
            Report::KeyframeRequest if !self.silence.is_paused() => self.keyframes.wish(now),
            Report::KeyframeRequest => {}
            Report::Reception(reception) => self.handle_reception(now, *reception),
            Report::Nack(lost) if self.is_sending() => {
                let needed = lost.iter().filter_map(|&number| self.sent.position(number));
                // What is older than the last keyframe is of no use to it any more.
                let oldest = needed.filter(|&position| position >= self.sent.keyframe).min();
                if oldest.is_some_and(|position| self.sent.is_gone(position, self.history)) {
                    self.hold(now);
                }
            }
            Report::Nack(_) => {}
        }
    }

    fn handle_reception(&mut self, now: Instant, reception: Reception) {
        let Reception { highest, lost, .. } = reception;
        let known = self.sent.position(highest as u16);
        if !self.is_sending() || known.is_none_or(|position| position < self.sent.judged_from) {
            return;
        }
        let Some(window) = self.window else {
            self.window = Some(Window { since: now, highest, lost });
            return;
        };
        let expected = highest.wrapping_sub(window.highest);
        if expected > MAX_EXPECTED {
            // Reports that overtook each other.
            self.window = Some(Window { since: now, highest, lost });
            return;
        }
        if now.saturating_duration_since(window.since) < WINDOW || expected < MIN_PACKETS {
            return;
        }
        self.window = Some(Window { since: now, highest, lost });
        let lost = u32::try_from(i64::from(lost) - i64::from(window.lost)).unwrap_or(0);
        if u64::from(lost) * 100 > u64::from(expected) * MAX_LOSS_PERCENT {
            self.hold(now);
        } else {
            self.behind = None;
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.left {
            return;
        }
        self.silence.forgive_own_sleep(now);
        if now >= self.silence.heard + GONE {
            return self.leave(LeaveReason::Vanished);
        }
        if self.silence.is_paused() || now >= self.silence.heard + SILENT {
            if self.silence.look_again.replace(now + LOOK_AGAIN).is_none() {
                self.verdicts.push_back(Verdict::Pause);
                self.keyframes.fulfil();
            }
            return;
        }
        if self.too_slow_at().is_some_and(|at| at <= now) {
            return self.leave(LeaveReason::TooSlow);
        }
        if self.keyframes.handle_timeout(now) {
            self.verdicts.push_back(Verdict::RequestKeyframe);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next, with [`Self::handle_heard`] before it; a time in the past
    /// means at once.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let own = if self.silence.is_paused() {
            None
        } else {
            [self.too_slow_at(), self.keyframes.due].into_iter().flatten().min()
        };
        [Some(self.silence.timeout()), own].into_iter().flatten().min().filter(|_| !self.left)
    }

    pub(super) fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    fn hold(&mut self, now: Instant) {
        let news = Behind { since: now, held: true, tries_since: None };
        let behind = self.behind.get_or_insert(news);
        if behind.tries_since.is_some_and(|since| now.saturating_duration_since(since) >= PEACE) {
            // Nothing bad was heard for so long that this is another time.
            *behind = news;
        }
        behind.held = true;
        self.window = None;
        self.verdicts.push_back(Verdict::Hold);
        self.keyframes.wish_later(now);
    }

    fn leave(&mut self, reason: LeaveReason) {
        self.left = true;
        self.verdicts.push_back(Verdict::Leave(reason));
    }

    fn judge_afresh(&mut self) {
        self.window = None;
        self.sent.judged_from = self.sent.packets;
    }

    fn is_held(&self) -> bool {
        self.behind.is_some_and(|behind| behind.held)
    }

    /// Whether the viewer gets pictures now, as far as it is up to us.
    fn is_sending(&self) -> bool {
        !self.is_held() && !self.silence.is_paused()
    }

    /// A viewer that was given no keyframe to catch up with is not to blame: that is the source's silence.
    fn too_slow_at(&self) -> Option<Instant> {
        self.behind
            .filter(|behind| behind.held && behind.tries_since.is_some())
            .map(|behind| behind.since + TOO_SLOW)
    }
}

/// What was sent, by position: packets are counted from 0, and their sequence numbers wrap.
#[derive(Debug, Default)]
struct Sent {
    packets: u64,
    last: u16,
    /// Where the last picture begins.
    picture: u64,
    /// Where the last keyframe begins.
    keyframe: u64,
    /// What lies before is not judged any more.
    judged_from: u64,
}

impl Sent {
    /// Whether a packet is not kept any more, where so many are, and the last picture whole.
    fn is_gone(&self, position: u64, kept: u64) -> bool {
        position < self.picture && position + kept < self.packets
    }

    /// `None` for a sequence number that was not sent.
    fn position(&self, sequence_number: u16) -> Option<u64> {
        let age = self.last.wrapping_sub(sequence_number);
        (age < 1 << 15).then(|| self.packets.checked_sub(1 + u64::from(age))).flatten()
    }
}

#[derive(Debug)]
struct Silence {
    heard: Instant,
    /// While its media stand still: when to see whether it answers again.
    look_again: Option<Instant>,
}

impl Silence {
    fn is_paused(&self) -> bool {
        self.look_again.is_some()
    }

    fn timeout(&self) -> Instant {
        self.look_again.unwrap_or(self.heard + SILENT).min(self.heard + GONE)
    }

    /// Who comes much too late was asleep, and what the viewer sent meanwhile may not have been read yet.
    fn forgive_own_sleep(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.timeout());
        if late > ASLEEP {
            self.heard += late + TIME_TO_READ;
        }
    }
}

/// The report from which on the loss is counted.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    highest: u32,
    lost: i32,
}

/// A viewer that lost too much and has not caught up.
#[derive(Clone, Copy, Debug)]
struct Behind {
    since: Instant,
    /// It gets no pictures until a keyframe.
    held: bool,
    /// When it was given its last keyframe to catch up with.
    tries_since: Option<Instant>,
}

/// When one viewer's wishes for a keyframe become requests.
#[derive(Debug, Default)]
struct Backoff {
    /// A wish stands, and becomes a request then.
    due: Option<Instant>,
    requested: Option<Instant>,
    /// The last time that it made a wish or a request.
    stirred: Option<Instant>,
    /// From a request to the next one, at least.
    spacing: Duration,
}

impl Backoff {
    /// It asks for a keyframe: it gets one at once after a time of peace, and ever later while it keeps asking.
    fn wish(&mut self, now: Instant) {
        self.stir(now);
        let earliest = self.requested.map_or(now, |requested| requested + self.spacing);
        self.due.get_or_insert(earliest.max(now));
    }

    /// It is held: a keyframe that comes anyway will do, and only then it is asked for.
    fn wish_later(&mut self, now: Instant) {
        self.stir(now);
        self.spacing = self.spacing.max(HELD_SPACING);
        self.due = Some(now + self.spacing);
    }

    /// It was given a keyframe, or is not there to make use of one.
    fn fulfil(&mut self) {
        self.due = None;
    }

    /// True when the source shall be asked now.
    fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.requested = Some(now);
            self.stirred = Some(now);
            self.spacing = (self.spacing * 2).clamp(MIN_SPACING, MAX_SPACING);
        }
        due
    }

    fn stir(&mut self, now: Instant) {
        if self.stirred.is_none_or(|stirred| now.saturating_duration_since(stirred) >= PEACE) {
            self.spacing = Duration::ZERO;
        }
        self.stirred = Some(now);
    }
}

/// Two or three consent checks unanswered, and about two receiver reports missing.
const SILENT: Duration = Duration::from_secs(2);
/// Silence for this long is an end: the crate's own consent time-out comes later.
const GONE: Duration = Duration::from_secs(5);
/// How soon a viewer that answers again is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A timer of ours that is later than this means that we stood still, not the viewer.
const ASLEEP: Duration = Duration::from_millis(500);
const TIME_TO_READ: Duration = Duration::from_millis(500);

/// Over how long the loss is judged: a second, from which a viewer that reports each second may deviate.
const WINDOW: Duration = Duration::from_millis(900);
/// Fewer packets are no ground for a judgement: they are counted into the next window.
const MIN_PACKETS: u32 = 20;
/// More than this is a report that was overtaken by a later one: no window has so many packets.
const MAX_EXPECTED: u32 = 1 << 24;
const MAX_LOSS_PERCENT: u64 = 20;
/// Who lost too much, got a keyframe, and still loses too much after this long is gone.
const TOO_SLOW: Duration = Duration::from_secs(30);

/// From a viewer's request for a keyframe to its next: 0.5, 1, 2, 4, 8 s.
const MIN_SPACING: Duration = Duration::from_millis(500);
const MAX_SPACING: Duration = Duration::from_secs(8);
/// The same from hold to hold, and from a hold to its request: 2, 4, 8 s.
const HELD_SPACING: Duration = Duration::from_secs(2);
/// After this long without trouble everything is forgotten. Longer than [`MAX_SPACING`].
const PEACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
