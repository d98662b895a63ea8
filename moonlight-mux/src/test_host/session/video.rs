//! Cuts pictures into video datagrams, as hosts do (protocol document, streams 4.2 to 4.5).

use std::time::Duration;

use super::Manner;
use crate::gamestream::fec::Code;
use crate::gamestream::wire::video::{
    BlockIndex, FecInfo, FrameHeader, FrameKind, HEADER_LEN, Header, MAX_BLOCKS, RTP_LEN, flags,
};

/// How pictures are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) manner: Manner,
    /// Bitstream bytes per datagram, 1 or more.
    pub(crate) payload_len: usize,
    /// Parity shards for each hundred data shards; 0 is none.
    pub(crate) percentage: u8,
    /// The fewest parity shards of a block, unless there are none; up to 2.
    pub(crate) min_parity: u8,
    /// So many FEC blocks, 1 to 4; `None` is as many as the host takes.
    pub(crate) blocks: Option<usize>,
}

/// A picture and its place in the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    pub(crate) number: u32,
    /// 90 kHz.
    pub(crate) timestamp: u32,
    pub(crate) host_latency: Option<Duration>,
    pub(crate) kind: FrameKind,
    pub(crate) data: &'a [u8],
}

/// A picture of more shards than its blocks can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {bytes} bytes is too long")]
pub(crate) struct TooLong {
    pub(crate) bytes: usize,
}

impl Shape {
    /// The datagrams of a picture in clear, by FEC block. `first` counts all shards of the stream before this one.
    pub(crate) fn cut(&self, first: u32, picture: &Picture<'_>) -> Result<Vec<Vec<Vec<u8>>>, TooLong> {
        let body = self.body(picture);
        let payloads: Vec<&[u8]> = body.chunks(self.payload_len).collect();
        let Blocks { len, percentage } =
            self.blocks(payloads.len()).ok_or(TooLong { bytes: picture.data.len() })?;
        let blocks = payloads.chunks(len);
        let last = (blocks.len() - 1) as u8;
        let mut next = first;
        let mut data_index = first;
        let mut datagrams = Vec::with_capacity(blocks.len());
        for (index, payloads) in blocks.enumerate() {
            let block = Block {
                picture,
                place: BlockIndex { index: index as u8, last },
                first: next,
                // Sunshine counts all shards, Wolf the data shards of a picture.
                first_index: if self.manner == Manner::Wolf { data_index } else { next },
                percentage: self.percentage(payloads.len(), percentage),
            };
            let shards = block.build(self.manner, payloads);
            next = next.wrapping_add(shards.len() as u32);
            data_index = data_index.wrapping_add(payloads.len() as u32);
            datagrams.push(shards);
        }
        Ok(datagrams)
    }

    /// Frame header and bitstream, with zeros up to whole shards.
    fn body(&self, picture: &Picture<'_>) -> Vec<u8> {
        let len = FrameHeader::LEN + picture.data.len();
        let last_payload_len = (len - 1) % self.payload_len + 1;
        // Only v2025 tells it (streams 6.3).
        let host_latency = picture.host_latency.filter(|_| self.manner == Manner::Sunshine);
        let mut body = Vec::with_capacity(len.next_multiple_of(self.payload_len));
        FrameHeader { host_latency, kind: picture.kind, last_payload_len: last_payload_len as u16 }
            .emit(&mut body);
        body.extend(picture.data);
        body.resize(len.next_multiple_of(self.payload_len), 0);
        body
    }

    /// How many data shards a block has, the last one perhaps fewer, and what FEC there is (streams 4.5). `None` where
    /// the fields of a datagram have no room.
    fn blocks(&self, shards: usize) -> Option<Blocks> {
        let count = self.blocks.unwrap_or(match self.manner {
            Manner::Sunshine => shards.div_ceil(25500 / (100 + usize::from(self.percentage))),
            // Of v0.23.1 no picture between 19 and 166 shards is recorded.
            Manner::SunshineV023 | Manner::Wolf if shards > 90 => 3,
            Manner::SunshineV023 | Manner::Wolf => 1,
        });
        let len = shards.div_ceil(count);
        let total = len
            + FecInfo { percentage: self.percentage(len, self.percentage), shard: 0, data_shards: len as u16 }
                .parity_shards() as usize;
        let percentage = self.percentage;
        if count <= MAX_BLOCKS && total <= 255 {
            return Some(Blocks { len, percentage });
        }
        // Without FEC: Sunshine takes all blocks that there are, Wolf one.
        let len = if self.manner == Manner::Wolf { shards } else { shards.div_ceil(MAX_BLOCKS) };
        (len <= MAX_SHARDS).then_some(Blocks { len, percentage: 0 })
    }

