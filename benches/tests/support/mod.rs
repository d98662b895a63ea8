//! What the tests of this package share: a source of its own frames, signalling within the process, a server.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod decoded;
pub(crate) mod desktop;
pub(crate) mod input;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod modules;
pub(crate) mod page;
pub(crate) mod random;
pub(crate) mod relay;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use moonlight_mux::{
    AudioFrame, AudioInfo, AudioTimestamp, Candidate, Command, Description, DescriptionKind, Ended,
    FrameNumber, LeaveReason, PeerConfig, PeerHandle, Registry, Signal, SignalError, SignalSink,
    SignalStream, Signalling, SourceError, SourceIo, StreamInfo, Streamer, StreamerConfig, VideoCodec,
    VideoFrame, VideoInfo, VideoSource, VideoTimestamp, WebRtc, WebRtcConfig,
};
use moonlight_mux_benches::viewer::{
    self, AccessUnit, Closed, Codec, FrameCheck, Message, Offerer, ServerEnd, ServerSink, ServerStream,
    Viewer, ViewerConfig,
};
use moonlight_mux_http::ServerConfig;
use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, IntraFramePeriod};
use openh264::formats::YUVBuffer;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) mod wire;

pub(crate) use desktop::Desktop;
use desktop::Port;

/// Plays access units round and round, with sound. The first is the only keyframe; a wish for one jumps back to it, as a
/// recording does.
pub(crate) struct Pictures {
    pictures: Vec<Bytes>,
    fps: u64,
    /// Between two packets of sound.
    packet: Duration,
    keyframes_asked: Arc<AtomicU64>,
    port: Option<Port>,
}

impl Pictures {
    /// `count` pictures of 1 to 60 kB that no two are alike, 60 per second, and a packet of sound each 5 ms.
    pub(crate) fn synthetic(count: u32) -> Self {
        Self {
            pictures: (0..count).map(|n| picture(n, 1000, if n == 0 { 60_000 } else { 9_000 })).collect(),
            fps: 60,
            packet: Duration::from_millis(5),
            keyframes_asked: Arc::default(),
            port: None,
        }
    }

    /// `count` pictures of one or two packets each, 30 per second, and a packet of sound each 20 ms.
    pub(crate) fn small(count: u32) -> Self {
        Self {
            pictures: (0..count).map(|n| picture(n, 300, 1_200)).collect(),
            fps: 30,
            packet: Duration::from_millis(20),
            keyframes_asked: Arc::default(),
            port: None,
        }
    }

    /// `count` pictures that a browser can show, as [`Self::small`] ones come.
    pub(crate) fn encoded(count: u8) -> Self {
        let config = EncoderConfig::new()
            .intra_frame_period(IntraFramePeriod::auto())
            .scene_change_detect(false)
            .skip_frames(false)
            .num_threads(1);
        let mut encoder =
            Encoder::with_api_config(OpenH264API::from_source(), config).expect("an H.264 encoder");
        let grey = |n: u8| YUVBuffer::from_vec(vec![60 + n; 640 * 360 * 3 / 2], 640, 360);
        let pictures = (0..count)
            .map(|n| encoder.encode(&grey(n)).expect("an encoded picture").to_vec().into())
            .collect();
        Self { pictures, ..Self::small(1) }
    }

    /// With a desktop that takes input.
    pub(crate) fn of_a_desktop(self) -> (Self, Desktop) {
        let (port, desktop) = desktop::desktop();
        (Self { port: Some(port), ..self }, desktop)
    }

    /// How many keyframes the source was asked for.
    pub(crate) fn keyframes_asked(&self) -> Arc<AtomicU64> {
        self.keyframes_asked.clone()
    }

    pub(crate) fn check(&self) -> Arc<FrameCheck> {
        let units: Vec<_> = self
            .pictures
            .iter()
            .map(|picture| AccessUnit::parse(Codec::H264, picture).expect("a picture"))
            .collect();
        Arc::new(FrameCheck::new(&units))
    }
}

