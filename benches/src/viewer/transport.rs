//! How a viewer finds its server: the peer WebSocket, or a channel within the process.

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::message::{self, Message};

/// A way to exchange signalling messages with a server.
#[async_trait]
pub trait Transport: Send + 'static {
    /// Sends one message. Messages are few and small: it should not wait long.
    ///
    /// # Errors
    /// [`Closed`] when the server is gone.
    async fn send(&mut self, message: Message) -> Result<(), Closed>;

    /// The server's next message. Must be cancel safe.
    ///
    /// # Errors
    /// [`Closed`] at the end, again and again.
    async fn recv(&mut self) -> Result<Message, Closed>;

    /// Ends the transport in order.
    async fn close(&mut self);
}

/// The transport ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("signalling ended, {}: {reason}", .code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}")))]
pub struct Closed {
    /// The WebSocket close code; `None` when the connection ended without one.
    pub code: Option<u16>,
    /// The text beside it.
    pub reason: String,
}

/// The server's peer WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    closed: Option<Closed>,
}

impl WebSocket {
    /// Connects to `url`, as in `ws://127.0.0.1:8080/api/streamers/{id}/peer`, with the subprotocol
    /// `moonlight-mux.v1`, and `bearer.<token>` where there is a token.
    ///
    /// Not cancel safe: a dropped call drops the connection.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when the server answers anything but an upgrade, [`ConnectError::WebSocket`] when
    /// the connection fails or the server does not select the subprotocol.
    pub async fn connect(url: &Uri, token: Option<&str>) -> Result<Self, ConnectError> {
        let mut request = ClientRequestBuilder::new(url.clone()).with_sub_protocol(SUBPROTOCOL);
        if let Some(token) = token {
            request = request.with_sub_protocol(format!("bearer.{token}"));
        }
        Self::open(request).await
    }

    /// As [`connect`](Self::connect), but without a subprotocol, as existing pages do.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_without_subprotocol(url: &Uri) -> Result<Self, ConnectError> {
        Self::open(ClientRequestBuilder::new(url.clone())).await
    }

    async fn open(request: ClientRequestBuilder) -> Result<Self, ConnectError> {
        match Box::pin(connect_async_with_config(request, None, true)).await {
            Ok((stream, _)) => Ok(Self { stream, closed: None }),
            Err(tungstenite::Error::Http(response)) => {
                Err(ConnectError::Refused { status: response.status() })
            }
            Err(error) => Err(ConnectError::WebSocket(Box::new(error))),
        }
    }

    fn end(&mut self, closed: Closed) -> Closed {
        self.closed.get_or_insert(closed).clone()
    }
}

#[async_trait]
impl Transport for WebSocket {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let sent = self.stream.send(Frame::text(message::to_json(&message))).await;
        // What the server said at the end is still to be read: `recv` finds the code.
        sent.map_err(|error| self.closed.clone().unwrap_or_else(|| without_code(&error)))
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        loop {
            if let Some(closed) = &self.closed {
                return Err(closed.clone());
            }
            match self.stream.next().await {
                Some(Ok(Frame::Text(text))) => match message::from_json(&text) {
                    Ok(message) => return Ok(message),
                    Err(error) => tracing::warn!(%error, "the server sent a malformed message"),
                },
                Some(Ok(Frame::Close(frame))) => {
                    let closed = frame.map_or_else(Closed::default, |frame| Closed {
                        code: Some(frame.code.into()),
                        reason: frame.reason.as_str().to_owned(),
                    });
                    return Err(self.end(closed));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.end(without_code(&error))),
                None => return Err(self.end(Closed::default())),
            }
        }
    }

    async fn close(&mut self) {
        // The server may be gone already; then there is nobody to tell.
        let _ = self.stream.close(None).await;
    }
}

/// Why a WebSocket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server answered with something else than an upgrade: 401, 404, 429, 503.
    #[error("the server answered {status}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The connection failed, or the handshake is not as it must be.
    #[error("no WebSocket")]
    WebSocket(#[source] Box<tungstenite::Error>),
}

/// A transport within the process, and the server's end of it.
#[must_use]
pub fn channel() -> (Channel, ServerEnd) {
    let (to_server, from_viewer) = mpsc::channel(CHANNEL_CAPACITY);
    let (to_viewer, from_server) = mpsc::channel(CHANNEL_CAPACITY);
    let viewer = Channel { to_server, from_server, closed: None };
    (viewer, ServerEnd { sink: ServerSink(to_viewer), stream: ServerStream(from_viewer) })
}

/// The viewer's end of [`channel`].
#[derive(Debug)]
pub struct Channel {
    to_server: mpsc::Sender<Message>,
    from_server: mpsc::Receiver<Result<Message, Closed>>,
    closed: Option<Closed>,
}

#[async_trait]
impl Transport for Channel {
    async fn send(&mut self, message: Message) -> Result<(), Closed> {
        self.to_server.send(message).await.map_err(|_| self.closed.clone().unwrap_or_default())
    }

    async fn recv(&mut self) -> Result<Message, Closed> {
        if let Some(closed) = &self.closed {
            return Err(closed.clone());
        }
        let received = self.from_server.recv().await.unwrap_or_else(|| Err(Closed::default()));
        received.inspect_err(|closed| self.closed = Some(closed.clone()))
    }

    async fn close(&mut self) {
        // Without a receiver and with a sender of a channel that nobody reads, the server sees the end.
        self.from_server.close();
        self.to_server = mpsc::channel(1).0;
    }
}

/// The server's end of [`channel`]: what a test wires to the library's signalling.
#[derive(Debug)]
pub struct ServerEnd {
    /// Sends to the viewer.
    pub sink: ServerSink,
    /// Receives from the viewer.
    pub stream: ServerStream,
}

/// Sends to a viewer within the process.
#[derive(Clone, Debug)]
pub struct ServerSink(mpsc::Sender<Result<Message, Closed>>);

impl ServerSink {
    /// Sends one message. Waits while the viewer does not read.
    ///
    /// # Errors
    /// [`Closed`] when the viewer is gone.
    pub async fn send(&self, message: Message) -> Result<(), Closed> {
        self.0.send(Ok(message)).await.map_err(|_| Closed::default())
    }

    /// Ends the transport, for this reason.
    pub async fn close(&self, closed: Closed) {
        // A viewer that is gone need not be told.
        let _ = self.0.send(Err(closed)).await;
    }
}

/// Receives from a viewer within the process.
#[derive(Debug)]
pub struct ServerStream(mpsc::Receiver<Message>);

impl ServerStream {
    /// The viewer's next message; `None` when it is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Message> {
        self.0.recv().await
    }
}

fn without_code(error: &tungstenite::Error) -> Closed {
    Closed { code: None, reason: error.to_string() }
}

/// The subprotocol of a viewer that offers.
const SUBPROTOCOL: &str = "moonlight-mux.v1";

/// A negotiation is a handful of messages; a sender waits when its receiver does not read.
const CHANNEL_CAPACITY: usize = 32;
