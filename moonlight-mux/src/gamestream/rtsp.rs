//! The RTSP dialogue that sets a session up, as a pure state machine.
//!
//! Source: protocol document, session 12 to 16.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::crypto::{Forged, RtspCipher, SessionKey};
use super::negotiation::{self, Agreement, Wishes};
use super::wire::rtsp::{
    Envelope, Headers, MAX_REQUEST, MAX_RESPONSE, Malformed, Method, Request, Response, Sealed, Sender,
    SessionUrl,
};
use super::wire::sdp::{self, Offer};

/// One request after the other, each on a connection of its own (session 12.2).
///
/// The driver takes a request from [`poll_request`](Self::poll_request), connects to the host's known address at
/// [`port`](Self::port), and reports [`handle_connected`](Self::handle_connected) or
/// [`handle_refused`](Self::handle_refused). It sends the request, gives what comes to
/// [`handle_bytes`](Self::handle_bytes), and at the end of the stream, never earlier, closes its side and calls
/// [`handle_end`](Self::handle_end): Wolf stops serving RTSP after a connection was reset. In between it calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and takes the events.
/// An error is the end: nothing more comes.
#[derive(Debug)]
pub(crate) struct Dialogue {
    url: SessionUrl,
    host: IpAddr,
    cipher: Option<RtspCipher>,
    wishes: Wishes,
    stage: Stage,
    state: State,
    /// Until then a refused connection is tried again.
    retry_until: Instant,
    /// What came on this connection so far; at most an envelope and [`MAX_RESPONSE`].
    received: Vec<u8>,
    /// From the first SETUP.
    session: Option<String>,
    offer: Offer,
    video_port: u16,
    agreement: Option<Agreement>,
    /// One for each stage at most; the driver takes it after each call.
    events: VecDeque<Event>,
}

/// The steps of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Options,
    Describe,
    SetupAudio,
    SetupVideo,
    SetupControl,
    Announce,
    Play,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::SetupAudio => "SETUP of audio",
            Self::SetupVideo => "SETUP of video",
            Self::SetupControl => "SETUP of control",
            Self::Announce => "ANNOUNCE",
            Self::Play => "PLAY",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The request is to be sent.
    Ready,
    Connecting {
        deadline: Instant,
    },
    Reading {
        deadline: Instant,
    },
    /// The connection was refused.
    Waiting {
        until: Instant,
    },
    /// Done or failed.
    Ended,
}

/// What the dialogue has for its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Pings to the audio port can begin.
    Audio(MediaPort),
    /// Pings to the video port can begin.
    Video(MediaPort),
    Control(ControlPort),
    /// The host listens for pings from now on: one more on each socket, since earlier ones may be lost (session 18.1).
    Announced(Box<Agreement>),
    /// The dialogue is over: connect the control stream.
    Playing,
}

/// Where a media stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MediaPort {
    pub(crate) port: u16,
    /// What pings carry; `None` for pings of the old kind.
    pub(crate) ping: Option<[u8; 16]>,
}

impl MediaPort {
    /// From the answer to the SETUP of video.
    pub(crate) fn video(headers: &Headers) -> Self {
        Self::parse(headers, DEFAULT_VIDEO_PORT)
    }

    /// From the answer to the SETUP of audio.
    pub(crate) fn audio(headers: &Headers) -> Self {
        Self::parse(headers, DEFAULT_AUDIO_PORT)
    }

    fn parse(headers: &Headers, default: u16) -> Self {
        let payload = headers.find("X-SS-Ping-Payload");
        Self {
            port: server_port(headers, default),
            ping: payload.and_then(|payload| payload.as_bytes().try_into().ok()),
        }
    }
}

/// Where the control stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlPort {
    pub(crate) port: u16,
    /// What ENet's CONNECT carries.
    pub(crate) connect_data: u32,
}

impl ControlPort {
    /// From the answer to the SETUP of control.
    pub(crate) fn parse(headers: &Headers) -> Result<Self, Cause> {
        let port = server_port(headers, DEFAULT_CONTROL_PORT);
        Ok(Self { port, connect_data: connect_data(headers)? })
    }
}

/// Why the dialogue ended early, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage} failed")]
pub(crate) struct Error {
    pub(crate) stage: Stage,
    #[source]
    pub(crate) cause: Cause,
}

