//! One viewer over WebRTC: its negotiation, its connection, its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceGatheringState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::mpsc;
use tokio::time::timeout;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler};

use super::candidates::{Reach, with_candidates};
use super::endpoint::PeerPort;
use super::feedback::NegotiatedStreams;
use super::packetiser::Packetiser;
use super::runtime::PeerRuntime;
use super::standard::Tracks;
use super::{Shared, negotiate};
use crate::egress::{Egress, ViewerIo};
use crate::media::StreamInfo;
use crate::peer::LeaveReason;
use crate::signalling::{
    Candidate, Description, DescriptionKind, Signal, SignalError, SignalSink, SignalStream, Signalling,
};
use crate::task;

/// From the join to the browser's offer.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
/// From the offer to a connection: every attempt ends in a picture or a reason within 10 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A browser that closed its signalling and whose connection still answers may only have lost the WebSocket.
const GRACE_WITHOUT_SIGNALLING: Duration = Duration::from_secs(10);
/// Host candidates are there at once; this is for a machine in distress.
const GATHER_TIMEOUT: Duration = Duration::from_secs(2);
/// The farewell to a browser that takes no more messages.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Malformed signalling messages that a viewer may send before it has to go.
const ERROR_BUDGET: usize = 20;
/// Candidates that may come before the answer. A browser has about ten. More: an error each.
const EARLY_CANDIDATES: usize = 64;
/// State changes of a connection: it has six states. Full: the newest is dropped, its time-outs tell all the same.
const STATES: usize = 32;

/// The way out to one viewer.
pub(super) struct WebRtcPeer<S> {
    shared: Arc<Shared>,
    signalling: S,
}

impl<S: Signalling> WebRtcPeer<S> {
    pub(super) fn new(shared: Arc<Shared>, signalling: S) -> Self {
        Self { shared, signalling }
    }
}

#[async_trait]
impl<S: Signalling> Egress for WebRtcPeer<S> {
    async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        let (sink, stream) = self.signalling.split();
        let mut session = Session { shared: self.shared, sink, stream, errors: 0 };
        let reason = session.run(&viewer).await;
        if timeout(CLOSE_TIMEOUT, session.sink.close(reason)).await.is_err() {
            tracing::debug!("the viewer's signalling takes no farewell");
        }
        reason
    }
}

struct Session<Sink, Stream> {
    shared: Arc<Shared>,
    sink: Sink,
    stream: Stream,
    /// Malformed messages so far.
    errors: usize,
}

struct Offer {
    sdp: String,
    candidates: Vec<Candidate>,
}

impl<Sink: SignalSink, Stream: SignalStream> Session<Sink, Stream> {
    async fn run(&mut self, viewer: &ViewerIo) -> LeaveReason {
        match self.serve(viewer).await {
            Ok(reason) | Err(reason) => reason,
        }
    }

    async fn serve(&mut self, viewer: &ViewerIo) -> Result<LeaveReason, LeaveReason> {
        self.send(Signal::IceServers(self.shared.ice_servers(viewer.id()))).await?;
        let mut offer = self.offer(viewer).await?;
        let info = self.stream_info(viewer, &mut offer.candidates).await?;
        let codec = info.video.codec;
        let Some(packetiser) = Packetiser::of(codec).filter(|_| negotiate::offers(&offer.sdp, codec)) else {
            tracing::info!(codec = codec.name(), "the viewer cannot play this codec");
            return Err(LeaveReason::UnsupportedCodec);
        };
        let with_audio = negotiate::offers_audio(&offer.sdp);
        let (mut connection, tracks) = Connection::open(&self.shared, packetiser, &info, with_audio).await?;
        let reason = self.converse(viewer, &mut connection, tracks, offer).await;
        connection.close().await;
        reason
    }

    async fn offer(&mut self, viewer: &ViewerIo) -> Result<Offer, LeaveReason> {
        let deadline = task::now() + OFFER_TIMEOUT;
        let mut candidates = Vec::new();
        loop {
            let signal = tokio::select! {
                signal = self.stream.recv() => signal,
                reason = viewer.leaving() => return Err(reason),
                () = task::at(Some(deadline)) => return Err(LeaveReason::SignallingTimeout),
            };
            match self.accept(signal)? {
                Some(Signal::Description(Description { kind: DescriptionKind::Offer, sdp })) => {
                    return Ok(Offer { sdp, candidates });
                }
                signal => self.keep_candidate(signal, &mut candidates)?,
            }
        }
    }

