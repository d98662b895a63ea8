//! A network between one viewer and the server, which a test can spoil.
//!
//! ```text
//! viewer ◀─▶ near socket ─ relay ─ far socket ◀─▶ server
//! ```
//!
//! Each end's description is changed on its way so that it names the relay as the other end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use moonlight_mux::{PeerConfig, PeerHandle, Streamer, WebRtc};
use moonlight_mux_benches::measure::troublemakers::rewire;
use moonlight_mux_benches::viewer::{self, Closed, Message, Transport, Viewer, ViewerConfig};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{AbortOnDrop, InProcess};

/// Stops carrying when it is dropped.
pub(crate) struct Wire {
    line: Arc<Line>,
    _relay: AbortOnDrop,
}

struct Line {
    near: UdpSocket,
    far: UdpSocket,
    state: Mutex<State>,
    /// Whether something has not passed since the wire was cut.
    cut: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    viewer: Option<SocketAddr>,
    server: Option<SocketAddr>,
    /// Of ten RTP datagrams to the viewer, so many are lost: the same ones in each run.
    lost_of_ten: u64,
    /// RTCP from the viewer is lost.
    mute: bool,
    /// After so many datagrams, both ways together, nothing passes any more.
    cut_after: Option<u64>,
    carried: u64,
    rtp: u64,
    last_rtp: Option<Instant>,
}

impl Wire {
    /// A viewer that joins over a wire of its own.
    pub(crate) async fn join(
        streamer: &Streamer,
        rtc: &WebRtc,
        config: ViewerConfig,
    ) -> (Viewer, PeerHandle, Self) {
        let bind = async || UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let line = Arc::new(Line {
            near: bind().await,
            far: bind().await,
            state: Mutex::default(),
            cut: watch::Sender::default(),
        });
        let (transport, server) = viewer::channel();
        let handle =
            streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
        let transport = Rewired { inner: transport, line: line.clone() };
        let viewer = Viewer::join(transport, config).await.expect("a viewer");
        let relay = line.clone();
        (viewer, handle, Self { line, _relay: AbortOnDrop::spawn(async move { relay.run().await }) })
    }

    /// From now on, of ten RTP datagrams to the viewer so many are lost, retransmissions too.
    pub(crate) fn lose_of_ten(&self, lost: u64) {
        self.line.state().lost_of_ten = lost;
    }

    /// From now on no RTCP of the viewer arrives; its consent answers do.
    pub(crate) fn mute(&self) {
        self.line.state().mute = true;
    }

    /// After so many datagrams of the whole connection, both ways together, nothing passes any more.
    pub(crate) fn cut_after(&self, datagrams: u64) {
        self.line.state().cut_after = Some(datagrams);
    }

    /// Waits until something did not pass because the wire is cut.
    pub(crate) async fn was_cut(&self) {
        let mut cut = self.line.cut.subscribe();
        cut.wait_for(|cut| *cut).await.expect("the wire is here");
    }

    /// When the server's last RTP datagram to the viewer came by, lost or not.
    pub(crate) fn last_rtp(&self) -> Instant {
        self.line.state().last_rtp.expect("media came by")
    }
}

impl Line {
    async fn run(&self) {
        let (mut from_viewer, mut from_server) = ([0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                // An ICMP error says nothing of the next datagram.
                Ok((len, from)) = self.near.recv_from(&mut from_viewer) => {
                    let datagram = &from_viewer[..len];
                    let server = self.state().up(from, datagram);
                    let server = server.filter(|_| self.carries());
                    // A datagram that cannot be sent is a lost one.
                    let _ = server.map(|server| self.far.try_send_to(datagram, server));
                }
                Ok((len, from)) = self.far.recv_from(&mut from_server) => {
                    let datagram = &from_server[..len];
                    let viewer = self.state().down(from, datagram);
                    let viewer = viewer.filter(|_| self.carries());
                    let _ = viewer.map(|viewer| self.near.try_send_to(datagram, viewer));
                }
            }
        }
    }

    /// Whether one more datagram passes.
    fn carries(&self) -> bool {
        let mut state = self.state();
        let carries = state.cut_after.is_none_or(|most| state.carried < most);
        state.carried += u64::from(carries);
        drop(state);
        if !carries {
            self.cut.send_replace(true);
        }
        carries
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    /// Where a datagram of the viewer goes, if anywhere.
    fn up(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        self.viewer = Some(from);
        self.server.filter(|_| !(self.mute && kind(datagram) == Kind::Rtcp))
    }

    /// Where a datagram of the server goes, if anywhere.
    #[expect(clippy::disallowed_methods, reason = "datagrams come in real time")]
    fn down(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        self.server = Some(from);
        if kind(datagram) == Kind::Rtp {
            self.rtp += 1;
            self.last_rtp = Some(Instant::now());
            // 7 and 10 have no common divisor: each number once in ten, and not in a row.
            if self.rtp * 7 % 10 < self.lost_of_ten {
                return None;
            }
        }
        self.viewer
    }
}

#[derive(PartialEq)]
enum Kind {
    Rtp,
    Rtcp,
    Other,
}

/// RFC 7983, RFC 5761.
fn kind(datagram: &[u8]) -> Kind {
    match datagram {
        [128..=191, 192..=223, ..] => Kind::Rtcp,
        [128..=191, ..] => Kind::Rtp,
        _ => Kind::Other,
    }
}

/// A transport whose descriptions name the relay.
struct Rewired<T> {
    inner: T,
    line: Arc<Line>,
}

#[async_trait]
impl<T: Transport> Transport for Rewired<T> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let message = match message {
            Message::Offer(sdp) => {
                let (sdp, viewer) = rewire(&sdp, self.line.far.local_addr().expect("it is bound"));
                self.line.state().viewer = viewer;
                Message::Offer(sdp)
            }
            other => other,
        };
        self.inner.send(message).await
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        Ok(match self.inner.recv().await? {
            Message::Answer(sdp) => {
                let (sdp, server) = rewire(&sdp, self.line.near.local_addr().expect("it is bound"));
                self.line.state().server = server;
                Message::Answer(sdp)
            }
            other => other,
        })
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}
