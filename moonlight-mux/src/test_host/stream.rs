//! One session's sockets and picture around [`HostSession`].

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};

use super::clock;
use super::link::Link;
use super::session::{EndReason, HostSession, HostSessionEvent, HostTransmit, SessionConfig, SessionPorts};
use super::show::Show;
use super::state::Shared;
use super::{
    Faults, Freeze, HostEncryption, HostEndReason, HostEvent, HostSessionId, HostStep, HostileAnswer,
};
use crate::gamestream::connection::Stream as Channel;
use crate::gamestream::wire::control::{HostMessage, Termination};
use crate::gamestream::wire::http::request::Launch;
use crate::gamestream::wire::sdp::{Announcement, Encryption, EncryptionOffer};
use crate::input::HostInput;
use crate::media::{VideoCodec, VideoFrame};
use crate::source::Event;
use crate::task;

/// What the host wants of a session.
#[derive(Debug)]
pub(super) enum Order {
    /// This came on an RTSP connection so far.
    Rtsp {
        received: Vec<u8>,
        /// Which request of the session's it is, and its answer; `None` while it is no whole request.
        answer: oneshot::Sender<Option<(u8, Vec<u8>)>>,
    },
    Say(HostMessage),
    End(HostEndReason),
}

/// Full: whoever orders waits; an order to end is left out.
const ORDERS: usize = 16;

/// A session that runs.
#[derive(Debug)]
pub(super) struct Stream {
    presence: Presence,
    session: HostSession,
    sockets: Sockets,
    orders: mpsc::Receiver<Order>,
    faults: watch::Receiver<Faults>,
    link: Link<HostTransmit>,
    announcement: Option<Box<Announcement>>,
    /// RTSP requests that were answered.
    requests: u8,
    /// When the picture begins.
    begins: Option<Instant>,
    show: Option<Show>,
    /// The picture whose datagrams leave next.
    leaving: Option<VideoFrame>,
    /// Why the host ends it.
    ending: Option<HostEndReason>,
}

#[derive(Debug)]
struct Sockets {
    video: UdpSocket,
    audio: UdpSocket,
    control: UdpSocket,
}

/// A session is counted as long as this lives.
#[derive(Debug)]
struct Presence {
    shared: Arc<Shared>,
    id: HostSessionId,
}

impl Stream {
    /// Binds a session's ports. From here on it can be reached.
    pub(super) async fn open(shared: &Arc<Shared>, id: HostSessionId, launch: Launch) -> io::Result<Self> {
        let bind = || UdpSocket::bind((shared.config.address, 0));
        let sockets = Sockets { video: bind().await?, audio: bind().await?, control: bind().await? };
        let port = |socket: &UdpSocket| socket.local_addr().map(|address| address.port());
        let faults = shared.faults.subscribe();
        let (seed, packet_size) = {
            let faults = faults.borrow();
            (faults.seed.wrapping_add(id.0.into()), faults.packet_size)
        };
        let codec = shared.config.picture.codec();
        let config = SessionConfig {
            manner: shared.config.manner,
            encryption: offer(shared.config.encryption),
            hevc: codec == VideoCodec::Hevc,
            av1: codec == VideoCodec::Av1,
            launch,
            ports: SessionPorts {
                video: port(&sockets.video)?,
                audio: port(&sockets.audio)?,
                control: port(&sockets.control)?,
            },
            packet_size_limit: packet_size.map(u32::from),
            fec_percentage: 20,
            seed,
        };
        let (sender, orders) = mpsc::channel(ORDERS);
        shared.state().orders.insert(id, sender);
        shared.book.count(|counts| counts.sessions += 1);
        Ok(Self {
            presence: Presence { shared: Arc::clone(shared), id },
            session: HostSession::new(task::now(), config),
            sockets,
            orders,
            faults,
            link: Link::new(seed),
            announcement: None,
            requests: 0,
            begins: None,
            show: None,
            leaving: None,
            ending: None,
        })
    }

