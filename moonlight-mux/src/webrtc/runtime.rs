//! The runtime that the WebRTC crate sees: tokio's, but for its sockets and for when its timers ring.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

use super::endpoint::PeerSockets;
use crate::task;

/// One connection's runtime: each socket that the crate opens is exchanged for a share of the endpoint's, and its timers ring
/// together with others' where they can wait ([`calm`](super::calm)).
#[derive(Debug)]
pub(super) struct PeerRuntime {
    sockets: PeerSockets,
}

impl PeerRuntime {
    pub(super) fn new(sockets: PeerSockets) -> Self {
        Self { sockets }
    }
}

impl Runtime for PeerRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(self.sockets.open(socket.local_addr()?.ip())))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn now(&self) -> Instant {
        task::now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let now = task::now();
        // The crate sleeps for a day where it has no timer at all.
        let Some(deadline) = now.checked_add(duration) else { return Box::pin(pending()) };
        Box::pin(task::at(Some(self.sockets.ring_at(now, deadline))))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn name(&self) -> &'static str {
        "moonlight-mux"
    }
}
