//! Many viewers who act, and keys for them.

use futures_util::future::join_all;
use moonlight_mux::{PeerHandle, Streamer, WebRtc};
use moonlight_mux_benches::viewer::{Channels, Viewer, ViewerConfig};

use super::join;

/// So many viewers whose channels are open and who see the picture.
pub(crate) async fn acting(streamer: &Streamer, rtc: &WebRtc, viewers: usize) -> Vec<(Viewer, PeerHandle)> {
    let mut joined = Vec::new();
    for _ in 0..viewers {
        let config = ViewerConfig { channels: Channels::Negotiated, ..ViewerConfig::default() };
        joined.push(join(streamer, rtc, config).await);
    }
    join_all(joined.iter().map(async |(viewer, _)| {
        let ready = viewer.wait_for(|stats| stats.channels_open == 3 && stats.video.frames > 10);
        ready.await.expect("it stays")
    }))
    .await;
    joined
}

/// Keys that are neither modifiers nor lock keys nor on the number pad, no two viewers' the same: two for each of 20.
pub(crate) fn keys_of(viewer: usize) -> [u8; 2] {
    let mut codes = (0x30..=0x39).chain(0x41..=0x5a).chain(0x70..=0x87).skip(2 * viewer);
    [codes.next(), codes.next()].map(|code| code.expect("there are keys for 30 viewers"))
}
