//! What of a viewer's DTLS comes before the WebRTC crate takes it. Pure.
//!
//! A viewer may begin its handshake as soon as its own connectivity check is answered. The crate drops all but STUN until ICE
//! has chosen a pair of candidates on this side too, which may be some milliseconds later; the viewer says it again after
//! a second (RFC 6347, 4.2.4.1).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// Datagrams that are kept: a first flight is one or two. Full: the newest is lost.
const MOST: usize = 8;

/// A datagram, whence it came, and to which address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: Option<IpAddr>,
    pub(super) bytes: Bytes,
}

/// A peer's early DTLS datagrams, for as long as it is early.
#[derive(Debug)]
pub(super) struct Early(Option<Vec<Datagram>>);

impl Default for Early {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Early {
    /// Whether DTLS is for the crate by now.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps a datagram; false when there is no room, or it is over.
    pub(super) fn keep(&mut self, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8]) -> bool {
        let Some(kept) = self.0.as_mut().filter(|kept| kept.len() < MOST) else { return false };
        kept.push(Datagram { from, to, bytes: Bytes::copy_from_slice(bytes) });
        true
    }

    /// The crate takes DTLS from now on: what was kept, in order.
    pub(super) fn end(&mut self) -> Vec<Datagram> {
        self.0.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_flight_is_kept_until_it_is_taken_and_nothing_behind_it() {
        let from = SocketAddr::from(([192, 0, 2, 1], 5000));
        let mut early = Early::default();
        for n in 0..MOST as u8 {
            assert!(early.keep(from, None, &[22, n]));
        }
        assert!(!early.keep(from, None, &[22, 99]), "full");
        assert!(!early.is_over());
        let kept: Vec<_> = early.end().into_iter().map(|datagram| datagram.bytes[1]).collect();
        assert_eq!(kept, (0..MOST as u8).collect::<Vec<_>>());
        assert!(early.is_over() && !early.keep(from, None, &[22, 0]));
        assert_eq!(early.end(), []);
    }
}