    /// Streams until the session is over.
    pub(super) async fn run(mut self) {
        let [mut control, mut video, mut audio] = [[0; MAX_DATAGRAM]; 3];
        loop {
            if self.settle(task::now()).await {
                break;
            }
            let (hears, hears_control) = {
                let faults = self.faults.borrow_and_update();
                let hears = faults.freeze != Freeze::Everything;
                (hears, hears && !faults.silent.contains(&HostStep::Control))
            };
            let due = [self.session.poll_timeout(), self.link.poll_timeout(), self.begins];
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(task::now(), order),
                    None => return self.presence.end(HostEndReason::ByHost),
                },
                datagram = self.sockets.control.recv_from(&mut control), if hears_control => {
                    self.hear(Channel::Control, datagram, &control);
                }
                datagram = self.sockets.video.recv_from(&mut video), if hears => {
                    self.hear(Channel::Video, datagram, &video);
                }
                datagram = self.sockets.audio.recv_from(&mut audio), if hears => {
                    self.hear(Channel::Audio, datagram, &audio);
                }
                media = next_media(&mut self.show) => match media {
                    Some(event) => self.send(event),
                    None => {
                        self.show = None;
                        self.ending = Some(HostEndReason::Picture);
                        self.session.terminate(task::now(), Termination::INTENDED);
                    }
                },
                () = task::at(due.into_iter().flatten().min()) => self.handle_timeout(task::now()),
                changed = self.faults.changed() => if changed.is_err() {
                    return self.presence.end(HostEndReason::ByHost);
                },
            }
        }
        // The last words arrive too.
        while let Some(arrival) = self.link.poll_timeout() {
            task::at(Some(arrival)).await;
            self.settle(task::now()).await;
        }
    }

    /// Hands on what the session has; gives whether it is over.
    async fn settle(&mut self, now: Instant) -> bool {
        let mut over = false;
        while let Some(event) = self.session.poll_event() {
            if let HostSessionEvent::Ended(reason) = event {
                over = true;
                // Before the client hears of it, so that what it asks for next finds it so.
                self.presence.end(self.reason(reason));
            } else {
                self.handle_event(now, event);
            }
        }
        let (mut sent, mut lost) = (0, 0);
        {
            let faults = self.faults.borrow();
            while let Some(mut transmit) = self.session.poll_transmit() {
                let is_media = transmit.stream != Channel::Control;
                if !is_media {
                    spoil_control(&mut transmit.bytes, &faults);
                }
                if transmit.bytes.is_empty() || !self.link.send(now, &faults, is_media, transmit) {
                    lost += 1;
                }
            }
        }
        let mut picture_left: Option<(Instant, Instant)> = None;
        while let Some(HostTransmit { stream, to, bytes }) = self.link.poll(now) {
            let socket = match stream {
                Channel::Video => &self.sockets.video,
                Channel::Audio => &self.sockets.audio,
                Channel::Control => &self.sockets.control,
            };
            if stream == Channel::Video {
                let now = task::now();
                let (first, _) = picture_left.unwrap_or((now, now));
                picture_left = Some((first, now));
            }
            // A client that is gone is noticed by its silence.
            let _ = socket.send_to(&bytes, to).await;
            sent += 1;
        }
        if let (Some(frame), Some((first, last)), Some(show)) =
            (self.leaving.take(), picture_left, &self.show)
        {
            show.sent(&frame, first, last);
        }
        if sent + lost > 0 {
            self.presence.shared.book.count(|counts| {
                counts.datagrams_sent += sent;
                counts.datagrams_lost += lost;
            });
        }
        over
    }

    fn handle_event(&mut self, now: Instant, event: HostSessionEvent) {
        let Presence { shared, id } = &self.presence;
        match event {
            HostSessionEvent::Announced(announcement) => self.announcement = Some(announcement),
            HostSessionEvent::ControlConnected => {
                shared.state().launches.connected(*id);
                shared.book.note(HostEvent::ControlConnected(*id));
            }
            HostSessionEvent::MediaWanted(Channel::Video) => {
                shared.book.note(HostEvent::MediaStarted(*id));
                self.begins = now.checked_add(self.faults.borrow().slow_first_frame);
            }
            HostSessionEvent::KeyframeWanted { start } => {
                if !start {
                    shared.book.count(|counts| counts.keyframe_requests += 1);
                    shared.book.note(HostEvent::KeyframeRequested(*id));
                }
                if let Some(show) = &self.show
                    && !start
                {
                    show.want_keyframe();
                }
            }
            HostSessionEvent::Input(packet) => {
                let Ok(input) = HostInput::try_from(&packet) else { return };
                if let Some(show) = &self.show {
                    show.handle_input(&input);
                }
                shared.book.note(HostEvent::Input(*id, input));
                // Behind it, so that whoever has waited for the count finds it in the log.
                shared.book.count(|counts| counts.inputs += 1);
            }
            HostSessionEvent::MediaWanted(_) | HostSessionEvent::Message(_) | HostSessionEvent::Ended(_) => {}
        }
    }

    fn obey(&mut self, now: Instant, order: Order) {
        match order {
            Order::Rtsp { received, answer } => {
                let running = self.session.is_running();
                let whole = self.session.is_whole_request(&received);
                let bytes = whole.then(|| self.session.handle_rtsp(now, &received));
                // What Wolf leaves without an answer was the last that it read (session 22, S25).
                if running && bytes.as_ref().is_some_and(Vec::is_empty) {
                    self.presence.shared.state().rtsp_is_dead = true;
                }
                let number = self.requests;
                self.requests = number.saturating_add(bytes.is_some().into());
                // The connection may be gone.
                let _ = answer.send(bytes.map(|bytes| (number, bytes)));
            }
            Order::Say(message) => self.session.send_message(now, &message),
            Order::End(reason) => {
                self.ending = self.ending.or(Some(reason));
                match reason {
                    HostEndReason::Cancelled => self.session.cancel(now),
                    _ => self.session.terminate(now, Termination::INTENDED),
                }
            }
        }
    }

    fn hear(&mut self, channel: Channel, datagram: io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        // What came back of a datagram that was sent to nobody.
        let Ok((len, from)) = datagram else { return };
        self.presence.shared.book.count(|counts| counts.datagrams_received += 1);
        self.session.handle_datagram(task::now(), channel, from, &buffer[..len]);
    }

    fn send(&mut self, event: Event) {
        match event {
            Event::Video(frame) => {
                self.presence.shared.book.count(|counts| {
                    counts.frames += 1;
                    counts.keyframes += u64::from(frame.keyframe);
                });
                // Behind the encoder, whose time is not the way's.
                let data = match &self.show {
                    Some(show) if show.is_live() => clock::stamp(&frame.data, task::wall_clock()),
                    _ => frame.data.clone(),
                };
                self.session.send_video(frame.timestamp, frame.host_latency, frame.keyframe, &data);
                self.leaving = Some(frame);
            }
            Event::Audio(frame) => self.session.send_audio(&frame.data),
            Event::StageStarting(_) | Event::StageComplete(_) | Event::Connected | Event::Info(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if self.begins.is_some_and(|begins| begins <= now) {
            self.begins = None;
            let announcement = self.announcement.as_deref();
            self.show = announcement.and_then(|it| Show::new(&self.presence.shared.config.picture, it));
        }
    }

    fn reason(&self, reason: EndReason) -> HostEndReason {
        match reason {
            EndReason::NeverConnected => HostEndReason::LaunchExpired,
            EndReason::NeverPinged(_) | EndReason::ControlSilent | EndReason::ControlLost => {
                HostEndReason::Silence
            }
            EndReason::BadMessage => HostEndReason::Protocol,
            EndReason::ClientLeft => HostEndReason::ByClient,
            EndReason::Host => self.ending.unwrap_or(HostEndReason::ByHost),
        }
    }
}

impl Presence {
    fn end(&self, reason: HostEndReason) {
        self.shared.state().launches.ended(self.id);
        self.shared.book.note(HostEvent::Ended { session: self.id, reason });
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.orders.remove(&self.id);
        state.launches.ended(self.id);
        drop(state);
        self.shared.book.count(|counts| counts.sessions -= 1);
    }
}

/// A datagram on the control connection as [`Faults`] spoils it; nothing of it is left where none shall arrive.
fn spoil_control(datagram: &mut Vec<u8>, faults: &Faults) {
    let Some((HostStep::Control, hostile)) = faults.hostile else { return };
    match hostile {
        HostileAnswer::Nothing => datagram.clear(),
        HostileAnswer::Garbage => datagram.fill(0xa5),
        HostileAnswer::Truncated => datagram.truncate(datagram.len() * 2 / 3),
        HostileAnswer::Endless => datagram.resize(60_000, 0xa5),
        _ => {}
    }
}

async fn next_media(show: &mut Option<Show>) -> Option<Event> {
    match show {
        Some(show) => show.next().await,
        None => pending().await,
    }
}

/// Session 17.1.
fn offer(encryption: HostEncryption) -> EncryptionOffer {
    let (supported, requested) = match encryption {
        HostEncryption::AudioOnly => (5, 1),
        HostEncryption::Optional => (7, 1),
        HostEncryption::Mandatory => (7, 7),
    };
    EncryptionOffer {
        supported: Encryption::from_bits(supported),
        requested: Encryption::from_bits(requested),
    }
}

/// Clients send a few hundred bytes at most; what is longer is cut, and then no message.
const MAX_DATAGRAM: usize = 2048;
