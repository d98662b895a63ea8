//! A viewer's WebSocket: the transport of its signalling.
//!
//! One task, the one that axum makes for the upgraded connection, owns the socket, its keep-alive and the viewer's
//! [`PeerHandle`]. The egress holds two ends of bounded queues to it. The task ends when the viewer is gone. A viewer
//! that closes its socket is asked to leave at once. When the socket breaks, the egress sees its signalling closed,
//! and ends unless its media connection still answers.

use std::future;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use moonlight_mux::{
    AddPeerError, LeaveReason, PeerConfig, PeerHandle, Signal, SignalError, SignalSink, SignalStream,
    Signalling, State, Streamer, WebRtc,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, MissedTickBehavior};

use crate::close_code;
use crate::instances::Seat;
use crate::keep_alive::{Action, KeepAlive};
use crate::peer_message::{ClientMessage, MAX_MESSAGE, ServerMessage};

/// The WebSocket subprotocol of [`peer_message`](crate::peer_message), in which the viewer makes the offer.
pub const SUBPROTOCOL: &str = "moonlight-mux.v1";

/// Whom the socket is to. The messages are the same, but that an existing page is told of its end in one too, since it shows
/// no close code, and not that it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Whoever named [`SUBPROTOCOL`], and makes the offer.
    Ours,
    /// A page that knows no subprotocol, and waits for the server's offer.
    ExistingPage,
}

/// Lets a viewer join `streamer` over `socket`, and returns when it is gone.
pub(crate) async fn serve(
    socket: WebSocket,
    dialect: Dialect,
    streamer: Streamer,
    rtc: WebRtc,
    config: PeerConfig,
    seat: Option<Seat>,
) {
    let (signalling, queues) = queues();
    let added = match dialect {
        Dialect::Ours => streamer.add_peer(rtc.peer(signalling), config),
        Dialect::ExistingPage => streamer.add_peer(rtc.offering_peer(signalling), config),
    };
    let peer = match added {
        Ok(peer) => peer,
        Err(error) => {
            let (code, reason) = close_code::of_add_peer_error(&error);
            let ended = matches!(error, AddPeerError::Ended);
            let why = if ended { LeaveReason::StreamEnded } else { LeaveReason::StreamerFull };
            let mut socket = socket;
            say_farewell(&mut socket, dialect, why).await;
            return close(socket, code, reason).await;
        }
    };
    let mut connection =
        Connection { socket, dialect, streamer: &streamer, peer: &peer, seat: seat.as_ref(), told: None };
    let end = connection.run(queues).await;
    let knows = matches!(connection.told, Some(State::Ended(_)));
    let mut socket = connection.socket;
    match end {
        End::Peer { reason, told } => {
            if !knows {
                say_farewell(&mut socket, dialect, reason).await;
            }
            say_goodbye(&mut socket, close_code::of_leave_reason(reason), reason.message()).await;
            drop(told);
            await_goodbye(socket).await;
        }
        End::MessageTooBig => {
            peer.leave(LeaveReason::BadSignalling);
            close(socket, close_code::MESSAGE_TOO_BIG, "messages may have 64 KiB at most").await;
        }
        End::Left => {
            peer.leave(LeaveReason::Left);
            await_goodbye(socket).await;
        }
        // The egress sees its signalling closed and decides whether the media go on.
        End::Lost => drop(socket),
    }
    tokio::select! {
        _ = peer.closed() => {}
        () = superseded(seat.as_ref()) => {
            peer.leave(LeaveReason::Superseded);
            peer.closed().await;
        }
    }
}

/// Ends `socket` with a code and a sentence.
pub(crate) async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    say_goodbye(&mut socket, code, reason).await;
    await_goodbye(socket).await;
}

/// Tells an existing page why it ends.
async fn say_farewell(socket: &mut WebSocket, dialect: Dialect, reason: LeaveReason) {
    let farewell = ServerMessage::of_leave_reason(reason).filter(|_| dialect == Dialect::ExistingPage);
    if let Some(farewell) = farewell {
        let _ = time::timeout(CLOSE_TIMEOUT, socket.send(Message::text(farewell.to_json()))).await;
    }
}

