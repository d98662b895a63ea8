//! How many packets may be sent again.

use super::history::KEPT_PACKETS;

/// One viewer's allowance: one packet for each that was sent, saved up to as many as are kept. 4 bytes of a NACK ask for up to
/// 17 packets; so whoever asks for more at most doubles its stream.
#[derive(Debug, Default)]
pub(crate) struct Resends(usize);

impl Resends {
    /// So many packets were sent for the first time.
    pub(crate) fn earn(&mut self, packets: usize) {
        self.0 = self.0.saturating_add(packets).min(KEPT_PACKETS);
    }

    /// Whether one more may be sent again, which is counted.
    #[must_use]
    pub(crate) fn take(&mut self) -> bool {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}
