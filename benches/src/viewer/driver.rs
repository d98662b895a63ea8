//! The task of one viewer: its sockets and timers around str0m and the pure parts.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec as RtpCodec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::Receive;
use str0m::rtp::{Extension, RtpPacket};
use str0m::{Candidate as IceCandidate, Event as RtcEvent, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::sync::{mpsc, watch};
use tokio::time;

use super::link::Link;
use super::message::{Candidate, Message};
use super::transport::{Closed, Transport};
use super::video::{Detail, KeyframeWish, VideoReceiver};
use super::{
    AudioStats, Channels, CloseReason, Codec, Data, Event, Frame, Keep, Labelled, Offerer, Stats, Trickle,
    VideoStats, ViewerConfig, ViewerError,
};
use crate::task;

/// What the viewer's owner wants. The latest state counts, so no wish queues behind another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders {
    /// How many keyframes were asked for.
    pub(super) keyframes: u64,
    pub(super) paused: bool,
    pub(super) leaving: bool,
}

#[derive(Debug)]
pub(super) struct Driver<T> {
    start: Instant,
    config: ViewerConfig,
    transport: T,
    orders: watch::Receiver<Orders>,
    outgoing: mpsc::Receiver<Data>,
    stats: watch::Sender<Stats>,
    events: Option<mpsc::Sender<Event>>,

    link: Link,
    local: SocketAddr,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    video_mid: Option<Mid>,
    /// The open data channels.
    open: Vec<(String, ChannelId)>,
    /// The message to be sent next, once its channel takes it.
    unsent: Option<Data>,
    /// Candidates that came before the answer. At most [`MAX_EARLY_CANDIDATES`]; more are dropped.
    early_candidates: Vec<IceCandidate>,

    video: Option<VideoReceiver>,
    audio: AudioReceiver,
    counts: Stats,
    keyframe_wanted: bool,
    keyframes_ordered: u64,
    rtp_datagrams: u32,
    ice_lost_at: Option<Instant>,
    peer_closed_at: Option<Instant>,
}

