//! The client's end of an ENet connection: pure, and only as much of ENet as hosts need.
//!
//! Hosts send all their messages reliably, on channel 0, and none longer than a datagram (streams 1.1). So of what they
//! could send otherwise, fragments are acknowledged and dropped, and unreliable packets are dropped.
//!
//! Why not rusty_enet: version 0.4.1 works without socket and clock of its own, but keeps stock ENet's timers. It looks
//! for lost packets only when the oldest one is due, whose timeout doubled with each of its losses, so a few losses of
//! one packet hold up all others: with 10 % loss at 30 ms for more than 10 s, which is when Sunshine ends a session that
//! it hears no ping of. Moonlight's fork differs from stock ENet in just this (streams 1.3). Here each packet has its own
//! timer, with a bound. The tests have rusty_enet as the host.
//!
//! Source: protocol document, streams 1.1 to 1.3.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::wire::control::Delivery;
use super::super::wire::enet::{
    Body, CONNECTION, Command, Datagram, Handshake, Header, MAX_COMMANDS, Throttle,
};

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connected,
    /// In order within its channel.
    Packet(Vec<u8>),
    /// By the host's DISCONNECT, or as an answer to ours.
    Disconnected,
    /// Something stayed unacknowledged for too long.
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
    state: State,
    handshake: Handshake,
    /// What the host calls us and this connection.
    header: Header,
    /// Of the connection's own commands.
    sequence: u16,
    group: u16,
    channels: Vec<Channel>,
    /// What is to be sent, in order, and what was sent and not acknowledged. Bounded by who sends: see [`InFlight`].
    sending: VecDeque<Sending>,
    /// At most those of one received datagram.
    acknowledgements: Vec<Acknowledgement>,
    /// Datagrams. At most [`MAX_OUTGOING`]; what comes when it is full is lost, as datagrams may be.
    outgoing: VecDeque<Vec<u8>>,
    round_trip: RoundTrip,
    clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    /// DISCONNECT follows when all else is acknowledged.
    Draining,
    Disconnecting,
    Ended,
}

/// One direction each; sequence numbers begin with 1 and wrap.
#[derive(Debug, Default)]
struct Channel {
    sent: u16,
    /// Counts from the last reliable packet.
    sent_unreliable: u16,
    received: u16,
    /// Received before one that is missing. Bounded by [`MAX_HELD`].
    held: BTreeMap<u16, Vec<u8>>,
}

/// A command that is not done yet.
#[derive(Debug)]
struct Sending {
    channel: u8,
    sequence: u16,
    content: Content,
    _in_flight: InFlight,
    /// How often it was sent.
    attempts: u32,
    first_sent: Instant,
    due: Instant,
}

#[derive(Debug)]
enum Content {
    Connect { data: u32 },
    Disconnect,
    Ping,
    Reliable(Vec<u8>),
    Unreliable { sequence: u16, data: Vec<u8> },
    Unsequenced { group: u16, data: Vec<u8> },
}

#[derive(Clone, Copy, Debug)]
struct Acknowledgement {
    channel: u8,
    sequence: u16,
    sent_time: u16,
}

impl Endpoint {
    /// Begins to connect. `seed` becomes the connection's id: random, and new for each connection.
    pub(super) fn connect(now: Instant, connect_data: u32, seed: u32) -> Self {
        let handshake = Handshake {
            peer: 0,
            incoming_session: 0xff,
            outgoing_session: 0xff,
            mtu: MTU,
            window: WINDOW,
            channels: CHANNELS,
            incoming_bandwidth: 0,
            outgoing_bandwidth: 0,
            throttle: Throttle { interval: 5000, acceleration: 2, deceleration: 2 },
            connect_id: seed.to_be_bytes(),
        };
        let mut endpoint = Self {
            state: State::Connecting,
            handshake,
            header: Header { peer: UNKNOWN_PEER, session: 0, sent_time: None },
            sequence: 0,
            group: 0,
            channels: Vec::new(),
            sending: VecDeque::new(),
            acknowledgements: Vec::new(),
            outgoing: VecDeque::new(),
            round_trip: RoundTrip::default(),
            clock: Clock { start: now },
        };
        endpoint.queue_own(now, Content::Connect { data: connect_data });
        endpoint.flush(now);
        endpoint
    }

    /// Takes a datagram of the host's. `None` when it is not one of this connection.
    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Option<Vec<Event>> {
        let datagram = Datagram::parse(bytes).ok()?;
        let Header { peer, session, sent_time } = datagram.header;
        // A host that uses a peer slot again answers with the new session's number already (streams 1.2).
        let ours = peer == self.handshake.peer
            && (self.state == State::Connecting || session == self.handshake.incoming_session & 3);
        if !ours {
            return None;
        }
        let mut events = Vec::new();
        for command in &datagram.commands {
            let taken = self.handle_command(now, command, &mut events);
            if let (true, true, Some(sent_time)) = (taken, command.wants_ack, sent_time) {
                let Command { channel, sequence, .. } = *command;
                self.acknowledgements.push(Acknowledgement { channel, sequence, sent_time });
            }
        }
        self.flush(now);
        Some(events)
    }

