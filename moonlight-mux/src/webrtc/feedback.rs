//! What the WebRTC crate keeps to itself and the egress needs: a viewer's reports, and what was negotiated.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::mpsc;

use super::health::{Reception, Report};
use super::resend::{RESEND_PACKETS, Resends};
use crate::task::Bell;

/// Reports that the viewer's task has not read yet: a browser sends a few each second. Full: the newest is dropped, as
/// the network might have done.
const REPORTS: usize = 64;
/// Sender reports whose echo may still come: those of sound and picture over four seconds.
const SENDER_REPORTS: usize = 8;

/// What was negotiated for one outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    /// The id of the playout-delay header extension, if the browser has it.
    pub(super) playout_delay_id: Option<u8>,
    /// SSRC and payload type of its retransmissions, if the browser takes them as a stream of their own (RFC 4588).
    pub(super) rtx: Option<(u32, u8)>,
}

/// The outgoing streams, as the crate binds them: their final payload types and extension ids, which it tells nobody else.
#[derive(Clone, Debug, Default)]
pub(super) struct NegotiatedStreams(Arc<Mutex<Vec<Negotiated>>>);

impl NegotiatedStreams {
    pub(super) fn by_ssrc(&self, ssrc: u32) -> Option<Negotiated> {
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .iter()
            .find(|stream| stream.ssrc == ssrc)
            .copied()
    }

    fn bind(&self, stream: Negotiated) {
        let mut streams = self.0.lock().expect("no holder of this lock panics");
        streams.retain(|bound| bound.ssrc != stream.ssrc);
        streams.push(stream);
    }

    fn unbind(&self, ssrc: u32) {
        self.0.lock().expect("no holder of this lock panics").retain(|bound| bound.ssrc != ssrc);
    }
}

/// What comes back from a viewer: the other end of its [`Feedback`].
#[derive(Debug)]
pub(super) struct Backchannel {
    pub(super) streams: NegotiatedStreams,
    /// Of which outgoing stream (SSRC), and what.
    pub(super) reports: mpsc::Receiver<(u32, Report)>,
    /// For who reads the viewer's RTCP in the crate's place.
    pub(super) reporter: Reporter,
}

/// Hands on reports as long as the connection is there.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    reports: mpsc::WeakSender<(u32, Report)>,
    bell: Option<Arc<Bell>>,
}

impl Reporter {
    pub(super) fn report(&self, ssrc: u32, report: Report) {
        let Some(reports) = self.reports.upgrade() else { return };
        hand_on(&reports, self.bell.as_deref(), ssrc, report);
        drop(reports);
        // Then the connection's end was not seen when it rang.
        if let Some(bell) = self.bell.as_ref().filter(|_| self.reports.strong_count() == 0) {
            bell.note();
            bell.ring();
        }
    }
}

fn hand_on(reports: &mpsc::Sender<(u32, Report)>, bell: Option<&Bell>, ssrc: u32, report: Report) {
    let can_wait = matches!(report, Report::Reception(_));
    // Nobody reads: the viewer's task has ended, or does not keep up.
    let _ = reports.try_send((ssrc, report));
    let Some(bell) = bell else { return };
    bell.note();
    if !can_wait {
        bell.ring();
    }
}

/// An interceptor that copies a viewer's reports for its [`Backchannel`], notes what is bound, and where the crate sends again,
/// cuts requests for more retransmissions than a viewer may have; all else passes unchanged. Its place is between the wire and both what resends,
/// whose requests it has to see first, and what makes sender reports, which it has to see leave.
pub(super) struct Feedback {
    streams: NegotiatedStreams,
    reports: mpsc::Sender<(u32, Report)>,
    /// `None` where the crate sends no media.
    resends: Option<Resends>,
    sender_reports: SentReports,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
    /// Rings for reports that should not wait, where nobody waits for them, and for their end: so behind `reports`, which is
    /// dropped first.
    bell: Option<LastRing>,
}

/// Leaves a note and rings once more when it is dropped.
struct LastRing(Arc<Bell>);

impl Drop for LastRing {
    fn drop(&mut self) {
        self.0.note();
        self.0.ring();
    }
}

/// The last of our sender reports, by whose echo a viewer tells its round trip: at most [`SENDER_REPORTS`], the oldest are
/// forgotten first.
#[derive(Debug, Default)]
pub(super) struct SentReports(VecDeque<SentReport>);

#[derive(Debug)]
struct SentReport {
    ssrc: u32,
    /// The middle of its NTP time, which the echo names (RFC 3550, 6.4.1: LSR).
    name: u32,
    at: Instant,
}