impl<T: Transport> Driver<T> {
    pub(super) fn new(
        start: Instant,
        transport: T,
        config: ViewerConfig,
        orders: watch::Receiver<Orders>,
        outgoing: mpsc::Receiver<Data>,
        stats: watch::Sender<Stats>,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Self, ViewerError> {
        let (link, local) = Link::bind(&config).map_err(ViewerError::Socket)?;
        let rtc = build_rtc(&config.codecs, start);
        Ok(Self {
            start,
            config,
            transport,
            orders,
            outgoing,
            stats,
            events,
            link,
            local,
            rtc,
            pending: None,
            video_mid: None,
            open: Vec::new(),
            unsent: None,
            early_candidates: Vec::new(),
            video: None,
            audio: AudioReceiver::default(),
            counts: Stats::default(),
            keyframe_wanted: false,
            keyframes_ordered: 0,
            rtp_datagrams: 0,
            ice_lost_at: None,
            peer_closed_at: None,
        })
    }

    pub(super) async fn run(mut self: Box<Self>) -> CloseReason {
        let Err(reason) = self.serve().await;
        self.publish();
        if reason != CloseReason::Internal {
            self.leave().await;
        }
        tracing::debug!(%reason, "viewer ended");
        reason
    }

    /// Runs until there is a reason to end.
    async fn serve(&mut self) -> Result<std::convert::Infallible, CloseReason> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            self.obey().await?;
            let timeout = self.advance(task::now())?;
            self.publish();
            tokio::select! {
                biased;
                changed = self.orders.changed() => changed.map_err(|_| CloseReason::Left)?,
                message = self.transport.recv() => self.handle_message(message).await?,
                readable = self.link.readable() => {
                    readable.map_err(|_| CloseReason::Internal)?;
                    self.read(&mut buffer)?;
                }
                () = time::sleep_until(timeout.into()) => self.input(Input::Timeout(task::now()))?,
                // Last: who floods goes on reading.
                Some(data) = self.outgoing.recv(), if self.unsent.is_none() => self.unsent = Some(data),
            }
        }
    }

    /// Does what the owner wants; while paused it stays in here and touches neither socket nor transport.
    async fn obey(&mut self) -> Result<(), CloseReason> {
        loop {
            let orders = *self.orders.borrow_and_update();
            if orders.leaving {
                return Err(CloseReason::Left);
            }
            self.keyframe_wanted |= orders.keyframes != self.keyframes_ordered;
            self.keyframes_ordered = orders.keyframes;
            self.counts.paused = orders.paused;
            self.publish();
            if !orders.paused {
                return Ok(());
            }
            self.orders.changed().await.map_err(|_| CloseReason::Left)?;
        }
    }

    /// Lets everything that depends on time happen, and says when to come back.
    fn advance(&mut self, now: Instant) -> Result<Instant, CloseReason> {
        if let Some(video) = &mut self.video {
            video.handle_timeout(now);
            self.keyframe_wanted |= video.poll_keyframe_wish(now);
        }
        self.take_frames(now);
        self.request_keyframe(now)?;
        self.send_data(now)?;
        let mut timeout = self.drain()?;

        let own = [
            self.counts.joined_after.is_none().then(|| self.start + self.config.join_timeout),
            self.ice_lost_at.map(|lost| lost + self.config.disconnect_timeout),
            self.peer_closed_at.map(|closed| closed + CODE_GRACE),
        ];
        let reasons = [CloseReason::JoinTimeout, CloseReason::Disconnected, CloseReason::PeerConnection];
        for (deadline, reason) in own.into_iter().zip(reasons) {
            let Some(deadline) = deadline else { continue };
            if deadline <= now {
                return Err(reason);
            }
            timeout = timeout.min(deadline);
        }
        let video = self.video.as_ref().and_then(VideoReceiver::poll_timeout);
        Ok(video.map_or(timeout, |video| timeout.min(video)))
    }

    async fn handle_message(&mut self, message: Result<Message, Closed>) -> Result<(), CloseReason> {
        match message.map_err(CloseReason::Signalling)? {
            Message::Config if self.config.offerer == Offerer::Server => {}
            Message::Config => self.offer().await?,
            Message::Offer(sdp) if self.config.offerer == Offerer::Server => self.answer(&sdp).await?,
            Message::Answer(sdp) => {
                let Some(pending) = self.pending.take() else {
                    tracing::warn!("an answer without an offer");
                    return Ok(());
                };
                let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|error| {
                    tracing::warn!(%error, "unreadable answer");
                    CloseReason::Refused
                })?;
                self.connect(&sdp).await;
                self.rtc.sdp_api().accept_answer(pending, answer).map_err(refused)?;
                for candidate in std::mem::take(&mut self.early_candidates) {
                    self.rtc.add_remote_candidate(candidate);
                }
            }
            Message::Candidate(Candidate { candidate, .. }) if candidate.is_empty() => {}
            Message::Candidate(Candidate { candidate, .. }) => {
                match IceCandidate::from_sdp_string(&candidate) {
                    Ok(candidate) if self.pending.is_none() => self.rtc.add_remote_candidate(candidate),
                    Ok(candidate) if self.early_candidates.len() < MAX_EARLY_CANDIDATES => {
                        self.early_candidates.push(candidate);
                    }
                    Ok(_) => tracing::warn!("too many candidates before the answer"),
                    // A browser skips those that it cannot use, too: host names, TCP.
                    Err(error) => tracing::debug!(%error, "candidate skipped"),
                }
            }
            Message::Notice(name) => self.tell(Keep::Lifecycle, || Event::Notice(name)),
            Message::Offer(_) => tracing::warn!("an offer to a viewer that offers itself"),
        }
        self.input(Input::Timeout(task::now()))
    }

    /// The server wants another connection: a new one, through a new socket, and its counts from the start.
    fn begin_anew(&mut self) -> Result<(), CloseReason> {
        let (link, local) = Link::bind(&self.config).map_err(|_| CloseReason::Internal)?;
        (self.link, self.local) = (link, local);
        self.rtc = build_rtc(&self.config.codecs, task::now());
        (self.pending, self.video_mid, self.video) = (None, None, None);
        self.open.clear();
        self.early_candidates.clear();
        self.audio = AudioReceiver::default();
        (self.ice_lost_at, self.peer_closed_at) = (None, None);
        self.counts.video = VideoStats::default();
        self.counts.channels_open = 0;
        self.counts.connected_anew += 1;
        Ok(())
    }

    async fn offer(&mut self) -> Result<(), CloseReason> {
        if self.video_mid.is_some() {
            self.begin_anew()?;
        }
        let candidate = self.link.candidate(self.local).map_err(|_| CloseReason::Internal)?;
        if self.config.trickle == Trickle::InOffer {
            self.rtc.add_local_candidate(candidate.clone());
        }
        let mut api = self.rtc.sdp_api();
        let video_mid = api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        for channel in channels(self.config.channels) {
            api.add_channel_with_config(channel);
        }
        let (offer, pending) = api.apply().ok_or(CloseReason::Internal)?;
        self.video_mid = Some(video_mid);
        self.pending = Some(pending);
        self.send(Message::Offer(offer.to_sdp_string())).await;
        if self.config.trickle == Trickle::Trickled {
            let ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
            let message = Candidate {
                candidate: candidate.to_sdp_string(),
                sdp_mid: Some(video_mid.to_string()),
                sdp_mline_index: Some(0),
                username_fragment: Some(ufrag),
            };
            self.rtc.add_local_candidate(candidate);
            self.send(Message::Candidate(message.clone())).await;
            self.send(Message::Candidate(Candidate { candidate: String::new(), ..message })).await;
        }
        Ok(())
    }

    /// To the server that described itself so.
    async fn connect(&mut self, sdp: &str) {
        if let Err(error) = self.link.connect(sdp).await {
            tracing::warn!(%error, "the server's TCP port takes no connection");
        }
    }

    async fn answer(&mut self, sdp: &str) -> Result<(), CloseReason> {
        let candidate = self.link.candidate(self.local).map_err(|_| CloseReason::Internal)?;
        if self.config.trickle == Trickle::InOffer {
            self.rtc.add_local_candidate(candidate.clone());
        }
        let offer = SdpOffer::from_sdp_string(sdp).map_err(|error| {
            tracing::warn!(%error, "unreadable offer");
            CloseReason::Refused
        })?;
        self.connect(sdp).await;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(refused)?;
        for channel in channels(self.config.channels) {
            self.rtc.direct_api().create_data_channel(channel);
        }
        self.send(Message::Answer(answer.to_sdp_string())).await;
        if self.config.trickle == Trickle::Trickled {
            let message = Candidate { candidate: candidate.to_sdp_string(), ..Candidate::default() };
            self.rtc.add_local_candidate(candidate);
            self.send(Message::Candidate(message)).await;
        }
        Ok(())
    }

    /// Sends what waits, as long as its channel takes it, at most [`SEND_BATCH`] messages.
    fn send_data(&mut self, now: Instant) -> Result<(), CloseReason> {
        for _ in 0..SEND_BATCH {
            let Some(data) = self.unsent.take().or_else(|| self.outgoing.try_recv().ok()) else { break };
            let channel = self.open.iter().find(|(label, _)| *label == data.channel);
            let Some(mut channel) = channel.and_then(|(_, id)| self.rtc.channel(*id)) else {
                self.unsent = Some(data);
                return Ok(());
            };
            match channel.write(true, &data.data) {
                Ok(true) => self.counts.messages_sent += 1,
                Ok(false) => {
                    self.unsent = Some(data);
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(%error, "not sent");
                    self.counts.messages_refused += 1;
                }
            }
            self.input(Input::Timeout(now))?;
            self.drain()?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) {
        // A transport that is gone says why at the next `recv`.
        if let Err(error) = self.transport.send(message).await {
            tracing::debug!(%error, "not sent");
        }
    }

    /// Reads what has arrived, at most [`READ_BATCH`] datagrams, so that timers and orders have their turn.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), CloseReason> {
        for _ in 0..READ_BATCH {
            match self.link.try_recv(buffer) {
                Ok((len, source)) => self.receive(source, &buffer[..len])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP answer to something that was sent: the server's socket is closed. ICE sees to it.
                Err(error) => tracing::trace!(%error, "socket error"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), CloseReason> {
        if self.drops(datagram) {
            self.counts.dropped_on_purpose += 1;
            return Ok(());
        }
        match Receive::new(self.link.protocol(), source, self.local, datagram) {
            Ok(received) => {
                self.input(Input::Receive(task::now(), received))?;
                self.drain()?;
            }
            Err(error) => tracing::debug!(%error, "not a datagram of WebRTC"),
        }
        Ok(())
    }

    fn drops(&mut self, datagram: &[u8]) -> bool {
        let Some(every) = self.config.drop_every.filter(|_| is_rtp(datagram)) else { return false };
        self.rtp_datagrams = (self.rtp_datagrams + 1) % every.get();
        self.rtp_datagrams == 0
    }

    fn input(&mut self, input: Input<'_>) -> Result<(), CloseReason> {
        self.rtc.handle_input(input).map_err(refused)
    }

    /// Lets str0m send and tell until it waits, and says until when. To be called after each input, before the next.
    fn drain(&mut self) -> Result<Instant, CloseReason> {
        loop {
            match self.rtc.poll_output().map_err(refused)? {
                Output::Timeout(timeout) => return Ok(timeout),
                Output::Transmit(datagram) => {
                    self.link.send(&datagram.contents, datagram.destination);
                }
                Output::Event(event) => self.handle_event(event),
            }
        }
    }

    fn handle_event(&mut self, event: RtcEvent) {
        match event {
            RtcEvent::Connected => {
                self.counts.joined_after = Some(task::now() - self.start);
                self.tell(Keep::Lifecycle, || Event::Joined);
            }
            RtcEvent::IceConnectionStateChange(state) => {
                self.ice_lost_at = (state == IceConnectionState::Disconnected).then(task::now);
            }
            RtcEvent::MediaAdded(media) if media.kind == MediaKind::Video => self.video_mid = Some(media.mid),
            RtcEvent::ChannelOpen(id, label) => {
                self.open.push((label.clone(), id));
                self.counts.channels_open = self.open.len() as u64;
                self.tell(Keep::Lifecycle, || Event::Channel(label));
            }
            RtcEvent::ChannelClose(id) => {
                self.open.retain(|(_, open)| *open != id);
                self.counts.channels_open = self.open.len() as u64;
            }
            RtcEvent::ChannelData(received) => {
                self.counts.messages_received += 1;
                if let Some((label, _)) = self.open.iter().find(|(_, id)| *id == received.id) {
                    let data = Data { channel: label.clone(), data: received.data.into() };
                    self.tell(Keep::Lifecycle, || Event::Data(data));
                }
            }
            RtcEvent::RtpPacket(packet) => self.handle_packet(packet),
            RtcEvent::Closed => {
                let now = task::now();
                self.peer_closed_at = Some(now);
                self.counts.peer_closed_after = Some(now - self.start);
            }
            _ => {}
        }
    }

    fn handle_packet(&mut self, packet: RtpPacket) {
        let sent_as = packet.header.payload_type;
        let Some(params) = self.rtc.codec_config().find(|params| params.pt() == sent_as) else { return };
        let codec = match params.spec().codec {
            RtpCodec::H264 => Codec::H264,
            RtpCodec::H265 => Codec::Hevc,
            RtpCodec::Av1 => Codec::Av1,
            _ => {
                self.audio.count(*packet.seq_no, packet.payload.len());
                let (timestamp, payload) = (packet.time.numer(), packet.payload);
                self.tell(Keep::Everything, || Event::Audio { timestamp, data: Bytes::from_owner(payload) });
                return;
            }
        };
        let (now, sequence, timestamp) = (packet.timestamp, *packet.seq_no, packet.time.numer());
        let video = self.video.get_or_insert_with(|| {
            let detail = match self.config.keep {
                Keep::Nothing | Keep::Lifecycle => Detail::Count,
                Keep::Video | Keep::Everything => Detail::Assemble,
            };
            let wish = KeyframeWish::every(self.config.keyframe_interval);
            VideoReceiver::new(codec, detail, self.config.check.clone(), self.config.patience, wish)
        });
        video.handle_packet(now, sequence, timestamp, packet.header.marker, packet.payload);
        self.take_frames(now);
    }

    fn take_frames(&mut self, now: Instant) {
        while let Some(frame) = self.video.as_mut().and_then(VideoReceiver::poll_frame) {
            if frame.keyframe && self.counts.first_keyframe_after.is_none() {
                self.counts.first_keyframe_after = Some(now - self.start);
            }
            if let (Some(latencies), Some(sent_at)) = (&self.config.latencies, frame.host_clock) {
                latencies.note(task::wall_clock().saturating_sub(sent_at));
            }
            let (timestamp, keyframe, contiguous) = (frame.timestamp, frame.keyframe, frame.contiguous);
            if let Some(unit) = frame.unit {
                let frame = Frame { timestamp, keyframe, contiguous, unit };
                self.tell(Keep::Video, || Event::Video(frame));
            }
        }
    }

    fn request_keyframe(&mut self, now: Instant) -> Result<(), CloseReason> {
        let Some(mid) = self.video_mid.filter(|_| self.keyframe_wanted) else { return Ok(()) };
        // Before the server has named its stream there is nothing to ask for; the wish waits.
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_rx_by_mid(mid, None) else { return Ok(()) };
        stream.request_keyframe(KeyframeRequestKind::Pli);
        self.keyframe_wanted = false;
        self.counts.plis += 1;
        self.input(Input::Timeout(now))
    }

    /// Gives an event to the reader if it wants those; when there is no room for it, it is dropped and counted.
    fn tell(&mut self, kind: Keep, event: impl FnOnce() -> Event) {
        let Some(events) = &self.events else { return };
        if (self.config.keep as u8) < (kind as u8) {
            return;
        }
        match events.try_reserve() {
            Ok(permit) => permit.send(event()),
            Err(_) => self.counts.events_dropped += 1,
        }
    }

    fn publish(&mut self) {
        if let Some(video) = &self.video {
            self.counts.video = video.stats();
        }
        self.counts.audio = self.audio.stats();
        self.stats.send_if_modified(|stats| {
            let changed = *stats != self.counts;
            *stats = self.counts;
            changed
        });
    }

    /// Says goodbye on every way that is still open.
    async fn leave(&mut self) {
        if self.rtc.close().is_ok() {
            // Goodbyes go out at once or not at all: nothing of them is waited for.
            let now = task::now();
            while self.rtc.is_alive() {
                match self.drain() {
                    Ok(timeout) if timeout <= now && self.input(Input::Timeout(now)).is_ok() => {}
                    _ => break,
                }
            }
        }
        // A server that does not read does not keep a viewer.
        let _ = time::timeout(CLOSE_TIMEOUT, self.transport.close()).await;
    }
}

fn channels(channels: Channels) -> Vec<ChannelConfig> {
    let config = |label: &str, negotiated| ChannelConfig {
        label: label.to_owned(),
        negotiated,
        ..ChannelConfig::default()
    };
    match channels {
        Channels::Nothing => Vec::new(),
        Channels::Negotiated => vec![
            config("input", Some(0)),
            ChannelConfig {
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..config("motion", Some(1))
            },
            config("events", Some(2)),
        ],
        Channels::InBand(count) => (0..count).map(|n| config(&n.to_string(), None)).collect(),
        Channels::Labelled(channels) => channels.iter().map(labelled).collect(),
    }
}

fn labelled(channel: &Labelled) -> ChannelConfig {
    let reliability = channel
        .max_retransmits
        .map_or(Reliability::Reliable, |retransmits| Reliability::MaxRetransmits { retransmits });
    ChannelConfig {
        label: channel.label.to_owned(),
        ordered: channel.ordered,
        reliability,
        ..ChannelConfig::default()
    }
}

/// Counts the packets of an audio stream.
#[derive(Debug, Default)]
struct AudioReceiver {
    span: Option<(u64, u64)>,
    counts: AudioStats,
}

impl AudioReceiver {
    fn count(&mut self, sequence: u64, len: usize) {
        self.counts.packets += 1;
        self.counts.bytes += len as u64;
        let (first, last) = self.span.unwrap_or((sequence, sequence));
        self.span = Some((first.min(sequence), last.max(sequence)));
    }

    fn stats(&self) -> AudioStats {
        let sent = self.span.map_or(0, |(first, last)| last - first + 1);
        AudioStats { lost: sent.saturating_sub(self.counts.packets), ..self.counts }
    }
}

/// A peer connection that offers what Chromium does, as far as this viewer plays it.
fn build_rtc(codecs: &[Codec], now: Instant) -> Rtc {
    let mut config = Rtc::builder()
        .clear_codecs()
        .enable_opus(true, false)
        .set_rtp_mode(true)
        .set_sctp_max_buffered_amount(SEND_BUFFER)
        .set_extension(PLAYOUT_DELAY_ID, Extension::PlayoutDelay);
    for codec in codecs {
        let offered = config.codec_config();
        match codec {
            Codec::H264 => {
                for (pt, rtx, mode_1, profile_level) in H264_OFFERED {
                    offered.add_h264(pt.into(), Some(rtx.into()), mode_1, profile_level);
                }
            }
            // Main profile, main tier, level 6.0, under numbers that H.264 leaves free.
            Codec::Hevc => offered.add_h265(49.into(), Some(50.into()), 1, 0, 180),
            Codec::Av1 => offered.enable_av1(true),
        }
    }
    config.build(now)
}

/// RTP, as opposed to RTCP, STUN and DTLS (RFC 7983, RFC 5761).
fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(192..=223).contains(second))
}