    /// `None` before anything was acknowledged.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.measured.then_some(self.round_trip.mean)
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sent = self.sending.iter().filter(|sending| sending.attempts > 0);
        sent.map(|sending| sending.due.min(sending.first_sent + PATIENCE)).min()
    }

    /// Sends again what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Event> {
        let dead = |sending: &Sending| sending.attempts > 0 && sending.first_sent + PATIENCE <= now;
        if self.sending.iter().any(dead) {
            self.end();
            return vec![Event::TimedOut];
        }
        self.flush(now);
        Vec::new()
    }

    /// The next datagram for the host.
    pub(super) fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Queues a packet, counted by `in_flight` until it is acknowledged, or sent if it is not reliable. A channel that
    /// the host does not have becomes channel 0. No packet may be longer than the MTU's least, 576 bytes, has room for.
    pub(super) fn send(
        &mut self,
        now: Instant,
        channel: u8,
        delivery: Delivery,
        data: Vec<u8>,
        in_flight: &InFlight,
    ) -> Result<(), NotConnected> {
        if self.state != State::Connected {
            return Err(NotConnected);
        }
        let number = if usize::from(channel) < self.channels.len() { channel } else { 0 };
        let channel = &mut self.channels[usize::from(number)];
        let (sequence, content) = match delivery {
            Delivery::Reliable => {
                channel.sent = channel.sent.wrapping_add(1);
                channel.sent_unreliable = 0;
                (channel.sent, Content::Reliable(data))
            }
            Delivery::Unreliable => {
                channel.sent_unreliable = channel.sent_unreliable.wrapping_add(1);
                (channel.sent, Content::Unreliable { sequence: channel.sent_unreliable, data })
            }
            Delivery::Unsequenced => {
                self.group = self.group.wrapping_add(1);
                (0, Content::Unsequenced { group: self.group, data })
            }
        };
        self.sending.push_back(Sending::new(now, number, sequence, content, in_flight));
        Ok(())
    }

    /// Turns what is queued or due into datagrams.
    pub(super) fn flush(&mut self, now: Instant) {
        if self.state == State::Draining && self.sending.is_empty() {
            self.state = State::Disconnecting;
            self.queue_own(now, Content::Disconnect);
        }
        let mut batch = Batch::new(self.header, self.clock.low_bits(now), self.handshake.mtu as usize);
        for Acknowledgement { channel, sequence, sent_time } in mem::take(&mut self.acknowledgements) {
            let body = Body::Acknowledge { sequence, sent_time };
            let acknowledgement = Command { wants_ack: false, unsequenced: false, channel, sequence, body };
            batch.push(&acknowledgement, &mut self.outgoing);
        }
        let in_transit =
            |sending: &Sending| if sending.attempts > 0 { sending.content.data().len() } else { 0 };
        let mut room =
            (self.handshake.window as usize).saturating_sub(self.sending.iter().map(in_transit).sum());
        for sending in &mut self.sending {
            if sending.due > now {
                continue;
            }
            if sending.attempts == 0 {
                // Those behind it wait too, so that none overtakes it.
                let Some(left) = room.checked_sub(sending.content.data().len()) else { break };
                room = left;
                sending.first_sent = now;
            }
            batch.push(&sending.command(&self.handshake), &mut self.outgoing);
            sending.due = now + self.round_trip.resend_after(sending.attempts);
            sending.attempts += 1;
        }
        batch.finish(&mut self.outgoing);
        self.sending.retain(|sending| sending.attempts == 0 || sending.content.wants_ack());
    }

    /// Disconnects once all that is queued is acknowledged, and waits for the host to acknowledge that too.
    pub(super) fn disconnect_later(&mut self, now: Instant) {
        if self.state == State::Connected {
            self.state = State::Draining;
            self.flush(now);
        }
    }

    /// Tells the host once, and is done.
    pub(super) fn disconnect_now(&mut self, now: Instant) {
        if matches!(self.state, State::Connected | State::Draining | State::Disconnecting) {
            let body = Body::Disconnect { data: 0 };
            let sequence = self.sequence.wrapping_add(1);
            let goodbye =
                Command { wants_ack: false, unsequenced: true, channel: CONNECTION, sequence, body };
            let mut batch = Batch::new(self.header, self.clock.low_bits(now), self.handshake.mtu as usize);
            batch.push(&goodbye, &mut self.outgoing);
            batch.finish(&mut self.outgoing);
        }
        self.end();
    }

    /// Whether the command is to be acknowledged if it wants to be.
    fn handle_command(&mut self, now: Instant, command: &Command<'_>, events: &mut Vec<Event>) -> bool {
        match command.body {
            Body::VerifyConnect(answer) => self.handle_verify(now, &answer, events),
            _ if self.state == State::Ended => return false,
            Body::Acknowledge { sequence, sent_time } => {
                self.handle_acknowledge(now, command.channel, sequence, sent_time, events);
            }
            Body::Disconnect { .. } => {
                self.end();
                events.push(Event::Disconnected);
            }
            Body::Reliable(data) => return self.handle_reliable(command, Some(data), events),
            Body::Fragment(_) => return self.handle_reliable(command, None, events),
            Body::Ping | Body::BandwidthLimit { .. } | Body::Throttle(_) => {}
            Body::Connect { .. }
            | Body::Unreliable { .. }
            | Body::Unsequenced { .. }
            | Body::UnreliableFragment(_) => return false,
        }
        self.state != State::Connecting
    }

    fn handle_verify(&mut self, now: Instant, answer: &Handshake, events: &mut Vec<Event>) {
        let asked = self.handshake;
        let valid = answer.connect_id == asked.connect_id
            && answer.throttle == asked.throttle
            && (1..=CHANNELS_LIMIT).contains(&answer.channels);
        // One that comes again is only acknowledged again.
        if self.state != State::Connecting || !valid {
            return;
        }
        self.state = State::Connected;
        self.header.peer = answer.peer;
        self.header.session = answer.outgoing_session & 3;
        self.handshake.incoming_session = answer.incoming_session;
        self.handshake.mtu = asked.mtu.min(answer.mtu).max(LEAST_MTU);
        self.handshake.window = asked.window.min(answer.window).max(LEAST_WINDOW);
        let channels = asked.channels.min(answer.channels);
        self.channels.resize_with(channels as usize, Channel::default);
        self.sending.clear();
        // As ENet does: it measures the round trip.
        self.queue_own(now, Content::Ping);
        events.push(Event::Connected);
    }

    fn handle_acknowledge(
        &mut self,
        now: Instant,
        channel: u8,
        sequence: u16,
        sent_time: u16,
        events: &mut Vec<Event>,
    ) {
        let acknowledged = |sending: &Sending| {
            sending.attempts > 0 && (sending.channel, sending.sequence) == (channel, sequence)
        };
        let Some(at) = self.sending.iter().position(acknowledged) else { return };
        if let Some(Content::Disconnect) = self.sending.remove(at).map(|sending| sending.content) {
            self.end();
            events.push(Event::Disconnected);
        }
        let passed = self.clock.low_bits(now).wrapping_sub(sent_time);
        self.round_trip.take(Duration::from_millis(passed.into()));
    }

    /// `None` is a packet that takes a number and is dropped.
    fn handle_reliable(
        &mut self,
        command: &Command<'_>,
        data: Option<&[u8]>,
        events: &mut Vec<Event>,
    ) -> bool {
        let Some(channel) = self.channels.get_mut(usize::from(command.channel)) else { return false };
        let data = data.unwrap_or_default().to_vec();
        match command.sequence.wrapping_sub(channel.received) {
            0 | 0x8000.. => return true,
            1 => channel.deliver(data, events),
            ahead if ahead > MAX_AHEAD || channel.held.len() >= MAX_HELD => return false,
            _ => {
                channel.held.insert(command.sequence, data);
            }
        }
        while let Some(data) = channel.held.remove(&channel.received.wrapping_add(1)) {
            channel.deliver(data, events);
        }
        true
    }

    fn queue_own(&mut self, now: Instant, content: Content) {
        self.sequence = self.sequence.wrapping_add(1);
        let sending = Sending::new(now, CONNECTION, self.sequence, content, &InFlight::default());
        self.sending.push_back(sending);
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.sending.clear();
    }
}

