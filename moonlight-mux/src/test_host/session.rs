//! A host's side of one launched session: what answers a [`Connection`](crate::gamestream::connection::Connection).
//!
//! It owns RTSP responder, control stream, packetisers and deadlines, and is as pure as the client: time and bytes are
//! arguments. Source: protocol document, session 12 to 18 and 20; streams 1, 2, 4, 7 and 8.

pub(crate) mod audio;
pub(crate) mod control;
mod rtsp;
#[cfg(test)]
mod tests;
pub(crate) mod video;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use self::audio::AudioPacketiser;
use self::control::{ControlHost, Heard, TICK};
use self::rtsp::{Announced, Responder};
use self::video::{Picture, Shape};
use crate::gamestream::connection::Stream;
use crate::gamestream::crypto::{AudioCipher, ControlCipher, ControlNonce, VideoCipher};
use crate::gamestream::wire::control::{ClientMessage, GENERIC_CHANNEL, Hdr, HostMessage, Termination, kind};
use crate::gamestream::wire::http::request::Launch;
use crate::gamestream::wire::input::Input;
use crate::gamestream::wire::sdp::{Announcement, EncryptionOffer};
use crate::gamestream::wire::video::{FrameKind, Ping};
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

impl SessionConfig {
    /// Of pictures (streams 9.2).
    fn first_number(&self) -> u32 {
        if self.manner == Manner::Wolf { 0 } else { 1 }
    }
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
pub(crate) struct HostSession {
    config: SessionConfig,
    launched: Instant,
    responder: Responder,
    /// From ANNOUNCE on.
    live: Option<Live>,
    state: State,
    received: Received,
    /// At most [`MAX_TRANSMITS`]; a picture or packet of sound that would begin behind that is dropped.
    transmits: VecDeque<HostTransmit>,
    /// What one call brings.
    events: VecDeque<HostSessionEvent>,
}

/// What there is from ANNOUNCE on: until then hosts have no sockets.
#[derive(Debug)]
struct Live {
    announced_at: Instant,
    announced: Announced,
    control: ControlHost,
    next_tick: Instant,
    connected: bool,
    last_message: Instant,
    /// Sunshine's, until it is sent.
    hdr_at: Option<Instant>,
    video: Video,
    audio: AudioPacketiser,
    /// Where media go: where the first ping came from.
    video_to: Option<SocketAddr>,
    audio_to: Option<SocketAddr>,
}

/// The stream of pictures.
#[derive(Debug)]
struct Video {
    shape: Shape,
    cipher: Option<VideoCipher>,
    /// Of the next picture.
    number: u32,
    /// Shards so far.
    shards: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The client was told; it is disconnected then.
    Ending {
        disconnect: Instant,
    },
    Ended,
}

impl HostSession {
    /// Begins with the launch.
    pub(crate) fn new(now: Instant, config: SessionConfig) -> Self {
        let mut random = Random(config.seed);
        let payload = std::array::from_fn(|_| b"0123456789ABCDEF"[(random.next() >> 60) as usize]);
        let connect_data = (random.next() >> 32) as u32;
        Self {
            responder: Responder::new(&config, payload, connect_data),
            config,
            launched: now,
            live: None,
            state: State::Running,
            received: Received::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Whether it was neither told to end nor ended by itself.
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether RTSP is encrypted: the scheme of `sessionUrl0` is `rtspenc` then.
    pub(crate) fn encrypts_rtsp(&self) -> bool {
        self.responder.encrypts()
    }

    /// Whether what came on an RTSP connection so far is a whole request, or can become none.
    pub(crate) fn is_whole_request(&self, received: &[u8]) -> bool {
        self.responder.is_whole(received)
    }

    /// The answer to one request: to be sent, and the connection closed behind it. Empty is: closed without a byte.
    pub(crate) fn handle_rtsp(&mut self, now: Instant, request: &[u8]) -> Vec<u8> {
        if self.state != State::Running {
            return Vec::new();
        }
        let answer = self.responder.answer(request);
        if let (Some(announced), None) = (answer.announced, &self.live) {
            self.events.push_back(HostSessionEvent::Announced(Box::new(announced.announcement)));
            self.live = Some(self.begin(now, announced));
        }
        answer.bytes
    }

    /// Takes what came to a stream's socket. Before ANNOUNCE there is none.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        stream: Stream,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        let Some(live) = &mut self.live else { return };
        match stream {
            Stream::Control => {
                let heard = live.control.handle_datagram(now, from, datagram);
                self.hear(now, heard);
            }
            Stream::Video | Stream::Audio if self.state == State::Running => {
                self.take_ping(now, stream, from, datagram);
            }
            Stream::Video | Stream::Audio => {}
        }
    }

    /// The next datagram for the client.
    pub(crate) fn poll_transmit(&mut self) -> Option<HostTransmit> {
        if let Some((to, bytes)) = self.live.as_mut().and_then(|live| live.control.poll_datagram()) {
            return Some(HostTransmit { stream: Stream::Control, to, bytes });
        }
        self.transmits.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. `None` once all is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tick = self.live.as_ref().map(|live| live.next_tick);
        let hdr = self.live.as_ref().and_then(|live| live.hdr_at);
        match self.state {
            State::Ended => None,
            State::Ending { disconnect } => [Some(disconnect), tick].into_iter().flatten().min(),
            State::Running => {
                let deadline = self.deadline().map(|(at, _)| at);
                [deadline, tick, hdr].into_iter().flatten().min()
            }
        }
    }

    /// Time has passed. Call it when due; earlier does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        if let Some(live) = &mut self.live
            && live.next_tick <= now
        {
            live.next_tick = now + TICK;
            let heard = live.control.handle_timeout(now);
            self.hear(now, heard);
        }
        match self.state {
            State::Ending { disconnect } if disconnect <= now => self.disconnect(now),
            State::Running => {
                if let Some(live) = &mut self.live
                    && live.hdr_at.is_some_and(|at| at <= now)
                {
                    live.hdr_at = None;
                    live.control.send(now, &HostMessage::Hdr(Hdr::default()));
                }
                if let Some((at, reason)) = self.deadline()
                    && at <= now
                {
                    self.cut_off(now, reason);
                }
            }
            State::Ending { .. } | State::Ended => {}
        }
    }

