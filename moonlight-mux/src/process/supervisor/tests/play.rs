//! Processes and viewers that a test plays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::broadcast::Stats;
use crate::egress::{Egress, Relocated, ViewerIo};
use crate::gamestream::host::{Host as GameHost, HostConfig};
use crate::gamestream::identity::Identity;
use crate::gamestream::source::{AppSelector, MoonlightConfig, MoonlightSource};
use crate::lifecycle::State;
use crate::peer::{LeaveReason, PeerId, PeerStats};
use crate::process::link::Taker;
use crate::process::message::{FromChild, StateMessage, ToChild, VERSION};
use crate::process::spawn::{End, Launcher, Life, Started};
use crate::process::supervisor::{Supervisor, tell_created};
use crate::process::{ProcessConfig, ProcessError, ProcessExit, SpawnableSource};
use crate::signalling::{Description, DescriptionKind, Signal, SignalError, SignalSink, SignalStream};
use crate::source::{SourceError, SourceStats};
use crate::streamer::{Streamer, StreamerConfig, StreamerId};
use crate::task;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Longer than anything waits here.
const LONG: Duration = Duration::from_secs(3600);

/// A host, and the processes that were started for it.
pub(super) struct Host {
    source: MoonlightSource,
    launcher: Arc<Theatre>,
    processes: mpsc::Receiver<Played>,
}

/// Starts processes that are played.
struct Theatre {
    played: mpsc::Sender<Played>,
    pids: AtomicU64,
}

impl Host {
    pub(super) fn new() -> Self {
        static IDENTITY: OnceLock<Identity> = OnceLock::new();
        let identity = IDENTITY.get_or_init(|| Identity::generate().expect("an identity"));
        let config = HostConfig::new("192.0.2.1".parse().expect("an address"), identity.clone());
        let app = AppSelector::Title("Desktop".to_owned());
        let source = MoonlightSource::new(GameHost::new(config), MoonlightConfig::new(app));
        let (played, processes) = mpsc::channel(64);
        Self { source, launcher: Arc::new(Theatre { played, pids: AtomicU64::new(1000) }), processes }
    }

    /// A streamer whose processes are played.
    pub(super) fn spawn(
        &self,
        id: &str,
        change: impl FnOnce(&mut StreamerConfig, &mut ProcessConfig),
    ) -> Streamer {
        let (mut config, mut process) = (StreamerConfig::default(), ProcessConfig::default());
        change(&mut config, &mut process);
        self.keep(id, Arc::new(self.source.clone()), config, process)
    }

    /// A streamer whose source fails before there is a process: with a panic, or like this.
    pub(super) fn spawn_failing(&self, error: Option<SourceError>) -> Streamer {
        struct Failing(Option<SourceError>);
        #[async_trait]
        impl SpawnableSource for Failing {
            async fn moonlight(&self) -> Result<MoonlightSource, SourceError> {
                Err(self.0.clone().expect("a panic on purpose"))
            }
        }
        let source = Arc::new(Failing(error));
        self.keep("failing", source, StreamerConfig::default(), ProcessConfig::default())
    }

    fn keep(
        &self,
        id: &str,
        source: Arc<dyn SpawnableSource>,
        config: StreamerConfig,
        process: ProcessConfig,
    ) -> Streamer {
        let launcher = self.launcher.clone();
        let id = id.parse().expect("an id");
        Streamer::kept_by(id, config, tell_created, |ends| {
            Supervisor::with(source, process, ends, launcher).run()
        })
    }

    /// The next process that is started.
    pub(super) async fn process(&mut self) -> Played {
        self.processes.recv().await.expect("the stage is there")
    }
}

impl Launcher for Theatre {
    fn start(&self, _: &StreamerId, _: &ProcessConfig) -> Result<Started, ProcessError> {
        let pid = u32::try_from(self.pids.fetch_add(1, Relaxed)).expect("few processes");
        let (outbox, told) = Taker::new();
        let (say, words) = mpsc::channel(256);
        let (end, ended) = oneshot::channel();
        let (killed, closed) = (CancellationToken::new(), CancellationToken::new());
        let resident = Arc::new(AtomicU64::new(0));
        let say = Arc::new(Mutex::new(Some(say)));
        let life = PlayedLife {
            say: say.clone(),
            ended,
            killed: killed.clone(),
            closed: closed.clone(),
            resident: resident.clone(),
        };
        let played = Played { pid, told, say, end: Some(end), killed, closed, resident };
        self.played.try_send(played).expect("the test takes its processes");
        Ok(Started { pid, outbox, words, life: Box::new(life) })
    }
}

