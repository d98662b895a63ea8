//! The WebRTC crate's answers to requests for packets, from the first packet on that goes through it.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{
    Interceptor, NackResponderBuilder, NackResponderInterceptor, Packet, StreamInfo, TaggedPacket,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::resend::RESEND_PACKETS;

/// An interceptor that is the crate's NACK responder once there is anything to send again, and until then lets all pass: that
/// one takes 120 kB for each stream at its start, and where media take the direct path it would never have a packet.
#[derive(Default)]
pub(super) struct LateResponder {
    /// The outgoing streams, for when it is made.
    streams: Vec<StreamInfo>,
    responder: Option<NackResponderInterceptor>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl LateResponder {
    fn make(&mut self) -> &mut NackResponderInterceptor {
        self.responder.get_or_insert_with(|| {
            let mut responder = NackResponderBuilder::new().with_size(RESEND_PACKETS).build();
            for stream in &self.streams {
                responder.bind_local_stream(stream);
            }
            responder
        })
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for LateResponder {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        match &mut self.responder {
            Some(responder) => responder.handle_read(packet),
            None => {
                self.read.push_back(packet);
                Ok(())
            }
        }
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front().or_else(|| self.responder.as_mut()?.poll_read())
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if self.responder.is_some() || matches!(packet.message.packet, Packet::Rtp(_)) {
            return self.make().handle_write(packet);
        }
        self.write.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front().or_else(|| self.responder.as_mut()?.poll_write())
    }

    /// The responder has no timers.
    fn handle_timeout(&mut self, _: Instant) -> Result<(), Error> {
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

impl Interceptor for LateResponder {
    fn bind_local_stream(&mut self, stream: &StreamInfo) {
        self.unbind_local_stream(stream);
        self.streams.push(stream.clone());
        if let Some(responder) = &mut self.responder {
            responder.bind_local_stream(stream);
        }
    }

    fn unbind_local_stream(&mut self, stream: &StreamInfo) {
        self.streams.retain(|bound| bound.ssrc != stream.ssrc);
        if let Some(responder) = &mut self.responder {
            responder.unbind_local_stream(stream);
        }
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use rtc::interceptor::{AttributedPacket, RTCPFeedback};
    use rtc::rtcp::receiver_report::ReceiverReport;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
    use rtc::rtp::{self, header::Header};
    use rtc::shared::TransportContext;

    use super::*;

    fn tagged(packet: Packet) -> TaggedPacket {
        let message = AttributedPacket::new(packet);
        TaggedPacket { now: crate::task::now(), transport: TransportContext::default(), message }
    }

    fn media(sequence_number: u16) -> TaggedPacket {
        let header = Header { version: 2, ssrc: 7, sequence_number, ..Header::default() };
        tagged(Packet::Rtp(rtp::Packet { header, payload: vec![0; 9].into() }))
    }

    fn report() -> TaggedPacket {
        tagged(Packet::Rtcp(vec![Box::new(ReceiverReport::default())]))
    }

    fn nack(packet_id: u16) -> TaggedPacket {
        let nacks = vec![NackPair { packet_id, lost_packets: 0 }];
        tagged(Packet::Rtcp(vec![Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks })]))
    }

    fn stream() -> StreamInfo {
        let feedback = RTCPFeedback { typ: "nack".to_owned(), parameter: String::new() };
        StreamInfo { ssrc: 7, rtcp_feedback: vec![feedback], ..StreamInfo::default() }
    }

    fn written(responder: &mut LateResponder) -> usize {
        std::iter::from_fn(|| responder.poll_write()).count()
    }

    #[test]
    fn what_goes_through_the_crate_is_sent_again_from_the_first_packet_on() {
        let mut responder = LateResponder::default();
        responder.bind_local_stream(&stream());
        responder.handle_write(media(1)).expect("it takes all");
        responder.handle_write(report()).expect("it takes all");
        assert_eq!(written(&mut responder), 2);
        for (packet_id, sent) in [(1, 1), (2, 0)] {
            responder.handle_read(nack(packet_id)).expect("it takes all");
            assert!(responder.poll_read().is_some(), "it goes on");
            assert_eq!(written(&mut responder), sent, "packet {packet_id}");
        }
        responder.unbind_local_stream(&stream());
        responder.handle_read(nack(1)).expect("it takes all");
        assert_eq!(written(&mut responder), 0);
        responder.bind_local_stream(&stream());
        responder.handle_write(media(3)).expect("it takes all");
        responder.handle_read(nack(3)).expect("it takes all");
        assert_eq!(written(&mut responder), 2);
    }

    #[test]
    fn where_no_media_go_through_the_crate_it_keeps_nothing_and_all_passes() {
        let mut responder = LateResponder::default();
        responder.bind_local_stream(&stream());
        responder.handle_write(report()).expect("it takes all");
        responder.handle_read(nack(1)).expect("it takes all");
        assert!(responder.poll_read().is_some() && responder.poll_read().is_none());
        assert_eq!(written(&mut responder), 1);
        assert!(responder.responder.is_none());
    }
}
