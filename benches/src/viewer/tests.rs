//! The viewer against a small sender of its own stack, over real sockets.

use std::net::Ipv4Addr;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use str0m::change::SdpOffer;
use str0m::format::Codec as RtpCodec;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate as IceCandidate, Event as RtcEvent, Input, Output, Rtc};
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message as WsMessage, http};

use super::*;
use crate::task::Task;

#[tokio::test]
async fn frames_arrive_byte_for_byte_in_order_and_begin_with_a_keyframe() {
    for codec in [Codec::H264, Codec::Hevc, Codec::Av1] {
        let config = ViewerConfig {
            codecs: vec![codec],
            keep: Keep::Everything,
            check: Some(Arc::new(FrameCheck::new(&source(codec)))),
            ..ViewerConfig::default()
        };
        let (mut viewer, server) = join(config).await;
        server.send_source(codec).await;
        server.order(Order::Audio(vec![0xfc, 1, 2, 3])).await;

        assert_eq!(viewer.next_event().await, Some(Event::Joined));
        for (i, unit) in source(codec).into_iter().enumerate() {
            let timestamp = u64::from(Server::timestamp(i));
            let expected = Frame { timestamp, keyframe: i == 0, contiguous: true, unit };
            assert_eq!(viewer.next_event().await, Some(Event::Video(expected)), "{codec:?} frame {i}");
        }
        let audio = Event::Audio { timestamp: 960, data: Bytes::from_static(&[0xfc, 1, 2, 3]) };
        assert_eq!(viewer.next_event().await, Some(audio));

        let stats = viewer.close().await;
        let video = stats.video;
        assert_eq!((video.frames, video.keyframes, video.verified), (FRAMES, 1, FRAMES), "{stats:?}");
        assert_eq!((video.lost, video.gaps, video.mismatches, stats.plis), (0, 0, 0, 0), "{stats:?}");
        assert_eq!(stats.audio, AudioStats { packets: 1, bytes: 4, lost: 0 });
        assert!(stats.joined_after < stats.first_keyframe_after);
        assert_eq!(server.ended().await, Ending { peer_closed: true, signalling_ended: true });
    }
}

#[tokio::test]
async fn a_candidate_may_come_behind_the_offer() {
    let (viewer, _server) =
        join(ViewerConfig { trickle: Trickle::Trickled, ..ViewerConfig::default() }).await;
    assert!(viewer.joined().await.unwrap().joined_after.is_some());
}

#[tokio::test]
async fn a_changed_byte_is_noticed() {
    let check = Some(Arc::new(FrameCheck::new(&source(Codec::H264))));
    let (viewer, server) = join(ViewerConfig { check, ..ViewerConfig::default() }).await;
    server.send_source(Codec::H264).await;
    let mut forged = source(Codec::H264)[1].units()[0].to_vec();
    forged[700] ^= 1;
    let forged = AccessUnit::from_units(Codec::H264, vec![Bytes::from(forged)]);
    server.order(Order::Frame(forged)).await;
    let video = viewer.wait_for(|stats| stats.video.frames > FRAMES).await.unwrap().video;
    assert_eq!((video.verified, video.mismatches), (FRAMES, 1));
}

#[tokio::test]
async fn lost_packets_are_asked_for_again_until_nothing_is_missing() {
    let check = Some(Arc::new(FrameCheck::new(&source(Codec::H264))));
    let config = ViewerConfig {
        check,
        drop_every: NonZeroU32::new(20),
        patience: Duration::from_secs(60),
        ..ViewerConfig::default()
    };
    let (viewer, server) = join(config).await;
    viewer.joined().await.unwrap();
    // At most two frames are under way, so that what is lost stays within str0m's window of 100 packets, and the
    // second one shows what is missing at the end of the first.
    let frames = source(Codec::H264);
    let rounds = 5 * FRAMES;
    for sent in 0..rounds {
        server.order(Order::Frame(frames[(sent % FRAMES) as usize].clone())).await;
        viewer.wait_for(|stats| stats.video.frames + 1 >= sent).await.unwrap();
    }
    let stats = viewer.wait_for(|stats| stats.video.frames + 2 >= rounds).await.unwrap();
    assert!(stats.dropped_on_purpose > 5 && stats.video.recovered >= 5, "{stats:?}");
    assert_eq!((stats.video.lost, stats.video.verified), (0, stats.video.frames), "{stats:?}");
}

