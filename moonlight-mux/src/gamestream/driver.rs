//! Sockets around a [`Connection`], and nothing else: what is done, when, and for how long is decided there.
//!
//! Everything happens in the task of whoever asks for the next event. There is no queue here: what is not read yet waits in
//! the kernel.

mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use self::exchange::{Exchange, Step};
use super::connection::{Connection, ConnectionConfig, Event, Stream};
use super::receive::HostSocket;
use crate::input::{HostInput, InputFeatures, Inputs};
use crate::source::SourceStats;
use crate::task;

/// A session with a host. Dropping it ends it without a word to the host: [`close`](Self::close) it first.
pub(crate) struct Driver {
    connection: Connection,
    host: IpAddr,
    local: Option<IpAddr>,
    control: HostSocket,
    video: HostSocket,
    audio: HostSocket,
    exchange: Option<Exchange>,
    inputs: Option<Inputs>,
}

impl Driver {
    /// Binds the session's sockets, to the local address if there is one; the session begins with the first call of
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// When there is no such local address, or no descriptor is left.
    pub(crate) fn new(config: ConnectionConfig, local: Option<IpAddr>) -> io::Result<Self> {
        let host = config.host.to_canonical();
        Ok(Self {
            control: HostSocket::bind(host, local, SMALL_BUFFER)?,
            video: HostSocket::bind(host, local, VIDEO_BUFFER)?,
            audio: HostSocket::bind(host, local, SMALL_BUFFER)?,
            connection: Connection::new(task::now(), config),
            host,
            local,
            exchange: None,
            inputs: None,
        })
    }

    /// What happened next. [`Event::Ended`] is the last; nothing comes behind it. Cancel safe.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            // First, so that the last event finds nothing unsent.
            self.send();
            if let Some(event) = self.connection.poll_event() {
                return event;
            }
            if self.handle_received() {
                continue;
            }
            let due = self.connection.poll_timeout();
            if due.is_some_and(|due| due <= task::now()) {
                // Not left to the wait: there, sockets that always have something come first by chance.
                self.handle_timeout();
            } else {
                self.wait(due).await;
            }
        }
    }

    /// Asks for a keyframe, as [`Connection::request_idr`].
    pub(crate) fn request_idr(&mut self) {
        self.connection.request_idr(task::now());
    }

    /// Whether and how the host takes input, once it is [connected](Event::Connected).
    pub(crate) fn input_features(&self) -> InputFeatures {
        self.connection.input_features()
    }

    /// Tells the host from now on what comes from there, as soon as there is room for it, until the end.
    pub(crate) fn take_inputs(&mut self, inputs: Inputs) {
        self.inputs = Some(inputs);
    }

    /// Tells the host what somebody did, without text.
    #[cfg(test)]
    pub(crate) fn send_inputs(&mut self, inputs: impl IntoIterator<Item = HostInput>) {
        let mut inputs = inputs.into_iter();
        self.connection.handle_inputs(task::now(), |_| inputs.next());
    }

    /// Ends the session, as [`Connection::close`], and takes no more input: take events until [`Event::Ended`].
    pub(crate) fn close(&mut self) {
        self.inputs = None;
        self.connection.close(task::now());
    }

    /// What was counted so far. As expensive as [`HostSocket::kernel_drops`].
    pub(crate) fn stats(&self) -> SourceStats {
        let media = [&self.video, &self.audio];
        SourceStats {
            datagrams: media.iter().map(|socket| socket.datagrams()).sum(),
            kernel_drops: media.iter().map(|socket| socket.kernel_drops()).sum(),
            receive_buffer: self.video.receive_buffer(),
            ..self.connection.stats()
        }
    }

    fn send(&mut self) {
        while let Some(transmit) = self.connection.poll_transmit() {
            self.socket(transmit.stream).send(transmit.port, &transmit.bytes);
        }
        if let Some(request) = self.connection.poll_request(task::now()) {
            let host = SocketAddr::new(self.host, self.connection.rtsp_port());
            self.exchange = Some(Exchange::start(host, self.local, request));
        }
    }

    /// Hands on one datagram of those that were read, or tells that there is none.
    fn handle_received(&mut self) -> bool {
        // The control stream first: a burst of media does not keep it waiting.
        let sockets = [
            (Stream::Control, &mut self.control),
            (Stream::Audio, &mut self.audio),
            (Stream::Video, &mut self.video),
        ];
        for (stream, socket) in sockets {
            if let Some(datagram) = socket.next() {
                self.connection.handle_datagram(task::now(), stream, datagram);
                return true;
            }
        }
        false
    }

    /// Until a socket or the time has something. Cancel safe.
    async fn wait(&mut self, due: Option<Instant>) {
        let step = async {
            match &mut self.exchange {
                Some(exchange) => exchange.step().await,
                None => std::future::pending().await,
            }
        };
        let (wants_input, change) = (self.connection.wants_input(), self.connection.text_change());
        let input = async {
            match &mut self.inputs {
                Some(inputs) if wants_input => inputs.next_with(change).await,
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.control.receive() => {}
            () = self.video.receive() => {}
            () = self.audio.receive() => {}
            step = step => self.handle_step(step),
            input = input => self.handle_input(input),
            () = task::at(due) => self.handle_timeout(),
        }
    }

    fn handle_step(&mut self, step: Step) {
        let now = task::now();
        match step {
            Step::Connected => self.connection.handle_connected(now),
            Step::Bytes(bytes) => self.connection.handle_bytes(now, &bytes),
            Step::Ended => self.connection.handle_end(now),
            Step::Refused => self.connection.handle_refused(now),
            Step::Broken => self.connection.handle_broken(now),
        }
    }

    /// Takes all that is there with it: what happens at once goes together.
    fn handle_input(&mut self, input: HostInput) {
        let mut first = Some(input);
        let inputs = &mut self.inputs;
        let next = |change| first.take().or_else(|| inputs.as_mut()?.try_next_with(change));
        self.connection.handle_inputs(task::now(), next);
    }

    fn handle_timeout(&mut self) {
        self.connection.handle_timeout(task::now());
        for socket in [&mut self.control, &mut self.video, &mut self.audio] {
            socket.forgive();
        }
    }

    fn socket(&self, stream: Stream) -> &HostSocket {
        match stream {
            Stream::Control => &self.control,
            Stream::Video => &self.video,
            Stream::Audio => &self.audio,
        }
    }
}

/// Bytes: a 4K keyframe at once, and what comes while this task waits for its turn.
const VIDEO_BUFFER: usize = 4 << 20;

/// Bytes, for control and sound: seconds of them.
const SMALL_BUFFER: usize = 1 << 18;
