//! Datagrams on a byte stream, each behind its length in 16 bits, big-endian (RFC 4571, 2; for ICE-TCP: RFC 6544, 3). Pure.

/// The bytes of a length.
const HEADER: usize = 2;

/// The length that goes before a datagram; `None` when 16 bits cannot say it.
pub(super) fn header(datagram: &[u8]) -> Option<[u8; HEADER]> {
    u16::try_from(datagram.len()).ok().map(u16::to_be_bytes)
}

/// Takes a byte stream apart. Holds no more than one frame.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: usize,
    /// A frame with its length, as far as it has come.
    frame: Vec<u8>,
    /// Whether `frame` has been given out.
    given: bool,
}

/// A frame is longer than anything that can be meant. Final: the stream has no way on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes, and {limit} are allowed")]
pub(super) struct FrameTooLong {
    length: usize,
    limit: usize,
}

impl Decoder {
    /// For frames of up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, frame: Vec::new(), given: false }
    }

    /// The next frame, taken from the front of `input`; `None` when all of `input` is taken and the frame is not complete.
    /// A frame may be empty.
    ///
    /// # Errors
    /// [`FrameTooLong`], then again and again.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, FrameTooLong> {
        if std::mem::take(&mut self.given) {
            self.frame.clear();
        }
        if !self.fill(HEADER, input) {
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes([self.frame[0], self.frame[1]]));
        if length > self.limit {
            return Err(FrameTooLong { length, limit: self.limit });
        }
        self.given = self.fill(HEADER + length, input);
        Ok(self.given.then(|| &self.frame[HEADER..]))
    }

    /// Moves bytes from `input` until the frame has `target`, and says whether it has.
    fn fill(&mut self, target: usize, input: &mut &[u8]) -> bool {
        let missing = target.saturating_sub(self.frame.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.frame.extend_from_slice(taken);
        *input = rest;
        self.frame.len() >= target
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(limit: usize, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let mut decoder = Decoder::new(limit);
        let mut frames = Vec::new();
        for mut input in chunks.iter().copied() {
            while let Some(frame) = decoder.next(&mut input)? {
                frames.push(frame.to_vec());
            }
            assert!(input.is_empty());
        }
        Ok(frames)
    }

    #[test]
    fn a_length_is_big_endian() {
        assert_eq!(header(&[7; 0x0102]), Some([1, 2]));
        assert_eq!(header(&[7; 0xffff]), Some([0xff, 0xff]));
        assert_eq!(header(&[7; 0x1_0000]), None);
    }

    #[test]
    fn frames_are_taken_apart_wherever_the_stream_is_cut() {
        let stream = [0, 3, 1, 2, 3, 0, 0, 0, 1, 4, 0, 2, 5];
        let whole = vec![vec![1, 2, 3], vec![], vec![4]];
        assert_eq!(decode(3, &[&stream]), Ok(whole.clone()), "the last frame is not complete");
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(decode(3, &bytes), Ok(whole));
    }

    #[test]
    fn a_frame_beyond_the_limit_is_the_end() {
        let error = FrameTooLong { length: 4, limit: 3 };
        assert_eq!(decode(3, &[&[0, 4]]), Err(error));
        let mut decoder = Decoder::new(3);
        let mut input = &[0, 4, 0, 1, 9][..];
        assert_eq!(decoder.next(&mut input), Err(error));
        assert_eq!(decoder.next(&mut input), Err(error));
    }

    proptest! {
        #[test]
        fn what_was_framed_comes_back(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20),
            cut in 1usize..500,
        ) {
            let mut stream = Vec::new();
            for datagram in &datagrams {
                stream.extend(header(datagram).expect("short"));
                stream.extend(datagram);
            }
            let chunks: Vec<_> = stream.chunks(cut).collect();
            prop_assert_eq!(decode(400, &chunks), Ok(datagrams));
        }
    }
}
