//! Pings on a media socket: they tell the host where to send the stream, and keep the way back open.
//!
//! Source: protocol document, streams 4.1 and 7.1.

use std::time::{Duration, Instant};

use super::rtsp::MediaPort;
use super::wire::video::Ping;

/// One stream's pings: the first at once, then one every 500 ms.
///
/// After each call take [`poll_datagram`](Self::poll_datagram), and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug)]
pub(crate) struct Pinger {
    media: MediaPort,
    /// Of the last ping; the first has 1.
    counter: u32,
    /// A ping waits to be sent. One is as good as several.
    waiting: bool,
    next: Instant,
}

impl Pinger {
    /// `media`: as SETUP answered.
    pub(crate) fn new(now: Instant, media: MediaPort) -> Self {
        Self { media, counter: 0, waiting: true, next: now + INTERVAL }
    }

    /// The host's, where the pings go.
    pub(crate) fn port(&self) -> u16 {
        self.media.port
    }

    /// One more at once, out of turn: those before the answer to ANNOUNCE may be lost.
    pub(crate) fn ping_now(&mut self) {
        self.waiting = true;
    }

    /// The next ping, if it is time.
    pub(crate) fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.waiting) {
            return None;
        }
        let ping = match self.media.ping {
            None => Ping::Legacy,
            Some(payload) => {
                self.counter = self.counter.wrapping_add(1);
                Ping::Payload { payload, counter: self.counter }
            }
        };
        let mut datagram = Vec::new();
        ping.emit(&mut datagram);
        Some(datagram)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Time has passed. Call it when due; earlier does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.next <= now {
            self.waiting = true;
            // In step, but not to make up for what was missed.
            let next = self.next + INTERVAL;
            self.next = if now < next { next } else { now + INTERVAL };
        }
    }
}

const INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: [u8; 16] = *b"0123456789ABCDEF";

    fn pinger(now: Instant, ping: Option<[u8; 16]>) -> Pinger {
        Pinger::new(now, MediaPort { port: 48000, ping })
    }

    fn ping(counter: u8) -> Option<Vec<u8>> {
        Some([&PAYLOAD[..], &[0, 0, 0, counter]].concat())
    }

    #[test]
    fn pings_come_at_once_and_every_half_second_and_are_counted() {
        let start = crate::task::now();
        let mut pinger = pinger(start, Some(PAYLOAD));
        assert_eq!(pinger.poll_datagram(), ping(1));
        assert_eq!(pinger.poll_datagram(), None);
        for count in 1..5 {
            let due = start + Duration::from_millis(500) * count;
            assert_eq!(pinger.poll_timeout(), due);
            pinger.handle_timeout(due - Duration::from_millis(1));
            assert_eq!(pinger.poll_datagram(), None);
            pinger.handle_timeout(due);
            assert_eq!(pinger.poll_datagram(), ping(count as u8 + 1));
        }
    }

    #[test]
    fn one_more_comes_out_of_turn() {
        let start = crate::task::now();
        let mut pinger = pinger(start, Some(PAYLOAD));
        assert_eq!(pinger.poll_datagram(), ping(1));
        pinger.ping_now();
        assert_eq!(pinger.poll_datagram(), ping(2));
        assert_eq!(pinger.poll_datagram(), None);
        assert_eq!(pinger.poll_timeout(), start + Duration::from_millis(500));
    }

    #[test]
    fn a_late_call_is_not_made_up_for() {
        let start = crate::task::now();
        let mut pinger = pinger(start, None);
        assert!(pinger.poll_datagram().is_some());
        pinger.handle_timeout(start + Duration::from_millis(700));
        assert_eq!(pinger.poll_timeout(), start + Duration::from_millis(1000), "in step");
        pinger.handle_timeout(start + Duration::from_millis(5300));
        assert_eq!(pinger.poll_timeout(), start + Duration::from_millis(5800));
        assert!(pinger.poll_datagram().is_some());
        assert_eq!(pinger.poll_datagram(), None);
    }

    #[test]
    fn a_host_without_a_payload_gets_the_old_kind() {
        let start = crate::task::now();
        let mut pinger = pinger(start, None);
        assert_eq!(pinger.poll_datagram(), Some(b"PING".to_vec()));
        pinger.handle_timeout(pinger.poll_timeout());
        assert_eq!(pinger.poll_datagram(), Some(b"PING".to_vec()));
    }
}