/// Picture `n`, of `min` to `min + spread` bytes.
fn picture(n: u32, min: u32, spread: u32) -> Bytes {
    let mut unit = BytesMut::new();
    let keyframe = n == 0;
    if keyframe {
        unit.put_slice(&[0, 0, 0, 1, 0x67, 0x64, 0, 0x20, 0xac, 0, 0, 0, 1, 0x68, 0xee, 0x3c, 0x80]);
    }
    unit.put_slice(&[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }]);
    let size = min + (n.wrapping_mul(2_654_435_761) >> 16) % spread;
    // No zero bytes: no start codes inside.
    unit.extend(
        (0..size).map(|i| (n.wrapping_mul(31).wrapping_add(i).wrapping_mul(2_654_435_761) >> 24) as u8 | 1),
    );
    unit.freeze()
}

#[async_trait]
impl VideoSource for Pictures {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        io.connected();
        io.info(StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 640, height: 360, fps: self.fps as u32 },
            audio: Some(AudioInfo { channels: 2, packet_duration: self.packet }),
        });
        let inputs = self.port.as_ref().map(|port| (port, port.connect(&mut io)));
        let taking = async {
            match inputs {
                Some((port, inputs)) => port.take(inputs).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(taking);
        let packet_ms = self.packet.as_millis() as u64;
        let mut ticks = interval(self.packet);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut number, mut at, mut packet) = (0, 0, 0);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    io.audio(AudioFrame {
                        timestamp: AudioTimestamp(packet * packet_ms * 48),
                        data: Bytes::copy_from_slice(&packet.to_be_bytes()),
                    });
                    let pictures = |packets: u64| packets * packet_ms * self.fps / 1000;
                    if pictures(packet) != pictures(packet + 1) {
                        io.video(VideoFrame {
                            number: FrameNumber(number),
                            timestamp: VideoTimestamp(number * VideoTimestamp::HZ / self.fps),
                            keyframe: at == 0,
                            host_latency: None,
                            data: self.pictures[at].clone(),
                        });
                        number += 1;
                        at = (at + 1) % self.pictures.len();
                    }
                    packet += 1;
                }
                never = &mut taking => match never {},
                feedback = desktop::feedback(self.port.as_ref()) => io.feedback(feedback),
                command = io.command() => match command {
                    Some(Command::Keyframe) => {
                        at = 0;
                        self.keyframes_asked.fetch_add(1, Relaxed);
                    }
                    Some(_) => {}
                    None => return Ok(Ended::Stopped),
                },
            }
        }
    }
}

/// The server's end of a viewer's channel, as the library's signalling.
pub(crate) struct InProcess(pub(crate) ServerEnd);
pub(crate) struct Sink(ServerSink);
pub(crate) struct Stream(ServerStream);

impl Signalling for InProcess {
    type Sink = Sink;
    type Stream = Stream;

    fn split(self) -> (Sink, Stream) {
        (Sink(self.0.sink), Stream(self.0.stream))
    }
}

#[async_trait]
impl SignalSink for Sink {
    async fn send(&mut self, signal: Signal) -> Result<(), SignalError> {
        let message = match signal {
            Signal::IceServers(_) => Message::Config,
            Signal::Description(Description { kind: DescriptionKind::Offer, sdp }) => Message::Offer(sdp),
            Signal::Description(Description { kind: DescriptionKind::Answer, sdp }) => Message::Answer(sdp),
            Signal::Candidate(candidate) => Message::Candidate(viewer::Candidate {
                candidate: candidate.candidate,
                sdp_mid: candidate.sdp_mid,
                sdp_mline_index: candidate.sdp_mline_index,
                username_fragment: candidate.username_fragment,
            }),
            _ => return Ok(()),
        };
        self.0.send(message).await.map_err(|_| SignalError::Closed)
    }

    async fn close(&mut self, reason: LeaveReason) {
        self.0.close(Closed { code: None, reason: reason.to_string() }).await;
    }
}