    /// A block's percentage: more where there would be too few parity shards (streams 4.4, step 4).
    fn percentage(&self, data_shards: usize, percentage: u8) -> u8 {
        let least = usize::from(self.min_parity);
        let parity = (data_shards * usize::from(percentage)).div_ceil(100);
        if percentage == 0 || parity >= least {
            return percentage;
        }
        u8::try_from(100 * least / data_shards).unwrap_or(u8::MAX)
    }
}

struct Blocks {
    len: usize,
    percentage: u8,
}

/// An FEC block of a picture.
struct Block<'a> {
    picture: &'a Picture<'a>,
    place: BlockIndex,
    /// Shards of the stream before this block.
    first: u32,
    /// Stream packet index of the first data shard.
    first_index: u32,
    percentage: u8,
}

impl Block<'_> {
    /// The datagrams: data shards, then parity shards.
    fn build(&self, manner: Manner, payloads: &[&[u8]]) -> Vec<Vec<u8>> {
        let data_shards = payloads.len();
        let shards: Vec<Vec<u8>> = payloads
            .iter()
            .enumerate()
            .map(|(shard, payload)| {
                let mut bytes = Vec::with_capacity(HEADER_LEN - RTP_LEN + payload.len());
                bytes.extend((self.first_index.wrapping_add(shard as u32) << 8).to_le_bytes());
                bytes.extend(self.picture.number.to_le_bytes());
                bytes.extend([self.flags(manner, shard, data_shards), 0, MULTI_FEC, 0, 0, 0, 0, 0]);
                bytes.extend(*payload);
                bytes
            })
            .collect();
        let fec = FecInfo { percentage: self.percentage, shard: 0, data_shards: data_shards as u16 };
        let parity = match fec.parity_shards() {
            0 => Vec::new(),
            count => Code::video(data_shards, count.into())
                .expect("a block of more shards has no FEC")
                .encode(&shards)
                .expect("the shards are those of the code, and as long as each other"),
        };
        shards
            .iter()
            .chain(&parity)
            .enumerate()
            .map(|(shard, bytes)| self.finish(manner, FecInfo { shard: shard as u16, ..fec }, bytes))
            .collect()
    }

    fn flags(&self, manner: Manner, shard: usize, data_shards: usize) -> u8 {
        let (mut start, mut end) = (shard == 0, shard + 1 == data_shards);
        if manner == Manner::Wolf {
            // It marks ends of pictures, Sunshine those of blocks.
            start &= self.place.index == 0;
            end &= self.place.index == self.place.last;
        }
        let start = if start { flags::START } else { 0 };
        flags::PICTURE | start | if end { flags::END } else { 0 }
    }

    /// A shard's place is written behind its parity is computed (streams 4.4, step 5).
    fn finish(&self, manner: Manner, fec: FecInfo, bytes: &[u8]) -> Vec<u8> {
        let index = u32::from_le_bytes(bytes[..4].try_into().expect("a slice of 4 bytes is an array of 4"));
        let header = Header {
            sequence: (self.first as u16).wrapping_add(fec.shard),
            timestamp: match manner {
                Manner::Sunshine => self.picture.timestamp,
                // It looks at the clock for each shard, which takes it about as long as a tick lasts.
                Manner::SunshineV023 => self.picture.timestamp.wrapping_add(u32::from(fec.shard) / 4),
                Manner::Wolf => 0,
            },
            packet_index: index >> 8,
            frame: self.picture.number,
            flags: bytes[8],
            extra_flags: bytes[9],
            multi_fec_flags: if manner == Manner::Wolf { MULTI_FEC } else { bytes[10] },
            block: self.place,
            fec,
        };
        let mut datagram = Vec::with_capacity(RTP_LEN + bytes.len());
        header.emit(&bytes[HEADER_LEN - RTP_LEN..], &mut datagram);
        datagram
    }
}

/// In data shards, before parity is computed.
const MULTI_FEC: u8 = 0x10;

/// What ten bits can count.
const MAX_SHARDS: usize = 1023;
