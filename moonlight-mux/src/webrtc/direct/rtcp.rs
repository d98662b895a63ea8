//! A direct viewer's RTCP (RFC 3550, RFC 4585), both ways: sealed and opened here, not by the WebRTC crate. Pure.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::keys::ConnectionKeys;
use super::sender_report::SenderReport;
use super::srtp::{OpenedRtcp, RtcpOpener, RtcpSealer};
use crate::webrtc::feedback::{self, SentReports};
use crate::webrtc::health::Report;

/// Our first index. Those below are the crate's, which seals under the same key: it sends a few packets, or one a second at
/// most, which is more than thirty years.
const FIRST_INDEX: u32 = 1 << 30;
/// Reports that are read of one datagram: a browser's has a few. What comes behind is left out, as if it had been lost.
const REPORTS: usize = 16;
/// SSRCs that one viewer reports from: a browser has one for each kind of media, some stacks one for each kind of report.
const SENDERS: usize = 16;

/// Both directions of a connection.
pub(crate) fn of_connection(keys: &ConnectionKeys) -> (RtcpSender, RtcpReceiver) {
    let sent = Arc::<Mutex<SentReports>>::default();
    let sealer = RtcpSealer::new(keys.profile, &keys.ours);
    let opener = RtcpOpener::new(keys.profile, &keys.viewers);
    (
        RtcpSender { sealer, index: FIRST_INDEX, sent: sent.clone() },
        RtcpReceiver { opener, came: Vec::new(), sent },
    )
}

/// What we say.
#[derive(Debug)]
pub(crate) struct RtcpSender {
    sealer: RtcpSealer,
    /// Of the next packet.
    index: u32,
    sent: Arc<Mutex<SentReports>>,
}

impl RtcpSender {
    /// A datagram with these reports; `None` where there are none, and when all indices have been used.
    pub(crate) fn seal(
        &mut self,
        now: Instant,
        reports: impl IntoIterator<Item = SenderReport>,
    ) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        for report in reports {
            lock(&self.sent).handle_sent(now, report.ssrc, report.name());
            report.write(&mut packet);
        }
        if packet.is_empty() || self.index >> 31 != 0 {
            return None;
        }
        self.sealer.seal(&mut packet, self.index);
        self.index += 1;
        Some(packet)
    }
}

/// What the viewer says.
#[derive(Debug)]
pub(crate) struct RtcpReceiver {
    opener: RtcpOpener,
    /// Of each sender (SSRC), since each counts for itself (RFC 3711, 3.2.3): at most [`SENDERS`]. What others send is dropped.
    came: Vec<(u32, ReplayWindow)>,
    /// What echoes may name.
    sent: Arc<Mutex<SentReports>>,
}

impl RtcpReceiver {
    /// What the viewer reports in a datagram, and of which outgoing stream (SSRC): at most [`REPORTS`]. Nothing where the
    /// viewer did not send it, or it came before.
    pub(crate) fn read(&mut self, now: Instant, datagram: &[u8]) -> Vec<(u32, Report)> {
        let mut reports = Vec::new();
        let Some(OpenedRtcp { index, packet }) = self.opener.open(datagram) else { return reports };
        if !self.comes_first(&packet, index) {
            return reports;
        }
        let sent = lock(&self.sent);
        for packet in understood(&packet) {
            // One that cannot be read says nothing.
            let packets = rtc::rtcp::packet::unmarshal(&mut &*packet).unwrap_or_default();
            for packet in packets {
                feedback::read(now, packet.as_ref(), &sent, |ssrc, report| {
                    if reports.len() < REPORTS {
                        reports.push((ssrc, report));
                    }
                });
            }
            if reports.len() == REPORTS {
                break;
            }
        }
        reports
    }

    fn comes_first(&mut self, packet: &[u8], index: u32) -> bool {
        let Some(&[_, _, _, _, a, b, c, d]) = packet.first_chunk() else { return false };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        if let Some((_, came)) = self.came.iter_mut().find(|(sender, _)| *sender == ssrc) {
            return came.take(index);
        }
        if self.came.len() == SENDERS {
            return false;
        }
        let mut came = ReplayWindow::default();
        let first = came.take(index);
        self.came.push((ssrc, came));
        first
    }
}