#[tokio::test]
async fn a_packet_lost_for_good_makes_a_wish_for_a_keyframe_that_ends_the_damage() {
    let config = ViewerConfig { patience: Duration::from_millis(1), ..ViewerConfig::default() };
    let (viewer, mut server) = join(config).await;
    let frames = source(Codec::H264);
    server.order(Order::Frame(frames[0].clone())).await;
    viewer.wait_for(|stats| stats.video.frames == 1).await.unwrap();
    server.order(Order::SkipSequenceNumber).await;
    server.order(Order::Frame(frames[1].clone())).await;
    server.keyframe_asked(1).await;
    server.order(Order::Frame(frames[2].clone())).await;
    let stats = viewer.wait_for(|stats| stats.video.frames == 2).await.unwrap();
    assert_eq!((stats.video.lost, stats.video.gaps, stats.video.undecodable), (1, 1, 1), "{stats:?}");
    server.order(Order::Frame(frames[0].clone())).await;
    server.order(Order::Frame(frames[1].clone())).await;
    let stats = viewer.wait_for(|stats| stats.video.frames == 4).await.unwrap();
    assert_eq!((stats.video.keyframes, stats.video.undecodable, stats.video.gaps), (2, 1, 1), "{stats:?}");
}

#[tokio::test]
async fn a_keyframe_is_asked_for_on_request() {
    let (viewer, mut server) = join(ViewerConfig::default()).await;
    server.send_source(Codec::H264).await;
    viewer.wait_for(|stats| stats.video.frames == FRAMES).await.unwrap();
    viewer.request_keyframe();
    server.keyframe_asked(1).await;
    assert_eq!(viewer.stats().plis, 1);
}

#[tokio::test]
async fn a_paused_viewer_takes_nothing_and_catches_up_afterwards() {
    let (viewer, server) = join(ViewerConfig::default()).await;
    viewer.joined().await.unwrap();
    viewer.pause().await.unwrap();
    server.send_source(Codec::H264).await;
    server.sent().await;
    // Room for a viewer that is not paused to do what it must not.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(viewer.stats().video.packets, 0);
    viewer.resume();
    viewer.wait_for(|stats| stats.video.frames == FRAMES).await.unwrap();
}

#[tokio::test]
async fn a_viewer_that_vanishes_says_nothing() {
    let (viewer, server) = join(ViewerConfig::default()).await;
    viewer.joined().await.unwrap();
    viewer.vanish().await;
    assert_eq!(server.ended().await, Ending { peer_closed: false, signalling_ended: true });
}

#[tokio::test]
async fn the_end_of_the_signalling_is_noticed_with_its_code() {
    let (mut viewer, server) = join(ViewerConfig { keep: Keep::Lifecycle, ..ViewerConfig::default() }).await;
    viewer.joined().await.unwrap();
    // The peer connection goes first: the code behind it is still heard.
    server.order(Order::ClosePeer).await;
    viewer.wait_for(|stats| stats.peer_closed_after.is_some()).await.unwrap();
    let closed = Closed { code: Some(4001), reason: "deleted".into() };
    server.order(Order::CloseSignalling(closed.clone())).await;
    let expected = CloseReason::Signalling(closed);
    assert_eq!(viewer.closed().await, expected);
    assert_eq!(viewer.next_event().await, Some(Event::Joined));
    assert_eq!(viewer.next_event().await, Some(Event::Closed(expected)));
    assert_eq!(viewer.next_event().await, None);
}

