//! A connection to a host, from the first RTSP request to the end of the session.
//!
//! It owns dialogue, control stream, input's outlet, media session and pings, and routes between them; what is decided here is only
//! what concerns several of them: the stages, the order of events, and why it ended.
//! Source: protocol document, streams 1.4 and 8; session 18 to 21.

mod event;
#[cfg(test)]
#[cfg(feature = "test-host")]
mod recorded;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

pub(crate) use self::event::{EndReason, Event, Stream, Transmit};
use self::state::State;
use super::control::{self, Control, ControlConfig};
use super::crypto::{ControlNonce, SessionKey};
use super::input::Outlet;
use super::negotiation::{Agreement, Wishes};
use super::ping::Pinger;
use super::rtsp::{self, ControlPort, Dialogue};
use super::session::{self, Session};
use super::wire::input::Input;
use super::wire::rtsp::SessionUrl;
use crate::input::{HostInput, InputFeatures, TextChange};
use crate::source::{SourceStats, Stage};

/// What `/launch` or `/resume` was asked and answered.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    /// `sessionUrl0`.
    pub(crate) url: SessionUrl,
    /// The address that answered, never the one in the URL.
    pub(crate) host: IpAddr,
    /// `rikey`.
    pub(crate) key: SessionKey,
    /// `rikeyid`, taken as unsigned.
    pub(crate) rikeyid: u32,
    pub(crate) wishes: Wishes,
    /// Random, and new for each connection.
    pub(crate) seed: u32,
}

/// Pure: bytes and time in, bytes and events out.
///
/// RTSP goes as [`Dialogue`] says. After each call of any other method empty [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), look for a request, and call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says. Each stream has a UDP socket of its own; errors of sending are to be
/// ignored, and datagrams from any port of the host to be taken. `now` never goes back.
#[derive(Debug)]
pub(crate) struct Connection {
    key: SessionKey,
    rikeyid: u32,
    seed: u32,
    began: Instant,
    dialogue: Dialogue,
    /// From SETUP to the end.
    audio: Option<Pinger>,
    video: Option<Pinger>,
    control_port: Option<ControlPort>,
    agreement: Option<Box<Agreement>>,
    /// From ANNOUNCE to the end. Media that comes before the control stream stands waits in its queues.
    session: Option<Session>,
    /// From PLAY on.
    control: Option<Control>,
    /// From when the control stream stands to the end.
    outlet: Option<Outlet>,
    state: State,
    repaired: u64,
    held_back: u64,
    /// Full at [`MAX_EVENTS`], more than one call gives: what follows waits in the queues that it comes from.
    events: VecDeque<Event>,
}

impl Connection {
    /// Begins with RTSP.
    pub(crate) fn new(now: Instant, config: ConnectionConfig) -> Self {
        let ConnectionConfig { url, host, key, rikeyid, wishes, seed } = config;
        let mut connection = Self {
            dialogue: Dialogue::new(now, url, host, &key, wishes),
            key,
            rikeyid,
            seed,
            began: now,
            audio: None,
            video: None,
            control_port: None,
            agreement: None,
            session: None,
            control: None,
            outlet: None,
            state: State::Connecting,
            repaired: 0,
            held_back: 0,
            events: VecDeque::new(),
        };
        connection.pass(Stage::PlatformInitialization);
        connection.pass(Stage::NameResolution);
        connection.pass(Stage::AudioStreamInitialization);
        connection.events.push_back(Event::StageStarting(Stage::RtspHandshake));
        connection
    }

    /// The TCP port of every RTSP connection.
    pub(crate) fn rtsp_port(&self) -> u16 {
        self.dialogue.port()
    }

