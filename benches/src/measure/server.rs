//! The product, as a program serves it, in this process.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moonlight_mux::{
    ExitPolicy, Media, Registry, Streamer, StreamerConfig, VideoSource, WebRtc, WebRtcConfig,
};
use moonlight_mux_http::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

use super::frame::made_at_of;
use crate::task::{self, Task};

/// How a viewer's media leave the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// One send per viewer and frame, where that is possible.
    Direct,
    /// Through the WebRTC crate.
    Standard,
}

/// When frames were in the stream: somebody who subscribed to it beside the viewers had them. Dropping it ends that.
#[derive(Debug, Default)]
pub struct NotedFrames {
    notes: Arc<Mutex<Vec<(Duration, Duration)>>>,
    _task: Option<Task<()>>,
}

impl NotedFrames {
    /// When each frame since the last call was made ([`made_at_of`]) and when it was there, since 1970.
    #[must_use]
    pub fn take(&self) -> Vec<(Duration, Duration)> {
        std::mem::take(&mut self.notes.lock().expect("no holder of this lock panics"))
    }
}

/// One streamer behind a real HTTP server on loopback.
#[derive(Debug)]
pub struct Server {
    streamer: Streamer,
    url: Uri,
    /// Stops the server when it is dropped.
    _server: Task<io::Result<()>>,
}

impl Server {
    /// Viewers that cannot take the direct way take the standard one.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn start(source: impl VideoSource, egress: Egress) -> io::Result<Self> {
        let mut config = WebRtcConfig::default();
        config.bind = ([127, 0, 0, 1], 0).into();
        config.direct = egress == Egress::Direct;
        let rtc = WebRtc::bind(config).map_err(io::Error::other)?;
        let listener =
            moonlight_mux_http::bind(([127, 0, 0, 1], 0).into()).await.map_err(io::Error::other)?;
        let address = listener.local_addr()?;
        let registry = Registry::new();
        let id = "bench".parse().map_err(io::Error::other)?;
        let mut config = StreamerConfig::default();
        // How many can be served is what is measured.
        config.max_peers = usize::MAX;
        let streamer = registry.create(id, source, config).map_err(io::Error::other)?;
        let router = moonlight_mux_http::router(registry.clone(), rtc, ServerConfig::default());
        let url = format!("ws://{address}/api/streamers/{}/peer", streamer.id());
        let server = task::spawn(moonlight_mux_http::serve(listener, router, registry, pending()));
        Ok(Self { streamer, url: url.parse().map_err(io::Error::other)?, _server: server })
    }

    /// The peer WebSocket.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// The stream itself.
    #[must_use]
    pub fn streamer(&self) -> &Streamer {
        &self.streamer
    }

    /// Notes from now on when each frame is in the stream.
    #[must_use]
    pub fn note_frames(&self) -> NotedFrames {
        let (frames, noted) = (self.streamer.subscribe(), NotedFrames::default());
        let notes = noted.notes.clone();
        let task = task::spawn(async move {
            while let Some(media) = frames.recv().await {
                if let Media::Video(frame) = media
                    && let Some(made_at) = made_at_of(&frame.data)
                {
                    let at = task::wall_clock();
                    notes.lock().expect("no holder of this lock panics").push((made_at, at));
                }
            }
        });
        NotedFrames { _task: Some(task), ..noted }
    }

    /// Its viewers.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.streamer.peers().len()
    }

    /// Ends the stream, and waits until nothing of it is left.
    pub async fn stop(self) {
        self.streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
}