    /// What happened next.
    pub(crate) fn poll_event(&mut self) -> Option<HostSessionEvent> {
        self.events.pop_front()
    }

    /// Sends a picture. Nothing before the client pinged for video, and nothing after the end; one that is too long, or
    /// that the driver is too slow for, is lost like any other.
    pub(crate) fn send_video(
        &mut self,
        timestamp: VideoTimestamp,
        host_latency: Option<Duration>,
        keyframe: bool,
        data: &[u8],
    ) {
        let State::Running = self.state else { return };
        let Some(Live { video, video_to: Some(to), .. }) = &mut self.live else { return };
        let number = video.number;
        video.number = video.number.wrapping_add(1);
        if self.transmits.len() >= MAX_TRANSMITS {
            tracing::debug!(number, "a picture is dropped: too many datagrams wait");
            return;
        }
        let kind = if keyframe { FrameKind::Idr } else { FrameKind::P };
        let picture = Picture { number, timestamp: timestamp.rtp(), host_latency, kind, data };
        let blocks = match video.shape.cut(video.shards as u32, &picture) {
            Ok(blocks) => blocks,
            Err(error) => return tracing::debug!(number, %error, "a picture is dropped"),
        };
        for datagram in blocks.into_iter().flatten() {
            let bytes = match &video.cipher {
                None => datagram,
                Some(cipher) => {
                    let mut sealed = Vec::new();
                    cipher.seal(video.shards, number, datagram, &mut sealed);
                    sealed
                }
            };
            video.shards += 1;
            self.transmits.push_back(HostTransmit { stream: Stream::Video, to: *to, bytes });
        }
    }

    /// Sends an Opus packet. Nothing before the client pinged for audio, and nothing after the end.
    pub(crate) fn send_audio(&mut self, opus: &[u8]) {
        let State::Running = self.state else { return };
        let Some(Live { audio, audio_to: Some(to), .. }) = &mut self.live else { return };
        let datagrams = audio.packetise(opus);
        if self.transmits.len() < MAX_TRANSMITS {
            let transmit = |bytes| HostTransmit { stream: Stream::Audio, to: *to, bytes };
            self.transmits.extend(datagrams.into_iter().map(transmit));
        }
    }

