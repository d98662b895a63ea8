//! The viewer's socket: a UDP port, or one TCP connection with framed datagrams (RFC 4571).

use std::io;
use std::net::SocketAddr;

use str0m::Candidate;
use str0m::error::IceError;
use str0m::net::{Protocol, TcpType};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::{Path, ViewerConfig};

#[derive(Debug)]
pub(super) enum Link {
    Udp(UdpSocket),
    Tcp(Tcp),
}

/// A TCP connection, and what it has of frames that are not whole.
#[derive(Debug)]
pub(super) struct Tcp {
    /// Until there is a server to connect to.
    bound: Option<TcpSocket>,
    open: Option<(TcpStream, SocketAddr)>,
    received: Vec<u8>,
    /// At most [`MAX_UNSENT`]; more is lost.
    unsent: Vec<u8>,
}

impl Link {
    pub(super) fn bind(config: &ViewerConfig) -> io::Result<(Self, SocketAddr)> {
        match config.path {
            Path::Udp => {
                let socket = std::net::UdpSocket::bind((config.bind, 0))?;
                socket.set_nonblocking(true)?;
                let socket = UdpSocket::from_std(socket)?;
                // The system caps it silently; what it gives is what there is.
                socket2::SockRef::from(&socket).set_recv_buffer_size(config.receive_buffer)?;
                let local = socket.local_addr()?;
                Ok((Self::Udp(socket), local))
            }
            Path::Tcp => {
                let socket = if config.bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind((config.bind, 0).into())?;
                socket2::SockRef::from(&socket).set_recv_buffer_size(config.receive_buffer)?;
                let local = socket.local_addr()?;
                let tcp = Tcp { bound: Some(socket), open: None, received: Vec::new(), unsent: Vec::new() };
                Ok((Self::Tcp(tcp), local))
            }
        }
    }

    /// The ICE candidate of a link at `local`.
    pub(super) fn candidate(&self, local: SocketAddr) -> Result<Candidate, IceError> {
        match self {
            Self::Udp(_) => Candidate::host(local, Protocol::Udp),
            Self::Tcp(_) => Candidate::builder().tcp().host(local).tcptype(TcpType::Active).build(),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Udp(_) => Protocol::Udp,
            Self::Tcp(_) => Protocol::Tcp,
        }
    }

    /// Connects to the first passive TCP candidate of an answer, if that is the way.
    pub(super) async fn connect(&mut self, answer: &str) -> io::Result<()> {
        let Self::Tcp(tcp) = self else { return Ok(()) };
        let Some(server) = answer.lines().find_map(passive) else { return Ok(()) };
        let Some(socket) = tcp.bound.take() else { return Ok(()) };
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        tcp.open = Some((stream, server));
        Ok(())
    }

    /// Waits until there is something to read. Cancel safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Tcp(Tcp { open: Some((stream, _)), .. }) => stream.readable().await,
            Self::Tcp(_) => std::future::pending().await,
        }
    }

    /// The next datagram.
    pub(super) fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.try_recv_from(buffer),
            Self::Tcp(tcp) => tcp.try_recv(buffer),
        }
    }

    /// Sends a datagram. One that cannot be sent now is a lost one.
    pub(super) fn send(&mut self, datagram: &[u8], destination: SocketAddr) {
        match self {
            Self::Udp(socket) => _ = socket.try_send_to(datagram, destination),
            Self::Tcp(tcp) => tcp.send(datagram, destination),
        }
    }
}

impl Tcp {
    fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some((stream, server)) = &self.open else { return Err(io::ErrorKind::WouldBlock.into()) };
        loop {
            if let [a, b, rest @ ..] = &self.received[..]
                && let length = usize::from(u16::from_be_bytes([*a, *b]))
                && let Some(datagram) = rest.get(..length)
            {
                buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(datagram);
                self.received.drain(..length + 2);
                return Ok((length, *server));
            }
            let mut chunk = [0; 4096];
            match stream.try_read(&mut chunk)? {
                0 => {
                    self.open = None;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                len => self.received.extend_from_slice(&chunk[..len]),
            }
        }
    }

    fn send(&mut self, datagram: &[u8], destination: SocketAddr) {
        let Some((stream, server)) = &self.open else { return };
        let Ok(length) = u16::try_from(datagram.len()) else { return };
        if *server == destination && self.unsent.len() < MAX_UNSENT {
            self.unsent.extend(length.to_be_bytes());
            self.unsent.extend_from_slice(datagram);
        }
        if let Ok(sent) = stream.try_write(&self.unsent) {
            self.unsent.drain(..sent);
        }
    }
}

/// The address of a passive TCP candidate in a line of SDP (RFC 6544, 4.5).
fn passive(line: &str) -> Option<SocketAddr> {
    let fields: Vec<_> = line.strip_prefix("a=candidate:")?.split(' ').collect();
    let [_, _, transport, _, address, port, ..] = fields[..] else { return None };
    let passive = transport.eq_ignore_ascii_case("tcp") && fields.ends_with(&["tcptype", "passive"]);
    passive.then(|| Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))).flatten()
}

/// A viewer sends little: more than this waits only when the server does not read.
const MAX_UNSENT: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passive_candidate_is_found() {
        let line = "a=candidate:6001 1 tcp 1520435199 127.0.0.1 443 typ host tcptype passive";
        assert_eq!(passive(line), Some(([127, 0, 0, 1], 443).into()));
        assert_eq!(passive(&line.replace("passive", "active")), None);
        assert_eq!(passive(&line.replace("tcp ", "udp ")), None);
    }
}
