//! Nothing is left of viewers that have gone, however they went. Alone in its process, since it counts what the whole
//! process holds.

#[path = "support/held.rs"]
mod held;
mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use moonlight_mux::{LeaveReason, PeerConfig, PeerHandle};
use moonlight_mux_benches::chromium::Chromium;
use moonlight_mux_benches::viewer::{
    self, Channels, Codec, Message, Offerer, Path, Transport, Trickle, Viewer, ViewerConfig,
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use held::{held, memory, settle};
use support::page::{evaluate, open, until};
use support::random::Random;
use support::wire::Wire;
use support::{InProcess, Pictures, Served, join, loopback_with_tcp, serve_through};

/// Far above what anything here takes, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
const SEED: u64 = 24_11;
/// Joins in a round, and how many of them at once.
const ROUND: usize = 200;
const AT_ONCE: usize = 40;
/// In one round, which takes the longest anyway.
const STRANDED: usize = 16;
/// Rounds after the one in which the process and its allocator reach their size.
const ROUNDS: usize = 5;
const WARM_UP: usize = 1;
/// Of 1,000 joins: more than a hundred bytes of each would be too much.
const HEAP_GROWTH: usize = 100_000;
/// What an allocator's pages may waver by. 20 kB per join would be 20 MB.
const RESIDENT_GROWTH: usize = 12_000_000;

/// How one comes and goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It joins, and goes like this.
    Joined(Exit),
    /// The same over HTTP.
    Connected(Exit),
    /// Its signalling ends before it has made an offer.
    NoOffer,
    /// It vanishes as soon as it has begun.
    AtOnce,
    /// It offers no codec that the stream has.
    WrongCodec,
    /// It is made an offer, and goes or answers nonsense.
    NoAnswer,
    BadAnswer,
    /// Nothing passes any more after so many datagrams, within the checks or the handshake; then it vanishes.
    Cut(u64),
    /// The same, but its signalling stays, until it is given up after ten seconds.
    Stranded(u64),
}

#[derive(Clone, Copy, Debug)]
enum Exit {
    Closes,
    Vanishes,
    SentAway,
}

impl Way {
    fn random(random: &mut Random) -> Self {
        let exit = [Exit::Closes, Exit::Vanishes, Exit::SentAway][random.below(3)];
        let datagrams = random.below(16) as u64;
        match random.below(40) {
            0..16 => Self::Joined(exit),
            16..20 => Self::Connected(exit),
            20..23 => Self::NoOffer,
            23..26 => Self::AtOnce,
            26..28 => Self::WrongCodec,
            28 => Self::NoAnswer,
            29 => Self::BadAnswer,
            _ => Self::Cut(datagrams),
        }
    }
}

fn any_config(random: &mut Random) -> ViewerConfig {
    ViewerConfig {
        path: [Path::Udp, Path::Udp, Path::Tcp][random.below(3)],
        trickle: [Trickle::InOffer, Trickle::Trickled][random.below(2)],
        offerer: [Offerer::Viewer, Offerer::Viewer, Offerer::Server][random.below(3)],
        channels: [Channels::Nothing, Channels::Negotiated, Channels::InBand(8)][random.below(3)],
        ..ViewerConfig::default()
    }
}

/// A stream, and how many joined it.
struct Stage {
    served: Served,
    joined: AtomicU64,
}

