//! What one viewer gets: every RTP packet is counted, and opened. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::srtp::{Header, Key};
use crate::measure::frame;

/// What was counted since the last [`Crowd::take`](super::Crowd::take).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// RTP packets that came.
    pub packets: u64,
    /// Sequence numbers that were used: from the highest one that was counted before to the highest one now.
    pub expected: u64,
    /// Bytes of the datagrams that the packets were.
    pub bytes: u64,
    /// Packets that were opened.
    pub opened: u64,
    /// Packets that were not authentic.
    pub forged: u64,
    /// Packets that came while there was no key.
    pub unknown: u64,
    /// Whole frames, as far as their first and their last packet tell.
    pub frames: Vec<FrameTimes>,
}

impl Counts {
    /// Adds another viewer's.
    pub fn add(&mut self, other: Self) {
        let Self { packets, expected, bytes, opened, forged, unknown, frames } = other;
        self.packets += packets;
        self.expected += expected;
        self.bytes += bytes;
        self.opened += opened;
        self.forged += forged;
        self.unknown += unknown;
        self.frames.extend(frames);
    }

    /// The share of the packets that did not come, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        let lost = self.expected.saturating_sub(self.packets);
        if self.expected == 0 { 1.0 } else { lost as f64 / self.expected as f64 }
    }
}

/// When a frame's last packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameTimes {
    /// When it was made, since 1970.
    pub made_at: Duration,
    /// From the last packet of the frame before; `None` for the first one.
    pub gap: Option<Duration>,
    /// From when the frame was made.
    pub latency: Duration,
}

/// One viewer's packets.
#[derive(Default)]
pub(super) struct Receiver {
    key: Option<Key>,
    /// A session has a handful.
    streams: Vec<Stream>,
    /// Of so many packets one is opened, beside each frame's first; 0 is 1.
    open_every: u64,
    arrived: u64,
    /// The frame that is coming: its RTP timestamp, and when it was made.
    coming: Option<(u32, Duration)>,
    last_frame: Option<Duration>,
    counts: Counts,
}

struct Stream {
    ssrc: u32,
    /// The highest sequence number, extended by how often it wrapped.
    highest: u64,
    /// Up to where [`Counts::expected`] has been told.
    told: u64,
}

impl Receiver {
    pub(super) fn new(open_every: u64) -> Self {
        Self { open_every, ..Self::default() }
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn has_aes_128_gcm(&self) -> bool {
        self.key.as_ref().is_some_and(Key::is_aes_128_gcm)
    }

    pub(super) fn set_key(&mut self, key: Key) {
        self.key = Some(key);
    }

    /// A datagram came; `at` is since 1970. False when it is no RTP packet, and untouched then.
    pub(super) fn handle_datagram(&mut self, at: Duration, datagram: &mut [u8]) -> bool {
        let Some(header) = Header::parse(datagram) else { return false };
        self.counts.packets += 1;
        self.counts.bytes += datagram.len() as u64;
        let index = self.index(&header);
        let Some(key) = &self.key else {
            self.counts.unknown += 1;
            return true;
        };
        let is_new_frame = self.coming.is_none_or(|(timestamp, _)| timestamp != header.timestamp);
        self.arrived += 1;
        if !is_new_frame && !self.arrived.is_multiple_of(self.open_every.max(1)) {
            self.finish(&header, at);
            return true;
        }
        let Some(payload) = key.open(&header, index, datagram) else {
            self.counts.forged += 1;
            return true;
        };
        self.counts.opened += 1;
        if let Some(made_at) = frame::made_at(payload) {
            self.coming = Some((header.timestamp, made_at));
        }
        self.finish(&header, at);
        true
    }

    /// The counts up to now, and begins anew.
    pub(super) fn take(&mut self) -> Counts {
        for stream in &mut self.streams {
            self.counts.expected += stream.highest - stream.told;
            stream.told = stream.highest;
        }
        std::mem::take(&mut self.counts)
    }

    fn index(&mut self, header: &Header) -> u64 {
        let sequence = u64::from(header.sequence);
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == header.ssrc) else {
            if self.streams.len() < MAX_STREAMS {
                // One less than the first, which is expected then.
                let stream =
                    Stream { ssrc: header.ssrc, highest: sequence, told: sequence.saturating_sub(1) };
                self.streams.push(stream);
            }
            return sequence;
        };
        // The nearest to the highest one (RFC 3711, 3.3.1).
        let ahead = header.sequence.wrapping_sub(stream.highest as u16).cast_signed();
        let index = stream.highest.saturating_add_signed(ahead.into());
        stream.highest = stream.highest.max(index);
        index
    }

