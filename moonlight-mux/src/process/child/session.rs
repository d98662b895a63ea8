//! What the control connection says is done, and what happens is told to it.

use std::future::pending;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::launch::ServersTurns;
use super::peers::Peers;
use super::{Exit, MakeSource, limits, media};
use crate::broadcast::Stats;
use crate::gamestream::host::Turns;
use crate::input::InputFeatures;
use crate::lifecycle::{EndReason, State};
use crate::media::StreamInfo;
use crate::peer::{LeaveReason, PeerConfig, PeerId};
use crate::process::link::{Link, Received, Receiver, Sender};
use crate::process::message::{FromChild, Init, StateMessage, ToChild, VERSION};
use crate::signalling::SignalError;
use crate::source::SourceStats;
use crate::streamer::{ExitPolicy, Streamer, Teller, Told};
use crate::task::{self, TaskSet};
use crate::webrtc::WebRtc;

/// How often it says what was counted, by which the server knows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often it looks whether input stands otherwise.
const INPUT: Duration = Duration::from_millis(200);
/// When the server is gone, an orderly end has so long.
const ORPHAN_GRACE: Duration = Duration::from_millis(1500);
/// What was said last is written within this, or not at all.
const FLUSH: Duration = Duration::from_secs(1);
/// Sockets for media at once. The server needs one, and two while it changes its mind.
const MEDIA: usize = 4;

/// What a process is, apart from what it is told.
#[derive(Default)]
pub(super) struct Session {
    #[cfg(feature = "bench-support")]
    fault: Option<GoWrong>,
}

#[cfg(feature = "bench-support")]
type GoWrong = Box<dyn FnMut(Fault<'_>) + Send>;

/// A moment at which something can go wrong in a process under test.
#[cfg(feature = "bench-support")]
#[expect(missing_debug_implementations, reason = "no public interface")]
#[doc(hidden)]
pub struct Fault<'a> {
    frames: u64,
    sender: &'a Sender<FromChild>,
}

#[cfg(feature = "bench-support")]
impl Fault<'_> {
    /// Pictures so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Says so many things that it could wait with for ever.
    pub fn chatter(&self, count: u32) {
        for _ in 0..count {
            self.sender.tell(FromChild::MoonlightConnected);
        }
    }

    /// Says bytes to the server, which need be no message.
    pub fn say(&self, bytes: Vec<u8>) {
        self.sender.tell_raw(bytes);
    }
}

/// Why there is nothing more to do.
enum End {
    /// The streamer ended.
    Streamer(EndReason),
    Orphaned,
    Panicked,
}

