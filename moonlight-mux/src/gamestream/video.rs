//! Video datagrams to whole frames, in order, without gaps that a decoder would stumble over.
//!
//! # Reordering
//! The frame that is due and the one behind it are open at the same time, each with all its FEC blocks, so shards
//! may come in any order within both. The due frame is given up when the first datagram of a frame beyond the
//! two arrives, or [`REORDERING`] after the first datagram of the one behind it. The reference client gives up at
//! once, which turns each reordering between blocks or frames into a loss (streams 6.2).
//!
//! # Loss
//! Reference frame invalidation is not used: after a loss, and at the start, nothing is handed on before a key
//! frame. The key frame is asked for when the next frame is whole, a sign that the network works again, then once
//! more after each further loss or 120 frames (streams 6.5). A key frame that is whole is handed on at once then:
//! whatever is missing in front of it could not be decoded.

mod assembly;
mod keyframe;
mod timeline;

use std::collections::VecDeque;
use std::time::Instant;

use self::assembly::{Assembly, Body};
use self::timeline::Timeline;
use super::REORDERING;
use super::control::MAX_FEC_STATUSES;
use super::wire::control::FecStatus;
use super::wire::video::Packet;
use crate::media::{FrameNumber, VideoCodec, VideoFrame};

/// The video stream's receiving end.
#[derive(Debug)]
pub(crate) struct Video {
    codec: VideoCodec,
    /// The frame that is due. Hosts count from 0 (Wolf of 2024) or 1; both are accepted.
    next: u64,
    /// The frames `next` and `next + 1`.
    window: [Slot; WINDOW],
    refresh: Refresh,
    refresh_wanted: bool,
    timeline: Timeline,
    /// At most [`READY`] and one. Full: it is emptied, and only a key frame goes on (streams 6.5).
    ready: VecDeque<Output>,
    /// At most [`MAX_FEC_STATUSES`]; a new one pushes the oldest out, as where they go next.
    fec_statuses: VecDeque<FecStatus>,
}

/// What comes out, in the order of the frames.
#[derive(Debug)]
pub(crate) enum Output {
    /// To hand on.
    Frame(VideoFrame),
    /// Whole, and not to be handed on: what it refers to was lost.
    HeldBack(VideoFrame),
    /// FEC repaired this frame, which comes out next.
    Repaired(FrameNumber),
}

/// A frame's place in the window.
#[derive(Debug)]
enum Slot {
    /// Nothing of it has arrived.
    Empty,
    Open(Assembly),
    Whole {
        keyframe: bool,
        body: Body,
    },
    /// All of it arrived, and it is not a frame.
    Broken {
        received: Instant,
    },
}

/// Whether a key frame is needed before anything else may be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    NotNeeded,
    /// Needed, and to be asked for when the next frame is whole.
    Needed,
    /// Asked for, and this many frames ago.
    Asked {
        dropped: u32,
    },
}

/// Frames that are open at the same time.
const WINDOW: usize = 2;

/// As many frames as the reference client's queue holds. The driver empties it after each datagram, and one
/// datagram gives at most two frames, each with a word on its repair.
const READY: usize = 15;

/// After so many frames without a key frame, it is asked for again (streams 6.5).
const ASK_AGAIN: u32 = 120;

