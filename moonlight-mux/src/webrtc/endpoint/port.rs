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
    /// As it was when the port was bound. quinn-udp 0.6.3 takes any send that fails with EINVAL or EIO, to one odd address, for a
    /// system that cannot segment, from then on.
    max_gso_segments: usize,
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
        let max_gso_segments = state.max_gso_segments();
        Ok(Self { socket, state, max_gso_segments, local_addr })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many datagrams leave with one call at most (UDP GSO); 1 where the system cannot send several.
    pub(super) fn max_gso_segments(&self) -> usize {
        self.max_gso_segments
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

    /// Where the way to the destination does not segment, each datagram goes by itself.
    ///
    /// # Errors
    /// When the system does not take all of it at once.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.send_at_once(transmit);
        let Some(size) = transmit.segment_size.filter(|_| sent.as_ref().is_err_and(|error| !is_full(error)))
        else {
            return sent;
        };
        transmit.contents.chunks(size.max(1)).try_for_each(|contents| {
            self.send_at_once(&Transmit { contents, segment_size: None, ..*transmit })
        })
    }

    fn send_at_once(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        #[cfg(unix)]
        return self.state.try_send(UdpSockRef::from(self.socket.get_ref()), transmit);
        #[cfg(not(unix))]
        return self
            .socket
            .try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.socket), transmit));
    }
}

/// Whether there is no room now: the way is no reason to fail.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_takes_nothing_costs_nobody_else_the_segments() {
        let port = Port::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let receiver = Port::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let before = port.max_gso_segments();
        let to = |destination, contents, segment_size| Transmit {
            destination,
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        assert!(port.send(&to(nowhere, b"ab", None)).is_err());
        assert!(port.send(&to(nowhere, b"ab", Some(1))).is_err());
        assert_eq!(port.max_gso_segments(), before);

        port.send(&to(receiver.local_addr(), b"abcde", (before > 1).then_some(2))).expect("it is taken");
        let (mut buffer, mut got) = ([0; 4096], 0);
        while got < 5 {
            got += receiver.recv(&mut buffer).await.expect("it arrives").len;
        }
        assert_eq!(got, 5);
    }
}
