//! One viewer over WebRTC: its negotiation, its connection, its end.

mod budget;
mod connection;
mod conversation;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::budget::ErrorBudget;
use self::connection::Connection;
use super::channels::ChannelSet;
use super::paths::Paths;
use super::{Shared, negotiate};
use crate::egress::{Egress, Relocated, ViewerIo};
use crate::media::StreamInfo;
use crate::peer::LeaveReason;
use crate::signalling::{
    Candidate, Description, DescriptionKind, Signal, SignalError, SignalSink, SignalStream, Signalling,
};
use crate::task;

/// From the join to the browser's offer, or from our offer to its answer.
const DESCRIPTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The farewell to a browser that takes no more messages.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Candidates that may come before there is a connection to give them to. A browser has about ten. More: an error each.
const EARLY_CANDIDATES: usize = 64;

/// The way out to one viewer.
pub(super) struct WebRtcPeer<S> {
    shared: Arc<Shared>,
    /// Until it is served here, or elsewhere.
    signalling: Option<S>,
    offerer: Offerer,
}

/// Who makes the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Offerer {
    /// The viewer.
    Viewer,
    /// We.
    Server,
}

impl<S: Signalling> WebRtcPeer<S> {
    pub(super) fn new(shared: Arc<Shared>, signalling: S, offerer: Offerer) -> Self {
        Self { shared, signalling: Some(signalling), offerer }
    }
}

#[async_trait]
impl<S: Signalling> Egress for WebRtcPeer<S> {
    async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        let Some(signalling) = self.signalling else { return LeaveReason::Internal };
        let (sink, stream) = signalling.split();
        let errors = ErrorBudget::new(task::now());
        let mut session = Session { shared: self.shared, offerer: self.offerer, sink, stream, errors };
        // Who sends to it has it too, for as long as it is served.
        let viewer = Arc::new(viewer);
        let reason = session.run(&viewer).await;
        if timeout(CLOSE_TIMEOUT, session.sink.close(reason)).await.is_err() {
            tracing::debug!("the viewer's signalling takes no farewell");
        }
        reason
    }

    fn relocate(&mut self) -> Option<Relocated> {
        let (sink, stream) = self.signalling.take()?.split();
        let viewer_offers = self.offerer == Offerer::Viewer;
        Some(Relocated { sink: Box::new(sink), stream: Box::new(stream), viewer_offers })
    }
}

struct Session<Sink, Stream> {
    shared: Arc<Shared>,
    offerer: Offerer,
    sink: Sink,
    stream: Stream,
    errors: ErrorBudget,
}

impl<Sink: SignalSink, Stream: SignalStream> Session<Sink, Stream> {
    async fn run(&mut self, viewer: &Arc<ViewerIo>) -> LeaveReason {
        match self.serve(viewer).await {
            Ok(reason) | Err(reason) => reason,
        }
    }

    async fn serve(&mut self, viewer: &Arc<ViewerIo>) -> Result<LeaveReason, LeaveReason> {
        match self.offerer {
            Offerer::Viewer => self.serve_offering_viewer(viewer).await,
            Offerer::Server => self.serve_waiting_viewer(viewer).await,
        }
    }

    async fn serve_offering_viewer(&mut self, viewer: &Arc<ViewerIo>) -> Result<LeaveReason, LeaveReason> {
        if self.shared.direct
            && let Some(reason) = self.serve_offer(viewer, Paths::Direct).await?
        {
            return Ok(reason);
        }
        // It may have no AEAD_AES_128_GCM, or its key was not found: once more, as every browser can have it.
        Ok(self.serve_offer(viewer, self.any_path()).await?.unwrap_or(LeaveReason::ConnectionFailed))
    }

    /// For a viewer that cannot be asked for another try.
    fn any_path(&self) -> Paths {
        if self.shared.direct { Paths::Any } else { Paths::Standard }
    }