impl Channel {
    fn deliver(&mut self, data: Vec<u8>, events: &mut Vec<Event>) {
        self.received = self.received.wrapping_add(1);
        if !data.is_empty() {
            events.push(Event::Packet(data));
        }
    }
}

impl Sending {
    fn new(now: Instant, channel: u8, sequence: u16, content: Content, in_flight: &InFlight) -> Self {
        let _in_flight = in_flight.clone();
        Self { channel, sequence, content, _in_flight, attempts: 0, first_sent: now, due: now }
    }

    fn command(&self, handshake: &Handshake) -> Command<'_> {
        let Self { channel, sequence, .. } = *self;
        let body = match &self.content {
            Content::Connect { data } => Body::Connect { handshake: *handshake, data: *data },
            Content::Disconnect => Body::Disconnect { data: 0 },
            Content::Ping => Body::Ping,
            Content::Reliable(data) => Body::Reliable(data),
            Content::Unreliable { sequence, data } => Body::Unreliable { sequence: *sequence, data },
            Content::Unsequenced { group, data } => Body::Unsequenced { group: *group, data },
        };
        let unsequenced = matches!(body, Body::Unsequenced { .. });
        Command { wants_ack: self.content.wants_ack(), unsequenced, channel, sequence, body }
    }
}

impl Content {
    fn wants_ack(&self) -> bool {
        !matches!(self, Self::Unreliable { .. } | Self::Unsequenced { .. })
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Reliable(data) | Self::Unreliable { data, .. } | Self::Unsequenced { data, .. } => data,
            Self::Connect { .. } | Self::Disconnect | Self::Ping => &[],
        }
    }
}

