//! One viewer on the direct path: what it gets and when. A state machine that its shard moves on; only its path sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};
use tracing::Span;

use crate::broadcast::{Media, Next};
use crate::egress::ViewerIo;
use crate::media::{AudioFrame, VideoFrame};
use crate::peer::{LeaveReason, PeerStats};
use crate::webrtc::health::{Health, Report};
use crate::webrtc::heard::LastHeard;
use crate::webrtc::resend::RESEND_PACKETS;
use crate::webrtc::serving::{self, SentVideo, Told};
use crate::webrtc::shards::{End, Turn, Work};

/// Frames, packets of sound and reports that one turn handles: what is left comes behind the other viewers' turns.
const PER_TURN: usize = 16;

/// Turns that send something between two times that it is counted where others see it: they cost more than the counting.
const COUNTED_TOGETHER: u32 = 16;
/// After this long without anything to send it is counted too.
const COUNTED_LATEST: Duration = Duration::from_millis(250);

/// One viewer's way out, which never waits.
pub(in crate::webrtc) trait MediaSender: Send {
    /// Whether nothing of a picture waits, so that the next may be sent.
    fn takes_media(&self) -> bool;

    /// Sends a picture, or its beginning where it is large: the rest follows at [`timeout`](Self::timeout)s. `None` where it
    /// has no packets.
    fn send_video(&mut self, now: Instant, frame: &VideoFrame) -> Option<SentVideo>;

    /// Sends a packet of sound, if the viewer hears any. Gives how many calls the system did not take.
    fn send_audio(&mut self, now: Instant, frame: &AudioFrame) -> u64;

    /// Sends again what is asked for, as far as it is kept and the viewer has not asked for too much. Gives how many calls
    /// the system did not take.
    fn resend(&mut self, lost: &[u16]) -> u64;

    /// When [`send_waiting`](Self::send_waiting) has something.
    fn timeout(&self) -> Option<Instant>;

    /// Sends what is due of a picture; `None` when nothing is.
    fn send_waiting(&mut self, now: Instant) -> Option<SentVideo>;

    /// Sends sender reports, if they are due. They need no timer: there is nothing new to say where nothing is sent. Gives how
    /// many calls the system did not take; `None` when the connection is at its end.
    fn report(&mut self, now: Instant) -> Option<u64>;
}

/// What comes back from a viewer.
pub(in crate::webrtc) struct Heard {
    /// The SSRC of its picture: reports of other streams say nothing here.
    pub(in crate::webrtc) video: u32,
    /// Whoever puts something in leaves a note at the viewer's bell, and so does who ends it.
    pub(in crate::webrtc) reports: mpsc::Receiver<(u32, Report)>,
    pub(in crate::webrtc) heard: LastHeard,
}

/// A viewer and all that its media need.
pub(in crate::webrtc) struct DirectViewer<S> {
    path: S,
    feedback: Heard,
    health: Health,
    told: Told,
    viewer: Arc<ViewerIo>,
    counted: Counted,
    /// One turn's share of reports was handled; there may be more.
    reports_left: bool,
    /// The viewer's, for what is logged: its shard serves others too.
    span: Span,
}

/// What was sent and is not in the viewer's statistics yet.
#[derive(Debug, Default)]
struct Counted {
    sent: PeerStats,
    turns: u32,
    /// When that must end; `None` when there is nothing.
    until: Option<Instant>,
}

impl Counted {
    fn add(&mut self, now: Instant, sent: Option<SentVideo>) {
        let Some(SentVideo { begins, packets, failed, .. }) = sent else { return };
        self.sent.frames += u64::from(begins);
        self.sent.packets += packets as u64;
        self.sent.send_failures += failed;
        self.until = Some(now + COUNTED_LATEST);
    }

    fn add_failed(&mut self, now: Instant, failed: u64) {
        if failed > 0 {
            self.sent.send_failures += failed;
            self.until = Some(now + COUNTED_LATEST);
        }
    }

    /// At the end of a turn.
    fn handle_turn(&mut self, now: Instant, viewer: &ViewerIo) {
        self.turns += 1;
        if self.turns >= COUNTED_TOGETHER || self.until.is_some_and(|until| until <= now) {
            self.publish(viewer);
        }
    }

