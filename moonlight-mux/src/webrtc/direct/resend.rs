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

    /// How many of `wanted` packets may be sent again, which are counted, whether they are kept or not.
    #[must_use]
    pub(crate) fn take(&mut self, wanted: usize) -> usize {
        let granted = wanted.min(self.0);
        self.0 -= granted;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_sent_again_as_were_sent_and_no_more_than_are_kept() {
        let mut resends = Resends::default();
        assert_eq!(resends.take(1), 0);
        resends.earn(3);
        assert_eq!(resends.take(1), 1);
        resends.earn(2);
        assert_eq!((resends.take(3), resends.take(9)), (3, 1));
        resends.earn(KEPT_PACKETS - 1);
        resends.earn(usize::MAX);
        assert_eq!(resends.take(usize::MAX), KEPT_PACKETS);
        // What was refused is no debt.
        assert_eq!(resends.take(1), 0);
        resends.earn(1);
        assert_eq!(resends.take(2), 1);
    }
}