/// Commands on their way into datagrams.
struct Batch {
    header: Header,
    sent_time: u16,
    mtu: usize,
    commands: usize,
    bytes: Vec<u8>,
}

impl Batch {
    fn new(header: Header, sent_time: u16, mtu: usize) -> Self {
        Self { header, sent_time, mtu, commands: 0, bytes: Vec::new() }
    }

    fn push(&mut self, command: &Command<'_>, outgoing: &mut VecDeque<Vec<u8>>) {
        let mut bytes = Vec::new();
        command.emit(&mut bytes);
        if self.commands == MAX_COMMANDS || HEADER_LEN + self.bytes.len() + bytes.len() > self.mtu {
            self.finish(outgoing);
        }
        if command.wants_ack {
            self.header.sent_time = Some(self.sent_time);
        }
        self.commands += 1;
        self.bytes.append(&mut bytes);
    }

    fn finish(&mut self, outgoing: &mut VecDeque<Vec<u8>>) {
        if self.commands > 0 && outgoing.len() < MAX_OUTGOING {
            let mut datagram = Vec::new();
            Datagram { header: self.header, commands: Vec::new() }.emit(&mut datagram);
            datagram.append(&mut self.bytes);
            outgoing.push_back(datagram);
        }
        *self = Self::new(Header { sent_time: None, ..self.header }, self.sent_time, self.mtu);
    }
}

/// How long an acknowledgement takes, smoothed as TCP does it (streams 1.2).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    measured: bool,
    mean: Duration,
    variance: Duration,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { measured: false, mean: Duration::from_millis(500), variance: Duration::ZERO }
    }
}

impl RoundTrip {
    /// The host sends back the time of the very datagram that it acknowledges, so that of a resent one counts too.
    fn take(&mut self, sample: Duration) {
        // The clock's bits wrap after 65 s; nothing waits that long.
        if sample > PATIENCE {
            return;
        }
        if !mem::replace(&mut self.measured, true) {
            (self.mean, self.variance) = (sample, sample / 2);
            return;
        }
        self.variance = (self.variance * 3 + self.mean.abs_diff(sample)) / 4;
        self.mean = (self.mean * 7 + sample) / 8;
    }

    /// How long to wait for an acknowledgement, after so many attempts in vain: doubled each time, up to a bound.
    fn resend_after(&self, attempts: u32) -> Duration {
        let first = (self.mean + 4 * self.variance).clamp(LEAST_RESEND, MOST_RESEND);
        (first * 2u32.pow(attempts.min(5))).min(RESEND_BOUND.max(first))
    }
}

/// ENet's times: milliseconds.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn low_bits(self, now: Instant) -> u16 {
        now.saturating_duration_since(self.start).as_millis() as u16
    }
}

/// How long something may stay unacknowledged (streams 1.1).
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Shorter, and ordinary jitter would make for resends.
const LEAST_RESEND: Duration = Duration::from_millis(20);
/// A fifth of the patience, as in Moonlight's fork (streams 1.3).
const MOST_RESEND: Duration = Duration::from_secs(2);
/// Doubling goes no further: a ping that is lost again and again still arrives long before the host ends the session.
const RESEND_BOUND: Duration = Duration::from_millis(500);

/// Streams 1.1.
const CHANNELS: u32 = 48;
const CHANNELS_LIMIT: u32 = 255;
/// Bytes; what Moonlight and the recorded hosts announce (streams 1.2).
const MTU: u32 = 900;
const LEAST_MTU: u32 = 576;
const WINDOW: u32 = 65_536;
const LEAST_WINDOW: u32 = 4096;
const UNKNOWN_PEER: u16 = 0xfff;
/// With a sent time.
const HEADER_LEN: usize = 4;

/// How far ahead of a missing packet one is taken. One beyond is not acknowledged, so it comes again.
const MAX_AHEAD: u16 = 4096;
/// Packets of a channel that wait for a missing one; the same for one too many.
const MAX_HELD: usize = 256;
/// Datagrams; far more than are made between two calls.
const MAX_OUTGOING: usize = 256;
