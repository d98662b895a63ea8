//! Lets a viewer join over a transport of your own, here two channels within the process:
//!
//! `cargo run --release -p moonlight-mux-examples --example custom_signalling`
//!
//! A message bus, WHEP or a chat does as well: offers, answers and candidates may take any way.

#![allow(clippy::print_stdout, reason = "it speaks to a person")]

use std::error::Error;

use async_trait::async_trait;
use moonlight_mux::{
    Candidate, Description, DescriptionKind, ExitPolicy, LeaveReason, PeerConfig, Signal, SignalError,
    SignalSink, SignalStream, Signalling, Streamer, StreamerConfig, TestPicture, TestPictureConfig, WebRtc,
    WebRtcConfig,
};
use moonlight_mux_benches::viewer::{self, Message, Viewer, ViewerConfig};

/// The server's end. The other one is a viewer's; see `viewer::channel`.
struct InProcess(viewer::ServerEnd);
struct Sink(viewer::ServerSink);
struct Stream(viewer::ServerStream);

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
            Signal::Description(answer) => Message::Answer(answer.sdp),
            // Our answers carry all of our candidates.
            _ => return Ok(()),
        };
        self.0.send(message).await.map_err(|_| SignalError::Closed)
    }

    async fn close(&mut self, reason: LeaveReason) {
        self.0.close(viewer::Closed { code: None, reason: reason.to_string() }).await;
    }
}

#[async_trait]
impl SignalStream for Stream {
    async fn recv(&mut self) -> Result<Signal, SignalError> {
        match self.0.recv().await {
            Some(Message::Offer(sdp)) => {
                Ok(Signal::Description(Description { kind: DescriptionKind::Offer, sdp }))
            }
            Some(Message::Candidate(viewer::Candidate {
                candidate,
                sdp_mid,
                sdp_mline_index,
                username_fragment,
            })) => {
                Ok(Signal::Candidate(Candidate { candidate, sdp_mid, sdp_mline_index, username_fragment }))
            }
            Some(_) => Err(SignalError::Malformed { reason: "viewers send no such message" }),
            None => Err(SignalError::Closed),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let frames = join_and_watch(120).await?;
    println!("the viewer got {frames} frames");
    Ok(())
}

async fn join_and_watch(wanted: u64) -> Result<u64, Box<dyn Error>> {
    let source = TestPicture::new(TestPictureConfig::default())?;
    let streamer = Streamer::start("desk".parse()?, source, StreamerConfig::default());
    let mut config = WebRtcConfig::default();
    config.bind = ([127, 0, 0, 1], 0).into();
    let rtc = WebRtc::bind(config)?;

    let (transport, server) = viewer::channel();
    let peer = streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default())?;
    let viewer = Viewer::join(transport, ViewerConfig::default()).await?;
    let stats = viewer.wait_for(|stats| stats.video.frames >= wanted).await;
    println!("{:?} was here", peer.id());
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
    Ok(stats.map_err(|reason| format!("the viewer left: {reason:?}"))?.video.frames)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_joins_over_channels_sees_the_stream() {
    assert!(join_and_watch(3).await.unwrap() >= 3);
}