struct Child {
    sender: Sender<FromChild>,
    webrtc: WebRtc,
    /// What the streamer is made of.
    plan: Option<(Box<Init>, MakeSource)>,
    streamer: Option<Streamer>,
    state: Option<watch::Receiver<State>>,
    info: Option<Arc<StreamInfo>>,
    input: Input,
    turns: Arc<ServersTurns>,
    peers: Peers,
    media: TaskSet<()>,
    media_sockets: usize,
    /// The streamer is stopped: its end.
    stopping: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    #[cfg(feature = "bench-support")]
    fault: Option<GoWrong>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Input {
    features: Option<InputFeatures>,
    turn: Option<PeerId>,
    acting: Vec<PeerId>,
}

impl Session {
    #[cfg(feature = "bench-support")]
    pub(super) fn with_fault(mut self, fault: impl FnMut(Fault<'_>) + Send + 'static) -> Self {
        self.fault = Some(Box::new(fault));
        self
    }

    /// Talks with the server until there is nothing more to say.
    pub(super) async fn run(self, link: Link<FromChild, ToChild>, make: MakeSource) -> Exit {
        let Link { sender, mut receiver, writer } = link;
        let exit = self.talk(&sender, &mut receiver, make).await;
        sender.finish();
        match timeout(FLUSH, writer).await {
            Ok(Err(error)) if error.is_panic() => Exit::Panicked,
            _ => exit,
        }
    }

    async fn talk(
        self,
        sender: &Sender<FromChild>,
        receiver: &mut Receiver<ToChild>,
        make: MakeSource,
    ) -> Exit {
        sender.tell(FromChild::Hello { version: VERSION, pid: std::process::id() });
        let init = match introduction(receiver).await {
            Ok(init) => init,
            Err(error) => return refuse(sender, error, Exit::Protocol),
        };
        limits::apply(&init.limits);
        let webrtc = match WebRtc::bind(init.webrtc.clone()) {
            Ok(webrtc) => webrtc,
            Err(error) => return refuse(sender, sentence(&error), Exit::NotReady),
        };
        let (udp, tcp) = (webrtc.local_addr().port(), webrtc.tcp_addr().map(|address| address.port()));
        sender.tell(FromChild::Ready { udp, tcp });
        let mut child = Child {
            sender: sender.clone(),
            webrtc,
            plan: Some((init, make)),
            streamer: None,
            state: None,
            info: None,
            input: Input::default(),
            turns: Arc::new(ServersTurns::new(sender.clone())),
            peers: Peers::new(sender.clone()),
            media: TaskSet::new(),
            media_sockets: 0,
            stopping: None,
            #[cfg(feature = "bench-support")]
            fault: self.fault,
        };
        match child.serve(receiver).await {
            End::Streamer(reason) => {
                child.say_goodbye(reason).await;
                Exit::Ended
            }
            End::Orphaned => {
                tracing::warn!("the server is gone");
                if let Some(streamer) = &child.streamer {
                    let stop = streamer.stop(ExitPolicy::LeaveRunning, LeaveReason::ServerShutdown);
                    let _ = timeout(ORPHAN_GRACE, stop).await;
                }
                Exit::Orphaned
            }
            End::Panicked => Exit::Panicked,
        }
    }
}

/// The server says hello, and what to be.
async fn introduction(receiver: &mut Receiver<ToChild>) -> Result<Box<Init>, String> {
    const GONE: &str = "the server said nothing";
    let Received { message, .. } = receiver.recv().await.ok_or(GONE)?;
    let ToChild::Hello { version, pid } = message else { return Err("the server said no hello".into()) };
    if version != VERSION {
        return Err(format!("the server speaks version {version}, this process version {VERSION}"));
    }
    tracing::debug!(pid, "the server says hello");
    match receiver.recv().await.ok_or(GONE)?.message {
        ToChild::Init(init) => Ok(init),
        _ => Err("the server did not say what to be".into()),
    }
}

fn refuse(sender: &Sender<FromChild>, error: String, exit: Exit) -> Exit {
    tracing::error!(error, "cannot begin");
    sender.tell(FromChild::NotReady { error });
    exit
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl Child {
    async fn serve(&mut self, receiver: &mut Receiver<ToChild>) -> End {
        let (mut beat, mut look) = (task::now(), task::now());
        loop {
            tokio::select! {
                received = receiver.recv() => match received {
                    Some(received) => {
                        if let ControlFlow::Break(end) = self.handle(received) {
                            return end;
                        }
                    }
                    None => return End::Orphaned,
                },
                changed = changed(&mut self.state) => {
                    if let ControlFlow::Break(end) = self.handle_state(changed.is_err()) {
                        return end;
                    }
                }
                () = stopped(&mut self.stopping) => return self.ended(),
                Some(()) = self.peers.next_gone() => {}
                Some(_) = self.media.join_next() => self.media_sockets -= 1,
                () = task::at(Some(beat)) => {
                    beat = next(beat, HEARTBEAT);
                    self.tell_stats(receiver.counts().total());
                }
                () = task::at(Some(look)) => {
                    look = next(look, INPUT);
                    self.tell_info();
                    self.tell_input();
                    #[cfg(feature = "bench-support")]
                    self.go_wrong();
                }
            }
        }
    }

    fn handle(&mut self, Received { message, descriptor }: Received<ToChild>) -> ControlFlow<End> {
        let streamer = self.streamer.as_ref();
        match message {
            ToChild::Hello { .. } | ToChild::Init(_) => tracing::warn!("the server says again who is who"),
            ToChild::StartMoonlight => self.start(),
            ToChild::AddPeer { peer_id, offerer, name, rights } => {
                let config = PeerConfig { name, rights };
                self.peers.add(streamer, &self.webrtc, peer_id, offerer, config);
            }
            ToChild::FromPeer { peer_id, signal } => self.peers.handle(streamer, peer_id, Ok(signal)),
            ToChild::PeerMalformed { peer_id } => {
                let reason = "the server could not read it";
                self.peers.handle(streamer, peer_id, Err(SignalError::Malformed { reason }));
            }
            ToChild::PeerLost { peer_id } => self.peers.handle_lost(peer_id),
            ToChild::SetRights { peer_id, rights } => {
                streamer.map(|streamer| streamer.set_rights(peer_id, rights));
            }
            ToChild::SetInputMode { mode } => {
                if let Some(streamer) = streamer {
                    streamer.set_input_mode(mode);
                } else if let Some((init, _)) = &mut self.plan {
                    init.config.input_mode = mode;
                }
            }
            ToChild::RemovePeer { peer_id, reason } => {
                streamer.map(|streamer| streamer.kick(peer_id, reason));
            }
            ToChild::Keyframe => {
                streamer.map(Streamer::request_keyframe);
            }
            ToChild::OpenMedia => self.open_media(descriptor),
            ToChild::LaunchGranted => self.turns.handle_granted(),
            ToChild::Stop { quit, reason } => {
                let policy = if quit { ExitPolicy::Quit } else { ExitPolicy::LeaveRunning };
                let Some(streamer) = streamer else {
                    return ControlFlow::Break(End::Streamer(EndReason::Stopped));
                };
                self.stopping.get_or_insert_with(|| {
                    let streamer = streamer.clone();
                    Box::pin(async move { streamer.stop(policy, reason).await })
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn start(&mut self) {
        let Some((init, make)) = self.plan.take() else {
            tracing::warn!("the stream was started before");
            return;
        };
        let Init { streamer_id, source, config, .. } = *init;
        let source = make(source, Turns::elsewhere(self.turns.clone()));
        let sender = self.sender.clone();
        let teller = Teller::Other(Arc::new(move |told| tell_story(&sender, told)));
        let streamer = Streamer::start_told(streamer_id, source, config, teller);
        self.state = Some(streamer.watch_state());
        self.streamer = Some(streamer);
    }

    fn open_media(&mut self, descriptor: Option<OwnedFd>) {
        let (Some(streamer), Some(socket)) = (&self.streamer, descriptor) else {
            tracing::warn!("no stream or no socket for its media");
            return;
        };
        if self.media_sockets >= MEDIA {
            tracing::warn!("too many sockets for media");
            return;
        }
        self.media_sockets += 1;
        self.media.spawn(media::send(socket, streamer.clone()));
    }

    /// `is_last`: there will be no other.
    fn handle_state(&mut self, is_last: bool) -> ControlFlow<End> {
        let (Some(state), Some(streamer)) = (&mut self.state, self.streamer.clone()) else {
            return ControlFlow::Continue(());
        };
        let state = state.borrow_and_update().clone();
        // A format comes before its pictures, and what the source takes before it is said that it is connected.
        self.tell_info_of(streamer.info());
        self.tell_input();
        self.sender.tell(FromChild::State { state: StateMessage::new(&state, task::now()) });
        if let State::Ended(_) = state {
            self.state = None;
            // By itself, if nobody has stopped it: this waits for the same end.
            let streamer = streamer.clone();
            self.stopping.get_or_insert_with(|| {
                Box::pin(
                    async move { streamer.stop(ExitPolicy::LeaveRunning, LeaveReason::StreamEnded).await },
                )
            });
        } else if is_last {
            tracing::error!("the streamer is gone without a word");
            return ControlFlow::Break(End::Panicked);
        }
        ControlFlow::Continue(())
    }

    /// Nothing is left of the streamer.
    fn ended(&mut self) -> End {
        self.stopping = None;
        match self.streamer.as_ref().map(Streamer::state) {
            Some(State::Ended(reason)) => End::Streamer(reason),
            _ => End::Panicked,
        }
    }

    /// Everything that is to be said is said, and that it was all.
    async fn say_goodbye(&mut self, reason: EndReason) {
        let told = async { while self.peers.next_gone().await.is_some() {} };
        let _ = timeout(FLUSH, told).await;
        // Unless it was told.
        if let Some(state) = self.state.take() {
            let state = state.borrow();
            self.sender.tell(FromChild::State { state: StateMessage::new(&state, task::now()) });
        }
        self.sender.tell(FromChild::Stopped { reason });
    }

    fn tell_stats(&mut self, malformed: u64) {
        let peers = self.peers.stats();
        let streamer = self.streamer.as_ref();
        self.sender.tell(FromChild::Stats {
            stream: streamer.map_or_else(Stats::default, Streamer::stats),
            source: streamer.map_or_else(SourceStats::default, Streamer::source_stats),
            restarts: streamer.map_or(0, Streamer::restarts),
            peers,
            malformed,
            dropped: self.sender.dropped(),
        });
    }

    fn tell_info(&mut self) {
        self.tell_info_of(self.streamer.as_ref().and_then(Streamer::info));
    }

    fn tell_info_of(&mut self, info: Option<Arc<StreamInfo>>) {
        if let Some(info) = info
            && self.info.as_ref() != Some(&info)
        {
            self.sender.tell(FromChild::Info { info: (*info).clone() });
            self.info = Some(info);
        }
    }

    fn tell_input(&mut self) {
        let Some(streamer) = &self.streamer else { return };
        let peers = streamer.peers();
        let acting = peers.iter().filter(|peer| peer.acting).map(|peer| peer.id).collect();
        let input = Input { features: streamer.input_features(), turn: streamer.input_turn(), acting };
        if self.input != input {
            self.input = input.clone();
            let Input { features, turn, acting } = input;
            self.sender.tell(FromChild::Input { features, turn, acting });
        }
    }

    #[cfg(feature = "bench-support")]
    fn go_wrong(&mut self) {
        let frames = self.streamer.as_ref().map_or(0, |streamer| streamer.stats().video_frames);
        if let Some(fault) = &mut self.fault {
            fault(Fault { frames, sender: &self.sender });
        }
    }
}

/// Waits for the next state; for ever where there is no stream. Cancel safe.
async fn changed(state: &mut Option<watch::Receiver<State>>) -> Result<(), watch::error::RecvError> {
    match state {
        Some(state) => state.changed().await,
        None => pending().await,
    }
}

async fn stopped(stopping: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match stopping {
        Some(stopping) => stopping.await,
        None => pending().await,
    }
}

/// From now on if it is late, so that what was missed is not made up for.
fn next(due: Instant, every: Duration) -> Instant {
    (due + every).max(task::now())
}

fn tell_story(sender: &Sender<FromChild>, told: Told) {
    sender.tell(match told {
        // The server tells these itself.
        Told::Created | Told::Started => return,
        Told::StageStarting(stage) => FromChild::StageStarting { stage },
        Told::StageComplete(stage) => FromChild::StageComplete { stage },
        Told::StageFailed(stage, error) => FromChild::StageFailed { stage, error },
        Told::Connected => FromChild::MoonlightConnected,
        Told::Complete(StreamInfo { video, .. }) => FromChild::ConnectionComplete {
            width: video.width,
            height: video.height,
            codec: video.codec,
            fps: video.fps,
        },
        Told::FormatChanged(StreamInfo { video, .. }) => FromChild::FormatChanged {
            width: video.width,
            height: video.height,
            codec: video.codec,
            fps: video.fps,
        },
        Told::FirstPicture { keyframe, bytes } => FromChild::FirstPicture { keyframe, bytes },
    });
}
