//! What our sender reports say (RFC 3550, 6.4.1).

use std::time::{Duration, Instant, SystemTime};

/// The fields of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    /// Now, in seconds since 1900: 32 bits, and 32 of their fraction.
    pub(crate) ntp_time: u64,
    /// The same moment in the stream's clock, with its offset.
    pub(crate) rtp_time: u32,
    /// Packets sent, modulo 2^32.
    pub(crate) packet_count: u32,
    /// Bytes of their payloads, modulo 2^32.
    pub(crate) octet_count: u32,
}

impl SenderReport {
    /// The middle of the NTP time, by which a viewer's reports name this one (RFC 3550, 6.4.1: LSR).
    pub(crate) fn name(&self) -> u32 {
        (self.ntp_time >> 16) as u32
    }

    /// Appends it as an RTCP packet without report blocks (RFC 3550, 6.4.1), 28 bytes:
    ///
    /// ```text
    /// | 0x80 | 200 | length, 2 bytes: 6 | SSRC, 4 | NTP time, 8 | RTP time, 4 | packets, 4 | octets, 4 |
    /// ```
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x80, 200, 0, 6]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.ntp_time.to_be_bytes());
        for field in [self.rtp_time, self.packet_count, self.octet_count] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// Counts one RTP stream's packets and knows its clock. Reports of sound and picture that are made from the same two clocks
/// tell the receiver what belongs together.
#[derive(Debug)]
pub(crate) struct SenderReports {
    ssrc: u32,
    /// Ticks per second.
    clock_rate: u32,
    packets: u32,
    octets: u32,
    /// The last frame's timestamp, and when the first of it was sent.
    last: Option<(u32, Instant)>,
}

impl SenderReports {
    pub(crate) fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self { ssrc, clock_rate, packets: 0, octets: 0, last: None }
    }

    /// A frame was sent, or a part of it: `timestamp` as in its packets, `octets` as in their payloads. Packets that are sent
    /// again in a stream of their own (RTX) do not count.
    pub(crate) fn handle_sent(&mut self, now: Instant, timestamp: u32, packets: usize, octets: usize) {
        self.packets = self.packets.wrapping_add(packets as u32);
        self.octets = self.octets.wrapping_add(octets as u32);
        // The later parts of a frame were held back for the network's sake: they say nothing about when it was there.
        if self.last.is_none_or(|(last, _)| last != timestamp) {
            self.last = Some((timestamp, now));
        }
    }

    /// A report of `now`, which is `wall_clock` to everybody else; `None` before the first frame.
    pub(crate) fn report(&self, now: Instant, wall_clock: SystemTime) -> Option<SenderReport> {
        let (timestamp, at) = self.last?;
        let since = now.saturating_duration_since(at);
        let ticks = since.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(wall_clock),
            rtp_time: timestamp.wrapping_add(ticks as u32),
            packet_count: self.packets,
            octet_count: self.octets,
        })
    }
}

/// 32.32 bits of seconds since 1900, modulo 2^32 seconds (RFC 3550, 4). A clock before 1970 counts as 1970.
fn ntp(wall_clock: SystemTime) -> u64 {
    let since = wall_clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

/// Seconds from 1900 to 1970.
const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task;

    fn wall_clock(seconds: u64, nanos: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn a_report_counts_what_was_sent_and_names_this_moment_in_both_clocks() {
        let start = task::now();
        let mut reports = SenderReports::new(7, 90_000);
        assert_eq!(reports.report(start, wall_clock(0, 0)), None);
        reports.handle_sent(start, 1000, 3, 3300);
        reports.handle_sent(start + Duration::from_millis(16), 2440, 2, 1200);
        let now = start + Duration::from_millis(116);
        let report = SenderReport {
            ssrc: 7,
            // 2026-11-30 20:00 UTC, and half a second.
            ntp_time: (1_796_068_800 + 2_208_988_800) << 32 | 0x8000_0000,
            rtp_time: 2440 + 9000,
            packet_count: 5,
            octet_count: 4500,
        };
        assert_eq!(reports.report(now, wall_clock(1_796_068_800, 500_000_000)), Some(report));
    }

    #[test]
    fn a_frame_that_leaves_in_parts_was_there_with_the_first() {
        let start = task::now();
        let mut reports = SenderReports::new(7, 90_000);
        for (part, packets) in [(0, 16), (4, 16), (8, 5)] {
            reports.handle_sent(start + Duration::from_millis(part), 1000, packets, 100);
        }
        let report = reports.report(start + Duration::from_millis(10), wall_clock(0, 0)).unwrap();
        assert_eq!((report.rtp_time, report.packet_count, report.octet_count), (1900, 37, 300));
    }

    #[test]
    fn counters_and_timestamps_wrap() {
        let start = task::now();
        let mut reports = SenderReports::new(7, 48_000);
        reports.handle_sent(start, u32::MAX, u32::MAX as usize, u32::MAX as usize);
        reports.handle_sent(start, u32::MAX, 2, 3);
        let report = reports.report(start + Duration::from_secs(1), wall_clock(0, 0)).unwrap();
        assert_eq!((report.packet_count, report.octet_count), (1, 2));
        assert_eq!(report.rtp_time, 47_999);
    }

    #[test]
    fn the_wall_clock_wraps_in_2036_and_before_1970_stands_still() {
        assert_eq!(ntp(wall_clock(2_085_978_496, 0)), 0);
        assert_eq!(ntp(wall_clock(2_085_978_495, 999_999_999)) >> 32, u64::from(u32::MAX));
        assert_eq!(ntp(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), 2_208_988_800 << 32);
    }

    proptest! {
        #[test]
        fn the_crate_reads_what_is_written(
            (ssrc, ntp_time, rtp_time, packet_count, octet_count) in any::<(u32, u64, u32, u32, u32)>(),
        ) {
            let report = SenderReport { ssrc, ntp_time, rtp_time, packet_count, octet_count };
            let mut written = Vec::new();
            report.write(&mut written);
            let read = rtc::rtcp::packet::unmarshal(&mut &written[..]).unwrap();
            let expected = rtc::rtcp::sender_report::SenderReport {
                ssrc, ntp_time, rtp_time, packet_count, octet_count, ..Default::default()
            };
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(read[0].as_any().downcast_ref(), Some(&expected));
            prop_assert_eq!(report.name(), (ntp_time >> 16) as u32);
        }

        /// What was taken and sent at one moment is at one moment for the receiver, whenever each stream reports.
        #[test]
        fn sound_and_picture_of_one_moment_meet(
            (video, audio) in any::<(u32, u32)>(),
            (video_after, audio_after) in (0u64..10_000_000, 0u64..10_000_000),
            unix in 0u64..4_000_000_000,
        ) {
            let sent = task::now();
            let mut streams = [(SenderReports::new(1, 90_000), video, video_after), (SenderReports::new(2, 48_000), audio, audio_after)];
            let [a, b] = streams.each_mut().map(|(reports, timestamp, after)| {
                let after = Duration::from_micros(*after);
                reports.handle_sent(sent, *timestamp, 1, 100);
                let report = reports.report(sent + after, wall_clock(unix, 0) + after).unwrap();
                // The receiver's own sum: when by our wall clock is this timestamp?
                let back = f64::from(report.rtp_time.wrapping_sub(*timestamp)) / f64::from(reports.clock_rate);
                report.ntp_time.wrapping_sub((back * 4_294_967_296.0) as u64)
            });
            // Within two ticks of the slower clock.
            let apart = a.wrapping_sub(b) as i64;
            prop_assert!(apart.unsigned_abs() < (2 << 32) / 48_000, "{apart}");
        }
    }
}