/// Of a compound packet (RFC 3550, 6.1) those packets that say something here, up to the first that is cut off: the crate would
/// read all others too, some of which make it work far more than their few bytes would tell.
fn understood(mut compound: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let &[first, _, high, low] = compound.first_chunk()?;
        // In words of 4 bytes, less one.
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, rest) = compound.split_at_checked(len).filter(|_| first >> 6 == 2)?;
        compound = rest;
        Some(packet)
    })
    .filter(|packet| {
        let format = packet[0] & 0x1f;
        match packet[1] {
            SENDER_REPORT | RECEIVER_REPORT => true,
            TRANSPORT_FEEDBACK => format == GENERIC_NACK,
            PAYLOAD_FEEDBACK => format == PLI || format == FIR,
            _ => false,
        }
    })
}

/// RFC 3550, 12.1.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// RFC 4585, 6.2 and 6.3; RFC 5104, 4.3.
const TRANSPORT_FEEDBACK: u8 = 205;
const GENERIC_NACK: u8 = 1;
const PAYLOAD_FEEDBACK: u8 = 206;
const PLI: u8 = 1;
const FIR: u8 = 4;

fn lock(sent: &Mutex<SentReports>) -> MutexGuard<'_, SentReports> {
    sent.lock().expect("no holder of this lock panics")
}

/// Which of the last packets have come (RFC 3711, 3.3.2).
#[derive(Debug, Default)]
struct ReplayWindow {
    /// The highest index that came.
    highest: u32,
    /// A bit for each of 64 indices up to the highest, which has the lowest bit.
    came: u64,
}

