//! Frames on a byte stream between two processes: `u32` length in big-endian order, then so many bytes of payload.

use bytes::{Buf, Bytes, BytesMut};

/// The longest payload of a control message, in bytes: a hundred times what any message has.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// The bytes of the length in front of a payload.
pub(crate) const LENGTH: usize = 4;

/// A frame with this payload. `None` if it is longer than `limit`, which the other side would skip.
pub(crate) fn encode(payload: &[u8], limit: usize) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= limit)?;
    let mut frame = Vec::with_capacity(LENGTH + payload.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    Some(frame)
}

/// Takes frames out of a byte stream, however that is cut into pieces.
///
/// A payload over the limit is skipped as it streams by: no more is kept than a frame of the limit and the piece that was
/// pushed last, if [`next`](Self::next) is called until it gives `None` after each [`push`](Self::push).
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    buffer: BytesMut,
    /// Bytes of a too long payload that are still to come.
    skipping: usize,
    too_long: u64,
}

impl Decoder {
    /// For payloads of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, buffer: BytesMut::new(), skipping: 0, too_long: 0 }
    }

    /// What was read next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skipping.min(bytes.len());
        self.skipping -= skipped;
        self.buffer.extend_from_slice(&bytes[skipped..]);
    }

    /// The next whole payload; `None` until more was pushed.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        loop {
            let header = self.buffer.first_chunk::<LENGTH>()?;
            // Saturating where a usize has 16 bits, which no such machine could have in memory anyway.
            let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
            if length > self.limit {
                self.buffer.advance(LENGTH);
                let skipped = length.min(self.buffer.len());
                self.buffer.advance(skipped);
                self.skipping = length - skipped;
                self.too_long = self.too_long.saturating_add(1);
                continue;
            }
            if self.buffer.len() < LENGTH + length {
                return None;
            }
            self.buffer.advance(LENGTH);
            return Some(self.buffer.split_to(length).freeze());
        }
    }

    /// How many frames were too long.
    pub(crate) fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Whether the stream may end here: not in the middle of a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.buffer.is_empty() && self.skipping == 0
    }
}
