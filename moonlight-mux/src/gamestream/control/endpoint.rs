//! The client's end of an ENet connection, without socket or clock. Nothing else here names rusty_enet.
//!
//! What was checked of rusty_enet 0.4.1 (its source read, and tried by the tests beside this):
//!
//! - With [`HostSettings::time`] and [`HostSettings::seed`] given it reads no clock and no randomness of its own, and
//!   with a [`Socket`] of one's own it does no I/O: it works as a pure state machine. It compares times modulo 2³² ms
//!   and wants a clock that never goes back.
//! - Its `Host` says to be `Send` whatever its closures hold. Ours hold an `Arc` of an atomic, and packets hold an
//!   `Arc`: all `Send` indeed.
//! - Connect data, 48 channels, MTU 900, timeouts of 10 s, and all deliveries work; their bytes parse as ours
//!   ([`enet`](super::super::wire::enet)).
//! - It does not tell when it wants to be called next. [`TICK`] stands for that.
//! - A DISCONNECT throws away what arrived in front of it in the same datagram. Such a datagram is given to it in two
//!   parts (streams 1.3).
//! - It is C turned into unsafe Rust. So it sees only datagrams that our own parser took, no CONNECT, and packets that
//!   are not larger than a control message can be.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusty_enet::{Event as EnetEvent, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, Socket};

use super::super::wire::control::{Delivery, MAX_ENVELOPE};
use super::super::wire::enet::{Body, Datagram};

/// How often ENet looks whether something is to be resent. Resending later than this after it was due costs a
/// message that much more delay; twice the rate would wake each session 100 times a second.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connected,
    /// In order within its channel.
    Packet(Vec<u8>),
    /// By the host's DISCONNECT, or as an answer to ours.
    Disconnected,
    /// Too much stayed unacknowledged for too long.
    TimedOut,
}

/// There is no connection to send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotConnected;

/// Counts packets that wait to be sent or acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<()>);

impl InFlight {
    pub(super) fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

pub(super) struct Endpoint {
    host: Host<Wire>,
    clock: Clock,
}

impl Endpoint {
    /// Begins to connect. `seed` is what the connection's id comes from: random, and new for each connection.
    pub(super) fn connect(now: Instant, connect_data: u32, seed: u32) -> Self {
        let clock = Clock::new(now);
        let settings =
            HostSettings { peer_limit: 1, time: clock.reader(), seed: Some(seed), ..HostSettings::default() };
        let mut host = Host::new(Wire::default(), settings).expect("the settings are within ENet's bounds");
        host.set_mtu(MTU).expect("the MTU is within ENet's bounds");
        host.set_maximum_packet_size(MAX_ENVELOPE).expect("it is not 0");
        host.set_maximum_waiting_data(MAX_WAITING).expect("it is not 0");
        let peer = host.connect((), CHANNELS, connect_data).expect("a new host has its one peer to give");
        let patience = PATIENCE.as_millis() as u32;
        peer.set_timeout(2, patience, patience);
        host.flush();
        Self { host, clock }
    }

    /// Takes a datagram of the host's. `None` when it is not one.
    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Option<Vec<Event>> {
        let datagram = Datagram::parse(bytes).ok()?;
        if datagram.commands.iter().any(|command| matches!(command.body, Body::Connect { .. })) {
            return None;
        }
        self.clock.set(now);
        let end = datagram.commands.iter().position(|c| matches!(c.body, Body::Disconnect { .. }));
        let Some(end) = end else {
            return Some(self.receive(bytes.to_vec(), Event::TimedOut));
        };
        let (before, rest) = datagram.commands.split_at(end);
        let mut events = Vec::new();
        for (commands, meaning) in [(before, Event::TimedOut), (rest, Event::Disconnected)] {
            if !commands.is_empty() {
                let mut part = Vec::new();
                Datagram { header: datagram.header, commands: commands.to_vec() }.emit(&mut part);
                events.extend(self.receive(part, meaning));
            }
        }
        Some(events)
    }

    /// Resends what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        self.clock.set(now);
        self.service(&Event::TimedOut)
    }

