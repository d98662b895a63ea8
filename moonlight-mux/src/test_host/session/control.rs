//! The host's end of the control stream: ENet in memory, and the messages on it (protocol document, streams 1 and 2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusty_enet::{Event as EnetEvent, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, Socket};

use super::Manner;
use crate::gamestream::crypto::{ControlCipher, Side};
use crate::gamestream::wire::control::{ClientMessage, Frame, GENERIC_CHANNEL, HostMessage, Sealed, kind};

/// Listens for one client.
pub(super) struct ControlHost {
    enet: Host<Wire>,
    clock: Clock,
    cipher: ControlCipher,
    manner: Manner,
    /// What CONNECT must carry; `None`: anything.
    connect_data: Option<u32>,
    peer: Option<PeerID>,
    /// Of the next message.
    sequence: u32,
}

/// What a client did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    Connected,
    Message {
        channel: u8,
        message: ClientMessage,
    },
    /// It opens, but is no message that is known.
    Malformed,
    /// The key does not open it, or it is not even in an envelope.
    Forged,
    Disconnected,
    /// It acknowledges nothing any more.
    Lost,
}

impl ControlHost {
    pub(super) fn new(
        now: Instant,
        manner: Manner,
        cipher: ControlCipher,
        connect_data: Option<u32>,
        seed: u32,
    ) -> Self {
        let clock = Clock::new(now);
        let settings = HostSettings {
            peer_limit: MAX_PEERS,
            time: clock.reader(),
            seed: Some(seed),
            ..HostSettings::default()
        };
        let mut enet = Host::new(Wire::default(), settings).expect("the settings make sense");
        enet.set_mtu(MTU).expect("it is within ENet's bounds");
        enet.set_maximum_packet_size(MAX_PACKET).expect("it is not 0");
        enet.set_maximum_waiting_data(MAX_WAITING).expect("it is not 0");
        Self { enet, clock, cipher, manner, connect_data, peer: None, sequence: 0 }
    }

    /// Takes a datagram.
    pub(super) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Vec<Heard> {
        self.enet.socket_mut().incoming = Some((from, datagram.to_vec()));
        self.serve(now, true)
    }

    /// Does what is due: resends, pings. To be called every [`TICK`].
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Heard> {
        self.serve(now, false)
    }

    pub(super) fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.enet.socket_mut().outgoing.pop_front()
    }

    /// Sends a message; nothing where nobody is connected.
    pub(super) fn send(&mut self, now: Instant, message: &HostMessage) {
        let sealed = self.seal(message);
        self.send_all(now, [sealed]);
    }

    /// A termination, and in the same datagram a message of the same size that the session's key does not open: what
    /// Wolf does on `/cancel` (streams 2.6).
    pub(super) fn send_with_forged(&mut self, now: Instant, message: &HostMessage) {
        let sealed = self.seal(message);
        let mut forged = sealed.clone();
        if let Some(byte) = forged.last_mut() {
            *byte ^= 0x55;
        }
        self.send_all(now, [sealed, forged]);
    }

    /// Disconnects at once; the client is told, but not waited for.
    pub(super) fn disconnect(&mut self, now: Instant) {
        self.clock.set(now);
        if let Some(peer) = self.peer.take() {
            self.enet.peer_mut(peer).disconnect_now(0);
            self.enet.flush();
        }
    }

    fn serve(&mut self, now: Instant, by_datagram: bool) -> Vec<Heard> {
        self.clock.set(now);
        let mut heard = Vec::new();
        let mut strangers = Vec::new();
        while let Ok(Some(event)) = self.enet.service() {
            match event {
                EnetEvent::Connect { peer, data } => {
                    let welcome = self.connect_data.is_none_or(|expected| expected == data);
                    if welcome && self.peer.is_none() {
                        self.peer = Some(peer.id());
                        heard.push(Heard::Connected);
                    } else {
                        strangers.push(peer.id());
                    }
                }
                EnetEvent::Disconnect { peer, .. } if self.peer == Some(peer.id()) => {
                    self.peer = None;
                    heard.push(if by_datagram { Heard::Disconnected } else { Heard::Lost });
                }
                EnetEvent::Receive { peer, channel_id, packet } if self.peer == Some(peer.id()) => {
                    heard.push(open(&self.cipher, channel_id, packet.data()));
                }
                EnetEvent::Disconnect { .. } | EnetEvent::Receive { .. } => {}
            }
        }
        for stranger in strangers {
            self.enet.peer_mut(stranger).disconnect_now(0);
        }
        self.enet.flush();
        heard
    }

    fn send_all<const N: usize>(&mut self, now: Instant, messages: [Vec<u8>; N]) {
        self.clock.set(now);
        let Some(peer) = self.peer else { return };
        for message in messages {
            let sent = self.enet.peer_mut(peer).send(GENERIC_CHANNEL, &Packet::reliable(message));
            if let Err(error) = sent {
                tracing::debug!(%error, "a control message was not sent");
            }
        }
        self.enet.flush();
    }

    /// A message as it goes over the wire. Each takes a sequence number.
    pub(super) fn seal(&mut self, message: &HostMessage) -> Vec<u8> {
        let mut clear = Vec::new();
        message.emit(&mut clear);
        let mut sequence = 0;
        if self.manner == Manner::Wolf {
            // All have sequence number 0.
            clear = as_wolf(&clear).unwrap_or(clear);
        } else {
            sequence = self.sequence;
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.cipher.seal(Side::Host, sequence, clear)
    }
}

