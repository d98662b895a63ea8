//! What the log tells of a stream, before any viewer exists.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    Ended, ExitPolicy, FrameNumber, SourceError, SourceIo, Stage, StreamInfo, Streamer, StreamerConfig,
    VideoCodec, VideoFrame, VideoInfo, VideoSource, VideoTimestamp,
};
use tracing::level_filters::LevelFilter;

/// Connects as a Moonlight host does; the first run fails behind its second frame.
struct Host {
    runs: Mutex<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("the host is gone")]
struct Gone;

#[async_trait]
impl VideoSource for Host {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let run = {
            let mut runs = self.runs.lock().expect("nobody panics with it");
            *runs += 1;
            *runs
        };
        let stages = |io: &mut SourceIo, stages: &[Stage]| {
            for &stage in stages {
                io.stage_starting(stage);
                io.stage_complete(stage);
            }
        };
        let info = StreamInfo {
            video: VideoInfo { codec: VideoCodec::H264, width: 1920, height: 1080, fps: 60 },
            audio: None,
        };
        stages(&mut io, &[Stage::ServerInfo, Stage::Launch, Stage::RtspHandshake]);
        if run == 1 {
            // The format is known from the handshake, before the connection stands.
            io.info(info.clone());
            stages(&mut io, &[Stage::VideoStreamEstablishment]);
            io.connected();
            io.info(info);
        } else {
            io.connected();
            io.info(info);
            stages(&mut io, &[Stage::VideoStreamEstablishment]);
        }
        for number in 0..2 {
            io.video(VideoFrame {
                number: FrameNumber(number),
                timestamp: VideoTimestamp(number * 1500),
                keyframe: number == 0,
                host_latency: None,
                data: Bytes::from_static(b"picture"),
            });
        }
        if run == 1 {
            return Err(SourceError::retryable(Gone));
        }
        while io.command().await.is_some() {}
        Ok(Ended::Stopped)
    }
}

/// What the first run looks like.
const RUN: [&str; 11] = [
    " INFO streamer{id=desk}: stage starting stage=server info",
    " INFO streamer{id=desk}: stage complete stage=server info",
    " INFO streamer{id=desk}: stage starting stage=launch",
    " INFO streamer{id=desk}: stage complete stage=launch",
    " INFO streamer{id=desk}: stage starting stage=RTSP handshake",
    " INFO streamer{id=desk}: stage complete stage=RTSP handshake",
    " INFO streamer{id=desk}: stage starting stage=video stream establishment",
    " INFO streamer{id=desk}: stage complete stage=video stream establishment",
    " INFO streamer{id=desk}: Moonlight connected: stream is live headless",
    " INFO streamer{id=desk}: connection complete width=1920 height=1080 codec=\"H.264\" fps=60",
    " INFO streamer{id=desk}: first frame keyframe=true bytes=7",
];

#[tokio::test(start_paused = true)]
async fn the_log_tells_a_start_step_by_step_once_each_and_a_reconnect_too() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let _capturing = tracing::subscriber::set_default(subscriber);

    let mut config = StreamerConfig::default();
    // So that chance has nothing to decide.
    config.backoff.first = std::time::Duration::ZERO;
    let id = "desk".parse().expect("a valid id");
    let streamer = Streamer::start(id, Host { runs: Mutex::new(0) }, config);
    while streamer.stats().video_frames < 4 {
        tokio::task::yield_now().await;
    }
    streamer.shutdown(ExitPolicy::LeaveRunning).await;

    let mut expected = vec![
        " INFO streamer{id=desk}: create called",
        " INFO streamer{id=desk}: StartMoonlight (headless mode)",
    ];
    expected.extend(RUN);
    expected.extend([
        " WARN streamer{id=desk}: reconnecting error=the host is gone attempt=1 wait=0ns",
        " INFO streamer{id=desk}: the source is run again restarts=1",
    ]);
    // Its last stage comes behind its format.
    expected.extend([&RUN[..6], &RUN[8..10], &RUN[6..8], &RUN[10..]].concat());
    expected.push(" INFO streamer{id=desk}: streamer ended");
    assert_eq!(log.lines(), expected);
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
