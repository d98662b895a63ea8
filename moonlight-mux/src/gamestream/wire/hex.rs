//! Bytes as hexadecimal text.

use std::fmt::Write as _;

/// The digits in lower case, as clients write them.
pub(crate) fn lower(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text can be appended to");
        text
    })
}

/// The digits in upper case, as hosts write them.
pub(crate) fn upper(bytes: &[u8]) -> String {
    lower(bytes).to_ascii_uppercase()
}

/// The bytes of digits in either case; `None` if there is anything else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// As [`decode`], of just so many bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_pair_of_digits_is_refused() {
        for text in ["0", "0g", "+1", " 0", "é", "00 "] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("dEaD"), Some(vec![0xde, 0xad]));
        assert_eq!(decode_array::<2>("dead"), Some([0xde, 0xad]));
        assert_eq!(decode_array::<3>("dead"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_build_and_parse_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&lower(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(decode(&upper(&bytes)), Some(bytes));
        }
    }
}