    /// Says something on the control stream; rumble, say. Nothing before it stands.
    pub(crate) fn send_message(&mut self, now: Instant, message: &HostMessage) {
        if let (State::Running, Some(live)) = (self.state, &mut self.live) {
            live.control.send(now, message);
        }
    }

    /// The app exited: the client is told with this code, and a while later disconnected (streams 8.2).
    pub(crate) fn terminate(&mut self, now: Instant, code: Termination) {
        self.send_message(now, &HostMessage::Termination(code));
        self.begin_ending(now);
    }

    /// `/cancel`, as each host does it: Sunshine v2025 disconnects without a word, Wolf says one too many (streams 8.2).
    pub(crate) fn cancel(&mut self, now: Instant) {
        match self.config.manner {
            Manner::Sunshine => self.disconnect(now),
            Manner::SunshineV023 => self.terminate(now, Termination::INTENDED),
            Manner::Wolf => {
                if let (State::Running, Some(live)) = (self.state, &mut self.live) {
                    live.control.send_with_forged(now, &HostMessage::Termination(Termination::INTENDED));
                }
                self.begin_ending(now);
            }
        }
    }

    /// Disconnects the client without a word.
    pub(crate) fn disconnect(&mut self, now: Instant) {
        self.cut_off(now, EndReason::Host);
    }

    /// What came from the client so far.
    pub(crate) fn received(&self) -> Received {
        self.received
    }

    /// What ANNOUNCE brings.
    fn begin(&self, now: Instant, announced: Announced) -> Live {
        let SessionConfig { manner, ref launch, packet_size_limit, fec_percentage, seed, .. } = self.config;
        let Announced { announcement, min_parity, tells_itself } = announced;
        let nonce = if announcement.control_v2() { ControlNonce::V2 } else { ControlNonce::Old };
        let cipher = ControlCipher::new(&launch.key, nonce);
        let connect_data = self.responder.connect_data().filter(|_| tells_itself);
        let session = announcement.session(launch.key.clone(), launch.rikeyid);
        let limit = packet_size_limit.unwrap_or(u32::MAX);
        let packet_size = (announcement.packet_size.min(limit) / 16 * 16).max(MIN_PACKET_SIZE);
        let audio_cipher = session.audio.encrypted.then(|| AudioCipher::new(&launch.key, launch.rikeyid));
        Live {
            announced_at: now,
            announced,
            control: ControlHost::new(now, manner, cipher, connect_data, seed as u32),
            next_tick: now + TICK,
            connected: false,
            last_message: now,
            hdr_at: None,
            video: Video {
                shape: Shape {
                    manner,
                    payload_len: packet_size as usize - 16,
                    percentage: fec_percentage,
                    min_parity,
                    blocks: None,
                },
                cipher: session.video.encrypted.then(|| VideoCipher::new(&launch.key)),
                number: self.config.first_number(),
                shards: 0,
            },
            audio: AudioPacketiser::new(manner, audio_cipher, session.audio.packet_duration),
            video_to: None,
            audio_to: None,
        }
    }

    /// The first one counts, later ones do not move the stream (streams 4.1).
    fn take_ping(&mut self, now: Instant, stream: Stream, from: SocketAddr, datagram: &[u8]) {
        let Some(live) = &mut self.live else { return };
        let accepted = match (self.config.manner, Ping::parse(datagram)) {
            // It takes whatever comes, but only for a while (session 18.1).
            (Manner::Wolf, _) => now < self.launched + WOLF_HEARS_PINGS,
            (_, Ok(Ping::Payload { payload, .. })) => self.responder.ping_payload() == Some(payload),
            (_, Ok(Ping::Legacy)) => !live.announced.tells_itself,
            (_, Err(_)) => false,
        };
        let (to, count) = match stream {
            Stream::Video => (&mut live.video_to, &mut self.received.video_pings),
            Stream::Audio => (&mut live.audio_to, &mut self.received.audio_pings),
            Stream::Control => return,
        };
        *count += 1;
        if accepted && to.is_none() {
            *to = Some(from);
            self.events.push_back(HostSessionEvent::MediaWanted(stream));
        }
    }

