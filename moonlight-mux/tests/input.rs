//! From viewers to the source and back: input, with a source and viewers that do what the test says, on a clock that the
//! tests own.

#![expect(clippy::disallowed_methods, reason = "the clock is paused: it is the test's own")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moonlight_mux::{
    DeviceClass, Egress, Ended, ExitPolicy, FrameNumber, GamepadFeedback, GamepadIndex, GamepadInfo,
    GamepadSlot, GamepadState, HostFeedback, HostInput, InputEvent, InputFeatures, InputMode, InputStatus,
    Inputs, KeyCode, LeaveReason, Modifiers, MouseButton, PeerConfig, PeerHandle, PeerId, PeerInfo, Pointer,
    Position, Rights, SourceError, SourceIo, State, StreamInfo, Streamer, StreamerConfig, VideoCodec,
    VideoFrame, VideoInfo, VideoSource, VideoTimestamp, ViewerIo,
};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

/// What the test tells its source to do.
enum Step {
    /// To take so many inputs more.
    Take(usize),
    /// To ask for inputs, with these features.
    Connect(InputFeatures),
    /// To take no input any more.
    Disconnect,
    /// To give its inputs away.
    GiveAway(oneshot::Sender<Inputs>),
    Feedback(HostFeedback),
    End(Result<Ended, SourceError>),
}

/// A source that shows a picture each half second, and takes what it is told to.
struct Desk {
    steps: Mutex<mpsc::Receiver<Step>>,
    took: mpsc::Sender<HostInput>,
}

#[async_trait]
impl VideoSource for Desk {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut steps = self.steps.try_lock().expect("one run at a time");
        io.connected();
        let video = VideoInfo { codec: VideoCodec::H264, width: 1280, height: 720, fps: 60 };
        io.info(StreamInfo { video, audio: None });
        let (mut inputs, mut may_take, mut number) = (None, 0, 0);
        let mut pictures = tokio::time::interval(Duration::from_millis(500));
        loop {
            let next = async {
                match &mut inputs {
                    Some(inputs) if may_take > 0 => Inputs::next(inputs).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(step) = steps.recv() => match step {
                    Step::Take(more) => may_take += more,
                    Step::Connect(features) => inputs = Some(io.inputs(features)),
                    Step::Disconnect => inputs = None,
                    Step::GiveAway(to) => {
                        let _ = to.send(inputs.take().expect("it has some"));
                    }
                    Step::Feedback(feedback) => io.feedback(feedback),
                    Step::End(result) => return result,
                },
                input = next => {
                    may_take -= 1;
                    self.took.try_send(input).expect("the test has room");
                }
                command = io.command() => if command.is_none() { return Ok(Ended::Stopped) },
                _ = pictures.tick() => {
                    io.video(VideoFrame {
                        number: FrameNumber(number),
                        timestamp: VideoTimestamp(number * 45_000),
                        keyframe: number == 0,
                        host_latency: None,
                        data: Bytes::from_static(b"picture"),
                    });
                    number += 1;
                }
            }
        }
    }
}

/// A stream, and the test's hand in its source.
struct Stream {
    streamer: Streamer,
    steps: mpsc::Sender<Step>,
    took: mpsc::Receiver<HostInput>,
}

impl Stream {
    /// One whose source has asked for nothing.
    async fn without_input(mode: InputMode) -> Self {
        let ((steps, told), (taken, took)) = (mpsc::channel(100), mpsc::channel(100_000));
        let source = Desk { steps: Mutex::new(told), took: taken };
        let mut config = StreamerConfig::default();
        config.input_mode = mode;
        let streamer = Streamer::start("desk".parse().expect("an id"), source, config);
        streamer.wait_streaming().await.expect("it streams");
        Self { streamer, steps, took }
    }

    /// One whose source takes all that comes.
    async fn start(mode: InputMode) -> Self {
        let stream = Self::without_input(mode).await;
        stream.step(Step::Take(usize::MAX)).await;
        stream.step(Step::Connect(features(true))).await;
        stream
    }