#[tokio::test]
async fn the_end_of_the_peer_connection_is_noticed_when_the_signalling_says_nothing() {
    let (viewer, server) = join(ViewerConfig::default()).await;
    viewer.joined().await.unwrap();
    server.order(Order::ClosePeer).await;
    assert_eq!(viewer.closed().await, CloseReason::PeerConnection);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let config = ViewerConfig { join_timeout: Duration::from_millis(20), ..ViewerConfig::default() };
    let (transport, _end) = channel();
    let viewer = Viewer::join(transport, config).await.unwrap();
    assert_eq!(viewer.joined().await, Err(CloseReason::JoinTimeout));
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_ends_the_viewer() {
    let (transport, end) = channel();
    end.sink.send(Message::Config).await.unwrap();
    end.sink.send(Message::Answer("nonsense".into())).await.unwrap();
    let viewer = Viewer::join(transport, ViewerConfig::default()).await.unwrap();
    assert_eq!(viewer.closed().await, CloseReason::Refused);
}

#[tokio::test]
async fn events_without_room_are_dropped_and_counted() {
    let config = ViewerConfig { keep: Keep::Video, event_capacity: 2, ..ViewerConfig::default() };
    let (mut viewer, server) = join(config).await;
    server.send_source(Codec::H264).await;
    let stats = viewer.wait_for(|stats| stats.video.frames == FRAMES).await.unwrap();
    assert_eq!(stats.events_dropped, FRAMES + 1 - 2);
    assert_eq!(viewer.next_event().await, Some(Event::Joined));
    assert!(matches!(viewer.next_event().await, Some(Event::Video(Frame { keyframe: true, .. }))));
}

#[tokio::test]
async fn many_viewers_share_a_process() {
    let check = Arc::new(FrameCheck::new(&source(Codec::H264)));
    let mut all = Vec::new();
    for _ in 0..30 {
        let config = ViewerConfig { check: Some(check.clone()), ..ViewerConfig::default() };
        all.push(join(config).await);
    }
    for (viewer, server) in &all {
        viewer.joined().await.unwrap();
        server.send_source(Codec::H264).await;
    }
    for (viewer, _) in all {
        let stats = viewer.wait_for(|stats| stats.video.frames == FRAMES).await.unwrap();
        assert_eq!(stats.video.verified, FRAMES);
    }
}

#[tokio::test]
async fn the_websocket_carries_the_negotiation_and_its_close_code_arrives() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = peer_url(&listener);
    let (viewer, server) = tokio::join!(
        Viewer::connect(&url, Some("secret"), ViewerConfig::default()),
        serve_websocket(listener)
    );
    let (viewer, (server, _bridge)) = (viewer.unwrap(), server);
    server.send_source(Codec::H264).await;
    viewer.wait_for(|stats| stats.video.frames == FRAMES).await.unwrap();
    let closed = Closed { code: Some(4003), reason: "kicked".into() };
    server.order(Order::CloseSignalling(closed.clone())).await;
    assert_eq!(viewer.closed().await, CloseReason::Signalling(closed));
}

#[expect(clippy::result_large_err, reason = "tungstenite's signature")]
#[tokio::test]
async fn a_refused_websocket_says_the_status() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = peer_url(&listener);
    let refuse = async {
        let (stream, _) = listener.accept().await.unwrap();
        let refusal = |_: &Request, _: Response| {
            let mut response = http::Response::new(None);
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            Err(response)
        };
        assert!(tokio_tungstenite::accept_hdr_async(stream, refusal).await.is_err());
    };
    let (refused, ()) = tokio::join!(Viewer::connect(&url, None, ViewerConfig::default()), refuse);
    match refused {
        Err(ViewerError::Connect(ConnectError::Refused { status })) => assert_eq!(status, 404),
        other => panic!("{other:?}"),
    }
}

async fn join(config: ViewerConfig) -> (Viewer, Server) {
    let (transport, end) = channel();
    let server = Server::start(end).await;
    (Viewer::join(transport, config).await.unwrap(), server)
}

/// Frames in a source: a keyframe of 50 KB and a few others.
const FRAMES: u64 = 6;

