//! By which of two ways a viewer's media may leave.

/// Which paths a viewer's connection is negotiated for. It takes one of them, before its first packet, and keeps to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// The direct one, at its cheapest. A viewer that cannot take it may try another connection.
    Direct,
    /// The direct one, or the standard one where the connection's key is not found.
    Any,
    /// The standard one.
    Standard,
}

impl Paths {
    pub(super) fn has_direct(self) -> bool {
        matches!(self, Self::Direct | Self::Any)
    }

    pub(super) fn has_standard(self) -> bool {
        matches!(self, Self::Any | Self::Standard)
    }
}