impl fmt::Debug for ControlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlHost").field("peer", &self.peer).field("sequence", &self.sequence).finish()
    }
}

fn open(cipher: &ControlCipher, channel: u8, bytes: &[u8]) -> Heard {
    let Some(clear) = Sealed::parse(bytes).ok().and_then(|it| cipher.open(Side::Client, &it).ok()) else {
        return Heard::Forged;
    };
    match Frame::parse(&clear).and_then(|frame| ClientMessage::parse(&frame)) {
        Ok(message) => Heard::Message { channel, message },
        Err(_) => Heard::Malformed,
    }
}

/// A message as Wolf's structures have it in memory, if it differs from Sunshine's: nothing where a rumble message means
/// nothing, and bytes that mean nothing behind some (streams 2.2 and 2.5).
fn as_wolf(clear: &[u8]) -> Option<Vec<u8>> {
    let Frame { kind, payload } = Frame::parse(clear).ok()?;
    let mut payload = payload.to_vec();
    match kind {
        kind::RUMBLE => {
            payload.get_mut(..4)?.fill(0);
            payload.extend([0; 2]);
        }
        kind::LED | kind::MOTION => payload.push(0),
        _ => return None,
    }
    let mut whole = Vec::new();
    Frame { kind, payload: &payload }.emit(&mut whole);
    Some(whole)
}

/// A socket's place: ENet reads and writes here.
#[derive(Default)]
struct Wire {
    incoming: Option<(SocketAddr, Vec<u8>)>,
    /// Bounded by what ENet lets a peer have in flight.
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Socket for Wire {
    type Address = SocketAddr;
    type Error = Infallible;

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<usize, Infallible> {
        self.outgoing.push_back((to, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> Result<Option<(SocketAddr, PacketReceived)>, Infallible> {
        let Some((from, datagram)) = self.incoming.take() else { return Ok(None) };
        let Some(place) = buffer.get_mut(..datagram.len()) else {
            return Ok(Some((from, PacketReceived::Partial)));
        };
        place.copy_from_slice(&datagram);
        Ok(Some((from, PacketReceived::Complete(datagram.len()))))
    }
}

/// ENet's clock, in milliseconds: what it was last told. ENet takes 0 for "never".
pub(crate) struct Clock {
    milliseconds: Arc<AtomicU64>,
    start: Instant,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { milliseconds: Arc::new(AtomicU64::new(1000)), start }
    }

    pub(crate) fn set(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_millis() as u64;
        self.milliseconds.store(1000 + passed, Ordering::Relaxed);
    }

    pub(crate) fn reader(&self) -> Box<dyn Fn() -> Duration> {
        let milliseconds = Arc::clone(&self.milliseconds);
        Box::new(move || Duration::from_millis(milliseconds.load(Ordering::Relaxed)))
    }
}

/// How often ENet is to look after its peer.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The client, and a few that are turned away.
const MAX_PEERS: usize = 4;

/// As recorded (streams 1.2).
const MTU: u16 = 900;

/// Of one message, and of all that wait for a missing one: clients keep theirs below 256 bytes.
const MAX_PACKET: usize = 4096;
const MAX_WAITING: usize = 1024 * 1024;
