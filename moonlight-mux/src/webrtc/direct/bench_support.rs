//! What the benches call: frames into packets, and packets into what leaves for one viewer. No public interface.

use std::sync::Arc;

use bytes::Bytes;

use super::burst::{MAX_SEGMENTS, bursts};
use super::history::{FramePackets, PacketHistory};
use super::rtp::{ExtendedSequence, Header};
use super::sent::Sent;
use super::srtp::{MasterKey, Profile, RtpSealer};
use crate::media::{FrameNumber, VideoCodec, VideoFrame, VideoTimestamp};
use crate::webrtc::packetiser::Packetiser;

/// How a viewer's packets are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// AEAD_AES_128_GCM.
    Gcm,
    /// AES_CM_128_HMAC_SHA1_80.
    CmHmac,
}

impl Encryption {
    fn sealer(self) -> RtpSealer {
        let profile = match self {
            Self::Gcm => Profile::AeadAes128Gcm,
            Self::CmHmac => Profile::Aes128CmHmacSha1_80,
        };
        RtpSealer::new(profile, &MasterKey { key: [7; 16], salt: [9; 14] })
    }
}

/// One picture, and a viewer who gets it again and again.
#[derive(Debug)]
pub struct FanOut {
    packetiser: Packetiser,
    frame: VideoFrame,
    packets: Arc<FramePackets>,
    sealer: RtpSealer,
    sent: Sent,
    out: Vec<u8>,
    lens: Vec<usize>,
}

impl FanOut {
    /// `size`: bytes of the picture, one slice or one OBU; less than 2 MiB.
    #[must_use]
    pub fn new(codec: VideoCodec, size: usize) -> Self {
        let packetiser = Packetiser::of(codec);
        let mut data: Vec<u8> = match codec {
            VideoCodec::H264 => vec![0, 0, 0, 1, 0x61],
            VideoCodec::Hevc => vec![0, 0, 0, 1, 0x02, 0x01],
            // A frame with a size of three bytes.
            VideoCodec::Av1 => {
                let body = size.saturating_sub(4);
                vec![0x32, body as u8 | 0x80, (body >> 7) as u8 | 0x80, (body >> 14) as u8 & 0x7f]
            }
        };
        // As in what an encoder makes, a zero byte now and then and no start code.
        data.extend((data.len()..size).map(|i| (i as u8).wrapping_mul(167)));
        let frame = VideoFrame {
            number: FrameNumber(1),
            timestamp: VideoTimestamp(1500),
            keyframe: false,
            host_latency: None,
            data: Bytes::from(data),
        };
        let packets = PacketHistory::new(packetiser).packets_of(&frame);
        let sealer = Encryption::Gcm.sealer();
        let sent = Sent::new(ExtendedSequence(0));
        Self { packetiser, frame, packets, sealer, sent, out: Vec::new(), lens: Vec::new() }
    }

    /// One more viewer of the same packets.
    #[must_use]
    pub fn another_viewer(&self) -> Self {
        Self {
            packetiser: self.packetiser,
            frame: self.frame.clone(),
            packets: Arc::clone(&self.packets),
            sealer: Encryption::Gcm.sealer(),
            sent: Sent::new(ExtendedSequence(0)),
            out: Vec::new(),
            lens: Vec::new(),
        }
    }

    /// Splits the picture; how many packets it has.
    #[must_use]
    pub fn packetise(&self) -> usize {
        self.packetiser.packetise(&self.frame).len()
    }

    /// All that the processor does to send the picture to one viewer, but for the system calls; how many these would be.
    pub fn to_viewer(&mut self) -> usize {
        let Self { packets, sealer, sent, out, lens, .. } = self;
        out.clear();
        lens.clear();
        let mut sequence = sent.push(packets.first, packets.payloads.len(), packets.payloads.len());
        for payload in &packets.payloads {
            let header = Header {
                marker: payload.marker,
                payload_type: 102,
                sequence: sequence.advance(1),
                timestamp: packets.timestamp,
                ssrc: 7,
                playout_delay: None,
            };
            let start = out.len();
            sealer.write(out, &header, &payload.bytes);
            lens.push(out.len() - start);
        }
        bursts(lens.iter().copied(), MAX_SEGMENTS).count()
    }

    /// Bytes that the last [`to_viewer`](Self::to_viewer) made.
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len()
    }
}

/// Seals one RTP packet again and again.
#[derive(Debug)]
pub struct SealOne {
    sealer: RtpSealer,
    next: ExtendedSequence,
    payload: Vec<u8>,
    out: Vec<u8>,
}

impl SealOne {
    /// `size`: bytes of payload.
    #[must_use]
    pub fn new(size: usize, encryption: Encryption) -> Self {
        let sealer = encryption.sealer();
        Self { sealer, next: ExtendedSequence(0), payload: vec![5; size], out: Vec::new() }
    }

    /// Header, payload and tag, each time under the next number; how many bytes they are.
    pub fn seal(&mut self) -> usize {
        self.out.clear();
        let header = Header {
            marker: false,
            payload_type: 102,
            sequence: self.next.advance(1),
            timestamp: 1500,
            ssrc: 7,
            playout_delay: None,
        };
        self.sealer.write(&mut self.out, &header, &self.payload);
        self.out.len()
    }
}
