//! The packets of a stream's last frames: each frame is packetised once for all viewers, and kept to be sent again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::media::{FrameNumber, VideoFrame};
use crate::webrtc::packetiser::{Packetiser, Payload};
use crate::webrtc::resend::RESEND_PACKETS;

/// Packets that are kept. Full: the oldest frames are dropped, but never the newest.
pub(crate) const KEPT_PACKETS: usize = RESEND_PACKETS as usize;

/// Bytes of payloads that are kept: more than so many packets have, unless payloads grow. Full: as above.
const KEPT_BYTES: usize = 4 << 20;

/// A frame's packets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FramePackets {
    /// The index of its first packet: packets are counted over the stream's life, in the order in which frames were first
    /// asked for.
    pub(crate) first: u64,
    /// 90 kHz, before a viewer's offset.
    pub(crate) timestamp: u32,
    pub(crate) keyframe: bool,
    /// Empty for a malformed frame.
    pub(crate) payloads: Vec<Payload>,
}

/// One stream's, shared by all of its viewers.
#[derive(Debug)]
pub(crate) struct PacketHistory {
    packetiser: Packetiser,
    /// At most [`KEPT_PACKETS`], in the order of their indices, so almost in that of their numbers.
    frames: VecDeque<(FrameNumber, Arc<FramePackets>)>,
    /// The index of the next packet.
    next: u64,
    packets: usize,
    bytes: usize,
    /// The highest number that was seen, and the highest that was dropped.
    newest: Option<FrameNumber>,
    dropped: Option<FrameNumber>,
}

impl PacketHistory {
    pub(crate) fn new(packetiser: Packetiser) -> Self {
        Self {
            packetiser,
            frames: VecDeque::new(),
            next: 0,
            packets: 0,
            bytes: 0,
            newest: None,
            dropped: None,
        }
    }

    /// A frame's packets: of one number the same for everybody who asks while it is kept.
    ///
    /// A frame that is no newer than one that was dropped already gets indices of its own, each time, and is not kept: a
    /// viewer that is so far behind takes nothing from the others, and has nothing sent again.
    pub(crate) fn packets_of(&mut self, frame: &VideoFrame) -> Arc<FramePackets> {
        if self.newest.is_some_and(|newest| frame.number <= newest)
            && let Some((_, kept)) = self.frames.iter().rev().find(|(number, _)| *number == frame.number)
        {
            return kept.clone();
        }
        let packets = Arc::new(FramePackets {
            first: self.next,
            timestamp: frame.timestamp.rtp(),
            keyframe: frame.keyframe,
            payloads: self.packetiser.packetise(frame),
        });
        self.next += packets.payloads.len() as u64;
        if self.dropped.is_none_or(|dropped| frame.number > dropped) {
            self.keep(frame.number, packets.clone());
        }
        packets
    }

    /// The frame that has the packet of this index, and which of its packets it is, if it is still kept.
    pub(crate) fn get(&self, index: u64) -> Option<(&Arc<FramePackets>, usize)> {
        let behind = self.frames.partition_point(|(_, frame)| frame.first <= index);
        // Frames without packets have the index of the next one.
        let (_, frame) = self.frames.get(behind.checked_sub(1)?)?;
        let at = usize::try_from(index.checked_sub(frame.first)?).ok()?;
        (at < frame.payloads.len()).then_some((frame, at))
    }

    fn keep(&mut self, number: FrameNumber, frame: Arc<FramePackets>) {
        self.newest = self.newest.max(Some(number));
        self.packets += frame.payloads.len();
        self.bytes += bytes_of(&frame);
        self.frames.push_back((number, frame));
        while self.frames.len() > 1 && self.is_over() {
            let Some((number, frame)) = self.frames.pop_front() else { break };
            self.packets -= frame.payloads.len();
            self.bytes -= bytes_of(&frame);
            self.dropped = self.dropped.max(Some(number));
        }
    }

    fn is_over(&self) -> bool {
        self.packets > KEPT_PACKETS || self.bytes > KEPT_BYTES || self.frames.len() > KEPT_PACKETS
    }
}

fn bytes_of(frame: &FramePackets) -> usize {
    frame.payloads.iter().map(|payload| payload.bytes.len()).sum()
}

#[cfg(test)]
mod tests;
