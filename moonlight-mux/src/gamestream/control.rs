//! The control stream: a connection to the host that stays up as long as the session, and the messages on it.
//!
//! It keeps the host assured with a ping every 100 ms, carries requests and input to it, and knows how a session ends.
//! Source: protocol document, streams 1.4, 2.7, 8.1 and 8.2.

mod endpoint;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use self::endpoint::{Endpoint, Event as EndpointEvent, InFlight, PATIENCE};
use super::crypto::{ControlCipher, ControlNonce, SessionKey, Side};
use super::input::Unacknowledged;
use super::wire::control::{
    ClientMessage, FecStatus, Frame, GENERIC_CHANNEL, HostMessage, Sealed, Termination,
};
use super::wire::input::Input;

/// What was agreed on before.
#[derive(Clone, Debug)]
pub(crate) struct ControlConfig {
    pub(crate) key: SessionKey,
    pub(crate) nonce: ControlNonce,
    /// What SETUP answered in `X-SS-Connect-Data`, else 0.
    pub(crate) connect_data: u32,
    /// Random, and new for each connection.
    pub(crate) seed: u32,
}

/// What the control stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The host takes messages from now on.
    Connected,
    /// In the order in which the host sent them. A termination comes as [`Event::Disconnected`].
    Message(HostMessage),
    /// The last event.
    Disconnected { reason: EndReason },
}

/// Why a control stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EndReason {
    /// The host did not take the connection within 10 s.
    #[error("the host does not answer")]
    Unreachable,
    /// The host turned the connection away: it knows of no session that belongs to it.
    #[error("the host refused the connection")]
    Refused,
    /// The host said that it ends the session.
    #[error("the host ended the session {0}")]
    Terminated(Termination),
    /// The host disconnected and did not say why.
    #[error("the host disconnected")]
    HostDisconnected,
    /// Nothing came from the host for 10 s, or it acknowledged nothing.
    #[error("the host fell silent")]
    HostSilent,
    /// By [`Control::close`].
    #[error("closed")]
    Closed,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SendError {
    /// There is no connection, or none any more.
    #[error("not connected")]
    NotConnected,
    /// The host acknowledges nothing, and too much waits already.
    #[error("too many messages wait for the host")]
    Full,
    /// The key has sealed all messages that it may. A new session has a new key.
    #[error("no sequence numbers are left")]
    Exhausted,
}

/// The control stream of one session.
///
/// After each call of any other method, empty [`Control::poll_datagram`] and [`Control::poll_event`], and call
/// [`Control::handle_timeout`] when [`Control::poll_timeout`] says. `now` never goes back.
pub(crate) struct Control {
    endpoint: Endpoint,
    cipher: ControlCipher,
    state: State,
    /// Of the next message; all channels share it.
    sequence: u32,
    /// All messages but requests for an IDR frame, and those that are in `ordered_in_flight`.
    in_flight: InFlight,
    /// Inputs whose acknowledgement others may have to wait for.
    ordered_in_flight: InFlight,
    idr_in_flight: InFlight,
    idr_wanted: bool,
    idr_requests: u64,
    /// At most [`MAX_FEC_STATUSES`]; a new one pushes the oldest out.
    fec_statuses: VecDeque<FecStatus>,
    /// At most [`MAX_EVENTS`] messages; one that comes when it is full is dropped. Who empties it after each call has it
    /// full with no real host: that sends on one channel, of which fewer wait for a missing one.
    events: VecDeque<Event>,
    last_heard: Instant,
    ignored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting { deadline: Instant },
    Connected { next_ping: Instant },
    Closing { deadline: Instant },
    Ended,
}

impl Control {
    /// Begins to connect.
    pub(crate) fn new(now: Instant, config: &ControlConfig) -> Self {
        Self {
            endpoint: Endpoint::connect(now, config.connect_data, config.seed),
            cipher: ControlCipher::new(&config.key, config.nonce),
            state: State::Connecting { deadline: now + PATIENCE },
            sequence: 0,
            in_flight: InFlight::default(),
            ordered_in_flight: InFlight::default(),
            idr_in_flight: InFlight::default(),
            idr_wanted: false,
            idr_requests: 0,
            fec_statuses: VecDeque::new(),
            events: VecDeque::new(),
            last_heard: now,
            ignored: 0,
        }
    }

