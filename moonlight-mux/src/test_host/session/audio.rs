//! Makes audio datagrams, as hosts do (protocol document, streams 7.2 and 7.3).

use std::time::Duration;

use super::Manner;
use crate::gamestream::crypto::AudioCipher;
use crate::gamestream::fec::Code;
use crate::gamestream::wire::audio::{Data, GROUP_DATA, Parity};

/// One stream of sound.
#[derive(Debug)]
pub(crate) struct AudioPacketiser {
    manner: Manner,
    cipher: Option<AudioCipher>,
    packet_duration: Duration,
    /// Packets so far; its low 16 bits number the next one.
    count: u64,
    /// The payloads of the group that has begun: fewer than [`GROUP_DATA`].
    group: Vec<Vec<u8>>,
}

impl AudioPacketiser {
    pub(crate) fn new(manner: Manner, cipher: Option<AudioCipher>, packet_duration: Duration) -> Self {
        Self { manner, cipher, packet_duration, count: 0, group: Vec::new() }
    }

    /// In clear, and in the middle of a stream.
    #[cfg(any(test, feature = "bench-support"))]
    pub(crate) fn starting_at(sequence: u16, packet_duration: Duration) -> Self {
        Self { count: sequence.into(), ..Self::new(Manner::Sunshine, None, packet_duration) }
    }

    /// The datagrams for an Opus packet: its own, and behind each fourth the parity of the four. Without parity where
    /// the four are not as long as each other: hosts encode at a constant rate.
    pub(crate) fn packetise(&mut self, opus: &[u8]) -> Vec<Vec<u8>> {
        let sequence = self.count as u16;
        let payload = match &self.cipher {
            Some(cipher) => cipher.seal(sequence, opus),
            None => opus.to_vec(),
        };
        let mut datagram = Vec::new();
        Data { sequence, timestamp: self.timestamp(self.count), payload: &payload }.emit(&mut datagram);
        let mut datagrams = vec![datagram];
        self.group.push(payload);
        self.count += 1;
        if self.group.len() == GROUP_DATA {
            let base = self.count - GROUP_DATA as u64;
            datagrams.extend(self.parity(base));
            self.group.clear();
        }
        datagrams
    }

    fn parity(&self, base: u64) -> Vec<Vec<u8>> {
        let (base_sequence, base_timestamp) = (base as u16, self.timestamp(base));
        let offset = if self.manner == Manner::Wolf { 3 } else { 4 };
        let parity = Code::AUDIO.encode(&self.group).unwrap_or_default();
        let datagrams = parity.iter().enumerate().map(|(index, payload)| {
            let sequence = base_sequence.wrapping_add(offset + index as u16);
            let mut datagram = Vec::new();
            Parity { sequence, index: index as u8, base_sequence, base_timestamp, payload }
                .emit(&mut datagram);
            datagram
        });
        datagrams.collect()
    }

    /// In milliseconds; goes on past the sequence number's wrap.
    fn timestamp(&self, count: u64) -> u32 {
        (count as u32).wrapping_mul(self.packet_duration.as_millis() as u32)
    }
}
