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

/// Counts one RTP stream's packets and knows its clock. Reports of sound and picture that are made from the same two clocks
/// tell the receiver what belongs together.
#[derive(Debug)]
pub(crate) struct SenderReports {
    ssrc: u32,
    /// Ticks per second.
    clock_rate: u32,
    packets: u32,
    octets: u32,
    /// The last frame's timestamp, and when it was sent.
    last: Option<(u32, Instant)>,
}

impl SenderReports {
    pub(crate) fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self { ssrc, clock_rate, packets: 0, octets: 0, last: None }
    }

    /// A frame was sent: `timestamp` as in its packets, `octets` as in their payloads. Packets that are sent again in a stream
    /// of their own (RTX) do not count.
    pub(crate) fn handle_sent(&mut self, now: Instant, timestamp: u32, packets: usize, octets: usize) {
        self.packets = self.packets.wrapping_add(packets as u32);
        self.octets = self.octets.wrapping_add(octets as u32);
        self.last = Some((timestamp, now));
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
