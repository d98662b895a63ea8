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

/// Both directions of a connection.
pub(crate) fn of_connection(keys: &ConnectionKeys) -> (RtcpSender, RtcpReceiver) {
    let sent = Arc::<Mutex<SentReports>>::default();
    let sealer = RtcpSealer::new(keys.profile, &keys.ours);
    let opener = RtcpOpener::new(keys.profile, &keys.viewers);
    (
        RtcpSender { sealer, index: FIRST_INDEX, sent: sent.clone() },
        RtcpReceiver { opener, came: ReplayWindow::default(), sent },
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
    came: ReplayWindow,
    /// What echoes may name.
    sent: Arc<Mutex<SentReports>>,
}

impl RtcpReceiver {
    /// What the viewer reports in a datagram, and of which outgoing stream (SSRC): at most [`REPORTS`]. Nothing where the
    /// viewer did not send it, or it came before.
    pub(crate) fn read(&mut self, now: Instant, datagram: &[u8]) -> Vec<(u32, Report)> {
        let mut reports = Vec::new();
        let Some(OpenedRtcp { index, packet }) = self.opener.open(datagram) else { return reports };
        if !self.came.take(index) {
            return reports;
        }
        // What cannot be read says nothing.
        let packets = rtc::rtcp::packet::unmarshal(&mut &packet[..]).unwrap_or_default();
        let sent = lock(&self.sent);
        for packet in packets {
            feedback::read(now, packet.as_ref(), &sent, |ssrc, report| {
                if reports.len() < REPORTS {
                    reports.push((ssrc, report));
                }
            });
        }
        reports
    }
}

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

    #[test]
    fn of_a_flood_in_one_datagram_few_reports_are_read() {
        let keys = keys(Profile::AeadAes128Gcm);
        let pli = |_| Box::new(PictureLossIndication { sender_ssrc: 9, media_ssrc: 7 }) as Box<dyn Packet>;
        let datagram = said(&keys, 1, &(0..100).map(pli).collect::<Vec<_>>());
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