fn source(codec: Codec) -> Vec<AccessUnit> {
    let unit = |header: &[u8], len: usize, seed: usize| {
        let body = (0..len).map(|i| (i * 31 + seed * 7) as u8 | 1);
        Bytes::from_iter(header.iter().copied().chain(body))
    };
    (0..FRAMES as usize)
        .map(|i| {
            let units = match (codec, i) {
                (Codec::H264, 0) => vec![
                    unit(&[0x67], 20, 1),
                    unit(&[0x68], 5, 2),
                    unit(&[0x06], 9, 3),
                    unit(&[0x65], 50_000, 4),
                ],
                (Codec::H264, _) => vec![unit(&[0x41], 900 * i, i), unit(&[0x41], 300, i)],
                (Codec::Hevc, 0) => vec![
                    unit(&[0x40, 1], 20, 1),
                    unit(&[0x42, 1], 40, 2),
                    unit(&[0x44, 1], 5, 3),
                    unit(&[0x26, 1], 50_000, 4),
                ],
                (Codec::Hevc, _) => vec![unit(&[0x02, 1], 900 * i, i), unit(&[0x02, 1], 300, i)],
                (Codec::Av1, 0) => vec![unit(&[0x08], 10, 1), unit(&[0x30], 50_000, 2)],
                (Codec::Av1, _) => vec![unit(&[0x30], 900 * i, i)],
            };
            AccessUnit::from_units(codec, units)
        })
        .collect()
}

/// RTP payloads of a frame, by a packetiser that is nobody else's.
fn packetize(unit: &AccessUnit) -> Vec<Vec<u8>> {
    const MTU: usize = 1100;
    let mut payloads = Vec::new();
    match unit.codec() {
        Codec::H264 => {
            let mut units = unit.units();
            if unit.is_keyframe() {
                let mut stap = vec![0x78];
                for parameter_set in &units[..2] {
                    stap.extend((parameter_set.len() as u16).to_be_bytes());
                    stap.extend(parameter_set);
                }
                payloads.push(stap);
                units = &units[2..];
            }
            for nal in units {
                if nal.len() <= MTU {
                    payloads.push(nal.to_vec());
                    continue;
                }
                let chunks: Vec<&[u8]> = nal[1..].chunks(MTU).collect();
                for (i, chunk) in chunks.iter().enumerate() {
                    let start = if i == 0 { 0x80 } else { 0 };
                    let end = if i + 1 == chunks.len() { 0x40 } else { 0 };
                    let header = [(nal[0] & 0xe0) | 28, start | end | (nal[0] & 0x1f)];
                    payloads.push([&header, *chunk].concat());
                }
            }
        }
        Codec::Hevc => {
            let mut units = unit.units();
            if unit.is_keyframe() {
                let mut aggregation = vec![0x60, 1];
                for parameter_set in &units[..3] {
                    aggregation.extend((parameter_set.len() as u16).to_be_bytes());
                    aggregation.extend(parameter_set);
                }
                payloads.push(aggregation);
                units = &units[3..];
            }
            for nal in units {
                if nal.len() <= MTU {
                    payloads.push(nal.to_vec());
                    continue;
                }
                let chunks: Vec<&[u8]> = nal[2..].chunks(MTU).collect();
                for (i, chunk) in chunks.iter().enumerate() {
                    let start = if i == 0 { 0x80 } else { 0 };
                    let end = if i + 1 == chunks.len() { 0x40 } else { 0 };
                    let header = [(nal[0] & 0x81) | (49 << 1), nal[1], start | end | (nal[0] >> 1)];
                    payloads.push([&header, *chunk].concat());
                }
            }
        }
        Codec::Av1 => {
            for (i, obu) in unit.units().iter().enumerate() {
                let chunks: Vec<&[u8]> = obu.chunks(MTU).collect();
                for (j, chunk) in chunks.iter().enumerate() {
                    let continues = if j > 0 { 0x80 } else { 0 };
                    let goes_on = if j + 1 < chunks.len() { 0x40 } else { 0 };
                    let new = if unit.is_keyframe() && i + j == 0 { 0x08 } else { 0 };
                    payloads.push([&[continues | goes_on | 0x10 | new], *chunk].concat());
                }
            }
        }
    }
    payloads
}

enum Order {
    Frame(AccessUnit),
    Audio(Vec<u8>),
    SkipSequenceNumber,
    ClosePeer,
    CloseSignalling(Closed),
    /// Answers when everything before it is done.
    Confirm(tokio::sync::oneshot::Sender<()>),
}

#[derive(Debug, PartialEq)]
struct Ending {
    /// DTLS said goodbye.
    peer_closed: bool,
    signalling_ended: bool,
}

/// Serves one viewer. Dropping it stops it without a word.
struct Server {
    orders: mpsc::Sender<Order>,
    keyframes: watch::Receiver<u64>,
    task: Task<Ending>,
}