    /// Waits for the stream's format: a host may take a minute to give its first frame.
    async fn stream_info(
        &mut self,
        viewer: &ViewerIo,
        candidates: &mut Vec<Candidate>,
    ) -> Result<Arc<StreamInfo>, LeaveReason> {
        loop {
            let signal = tokio::select! {
                info = viewer.stream_info() => return match info {
                    Some(info) => Ok(info),
                    None => Err(viewer.leaving().await),
                },
                reason = viewer.leaving() => return Err(reason),
                signal = self.stream.recv() => signal,
            };
            let signal = self.accept(signal)?;
            self.keep_candidate(signal, candidates)?;
        }
    }

    /// A candidate that comes before there is a connection waits for it; anything else has no place there.
    fn keep_candidate(
        &mut self,
        signal: Option<Signal>,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), LeaveReason> {
        match signal {
            Some(Signal::Candidate(candidate)) if candidates.len() < EARLY_CANDIDATES => {
                candidates.push(candidate);
                Ok(())
            }
            Some(_) => self.spend("it has no place before the answer"),
            None => Ok(()),
        }
    }

    /// From the answer to the end.
    async fn converse(
        &mut self,
        viewer: &ViewerIo,
        connection: &mut Connection,
        tracks: Tracks,
        offer: Offer,
    ) -> Result<LeaveReason, LeaveReason> {
        let answer = connection.answer(offer.sdp).await?;
        self.send(Signal::Description(answer)).await?;
        for candidate in offer.candidates {
            self.add_candidate(connection, candidate).await?;
        }

        let media = tracks.serve(viewer);
        tokio::pin!(media);
        let (mut connected, mut signalling) = (false, true);
        let mut deadline = Some(task::now() + CONNECT_TIMEOUT);
        loop {
            tokio::select! {
                signal = self.stream.recv(), if signalling => match self.accept(signal) {
                    Ok(Some(Signal::Candidate(candidate))) => self.add_candidate(connection, candidate).await?,
                    Ok(Some(Signal::Report(report))) => {
                        tracing::info!(event = ?report.event, after = ?report.after, "the viewer reports");
                    }
                    Ok(Some(_)) => self.spend("it has no place behind the answer: each join is a new connection")?,
                    Ok(None) => {}
                    Err(LeaveReason::Left) if connected => {
                        signalling = false;
                        deadline = Some(task::now() + GRACE_WITHOUT_SIGNALLING);
                    }
                    Err(reason) => return Err(reason),
                },
                Some(state) = connection.states.recv() => match state {
                    RTCPeerConnectionState::Connected => {
                        tracing::info!("viewer connected");
                        connected = true;
                        deadline = None;
                        viewer.start_media();
                    }
                    RTCPeerConnectionState::Disconnected if !signalling => return Ok(LeaveReason::Left),
                    RTCPeerConnectionState::Disconnected => tracing::debug!("the viewer does not answer"),
                    RTCPeerConnectionState::Closed => return Ok(LeaveReason::Left),
                    RTCPeerConnectionState::Failed if connected => return Ok(LeaveReason::Vanished),
                    RTCPeerConnectionState::Failed => return Ok(LeaveReason::ConnectionFailed),
                    _ => {}
                },
                () = task::at(deadline) => {
                    if !connected {
                        return Ok(LeaveReason::ConnectionFailed);
                    }
                    // It still answers after the grace, so it is there: only its signalling is lost.
                    deadline = None;
                }
                reason = &mut media, if connected => return Ok(reason),
                reason = viewer.leaving() => return Ok(reason),
            }
        }
    }

    async fn add_candidate(
        &mut self,
        connection: &Connection,
        candidate: Candidate,
    ) -> Result<(), LeaveReason> {
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment,
            ..Default::default()
        };
        match connection.pc.add_ice_candidate(candidate).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a candidate cannot be used");
                self.spend("the candidate cannot be used")
            }
        }
    }

    async fn send(&mut self, signal: Signal) -> Result<(), LeaveReason> {
        self.sink.send(signal).await.map_err(|_| LeaveReason::Left)
    }

    /// A message that can be acted on, if it is one.
    fn accept(&mut self, signal: Result<Signal, SignalError>) -> Result<Option<Signal>, LeaveReason> {
        match signal {
            Ok(signal) => Ok(Some(signal)),
            Err(SignalError::Closed) => Err(LeaveReason::Left),
            Err(SignalError::Malformed { reason }) => self.spend(reason).map(|()| None),
        }
    }

    /// Counts a message that cannot be used.
    fn spend(&mut self, reason: &'static str) -> Result<(), LeaveReason> {
        self.errors += 1;
        tracing::warn!(reason, errors = self.errors, "a signalling message cannot be used");
        if self.errors >= ERROR_BUDGET { Err(LeaveReason::BadSignalling) } else { Ok(()) }
    }
}

