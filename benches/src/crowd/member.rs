//! One viewer of a crowd: its socket, str0m, and its receiver.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time;

use super::receiver::{Counts, Receiver};
use super::srtp::{Header, Key};
use super::{CrowdConfig, JoinError, PLAIN_KEY, keys};
use crate::task::{self, Task};
use crate::viewer::{Message, Transport};

/// Dropping it ends the viewer at once.
#[derive(Debug)]
pub(super) struct Member {
    receiver: SharedReceiver,
    leave: watch::Sender<bool>,
    state: watch::Receiver<State>,
    task: Task<()>,
}

#[derive(Clone)]
struct SharedReceiver(Arc<Mutex<Receiver>>);

impl SharedReceiver {
    fn lock(&self) -> MutexGuard<'_, Receiver> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl std::fmt::Debug for SharedReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Joining,
    Connected,
    Ended(String),
}

impl Member {
    /// Takes what comes under [`PLAIN_KEY`]. Its address is the second.
    pub(super) fn plain(config: CrowdConfig) -> io::Result<(Self, SocketAddr)> {
        let socket = Socket::bind(config)?;
        let address = socket.local;
        let mut receiver = Receiver::new(config.open_every);
        let (key, salt) = PLAIN_KEY;
        receiver.set_key(Key::gcm128(key, salt).ok_or(io::ErrorKind::InvalidInput)?);
        let receiver = SharedReceiver(Arc::new(Mutex::new(receiver)));
        let (leave, mut leaving) = watch::channel(false);
        let (_, state) = watch::channel(State::Connected);
        let counting = receiver.clone();
        let task = task::spawn(async move {
            loop {
                tokio::select! {
                    _ = leaving.changed() => return,
                    readable = socket.io.readable() => if readable.is_err() { return },
                }
                socket.read(|_, at, datagram| _ = counting.lock().handle_datagram(at, datagram));
            }
        });
        Ok((Self { receiver, leave, state, task }, address))
    }

    /// Joins over a transport; it is connected when this returns.
    pub(super) async fn join(transport: impl Transport, config: CrowdConfig) -> Result<Self, JoinError> {
        let socket = Socket::bind(config)?;
        let receiver = SharedReceiver(Arc::new(Mutex::new(Receiver::new(config.open_every))));
        let (leave, leaving) = watch::channel(false);
        let (state_tx, mut state) = watch::channel(State::Joining);
        let driver = Box::new(Driver {
            socket,
            transport,
            rtc: build_rtc(task::now()),
            pending: None,
            receiver: receiver.clone(),
            leaving,
            state: state_tx,
        });
        let task = task::spawn(driver.run());
        let joined = time::timeout(JOIN_TIMEOUT, state.wait_for(|state| *state != State::Joining));
        let outcome = match joined.await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => State::Ended("it is gone".to_owned()),
            Err(_) => State::Ended("it took too long".to_owned()),
        };
        match outcome {
            State::Ended(why) => Err(JoinError::Failed(why)),
            _ => Ok(Self { receiver, leave, state, task }),
        }
    }

    pub(super) fn take(&self) -> Counts {
        self.receiver.lock().take()
    }

    pub(super) fn has_aes_128_gcm(&self) -> bool {
        self.receiver.lock().has_aes_128_gcm()
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.state.borrow() == State::Connected
    }

    pub(super) async fn leave(mut self) {
        self.leave.send_replace(true);
        // A panic of the task has been reported by the runtime.
        let _ = (&mut self.task).await;
    }
}

/// A UDP socket that is read in bursts.
struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    fn bind(config: CrowdConfig) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind((config.bind, 0))?;
        // The system caps it silently; what it gives is what there is.
        socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let state = UdpSocketState::new((&socket).into())?;
        if !config.gro {
            setsockopt(&socket, sockopt::UdpGroSegment, &false)?;
        }
        let local = socket.local_addr()?;
        Ok(Self { io: UdpSocket::from_std(socket)?, state, local })
    }

    /// Reads what has arrived, at most [`READS`] times, and gives each datagram with its source and when it came.
    fn read(&self, mut handle: impl FnMut(SocketAddr, Duration, &mut [u8])) {
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..READS {
                let mut metas = [RecvMeta::default(); BUFFERS];
                let received = {
                    let mut buffers = scratch.chunks_exact_mut(BUFFER).map(IoSliceMut::new);
                    let mut buffers: [IoSliceMut<'_>; BUFFERS] =
                        std::array::from_fn(|_| buffers.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                    let receive = || self.state.recv((&self.io).into(), &mut buffers, &mut metas);
                    self.io.try_io(Interest::READABLE, receive)
                };
                // A peer that is gone (ICMP) shows as an error here, and then as silence.
                let Ok(count) = received else { return };
                for (buffer, meta) in scratch.chunks_exact_mut(BUFFER).zip(&metas).take(count) {
                    let at = meta.timestamp.unwrap_or_else(task::wall_clock);
                    let burst = buffer.get_mut(..meta.len).unwrap_or_default();
                    for datagram in burst.chunks_mut(meta.stride.max(1)) {
                        handle(meta.addr, at, datagram);
                    }
                }
            }
        });
    }
}

struct Driver<T> {
    socket: Socket,
    transport: T,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    receiver: SharedReceiver,
    leaving: watch::Receiver<bool>,
    state: watch::Sender<State>,
}

impl<T: Transport> Driver<T> {
    async fn run(mut self: Box<Self>) {
        let why = self.serve().await.err().unwrap_or_else(|| "it left".to_owned());
        self.state.send_replace(State::Ended(why));
        if self.rtc.close().is_ok() {
            self.drain();
        }
        self.transport.close().await;
    }

