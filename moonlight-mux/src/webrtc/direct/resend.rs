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

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(resends: &mut Resends) -> usize {
        std::iter::repeat_with(|| resends.take()).take_while(|&granted| granted).count()
    }

    #[test]
    fn as_many_are_sent_again_as_were_sent_and_no_more_than_are_kept() {
        let mut resends = Resends::default();
        assert_eq!(taken(&mut resends), 0);
        resends.earn(3);
        assert!(resends.take());
        resends.earn(2);
        assert_eq!(taken(&mut resends), 4);
        assert!(!resends.take());
        resends.earn(KEPT_PACKETS - 1);
        resends.earn(usize::MAX);
        assert_eq!(taken(&mut resends), KEPT_PACKETS);
        // What was refused is no debt.
        resends.earn(1);
        assert_eq!(taken(&mut resends), 1);
    }
}
