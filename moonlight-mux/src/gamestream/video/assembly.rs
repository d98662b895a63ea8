//! One frame being put together from its shards.

use std::time::Instant;

use bytes::Bytes;

use crate::gamestream::fec::{self, Code};
use crate::gamestream::wire::Malformed;
use crate::gamestream::wire::control::FecStatus;
use crate::gamestream::wire::video::{FecInfo, FrameHeader, HEADER_LEN, Header, MAX_BLOCKS, RTP_LEN, Shard};

/// A frame with shards missing.
///
/// Holds what was received and nothing else: at most 4 blocks of 1023 shards of 2032 bytes, 8.3 MB.
#[derive(Debug)]
pub(super) struct Assembly {
    /// When its first shard came.
    received: Instant,
    last_block: u8,
    shard_len: usize,
    blocks: [Option<Block>; MAX_BLOCKS],
    /// The lowest shard index seen in block 0, with that shard's timestamp: it stamps the frame (streams 6.6).
    stamp: Option<(u16, u32)>,
}

#[derive(Debug)]
struct Block {
    /// Of its shard 0.
    first_sequence: u16,
    data_shards: u16,
    percentage: u8,
    /// Data, then parity.
    shards: Vec<Option<Box<[u8]>>>,
    present: u16,
}

/// A frame's encoded bytes, with what its first shard says about it.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) received: Instant,
    pub(super) rtp_timestamp: u32,
    pub(super) header: FrameHeader,
    /// Whether data shards were missing.
    pub(super) repaired: bool,
    pub(super) data: Bytes,
}

/// A shard that does not fit the others of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard contradicts others of its frame")]
pub(super) struct Contradiction;

/// Why all shards together are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Broken {
    #[error("the FEC block cannot be restored")]
    Fec(#[from] fec::Error),
    #[error("a restored shard has impossible flags")]
    Flags,
    #[error("the frame header is malformed")]
    Header(#[from] Malformed),
    #[error("the last payload length does not fit the shards")]
    Length,
}

impl Assembly {
    /// An empty frame of the same make as this first shard.
    pub(super) fn new(now: Instant, header: &Header, shard: Shard<'_>) -> Self {
        Self {
            received: now,
            last_block: header.block.last,
            shard_len: shard.0.len(),
            blocks: [const { None }; MAX_BLOCKS],
            stamp: None,
        }
    }

    pub(super) fn received(&self) -> Instant {
        self.received
    }

    /// Adds a shard; one that is there already, or that its block can do without, changes nothing.
    pub(super) fn insert(&mut self, header: &Header, shard: Shard<'_>) -> Result<(), Contradiction> {
        if header.block.last != self.last_block || shard.0.len() != self.shard_len {
            return Err(Contradiction);
        }
        let block = self.blocks[usize::from(header.block.index)].get_or_insert_with(|| Block::new(header));
        if block.data_shards != header.fec.data_shards || block.percentage != header.fec.percentage {
            return Err(Contradiction);
        }
        block.insert(header.fec.shard, shard);
        if header.block.index == 0 && self.stamp.is_none_or(|(lowest, _)| header.fec.shard < lowest) {
            self.stamp = Some((header.fec.shard, header.timestamp));
        }
        Ok(())
    }

    /// Whether every block has as many shards as it has data shards.
    pub(super) fn is_complete(&self) -> bool {
        self.blocks[..=usize::from(self.last_block)]
            .iter()
            .all(|b| b.as_ref().is_some_and(Block::is_complete))
    }

    /// What the host is told of the blocks that lack data, as far as anything of them arrived: they have to be
    /// repaired, or are given up.
    pub(super) fn fec_statuses(&self, frame: u32) -> impl Iterator<Item = FecStatus> {
        let blocks = (0..).zip(&self.blocks).filter_map(|(index, block)| Some((index, block.as_ref()?)));
        let lacking = blocks.filter(|(_, block)| block.lacks_data());
        lacking.map(move |(index, block)| block.status(frame, index, self.last_block + 1))
    }

    /// Restores what is missing and joins the shards: frame header, access unit, without the padding behind it.
    pub(super) fn finish(self) -> Result<Body, Broken> {
        let payload_len = self.shard_len - (HEADER_LEN - RTP_LEN);
        let blocks = self.blocks.iter().flatten();
        let repaired = blocks.clone().any(Block::lacks_data);
        let count: usize = blocks.clone().map(|block| usize::from(block.data_shards)).sum();
        let mut joined = Vec::with_capacity(count * payload_len);
        for block in blocks {
            block.join(&mut joined)?;
        }
        let header = FrameHeader::parse(&joined)?;
        let last = usize::from(header.last_payload_len);
        let len = count.saturating_sub(1) * payload_len + last;
        if last == 0 || last > payload_len || len <= FrameHeader::LEN {
            return Err(Broken::Length);
        }
        let data = Bytes::from(joined).slice(FrameHeader::LEN..len);
        let rtp_timestamp = self.stamp.map_or(0, |(_, timestamp)| timestamp);
        Ok(Body { received: self.received, rtp_timestamp, header, repaired, data })
    }
}

impl Block {
    fn new(header: &Header) -> Self {
        let FecInfo { percentage, data_shards, shard } = header.fec;
        let count = data_shards + header.fec.parity_shards();
        let first_sequence = header.sequence.wrapping_sub(shard);
        Self { first_sequence, data_shards, percentage, shards: vec![None; count.into()], present: 0 }
    }

    fn insert(&mut self, index: u16, shard: Shard<'_>) {
        if self.is_complete() {
            return;
        }
        // The index is below the number of shards: the packet was checked, and its counts are those of the block.
        if let Some(slot @ None) = self.shards.get_mut(usize::from(index)) {
            *slot = Some(shard.0.into());
            self.present += 1;
        }
    }

    fn is_complete(&self) -> bool {
        self.present >= self.data_shards
    }

    fn lacks_data(&self) -> bool {
        self.shards[..self.data_shards.into()].contains(&None)
    }

    fn status(&self, frame: u32, block: u8, blocks: u8) -> FecStatus {
        let count = |shards: &[Option<Box<[u8]>>]| shards.iter().flatten().count() as u16;
        let (data, parity) = self.shards.split_at(self.data_shards.into());
        let highest = self.shards.iter().rposition(Option::is_some).unwrap_or(0);
        let missing = self.shards.iter().position(Option::is_none).unwrap_or(self.shards.len());
        FecStatus {
            frame,
            highest_sequence: self.first_sequence.wrapping_add(highest as u16),
            next_missing_sequence: self.first_sequence.wrapping_add(missing as u16),
            missing_before_highest: highest as u16 - count(&self.shards[..highest]),
            data_shards: self.data_shards,
            parity_shards: parity.len() as u16,
            received_data_shards: count(data),
            received_parity_shards: count(parity),
            percentage: self.percentage,
            block,
            blocks,
        }
    }

    /// Appends the payloads of the data shards.
    fn join(&self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let (data, parity) = self.shards.split_at(self.data_shards.into());
        let restored = if self.lacks_data() {
            let code = Code::video(data.len(), parity.len()).ok_or(fec::Error::TooFew)?;
            code.restore(&self.shards)?
        } else {
            Vec::new()
        };
        let mut restored = restored.iter().map(|(_, shard)| Shard(shard));
        for shard in data {
            let shard = match shard {
                Some(shard) => Shard(shard),
                None => restored.next().filter(Shard::is_picture_data).ok_or(Broken::Flags)?,
            };
            out.extend(shard.payload());
        }
        Ok(())
    }
}
