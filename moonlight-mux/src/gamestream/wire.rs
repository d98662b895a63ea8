//! Byte layouts of the GameStream protocol, one file per message family, both ways: a checked view of received
//! bytes, and a value to read or to build them from.

pub(crate) mod audio;
pub(crate) mod control;
pub(crate) mod enet;
pub(crate) mod hex;
pub(crate) mod http;
#[allow(dead_code, reason = "all that hosts understand, of which browsers send a part")]
pub(crate) mod input;
pub(crate) mod query;
pub(crate) mod rtsp;
pub(crate) mod sdp;
pub(crate) mod video;
pub(crate) mod wake;
pub(crate) mod xml;

/// Why bytes are not the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    /// Fewer bytes than the layout needs.
    #[error("{got} bytes where at least {need} are needed")]
    Short {
        /// The least that the layout needs.
        need: usize,
        /// What there is.
        got: usize,
    },
    /// More bytes than any host sends.
    #[error("{got} bytes where no more than {limit} are expected")]
    Long {
        /// The most that is accepted.
        limit: usize,
        /// What there is.
        got: usize,
    },
    /// A field with a value that no host sends.
    #[error("{field} is {value:#x}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: u32,
    },
}

/// Checks a length against inclusive bounds.
fn check_len(bytes: &[u8], need: usize, limit: usize) -> Result<(), Malformed> {
    match bytes.len() {
        got if got < need => Err(Malformed::Short { need, got }),
        got if got > limit => Err(Malformed::Long { limit, got }),
        _ => Ok(()),
    }
}

/// The `N` bytes at `at`, of a slice whose length was checked.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
pub(crate) mod tests {
    /// The bytes of hexadecimal text.
    pub(crate) fn hex(text: &str) -> Vec<u8> {
        assert!(text.len().is_multiple_of(2), "whole bytes");
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }
}
