//! The UDP socket that viewers share, as the endpoint uses it: one task reads, anybody sends, and nobody waits to send.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
#[cfg(unix)]
use tokio::io::unix::AsyncFd;

/// A second of a 40 Mbit/s stream to one viewer, or a keyframe to a hundred: the kernel caps it (`net.core.wmem_max`).
const SEND_BUFFER: usize = 4 << 20;
/// What viewers send is small: this is for thousands of them at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The runtime listens for what arrives alone. It would listen for room to send as well in a socket of its own, and be woken by
/// the kernel for each datagram that has left: as dear as sending it.
#[cfg(unix)]
type Listening = AsyncFd<std::net::UdpSocket>;
#[cfg(not(unix))]
type Listening = tokio::net::UdpSocket;

#[derive(Debug)]
pub(super) struct Port {
    socket: Listening,
    state: UdpSocketState,
    local_addr: SocketAddr,
}

impl Port {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel gives what it may; less only costs losses under load.
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let local_addr = socket.local_addr()?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        #[cfg(unix)]
        #[expect(
            deprecated,
            reason = "unsound for what may change its descriptor, which a socket of std's does not"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        #[cfg(not(unix))]
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Self { socket, state, local_addr })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many datagrams leave with one call at most (UDP GSO); 1 where the system cannot send several.
    pub(super) fn max_gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// How many datagrams one buffer may get (UDP GRO).
    pub(super) fn gro_segments(&self) -> usize {
        self.state.gro_segments()
    }

    /// The next datagrams, all from one address. Cancel safe.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let mut meta = [RecvMeta::default()];
        let buffers = &mut [IoSliceMut::new(buffer)];
        #[cfg(unix)]
        let read =
            |socket: &std::net::UdpSocket| self.state.recv(UdpSockRef::from(socket), buffers, &mut meta);
        #[cfg(not(unix))]
        let read = || self.state.recv(UdpSockRef::from(&self.socket), buffers, &mut meta);
        self.socket.async_io(Interest::READABLE, read).await?;
        let [meta] = meta;
        Ok(meta)
    }

    /// # Errors
    /// When the system does not take all of it at once.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        #[cfg(unix)]
        return self.state.try_send(UdpSockRef::from(self.socket.get_ref()), transmit);
        #[cfg(not(unix))]
        return self
            .socket
            .try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.socket), transmit));
    }
}