/// Whoever does not take it misses the code: the connection is cut either way.
async fn say_goodbye(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = time::timeout(CLOSE_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

/// Reads to the end: closing a TCP connection with unread bytes in it throws away what was sent last.
async fn await_goodbye(mut socket: WebSocket) {
    let _ = time::timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}

struct Connection<'p> {
    socket: WebSocket,
    dialect: Dialect,
    streamer: &'p Streamer,
    peer: &'p PeerHandle,
    seat: Option<&'p Seat>,
    /// The state that the viewer was told of last.
    told: Option<State>,
}

/// Why a [`Connection`] ended.
enum End {
    /// The viewer is gone, or its egress is about to let it go and waits until `told` is dropped.
    Peer { reason: LeaveReason, told: Option<oneshot::Sender<()>> },
    /// A message was too large.
    MessageTooBig,
    /// The viewer closed the socket: it wants to leave.
    Left,
    /// The socket broke.
    Lost,
}

impl Connection<'_> {
    async fn run(&mut self, mut queues: Queues) -> End {
        let mut alive = KeepAlive::default();
        let mut period = time::interval(KeepAlive::PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        period.tick().await;
        let mut state = self.streamer.watch_state();
        state.mark_changed();
        let mut waiting = time::interval(WAITING);
        waiting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        waiting.tick().await;
        // The first message is the ICE servers, unless they are long in coming.
        let mut greeted = false;
        loop {
            // In this order, so that what comes before the end is said before it.
            let outcome = tokio::select! {
                biased;
                () = superseded(self.seat) => {
                    self.peer.leave(LeaveReason::Superseded);
                    Ok(())
                }
                Ok(()) = state.changed(), if greeted => {
                    let now = state.borrow_and_update().clone();
                    self.tell_state(now).await
                }
                Some(outgoing) = queues.outgoing.recv() => match outgoing {
                    Outgoing::Signal(signal) => {
                        greeted |= matches!(signal, Signal::IceServers(_));
                        self.tell(ServerMessage::of_signal(signal)).await
                    }
                    Outgoing::Close { reason, told } => Err(End::Peer { reason, told: Some(told) }),
                },
                reason = self.peer.closed() => Err(End::Peer { reason, told: None }),
                _ = waiting.tick(), if !greeted && self.dialect == Dialect::Ours => {
                    let message = ServerMessage::of_wait(&self.streamer.state());
                    self.tell(message).await
                }
                _ = period.tick() => match alive.handle_period() {
                    Action::Ping => self.send(Message::Ping(Default::default())).await,
                    Action::GiveUp => Err(End::Lost),
                },
                (message, room) = receive(&mut self.socket, &queues.incoming) => {
                    alive.handle_message();
                    handle_message(message).map(|incoming| {
                        if let (Some(incoming), Some(room)) = (incoming, room) {
                            room.send(incoming);
                        }
                    })
                }
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Says what the stream's new state means for the viewer.
    async fn tell_state(&mut self, now: State) -> Result<(), End> {
        let (info, input) = (self.streamer.info(), self.streamer.input_features());
        let messages = ServerMessage::of_state_change(self.told.as_ref(), &now, info.as_deref(), input);
        self.told = Some(now);
        self.tell(messages).await
    }

    async fn tell(&mut self, messages: impl IntoIterator<Item = ServerMessage>) -> Result<(), End> {
        for message in messages {
            self.send(Message::text(message.to_json())).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Lost),
        }
    }
}

/// The next message, once there is room to hand it on: a viewer that talks faster than its egress listens is not
/// read from. No room is needed when the egress listens no more. Cancel safe.
async fn receive<'q>(
    socket: &mut WebSocket,
    incoming: &'q mpsc::Sender<Incoming>,
) -> (Option<Result<Message, axum::Error>>, Option<mpsc::Permit<'q, Incoming>>) {
    let room = incoming.reserve().await.ok();
    (socket.recv().await, room)
}

/// What a message from the viewer means for its egress, if anything.
fn handle_message(message: Option<Result<Message, axum::Error>>) -> Result<Option<Incoming>, End> {
    match message {
        Some(Ok(Message::Text(text))) if text.len() > MAX_MESSAGE => Err(End::MessageTooBig),
        Some(Ok(Message::Text(text))) => {
            Ok(ClientMessage::parse(&text).map(ClientMessage::into_signal).transpose())
        }
        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) => Err(End::Left),
        Some(Err(_)) | None => Err(End::Lost),
    }
}

async fn superseded(seat: Option<&Seat>) {
    match seat {
        Some(seat) => seat.superseded().await,
        None => future::pending().await,
    }
}

type Incoming = Result<Signal, SignalError>;

enum Outgoing {
    Signal(Signal),
    /// `told` is dropped when the viewer has been told.
    Close {
        reason: LeaveReason,
        told: oneshot::Sender<()>,
    },
}

/// The socket's ends of the queues between it and the egress.
struct Queues {
    incoming: mpsc::Sender<Incoming>,
    outgoing: mpsc::Receiver<Outgoing>,
}

/// The egress's ends.
struct QueuedSignalling {
    sink: QueueSink,
    stream: QueueStream,
}

struct QueueSink(mpsc::Sender<Outgoing>);

struct QueueStream(mpsc::Receiver<Incoming>);

fn queues() -> (QueuedSignalling, Queues) {
    let (incoming, stream) = mpsc::channel(INCOMING);
    let (sink, outgoing) = mpsc::channel(OUTGOING);
    let signalling = QueuedSignalling { sink: QueueSink(sink), stream: QueueStream(stream) };
    (signalling, Queues { incoming, outgoing })
}

impl Signalling for QueuedSignalling {
    type Sink = QueueSink;
    type Stream = QueueStream;

    fn split(self) -> (QueueSink, QueueStream) {
        (self.sink, self.stream)
    }
}

#[async_trait]
impl SignalSink for QueueSink {
    async fn send(&mut self, signal: Signal) -> Result<(), SignalError> {
        self.0.send(Outgoing::Signal(signal)).await.map_err(|_| SignalError::Closed)
    }

    /// Returns when the viewer has been told, so that a program that ends behind it does not cut the sentence off.
    async fn close(&mut self, reason: LeaveReason) {
        let (told, was_told) = oneshot::channel();
        let close = async {
            if self.0.send(Outgoing::Close { reason, told }).await.is_ok() {
                let _ = was_told.await;
            }
        };
        let _ = time::timeout(CLOSE_TIMEOUT, close).await;
    }
}

#[async_trait]
impl SignalStream for QueueStream {
    async fn recv(&mut self) -> Result<Signal, SignalError> {
        self.0.recv().await.unwrap_or(Err(SignalError::Closed))
    }
}

/// From viewer to egress: an offer and its candidates, about ten per network interface, which wait here until the
/// stream's format is known. Full: the socket is not read, so that the viewer waits.
const INCOMING: usize = 128;
/// From egress to viewer: ICE servers, an answer, a few candidates. Full: the egress waits.
const OUTGOING: usize = 16;
/// How often a page is told that it waits for whoever will serve it. Far less than it waits for a word (10 s).
const WAITING: Duration = Duration::from_secs(2);
/// How long the network may refuse a message: as long as a lost connection takes to come back, if it does.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each half of the goodbye may take. Egresses have 5 s to end in (`Egress::run`).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