    async fn step(&self, step: Step) {
        self.steps.send(step).await.expect("the source runs");
        settle().await;
    }

    fn join(&self, rights: Rights) -> Viewer {
        self.add(rights, false)
    }

    fn add(&self, rights: Rights, clings: bool) -> Viewer {
        let (dos, told) = mpsc::channel(10_000);
        let (told_watches, watches) = oneshot::channel();
        let (felt, feedback) = mpsc::channel(100);
        let mut config = PeerConfig::default();
        config.rights = rights;
        let egress = Hand { told, watches: told_watches, felt, clings };
        let handle = self.streamer.add_peer(egress, config).expect("there is room");
        Viewer { handle, dos, watches, feedback }
    }

    /// What the host was told since the last call, when all has come to rest.
    async fn told(&mut self) -> Vec<HostInput> {
        settle().await;
        std::iter::from_fn(|| self.took.try_recv().ok()).collect()
    }

    fn listed(&self, viewer: &Viewer) -> PeerInfo {
        let peers = self.streamer.peers();
        peers.iter().find(|peer| peer.id == viewer.handle.id()).expect("it is listed").clone()
    }

    async fn end(self) {
        self.streamer.shutdown(ExitPolicy::LeaveRunning).await;
    }
}

/// What the test tells a viewer to do.
enum Do {
    Input(InputEvent),
    /// Then it is told when the event was taken.
    InputTold(InputEvent, oneshot::Sender<()>),
    ExpectHeartbeat,
    Leave,
    Panic,
}

type Watches = (watch::Receiver<InputStatus>, watch::Receiver<Arc<[Pointer]>>);

/// A viewer that does what the test says.
struct Hand {
    told: mpsc::Receiver<Do>,
    watches: oneshot::Sender<Watches>,
    felt: mpsc::Sender<GamepadFeedback>,
    /// Does not leave when it is asked to.
    clings: bool,
}

#[async_trait]
impl Egress for Hand {
    async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason {
        let Self { mut told, watches, felt, clings } = *self;
        let _ = watches.send((viewer.watch_input(), viewer.watch_pointers()));
        let acts = async {
            while let Some(told) = told.recv().await {
                match told {
                    Do::Input(event) => viewer.input(&event).await,
                    Do::InputTold(event, taken) => {
                        viewer.input(&event).await;
                        let _ = taken.send(());
                    }
                    Do::ExpectHeartbeat => viewer.expect_heartbeat(true),
                    Do::Leave => return LeaveReason::Left,
                    Do::Panic => panic!("the test says so"),
                }
            }
            std::future::pending().await
        };
        let feels = async {
            loop {
                felt.try_send(viewer.feedback().await).expect("the test has room");
            }
        };
        tokio::pin!(acts);
        tokio::select! {
            reason = &mut acts => reason,
            () = feels => LeaveReason::Internal,
            reason = viewer.leaving(), if !clings => reason,
        }
    }
}

/// A viewer, and the test's hand in it.
struct Viewer {
    handle: PeerHandle,
    dos: mpsc::Sender<Do>,
    watches: oneshot::Receiver<Watches>,
    feedback: mpsc::Receiver<GamepadFeedback>,
}

impl Viewer {
    fn id(&self) -> PeerId {
        self.handle.id()
    }

    /// Does not wait until it is done.
    fn will(&self, what: Do) {
        self.dos.try_send(what).expect("the viewer is there");
    }

    fn act(&self, event: InputEvent) {
        self.will(Do::Input(event));
    }

    async fn watches(&mut self) -> Watches {
        (&mut self.watches).await.expect("the viewer runs")
    }
}

/// Lets all tasks go on until none can. The clock moves by a millisecond.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn features(touch: bool) -> InputFeatures {
    let mut features = InputFeatures::default();
    features.touch = touch;
    features
}

