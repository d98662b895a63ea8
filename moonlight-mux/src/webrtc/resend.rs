//! How many packets may be sent again. Pure.

/// Packets kept for retransmission: a second and a half of a 6 Mbit/s stream, half a second of 20 Mbit/s.
pub(crate) const RESEND_PACKETS: u16 = 1024;

/// One viewer's allowance: one packet for each that was sent, saved up to as many as are kept. 4 bytes of a NACK ask for up to
/// 17 packets; so whoever asks for more at most doubles its stream.
#[derive(Debug, Default)]
pub(crate) struct Resends(usize);

impl Resends {
    /// So many packets were sent for the first time.
    pub(crate) fn earn(&mut self, packets: usize) {
        self.0 = self.0.saturating_add(packets).min(RESEND_PACKETS.into());
    }

    /// How many of `wanted` packets may be sent again, which are counted, whether they are kept or not.
    #[must_use]
    pub(crate) fn take(&mut self, wanted: usize) -> usize {
        let granted = wanted.min(self.0);
        self.0 -= granted;
        granted
    }

    /// Whether so many packets may be sent again: all of them, which are counted, or none.
    #[must_use]
    pub(crate) fn take_whole(&mut self, wanted: usize) -> bool {
        let left = self.0.checked_sub(wanted);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
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
        let kept = usize::from(RESEND_PACKETS);
        resends.earn(kept - 1);
        resends.earn(usize::MAX);
        assert_eq!(resends.take(usize::MAX), kept);
        // What was refused is no debt.
        assert_eq!(resends.take(1), 0);
        resends.earn(1);
        assert_eq!(resends.take(2), 1);
    }

    #[test]
    fn what_is_asked_for_together_is_granted_whole_or_not_at_all() {
        let mut resends = Resends::default();
        resends.earn(5);
        assert!(!resends.take_whole(6));
        assert!(resends.take_whole(3));
        assert!(!resends.take_whole(3));
        assert!(resends.take_whole(2) && resends.take_whole(0));
        assert_eq!(resends.take(1), 0);
    }
}
