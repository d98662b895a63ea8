//! A host's side of one launched session: what answers a [`Connection`](crate::gamestream::connection::Connection).
//!
//! It owns RTSP responder, control stream, packetisers and deadlines, and is as pure as the client: time and bytes are
//! arguments. Source: protocol document, session 12 to 18 and 20; streams 1, 2, 4, 7 and 8.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::gamestream::connection::Stream;
use crate::gamestream::wire::control::{ClientMessage, HostMessage, Termination};
use crate::gamestream::wire::http::request::Launch;
use crate::gamestream::wire::input::Input;
use crate::gamestream::wire::sdp::{Announcement, EncryptionOffer};
use crate::media::VideoTimestamp;

/// Which host a session takes after: its answers, ciphers, packets and timing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Manner {
    /// Sunshine v2025.628, as recorded; later ones hardly differ.
    #[default]
    Sunshine,
    /// Sunshine v0.23.1, as recorded.
    SunshineV023,
    /// Wolf of October 2024, as recorded.
    Wolf,
}

/// What a session is launched with.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) manner: Manner,
    /// What Sunshine says of encryption; Wolf says nothing.
    pub(crate) encryption: EncryptionOffer,
    /// H.264 is offered always.
    pub(crate) hevc: bool,
    pub(crate) av1: bool,
    /// With key, key id, and whether RTSP is encrypted: it is if the client can and the host is no Wolf.
    pub(crate) launch: Launch,
    pub(crate) ports: SessionPorts,
    /// The most for a video datagram's bytes behind its RTP header; smaller than announced is legal (session 17.4).
    pub(crate) packet_size_limit: Option<u32>,
    /// Parity shards for each hundred data shards of video, 0 to 255. Hosts have 20.
    pub(crate) fec_percentage: u8,
    /// Random, and new for each session.
    pub(crate) seed: u64,
}

/// The UDP ports of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionPorts {
    pub(crate) video: u16,
    pub(crate) audio: u16,
    pub(crate) control: u16,
}

/// A datagram for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostTransmit {
    pub(crate) stream: Stream,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What a session has for its driver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HostSessionEvent {
    /// ANNOUNCE was taken: pictures shall be like that, and pings are heard from now on.
    Announced(Box<Announcement>),
    /// The control stream stands.
    ControlConnected,
    /// A ping for this stream, video or audio, was accepted: it can begin. The first picture is a keyframe.
    MediaWanted(Stream),
    /// The next picture shall be a keyframe. `start` is START A, which is of no use before the first picture.
    KeyframeWanted {
        start: bool,
    },
    Input(Input),
    /// What else the client said, but for pings.
    Message(ClientMessage),
    /// The last event. What [`HostSession::poll_transmit`] has is still to be sent.
    Ended(EndReason),
}

/// Why a session ended on the host's side: the first reason that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum EndReason {
    /// No control connection within 10 s of the launch: the slot is free again. Sunshine only.
    NeverConnected,
    /// No ping for this stream within 10 s of ANNOUNCE. Sunshine only.
    NeverPinged(Stream),
    /// No message on the control stream for 10 s. Sunshine only.
    ControlSilent,
    /// The client acknowledges nothing any more.
    ControlLost,
    /// A control message that the key does not open. Sunshine only.
    BadMessage,
    /// The client disconnected, or said that it ends the session.
    ClientLeft,
    /// By [`HostSession::terminate`], [`HostSession::cancel`] or [`HostSession::disconnect`].
    Host,
}

/// What a session took from its client so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) video_pings: u64,
    pub(crate) audio_pings: u64,
    pub(crate) control_pings: u64,
    /// Without START A.
    pub(crate) keyframe_requests: u64,
    pub(crate) fec_statuses: u64,
    pub(crate) inputs: u64,
}

/// Pure: bytes and time in, bytes and events out.
///
/// After each call of any other method empty [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says. `now` never goes back. It needs its three UDP sockets to itself.
pub(crate) struct HostSession {}

impl HostSession {
    /// Begins with the launch.
    pub(crate) fn new(now: Instant, config: SessionConfig) -> Self {
        let _ = (now, config);
        Self {}
    }

    /// Whether `received` is a whole request, or can become none.
    pub(crate) fn is_whole_request(&self, received: &[u8]) -> bool {
        let _ = received;
        true
    }

    /// The answer to one request: to be sent, and the connection closed behind it. Empty is: closed without a byte.
    pub(crate) fn handle_rtsp(&mut self, now: Instant, request: &[u8]) -> Vec<u8> {
        let _ = (now, request);
        Vec::new()
    }

    /// Takes what came to a stream's socket.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        stream: Stream,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        let _ = (now, stream, from, datagram);
    }

    /// The next datagram for the client.
    pub(crate) fn poll_transmit(&mut self) -> Option<HostTransmit> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. `None` once all is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Time has passed. Call it when due; earlier does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// What happened next.
    pub(crate) fn poll_event(&mut self) -> Option<HostSessionEvent> {
        None
    }

    /// Sends a picture. Dropped without a trace before the client pinged for video, and after the end.
    pub(crate) fn send_video(
        &mut self,
        timestamp: VideoTimestamp,
        latency: Option<Duration>,
        keyframe: bool,
        data: &[u8],
    ) {
        let _ = (timestamp, latency, keyframe, data);
    }

    /// Sends an Opus packet. Dropped without a trace before the client pinged for audio, and after the end.
    pub(crate) fn send_audio(&mut self, data: &[u8]) {
        let _ = data;
    }

    /// Says something on the control stream; rumble, say. Nothing before it stands.
    pub(crate) fn send_message(&mut self, now: Instant, message: &HostMessage) {
        let _ = (now, message);
    }

    /// The app exited: the client is told with this code, and a while later disconnected.
    pub(crate) fn terminate(&mut self, now: Instant, code: Termination) {
        let _ = (now, code);
    }

    /// `/cancel`, as each host does it: Sunshine v2025 disconnects without a word.
    pub(crate) fn cancel(&mut self, now: Instant) {
        let _ = now;
    }

    /// Disconnects the client without a word.
    pub(crate) fn disconnect(&mut self, now: Instant) {
        let _ = now;
    }

    /// What came from the client so far.
    pub(crate) fn received(&self) -> Received {
        Received::default()
    }
}