impl SentReports {
    pub(super) fn handle_sent(&mut self, now: Instant, ssrc: u32, name: u32) {
        if self.0.len() == SENDER_REPORTS {
            self.0.pop_front();
        }
        self.0.push_back(SentReport { ssrc, name, at: now });
    }

    fn round_trip(&self, now: Instant, block: &ReceptionReport) -> Option<Duration> {
        let named = |sent: &&SentReport| sent.ssrc == block.ssrc && sent.name == block.last_sender_report;
        let sent = self.0.iter().find(named)?;
        // RFC 3550, 6.4.1: the echo waited for DLSR, in units of 1/65536 s.
        let waited = Duration::from_secs_f64(f64::from(block.delay) / 65_536.0);
        now.checked_duration_since(sent.at)?.checked_sub(waited)
    }
}

/// Tells `report` what a viewer says in an RTCP packet, and of which outgoing stream (SSRC). `sent`: what its echoes may name.
pub(super) fn read(
    now: Instant,
    packet: &dyn rtc::rtcp::Packet,
    sent: &SentReports,
    mut report: impl FnMut(u32, Report),
) {
    let any = packet.as_any();
    let blocks = any
        .downcast_ref::<ReceiverReport>()
        .map(|report| &report.reports)
        .or_else(|| any.downcast_ref::<SenderReport>().map(|report| &report.reports));
    if let Some(blocks) = blocks {
        for block in blocks {
            let reception = Reception {
                highest: block.last_sequence_number,
                lost: sign_extended(block.total_lost),
                jitter: block.jitter,
                round_trip: sent.round_trip(now, block),
            };
            report(block.ssrc, Report::Reception(reception));
        }
    } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
        // A longer list names packets twice, or such as are not kept any more.
        let lost = nack.nacks.iter().flat_map(|&pair| pair).take(RESEND_PACKETS.into()).collect();
        report(nack.media_ssrc, Report::Nack(lost));
    } else if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
        report(pli.media_ssrc, Report::KeyframeRequest);
    } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
        for entry in &fir.fir {
            report(entry.ssrc, Report::KeyframeRequest);
        }
    }
}

impl Feedback {
    /// `bell`: where media may go past the crate, what rings for who sends them when a viewer asks for something, and when
    /// there will be no more reports. How packets arrive can wait until it looks. In each case there is a note. `crate_sends`: whether they may go through it.
    pub(super) fn new(bell: Option<Arc<Bell>>, crate_sends: bool) -> (Self, Backchannel) {
        let streams = NegotiatedStreams::default();
        let (reports_tx, reports) = mpsc::channel(REPORTS);
        let reporter = Reporter { reports: reports_tx.downgrade(), bell: bell.clone() };
        let feedback = Self {
            streams: streams.clone(),
            reports: reports_tx,
            resends: crate_sends.then(Resends::default),
            sender_reports: SentReports::default(),
            read: VecDeque::new(),
            write: VecDeque::new(),
            bell: bell.map(LastRing),
        };
        (feedback, Backchannel { streams, reports, reporter })
    }