impl Stage {
    /// One comes and goes; it is gone when this returns, but for what came over HTTP.
    async fn visit(&self, way: Way, config: ViewerConfig) {
        let Served { streamer, rtc, .. } = &self.served;
        match way {
            Way::Joined(exit) => {
                let (viewer, handle) = join(streamer, rtc, config).await;
                self.watch(&viewer).await;
                match exit {
                    Exit::Closes => _ = viewer.close().await,
                    Exit::Vanishes => _ = viewer.vanish().await,
                    Exit::SentAway => handle.leave(LeaveReason::Kicked),
                }
                closed(&handle).await;
            }
            Way::Connected(exit) => {
                let url = self.served.peer_url().parse().expect("a URL");
                let viewer = Viewer::connect(&url, None, config).await.expect("it takes viewers");
                self.watch(&viewer).await;
                match exit {
                    Exit::Closes => _ = viewer.close().await,
                    Exit::Vanishes | Exit::SentAway => _ = viewer.vanish().await,
                }
            }
            Way::NoOffer => {
                let (transport, server) = viewer::channel();
                let handle = streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default());
                let handle = handle.expect("it takes viewers");
                drop(transport);
                assert_eq!(closed(&handle).await, LeaveReason::Left);
            }
            Way::AtOnce => {
                let (viewer, handle) = join(streamer, rtc, config).await;
                drop(viewer);
                closed(&handle).await;
            }
            Way::WrongCodec => {
                let config = ViewerConfig { codecs: vec![Codec::Av1], offerer: Offerer::Viewer, ..config };
                let (viewer, handle) = join(streamer, rtc, config).await;
                assert_eq!(closed(&handle).await, LeaveReason::UnsupportedCodec);
                viewer.close().await;
            }
            Way::NoAnswer | Way::BadAnswer => {
                let (mut transport, server) = viewer::channel();
                let handle = streamer.add_peer(rtc.offering_peer(InProcess(server)), PeerConfig::default());
                let handle = handle.expect("it takes viewers");
                while !matches!(transport.recv().await, Ok(Message::Offer(_))) {}
                if matches!(way, Way::BadAnswer) {
                    transport.send(Message::Answer("v=0".to_owned())).await.expect("it listens");
                    assert_eq!(closed(&handle).await, LeaveReason::UnsupportedCodec);
                } else {
                    drop(transport);
                    assert_eq!(closed(&handle).await, LeaveReason::Left);
                }
            }
            Way::Cut(datagrams) | Way::Stranded(datagrams) => {
                let config = ViewerConfig {
                    path: Path::Udp,
                    offerer: Offerer::Viewer,
                    trickle: Trickle::InOffer,
                    ..config
                };
                let (viewer, handle, wire) = Wire::join(streamer, rtc, config).await;
                wire.cut_after(datagrams);
                timeout(PATIENCE, wire.was_cut()).await.expect("datagrams are sent");
                if matches!(way, Way::Cut(_)) {
                    viewer.vanish().await;
                    closed(&handle).await;
                } else {
                    closed(&handle).await;
                    drop(viewer);
                }
            }
        }
    }

    /// It joins, unless the machine stands still for so long that it may not.
    async fn watch(&self, viewer: &Viewer) {
        if timeout(PATIENCE, viewer.joined()).await.expect("it joins or ends").is_ok() {
            self.joined.fetch_add(1, Relaxed);
        }
    }

    /// Five pages come and go: one is loaded again, one crashes, the last one is open when the browser quits.
    async fn pages(&self) {
        let url = self.served.page_url();
        let mut chromium = Chromium::launch().await.expect("chromium");
        let mut pages = Vec::new();
        for _ in 0..5 {
            pages.push(open(&mut chromium, &url).await);
        }
        evaluate(&mut chromium, &pages[0], "window.before = true; location.reload(); true").await;
        until(&mut chromium, &pages[0], "!window.before && window.moonlightMux?.state === 'playing'").await;
        // A tab that crashes may not answer.
        let crash = chromium.command(&pages[1], "Page.crash", json!({}));
        let _ = timeout(Duration::from_secs(1), crash).await;
        for page in pages.drain(1..4) {
            chromium.close(page).await.expect("the page closes");
        }
        chromium.quit().await;
    }
}

async fn closed(handle: &PeerHandle) -> LeaveReason {
    timeout(PATIENCE, handle.closed()).await.expect("it is gone")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_viewers_that_came_and_went_leave_nothing() {
    let mut random = Random::new(SEED);
    eprintln!("seed {SEED}");
    let served = serve_through(Pictures::encoded(60), loopback_with_tcp()).await;
    let stage = Stage { served, joined: AtomicU64::new(0) };
    // The source runs: what is made once and kept is there.
    let running = timeout(PATIENCE, async {
        while stage.served.streamer.stats().video_frames == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    running.await.expect("it streams");
    let before = held();
    let mut sizes = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let mut visits: Vec<_> =
            (0..ROUND).map(|_| (Way::random(&mut random), any_config(&mut random))).collect();
        if round == WARM_UP {
            for (n, (way, _)) in visits.iter_mut().take(STRANDED).enumerate() {
                *way = Way::Stranded(n as u64);
            }
        }
        let visits = stream::iter(visits).map(|(way, config)| Box::pin(stage.visit(way, config)));
        let visits = visits.buffer_unordered(AT_ONCE).count();
        if round == WARM_UP {
            assert_eq!(tokio::join!(visits, Box::pin(stage.pages())).0, ROUND);
        } else {
            assert_eq!(visits.await, ROUND);
        }
        let mut peers = stage.served.streamer.watch_peers();
        let gone = timeout(PATIENCE, peers.wait_for(|peers| peers.is_empty())).await;
        gone.expect("all are gone").expect("the streamer is here");
        settle(before).await;
        sizes.push(memory());
        eprintln!("round {round}: {}; {before:?}", memory());
    }
    let joined = stage.joined.into_inner();
    eprintln!("{joined} were connected");
    assert!(joined as usize > (WARM_UP + ROUNDS) * ROUND / 4, "{joined}");
    let (first, last) = (sizes[WARM_UP - 1], sizes[sizes.len() - 1]);
    assert!(last.heap < first.heap + HEAP_GROWTH, "{sizes:?}");
    assert!(last.resident < first.resident + RESIDENT_GROWTH, "{sizes:?}");
}