fn refused(error: RtcError) -> CloseReason {
    tracing::warn!(%error, "peer connection failed");
    CloseReason::Refused
}

/// Payload type, its RTX, packetization mode 1, profile-level-id: the H.264 of Chromium's offer.
const H264_OFFERED: [(u8, u8, bool, u32); 6] = [
    (103, 104, true, 0x42_001f),
    (107, 108, false, 0x42_001f),
    (109, 114, true, 0x42_e01f),
    (115, 116, false, 0x42_e01f),
    (117, 118, true, 0x4d_001f),
    (119, 120, false, 0x4d_001f),
];

/// The id that Chromium gives the playout delay extension.
const PLAYOUT_DELAY_ID: u8 = 5;

/// More than any datagram of WebRTC, which stays below the path's MTU.
const MAX_DATAGRAM: usize = 2048;

/// About a frame at 18 Mbit/s and 60 frames per second, twice.
const READ_BATCH: usize = 64;

/// Between two looks at what arrives.
const SEND_BATCH: usize = 32;

/// What may wait on the data channels: room for a message that no server takes.
const SEND_BUFFER: usize = 1 << 20;

/// A server names a handful; more is a fault.
const MAX_EARLY_CANDIDATES: usize = 32;

/// How long the transport's close code may come behind DTLS's `close_notify`.
const CODE_GRACE: Duration = Duration::from_secs(2);

/// How long the transport's close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_told_from_what_shares_its_port() {
        assert!(is_rtp(&[0x80, 103]) && is_rtp(&[0x90, 0x80 | 103]));
        for other in [&[][..], &[0x80], &[0x80, 200], &[0x81, 206], &[0, 1], &[22, 254]] {
            assert!(!is_rtp(other), "{other:?}");
        }
    }

    #[test]
    fn audio_loss_is_what_is_missing_between_first_and_last() {
        let mut audio = AudioReceiver::default();
        assert_eq!(audio.stats(), AudioStats::default());
        for sequence in [10, 12, 11, 15] {
            audio.count(sequence, 3);
        }
        assert_eq!(audio.stats(), AudioStats { packets: 4, bytes: 12, lost: 2 });
    }
}
