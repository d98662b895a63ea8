//! As much of DTLS (RFC 6347) as we need to hear of, pure: the WebRTC crate says nothing of a handshake that fails.

/// Whether this ends a handshake that has not come to encryption: a fatal alert in clear (epoch 0).
///
/// ```text
/// | type, 21 | version, 2 bytes | epoch, 2 | sequence number, 6 | length, 2 | level, 2: fatal | description |
/// ```
pub(super) fn is_fatal_alert(datagram: &[u8]) -> bool {
    matches!(datagram, [ALERT, _, _, 0, 0, _, _, _, _, _, _, 0, 2, FATAL, _])
}

const ALERT: u8 = 21;
/// RFC 5246, 7.2.
const FATAL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// `insufficient_security`, as rtc-dtls 0.21.1 sends it.
    const REFUSED: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 71];

    #[test]
    fn a_fatal_alert_in_clear_is_told_from_others() {
        assert!(is_fatal_alert(&REFUSED));
        for (at, byte) in [(0, 22), (4, 1), (12, 3), (13, 1)] {
            let mut other = REFUSED;
            other[at] = byte;
            assert!(!is_fatal_alert(&other), "byte {at}");
        }
        assert!(!is_fatal_alert(&REFUSED[..14]));
        assert!(!is_fatal_alert(&[]));
    }
}