#[async_trait]
impl SignalStream for Stream {
    async fn recv(&mut self) -> Result<Signal, SignalError> {
        match self.0.recv().await {
            Some(Message::Offer(sdp)) => {
                Ok(Signal::Description(Description { kind: DescriptionKind::Offer, sdp }))
            }
            Some(Message::Answer(sdp)) => {
                Ok(Signal::Description(Description { kind: DescriptionKind::Answer, sdp }))
            }
            Some(Message::Candidate(candidate)) => Ok(Signal::Candidate(Candidate {
                candidate: candidate.candidate,
                sdp_mid: candidate.sdp_mid,
                sdp_mline_index: candidate.sdp_mline_index,
                username_fragment: candidate.username_fragment,
            })),
            Some(_) => Err(SignalError::Malformed { reason: "no such message" }),
            None => Err(SignalError::Closed),
        }
    }
}

/// WebRTC on loopback alone.
pub(crate) fn loopback() -> WebRtc {
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    WebRtc::bind(config).expect("a free port")
}

/// Whose viewers take the standard path.
pub(crate) fn standard() -> WebRtc {
    let mut config = WebRtcConfig::default();
    config.bind = SocketAddr::from(([127, 0, 0, 1], 0));
    config.direct = false;
    WebRtc::bind(config).expect("a port")
}

/// WebRTC on loopback alone, over UDP and TCP.
pub(crate) fn loopback_with_tcp() -> WebRtc {
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.tcp = Some(config.bind);
    WebRtc::bind(config).expect("free ports")
}

/// All that a viewer got was the source's, each frame whole and in its place.
pub(crate) fn assert_intact(stats: &viewer::Stats) {
    let video = stats.video;
    assert_eq!(
        (video.mismatches, video.misplaced, video.malformed, video.backwards),
        (0, 0, 0, 0),
        "{stats:?}"
    );
}

/// A viewer that joins within the process.
pub(crate) async fn join(streamer: &Streamer, rtc: &WebRtc, config: ViewerConfig) -> (Viewer, PeerHandle) {
    let (transport, server) = viewer::channel();
    let handle = match config.offerer {
        Offerer::Viewer => streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()),
        Offerer::Server => streamer.add_peer(rtc.offering_peer(InProcess(server)), PeerConfig::default()),
    };
    let handle = handle.expect("it takes viewers");
    (Viewer::join(transport, config).await.expect("a viewer"), handle)
}

/// A streamer behind a real server on loopback.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) streamer: Streamer,
    pub(crate) rtc: WebRtc,
    address: SocketAddr,
    /// Stops the server when it is dropped.
    _server: AbortOnDrop,
}

impl Served {
    pub(crate) fn peer_url(&self) -> String {
        format!("ws://{}/api/streamers/{}/peer", self.address, self.streamer.id())
    }

    pub(crate) fn page_url(&self) -> String {
        format!("http://{}/s/{}", self.address, self.streamer.id())
    }

    pub(crate) fn list_url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

pub(crate) async fn serve(source: impl VideoSource) -> Served {
    serve_through(source, loopback()).await
}

pub(crate) async fn serve_through(source: impl VideoSource, rtc: WebRtc) -> Served {
    let listener = moonlight_mux_http::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let registry = Registry::new();
    let streamer = registry
        .create("test".parse().expect("an id"), source, StreamerConfig::default())
        .expect("a free name");
    let router = moonlight_mux_http::router(registry.clone(), rtc.clone(), ServerConfig::default());
    let server = moonlight_mux_http::serve(listener, router, registry.clone(), std::future::pending());
    Served { registry, streamer, rtc, address, _server: AbortOnDrop::spawn(server) }
}

/// Owns a task.
pub(crate) struct AbortOnDrop(tokio::task::AbortHandle);

impl AbortOnDrop {
    #[expect(clippy::disallowed_methods, reason = "owned by the guard")]
    pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
