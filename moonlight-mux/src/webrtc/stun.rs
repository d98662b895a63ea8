//! As much of STUN (RFC 8489) as demultiplexing needs, pure.

/// The local half of the USERNAME of a STUN binding request: whom it is for (RFC 8445, 7.2.2). `None` for anything else.
pub(super) fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    let (_, value) = attributes(datagram, BINDING_REQUEST)?.find(|(name, _)| *name == USERNAME)?;
    let username = std::str::from_utf8(value).ok()?;
    username.split_once(':').map(|(local, _)| local)
}

/// Whether this is a binding request: a connectivity check.
pub(super) fn is_check(datagram: &[u8]) -> bool {
    attributes(datagram, BINDING_REQUEST).is_some()
}

/// Whether this is a binding request that nominates its pair of addresses (RFC 8445, 7.1.2).
pub(super) fn is_nomination(datagram: &[u8]) -> bool {
    attributes(datagram, BINDING_REQUEST)
        .is_some_and(|mut attributes| attributes.any(|(name, _)| name == USE_CANDIDATE))
}

/// Whether this is the answer to a binding request that was taken.
pub(super) fn is_success(datagram: &[u8]) -> bool {
    attributes(datagram, BINDING_SUCCESS).is_some()
}

/// The attributes of a message of this type, up to the first that is cut off; `None` for any other datagram.
fn attributes(datagram: &[u8], message: [u8; 2]) -> Option<impl Iterator<Item = ([u8; 2], &[u8])>> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    if header[..2] != message || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let mut attributes = attributes.get(..length)?;
    Some(std::iter::from_fn(move || {
        let (head, rest) = attributes.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        attributes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(([head[0], head[1]], value))
    }))
}

/// The kinds of datagram that share a WebRTC port, by their first bytes (RFC 7983, RFC 5761).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stun,
    Dtls,
    Rtcp,
    Other,
}

impl Kind {
    pub(super) fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, 192..=223, ..] => Self::Rtcp,
            _ => Self::Other,
        }
    }
}

const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: [u8; 2] = [0x00, 0x06];
const USE_CANDIDATE: [u8; 2] = [0x00, 0x25];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sample request of RFC 5769, 2.1.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_rfcs_sample_request_is_for_evtj() {
        assert_eq!(local_ufrag(SAMPLE), Some("evtj"));
        assert_eq!(Kind::of(SAMPLE), Kind::Stun);
    }

    #[test]
    fn a_cut_off_request_is_for_nobody() {
        for len in 0..SAMPLE.len() {
            assert_eq!(local_ufrag(&SAMPLE[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn nominations_and_successes_are_told_from_other_messages() {
        let message = |kind: &[u8], attributes: &[u8]| {
            [kind, &[0, attributes.len() as u8], &MAGIC_COOKIE, b"transaction1", attributes].concat()
        };
        let nominating = b"\x80\x22\x00\x03abc\x20\x00\x25\x00\x00";
        assert!(is_nomination(&message(&BINDING_REQUEST, nominating)));
        assert!(!is_nomination(&message(&BINDING_SUCCESS, nominating)));
        assert!(!is_nomination(SAMPLE));
        assert!(is_success(&message(&BINDING_SUCCESS, b"")));
        assert!(!is_success(&message(&[1, 0x11], b"")), "an error");
        assert!(!is_success(SAMPLE));
    }

    #[test]
    fn datagrams_are_told_apart_by_their_first_bytes() {
        assert_eq!(Kind::of(&[22, 254, 253]), Kind::Dtls);
        assert_eq!(Kind::of(&[0x80, 200]), Kind::Rtcp);
        assert_eq!(Kind::of(&[0x80, 96]), Kind::Other, "no viewer sends media");
        assert_eq!(Kind::of(&[]), Kind::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            local_ufrag(&bytes);
            if bytes.len() >= 20 {
                bytes[..2].copy_from_slice(&BINDING_REQUEST);
                bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
                let length = (bytes.len() - 20) as u16;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                local_ufrag(&bytes);
                is_nomination(&bytes);
            }
        }
    }
}
