//! Which path a viewer's encryption puts it on, and what its handshake survives.

mod support;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use moonlight_mux::bench_support::hide_keys;
use moonlight_mux::{MediaPath, PeerConfig, PeerHandle, Streamer, StreamerConfig, WebRtc};
use moonlight_mux_benches::relay::{Policy, Relay};
use moonlight_mux_benches::viewer::{self, Offerer, Viewer, ViewerConfig};
use tokio::time::timeout;

use support::machine::Machine;
use support::{InProcess, Pictures, assert_intact, join, loopback, standard};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    streamer: Streamer,
    rtc: WebRtc,
    config: ViewerConfig,
}

impl Stage {
    fn new(rtc: WebRtc, offerer: Offerer) -> Self {
        let pictures = Pictures::synthetic(100);
        let config = ViewerConfig {
            offerer,
            check: Some(pictures.check()),
            drop_every: NonZeroU32::new(20),
            // The point is that all comes, not how soon.
            patience: Duration::from_secs(5),
            join_timeout: PATIENCE,
            ..ViewerConfig::default()
        };
        let streamer = Streamer::start("test".parse().expect("an id"), pictures, StreamerConfig::default());
        Self { streamer, rtc, config }
    }

    /// A viewer that loses packets, and is on this path after so many connections.
    async fn watch(&self, path: MediaPath, connections: u64) {
        let (viewer, handle) = join(&self.streamer, &self.rtc, self.config.clone()).await;
        let machine = Machine::watch();
        frames(&viewer, 150).await;
        assert_eq!(handle.stats().path, Some(path));
        let kept_up = machine.kept_up();
        let stats = viewer.close().await;
        assert_eq!(stats.connected_anew + 1, connections, "{stats:?}");
        assert_intact(&stats);
        assert!(stats.video.recovered > 20, "{stats:?}");
        if kept_up {
            assert_eq!(stats.video.lost, 0, "{stats:?}");
        }
    }
}

async fn frames(viewer: &Viewer, count: u64) {
    let waited = timeout(PATIENCE, viewer.wait_for(|stats| stats.video.frames >= count)).await;
    waited.expect("frames come").expect("the viewer stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_whose_key_is_not_found_connects_once_more_unseen() {
    let stage = Stage::new(loopback(), Offerer::Viewer);
    stage.watch(MediaPath::Direct, 1).await;
    hide_keys(&stage.rtc, 1);
    stage.watch(MediaPath::Direct, 2).await;
    // The second connection has no third behind it, but the crate's own way.
    hide_keys(&stage.rtc, 2);
    stage.watch(MediaPath::Standard, 2).await;
    stage.watch(MediaPath::Direct, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_waits_for_our_offer_is_on_the_direct_path_unless_its_key_is_not_found() {
    let stage = Stage::new(loopback(), Offerer::Server);
    stage.watch(MediaPath::Direct, 1).await;
    hide_keys(&stage.rtc, 1);
    stage.watch(MediaPath::Standard, 1).await;
    stage.watch(MediaPath::Direct, 1).await;
    Stage::new(standard(), Offerer::Server).watch(MediaPath::Standard, 1).await;
}

/// The server's own connectivity checks are answered only behind the viewer's first DTLS message, which passes once, and not
/// before such an answer was lost: so it comes when the server has asked, and before ICE has chosen a way there.
#[derive(Default)]
struct EarlyHello {
    answers_lost: u32,
    /// Its viewer says it again.
    hellos_too_early: u32,
    hellos: u32,
}

impl Policy for EarlyHello {
    fn up(&mut self, _: Instant, datagram: &mut [u8]) -> bool {
        match datagram {
            // A success (RFC 8489, 5).
            [1, 1, ..] if self.hellos == 0 => {
                self.answers_lost += 1;
                false
            }
            // A handshake's message 0: the ClientHello without a cookie (RFC 6347, 4.2.2).
            [22, _, _, _, _, _, _, _, _, _, _, _, _, 1, _, _, _, 0, 0, ..] => {
                if self.answers_lost == 0 {
                    self.hellos_too_early += 1;
                    return false;
                }
                self.hellos += 1;
                self.hellos == 1
            }
            _ => true,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_begins_before_ice_has_chosen_needs_no_second_beginning() {
    let Stage { streamer, rtc, config } = Stage::new(loopback(), Offerer::Viewer);
    let relay = Relay::bind(None, EarlyHello::default()).await.expect("free ports");
    let (viewer, handle) = join_through(&relay, &streamer, &rtc, config).await;
    let joined = timeout(PATIENCE, viewer.joined()).await.expect("in time");
    let EarlyHello { answers_lost, hellos_too_early, hellos } = *relay.policy();
    let joined_after = joined.expect("it joins").joined_after;
    eprintln!(
        "{joined_after:?}, {hellos} hellos, {hellos_too_early} before the first of {answers_lost} answers"
    );
    // The way was this one, and the viewer began.
    assert!(hellos > 0 && answers_lost > 0, "{hellos} {answers_lost}");
    frames(&viewer, 30).await;
    assert_eq!(handle.stats().path, Some(MediaPath::Direct));
    assert_intact(&viewer.close().await);
}

async fn join_through<P: Policy>(
    relay: &Relay<P>,
    streamer: &Streamer,
    rtc: &WebRtc,
    config: ViewerConfig,
) -> (Viewer, PeerHandle) {
    let (transport, server) = viewer::channel();
    let handle = streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default());
    let viewer = Viewer::join(relay.over(transport), config).await.expect("a viewer");
    (viewer, handle.expect("it takes viewers"))
}
