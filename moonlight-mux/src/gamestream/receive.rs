//! One of a session's UDP sockets: takes bursts as the kernel has them, and nothing but the host's.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Not connected, since hosts answer from any port, and so that an ICMP error of one datagram stays without effect.
///
/// Empty it by [`next`](Self::next) before each [`receive`](Self::receive). There is no queue but the kernel's: who reads too
/// slowly loses the newest datagrams there, counted in [`kernel_drops`](Self::kernel_drops).
pub(super) struct HostSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    host: IpAddr,
    /// What the kernel gave to receive into; Linux counts its bookkeeping too.
    receive_buffer: Option<usize>,
    /// The socket's, by which the kernel lists it.
    inode: Option<u64>,
    /// Pages that nothing was ever received into take no memory.
    buffer: Box<[u8]>,
    /// Of the last batch.
    metas: Box<[RecvMeta]>,
    /// Where the next datagram of the batch is: which message, and how far into it.
    batch: usize,
    message: usize,
    offset: usize,
    errors: u32,
    datagrams: u64,
}

impl HostSocket {
    /// Binds a socket to talk to `host`; `receive_buffer` is in bytes.
    ///
    /// # Errors
    /// When there is no such local address, or no descriptor is left.
    pub(super) fn bind(host: IpAddr, local: Option<IpAddr>, receive_buffer: usize) -> io::Result<Self> {
        let address = local_address(host, local);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel gives what it may.
        let _ = socket.set_recv_buffer_size(receive_buffer);
        let given = socket.recv_buffer_size().ok();
        warn_if_small(receive_buffer, given);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self {
            state: UdpSocketState::new(UdpSockRef::from(&socket))?,
            inode: inode(&socket),
            socket,
            host: host.to_canonical(),
            receive_buffer: given,
            buffer: vec![0; BATCH * MAX_MESSAGE].into(),
            metas: vec![RecvMeta::default(); BATCH].into(),
            batch: 0,
            message: 0,
            offset: 0,
            errors: 0,
            datagrams: 0,
        })
    }

    /// Waits for a batch, which replaces the last one. Cancel safe.
    pub(super) async fn receive(&mut self) {
        if self.errors >= MAX_ERRORS {
            return std::future::pending().await;
        }
        let Self { socket, state, buffer, metas, .. } = self;
        let mut chunks = buffer.chunks_exact_mut(MAX_MESSAGE);
        let mut buffers: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("one for each message")));
        let received = socket
            .async_io(Interest::READABLE, || state.recv(UdpSockRef::from(&*socket), &mut buffers, metas))
            .await;
        (self.batch, self.message, self.offset) = (0, 0, 0);
        match received {
            Ok(messages) => self.batch = messages,
            Err(error) => {
                // Says nothing about the host: the session's own time-outs tell.
                self.errors += 1;
                tracing::debug!(%error, "a socket reports an error");
            }
        }
    }

    /// The next datagram of the batch that came from the host; others are dropped.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let range = loop {
            if self.message == self.batch {
                return None;
            }
            let meta = &self.metas[self.message];
            let len = meta.len.min(MAX_MESSAGE);
            if meta.addr.ip().to_canonical() != self.host || self.offset >= len {
                (self.message, self.offset) = (self.message + 1, 0);
                continue;
            }
            let end = len.min(self.offset + meta.stride.max(1));
            let start = self.message * MAX_MESSAGE;
            let range = start + self.offset..start + end;
            self.offset = end;
            break range;
        };
        self.datagrams += 1;
        Some(&self.buffer[range])
    }

    /// Sends to a port of the host. Never waits, and errors are ignored: what is lost is sent again by whoever needs it.
    pub(super) fn send(&self, port: u16, datagram: &[u8]) {
        let sent = SockRef::from(&self.socket).send_to(datagram, &SocketAddr::new(self.host, port).into());
        if let Err(error) = sent {
            tracing::trace!(%error, "a datagram was not sent");
        }
    }

    /// After so many errors that the socket is not read any more it is from now on: an error that stays must not become a
    /// busy loop.
    pub(super) fn forgive(&mut self) {
        self.errors = 0;
    }

    /// How many came from the host.
    pub(super) fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// In bytes, as the kernel says; on Linux with its own bookkeeping, so up to twice what was asked for.
    pub(super) fn receive_buffer(&self) -> Option<usize> {
        self.receive_buffer
    }

    /// How many the kernel dropped since the buffer was full; 0 where it does not say, which is everywhere but on Linux.
    /// Reads a list of all UDP sockets, so once a second is often enough.
    pub(super) fn kernel_drops(&self) -> u64 {
        let Some(inode) = self.inode else { return 0 };
        let list = if self.host.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
        fs::read_to_string(list).ok().and_then(|list| drops(&list, inode)).unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

/// Where sockets that talk to `host` are bound, with a port of the kernel's choice.
pub(super) fn local_address(host: IpAddr, local: Option<IpAddr>) -> SocketAddr {
    let any = match host.to_canonical() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(local.unwrap_or(any).to_canonical(), 0)
}

/// Once per process: a small buffer loses keyframes in bursts, and it is the administrator's to change.
fn warn_if_small(asked: usize, given: Option<usize>) {
    static WARNED: Once = Once::new();
    if let Some(given) = given.filter(|&given| given < asked) {
        WARNED.call_once(|| {
            tracing::warn!(
                asked,
                given,
                "the kernel gives less to receive into than a large keyframe needs: raise net.core.rmem_max"
            );
        });
    }
}

#[cfg(target_os = "linux")]
fn inode(socket: &UdpSocket) -> Option<u64> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let descriptor = socket.as_fd().try_clone_to_owned().ok()?;
    Some(File::from(descriptor).metadata().ok()?.ino())
}