    /// From the viewer's offer to its end; `None` when its connection could not be encrypted, or its key was not found.
    async fn serve_offer(
        &mut self,
        viewer: &Arc<ViewerIo>,
        paths: Paths,
    ) -> Result<Option<LeaveReason>, LeaveReason> {
        self.send(Signal::IceServers(self.shared.ice_servers(viewer.id()))).await?;
        let mut candidates = Vec::new();
        let offer = self.description(viewer, DescriptionKind::Offer, &mut candidates).await?;
        // Some may be those of an attempt before.
        candidates.retain(|candidate| candidate.belongs_to(negotiate::ufrag(&offer)));
        let info = self.stream_info(viewer, &mut candidates).await?;
        if !negotiate::offers(&offer, info.video.codec) {
            return Err(unsupported(&info));
        }
        let with_audio = negotiate::offers_audio(&offer);
        let set =
            if negotiate::offers_channels(&offer) { ChannelSet::Negotiated } else { ChannelSet::Nothing };
        let (mut connection, delivery, channels) =
            Connection::open(&self.shared, &info, with_audio, set, paths).await?;
        let conversation = async {
            let answer = connection.answer(negotiate::without_other_codecs(&offer, info.video.codec)).await?;
            self.send(Signal::Description(answer)).await?;
            self.converse(viewer, &info, &mut connection, delivery, channels, candidates).await
        };
        let reason = match conversation.await {
            Ok(LeaveReason::ConnectionFailed) if *connection.unfit().borrow() => Ok(None),
            reason => reason.map(Some),
        };
        connection.close().await;
        reason
    }

    async fn serve_waiting_viewer(&mut self, viewer: &Arc<ViewerIo>) -> Result<LeaveReason, LeaveReason> {
        self.send(Signal::IceServers(self.shared.ice_servers(viewer.id()))).await?;
        let mut candidates = Vec::new();
        let info = self.stream_info(viewer, &mut candidates).await?;
        let paths = self.any_path();
        let (mut connection, delivery, channels) =
            Connection::open(&self.shared, &info, true, ChannelSet::ExistingPage, paths).await?;
        let conversation = async {
            let offer = connection.offer().await?;
            self.send(Signal::Description(offer)).await?;
            let answer = self.description(viewer, DescriptionKind::Answer, &mut candidates).await?;
            if !negotiate::takes(&answer, info.video.codec) {
                return Err(unsupported(&info));
            }
            connection.accept(&answer).await?;
            self.converse(viewer, &info, &mut connection, delivery, channels, candidates).await
        };
        let reason = conversation.await;
        connection.close().await;
        reason
    }

    /// The viewer's offer or answer. Candidates may come before it.
    async fn description(
        &mut self,
        viewer: &ViewerIo,
        wanted: DescriptionKind,
        candidates: &mut Vec<Candidate>,
    ) -> Result<String, LeaveReason> {
        let deadline = task::now() + DESCRIPTION_TIMEOUT;
        loop {
            let signal = tokio::select! {
                signal = self.stream.recv() => signal,
                reason = viewer.leaving() => return Err(reason),
                () = task::at(Some(deadline)) => return Err(LeaveReason::SignallingTimeout),
            };
            match self.accept(signal)? {
                Some(Signal::Description(Description { kind, sdp })) if kind == wanted => return Ok(sdp),
                signal => self.keep_candidate(signal, candidates)?,
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
            Some(_) => self.spend("it has no place before the connection"),
            None => Ok(()),
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
        let left = self.errors.spend(task::now());
        tracing::warn!(reason, left = left.unwrap_or(0), "a message cannot be used");
        left.map(drop).map_err(|_| LeaveReason::BadSignalling)
    }
}

fn unsupported(info: &StreamInfo) -> LeaveReason {
    tracing::info!(codec = info.video.codec.name(), "the viewer cannot play this codec");
    LeaveReason::UnsupportedCodec
}