/// What went wrong at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Cause {
    #[error("the host refuses connections")]
    Refused,
    #[error("the host cannot be reached")]
    Unreachable,
    #[error("the host does not answer")]
    Silent,
    /// It closed the connection without a byte: the session expired, or never was.
    #[error("the host knows of no session")]
    NoSession,
    #[error("the request has {got} bytes where hosts take no more than {MAX_REQUEST}")]
    RequestTooLong { got: usize },
    #[error("the answer is malformed")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Forged(#[from] Forged),
    #[error("the host answers with status {0}")]
    Status(u16),
    #[error("the answer's {name} is missing or makes no sense")]
    Header { name: &'static str },
    #[error("the offer makes no sense")]
    Offer(#[from] sdp::Malformed),
    #[error("wishes and offer do not meet")]
    Negotiation(#[from] negotiation::Error),
}

impl Dialogue {
    /// `host` is the address that answered to `/launch`, never the one in the URL.
    pub(crate) fn new(now: Instant, url: SessionUrl, host: IpAddr, key: &SessionKey, wishes: Wishes) -> Self {
        Self {
            cipher: url.is_encrypted().then(|| RtspCipher::new(key)),
            url,
            host,
            wishes,
            stage: Stage::Options,
            state: State::Ready,
            retry_until: now + CONNECT_TIMEOUT,
            received: Vec::new(),
            session: None,
            offer: Offer::default(),
            video_port: DEFAULT_VIDEO_PORT,
            agreement: None,
            events: VecDeque::new(),
        }
    }

    /// The TCP port of every connection.
    pub(crate) fn port(&self) -> u16 {
        self.url.port()
    }

    /// A request, to be sent on a new connection.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Result<Option<Vec<u8>>, Error> {
        if self.state != State::Ready {
            return Ok(None);
        }
        let request = self.request().map_err(|cause| self.fail(cause))?;
        self.state = State::Connecting { deadline: now + CONNECT_TIMEOUT };
        self.received.clear();
        Ok(Some(request))
    }

    /// The connection stands.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        if let State::Connecting { .. } = self.state {
            self.state = State::Reading { deadline: now + READ_TIMEOUT };
        }
    }

    /// Nobody listens at the port yet: it is tried again for a while.
    pub(crate) fn handle_refused(&mut self, now: Instant) -> Result<(), Error> {
        match self.state {
            State::Connecting { .. } if now < self.retry_until => {
                self.state = State::Waiting { until: now + RETRY_INTERVAL };
                Ok(())
            }
            State::Connecting { .. } => Err(self.fail(Cause::Refused)),
            _ => Ok(()),
        }
    }

    /// The connection broke, or never stood, for any other reason.
    pub(crate) fn handle_broken(&mut self) -> Result<(), Error> {
        match self.state {
            State::Connecting { .. } | State::Reading { .. } => Err(self.fail(Cause::Unreachable)),
            _ => Ok(()),
        }
    }

    /// Takes in part of the answer.
    pub(crate) fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Error> {
        let State::Reading { .. } = self.state else { return Ok(()) };
        let limit = if self.cipher.is_some() { Envelope::LEN + MAX_RESPONSE } else { MAX_RESPONSE };
        let got = self.received.len() + bytes.len();
        if got > limit {
            return Err(self.fail(Malformed::Long { limit, got }.into()));
        }
        self.received.extend(bytes);
        self.state = State::Reading { deadline: now + READ_TIMEOUT };
        Ok(())
    }

    /// The host has closed the connection: the answer is complete.
    pub(crate) fn handle_end(&mut self, now: Instant) -> Result<(), Error> {
        let State::Reading { .. } = self.state else { return Ok(()) };
        let received = std::mem::take(&mut self.received);
        let next = self.response(&received).and_then(|response| self.advance(&response));
        match next.map_err(|cause| self.fail(cause))? {
            Some(stage) => {
                self.stage = stage;
                self.state = State::Ready;
                self.retry_until = now + CONNECT_TIMEOUT;
            }
            None => self.state = State::Ended,
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { deadline: due }
            | State::Reading { deadline: due }
            | State::Waiting { until: due } => Some(due),
            State::Ready | State::Ended => None,
        }
    }

    /// Time has passed. Call it when due; earlier does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Ok(());
        }
        match self.state {
            State::Connecting { .. } => Err(self.fail(Cause::Unreachable)),
            State::Reading { .. } => Err(self.fail(Cause::Silent)),
            State::Waiting { .. } => {
                self.state = State::Ready;
                Ok(())
            }
            State::Ready | State::Ended => Ok(()),
        }
    }

    /// What there is to do.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn fail(&mut self, cause: Cause) -> Error {
        self.state = State::Ended;
        Error { stage: self.stage, cause }
    }

    /// The request of this stage as it goes over the wire.
    fn request(&mut self) -> Result<Vec<u8>, Cause> {
        // Seven requests, one for each stage. A request that is sent again is the same message, so its sequence number
        // may be too: no nonce is used for two different messages.
        let sequence = self.stage as u32 + 1;
        let request = self.build(sequence)?;
        let mut message = Vec::new();
        request.emit(&mut message);
        let overhead = if self.cipher.is_some() { Envelope::LEN + 1 } else { 0 };
        if message.len() + overhead > MAX_REQUEST {
            return Err(Cause::RequestTooLong { got: message.len() + overhead });
        }
        Ok(match &self.cipher {
            Some(cipher) => cipher.seal(Sender::Client, sequence, message),
            None => message,
        })
    }

    /// With spelling, order and spaces that hosts insist on (session 12.3 and 14).
    fn build(&mut self, sequence: u32) -> Result<Request, Cause> {
        let mut headers = Headers::default()
            .with("CSeq", sequence)
            .with("X-GS-ClientVersion", CLIENT_VERSION)
            .with("Host", self.url.host());
        if let Some(session) = &self.session {
            headers = headers.with("Session", session);
        }
        let setup = |headers: Headers| {
            let headers = headers.with("Transport", "unicast;X-GS-ClientPort=50000-50001");
            headers.with("If-Modified-Since", EPOCH)
        };
        let mut body = String::new();
        let (method, target, headers) = match self.stage {
            Stage::Options => (Method::Options, self.url.to_string(), headers),
            Stage::Describe => {
                let headers = headers.with("Accept", "application/sdp").with("If-Modified-Since", EPOCH);
                (Method::Describe, self.url.to_string(), headers)
            }
            Stage::SetupAudio => (Method::Setup, "streamid=audio/0/0".to_owned(), setup(headers)),
            Stage::SetupVideo => (Method::Setup, "streamid=video/0/0".to_owned(), setup(headers)),
            Stage::SetupControl => (Method::Setup, CONTROL.to_owned(), setup(headers)),
            Stage::Announce => {
                let agreement = self.wishes.meet(&self.offer, self.host, self.video_port)?;
                agreement.announcement.emit(&mut body);
                self.agreement = Some(agreement);
                let headers = headers.with("Content-type", "application/sdp");
                (Method::Announce, CONTROL.to_owned(), headers.with("Content-length", body.len()))
            }
            Stage::Play => (Method::Play, "/".to_owned(), headers),
        };
        Ok(Request { method, target, headers, body })
    }

    fn response(&self, received: &[u8]) -> Result<Response, Cause> {
        if received.is_empty() {
            return Err(Cause::NoSession);
        }
        Ok(match &self.cipher {
            Some(cipher) => Response::parse(&cipher.open(Sender::Host, &Sealed::parse(received)?)?)?,
            None => Response::parse(received)?,
        })
    }

    /// Takes what this stage's answer tells, and says which stage is next.
    fn advance(&mut self, response: &Response) -> Result<Option<Stage>, Cause> {
        if response.status != 200 {
            return Err(Cause::Status(response.status));
        }
        Ok(Some(match self.stage {
            Stage::Options => Stage::Describe,
            Stage::Describe => {
                if response.body.is_empty() {
                    return Err(Cause::Offer(sdp::Malformed::Empty));
                }
                self.offer = Offer::parse(&response.body)?;
                Stage::SetupAudio
            }
            Stage::SetupAudio => {
                self.session = Some(session(&response.headers)?);
                let media = MediaPort::audio(&response.headers);
                self.events.push_back(Event::Audio(media));
                Stage::SetupVideo
            }
            Stage::SetupVideo => {
                let media = MediaPort::video(&response.headers);
                self.video_port = media.port;
                self.events.push_back(Event::Video(media));
                Stage::SetupControl
            }
            Stage::SetupControl => {
                self.events.push_back(Event::Control(ControlPort::parse(&response.headers)?));
                Stage::Announce
            }
            Stage::Announce => {
                let agreement = self.agreement.expect("it was settled when the request was built");
                self.events.push_back(Event::Announced(Box::new(agreement)));
                Stage::Play
            }
            Stage::Play => {
                self.events.push_back(Event::Playing);
                return Ok(None);
            }
        }))
    }
}