/// A connection of the WebRTC crate, closed in every case: one that is only dropped leaks its driver and its sockets.
struct Connection {
    pc: Arc<dyn PeerConnection>,
    states: mpsc::Receiver<RTCPeerConnectionState>,
    gathered: mpsc::Receiver<()>,
    port: PeerPort,
    reach: Arc<Reach>,
    closed: bool,
}

impl Connection {
    async fn open(
        shared: &Shared,
        packetiser: Packetiser,
        info: &StreamInfo,
        with_audio: bool,
    ) -> Result<(Self, Tracks), LeaveReason> {
        let streams = NegotiatedStreams::default();
        let tracks = Tracks::new(streams.clone(), packetiser, info, with_audio);
        let (states_tx, states) = mpsc::channel(STATES);
        let (gathered_tx, gathered) = mpsc::channel(1);
        let port = shared.endpoint.peer();
        let configuration =
            RTCConfigurationBuilder::new().with_certificates(vec![shared.certificate.clone()]).build();
        let building = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(negotiate::media_engine(packetiser).map_err(internal)?)
            .with_setting_engine(negotiate::settings())
            .with_interceptor_registry(negotiate::interceptors(streams))
            .with_runtime(Arc::new(PeerRuntime::new(port.sockets())))
            .with_handler(Arc::new(Handler { states: states_tx, gathered: gathered_tx }))
            .with_udp_addrs(vec![SocketAddr::new(shared.endpoint.local_addr().ip(), 0)])
            .build();
        // Boxed: 20 kB that only the start needs.
        let pc = Box::pin(building).await.map_err(internal)?;
        let reach = shared.reach.clone();
        let connection = Self { pc: Arc::new(pc), states, gathered, port, reach, closed: false };
        connection.pc.add_track(tracks.video.clone() as Arc<dyn TrackLocal>).await.map_err(internal)?;
        if let Some(audio) = &tracks.audio {
            connection.pc.add_track(audio.clone() as Arc<dyn TrackLocal>).await.map_err(internal)?;
        }
        Ok((connection, tracks))
    }

    /// The answer to the browser's offer, with all of our candidates.
    async fn answer(&mut self, offer: String) -> Result<Description, LeaveReason> {
        let offer = RTCSessionDescription::offer(offer).map_err(bad_offer)?;
        self.pc.set_remote_description(offer).await.map_err(bad_offer)?;
        let answer = self.pc.create_answer(None).await.map_err(bad_offer)?;
        if let Some(ufrag) = negotiate::ufrag(&answer.sdp) {
            self.port.route(ufrag);
        }
        self.pc.set_local_description(answer).await.map_err(bad_offer)?;
        if timeout(GATHER_TIMEOUT, self.gathered.recv()).await.is_err() {
            tracing::warn!("not all ICE candidates were found within {GATHER_TIMEOUT:?}");
        }
        let answer = self.pc.local_description().await.ok_or(LeaveReason::Internal)?;
        let sdp = with_candidates(&answer.sdp, &self.reach);
        Ok(Description { kind: DescriptionKind::Answer, sdp })
    }

    async fn close(mut self) {
        self.closed = true;
        if let Err(error) = self.pc.close().await {
            tracing::warn!(%error, "the connection did not close cleanly");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.closed && tokio::runtime::Handle::try_current().is_ok() {
            let pc = self.pc.clone();
            // Its owner is the crate, which bounds the time that closing takes.
            task::spawn_cancelled_by_owner(async move {
                let _ = pc.close().await;
            });
        }
    }
}

struct Handler {
    states: mpsc::Sender<RTCPeerConnectionState>,
    gathered: mpsc::Sender<()>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.states.try_send(state);
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }
}

fn bad_offer(error: webrtc::error::Error) -> LeaveReason {
    tracing::info!(%error, "the viewer's offer cannot be used");
    LeaveReason::BadSignalling
}

fn internal(error: webrtc::error::Error) -> LeaveReason {
    tracing::error!(%error, "the WebRTC connection cannot be made");
    LeaveReason::Internal
}
