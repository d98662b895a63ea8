//! What the WebRTC crate keeps to itself and the egress needs: keyframe requests, and what was negotiated.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

/// What was negotiated for one outgoing stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    /// The id of the playout-delay header extension, if the browser has it.
    pub(super) playout_delay_id: Option<u8>,
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

/// An interceptor that marks PLI and FIR for the application and notes what is bound. Its place is the application's end
/// of the chain, behind all that read RTCP for themselves.
pub(super) struct Feedback {
    streams: NegotiatedStreams,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Feedback {
    pub(super) fn new(streams: NegotiatedStreams) -> Self {
        Self { streams, read: VecDeque::new(), write: VecDeque::new() }
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
            packets.retain(|packet| {
                let packet = packet.as_any();
                packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
            });
            if packets.is_empty() {
                return Ok(());
            }
            packet.message.add(Attribute::DeliverToApplication);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
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
        });
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.unbind(info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

pub(super) const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