    /// As [`Dialogue::poll_request`].
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.state == State::Ended {
            return None;
        }
        let request = self.dialogue.poll_request(now);
        self.settle(now, request).flatten()
    }

    /// As [`Dialogue::handle_connected`].
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        self.dialogue.handle_connected(now);
    }

    /// As [`Dialogue::handle_refused`].
    pub(crate) fn handle_refused(&mut self, now: Instant) {
        let handled = self.dialogue.handle_refused(now);
        self.settle(now, handled);
    }

    /// As [`Dialogue::handle_broken`].
    pub(crate) fn handle_broken(&mut self, now: Instant) {
        let handled = self.dialogue.handle_broken();
        self.settle(now, handled);
    }

    /// As [`Dialogue::handle_bytes`].
    pub(crate) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let handled = self.dialogue.handle_bytes(now, bytes);
        self.settle(now, handled);
    }

    /// As [`Dialogue::handle_end`].
    pub(crate) fn handle_end(&mut self, now: Instant) {
        let handled = self.dialogue.handle_end(now);
        self.settle(now, handled);
    }

    /// Takes what came to a stream's socket. What is malformed or forged, or comes when it is of no use, is dropped.
    pub(crate) fn handle_datagram(&mut self, now: Instant, stream: Stream, datagram: &[u8]) {
        match (stream, &mut self.control, &mut self.session) {
            (Stream::Control, Some(control), _) => {
                control.handle_datagram(now, datagram);
                if let Some(outlet) = &mut self.outlet {
                    outlet.handle_acknowledged(now, control.unacknowledged());
                }
            }
            (Stream::Video, _, Some(session)) => {
                session.handle_video(now, datagram);
                if let State::AwaitingVideo = self.state {
                    self.state = State::awaiting_picture(now);
                }
            }
            (Stream::Audio, _, Some(session)) => session.handle_audio(now, datagram),
            _ => {}
        }
        self.drain(now);
    }

    /// The next datagram for the host.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        if let (Some(control), Some(ControlPort { port, .. })) = (&mut self.control, self.control_port)
            && let Some(bytes) = control.poll_datagram()
        {
            return Some(Transmit { stream: Stream::Control, port, bytes });
        }
        let mut pingers = [(Stream::Audio, &mut self.audio), (Stream::Video, &mut self.video)];
        pingers.iter_mut().find_map(|(stream, pinger)| {
            let pinger = pinger.as_mut()?;
            let bytes = pinger.poll_datagram()?;
            Some(Transmit { stream: *stream, port: pinger.port(), bytes })
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. `None` once all is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Ended {
            return None;
        }
        let due = [
            self.dialogue.poll_timeout(),
            self.control.as_ref().and_then(Control::poll_timeout),
            self.session.as_ref().and_then(Session::poll_timeout),
            self.audio.as_ref().map(Pinger::poll_timeout),
            self.video.as_ref().map(Pinger::poll_timeout),
            self.outlet.as_ref().and_then(Outlet::poll_timeout),
            self.state.deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Time has passed. Call it when due; earlier does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for pinger in [&mut self.audio, &mut self.video].into_iter().flatten() {
            pinger.handle_timeout(now);
        }
        if let Some(session) = &mut self.session {
            session.handle_timeout(now);
        }
        if let Some(control) = &mut self.control {
            control.handle_timeout(now);
        }
        if let Some(outlet) = &mut self.outlet {
            outlet.handle_timeout(now);
        }
        let handled = self.dialogue.handle_timeout(now);
        // A control stream that ended just now is a better reason than a picture that never came.
        self.settle(now, handled);
        if self.state.deadline().is_some_and(|deadline| deadline <= now) {
            self.end(now, EndReason::NoPicture);
        }
    }

    /// Asks for a key frame, as [`Control::request_idr`].
    pub(crate) fn request_idr(&mut self, now: Instant) {
        if let Some(control) = &mut self.control {
            control.request_idr(now);
        }
    }

    /// What the host can do with input, from [`Event::Connected`] on.
    pub(crate) fn input_features(&self) -> InputFeatures {
        self.agreement.as_ref().map_or(InputFeatures::default(), |agreement| agreement.features)
    }

    /// Whether [`Self::handle_inputs`] takes any now.
    pub(crate) fn wants_input(&self) -> bool {
        let room = self.control.as_ref().is_some_and(Control::has_room);
        room && self.outlet.as_ref().is_some_and(Outlet::has_room)
    }

    /// Whether what [`Self::handle_inputs`] takes next may be a change between text and what is ordered against it.
    pub(crate) fn text_change(&self) -> TextChange {
        self.outlet.as_ref().map_or(TextChange::NotYet, Outlet::change)
    }

    /// Takes from `next` what is to be done, as long as there is any and it [wants](Self::wants_input) it, and sends it together.
    /// `next` gives no change between text and what is ordered against it while it is told that there may not be one: see
    /// [`Self::text_change`].
    pub(crate) fn handle_inputs(
        &mut self,
        now: Instant,
        mut next: impl FnMut(TextChange) -> Option<HostInput>,
    ) {
        while self.wants_input()
            && let Some(input) = next(self.text_change())
            && let (Some(outlet), Some(control)) = (&mut self.outlet, &mut self.control)
        {
            let (input, ordered) = outlet.handle_input(input);
            if let Err(error) = control.queue_input(now, input, ordered) {
                tracing::debug!(%error, "input was not sent");
            }
        }
        if let (Some(outlet), Some(control)) = (&mut self.outlet, &mut self.control) {
            outlet.handle_taken(now, control.unacknowledged());
            control.flush(now);
        }
    }

    /// What the control stream says of it.
    #[cfg(test)]
    pub(crate) fn unacknowledged(&self) -> usize {
        self.control.as_ref().map_or(0, |control| control.unacknowledged().all)
    }

    /// Ends the session, as far as this client is concerned: the host keeps its app running. [`Event::Ended`] comes when
    /// the host acknowledged it, after 1.5 s at the latest; before there is a control stream at once.
    pub(crate) fn close(&mut self, now: Instant) {
        self.end(now, EndReason::Closed);
    }

    /// What was counted here; what only sockets know is left out.
    pub(crate) fn stats(&self) -> SourceStats {
        SourceStats {
            repaired: self.repaired,
            held_back: self.held_back,
            keyframe_requests: self.control.as_ref().map_or(0, Control::idr_requests),
            round_trip: self.control.as_ref().and_then(Control::round_trip),
            ..SourceStats::default()
        }
    }

    /// What happened next.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What a step of the dialogue came to.
    fn settle<T>(&mut self, now: Instant, result: Result<T, rtsp::Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.drain(now);
                Some(value)
            }
            Err(error) => {
                self.finish(EndReason::Rtsp { elapsed: now.saturating_duration_since(self.began), error });
                None
            }
        }
    }

    /// Takes what the parts have to tell.
    fn drain(&mut self, now: Instant) {
        while self.state != State::Ended
            && let Some(event) = self.dialogue.poll_event()
        {
            self.handle_dialogue(now, event);
        }
        while self.events.len() < MAX_EVENTS
            && let Some(event) = self.control.as_mut().and_then(Control::poll_event)
        {
            self.handle_control(now, event);
        }
        while self.state != State::Connecting
            && self.events.len() < MAX_EVENTS
            && let Some(event) = self.session.as_mut().and_then(Session::poll_event)
        {
            self.handle_session(now, event);
        }
    }

    fn handle_dialogue(&mut self, now: Instant, event: rtsp::Event) {
        match event {
            rtsp::Event::Audio(media) => self.audio = Some(Pinger::new(now, media)),
            rtsp::Event::Video(media) => self.video = Some(Pinger::new(now, media)),
            rtsp::Event::Control(port) => self.control_port = Some(port),
            rtsp::Event::Announced(agreement) => {
                for pinger in [&mut self.audio, &mut self.video].into_iter().flatten() {
                    pinger.ping_now();
                }
                self.session = Some(Session::new(&agreement.session(self.key.clone(), self.rikeyid)));
                self.agreement = Some(agreement);
            }
            rtsp::Event::Playing => {
                let port = self.control_port.expect("SETUP of control comes before PLAY");
                let agreement = self.agreement.as_ref().expect("ANNOUNCE comes before PLAY");
                let nonce = if agreement.control_v2() { ControlNonce::V2 } else { ControlNonce::Old };
                let (key, connect_data, seed) = (self.key.clone(), port.connect_data, self.seed);
                self.control = Some(Control::new(now, &ControlConfig { key, nonce, connect_data, seed }));
                self.events.push_back(Event::StageComplete(Stage::RtspHandshake));
                self.pass(Stage::ControlStreamInitialization);
                self.pass(Stage::VideoStreamInitialization);
                self.pass(Stage::InputStreamInitialization);
                self.events.push_back(Event::StageStarting(Stage::ControlStreamEstablishment));
            }
        }
    }

    fn handle_control(&mut self, now: Instant, event: control::Event) {
        match event {
            control::Event::Connected => self.establish(now),
            // What comes while the session is being left is of no use.
            control::Event::Message(_) if matches!(self.state, State::Ending(_)) => {}
            control::Event::Message(message) => self.events.push_back(Event::Host(message)),
            control::Event::Disconnected { reason } => {
                self.finish(match (self.state, reason) {
                    (State::Ending(reason), _) => reason,
                    (State::Streaming, control::EndReason::Terminated(code)) => EndReason::Terminated(code),
                    (_, control::EndReason::Terminated(code)) => EndReason::TerminatedEarly(code),
                    (_, control::EndReason::Closed) => EndReason::Closed,
                    (_, reason) => EndReason::Control(reason),
                });
            }
        }
    }

    /// The control stream stands, and with it all else.
    fn establish(&mut self, now: Instant) {
        self.events.push_back(Event::StageComplete(Stage::ControlStreamEstablishment));
        self.pass(Stage::VideoStreamEstablishment);
        self.pass(Stage::AudioStreamEstablishment);
        self.pass(Stage::InputStreamEstablishment);
        self.events.push_back(Event::Connected);
        let agreement = self.agreement.as_ref().expect("ANNOUNCE comes before the control stream");
        self.events.push_back(Event::Info(agreement.info()));
        self.state = State::AwaitingVideo;
        self.outlet = Some(Outlet::new(agreement.host_kind));
        let haptics = self.control.as_mut().map(|control| control.send_input(now, Input::EnableHaptics));
        if let Some(Err(error)) = haptics {
            tracing::debug!(%error, "haptics were not enabled");
        }
    }

    fn handle_session(&mut self, now: Instant, event: session::Event) {
        match event {
            session::Event::Video(frame) => {
                self.events.push_back(Event::Video(frame));
                self.state = State::Streaming;
            }
            session::Event::Audio(frame) => self.events.push_back(Event::Audio(frame)),
            session::Event::RequestIdr => self.request_idr(now),
            session::Event::FecStatus(status) => self.control.iter_mut().for_each(|c| c.report_fec(status)),
            session::Event::Repaired(_) => self.repaired += 1,
            session::Event::HeldBack(_) => self.held_back += 1,
        }
    }

    /// A stage with nothing to wait for.
    fn pass(&mut self, stage: Stage) {
        self.events.extend([Event::StageStarting(stage), Event::StageComplete(stage)]);
    }

    /// Ends it from this side, for the first reason that there is.
    fn end(&mut self, now: Instant, reason: EndReason) {
        match (&mut self.control, self.state) {
            (_, State::Ending(_) | State::Ended) => {}
            (None, _) => self.finish(reason),
            (Some(control), _) => {
                // Hosts share keys and buttons between their sessions (streams 3.6): nothing is left down.
                for input in self.outlet.take().into_iter().flat_map(|mut outlet| outlet.release()) {
                    if let Err(error) = control.queue_input(now, input, false) {
                        tracing::debug!(%error, "what is down at the host was not let go");
                    }
                }
                control.close(now);
                self.state = State::Ending(reason);
                self.stop_media();
                self.drain(now);
            }
        }
    }

    fn finish(&mut self, reason: EndReason) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.outlet = None;
            self.stop_media();
            self.events.push_back(Event::Ended { reason });
        }
    }

    fn stop_media(&mut self) {
        (self.audio, self.video, self.session) = (None, None, None);
    }
}

/// The control stream's 512, the media session's 45, the stages, and some to spare.
const MAX_EVENTS: usize = 1024;