    /// Runs until it is told to leave, or the server ends it, which is the error.
    async fn serve(&mut self) -> Result<(), String> {
        let mut timeout = self.drain().ok_or("str0m gave up")?;
        loop {
            tokio::select! {
                biased;
                _ = self.leaving.changed() => return Ok(()),
                message = self.transport.recv() => {
                    let message = message.map_err(|closed| closed.to_string())?;
                    self.handle_message(message).await?;
                    self.tick()?;
                }
                readable = self.socket.io.readable() => {
                    readable.map_err(|_| "the socket failed")?;
                    // Media are most of what comes, and no business of str0m's.
                    if !self.read() {
                        continue;
                    }
                }
                () = time::sleep_until(timeout.into()) => self.tick()?,
            }
            timeout = self.drain().ok_or("str0m gave up")?;
        }
    }

    fn tick(&mut self) -> Result<(), &'static str> {
        self.rtc.handle_input(Input::Timeout(task::now())).map_err(|_| "str0m failed")
    }

    async fn handle_message(&mut self, message: Message) -> Result<(), &'static str> {
        match message {
            Message::Config if self.pending.is_none() => {
                self.add_candidate()?;
                let mut api = self.rtc.sdp_api();
                api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
                api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
                let (offer, pending) = api.apply().ok_or("no offer")?;
                self.pending = Some(pending);
                let sent = self.transport.send(Message::Offer(offer.to_sdp_string())).await;
                sent.map_err(|_| "the server is gone")
            }
            Message::Offer(sdp) => {
                self.add_candidate()?;
                let offer = SdpOffer::from_sdp_string(&sdp).map_err(|_| "unreadable offer")?;
                let answer = self.rtc.sdp_api().accept_offer(offer).map_err(|_| "unusable offer")?;
                let sent = self.transport.send(Message::Answer(answer.to_sdp_string())).await;
                sent.map_err(|_| "the server is gone")
            }
            Message::Answer(sdp) => {
                let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|_| "unreadable answer")?;
                let pending = self.pending.take().ok_or("an answer without an offer")?;
                self.rtc.sdp_api().accept_answer(pending, answer).map_err(|_| "unusable answer")
            }
            Message::Candidate(candidate) => {
                // Those that are for others (TCP, host names) are skipped, as a browser does.
                if let Ok(candidate) = Candidate::from_sdp_string(&candidate.candidate) {
                    self.rtc.add_remote_candidate(candidate);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_candidate(&mut self) -> Result<(), &'static str> {
        let candidate = Candidate::host(self.socket.local, Protocol::Udp);
        self.rtc.add_local_candidate(candidate.map_err(|_| "no candidate")?);
        Ok(())
    }

    /// Whether str0m was given anything.
    fn read(&mut self) -> bool {
        let Self { socket, rtc, receiver, state, .. } = self;
        let mut receiver = receiver.lock();
        let mut handed_on = false;
        socket.read(|source, at, datagram| {
            if receiver.has_key() {
                if !receiver.handle_datagram(at, datagram) {
                    handed_on = true;
                    hand_on(rtc, source, socket.local, datagram);
                    drain(rtc, &socket.io, state);
                }
                return;
            }
            handed_on = true;
            keys::take_opened();
            hand_on(rtc, source, socket.local, datagram);
            let opened = keys::take_opened();
            drain(rtc, &socket.io, state);
            if let Some(header) = Header::parse(datagram)
                && let Some(opened) = opened
                && let Some(key) = Key::learned(opened, &header)
            {
                receiver.set_key(key);
            }
            receiver.handle_datagram(at, datagram);
        });
        handed_on
    }

    fn drain(&mut self) -> Option<Instant> {
        drain(&mut self.rtc, &self.socket.io, &self.state)
    }
}

/// Lets str0m send and tell until it waits, and says until when; `None` when it has ended. To be called after each input,
/// before the next.
fn drain(rtc: &mut Rtc, socket: &UdpSocket, state: &watch::Sender<State>) -> Option<Instant> {
    loop {
        match rtc.poll_output().ok()? {
            Output::Timeout(timeout) => return rtc.is_alive().then_some(timeout),
            // What cannot be sent now is lost, as on any network.
            Output::Transmit(datagram) => {
                _ = socket.try_send_to(&datagram.contents, datagram.destination);
            }
            Output::Event(Event::Connected) => _ = state.send_replace(State::Connected),
            Output::Event(_) => {}
        }
    }
}

/// Gives a datagram to str0m.
fn hand_on(rtc: &mut Rtc, source: SocketAddr, local: SocketAddr, datagram: &[u8]) {
    if let Ok(received) = Receive::new(Protocol::Udp, source, local, datagram)
        && let Err(error) = rtc.handle_input(Input::Receive(task::now(), received))
    {
        tracing::debug!(%error, "str0m refuses a datagram");
    }
}

fn build_rtc(now: Instant) -> Rtc {
    let mut config = Rtc::builder()
        .clear_codecs()
        .enable_opus(true, false)
        .set_rtp_mode(true)
        .set_crypto_provider(keys::provider());
    config.codec_config().add_h264(109.into(), Some(114.into()), true, 0x42_e01f);
    config.build(now)
}

thread_local! {
    /// Room for what is read at once, by all members of a thread by turns.
    static SCRATCH: std::cell::RefCell<Box<[u8]>> =
        std::cell::RefCell::new(vec![0; BUFFERS * BUFFER].into_boxed_slice());
}

/// A coalesced burst: 64 kB at most.
const BUFFER: usize = 1 << 16;
const BUFFERS: usize = 32;
/// So that timers and others have their turn.
const READS: usize = 4;
/// Some large keyframes; the system caps it.
const RECEIVE_BUFFER: usize = 4 << 20;
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