    fn publish(&mut self, viewer: &ViewerIo) {
        if self.until.take().is_some() {
            let sent = std::mem::take(&mut self.sent);
            viewer.update_stats(|stats| {
                stats.frames += sent.frames;
                stats.packets += sent.packets;
                stats.send_failures += sent.send_failures;
            });
        }
        self.turns = 0;
    }
}

impl<S: MediaSender> DirectViewer<S> {
    /// For a viewer that is connected since now.
    pub(in crate::webrtc) fn new(
        now: Instant,
        path: S,
        feedback: Heard,
        viewer: Arc<ViewerIo>,
        told: Told,
    ) -> Self {
        let health = Health::new(now, RESEND_PACKETS);
        let (counted, span) = (Counted::default(), Span::current());
        Self { path, feedback, health, told, viewer, counted, reports_left: false, span }
    }

    /// Handles what the viewer has reported; an error when there will be no more.
    fn take_reports(&mut self, now: Instant) -> Result<(), LeaveReason> {
        for _ in 0..PER_TURN {
            match self.feedback.reports.try_recv() {
                Ok((ssrc, report)) if ssrc == self.feedback.video => {
                    serving::count(&report, &self.viewer);
                    self.health.handle_report(now, &report);
                    if let Report::Nack(lost) = &report {
                        let failed = self.path.resend(lost);
                        self.counted.add_failed(now, failed);
                    }
                }
                Ok(_) => {}
                Err(TryRecvError::Empty) => {
                    self.reports_left = false;
                    return Ok(());
                }
                Err(TryRecvError::Disconnected) => return Err(LeaveReason::Vanished),
            }
        }
        self.reports_left = true;
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.health.timeout().is_some_and(|due| due <= now) {
            self.health.handle_heard(now, self.feedback.heard.at());
            self.health.handle_timeout(now);
        }
        if self.path.timeout().is_some_and(|due| due <= now) {
            let sent = self.path.send_waiting(now);
            self.note(now, sent);
        }
    }

    fn obey(&mut self) -> Result<(), LeaveReason> {
        while let Some(verdict) = self.health.poll_verdict() {
            if let Some(reason) = self.span.in_scope(|| serving::obey(verdict, &self.viewer)) {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Sends what there is; `None` when the stream is over.
    fn send_media(&mut self, now: Instant) -> Option<usize> {
        let mut taken = 0;
        while taken < PER_TURN && self.path.takes_media() {
            match self.viewer.take_media() {
                Next::Media(Media::Video(frame)) => {
                    let sent = self.path.send_video(now, &frame);
                    self.note(now, sent);
                }
                Next::Media(Media::Audio(frame)) => {
                    let failed = self.path.send_audio(now, &frame);
                    self.counted.add_failed(now, failed);
                }
                Next::Media(Media::Gap { lost }) => self.span.in_scope(|| serving::note_gap(lost)),
                Next::Empty => break,
                Next::Closed => return None,
            }
            taken += 1;
        }
        Some(taken)
    }

    fn note(&mut self, now: Instant, sent: Option<SentVideo>) {
        if let Some(SentVideo { begins, keyframe, packets, last, .. }) = sent {
            self.health.handle_sent(now, begins, keyframe, packets, last);
        }
        self.counted.add(now, sent);
    }

    fn turn(&mut self, now: Instant, reported: bool) -> Result<Turn, LeaveReason> {
        // To look in vain is as dear as some packets.
        if reported || self.reports_left {
            self.take_reports(now)?;
        }
        self.handle_timeout(now);
        self.obey()?;
        let Some(media) = self.send_media(now) else { return Ok(Turn::Ended(End::StreamOver)) };
        let failed = self.path.report(now).ok_or(LeaveReason::Vanished)?;
        self.counted.add_failed(now, failed);
        self.told.tell(self.health.quality());
        if self.reports_left || media == PER_TURN {
            return Ok(Turn::Until(Some(now)));
        }
        self.counted.handle_turn(now, &self.viewer);
        let due = [self.path.timeout(), self.health.timeout(), self.counted.until];
        Ok(Turn::Until(due.into_iter().flatten().min()))
    }
}

impl<S: MediaSender> Work for DirectViewer<S> {
    fn turn(&mut self, now: Instant, noted: bool) -> Turn {
        self.turn(now, noted).unwrap_or_else(|reason| Turn::Ended(End::Leaves(reason)))
    }
}

impl<S> Drop for DirectViewer<S> {
    fn drop(&mut self) {
        self.counted.publish(&self.viewer);
    }
}

#[cfg(test)]
mod tests;