/// What it says goes here until it has ended.
type Say = Arc<Mutex<Option<mpsc::Sender<FromChild>>>>;

struct PlayedLife {
    say: Say,
    ended: oneshot::Receiver<ProcessExit>,
    killed: CancellationToken,
    closed: CancellationToken,
    resident: Arc<AtomicU64>,
}

#[async_trait]
impl Life for PlayedLife {
    async fn ended(&mut self) -> End {
        let exit = tokio::select! {
            exit = &mut self.ended => exit.unwrap_or(ProcessExit::Unknown),
            () = self.killed.cancelled() => ProcessExit::Signal(9),
        };
        let was_refused_memory = exit == ProcessExit::Signal(6);
        End { exit, log: vec!["last words".to_owned()], was_refused_memory }
    }

    fn kill(&mut self) {
        *self.say.lock().expect("nobody panics with it") = None;
        self.killed.cancel();
    }

    fn resident(&self) -> Option<u64> {
        Some(self.resident.load(Relaxed))
    }

    async fn close(self: Box<Self>) {
        self.closed.cancel();
    }
}

/// A process that the test plays. One that is killed ends; it says nothing by itself, not even each second.
pub(super) struct Played {
    pub(super) pid: u32,
    told: Taker<ToChild>,
    say: Say,
    end: Option<oneshot::Sender<ProcessExit>>,
    killed: CancellationToken,
    closed: CancellationToken,
    pub(super) resident: Arc<AtomicU64>,
}

impl Played {
    /// What it is told next.
    pub(super) async fn told(&mut self) -> ToChild {
        tokio::time::timeout(LONG, self.told.recv()).await.expect("the supervisor talks")
    }

    /// The same; it says something each second meanwhile.
    pub(super) async fn told_or_beating(&mut self) -> ToChild {
        loop {
            tokio::select! {
                told = self.told.recv() => return told,
                () = task::at(Some(task::now() + seconds(1))) => {}
            }
            self.count(&Stats::default(), 0);
        }
    }

