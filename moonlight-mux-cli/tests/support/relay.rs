//! A network between a page and a server, which a test can cut.
//!
//! ```text
//! browser ◀─ TCP and UDP ─▶ relay ◀─ a socket for each of the browser's ─▶ server
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

/// Carries until it is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    line: Arc<Line>,
    cut: watch::Sender<bool>,
    _tasks: JoinSet<io::Result<()>>,
}

struct Line {
    udp: UdpSocket,
    /// Where the server is for UDP, as soon as it is known.
    server: OnceCell<SocketAddr>,
    cut: watch::Receiver<bool>,
}

impl Relay {
    /// A relay to a server that listens on this TCP port.
    pub(crate) async fn bind(server: SocketAddr) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = tcp.local_addr().expect("it is bound");
        let (cut, is_cut) = watch::channel(false);
        let line = Arc::new(Line { udp, server: OnceCell::new(), cut: is_cut });
        let mut tasks = JoinSet::new();
        tasks.spawn(line.clone().accept(tcp, server));
        tasks.spawn(line.clone().carry_up());
        Self { address, line, cut, _tasks: tasks }
    }

    /// What the page takes for the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A script that a page runs before its own: its media then go this way alone. `serverPort` is the server's UDP port
    /// as soon as the page knows it, for [`lead_to`](Self::lead_to).
    pub(crate) fn script(&self) -> String {
        REWIRE.replace("RELAY_PORT", &self.line.udp.local_addr().expect("it is bound").port().to_string())
    }

    /// Where datagrams go. Those that came before are lost.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.line.server.set(server).expect("it is set once");
    }

    /// From now on nothing passes, or everything: what was sent over TCP meanwhile comes late, datagrams never do.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Line {
    async fn accept(self: Arc<Self>, tcp: TcpListener, server: SocketAddr) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        loop {
            let (near, _) = tcp.accept().await?;
            let line = self.clone();
            tasks.spawn(async move {
                let far = TcpStream::connect(server).await?;
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::try_join!(line.stream(near_in, far_out), line.stream(far_in, near_out))
            });
        }
    }

    async fn stream(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (mut bytes, mut cut) = ([0; 16_384], self.cut.clone());
        loop {
            let len = from.read(&mut bytes).await?;
            // The sender lives as long as this task.
            let _ = cut.wait_for(|cut| !cut).await;
            if len == 0 {
                return to.shutdown().await;
            }
            to.write_all(&bytes[..len]).await?;
        }
    }

    async fn carry_up(self: Arc<Self>) -> io::Result<()> {
        let mut far: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut datagram = [0; 2048];
        loop {
            // An ICMP error says nothing of the next datagram.
            let Ok((len, browser)) = self.udp.recv_from(&mut datagram).await else { continue };
            let Some(server) = self.server.get().filter(|_| !*self.cut.borrow()) else { continue };
            let socket = match far.entry(browser) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
                    tasks.spawn(self.clone().carry_down(socket.clone(), browser));
                    new.insert(socket)
                }
            };
            // A datagram that cannot be sent is a lost one.
            let _ = socket.try_send_to(&datagram[..len], *server);
        }
    }

    async fn carry_down(self: Arc<Self>, far: Arc<UdpSocket>, browser: SocketAddr) {
        let mut datagram = [0; 2048];
        loop {
            let Ok(len) = far.recv(&mut datagram).await else { continue };
            if !*self.cut.borrow() {
                let _ = self.udp.try_send_to(&datagram[..len], browser);
            }
        }
    }
}

/// The page takes the relay for the server. The server hears of no address of the page: it finds the relay by its checks.
const REWIRE: &str = r#"
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (!data.includes("AddIceCandidate")) send.call(this, data);
  };
  const setRemoteDescription = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    // foundation, component, transport, priority, address, port (RFC 8839, 5.1)
    const rewired = sdp.replace(/^(a=candidate:\S+ \S+ \S+ \S+ \S+) (\d+)/gm, (_, before, port) => {
      window.serverPort = Number(port);
      return `${before} RELAY_PORT`;
    });
    return setRemoteDescription.call(this, { type, sdp: rewired });
  };"#;