    fn report(&self, ssrc: u32, report: Report) {
        hand_on(&self.reports, self.bell.as_ref().map(|LastRing(bell)| &**bell), ssrc, report);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut packet.message.packet {
            for rtcp in packets {
                read(packet.now, rtcp.as_ref(), &self.sender_reports, |ssrc, report| {
                    self.report(ssrc, report)
                });
                if let Some(resends) = &mut self.resends
                    && let Some(nack) = rtcp.as_any().downcast_ref::<TransportLayerNack>()
                {
                    *rtcp = Box::new(grant(resends, nack));
                }
            }
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Some(resends) = &mut self.resends
            && matches!(packet.message.packet, Packet::Rtp(_))
            && !packet.message.has(&Attribute::Retransmission)
        {
            resends.earn(1);
        }
        if let Packet::Rtcp(packets) = &packet.message.packet {
            for report in packets.iter().filter_map(|rtcp| rtcp.as_any().downcast_ref::<SenderReport>()) {
                self.sender_reports.handle_sent(packet.now, report.ssrc, (report.ntp_time >> 16) as u32);
            }
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let playout_delay =
            info.rtp_header_extensions.iter().find(|extension| extension.uri == PLAYOUT_DELAY);
        self.streams.bind(Negotiated {
            ssrc: info.ssrc,
            payload_type: info.payload_type,
            playout_delay_id: playout_delay.and_then(|extension| u8::try_from(extension.id).ok()),
            rtx: info.ssrc_rtx.zip(info.payload_type_rtx),
        });
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.unbind(info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// What may be sent again of what is asked for: what comes first, in whole pairs.
fn grant(resends: &mut Resends, nack: &TransportLayerNack) -> TransportLayerNack {
    // RFC 4585, 6.2.1: one packet, and one for each bit.
    let asked = |pair: &NackPair| 1 + pair.lost_packets.count_ones() as usize;
    let granted = nack.nacks.iter().copied().take_while(|pair| resends.take_whole(asked(pair)));
    TransportLayerNack { nacks: granted.collect(), ..*nack }
}

/// The cumulative loss, a signed number of 24 bits, which the crate reads as an unsigned one.
fn sign_extended(lost: u32) -> i32 {
    ((lost << 8) as i32) >> 8
}

pub(super) const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

#[cfg(test)]
mod tests {
    use rtc::interceptor::{AttributedPacket, RTCPFeedback};
    use rtc::rtcp::Packet as Rtcp;
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtp::{self, header::Header};
    use rtc::shared::TransportContext;

    use super::super::negotiate::interceptors;
    use super::super::paths::Paths;
    use super::*;
    use crate::task::Listener;

    fn tagged(now: Instant, packets: Vec<Box<dyn Rtcp>>) -> TaggedPacket {
        let message = AttributedPacket::new(Packet::Rtcp(packets));
        TaggedPacket { now, transport: TransportContext::default(), message }
    }

    fn reports(backchannel: &mut Backchannel) -> Vec<(u32, Report)> {
        std::iter::from_fn(|| backchannel.reports.try_recv().ok()).collect()
    }

    #[test]
    fn who_sends_is_rung_for_what_is_asked_and_for_the_end_but_not_for_receptions() {
        let bell = Arc::new(Bell::new(Listener::default()));
        let (mut feedback, mut backchannel) = Feedback::new(Some(bell.clone()), false);
        let now = crate::task::now();
        let block = ReceptionReport { ssrc: 7, ..ReceptionReport::default() };
        let report = ReceiverReport { ssrc: 1, reports: vec![block], ..ReceiverReport::default() };
        feedback.handle_read(tagged(now, vec![Box::new(report)])).expect("it takes all");
        assert!(!bell.is_rung() && bell.answer());
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 };
        feedback.handle_read(tagged(now, vec![Box::new(pli)])).expect("it takes all");
        assert!(bell.is_rung() && bell.answer());
        assert_eq!(reports(&mut backchannel).len(), 2);
        drop(feedback);
        assert!(bell.is_rung() && bell.answer());
        assert_eq!(backchannel.reports.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }

    #[test]
    fn a_request_for_more_than_is_kept_is_cut() {
        let (mut feedback, mut backchannel) = Feedback::new(None, true);
        let pairs = (0..200).map(|n| NackPair { packet_id: 17 * n, lost_packets: 0xffff }).collect();
        feedback.handle_read(nack(pairs)).expect("it takes all");
        let [(7, Report::Nack(lost))] = &reports(&mut backchannel)[..] else { panic!("one request") };
        assert_eq!(*lost, (0..RESEND_PACKETS).collect::<Vec<_>>());
    }

    #[test]
    fn reports_are_copied_and_go_on_to_the_nack_responder() {
        let (mut feedback, mut backchannel) = Feedback::new(None, true);
        for packet in sent(4) {
            feedback.handle_write(packet).expect("it takes all");
        }
        let packets: Vec<Box<dyn Rtcp>> = vec![
            Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 }),
            Box::new(FullIntraRequest {
                sender_ssrc: 1,
                media_ssrc: 0,
                fir: vec![FirEntry { ssrc: 8, sequence_number: 1 }],
            }),
            Box::new(TransportLayerNack {
                sender_ssrc: 1,
                media_ssrc: 7,
                nacks: vec![
                    NackPair { packet_id: 65_535, lost_packets: 0b101 },
                    NackPair { packet_id: 9, lost_packets: 0 },
                ],
            }),
        ];
        feedback.handle_read(tagged(crate::task::now(), packets)).expect("it takes all");
        let passed = feedback.poll_read().expect("it passes all on");
        let Packet::Rtcp(passed) = passed.message.packet else { panic!("it was RTCP") };
        assert_eq!(passed.len(), 3);
        let nack = passed[2].as_any().downcast_ref::<TransportLayerNack>().expect("a NACK");
        assert_eq!(nack.nacks.len(), 2);
        let expected = [
            (7, Report::KeyframeRequest),
            (8, Report::KeyframeRequest),
            (7, Report::Nack(vec![65_535, 0, 2, 9])),
        ];
        assert_eq!(reports(&mut backchannel), expected);
    }

    fn sent(count: u16) -> impl Iterator<Item = TaggedPacket> {
        (0..count).map(|sequence_number| {
            let header = Header { version: 2, ssrc: 7, sequence_number, ..Header::default() };
            let packet = rtp::Packet { header, payload: vec![0; 1000].into() };
            let message = AttributedPacket::new(Packet::Rtp(packet));
            TaggedPacket { now: crate::task::now(), transport: TransportContext::default(), message }
        })
    }

    fn nack(nacks: Vec<NackPair>) -> TaggedPacket {
        tagged(
            crate::task::now(),
            vec![Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks })],
        )
    }

    #[test]
    fn a_flood_of_nacks_has_no_more_packets_sent_again_than_were_sent() {
        let (feedback, mut backchannel) = Feedback::new(None, true);
        let mut chain = interceptors(feedback, Paths::Standard).build();
        let feedback = RTCPFeedback { typ: "nack".to_owned(), parameter: String::new() };
        chain.bind_local_stream(&StreamInfo {
            ssrc: 7,
            ssrc_rtx: Some(8),
            payload_type_rtx: Some(97),
            rtcp_feedback: vec![feedback],
            ..StreamInfo::default()
        });
        let mut leaving = |packets: &mut dyn Iterator<Item = TaggedPacket>, asks: bool| {
            for packet in packets {
                let handled = if asks { chain.handle_read(packet) } else { chain.handle_write(packet) };
                handled.expect("it takes all");
            }
            std::iter::from_fn(|| chain.poll_write())
                .filter(|packet| matches!(packet.message.packet, Packet::Rtp(_)))
                .count()
        };
        assert_eq!(leaving(&mut sent(100), false), 100);
        // A viewer that lost a few gets all of them.
        let lost = NackPair { packet_id: 10, lost_packets: 0b111 };
        assert_eq!(leaving(&mut [nack(vec![lost])].into_iter(), true), 4);
        // All at once, in one packet and in many.
        let flood = |packet_id| {
            let all = NackPair { packet_id, lost_packets: u16::MAX };
            std::iter::repeat_with(move || nack(vec![all; 300])).take(100)
        };
        assert_eq!(leaving(&mut flood(10), true), 5 * 17);
        assert_eq!(leaving(&mut flood(10), true), 0);
        // It goes on with what is sent, and does not save up more than is kept.
        assert_eq!(leaving(&mut sent(5000), false), 5000);
        let again = leaving(&mut flood(4900), true);
        assert!(again <= usize::from(RESEND_PACKETS) && again > 1000, "{again}");
        // Its wishes are heard all the same: they tell what it lost.
        assert_eq!(reports(&mut backchannel)[0], (7, Report::Nack(vec![10, 11, 12, 13])));
    }

    #[test]
    fn the_round_trip_is_told_by_the_echo_of_a_sender_report() {
        let start = crate::task::now();
        let (mut feedback, mut backchannel) = Feedback::new(None, true);
        let sent = SenderReport { ssrc: 7, ntp_time: 0x1111_2222_3333_4444, ..SenderReport::default() };
        feedback.handle_write(tagged(start, vec![Box::new(sent)])).expect("it takes all");
        assert!(feedback.poll_write().is_some());
        let block = |ssrc, last_sender_report| ReceptionReport {
            ssrc,
            total_lost: 0xff_fffe,
            last_sequence_number: 0x1_0005,
            jitter: 90,
            last_sender_report,
            delay: 32_768,
            ..ReceptionReport::default()
        };
        let blocks = vec![block(7, 0x2222_3333), block(7, 0), block(8, 0x2222_3333)];
        let report = ReceiverReport { ssrc: 1, reports: blocks, ..ReceiverReport::default() };
        let now = start + Duration::from_millis(530);
        feedback.handle_read(tagged(now, vec![Box::new(report)])).expect("it takes all");
        let unknown = Reception { highest: 0x1_0005, lost: -2, jitter: 90, round_trip: None };
        let known = Reception { round_trip: Some(Duration::from_millis(30)), ..unknown };
        let expected = [(7, known), (7, unknown), (8, unknown)];
        assert_eq!(
            reports(&mut backchannel),
            expected.map(|(ssrc, reception)| (ssrc, Report::Reception(reception)))
        );
    }

    #[test]
    fn reports_that_nobody_reads_are_dropped() {
        let (mut feedback, mut backchannel) = Feedback::new(None, true);
        for _ in 0..1000 {
            let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 };
            feedback.handle_read(tagged(crate::task::now(), vec![Box::new(pli)])).expect("it takes all");
            assert!(feedback.poll_read().is_some());
        }
        assert_eq!(reports(&mut backchannel).len(), REPORTS);
        drop(backchannel);
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: 7 };
        feedback.handle_read(tagged(crate::task::now(), vec![Box::new(pli)])).expect("it takes all");
    }
}