impl Server {
    async fn start(end: ServerEnd) -> Self {
        let (orders, orders_rx) = mpsc::channel(8);
        let (keyframes_tx, keyframes) = watch::channel(0);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let rtc = Rtc::builder()
            .clear_codecs()
            .enable_h264(true)
            .enable_h265(true)
            .enable_av1(true)
            .enable_opus(true, false)
            .set_rtp_mode(true)
            .build(task::now());
        let serving = Serving {
            rtc,
            socket,
            end,
            keyframes: keyframes_tx,
            connected: false,
            peer_closed: false,
            mids: Vec::new(),
            sequence: 1000,
            frames: 0,
        };
        Self { orders, keyframes, task: task::spawn(Box::pin(serving.run(orders_rx))) }
    }

    /// The timestamp of the n-th frame.
    fn timestamp(n: usize) -> u32 {
        (n as u32) * 1500
    }

    async fn order(&self, order: Order) {
        assert!(self.orders.send(order).await.is_ok(), "the server is gone");
    }

    async fn send_source(&self, codec: Codec) {
        for frame in source(codec) {
            self.order(Order::Frame(frame)).await;
        }
    }

    /// Waits until everything ordered so far is on the wire.
    async fn sent(&self) {
        let (done, is_done) = tokio::sync::oneshot::channel();
        self.order(Order::Confirm(done)).await;
        is_done.await.unwrap();
    }

    async fn keyframe_asked(&mut self, times: u64) {
        self.keyframes.wait_for(|&asked| asked >= times).await.unwrap();
    }

    /// Waits until the viewer's signalling has ended, reads what else it sent, and says how it left.
    async fn ended(self) -> Ending {
        self.task.await.unwrap()
    }
}

struct Serving {
    rtc: Rtc,
    socket: UdpSocket,
    end: ServerEnd,
    keyframes: watch::Sender<u64>,
    connected: bool,
    peer_closed: bool,
    mids: Vec<(MediaKind, Mid)>,
    sequence: u64,
    frames: usize,
}

impl Serving {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Ending {
        self.sink().send(Message::Config).await.unwrap();
        loop {
            let timeout = self.drain();
            tokio::select! {
                message = self.end.stream.recv() => match message {
                    Some(message) => self.handle_message(message).await,
                    None => break,
                },
                Some(order) = orders.recv(), if self.connected || self.peer_closed => self.obey(order).await,
                readable = self.socket.readable() => {
                    readable.unwrap();
                    self.read();
                }
                () = tokio::time::sleep_until(timeout.into()) => {
                    self.rtc.handle_input(Input::Timeout(task::now())).unwrap();
                }
            }
        }
        // On loopback what was sent before is here already, whatever tokio's reactor has noticed of it.
        let socket = self.socket.into_std().unwrap();
        let mut buffer = [0; 2048];
        while let Ok((len, source)) = socket.recv_from(&mut buffer) {
            let local = socket.local_addr().unwrap();
            let received = Receive::new(Protocol::Udp, source, local, &buffer[..len]).unwrap();
            self.rtc.handle_input(Input::Receive(task::now(), received)).unwrap();
            while let Output::Event(_) | Output::Transmit(_) = {
                let output = self.rtc.poll_output().unwrap();
                self.peer_closed |= matches!(output, Output::Event(RtcEvent::Closed));
                output
            } {}
        }
        Ending { peer_closed: self.peer_closed, signalling_ended: true }
    }

    fn sink(&self) -> &ServerSink {
        &self.end.sink
    }