/// What stands before the `;`, and goes into later requests.
fn session(headers: &Headers) -> Result<String, Cause> {
    let value = headers.find("Session").unwrap_or_default();
    let session = value.split(';').next().unwrap_or_default().trim();
    let usable = (1..=64).contains(&session.len()) && session.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { Ok(session.to_owned()) } else { Err(Cause::Header { name: "Session" }) }
}

/// The number behind `server_port=`, the first of a range.
fn server_port(headers: &Headers, default: u16) -> u16 {
    let transport = headers.find("Transport").unwrap_or_default();
    let port = transport.split_once("server_port=").map(|(_, port)| port);
    let port = port.and_then(|port| port.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    port.filter(|&port| port != 0).unwrap_or(default)
}

/// Unsigned, decimal or hexadecimal behind `0x`; 0 where there is none.
fn connect_data(headers: &Headers) -> Result<u32, Cause> {
    let Some(text) = headers.find("X-SS-Connect-Data") else { return Ok(0) };
    let data = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    data.map_err(|_| Cause::Header { name: "X-SS-Connect-Data" })
}

/// Of hosts of version 7 (session 7.1).
const CLIENT_VERSION: u32 = 14;

/// The control stream, encrypted since version 7.1.431.
const CONTROL: &str = "streamid=control/13/0";

const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// For a connection, and for a host that refuses connections until its port is open (session 12.2).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Without a byte.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the answer to SETUP names none (session 3).
const DEFAULT_VIDEO_PORT: u16 = 47998;
const DEFAULT_CONTROL_PORT: u16 = 47999;
const DEFAULT_AUDIO_PORT: u16 = 48000;

#[cfg(test)]
pub(crate) mod tests;