    /// Waits for this; it says something each second meanwhile, and hears nothing.
    pub(super) async fn pump_until<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        tokio::pin!(wanted);
        loop {
            tokio::select! {
                wanted = &mut wanted => return wanted,
                () = task::at(Some(task::now() + seconds(1))) => {}
            }
            self.count(&Stats::default(), 0);
        }
    }

    pub(super) fn say(&mut self, word: FromChild) {
        self.sender().try_send(word).expect("the supervisor listens");
    }

    pub(super) async fn say_waiting(&mut self, word: FromChild) {
        self.sender().send(word).await.expect("the supervisor listens");
    }

    fn sender(&self) -> mpsc::Sender<FromChild> {
        self.say.lock().expect("nobody panics with it").clone().expect("it has not ended")
    }

    pub(super) fn hello(&mut self, version: u32) {
        self.say(FromChild::Hello { version, pid: self.pid });
    }

    /// Up to where it streams as soon as it can.
    pub(super) async fn ready(&mut self) {
        assert!(matches!(self.told().await, ToChild::Hello { .. }));
        self.hello(VERSION);
        assert!(matches!(self.told().await, ToChild::Init(_)));
        self.say(FromChild::Ready { udp: 1, tcp: None });
        assert!(matches!(self.told().await, ToChild::StartMoonlight));
    }

    /// Up to its first picture.
    pub(super) async fn stream(&mut self) {
        self.ready().await;
        self.say(FromChild::State { state: StateMessage::Streaming });
    }

    pub(super) fn count(&mut self, stream: &Stats, restarts: u64) {
        self.count_all(stream.clone(), restarts, Vec::new());
    }

    pub(super) fn count_peer(&mut self, peer: PeerId, stats: PeerStats) {
        self.count_all(Stats::default(), 0, vec![(peer, stats)]);
    }

    fn count_all(&mut self, stream: Stats, restarts: u64, peers: Vec<(PeerId, PeerStats)>) {
        let source = SourceStats::default();
        self.say(FromChild::Stats { stream, source, restarts, peers, malformed: 0, dropped: 0 });
    }

    pub(super) fn exit(&mut self, exit: ProcessExit) {
        *self.say.lock().expect("nobody panics with it") = None;
        // One that was killed has ended already.
        let _ = self.end.take().expect("it ends once").send(exit);
    }

    pub(super) fn was_killed(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Nothing is left of it with the supervisor.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

/// It is told nothing for a while.
pub(super) async fn silent(process: &mut Played) -> bool {
    tokio::time::timeout(Duration::from_millis(500), process.told.recv()).await.is_err()
}

/// Waits for a state.
pub(super) async fn reaches(streamer: &Streamer, wanted: impl Fn(&State) -> bool) -> State {
    let mut state = streamer.watch_state();
    state.wait_for(|state| wanted(state)).await.expect("the streamer lives").clone()
}

pub(super) fn offer(sdp: &str) -> Signal {
    Signal::Description(Description { kind: DescriptionKind::Offer, sdp: sdp.to_owned() })
}

/// A viewer's other end.
pub(super) struct Page {
    heard: mpsc::Receiver<Signal>,
    say: mpsc::Sender<Signal>,
    closed: Arc<Mutex<Option<LeaveReason>>>,
}

pub(super) struct PageEgress(Option<Relocated>);

struct Sink {
    /// Dropped when it is closed.
    signals: Option<mpsc::Sender<Signal>>,
    closed: Arc<Mutex<Option<LeaveReason>>>,
    stuck: AtomicBool,
}

struct Stream(mpsc::Receiver<Signal>);

impl Page {
    pub(super) fn new(viewer_offers: bool) -> (PageEgress, Self) {
        Self::with(viewer_offers, false)
    }

    /// Its transport takes nothing.
    pub(super) fn stuck() -> (PageEgress, Self) {
        Self::with(true, true)
    }

    fn with(viewer_offers: bool, stuck: bool) -> (PageEgress, Self) {
        let (signals, heard) = mpsc::channel(64);
        let (say, stream) = mpsc::channel(64);
        let closed = Arc::new(Mutex::new(None));
        let sink = Sink { signals: Some(signals), closed: closed.clone(), stuck: AtomicBool::new(stuck) };
        let relocated = Relocated { sink: Box::new(sink), stream: Box::new(Stream(stream)), viewer_offers };
        (PageEgress(Some(relocated)), Self { heard, say, closed })
    }

    pub(super) async fn say(&self, signal: Signal) {
        self.say.send(signal).await.expect("somebody listens");
    }

    /// `None` when its transport is closed.
    pub(super) async fn heard(&mut self) -> Option<Signal> {
        self.heard.recv().await
    }

    pub(super) fn closed(&self) -> Option<LeaveReason> {
        *self.closed.lock().expect("nobody panics with it")
    }
}

#[async_trait]
impl Egress for PageEgress {
    async fn run(self: Box<Self>, _: ViewerIo) -> LeaveReason {
        panic!("it is served elsewhere");
    }

    fn relocate(&mut self) -> Option<Relocated> {
        self.0.take()
    }
}

#[async_trait]
impl SignalSink for Sink {
    async fn send(&mut self, signal: Signal) -> Result<(), SignalError> {
        if self.stuck.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        let signals = self.signals.as_ref().ok_or(SignalError::Closed)?;
        signals.send(signal).await.map_err(|_| SignalError::Closed)
    }

    async fn close(&mut self, reason: LeaveReason) {
        self.signals = None;
        *self.closed.lock().expect("nobody panics with it") = Some(reason);
    }
}

#[async_trait]
impl SignalStream for Stream {
    async fn recv(&mut self) -> Result<Signal, SignalError> {
        self.0.recv().await.ok_or(SignalError::Closed)
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
