//! Streams pictures of your own to browsers, and takes what viewers do: a click starts the pictures over.
//!
//! `cargo run --release -p moonlight-mux-examples --example custom_source -- 127.0.0.1:8080`

#![allow(clippy::print_stdout, reason = "it speaks to a person")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    Command, Ended, FrameNumber, HostInput, InputFeatures, Registry, SourceError, SourceIo, StreamInfo,
    StreamerConfig, VideoCodec, VideoFrame, VideoInfo, VideoSource, VideoTimestamp, WebRtc, WebRtcConfig,
};
use moonlight_mux_http::ServerConfig;
use tokio::time::interval;

/// Four encoded pictures, shown again and again, four in a second. The first is a keyframe, the others build on it.
struct Slides;

const SLIDES: [&[u8]; 4] = [
    include_bytes!("frames/0.h264"),
    include_bytes!("frames/1.h264"),
    include_bytes!("frames/2.h264"),
    include_bytes!("frames/3.h264"),
];

#[async_trait]
impl VideoSource for Slides {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let video = VideoInfo { codec: VideoCodec::H264, width: 320, height: 180, fps: 4 };
        io.connected();
        io.info(StreamInfo { video, audio: None });
        let mut inputs = io.inputs(InputFeatures::default());
        let mut ticks = interval(Duration::from_millis(250));
        let mut slides = SLIDES.into_iter().enumerate().cycle();
        for number in 0.. {
            loop {
                tokio::select! {
                    _ = ticks.tick() => break,
                    command = io.command() => match command {
                        // Whoever joins needs one.
                        Some(Command::Keyframe) => slides = SLIDES.into_iter().enumerate().cycle(),
                        Some(_) => {}
                        None => return Ok(Ended::Stopped),
                    },
                    // All viewers are one user here, and whoever has no right to click does not.
                    input = inputs.next() => if let HostInput::Button { down: true, .. } = input {
                        slides = SLIDES.into_iter().enumerate().cycle();
                    },
                }
            }
            let Some((place, slide)) = slides.next() else { break };
            io.video(VideoFrame {
                number: FrameNumber(number),
                timestamp: VideoTimestamp(number * VideoTimestamp::HZ / 4),
                keyframe: place == 0,
                host_latency: None,
                data: Bytes::from_static(slide),
            });
        }
        Ok(Ended::ByHost)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: custom_source ADDRESS:PORT")?;
    let address: SocketAddr = address.parse()?;
    let listener = moonlight_mux_http::bind(address).await?;
    let mut reachable = WebRtcConfig::default();
    reachable.bind = (address.ip(), 0).into();
    let (registry, rtc) = (Registry::new(), WebRtc::bind(reachable)?);
    let _streamer = registry.create("slides".parse()?, Slides, StreamerConfig::default())?;
    println!("http://{}/s/slides", listener.local_addr()?);
    let router = moonlight_mux_http::router(registry.clone(), rtc, ServerConfig::default());
    let stop = async {
        // Without the signal handler the process ends all the same.
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(moonlight_mux_http::serve(listener, router, registry, stop).await?)
}

#[tokio::test]
async fn its_pictures_come_out_as_they_went_in() {
    use moonlight_mux::{ExitPolicy, Media, Streamer};
    let streamer = Streamer::start("slides".parse().unwrap(), Slides, StreamerConfig::default());
    let subscription = streamer.subscribe();
    let mut next = 0;
    while next < SLIDES.len() {
        let Some(Media::Video(frame)) = subscription.recv().await else { panic!("pictures without a gap") };
        // The subscription's own wish for a keyframe may come behind the first one.
        if frame.keyframe {
            next = 0;
        }
        assert_eq!(frame.data, SLIDES[next]);
        next += 1;
    }
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}

#[tokio::test(start_paused = true)]
async fn a_click_starts_them_over() {
    use moonlight_mux::{
        Egress, ExitPolicy, InputEvent, LeaveReason, Media, MouseButton, Streamer, ViewerIo,
    };

    /// Clicks when it has seen the second picture, and leaves with the one that follows.
    struct Clicks;

    #[async_trait]
    impl Egress for Clicks {
        async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
            viewer.start_media();
            let mut clicked = false;
            while let Some(Media::Video(frame)) = viewer.media().await {
                match (clicked, frame.keyframe) {
                    (false, true) => {}
                    (false, false) => {
                        let click = |down| InputEvent::Button { button: MouseButton::Left, down, at: None };
                        viewer.input(&click(true)).await;
                        viewer.input(&click(false)).await;
                        clicked = true;
                    }
                    (true, true) => return LeaveReason::Left,
                    (true, false) => break,
                }
            }
            LeaveReason::Internal
        }
    }

    let streamer = Streamer::start("slides".parse().unwrap(), Slides, StreamerConfig::default());
    streamer.wait_streaming().await.unwrap();
    let viewer = streamer.add_peer(Clicks, Default::default()).unwrap();
    assert_eq!(viewer.closed().await, LeaveReason::Left);
    streamer.shutdown(ExitPolicy::LeaveRunning).await;
}