impl ReplayWindow {
    /// Whether the packet of this index comes for the first time, as far as it can be told: not when it is far behind.
    fn take(&mut self, index: u32) -> bool {
        if index > self.highest {
            self.came = self.came.checked_shl(index - self.highest).unwrap_or(0);
            self.highest = index;
        }
        let Some(bit) = 1u64.checked_shl(self.highest - index) else { return false };
        let is_new = self.came & bit == 0;
        self.came |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;
    use rtc::rtcp::Packet;
    use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
    use rtc::rtcp::receiver_report::ReceiverReport;
    use rtc::rtcp::reception_report::ReceptionReport;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

    use super::*;
    use crate::task;
    use crate::webrtc::direct::sender_report::SenderReports;
    use crate::webrtc::direct::srtp::{MasterKey, Profile};
    use crate::webrtc::health::Reception;

    fn keys(profile: Profile) -> ConnectionKeys {
        let [ours, viewers] = [1, 2].map(|key| MasterKey { key: [key; 16], salt: [key; 14] });
        ConnectionKeys { profile, ours, viewers }
    }

    /// The viewer's side of the same connection.
    fn mirrored(ConnectionKeys { profile, ours, viewers }: ConnectionKeys) -> ConnectionKeys {
        ConnectionKeys { profile, ours: viewers, viewers: ours }
    }

    fn said(keys: &ConnectionKeys, index: u32, packets: &[Box<dyn Packet>]) -> Vec<u8> {
        let mut packet = rtc::rtcp::packet::marshal(packets).expect("a packet").to_vec();
        RtcpSealer::new(keys.profile, &keys.viewers).seal(&mut packet, index);
        packet
    }

    #[test]
    fn the_viewers_reports_are_read_once_and_name_ours_by_their_echo() {
        for profile in Profile::ALL {
            let (keys, now) = (keys(profile), task::now());
            let (mut sender, mut receiver) = of_connection(&keys);
            let mut streams = SenderReports::new(7, 90_000);
            streams.handle_sent(now, 1, 1, 1);
            let report = streams.report(now, SystemTime::UNIX_EPOCH).expect("there was a frame");
            assert!(sender.seal(now, [report]).is_some());
            let block = ReceptionReport {
                ssrc: 7,
                last_sequence_number: 0x1_0203,
                total_lost: 0xff_fffe,
                jitter: 5,
                last_sender_report: report.name(),
                delay: 65_536 / 4,
                ..ReceptionReport::default()
            };
            let packets: [Box<dyn Packet>; 3] = [
                Box::new(ReceiverReport { ssrc: 9, reports: vec![block], ..ReceiverReport::default() }),
                Box::new(TransportLayerNack {
                    sender_ssrc: 9,
                    media_ssrc: 7,
                    nacks: vec![NackPair { packet_id: 65_535, lost_packets: 1 }],
                }),
                Box::new(PictureLossIndication { sender_ssrc: 9, media_ssrc: 8 }),
            ];
            let datagram = said(&keys, 1, &packets);
            let later = now + Duration::from_millis(300);
            let reception = Reception {
                highest: 0x1_0203,
                lost: -2,
                jitter: 5,
                round_trip: Some(Duration::from_millis(50)),
            };
            let expected = vec![
                (7, Report::Reception(reception)),
                (7, Report::Nack(vec![65_535, 0])),
                (8, Report::KeyframeRequest),
            ];
            assert_eq!(receiver.read(later, &datagram), expected);
            assert_eq!(receiver.read(later, &datagram), [], "it came before");
            let mut forged = said(&keys, 2, &packets);
            forged[9] ^= 1;
            assert_eq!(receiver.read(later, &forged), [], "somebody changed it");
            assert_eq!(receiver.read(later, &said(&mirrored(keys), 3, &packets)), [], "it is our own");
        }
    }

    fn pli(sender_ssrc: u32) -> [Box<dyn Packet>; 1] {
        [Box::new(PictureLossIndication { sender_ssrc, media_ssrc: 7 })]
    }

    #[test]
    fn each_sender_counts_for_itself_and_there_are_few() {
        let (keys, now) = (keys(Profile::AeadAes128Gcm), task::now());
        let (_, mut receiver) = of_connection(&keys);
        let mut read = |sender, index| receiver.read(now, &said(&keys, index, &pli(sender))).len();
        assert_eq!([read(1, 100), read(2, 1), read(2, 1), read(1, 100), read(1, 1)], [1, 1, 0, 0, 0]);
        for sender in 3..=SENDERS as u32 {
            assert_eq!(read(sender, 1), 1);
        }
        assert_eq!([read(99, 1), read(1, 101)], [0, 1]);
    }

    #[test]
    fn what_nobody_here_wants_is_left_out_and_hides_nothing() {
        let (keys, now) = (keys(Profile::AeadAes128Gcm), task::now());
        let (_, mut receiver) = of_connection(&keys);
        // Congestion control feedback of packets that it does not have, a description, and one of a later version.
        let congestion =
            [&[0x8f, 205, 0, 9, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0xff, 0xff][..], &[0x3f, 0xff].repeat(12)]
                .concat();
        let description = [0x81, 202, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0];
        let wish = rtc::rtcp::packet::marshal(&pli(9)).expect("a packet");
        let mut packet = [&congestion[..], &description, &wish].concat();
        RtcpSealer::new(keys.profile, &keys.viewers).seal(&mut packet, 1);
        assert_eq!(receiver.read(now, &packet), [(7, Report::KeyframeRequest)]);
        let mut cut = [&wish[..], &wish[..8]].concat();
        RtcpSealer::new(keys.profile, &keys.viewers).seal(&mut cut, 2);
        assert_eq!(receiver.read(now, &cut).len(), 1);
    }

    #[test]
    fn of_a_flood_in_one_datagram_few_reports_are_read() {
        let keys = keys(Profile::AeadAes128Gcm);
        let datagram = said(&keys, 1, &(0..100).flat_map(|_| pli(9)).collect::<Vec<_>>());
        let (_, mut receiver) = of_connection(&keys);
        assert_eq!(receiver.read(task::now(), &datagram).len(), REPORTS);
    }

    #[test]
    fn the_viewer_opens_our_reports_and_no_index_is_used_twice() {
        let (keys, now) = (keys(Profile::Aes128CmHmacSha1_80), task::now());
        let opener = RtcpOpener::new(keys.profile, &keys.ours);
        let (mut sender, _) = of_connection(&keys);
        let report = |ssrc| SenderReport { ssrc, ntp_time: 1, rtp_time: 2, packet_count: 3, octet_count: 4 };
        for index in FIRST_INDEX..FIRST_INDEX + 3 {
            let opened = opener.open(&sender.seal(now, [report(7), report(8)]).expect("a datagram"));
            let OpenedRtcp { index: its, packet } = opened.expect("it is ours");
            assert_eq!((its, packet.len()), (index, 56));
        }
        assert_eq!(sender.seal(now, []), None);
        sender.index = u32::MAX >> 1;
        assert!(sender.seal(now, [report(7)]).is_some());
        assert_eq!(sender.seal(now, [report(7)]), None, "all were used");
    }

    proptest! {
        #[test]
        fn each_index_is_taken_once_and_none_that_is_far_behind(
            indices in prop::collection::vec(prop_oneof![0u32..300, any::<u32>().prop_map(|index| index >> 1)], 1..300),
        ) {
            let (mut window, mut came, mut highest) = (ReplayWindow::default(), HashSet::new(), 0);
            for index in indices {
                let near = u64::from(index) + 63 >= u64::from(highest);
                prop_assert_eq!(window.take(index), near && !came.contains(&index));
                highest = highest.max(index);
                came.insert(index);
            }
        }
    }
}
