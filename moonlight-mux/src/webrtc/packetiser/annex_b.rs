//! The byte stream of H.264 and HEVC: NAL units behind start codes (Annex B of both).

use bytes::Bytes;
use memchr::memmem;

/// The NAL units of a stream, without start codes and without the zero bytes before the next one. None is empty. They share
/// the stream's bytes.
pub(crate) fn nal_units(stream: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut rest = next_start_code(stream, 0).map(|code| code + START_CODE.len());
    std::iter::from_fn(move || {
        let start = rest?;
        let next = next_start_code(stream, start);
        rest = next.map(|code| code + START_CODE.len());
        let end = next.unwrap_or(stream.len());
        // A NAL unit never ends in a zero byte (7.4.1 of H.264, 7.4.2.1 of HEVC): these belong to the next, longer start code.
        let zeros = stream[start..end].iter().rev().take_while(|&&byte| byte == 0).count();
        Some(stream.slice(start..end - zeros))
    })
    .filter(|nal| !nal.is_empty())
}

/// Where the next start code stands, from `from` on.
fn next_start_code(stream: &[u8], from: usize) -> Option<usize> {
    memmem::find(stream.get(from..)?, START_CODE).map(|at| from + at)
}

const START_CODE: &[u8] = &[0, 0, 1];

#[cfg(test)]
pub(super) mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;

    /// The NAL units as one stream.
    pub(in crate::webrtc::packetiser) fn annex_b(nals: &[&[u8]]) -> Bytes {
        let mut stream = BytesMut::new();
        for (i, nal) in nals.iter().enumerate() {
            stream.put_slice(if i == 0 { &[0, 0, 0, 1] } else { &[0, 0, 1] });
            stream.put_slice(nal);
        }
        stream.freeze()
    }

    #[test]
    fn nal_units_are_what_stands_between_start_codes_without_padding() {
        let stream = Bytes::from_static(&[0, 0, 0, 1, 9, 0, 7, 0, 0, 0, 1, 0, 0, 1, 8, 0, 0, 2, 0, 0]);
        assert_eq!(nal_units(&stream).collect::<Vec<_>>(), [&[9, 0, 7][..], &[8, 0, 0, 2]]);
        assert_eq!(nal_units(&annex_b(&[&[1], &[2, 3]])).collect::<Vec<_>>(), [&[1][..], &[2, 3]]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(prop_oneof![3 => 0u8..2, 1 => any::<u8>()], 0..4000)) {
            let stream = Bytes::from(bytes);
            let kept: usize = nal_units(&stream).map(|nal| nal.len()).sum();
            prop_assert!(kept <= stream.len());
        }

        /// The search that skips bytes finds what the plain one finds.
        #[test]
        fn start_codes_are_found_as_by_a_plain_search(bytes in prop::collection::vec(0u8..3, 0..60), from in 0usize..60) {
            let plain = (from..bytes.len()).find(|&at| bytes[at..].starts_with(&[0, 0, 1]));
            prop_assert_eq!(next_start_code(&bytes, from), plain);
        }
    }
}
