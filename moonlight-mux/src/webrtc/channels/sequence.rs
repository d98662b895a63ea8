//! The order in which a viewer said things, though they arrive in another.

/// A message's place among those of a viewer: one more than the one before it, wrapping (RFC 1982).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webrtc) struct Sequence(pub(in crate::webrtc) u32);

impl Sequence {
    pub(super) fn is_newer_than(self, other: Self) -> bool {
        (1..1 << 31).contains(&self.0.wrapping_sub(other.0))
    }
}