    /// If it is a frame's last packet, the frame is here.
    fn finish(&mut self, header: &Header, at: Duration) {
        let Some((timestamp, made_at)) = self.coming else { return };
        if header.marker && timestamp == header.timestamp {
            let gap = self.last_frame.replace(at).map(|last| at.saturating_sub(last));
            self.counts.frames.push(FrameTimes { made_at, gap, latency: at.saturating_sub(made_at) });
        }
    }
}

/// Picture, its retransmissions, sound.
const MAX_STREAMS: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::srtp::{HEADER, TAG};
    use super::*;

    const KEY: [u8; 16] = [7; 16];
    const SALT: [u8; 12] = [9; 12];

    fn packet(index: u64, timestamp: u32, payload: &[u8], marker: bool) -> Vec<u8> {
        let header =
            Header { marker, payload_type: 109, sequence: index as u16, timestamp, ssrc: 1, len: HEADER };
        let mut packet = [&header.to_bytes(), payload, &[0; TAG]].concat();
        assert!(Key::gcm128(KEY, SALT).unwrap().seal(1, index, &mut packet));
        packet
    }

    fn receiver() -> Receiver {
        let mut receiver = Receiver::new(1);
        receiver.set_key(Key::gcm128(KEY, SALT).unwrap());
        receiver
    }

    #[test]
    fn packets_are_opened_and_loss_and_frames_are_counted() {
        let mut receiver = receiver();
        let ms = Duration::from_millis;
        for (frame, first) in [(0u32, 0xfffe_u64), (1, 0x1_0001), (2, 0x1_0004)] {
            let payloads = frame::payloads(3, ms(u64::from(frame) * 16));
            for (i, payload) in payloads.iter().enumerate() {
                // The second packet of the second frame is lost.
                if (frame, i) != (1, 1) {
                    let mut packet = packet(first + i as u64, frame, payload, i == 2);
                    assert!(receiver.handle_datagram(ms(5 + u64::from(frame) * 20), &mut packet));
                }
            }
        }
        let counts = receiver.take();
        assert_eq!((counts.packets, counts.expected, counts.opened, counts.forged), (8, 9, 8, 0));
        let gap = Some(ms(20));
        let expected = [(0, None, 5), (16, gap, 9), (32, gap, 13)];
        let frames = expected.map(|(made_at, gap, latency)| FrameTimes {
            made_at: ms(made_at),
            gap,
            latency: ms(latency),
        });
        assert_eq!(counts.frames, frames);
        assert_eq!(receiver.take(), Counts::default());
    }

    #[test]
    fn what_is_not_authentic_or_no_rtp_is_told_apart() {
        let mut receiver = receiver();
        let mut forged = packet(1, 0, &[0x41; 30], true);
        forged[20] ^= 1;
        assert!(receiver.handle_datagram(Duration::ZERO, &mut forged));
        assert!(!receiver.handle_datagram(Duration::ZERO, &mut [0x80, 200, 0, 1]));
        let counts = receiver.take();
        assert_eq!((counts.packets, counts.opened, counts.forged), (1, 0, 1));
    }

    proptest! {
        #[test]
        fn every_order_of_close_packets_is_opened(swaps in prop::collection::vec(1usize..39, 0..60)) {
            let mut order: Vec<u64> = (0xffec..0xffec + 40).collect();
            for at in swaps {
                order.swap(at, at + 1);
            }
            let mut receiver = receiver();
            for &index in &order {
                receiver.handle_datagram(Duration::ZERO, &mut packet(index, 0, &[0x41; 30], false));
            }
            let counts = receiver.take();
            prop_assert_eq!((counts.packets, counts.opened), (40, 40));
        }
    }
}