fn key(code: u8, down: bool) -> InputEvent {
    InputEvent::Key { code: KeyCode(code), down, modifiers: Modifiers::default(), locks: None }
}

fn host_key(code: u8, down: bool) -> HostInput {
    HostInput::Key { code: KeyCode(code), down, modifiers: Modifiers::default() }
}

fn gamepad(index: u8) -> GamepadIndex {
    GamepadIndex::new(index).expect("below 16")
}

fn slot(number: u8) -> GamepadSlot {
    GamepadSlot::new(number).expect("below 16")
}

fn plug(index: u8) -> InputEvent {
    InputEvent::GamepadConnected { index: gamepad(index), info: GamepadInfo::default() }
}

fn to(x: u16, y: u16) -> InputEvent {
    InputEvent::PointerTo(Position { x, y })
}

const KEYBOARD: DeviceClass = DeviceClass::Keyboard;

#[tokio::test(start_paused = true)]
async fn whoever_goes_in_whatever_way_lets_go_what_it_held() {
    let mut stream = Stream::start(InputMode::Shared).await;
    for way in 0..6 {
        let viewer = stream.add(Rights::ALL, way == 5);
        viewer.act(key(0x41, true));
        viewer.act(plug(3));
        let told = stream.told().await;
        let resting = GamepadState::default();
        assert_eq!(
            told,
            [
                host_key(0x41, true),
                HostInput::GamepadConnected { slot: slot(0), info: GamepadInfo::default() },
                HostInput::Gamepad { slot: slot(0), state: resting, active: 1 },
            ],
            "way {way}"
        );
        let _kept;
        match way {
            0 => viewer.will(Do::Leave),
            1 => viewer.handle.leave(LeaveReason::Superseded),
            2 => drop(viewer),
            3 => viewer.will(Do::Panic),
            4 => assert!(stream.streamer.kick(viewer.id(), LeaveReason::Kicked)),
            _ => {
                // It does not leave, and acts on.
                sleep(Duration::from_millis(200)).await;
                let mut peers = stream.streamer.watch_peers();
                let what = |peers: &[PeerInfo]| peers.last().map(|peer| (peer.rights, peer.acting));
                assert_eq!(what(&peers.borrow_and_update()), Some((Rights::ALL, true)));
                assert!(stream.streamer.kick(viewer.id(), LeaveReason::Kicked));
                settle().await;
                viewer.act(key(0x42, true));
                let listed = peers.wait_for(|peers| what(peers) == Some((Rights::NONE, false)));
                timeout(Duration::from_millis(101), listed).await.expect("watchers hear of it").unwrap();
                _kept = viewer;
            }
        }
        let told = stream.told().await;
        let unplugged = HostInput::Gamepad { slot: slot(0), state: resting, active: 0 };
        assert_eq!(told.len(), 2, "way {way}: {told:?}");
        assert!(told.contains(&host_key(0x41, false)) && told.contains(&unplugged), "way {way}: {told:?}");
    }
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_kick_says_whether_there_is_such_a_viewer() {
    let stream = Stream::start(InputMode::Shared).await;
    let viewer = stream.join(Rights::ALL);
    assert!(stream.streamer.kick(viewer.id(), LeaveReason::Kicked), "even one that has not begun");
    assert_eq!(viewer.handle.closed().await, LeaveReason::Kicked);
    assert!(!stream.streamer.kick(viewer.id(), LeaveReason::Kicked));
    assert!(!stream.streamer.set_rights(viewer.id(), Rights::NONE));
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_source_takes_nothing_viewers_wait_and_then_all_comes_in_order() {
    let mut stream = Stream::without_input(InputMode::Shared).await;
    stream.step(Step::Connect(features(true))).await;
    // Each has keys of its own, so the host's are all of theirs.
    let viewers: Vec<_> = (0..4).map(|_| stream.join(Rights::ALL)).collect();
    let mut last = Vec::new();
    for (code, viewer) in (0x41..).zip(&viewers) {
        for n in 0..1000 {
            viewer.act(key(code, n % 2 == 0));
        }
        let (taken, told) = oneshot::channel();
        viewer.will(Do::InputTold(key(code, true), taken));
        last.push(told);
    }
    assert_eq!(stream.told().await, [], "the source took nothing");
    assert!(last.iter_mut().all(|told| told.try_recv().is_err()), "the viewers wait");
    // One more comes late, with a single key, while others have hundreds that wait.
    let late = stream.join(Rights::ALL);
    late.act(key(0x51, true));
    settle().await;

    stream.step(Step::Take(1500)).await;
    let told = stream.told().await;
    assert_eq!(told.len(), 1500);
    assert!(told.contains(&host_key(0x51, true)), "nobody waits for all that others have to say");
    stream.step(Step::Take(usize::MAX / 2)).await;
    let mut all = told;
    all.extend(stream.told().await);
    assert_eq!(all.len(), 4 * 1001 + 1, "nothing is lost");
    let mut down = BTreeMap::new();
    for input in &all {
        let HostInput::Key { code, down: now, .. } = *input else { panic!("{input:?}") };
        assert_ne!(down.insert(code, now).unwrap_or(false), now, "in order");
    }
    assert!(last.iter_mut().all(|told| told.try_recv().is_ok()));
    drop(viewers);
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_goes_on_when_the_source_is_gone() {
    let mut stream = Stream::without_input(InputMode::Shared).await;
    stream.step(Step::Connect(features(true))).await;
    let viewers = [stream.join(Rights::ALL), stream.join(Rights::ALL)];
    let mut last = Vec::new();
    for (code, viewer) in (0x41..).zip(&viewers) {
        for n in 0..2000 {
            viewer.act(key(code, n % 2 == 0));
        }
        let (taken, told) = oneshot::channel();
        viewer.will(Do::InputTold(key(code, true), taken));
        last.push(told);
    }
    settle().await;
    assert!(last.iter_mut().all(|told| told.try_recv().is_err()), "the viewers wait");
    stream.step(Step::End(Err(lost()))).await;
    assert!(last.iter_mut().all(|told| told.try_recv().is_ok()), "what they did was dropped");
    assert_eq!(stream.told().await, []);
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_waits_makes_nobody_else_wait_and_leaves_nothing_down() {
    let mut stream = Stream::without_input(InputMode::Shared).await;
    stream.step(Step::Connect(features(true))).await;
    let [first, second] = [stream.join(Rights::ALL), stream.join(Rights::ALL)];
    for n in 0..3000 {
        first.act(key(0x41, n % 2 == 0));
    }
    settle().await;
    let (taken, mut told) = oneshot::channel();
    second.will(Do::InputTold(key(0x42, true), taken));
    settle().await;
    assert!(told.try_recv().is_ok(), "it is taken though the first waits");
    drop(first);
    settle().await;
    stream.step(Step::Take(usize::MAX)).await;
    let told = stream.told().await;
    assert!(told.contains(&host_key(0x42, true)));
    let mut of_first =
        told.iter().filter(|input| matches!(input, HostInput::Key { code: KeyCode(0x41), .. }));
    assert_eq!(of_first.next_back(), Some(&host_key(0x41, false)));
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn feedback_reaches_the_gamepads_owner_alone_under_its_own_name() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let [mut ann, mut ben] = [stream.join(Rights::ALL), stream.join(Rights::ALL)];
    ann.act(plug(5));
    stream.told().await;
    ben.act(plug(5));
    ben.act(plug(2));
    stream.told().await;

    let rumble = |gamepad| HostFeedback::Rumble { gamepad, low: 9, high: 8 };
    for number in [1, 0, 2, 7] {
        stream.step(Step::Feedback(rumble(slot(number)))).await;
    }
    let felt =
        |viewer: &mut Viewer| -> Vec<_> { std::iter::from_fn(|| viewer.feedback.try_recv().ok()).collect() };
    let own = |index| GamepadFeedback::Rumble { gamepad: gamepad(index), low: 9, high: 8 };
    assert_eq!(felt(&mut ann), [own(5)]);
    assert_eq!(felt(&mut ben), [own(5), own(2)]);

    // What goes on when the host is lost is ended for it.
    let still = |index| GamepadFeedback::Rumble { gamepad: gamepad(index), low: 0, high: 0 };
    assert!(stream.streamer.set_rights(ann.id(), Rights::ALL.with(DeviceClass::Gamepad, false)));
    settle().await;
    assert_eq!(felt(&mut ann), [still(5)]);
    stream.step(Step::End(Err(lost()))).await;
    assert_eq!((felt(&mut ann), felt(&mut ben)), (vec![], vec![still(5), still(2)]));
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_taken_lets_go_and_is_told() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let mut viewer = stream.join(Rights::ALL);
    let (mut status, _) = viewer.watches().await;
    settle().await;
    assert_eq!(stream.listed(&viewer).rights, Rights::ALL);
    viewer.act(key(0x41, true));
    viewer.act(InputEvent::Button { button: MouseButton::Left, down: true, at: None });
    let click = |down| HostInput::Button { button: MouseButton::Left, down };
    assert_eq!(stream.told().await, [host_key(0x41, true), click(true)]);

    status.mark_unchanged();
    let rights = Rights::ALL.with(KEYBOARD, false);
    assert!(stream.streamer.set_rights(viewer.id(), rights));
    assert_eq!(stream.listed(&viewer).rights, rights, "at once");
    assert_eq!(stream.told().await, [host_key(0x41, false)]);
    timeout(Duration::from_millis(101), status.changed()).await.expect("within 100 ms").unwrap();
    assert_eq!(status.borrow_and_update().rights, rights);
    viewer.act(key(0x42, true));
    viewer.act(InputEvent::Button { button: MouseButton::Left, down: false, at: None });
    assert_eq!(stream.told().await, [click(false)]);

    let mut peers = stream.streamer.watch_peers();
    let listed = peers.wait_for(|peers| peers[0].rights == rights);
    timeout(Duration::from_millis(100), listed).await.expect("watchers hear of it").unwrap();
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn between_two_runs_input_is_dropped_and_the_next_host_is_told_of_gamepads_anew() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let mut viewer = stream.join(Rights::ALL);
    let (mut status, _) = viewer.watches().await;
    viewer.act(plug(0));
    viewer.act(key(0x41, true));
    assert_eq!(stream.told().await.len(), 3);
    let takes = |status: &InputStatus| status.features.map(|features| features.touch);
    let settled = timeout(Duration::from_millis(100), status.wait_for(|now| takes(now) == Some(true)));
    settled.await.expect("told").unwrap();

    stream.step(Step::End(Err(lost()))).await;
    let gone = timeout(Duration::from_millis(100), status.wait_for(|now| takes(now).is_none()));
    gone.await.expect("told").unwrap();
    assert!(matches!(stream.streamer.state(), State::Reconnecting { .. }));
    assert_eq!(stream.streamer.input_features(), None);
    viewer.act(key(0x41, false));
    viewer.act(key(0x42, true));
    viewer.act(plug(1));
    settle().await;

    stream.streamer.wait_streaming().await.unwrap();
    viewer.act(key(0x43, true));
    assert_eq!(stream.told().await, [], "the next run has not asked for input yet");
    stream.step(Step::Take(usize::MAX)).await;
    stream.step(Step::Connect(features(false))).await;
    let back = timeout(Duration::from_millis(100), status.wait_for(|now| takes(now) == Some(false)));
    back.await.expect("told").unwrap();
    let told = stream.told().await;
    let slots = told.iter().filter_map(|input| match input {
        HostInput::GamepadConnected { slot, .. } => Some(slot.get()),
        _ => None,
    });
    assert_eq!(slots.collect::<Vec<_>>(), [0, 1]);
    assert!(!told.iter().any(|input| matches!(input, HostInput::Key { .. })), "{told:?}");
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_acts_is_listed_when_it_changes_and_not_with_each_event() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let [ann, ben] = [stream.join(Rights::ALL), stream.join(Rights::NONE)];
    settle().await;
    sleep(Duration::from_secs(1)).await;
    let mut peers = stream.streamer.watch_peers();
    peers.mark_unchanged();
    let mut changes = 0;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        for x in 0..10 {
            ann.act(to(x, 1));
            ben.act(to(x, 1));
        }
        sleep(Duration::from_millis(10)).await;
        if peers.has_changed().unwrap() {
            changes += 1;
            let acting = |viewer: &Viewer| peers.borrow().iter().any(|p| p.id == viewer.id() && p.acting);
            assert!(acting(&ann) && !acting(&ben), "{:?}", *peers.borrow());
            peers.mark_unchanged();
        }
    }
    assert_eq!(changes, 1);
    timeout(Duration::from_millis(1101), peers.wait_for(|peers| peers.iter().all(|peer| !peer.acting)))
        .await
        .expect("it rests")
        .unwrap();
    ann.act(key(0x41, true));
    settle().await;
    sleep(Duration::from_secs(10)).await;
    assert!(stream.listed(&ann).acting, "whoever holds something acts");
    ann.act(key(0x41, false));
    sleep(Duration::from_millis(1200)).await;
    assert!(!stream.listed(&ann).acting);
    stream.told().await;
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn pointers_of_those_who_may_point_are_told_10_times_a_second() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let [mut ann, ben] = [stream.join(Rights::ALL), stream.join(Rights::NONE)];
    let (_, mut pointers) = ann.watches().await;
    settle().await;
    sleep(Duration::from_secs(1)).await;
    let mut told = Vec::new();
    for x in 0..1000 {
        ann.act(to(x, 1));
        ben.act(to(x, 2));
        settle().await;
        if pointers.has_changed().unwrap() {
            told.push(pointers.borrow_and_update().clone());
        }
    }
    assert!((9..=11).contains(&told.len()), "{} times in a second", told.len());
    let all = told.iter().flat_map(|told| told.iter());
    assert!(all.clone().all(|pointer| pointer.peer == ann.id() && pointer.position.y == 1));
    assert!(all.map(|pointer| pointer.position.x).is_sorted());

    let place = |x| vec![Pointer { peer: ann.id(), position: Position { x, y: 1 } }];
    let reached = pointers.wait_for(|told| told[..] == place(999)[..]);
    timeout(Duration::from_millis(101), reached).await.expect("the last place is told too").unwrap();
    let rested = Instant::now();
    pointers.wait_for(|told| told.is_empty()).await.unwrap();
    assert!((4900..=5101).contains(&rested.elapsed().as_millis()), "{:?}", rested.elapsed());

    ann.act(to(7, 1));
    settle().await;
    pointers.wait_for(|told| told[..] == place(7)[..]).await.unwrap();
    let left = Instant::now();
    ann.will(Do::Leave);
    pointers.wait_for(|told| told.is_empty()).await.unwrap();
    assert!(left.elapsed() <= Duration::from_millis(101), "{:?}", left.elapsed());
    stream.told().await;
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn whose_turn_it_is_is_told_to_all_and_ends_by_itself() {
    let mut stream = Stream::start(InputMode::one_at_a_time()).await;
    let [mut ann, ben] = [stream.join(Rights::ALL), stream.join(Rights::ALL)];
    let (mut status, pointers) = ann.watches().await;
    ben.act(key(0x42, true));
    assert_eq!(stream.told().await, [host_key(0x42, true)]);
    ann.act(key(0x41, true));
    ann.act(key(0x41, false));
    assert_eq!(stream.told().await, []);
    assert_eq!(stream.streamer.input_turn(), Some(ben.id()));
    let turn = status.wait_for(|status| status.turn == Some(ben.id()));
    timeout(Duration::from_millis(101), turn).await.expect("told").unwrap();
    ben.act(key(0x42, false));
    assert_eq!(stream.told().await, [host_key(0x42, false)]);
    let rested = Instant::now();
    status.wait_for(|status| status.turn.is_none()).await.unwrap();
    assert!((1900..=2101).contains(&rested.elapsed().as_millis()), "{:?}", rested.elapsed());

    stream.streamer.set_input_mode(InputMode::ViewOnly);
    assert_eq!(stream.streamer.input_mode(), InputMode::ViewOnly);
    let mode = status.wait_for(|status| status.mode == InputMode::ViewOnly);
    timeout(Duration::from_millis(101), mode).await.expect("told").unwrap();
    ann.act(key(0x41, true));
    ann.act(to(1, 1));
    assert_eq!(stream.told().await, []);
    sleep(Duration::from_millis(200)).await;
    assert!(pointers.borrow().is_empty(), "who only watches does not point");
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_viewer_holds_is_let_go_after_a_second() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let [ann, ben] = [stream.join(Rights::ALL), stream.join(Rights::ALL)];
    ann.will(Do::ExpectHeartbeat);
    ann.act(key(0x41, true));
    ben.act(key(0x42, true));
    assert_eq!(stream.told().await.len(), 2);
    sleep(Duration::from_millis(900)).await;
    assert_eq!(stream.told().await, []);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(stream.told().await, [host_key(0x41, false)]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stream.told().await, [], "nobody expects it of the other");
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_inputs_again_gets_them_by_the_newest_alone() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let (given, taken) = oneshot::channel();
    stream.step(Step::GiveAway(given)).await;
    let mut old = taken.await.unwrap();
    stream.step(Step::Connect(features(true))).await;
    let viewer = stream.join(Rights::ALL);
    viewer.act(key(0x41, true));
    assert_eq!(stream.told().await, [host_key(0x41, true)]);
    viewer.act(key(0x41, false));
    assert_eq!(old.try_next(), None);
    drop(old);
    assert_eq!(stream.told().await, [host_key(0x41, false)]);
    assert_eq!(
        stream.streamer.input_features(),
        Some(features(true)),
        "the old one's end is not the new one's"
    );
    stream.step(Step::Disconnect).await;
    assert_eq!(stream.streamer.input_features(), None);
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_ended_takes_no_input_whatever_it_left_behind() {
    let mut stream = Stream::start(InputMode::Shared).await;
    let viewer = stream.join(Rights::ALL);
    let (given, taken) = oneshot::channel();
    stream.step(Step::GiveAway(given)).await;
    let mut left = taken.await.unwrap();
    viewer.act(key(0x41, true));
    settle().await;
    stream.step(Step::End(Err(lost()))).await;
    assert_eq!(stream.streamer.input_features(), None);
    viewer.act(key(0x42, true));
    settle().await;
    assert_eq!(left.try_next(), None);
    assert_eq!(stream.told().await, []);
    stream.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_takes_no_input_makes_nobody_wait() {
    let stream = Stream::without_input(InputMode::Shared).await;
    let mut viewer = stream.join(Rights::ALL);
    let (status, _) = viewer.watches().await;
    assert_eq!(status.borrow().features, None);
    for n in 0..5000 {
        viewer.act(key(0x41, n % 2 == 0));
    }
    let (taken, told) = oneshot::channel();
    viewer.will(Do::InputTold(key(0x41, true), taken));
    timeout(Duration::from_millis(1), told).await.expect("it waits for nothing").unwrap();
    stream.end().await;
}

#[derive(Debug, thiserror::Error)]
#[error("the host is lost")]
struct Lost;

fn lost() -> SourceError {
    SourceError::retryable(Lost)
}
