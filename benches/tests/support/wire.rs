//! A network between one viewer and the server, which a test can spoil.

use std::time::Instant;

use moonlight_mux::{PeerConfig, PeerHandle, Streamer, WebRtc};
use moonlight_mux_benches::relay::{Policy, Relay};
use moonlight_mux_benches::viewer::{self, Viewer, ViewerConfig};
use tokio::sync::watch;
use tokio::time;

use super::InProcess;

/// Stops carrying when it is dropped.
pub(crate) struct Wire(Relay<Faults>);

#[derive(Default)]
struct Faults {
    /// Of ten RTP datagrams to the viewer, so many are lost: the same ones in each run.
    lost_of_ten: u64,
    /// RTCP from the viewer is lost.
    mute: bool,
    /// After so many datagrams, both ways together, nothing passes any more.
    cut_after: Option<u64>,
    carried: u64,
    /// Whether something has not passed since the wire was cut.
    cut: watch::Sender<bool>,
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
        let relay = Relay::bind(None, Faults::default()).await.expect("free ports");
        let (transport, server) = viewer::channel();
        let handle =
            streamer.add_peer(rtc.peer(InProcess(server)), PeerConfig::default()).expect("it takes viewers");
        let viewer = Viewer::join(relay.over(transport), config).await.expect("a viewer");
        (viewer, handle, Self(relay))
    }

    /// From now on, of ten RTP datagrams to the viewer so many are lost, retransmissions too.
    pub(crate) fn lose_of_ten(&self, lost: u64) {
        self.0.policy().lost_of_ten = lost;
    }

    /// From now on the viewer comes from another port.
    pub(crate) fn rebind(&self) {
        self.0.rebind();
    }

    /// From now on no RTCP of the viewer arrives; its consent answers do.
    pub(crate) fn mute(&self) {
        self.0.policy().mute = true;
    }

    /// After so many datagrams of the whole connection, both ways together, nothing passes any more.
    pub(crate) fn cut_after(&self, datagrams: u64) {
        self.0.policy().cut_after = Some(datagrams);
    }

    /// Waits until something did not pass because the wire is cut.
    pub(crate) async fn was_cut(&self) {
        let mut cut = self.0.policy().cut.subscribe();
        cut.wait_for(|cut| *cut).await.expect("the wire is here");
    }

    /// When the server's last RTP datagram to the viewer came by, lost or not.
    pub(crate) fn last_rtp(&self) -> time::Instant {
        self.0.policy().last_rtp.expect("media came by").into()
    }
}

impl Policy for Faults {
    fn up(&mut self, _: Instant, datagram: &mut [u8]) -> bool {
        !(self.mute && kind(datagram) == Kind::Rtcp) && self.carries()
    }

    fn down(&mut self, now: Instant, datagram: &mut [u8]) -> bool {
        if kind(datagram) == Kind::Rtp {
            self.rtp += 1;
            self.last_rtp = Some(now);
            // 7 and 10 have no common divisor: each number once in ten, and not in a row.
            if self.rtp * 7 % 10 < self.lost_of_ten {
                return false;
            }
        }
        self.carries()
    }
}

impl Faults {
    /// Whether one more datagram passes.
    fn carries(&mut self) -> bool {
        let carries = self.cut_after.is_none_or(|most| self.carried < most);
        self.carried += u64::from(carries);
        if !carries {
            self.cut.send_replace(true);
        }
        carries
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