    fn hear(&mut self, now: Instant, heard: Vec<Heard>) {
        for heard in heard {
            if self.state == State::Ended {
                return;
            }
            let Some(live) = &mut self.live else { return };
            match heard {
                Heard::Connected => {
                    live.connected = true;
                    live.last_message = now;
                    live.hdr_at = (self.config.manner != Manner::Wolf).then_some(now + HDR);
                    self.events.push_back(HostSessionEvent::ControlConnected);
                }
                Heard::Message { channel, message } => {
                    live.last_message = now;
                    self.take_message(channel, message);
                }
                Heard::Malformed => live.last_message = now,
                Heard::Forged if self.config.manner == Manner::Wolf => {}
                Heard::Forged => self.cut_off(now, EndReason::BadMessage),
                Heard::Disconnected if self.state == State::Running => self.finish(EndReason::ClientLeft),
                Heard::Lost if self.state == State::Running => self.finish(EndReason::ControlLost),
                Heard::Disconnected | Heard::Lost => self.finish(EndReason::Host),
            }
        }
    }

    fn take_message(&mut self, channel: u8, message: ClientMessage) {
        if self.state != State::Running {
            return;
        }
        let event = match message {
            ClientMessage::Ping => {
                self.received.control_pings += 1;
                return;
            }
            ClientMessage::RequestIdr => {
                let start = channel == GENERIC_CHANNEL;
                self.received.keyframe_requests += u64::from(!start);
                HostSessionEvent::KeyframeWanted { start }
            }
            ClientMessage::Input(input) => {
                self.received.inputs += 1;
                HostSessionEvent::Input(input)
            }
            // It pauses the session (streams 9.2).
            ClientMessage::Unknown { kind: kind::TERMINATION, .. } if self.config.manner == Manner::Wolf => {
                return self.finish(EndReason::ClientLeft);
            }
            message => {
                self.received.fec_statuses += u64::from(matches!(message, ClientMessage::FecStatus(_)));
                HostSessionEvent::Message(message)
            }
        };
        self.events.push_back(event);
    }

    /// Sunshine's deadlines (session 20); Wolf has none.
    fn deadline(&self) -> Option<(Instant, EndReason)> {
        if self.config.manner == Manner::Wolf {
            return None;
        }
        let Some(live) = &self.live else {
            return Some((self.launched + PATIENCE, EndReason::NeverConnected));
        };
        let pinged = live.announced_at + PATIENCE;
        let deadlines = [
            (!live.connected).then_some((self.launched + PATIENCE, EndReason::NeverConnected)),
            live.video_to.is_none().then_some((pinged, EndReason::NeverPinged(Stream::Video))),
            live.audio_to.is_none().then_some((pinged, EndReason::NeverPinged(Stream::Audio))),
            live.connected.then_some((live.last_message + PATIENCE, EndReason::ControlSilent)),
        ];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn begin_ending(&mut self, now: Instant) {
        if self.state != State::Running {
            return;
        }
        if !self.live.as_ref().is_some_and(|live| live.connected) {
            return self.finish(EndReason::Host);
        }
        self.transmits.clear();
        let linger = if self.config.manner == Manner::Wolf { WOLF_LINGERS } else { SUNSHINE_LINGERS };
        self.state = State::Ending { disconnect: now + linger };
    }

    fn cut_off(&mut self, now: Instant, reason: EndReason) {
        if let Some(live) = &mut self.live {
            live.control.disconnect(now);
        }
        self.finish(reason);
    }

    fn finish(&mut self, reason: EndReason) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.transmits.clear();
            self.events.push_back(HostSessionEvent::Ended(reason));
        }
    }
}

impl fmt::Debug for HostSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, state, received, .. } = self;
        f.debug_struct("HostSession")
            .field("manner", &config.manner)
            .field("state", state)
            .field("received", received)
            .finish_non_exhaustive()
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// For the control connection, for each media stream's first ping, and for a word on the control stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// Since the launch (session 18.1).
const WOLF_HEARS_PINGS: Duration = Duration::from_secs(4);

/// Behind the control connection; recorded: 3 to 205 ms (session 20).
const HDR: Duration = Duration::from_millis(50);

/// Between termination and disconnect; recorded: 390 to 450 ms, and 0.1 ms (session 20).
const SUNSHINE_LINGERS: Duration = Duration::from_millis(400);
const WOLF_LINGERS: Duration = Duration::from_micros(100);

/// Room for a frame header and some bits of a picture.
const MIN_PACKET_SIZE: u32 = 32;

/// Four pictures of the longest that there can be.
const MAX_TRANSMITS: usize = 16 * 1024;
