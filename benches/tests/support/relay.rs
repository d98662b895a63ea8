//! A network between pages and a server, which a test can cut.
//!
//! ```text
//! browser ◀─▶ near socket ─ relay ─ far socket, one per address of the browser ◀─▶ server
//! ```

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::net::UdpSocket;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

/// Carries datagrams until it is dropped.
pub(crate) struct Relay {
    line: Arc<Line>,
    _task: JoinSet<io::Result<()>>,
}

struct Line {
    near: UdpSocket,
    server: OnceCell<SocketAddr>,
    cut: AtomicBool,
}

impl Relay {
    pub(crate) async fn bind() -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let line = Arc::new(Line { near, server: OnceCell::new(), cut: AtomicBool::new(false) });
        let mut task = JoinSet::new();
        task.spawn(line.clone().run());
        Self { line, _task: task }
    }

    /// A script that a page runs before its own: its media then go this way alone. `serverPort` is the server's port as
    /// soon as the page knows it, for [`lead_to`](Self::lead_to).
    pub(crate) fn script(&self) -> String {
        REWIRE.replace("RELAY_PORT", &self.line.near.local_addr().expect("it is bound").port().to_string())
    }

    /// Where the server is. What came before is lost.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.line.server.set(server).expect("it is set once");
    }

    /// From now on nothing passes, or everything.
    pub(crate) fn cut(&self, cut: bool) {
        self.line.cut.store(cut, Relaxed);
    }
}

impl Line {
    async fn run(self: Arc<Self>) -> io::Result<()> {
        let mut far: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut datagram = [0; 2048];
        loop {
            // An ICMP error says nothing of the next datagram.
            let Ok((len, browser)) = self.near.recv_from(&mut datagram).await else { continue };
            let Some(server) = self.server.get().filter(|_| !self.cut.load(Relaxed)) else { continue };
            if !far.contains_key(&browser) {
                let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
                tasks.spawn(self.clone().carry_back(socket.clone(), browser));
                far.insert(browser, socket);
            }
            // A datagram that cannot be sent is a lost one.
            let _ = far[&browser].try_send_to(&datagram[..len], *server);
        }
    }

    async fn carry_back(self: Arc<Self>, far: Arc<UdpSocket>, browser: SocketAddr) {
        let mut datagram = [0; 2048];
        loop {
            let Ok(len) = far.recv(&mut datagram).await else { continue };
            if !self.cut.load(Relaxed) {
                let _ = self.near.try_send_to(&datagram[..len], browser);
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
