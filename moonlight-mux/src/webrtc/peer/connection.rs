//! A connection of the WebRTC crate: made, described, closed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler};

use crate::media::StreamInfo;
use crate::peer::LeaveReason;
use crate::signalling::{Candidate, Description, DescriptionKind};
use crate::task;
use crate::webrtc::candidates::{Reach, with_candidates};
use crate::webrtc::channels::{self, ChannelSet, Channels};
use crate::webrtc::delivery::Delivery;
use crate::webrtc::direct::Opening;
use crate::webrtc::direct::keys::KeyTap;
use crate::webrtc::endpoint::{PeerPort, PeerSockets};
use crate::webrtc::feedback::Feedback;
use crate::webrtc::packetiser::Packetiser;
use crate::webrtc::paths::Paths;
use crate::webrtc::runtime::PeerRuntime;
use crate::webrtc::shards::Place;
use crate::webrtc::tracks::Tracks;
use crate::webrtc::{Shared, negotiate};

/// Host candidates are there at once; this is for a machine in distress.
const GATHER_TIMEOUT: Duration = Duration::from_secs(2);
/// State changes of a connection: it has six states. Full: the newest is dropped, its time-outs tell all the same.
const STATES: usize = 32;

/// A connection of the WebRTC crate, closed in every case: one that is only dropped leaks its driver and its sockets.
pub(super) struct Connection {
    pc: Arc<dyn PeerConnection>,
    pub(super) states: mpsc::Receiver<RTCPeerConnectionState>,
    gathered: mpsc::Receiver<()>,
    port: PeerPort,
    reach: Arc<Reach>,
    closed: bool,
}

impl Connection {
    pub(super) async fn open(
        shared: &Shared,
        info: &StreamInfo,
        with_audio: bool,
        set: ChannelSet,
        paths: Paths,
    ) -> Result<(Self, Delivery, Channels), LeaveReason> {
        let place = paths.has_direct().then(|| shared.shards.place());
        let bell = place.as_ref().map(Place::bell);
        let (feedback, backchannel) = Feedback::new(bell, paths.has_standard());
        let (states_tx, states) = mpsc::channel(STATES);
        let (gathered_tx, gathered) = mpsc::channel(1);
        let (opened_tx, opened) = mpsc::channel(channels::OPENED);
        let port = shared.endpoint.peer();
        let packetiser = Packetiser::of(info.video.codec);
        let tracks = Tracks::new(packetiser, info, with_audio);
        let provider = rtc::crypto::default_provider().map_err(internal)?;
        let keys = paths.has_direct().then(|| Arc::new(KeyTap::new(provider.clone())));
        let crypto = match keys.clone() {
            Some(keys) if !shared.hides_key() => keys,
            _ => provider,
        };
        let configuration =
            RTCConfigurationBuilder::new().with_certificates(vec![shared.certificate.clone()]).build();
        let building = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(negotiate::media_engine(packetiser).map_err(internal)?)
            .with_setting_engine(negotiate::settings(crypto, paths))
            .with_interceptor_registry(negotiate::interceptors(feedback, paths))
            .with_runtime(Arc::new(PeerRuntime::new(port.sockets())))
            .with_handler(Arc::new(Handler {
                sockets: port.sockets(),
                states: states_tx,
                gathered: gathered_tx,
                opened: opened_tx,
            }))
            .with_data_channel_send_buffer_limit(channels::SEND_BUFFER)
            .with_udp_addrs(vec![SocketAddr::new(shared.endpoint.local_addr().ip(), 0)])
            .build();
        // Boxed: 20 kB that only the start needs.
        let pc = Box::pin(building).await.map_err(internal)?;
        let reach = shared.reach.clone();
        let opening = keys.zip(place).map(|(keys, place)| {
            let (outlet, histories) = (port.outlet(), shared.histories.clone());
            Opening { outlet, keys, histories, place }
        });
        let delivery = Delivery { tracks: tracks.clone(), backchannel, heard: port.heard(), paths, opening };
        let connection = Self { pc: Arc::new(pc), states, gathered, port, reach, closed: false };
        connection.pc.add_track(tracks.video.track.clone() as Arc<dyn TrackLocal>).await.map_err(internal)?;
        if let Some(audio) = &tracks.audio {
            connection.pc.add_track(audio.track.clone() as Arc<dyn TrackLocal>).await.map_err(internal)?;
        }
        let channels = Channels::open(&*connection.pc, set, opened).await.map_err(internal)?;
        Ok((connection, delivery, channels))
    }

    /// The answer to the browser's offer, with all of our candidates.
    pub(super) async fn answer(&mut self, offer: String) -> Result<Description, LeaveReason> {
        let offer = RTCSessionDescription::offer(offer).map_err(unusable)?;
        self.pc.set_remote_description(offer).await.map_err(unusable)?;
        let answer = self.pc.create_answer(None).await.map_err(unusable)?;
        let sdp = self.describe(answer).await?;
        Ok(Description { kind: DescriptionKind::Answer, sdp })
    }

    /// Our offer, with all of our candidates.
    pub(super) async fn offer(&mut self) -> Result<Description, LeaveReason> {
        let offer = self.pc.create_offer(None).await.map_err(internal)?;
        let sdp = self.describe(offer).await?;
        Ok(Description { kind: DescriptionKind::Offer, sdp })
    }

    /// The browser's answer to our offer.
    pub(super) async fn accept(&self, answer: &str) -> Result<(), LeaveReason> {
        let answer = negotiate::without_rejected_credentials(answer);
        let answer = RTCSessionDescription::answer(answer).map_err(unusable)?;
        self.pc.set_remote_description(answer).await.map_err(unusable)
    }

    /// Takes a description as ours, and gives it as the browser should see it.
    async fn describe(&mut self, local: RTCSessionDescription) -> Result<String, LeaveReason> {
        if let Some(ufrag) = negotiate::ufrag(&local.sdp) {
            self.port.route(ufrag);
        }
        self.pc.set_local_description(local).await.map_err(unusable)?;
        if timeout(GATHER_TIMEOUT, self.gathered.recv()).await.is_err() {
            tracing::warn!("not all ICE candidates were found within {GATHER_TIMEOUT:?}");
        }
        let local = self.pc.local_description().await.ok_or(LeaveReason::Internal)?;
        Ok(with_candidates(&local.sdp, &self.reach))
    }

    /// Whether it is of no use, so that another may be tried, to watch.
    pub(super) fn unfit(&self) -> watch::Receiver<bool> {
        self.port.unfit()
    }

    /// # Errors
    /// When the candidate cannot be used.
    pub(super) async fn add_candidate(&self, candidate: Candidate) -> Result<(), webrtc::error::Error> {
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment,
            ..Default::default()
        };
        self.pc.add_ice_candidate(candidate).await
    }

    pub(super) async fn close(mut self) {
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
    sockets: PeerSockets,
    states: mpsc::Sender<RTCPeerConnectionState>,
    gathered: mpsc::Sender<()>,
    opened: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.states.try_send(state);
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            self.sockets.handle_ice_connected();
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.opened.try_send(channel);
    }
}

fn unusable(error: webrtc::error::Error) -> LeaveReason {
    tracing::info!(%error, "the viewer's description cannot be used");
    LeaveReason::BadSignalling
}

fn internal(error: impl fmt::Display) -> LeaveReason {
    tracing::error!(%error, "the WebRTC connection cannot be made");
    LeaveReason::Internal
}
