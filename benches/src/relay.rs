//! A UDP relay between one viewer and the server.
//!
//! ```text
//! viewer ◀─▶ near socket ─ policy ─ far socket ◀─▶ server
//! ```
//!
//! What passes, and how, its [`Policy`] decides. Each end's description is changed on its way so that it names the relay as the
//! other end ([`Relay::over`]).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::DerefMut;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use async_trait::async_trait;
use tokio::net::UdpSocket;

use crate::task::{self, Task};
use crate::viewer::{Closed, Message, Transport};

/// What a [`Relay`] does with datagrams. False: it does not pass. It may be changed.
pub trait Policy: Send + 'static {
    /// From the viewer to the server.
    fn up(&mut self, now: Instant, datagram: &mut [u8]) -> bool {
        let _ = (now, datagram);
        true
    }

    /// From the server to the viewer.
    fn down(&mut self, now: Instant, datagram: &mut [u8]) -> bool {
        let _ = (now, datagram);
        true
    }
}

/// Carries until it is dropped.
#[derive(Debug)]
pub struct Relay<P> {
    line: Arc<Line<P>>,
    _task: Task<()>,
}

#[derive(Debug)]
struct Line<P> {
    near: UdpSocket,
    /// Of which one is used.
    far: [UdpSocket; 2],
    near_address: SocketAddr,
    /// The first one's.
    far_address: SocketAddr,
    state: Mutex<State<P>>,
}

#[derive(Debug)]
struct State<P> {
    viewer: Option<SocketAddr>,
    server: Option<SocketAddr>,
    /// Which of the far sockets.
    used: usize,
    policy: P,
}

impl<P: Policy> Relay<P> {
    /// On loopback. It learns where its ends are from what they send and from their descriptions; `server`, if that is known.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub async fn bind(server: Option<SocketAddr>, policy: P) -> io::Result<Self> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let far = [
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        ];
        let (near_address, far_address) = (near.local_addr()?, far[0].local_addr()?);
        let state = Mutex::new(State { viewer: None, server, used: 0, policy });
        let line = Arc::new(Line { near, far, near_address, far_address, state });
        let carrying = line.clone();
        Ok(Self { line, _task: task::spawn(async move { carrying.carry().await }) })
    }

    /// Where the viewer sends what is for the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.line.near_address
    }

    /// The policy, to be asked and changed. Nothing passes meanwhile.
    pub fn policy(&self) -> impl DerefMut<Target = P> {
        Guard(self.line.state())
    }

    /// From now on the viewer comes from another port and is reached there alone, as behind a NAT that has forgotten it; or from
    /// the first one again.
    pub fn rebind(&self) {
        let mut state = self.line.state();
        state.used = 1 - state.used;
    }

    /// A viewer's transport whose descriptions name this relay. It does not keep the relay.
    pub fn over<T: Transport>(&self, inner: T) -> impl Transport + use<T, P> {
        Rewired { inner, line: self.line.clone() }
    }
}

struct Guard<'a, P>(MutexGuard<'a, State<P>>);

impl<P> std::ops::Deref for Guard<'_, P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0.policy
    }
}

impl<P> DerefMut for Guard<'_, P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.0.policy
    }
}

impl<P: Policy> Line<P> {
    async fn carry(&self) {
        let (mut from_viewer, mut from_server, mut from_server_again) = ([0; 2048], [0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                // An ICMP error says nothing of the next datagram; one that cannot be sent is lost, as on any network.
                Ok((len, from)) = self.near.recv_from(&mut from_viewer) => {
                    let datagram = &mut from_viewer[..len];
                    let (server, used) = self.state().up(from, datagram);
                    let _ = server.map(|server| self.far[used].try_send_to(datagram, server));
                }
                Ok((len, from)) = self.far[0].recv_from(&mut from_server) => {
                    self.down(0, from, &mut from_server[..len]);
                }
                Ok((len, from)) = self.far[1].recv_from(&mut from_server_again) => {
                    self.down(1, from, &mut from_server_again[..len]);
                }
                else => {}
            }
        }
    }
}

impl<P: Policy> Line<P> {
    fn down(&self, far: usize, from: SocketAddr, datagram: &mut [u8]) {
        let viewer = self.state().down(far, from, datagram);
        let _ = viewer.map(|viewer| self.near.try_send_to(datagram, viewer));
    }
}

impl<P> Line<P> {
    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl<P: Policy> State<P> {
    /// Where a datagram of the viewer goes, if anywhere, and by which far socket.
    fn up(&mut self, from: SocketAddr, datagram: &mut [u8]) -> (Option<SocketAddr>, usize) {
        self.viewer = Some(from);
        (self.server.filter(|_| self.policy.up(task::now(), datagram)), self.used)
    }

    /// Where a datagram of the server goes, if anywhere.
    fn down(&mut self, far: usize, from: SocketAddr, datagram: &mut [u8]) -> Option<SocketAddr> {
        if far != self.used {
            return None;
        }
        self.server = Some(from);
        self.viewer.filter(|_| self.policy.down(task::now(), datagram))
    }
}

struct Rewired<T, P> {
    inner: T,
    line: Arc<Line<P>>,
}

#[async_trait]
impl<T: Transport, P: Policy> Transport for Rewired<T, P> {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let message = match message {
            Message::Offer(sdp) => {
                let (sdp, viewer) = rewire(&sdp, self.line.far_address);
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
                let (sdp, server) = rewire(&sdp, self.line.near_address);
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

/// The description with `relay` in each candidate, and the address that was there.
fn rewire(sdp: &str, relay: SocketAddr) -> (String, Option<SocketAddr>) {
    let mut was = None;
    let lines = sdp.lines().map(|line| {
        // foundation, component, transport, priority, address, port (RFC 8839, 5.1)
        let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if line.starts_with("a=candidate:") && fields.len() > 5 {
            was = format!("{}:{}", fields[4], fields[5]).parse().ok();
            fields[4] = relay.ip().to_string();
            fields[5] = relay.port().to_string();
        }
        fields.join(" ") + "\r\n"
    });
    (lines.collect(), was)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_name_the_relay() {
        let relay = ([127, 0, 0, 1], 9).into();
        let sdp = "v=0\r\na=candidate:1 1 udp 2 10.0.0.1 5 typ host\r\n";
        let (rewired, was) = rewire(sdp, relay);
        assert_eq!(rewired, "v=0\r\na=candidate:1 1 udp 2 127.0.0.1 9 typ host\r\n");
        assert_eq!(was, Some(([10, 0, 0, 1], 5).into()));
    }
}