    /// Takes what came from the host's control port.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.state == State::Ended {
            return;
        }
        match self.endpoint.handle_datagram(now, datagram) {
            Some(events) => {
                self.last_heard = now;
                self.handle_events(now, events);
            }
            None => self.ignored += 1,
        }
        self.send_wanted_idr(now);
    }

    /// The next datagram for the host's control port.
    pub(crate) fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.endpoint.poll_datagram()
    }

    /// When [`Control::handle_timeout`] is due: always later than its last call. `None` once all is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.state {
            State::Connecting { deadline } | State::Closing { deadline } => deadline,
            State::Connected { next_ping } => next_ping.min(self.last_heard + PATIENCE),
            State::Ended => return None,
        };
        Some(self.endpoint.poll_timeout().map_or(due, |resend| resend.min(due)))
    }

    /// Does what is due; nothing when called early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Connecting { deadline } if deadline <= now => {
                return self.end(now, EndReason::Unreachable);
            }
            State::Closing { deadline } if deadline <= now => return self.end(now, EndReason::Closed),
            State::Connected { .. } if self.last_heard + PATIENCE <= now => {
                return self.end(now, EndReason::HostSilent);
            }
            State::Connected { next_ping } if next_ping <= now => self.ping(now, next_ping),
            State::Ended => return,
            _ => {}
        }
        let events = self.endpoint.handle_timeout(now);
        self.handle_events(now, events);
        self.send_wanted_idr(now);
    }

    /// What happened next.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a message on its channel.
    ///
    /// # Errors
    /// When it is not taken; then nothing of it is sent, ever.
    pub(crate) fn send(&mut self, now: Instant, message: &ClientMessage) -> Result<(), SendError> {
        if !self.has_room() {
            return Err(SendError::Full);
        }
        let in_flight = self.in_flight.clone();
        self.queue(now, message.channel(), message, &in_flight)?;
        self.endpoint.flush(now);
        Ok(())
    }

    /// Sends an input event.
    ///
    /// # Errors
    /// As [`Control::send`].
    pub(crate) fn send_input(&mut self, now: Instant, input: Input) -> Result<(), SendError> {
        self.send(now, &ClientMessage::Input(input))
    }

    /// Queues an input event behind all others: it goes with the next [`flush`](Self::flush), whether there is
    /// [room](Self::has_room) or not. `ordered` ones are counted apart until the host acknowledged them.
    ///
    /// # Errors
    /// When there is no connection, or no number left.
    pub(crate) fn queue_input(&mut self, now: Instant, input: Input, ordered: bool) -> Result<(), SendError> {
        let message = ClientMessage::Input(input);
        let in_flight = if ordered { self.ordered_in_flight.clone() } else { self.in_flight.clone() };
        self.queue(now, message.channel(), &message, &in_flight)
    }

    /// Sends what is queued, as much of it in a datagram as fits.
    pub(crate) fn flush(&mut self, now: Instant) {
        self.endpoint.flush(now);
    }

    /// Whether the host acknowledges what it is sent, and so may be sent more.
    pub(crate) fn has_room(&self) -> bool {
        self.unacknowledged().all < MAX_IN_FLIGHT
    }

    /// What the host has not acknowledged yet, but for requests for an IDR frame.
    pub(crate) fn unacknowledged(&self) -> Unacknowledged {
        let ordered = self.ordered_in_flight.count();
        Unacknowledged { ordered, all: ordered + self.in_flight.count() }
    }

    /// Asks for an IDR frame. Requests that come before the host acknowledged the last one become one more. Before the
    /// connection stands nothing needs to be asked: START A asks for one.
    pub(crate) fn request_idr(&mut self, now: Instant) {
        self.idr_wanted |= matches!(self.state, State::Connected { .. });
        self.send_wanted_idr(now);
    }

    /// Reports on a FEC block, with the next ping.
    pub(crate) fn report_fec(&mut self, status: FecStatus) {
        if self.fec_statuses.len() == MAX_FEC_STATUSES {
            self.fec_statuses.pop_front();
        }
        self.fec_statuses.push_back(status);
    }

    /// Disconnects: what is queued is sent first. [`Event::Disconnected`] comes when the host acknowledged it, after
    /// 1.5 s at the latest.
    pub(crate) fn close(&mut self, now: Instant) {
        match self.state {
            State::Connected { .. } => {
                self.endpoint.disconnect_later(now);
                self.state = State::Closing { deadline: now + CLOSING };
            }
            State::Connecting { .. } => self.end(now, EndReason::Closed),
            State::Closing { .. } | State::Ended => {}
        }
    }

    /// How many datagrams and messages were ignored since they are not ENet's, do not open, or are malformed.
    #[cfg(test)]
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// How often the host was asked for an IDR frame, but for the first time, by START A.
    pub(crate) fn idr_requests(&self) -> u64 {
        self.idr_requests
    }

    /// To the host and back, smoothed; `None` before it acknowledged anything.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.endpoint.round_trip()
    }

    fn handle_events(&mut self, now: Instant, events: Vec<EndpointEvent>) {
        for event in events {
            if self.state == State::Ended {
                return;
            }
            let reason = match event {
                EndpointEvent::Connected => {
                    self.start(now);
                    continue;
                }
                EndpointEvent::Packet(bytes) => {
                    match self.open(&bytes) {
                        Some(HostMessage::Termination(code)) => self.end(now, EndReason::Terminated(code)),
                        Some(message) if self.events.len() < MAX_EVENTS => {
                            self.events.push_back(Event::Message(message));
                        }
                        Some(_) | None => self.ignored += 1,
                    }
                    continue;
                }
                _ if matches!(self.state, State::Closing { .. }) => EndReason::Closed,
                EndpointEvent::Disconnected if matches!(self.state, State::Connecting { .. }) => {
                    EndReason::Refused
                }
                EndpointEvent::Disconnected => EndReason::HostDisconnected,
                EndpointEvent::TimedOut if matches!(self.state, State::Connecting { .. }) => {
                    EndReason::Unreachable
                }
                EndpointEvent::TimedOut => EndReason::HostSilent,
            };
            self.end(now, reason);
        }
    }

    /// Two messages, in datagrams of their own, and the first ping (streams 1.4).
    fn start(&mut self, now: Instant) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        self.state = State::Connected { next_ping: now };
        self.events.push_back(Event::Connected);
        let in_flight = self.in_flight.clone();
        for message in [ClientMessage::RequestIdr, ClientMessage::StartB] {
            self.queue_own(now, GENERIC_CHANNEL, &message, &in_flight);
            self.endpoint.flush(now);
        }
        self.ping(now, now);
    }

    fn ping(&mut self, now: Instant, due: Instant) {
        let in_flight = self.in_flight.clone();
        while let Some(status) = self.fec_statuses.pop_front() {
            let message = ClientMessage::FecStatus(status);
            self.queue_own(now, message.channel(), &message, &in_flight);
        }
        self.queue_own(now, GENERIC_CHANNEL, &ClientMessage::Ping, &in_flight);
        self.endpoint.flush(now);
        // In step, but not to make up for what was missed.
        let next_ping = if now < due + PING { due + PING } else { now + PING };
        self.state = State::Connected { next_ping };
    }

    fn send_wanted_idr(&mut self, now: Instant) {
        if self.idr_wanted && self.idr_in_flight.count() == 0 {
            self.idr_wanted = false;
            self.idr_requests += 1;
            let message = ClientMessage::RequestIdr;
            let in_flight = self.idr_in_flight.clone();
            self.queue_own(now, message.channel(), &message, &in_flight);
            self.endpoint.flush(now);
        }
    }

    /// Queues a message of the stream itself: there are few of them, so they need no bound. When one is not taken the
    /// host hears nothing more, and its silence ends the stream.
    fn queue_own(&mut self, now: Instant, channel: u8, message: &ClientMessage, in_flight: &InFlight) {
        if let Err(error) = self.queue(now, channel, message, in_flight) {
            tracing::debug!(%error, "a control message was not sent");
        }
    }

    /// Seals a message and queues it. Only one that was queued takes a sequence number.
    fn queue(
        &mut self,
        now: Instant,
        channel: u8,
        message: &ClientMessage,
        in_flight: &InFlight,
    ) -> Result<(), SendError> {
        if !matches!(self.state, State::Connected { .. }) {
            return Err(SendError::NotConnected);
        }
        let next = self.sequence.checked_add(1).ok_or(SendError::Exhausted)?;
        let mut clear = Vec::new();
        message.emit(&mut clear);
        let sealed = self.cipher.seal(Side::Client, self.sequence, clear);
        let sent = self.endpoint.send(now, channel, message.delivery(), sealed, in_flight);
        sent.map_err(|_| SendError::NotConnected)?;
        self.sequence = next;
        Ok(())
    }

    /// The message in an envelope, if the session's key opens it and it is one.
    fn open(&self, bytes: &[u8]) -> Option<HostMessage> {
        let sealed = Sealed::parse(bytes).ok()?;
        let clear = self.cipher.open(Side::Host, &sealed).ok()?;
        HostMessage::parse(&Frame::parse(&clear).ok()?).ok()
    }

    /// Ends at once, for the first reason that there is. The host is told, but not waited for.
    fn end(&mut self, now: Instant, reason: EndReason) {
        if self.state == State::Ended {
            return;
        }
        self.endpoint.disconnect_now(now);
        self.state = State::Ended;
        self.idr_wanted = false;
        self.events.push_back(Event::Disconnected { reason });
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("state", &self.state).field("sequence", &self.sequence).finish()
    }
}

/// Streams 2.7.
const PING: Duration = Duration::from_millis(100);
/// How long the host may take to acknowledge that we disconnect. The reference client waits 2 s (streams 1.4), but that is
/// all that a source has to end (contract of `VideoSource`): it would be dropped before the last word.
const CLOSING: Duration = Duration::from_millis(1500);
/// Messages that wait for the host's acknowledgement: 34,000 a second on a path of 30 ms, and no more than ENet's window of
/// 64 KiB has room for. A host that does not acknowledge them gets no more, and what waits meanwhile is the caller's.
const MAX_IN_FLIGHT: usize = 1024;
/// As many as the reference client queues (streams 2.7).
pub(super) const MAX_FEC_STATUSES: usize = 8;
const MAX_EVENTS: usize = 512;