#[cfg(not(target_os = "linux"))]
fn inode(_: &UdpSocket) -> Option<u64> {
    None
}

/// The drops of the socket with this inode, from the kernel's list: a line for each socket, words 10 and 13 (proc(5)).
fn drops(list: &str, inode: u64) -> Option<u64> {
    list.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let found = words.nth(9)?.parse() == Ok(inode);
        found.then(|| words.nth(2)?.parse().ok()).flatten()
    })
}

/// Messages per call. With GRO one is up to 64 datagrams; without it this is a twentieth of a 4K keyframe.
const BATCH: usize = 16;

/// The most that the kernel puts together.
const MAX_MESSAGE: usize = 1 << 16;

const MAX_ERRORS: u32 = 16;

#[cfg(test)]
mod tests {
    use quinn_udp::Transmit;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn socket(receive_buffer: usize) -> HostSocket {
        HostSocket::bind(HOST, Some(HOST), receive_buffer).unwrap()
    }

    fn sender(address: Ipv4Addr) -> std::net::UdpSocket {
        std::net::UdpSocket::bind((address, 0)).unwrap()
    }

    /// Reads until so many have come.
    async fn received(socket: &mut HostSocket, count: usize) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while datagrams.len() < count {
            match socket.next() {
                Some(datagram) => datagrams.push(datagram.to_vec()),
                None => socket.receive().await,
            }
        }
        datagrams
    }

    #[tokio::test]
    async fn datagrams_of_any_port_of_the_host_are_taken_and_of_nobody_else() {
        let mut socket = socket(1 << 18);
        let to = socket.local_addr();
        sender(Ipv4Addr::new(127, 0, 0, 3)).send_to(b"foreign", to).unwrap();
        sender(Ipv4Addr::LOCALHOST).send_to(b"one", to).unwrap();
        sender(Ipv4Addr::new(127, 0, 0, 3)).send_to(b"foreign", to).unwrap();
        sender(Ipv4Addr::LOCALHOST).send_to(b"", to).unwrap();
        sender(Ipv4Addr::LOCALHOST).send_to(b"two", to).unwrap();
        assert_eq!(received(&mut socket, 2).await, [b"one", b"two"]);
        assert_eq!(socket.datagrams(), 2);
    }

    /// As a host sends a frame: segments of one message, which the kernel hands over as one again.
    #[tokio::test]
    async fn a_burst_comes_apart_as_it_was_put_together() {
        let mut socket = socket(4 << 20);
        let sender = sender(Ipv4Addr::LOCALHOST);
        let state = UdpSocketState::new(UdpSockRef::from(&sender)).unwrap();
        let segments = state.max_gso_segments().min(40);
        let mut sent = Vec::new();
        for burst in 0..3 {
            let datagrams: Vec<Vec<u8>> = (0..segments)
                .map(|n| vec![burst * 50 + n as u8; if n + 1 == segments { 17 } else { 1400 }])
                .collect();
            let transmit = Transmit {
                destination: socket.local_addr(),
                ecn: None,
                contents: &datagrams.concat(),
                segment_size: Some(1400),
                src_ip: None,
            };
            state.try_send(UdpSockRef::from(&sender), &transmit).unwrap();
            sent.extend(datagrams);
        }
        assert_eq!(received(&mut socket, sent.len()).await, sent);
        assert_eq!(socket.next(), None);
    }

    /// The ICMP error of a host that is gone is no news, let alone again and again.
    #[tokio::test]
    async fn a_host_that_is_gone_leaves_the_socket_quiet() {
        let mut socket = socket(1 << 18);
        let gone = sender(Ipv4Addr::LOCALHOST).local_addr().unwrap().port();
        for _ in 0..10 {
            socket.send(gone, b"hello?");
        }
        let mut receive = Box::pin(socket.receive());
        // What an error would wake is woken while this future gives way.
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(futures_util::poll!(&mut receive).is_pending());
        }
    }

    #[tokio::test]
    async fn a_socket_with_errors_is_left_alone_until_it_is_forgiven() {
        let mut socket = socket(1 << 18);
        sender(Ipv4Addr::LOCALHOST).send_to(b"hello", socket.local_addr()).unwrap();
        socket.socket.readable().await.unwrap();
        socket.errors = MAX_ERRORS;
        assert!(futures_util::poll!(std::pin::pin!(socket.receive())).is_pending());
        socket.forgive();
        assert_eq!(received(&mut socket, 1).await, [b"hello"]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_the_kernel_dropped_is_counted() {
        let socket = socket(1);
        assert!(socket.receive_buffer().is_some_and(|bytes| bytes < 1 << 16));
        assert_eq!(socket.kernel_drops(), 0);
        let sender = sender(Ipv4Addr::LOCALHOST);
        for _ in 0..200 {
            sender.send_to(&[0; 1400], socket.local_addr()).unwrap();
        }
        assert!((100..200).contains(&socket.kernel_drops()));
    }

    #[test]
    fn drops_are_read_from_the_kernels_list() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             2315: 0100007F:A2F1 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 44521 2 00000000a8e0ac38 0\n\
             9482: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   107        0 18722 2 0000000045ee9e6f 731\n";
        assert_eq!(drops(list, 18722), Some(731));
        assert_eq!(drops(list, 44521), Some(0));
        assert_eq!(drops(list, 107), None);
    }
}