    /// The next datagram for the host.
    pub(super) fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.host.socket_mut().outgoing.pop_front()
    }

    /// Queues a packet, counted by `in_flight` until it is acknowledged, or sent if it is not reliable. A channel that
    /// the host does not have becomes channel 0.
    pub(super) fn send(
        &mut self,
        channel: u8,
        delivery: Delivery,
        bytes: Vec<u8>,
        in_flight: &InFlight,
    ) -> Result<(), NotConnected> {
        let packet = Box::new(Counted { bytes, _in_flight: in_flight.clone() });
        let packet = match delivery {
            Delivery::Reliable => Packet::reliable(packet),
            Delivery::Unreliable => Packet::unreliable(packet),
            Delivery::Unsequenced => Packet::unreliable_unsequenced(packet),
        };
        let peer = self.host.peer_mut(PEER);
        let channel = if usize::from(channel) < peer.channel_count() { channel } else { 0 };
        peer.send(channel, &packet).map_err(|_| NotConnected)
    }

    /// Turns what is queued into datagrams.
    pub(super) fn flush(&mut self, now: Instant) {
        self.clock.set(now);
        self.host.flush();
    }

    /// Disconnects once all that is queued is acknowledged, and waits for the host to acknowledge that too.
    pub(super) fn disconnect_later(&mut self, now: Instant) {
        self.host.peer_mut(PEER).disconnect_later(0);
        self.flush(now);
    }

    /// Tells the host once, and is done.
    pub(super) fn disconnect_now(&mut self, now: Instant) {
        self.flush(now);
        self.host.peer_mut(PEER).disconnect_now(0);
    }

    fn receive(&mut self, datagram: Vec<u8>, meaning: Event) -> Vec<Event> {
        self.host.socket_mut().incoming = Some(datagram);
        self.service(&meaning)
    }

    /// Lets ENet work until it has nothing more to say; `end` is what it means when it says that the connection is gone.
    fn service(&mut self, end: &Event) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = match self.host.service() {
                Ok(Some(event)) => event,
                Ok(None) => return events,
                Err(never) => match never {},
            };
            events.push(match event {
                EnetEvent::Connect { .. } => Event::Connected,
                EnetEvent::Receive { packet, .. } => Event::Packet(packet.data().to_vec()),
                EnetEvent::Disconnect { .. } => end.clone(),
            });
        }
    }
}

/// A socket's place: ENet reads and writes here.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) incoming: Option<Vec<u8>>,
    /// At most [`MAX_OUTGOING`]; what comes when it is full is lost, as datagrams may be.
    pub(super) outgoing: VecDeque<Vec<u8>>,
}

impl Socket for Wire {
    type Address = ();
    type Error = Infallible;

    fn send(&mut self, (): (), bytes: &[u8]) -> Result<usize, Infallible> {
        if self.outgoing.len() < MAX_OUTGOING {
            self.outgoing.push_back(bytes.to_vec());
        }
        Ok(bytes.len())
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> Result<Option<((), PacketReceived)>, Infallible> {
        let Some(datagram) = self.incoming.take() else { return Ok(None) };
        Ok(match buffer.get_mut(..datagram.len()) {
            Some(place) => {
                place.copy_from_slice(&datagram);
                Some(((), PacketReceived::Complete(datagram.len())))
            }
            None => None,
        })
    }
}

/// ENet's clock: what it was last told. Never goes back.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// ENet takes 0 for "never".
    milliseconds: Arc<AtomicU64>,
    start: Instant,
}

impl Clock {
    pub(super) fn new(start: Instant) -> Self {
        Self { milliseconds: Arc::new(AtomicU64::new(CLOCK_START)), start }
    }

    pub(super) fn set(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_millis() as u64;
        self.milliseconds.fetch_max(CLOCK_START + passed, Ordering::Relaxed);
    }

    pub(super) fn reader(&self) -> Box<dyn Fn() -> Duration> {
        let milliseconds = Arc::clone(&self.milliseconds);
        Box::new(move || Duration::from_millis(milliseconds.load(Ordering::Relaxed)))
    }
}

/// A packet's bytes, which ENet drops when it needs them no more.
struct Counted {
    bytes: Vec<u8>,
    _in_flight: InFlight,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Streams 1.1.
const CHANNELS: usize = 48;
/// Bytes; what Moonlight and the recorded hosts announce (streams 1.2).
const MTU: u16 = 900;
/// How long something may stay unacknowledged (streams 1.1).
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The only one of a client.
const PEER: PeerID = PeerID(0);
/// Bytes of messages that wait for an earlier one of their channel: a thousand. ENet acknowledges none beyond it.
const MAX_WAITING: usize = 64 << 10;
/// Datagrams; far more than ENet makes between two calls.
const MAX_OUTGOING: usize = 256;
const CLOCK_START: u64 = 1000;