impl Video {
    pub(crate) fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            next: 0,
            window: [const { Slot::Empty }; WINDOW],
            refresh: Refresh::Needed,
            refresh_wanted: false,
            timeline: Timeline::default(),
            ready: VecDeque::with_capacity(READY),
            fec_statuses: VecDeque::new(),
        }
    }

    /// Whether a datagram of this frame, by its number on the wire, comes too late to be of use.
    pub(crate) fn is_past(&self, frame: u32) -> bool {
        self.place(frame).is_none()
    }

    /// Takes in one datagram, in clear.
    pub(crate) fn handle(&mut self, now: Instant, packet: &Packet<'_>) {
        let header = packet.header();
        let Some(place) = self.place(header.frame) else { return };
        let ahead = place - self.next;
        if ahead >= WINDOW as u64 {
            self.advance(place - (WINDOW as u64 - 1));
            self.deliver();
        }
        let slot = &mut self.window[(place - self.next) as usize];
        if matches!(slot, Slot::Empty) {
            *slot = Slot::Open(Assembly::new(now, &header, packet.shard()));
        }
        let Slot::Open(assembly) = slot else { return };
        if let Err(error) = assembly.insert(&header, packet.shard()) {
            tracing::debug!(frame = place, %error, "video datagram dropped");
            return;
        }
        if assembly.is_complete() {
            self.finish((place - self.next) as usize);
            self.deliver();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let [_, behind @ ..] = &self.window;
        behind.iter().find_map(Slot::received).map(|received| received + REORDERING)
    }

    /// Gives up the due frame, if it is held up longer than datagrams are reordered.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.shift();
            self.deliver();
        }
    }

    /// The next thing that came out.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    /// Whether the host shall be asked for a key frame, since the last call.
    pub(crate) fn poll_refresh(&mut self) -> bool {
        std::mem::take(&mut self.refresh_wanted)
    }

    /// The next report on a FEC block that lacked data.
    pub(crate) fn poll_fec_status(&mut self) -> Option<FecStatus> {
        self.fec_statuses.pop_front()
    }

    /// A frame's number as it counts on past 32 bits; `None` if that is behind the frame that is due.
    fn place(&self, frame: u32) -> Option<u64> {
        let ahead = frame.wrapping_sub(self.next as u32);
        (ahead <= i32::MAX as u32).then(|| self.next + u64::from(ahead))
    }

    fn finish(&mut self, at: usize) {
        let Slot::Open(assembly) = std::mem::replace(&mut self.window[at], Slot::Empty) else { return };
        self.report(at, &assembly);
        let received = assembly.received();
        self.window[at] = match assembly.finish() {
            Ok(body) => {
                let keyframe = keyframe::is_keyframe(self.codec, body.header.kind, &body.data);
                Slot::Whole { keyframe, body }
            }
            Err(error) => {
                tracing::debug!(frame = self.next + at as u64, %error, "video frame dropped");
                Slot::Broken { received }
            }
        };
    }

    /// Hands on what is whole at the front of the window.
    fn deliver(&mut self) {
        if self.refresh != Refresh::NotNeeded
            && let Some(at) = self.window.iter().position(|s| matches!(s, Slot::Whole { keyframe: true, .. }))
        {
            self.advance(self.next + at as u64);
        }
        while matches!(self.window[0], Slot::Whole { .. } | Slot::Broken { .. }) {
            self.shift();
        }
    }

    /// Makes `next` the frame that is due: hands on what is whole before it, and gives up the rest.
    fn advance(&mut self, next: u64) {
        for _ in 0..WINDOW {
            if self.next < next {
                self.shift();
            }
        }
        if self.next < next {
            self.lose(next - self.next);
            self.next = next;
        }
    }

    /// Takes the due frame out of the window, whole or not.
    fn shift(&mut self) {
        let slot = std::mem::replace(&mut self.window[0], Slot::Empty);
        self.window.rotate_left(1);
        match slot {
            Slot::Whole { keyframe, body } => self.hand_on(keyframe, body),
            Slot::Open(assembly) => {
                self.report(0, &assembly);
                self.lose(1);
            }
            Slot::Empty | Slot::Broken { .. } => self.lose(1),
        }
        self.next += 1;
    }

    /// Reports on the frame at this place of the window.
    fn report(&mut self, at: usize, assembly: &Assembly) {
        for status in assembly.fec_statuses((self.next + at as u64) as u32) {
            if self.fec_statuses.len() == MAX_FEC_STATUSES {
                self.fec_statuses.pop_front();
            }
            self.fec_statuses.push_back(status);
        }
    }

    fn lose(&mut self, frames: u64) {
        tracing::debug!(first = self.next, frames, "video frames lost");
        self.refresh = Refresh::Needed;
    }

    fn hand_on(&mut self, keyframe: bool, body: Body) {
        let frame = VideoFrame {
            number: FrameNumber(self.next),
            timestamp: self.timeline.stamp(body.rtp_timestamp, body.received),
            keyframe,
            host_latency: body.header.host_latency,
            data: body.data,
        };
        if keyframe {
            self.refresh = Refresh::NotNeeded;
        }
        if self.ready.len() >= READY {
            self.ready.clear();
            if !keyframe {
                self.refresh = Refresh::Needed;
            }
        }
        if body.repaired {
            self.ready.push_back(Output::Repaired(frame.number));
        }
        match self.refresh {
            Refresh::NotNeeded => return self.ready.push_back(Output::Frame(frame)),
            Refresh::Asked { dropped } if dropped < ASK_AGAIN => {
                self.refresh = Refresh::Asked { dropped: dropped + 1 };
            }
            Refresh::Needed | Refresh::Asked { .. } => self.ask(),
        }
        self.ready.push_back(Output::HeldBack(frame));
    }

    fn ask(&mut self) {
        self.refresh = Refresh::Asked { dropped: 1 };
        self.refresh_wanted = true;
    }
}

impl Slot {
    /// When its first datagram arrived, if any has.
    fn received(&self) -> Option<Instant> {
        match self {
            Self::Empty => None,
            Self::Open(assembly) => Some(assembly.received()),
            Self::Whole { body, .. } => Some(body.received),
            Self::Broken { received } => Some(*received),
        }
    }
}

#[cfg(test)]
mod tests;