    async fn handle_message(&mut self, message: Message) {
        match message {
            Message::Offer(sdp) => {
                let local = self.socket.local_addr().unwrap();
                self.rtc.add_local_candidate(IceCandidate::host(local, Protocol::Udp).unwrap());
                let offer = SdpOffer::from_sdp_string(&sdp).unwrap();
                let answer = self.rtc.sdp_api().accept_offer(offer).unwrap();
                self.sink().send(Message::Answer(answer.to_sdp_string())).await.unwrap();
            }
            Message::Candidate(candidate) if candidate.candidate.is_empty() => {}
            Message::Candidate(candidate) => {
                self.rtc.add_remote_candidate(IceCandidate::from_sdp_string(&candidate.candidate).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Frame(unit) => {
                let payloads = packetize(&unit);
                let codec = match unit.codec() {
                    Codec::H264 => RtpCodec::H264,
                    Codec::Hevc => RtpCodec::H265,
                    Codec::Av1 => RtpCodec::Av1,
                };
                let timestamp = Server::timestamp(self.frames);
                self.frames += 1;
                for (i, payload) in payloads.iter().enumerate() {
                    let marker = i + 1 == payloads.len();
                    self.write(MediaKind::Video, codec, self.sequence, timestamp, marker, payload.clone());
                    self.sequence += 1;
                }
            }
            Order::Audio(payload) => self.write(MediaKind::Audio, RtpCodec::Opus, 7, 960, false, payload),
            Order::SkipSequenceNumber => self.sequence += 1,
            Order::ClosePeer => {
                self.rtc.close().unwrap();
                self.drain();
                self.peer_closed = true;
            }
            Order::CloseSignalling(closed) => self.sink().close(closed).await,
            Order::Confirm(done) => done.send(()).unwrap(),
        }
    }

    fn write(
        &mut self,
        kind: MediaKind,
        codec: RtpCodec,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: Vec<u8>,
    ) {
        let now = task::now();
        let mid = self.mids.iter().find(|(of, _)| *of == kind).unwrap().1;
        let pt = self.rtc.codec_config().find(|params| params.spec().codec == codec).unwrap().pt();
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let packet = RtpWrite::new(pt, sequence.into(), timestamp, now, payload);
        stream.write_rtp(packet.marker(marker).nackable(kind == MediaKind::Video));
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain();
    }

    fn read(&mut self) {
        let local = self.socket.local_addr().unwrap();
        let mut buffer = [0; 2048];
        while let Ok((len, source)) = self.socket.try_recv_from(&mut buffer) {
            let received = Receive::new(Protocol::Udp, source, local, &buffer[..len]).unwrap();
            self.rtc.handle_input(Input::Receive(task::now(), received)).unwrap();
            self.drain();
        }
    }

    fn drain(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(timeout) => return timeout,
                Output::Transmit(datagram) => {
                    // The viewer may be gone.
                    let _ = self.socket.try_send_to(&datagram.contents, datagram.destination);
                }
                Output::Event(RtcEvent::Connected) => self.connected = true,
                Output::Event(RtcEvent::MediaAdded(added)) => self.mids.push((added.kind, added.mid)),
                Output::Event(RtcEvent::KeyframeRequest(_)) => {
                    self.keyframes.send_modify(|asked| *asked += 1)
                }
                Output::Event(RtcEvent::Closed) => self.peer_closed = true,
                Output::Event(_) => {}
            }
        }
    }
}

fn peer_url(listener: &TcpListener) -> Uri {
    format!("ws://{}/api/streamers/x/peer", listener.local_addr().unwrap()).parse().unwrap()
}

/// A server behind a WebSocket: the bridge carries its messages.
#[expect(clippy::result_large_err, reason = "tungstenite's signature")]
async fn serve_websocket(listener: TcpListener) -> (Server, Task<()>) {
    let (stream, _) = listener.accept().await.unwrap();
    let select = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/api/streamers/x/peer");
        assert_eq!(request.headers()["sec-websocket-protocol"], "moonlight-mux.v1, bearer.secret");
        response.headers_mut().insert("sec-websocket-protocol", "moonlight-mux.v1".parse().unwrap());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, select).await.unwrap();
    let (mut bridge, end) = channel();
    let server = Server::start(end).await;
    let bridge = task::spawn(async move {
        loop {
            tokio::select! {
                received = socket.next() => match received {
                    Some(Ok(WsMessage::Text(text))) => bridge.send(message::from_json(&text).unwrap()).await.unwrap(),
                    Some(Ok(_)) => {}
                    _ => return,
                },
                message = bridge.recv() => match message {
                    Ok(message) => {
                        socket.send(WsMessage::Ping(Bytes::new())).await.unwrap();
                        socket.send(WsMessage::text(message::to_json(&message))).await.unwrap();
                    }
                    Err(Closed { code, reason }) => {
                        let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
                        // The viewer may have left at the same time.
                        let _ = socket.close(frame).await;
                        return;
                    }
                },
            }
        }
    });
    (server, bridge)
}
