//! A browser's first nomination, which has to be heard twice. Pure.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::webrtc::stun;

/// A browser's first nomination, which the crate leaves unanswered when its own check of that path is still under way, as it
/// always is: Chromium nominates in its first request, and repeats it 50 ms later. So the crate gets it once more behind the
/// answer to its check (docs/webrtc.md).
#[derive(Debug, Default)]
pub(super) enum Nomination {
    #[default]
    Awaited,
    Unanswered(SocketAddr, Bytes),
    Settled,
}

impl Nomination {
    /// What the crate shall get once more behind this datagram.
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Bytes> {
        match self {
            Self::Awaited if stun::is_nomination(datagram) => {
                *self = Self::Unanswered(from, Bytes::copy_from_slice(datagram));
                None
            }
            Self::Unanswered(address, nomination) if *address == from && stun::is_success(datagram) => {
                let again = std::mem::take(nomination);
                *self = Self::Settled;
                Some(again)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction1";
    const NOMINATION: &[u8] = b"\x00\x01\x00\x04\x21\x12\xa4\x42transaction2\x00\x25\x00\x00";
    const REPEATED: &[u8] = b"\x00\x01\x00\x04\x21\x12\xa4\x42transaction3\x00\x25\x00\x00";
    const SUCCESS: &[u8] = b"\x01\x01\x00\x00\x21\x12\xa4\x42transaction4";

    #[test]
    fn the_first_nomination_is_heard_again_once_its_path_answers() {
        let [first, other] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let mut nomination = Nomination::default();
        let mut heard_again = |from, datagram| nomination.handle_datagram(from, datagram);
        assert_eq!(heard_again(first, CHECK), None);
        assert_eq!(heard_again(first, SUCCESS), None, "nothing was nominated");
        assert_eq!(heard_again(first, NOMINATION), None);
        assert_eq!(heard_again(first, REPEATED), None);
        assert_eq!(heard_again(other, NOMINATION), None);
        assert_eq!(heard_again(other, SUCCESS), None, "another path");
        assert_eq!(heard_again(first, SUCCESS).as_deref(), Some(NOMINATION));
        assert_eq!(heard_again(first, SUCCESS), None, "once");
        assert_eq!(heard_again(first, REPEATED), None);
        assert_eq!(heard_again(first, SUCCESS), None, "later ones are answered at once");
    }
}
