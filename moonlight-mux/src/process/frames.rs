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
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_between_frames(&self) -> bool {
        self.buffer.is_empty() && self.skipping == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All payloads of a stream that comes in pieces of these sizes, again and again; and what the decoder keeps at most.
    fn decode(stream: &[u8], pieces: &[usize], limit: usize) -> (Decoder, Vec<Bytes>, usize) {
        let (mut decoder, mut payloads, mut most) = (Decoder::new(limit), Vec::new(), 0);
        let (mut rest, mut sizes) = (stream, pieces.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().map_or(rest.len(), |size| rest.len().min(*size));
            decoder.push(&rest[..size]);
            rest = &rest[size..];
            most = most.max(decoder.buffer.capacity());
            payloads.extend(std::iter::from_fn(|| decoder.next()));
        }
        (decoder, payloads, most)
    }

    #[test]
    fn a_frame_is_its_length_and_its_payload() {
        assert_eq!(encode(b"\"Keyframe\"", MAX_MESSAGE).unwrap(), b"\x00\x00\x00\x0a\"Keyframe\"");
        assert_eq!(encode(b"", 0).unwrap(), [0; 4]);
        assert_eq!(encode(&[7; 258], 258).unwrap()[..5], [0, 0, 1, 2, 7]);
        assert_eq!(encode(&[7; 259], 258), None, "the other side would skip it");
    }

    #[test]
    fn a_frame_of_10_mb_is_skipped_while_it_streams_by() {
        const PIECE: usize = 64 * 1024;
        let mut stream = encode(b"before", MAX_MESSAGE).unwrap();
        stream.extend(encode(&vec![b'x'; 10_000_000], usize::MAX).unwrap());
        stream.extend(encode(b"behind", MAX_MESSAGE).unwrap());
        let (decoder, payloads, most) = decode(&stream, &[PIECE], MAX_MESSAGE);
        assert_eq!(payloads, ["before", "behind"]);
        assert_eq!(decoder.too_long(), 1);
        assert!(decoder.is_between_frames());
        assert!(most <= 2 * PIECE, "{most} bytes were kept");
    }

    #[test]
    fn a_frame_at_the_limit_is_taken_and_one_byte_more_is_not() {
        for (length, is_taken) in [(MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)] {
            let stream = encode(&vec![1; length], usize::MAX).unwrap();
            let (decoder, payloads, most) = decode(&stream, &[8192], MAX_MESSAGE);
            assert_eq!(payloads.len(), usize::from(is_taken), "{length}");
            assert_eq!(decoder.too_long(), u64::from(!is_taken));
            assert!(most <= 2 * (LENGTH + MAX_MESSAGE), "{most}");
        }
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_told_from_one_that_does_not() {
        let stream = encode(b"abc", 3).unwrap();
        for len in 0..=stream.len() {
            let (decoder, ..) = decode(&stream[..len], &[1], 3);
            assert_eq!(decoder.is_between_frames(), len == 0 || len == stream.len(), "{len}");
        }
        let (decoder, ..) = decode(&encode(b"abcd", 4).unwrap()[..6], &[1], 3);
        assert!(!decoder.is_between_frames(), "in what is skipped");
    }

    proptest! {
        #[test]
        fn payloads_come_out_as_they_went_in_however_the_stream_is_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20),
            limit in 0usize..80,
            pieces in proptest::collection::vec(1usize..50, 1..8),
        ) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| encode(payload, 80).unwrap()).collect();
            let (decoder, found, _) = decode(&stream, &pieces, limit);
            let (short, long): (Vec<_>, Vec<_>) =
                payloads.into_iter().partition(|payload| payload.len() <= limit);
            prop_assert_eq!(found, short);
            prop_assert_eq!(decoder.too_long(), long.len() as u64);
            prop_assert!(decoder.is_between_frames());
        }

        #[test]
        fn any_bytes_give_payloads_within_the_limit(
            stream in proptest::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..400),
            pieces in proptest::collection::vec(1usize..50, 1..8),
        ) {
            let (cut, payloads, _) = decode(&stream, &pieces, 30);
            prop_assert!(payloads.iter().all(|payload| payload.len() <= 30));
            let (whole, at_once, _) = decode(&stream, &[], 30);
            prop_assert_eq!(payloads, at_once);
            prop_assert_eq!(cut.too_long(), whole.too_long());
        }
    }
}
