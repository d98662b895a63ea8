//! A process as its server sees it, without one: the session over a real socket pair, with a source that does as it is told.

mod viewers;

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::gamestream::host::{Host, HostConfig};
use crate::gamestream::identity::Identity;
use crate::gamestream::source::{AppSelector, MoonlightConfig, MoonlightSource};
use crate::input::InputMode;
use crate::lifecycle::{EndReason, RestartPolicy, State};
use crate::media::{FrameNumber, StreamInfo, VideoCodec, VideoFrame, VideoInfo, VideoTimestamp};
use crate::peer::LeaveReason;
use crate::process::Limits;
use crate::process::frames::Decoder;
use crate::process::link::{Receiver, Sender};
use crate::process::media_frames::{MAX_MEDIA, MediaFrame};
use crate::process::message::{FromChild, Init, ToChild, VERSION};
use crate::source::{Command, Ended, SourceError, SourceIo, Stage};
use crate::streamer::StreamerConfig;
use crate::task::{self, Task};
use crate::webrtc::WebRtcConfig;

/// Nothing here takes long.
const LIMIT: Duration = Duration::from_secs(60);

/// What a test wants of the source.
enum Order {
    /// So many pictures of so many bytes, the first a keyframe.
    Show {
        pictures: u64,
        bytes: usize,
    },
    Fail,
}

/// What the source was told.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Quit,
    Stop,
}

struct Puppet {
    orders: tokio::sync::Mutex<mpsc::Receiver<Order>>,
    heard: mpsc::Sender<Heard>,
    /// It does not end when it is told to.
    is_deaf: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("as it was told to")]
struct Told;

fn info() -> StreamInfo {
    let video = VideoInfo { codec: VideoCodec::H264, width: 640, height: 480, fps: 30 };
    StreamInfo { video, audio: None }
}

#[async_trait]
impl VideoSource for Puppet {
    async fn run(&self, mut io: SourceIo) -> Result<Ended, SourceError> {
        let mut orders = self.orders.lock().await;
        io.stage_starting(Stage::RtspHandshake);
        io.stage_complete(Stage::RtspHandshake);
        io.connected();
        io.info(info());
        let mut number = 0;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Show { pictures, bytes }) => {
                        for picture in 0..pictures {
                            io.video(VideoFrame {
                                number: FrameNumber(number),
                                timestamp: VideoTimestamp(number * 3000),
                                keyframe: picture == 0,
                                host_latency: None,
                                data: Bytes::from(vec![picture as u8; bytes]),
                            });
                            number += 1;
                            // The streamer takes one after the other.
                            tokio::task::yield_now().await;
                        }
                    }
                    Some(Order::Fail) => {
                        return Err(SourceError::retryable(Told).in_stage(Stage::ControlStreamEstablishment));
                    }
                    None => std::future::pending().await,
                },
                command = io.command() => match command {
                    Some(Command::Quit) => self.heard.send(Heard::Quit).await.unwrap(),
                    Some(Command::Keyframe) => {}
                    None if self.is_deaf => std::future::pending().await,
                    None => {
                        self.heard.send(Heard::Stop).await.unwrap();
                        return Ok(Ended::Stopped);
                    }
                },
            }
        }
    }
}

/// The server's end.
struct Server {
    sender: Sender<ToChild>,
    receiver: Receiver<FromChild>,
    _writer: Task<io::Result<()>>,
    child: Task<Exit>,
    orders: mpsc::Sender<Order>,
    heard: mpsc::Receiver<Heard>,
}

impl Server {
    /// Nothing is said yet.
    fn new(is_deaf: bool) -> Self {
        Self::with(Session::default(), is_deaf)
    }

    fn with(session: Session, is_deaf: bool) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let Link { sender, receiver, writer } = Link::open(ours.into()).unwrap();
        let (orders, ordered) = mpsc::channel(16);
        let (heard_tx, heard) = mpsc::channel(16);
        let puppet = Puppet { orders: ordered.into(), heard: heard_tx, is_deaf };
        let link = Link::open(theirs.into()).unwrap();
        let child = task::spawn(Box::pin(async move {
            session.run(link, Box::new(move |_, _| Arc::new(puppet) as Arc<dyn VideoSource>)).await
        }));
        Self { sender, receiver, _writer: writer, child, orders, heard }
    }

    /// A stream with a picture.
    async fn streaming() -> Self {
        let mut server = Self::new(false);
        server.introduce(init()).await;
        server.until(|word| matches!(word, FromChild::Ready { .. })).await;
        server.tell(ToChild::StartMoonlight).await;
        server.show(1, 10).await;
        server.until(|word| matches!(word, FromChild::FirstPicture { .. })).await;
        server
    }

    async fn introduce(&mut self, init: Init) {
        self.tell(ToChild::Hello { version: VERSION, pid: 1 }).await;
        self.tell(ToChild::Init(Box::new(init))).await;
    }

    async fn tell(&self, message: ToChild) {
        self.sender.send(message).await.unwrap();
    }

    async fn show(&self, pictures: u64, bytes: usize) {
        self.orders.send(Order::Show { pictures, bytes }).await.unwrap();
    }

    /// What the process says next; `None` at its end.
    async fn word(&mut self) -> Option<FromChild> {
        let received = timeout(LIMIT, self.receiver.recv()).await.expect("it says something");
        received.map(|received| received.message)
    }

    /// The first word like this, and all before it.
    async fn until(&mut self, wanted: impl Fn(&FromChild) -> bool) -> Vec<FromChild> {
        let mut words = Vec::new();
        loop {
            let word = self.word().await;
            words.push(word.unwrap_or_else(|| panic!("it says no such thing: {words:?}")));
            if words.last().is_some_and(&wanted) {
                return words;
            }
        }
    }

    /// The next count that is like this.
    async fn counted(&mut self, wanted: impl Fn(&crate::broadcast::Stats, u64) -> bool) {
        let is_wanted = |word: &FromChild| match word {
            FromChild::Stats { stream, malformed, .. } => wanted(stream, *malformed),
            _ => false,
        };
        self.until(is_wanted).await;
    }

    /// All that it still says, and how it ends.
    async fn end(mut self) -> (Vec<FromChild>, Exit) {
        let mut words = Vec::new();
        while let Some(word) = self.word().await {
            words.push(word);
        }
        (words, timeout(LIMIT, self.child).await.unwrap().unwrap())
    }
}

fn init() -> Init {
    let identity = Identity::generate().unwrap();
    let host = Host::new(HostConfig::new("127.0.0.1".parse().unwrap(), identity));
    let source = MoonlightSource::new(host, MoonlightConfig::new(AppSelector::Title("Desktop".into())));
    let bind = ([127, 0, 0, 1], 0).into();
    Init {
        streamer_id: "desk".parse().unwrap(),
        source: MoonlightInit::new(&source),
        config: StreamerConfig { restart: RestartPolicy::Never, ..StreamerConfig::default() },
        webrtc: WebRtcConfig { bind, ..WebRtcConfig::default() },
        limits: Limits::default(),
    }
}

/// The name of a word, without those that come at times.
fn name(word: &FromChild) -> Option<String> {
    let name = format!("{word:?}").split([' ', '{', '(']).next().unwrap().to_owned();
    (!matches!(word, FromChild::Stats { .. } | FromChild::Input { .. })).then_some(name)
}

#[tokio::test]
async fn a_process_says_hello_gets_ready_tells_the_story_and_ends_as_it_is_told() {
    let mut server = Server::new(false);
    let hello = server.word().await.unwrap();
    assert!(matches!(hello, FromChild::Hello { version: VERSION, pid } if pid == std::process::id()));
    server.introduce(init()).await;
    let FromChild::Ready { udp, tcp: None } = server.word().await.unwrap() else { panic!() };
    assert_ne!(udp, 0);
    // Its heart beats before there is a stream.
    server.counted(|stream, malformed| (stream.video_frames, malformed) == (0, 0)).await;
    server.tell(ToChild::SetInputMode { mode: InputMode::ViewOnly }).await;
    server.tell(ToChild::StartMoonlight).await;
    server.show(3, 100).await;
    let is_streaming =
        |word: &FromChild| matches!(word, FromChild::FirstPicture { keyframe: true, bytes: 100 });
    let words = server.until(is_streaming).await;
    let story = words.iter().filter(|word| !matches!(word, FromChild::State { .. } | FromChild::Info { .. }));
    assert_eq!(
        story.filter_map(name).collect::<Vec<_>>(),
        ["StageStarting", "StageComplete", "MoonlightConnected", "ConnectionComplete", "FirstPicture"]
    );
    server.counted(|stream, _| stream.video_frames == 3 && stream.keyframes == 1).await;
    server.tell(ToChild::Stop { quit: true, reason: LeaveReason::StreamerDeleted }).await;
    assert_eq!(server.heard.recv().await, Some(Heard::Quit));
    assert_eq!(server.heard.recv().await, Some(Heard::Stop));
    let (words, exit) = server.end().await;
    assert!(matches!(words.last(), Some(FromChild::Stopped { reason: EndReason::Stopped })), "{words:?}");
    assert!(matches!(&words[words.len() - 2], FromChild::State { .. }), "{words:?}");
    assert_eq!(exit, Exit::Ended);
}

#[tokio::test]
async fn the_states_and_the_format_are_told() {
    let mut server = Server::new(false);
    server.introduce(init()).await;
    server.tell(ToChild::StartMoonlight).await;
    server.show(1, 1).await;
    let mut states = Vec::new();
    let mut format = None;
    while states.last() != Some(&State::Streaming) {
        match server.word().await.unwrap() {
            FromChild::State { state } => states.push(state.into_state(task::now())),
            FromChild::Info { info } => format = Some(info),
            _ => {}
        }
    }
    assert_eq!(format, Some(info()), "a format comes before the state in which there are pictures");
    server.orders.send(Order::Fail).await.unwrap();
    let (words, exit) = server.end().await;
    let failed = words.iter().find_map(|word| match word {
        FromChild::StageFailed { stage, error } => Some((*stage, error.to_string())),
        _ => None,
    });
    let text = format!("{}: as it was told to", Stage::ControlStreamEstablishment);
    assert_eq!(failed, Some((Stage::ControlStreamEstablishment, text)));
    let Some(FromChild::Stopped { reason: EndReason::Failed(error) }) = words.last() else {
        panic!("{words:?}")
    };
    assert_eq!(error.stage(), Some(Stage::ControlStreamEstablishment));
    assert_eq!(exit, Exit::Ended, "it said why");
}

#[tokio::test]
async fn noise_is_counted_and_the_stream_goes_on() {
    let mut server = Server::streaming().await;
    let frame = |payload: &[u8]| [&u32::try_from(payload.len()).unwrap().to_be_bytes(), payload].concat();
    let noise = [
        frame(b"\xff\xff"),
        frame(br#"{"SetRights":{"peer_id":5}}"#),
        frame(br#"{"FromTheFuture":{}}"#),
        frame(&vec![b'x'; 10_000_000]),
    ];
    for piece in noise.concat().chunks(60_000) {
        server.sender.send_raw(piece.to_vec()).await.unwrap();
    }
    // As is what has no place here.
    server.tell(ToChild::Hello { version: VERSION, pid: 1 }).await;
    server.tell(ToChild::StartMoonlight).await;
    server.tell(ToChild::OpenMedia).await;
    server.tell(ToChild::LaunchGranted).await;
    server.counted(|_, malformed| malformed == 4).await;
    server.show(5, 100).await;
    server.counted(|stream, _| stream.video_frames == 6).await;
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::StreamerDeleted }).await;
    assert_eq!(server.heard.recv().await, Some(Heard::Stop));
    assert_eq!(server.end().await.1, Exit::Ended);
}

#[tokio::test]
async fn a_process_that_cannot_begin_says_why() {
    // A port that somebody has.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut server = Server::new(false);
    let mut port_taken = init();
    port_taken.webrtc.bind = taken.local_addr().unwrap();
    server.introduce(port_taken).await;
    let (words, exit) = server.end().await;
    let Some(FromChild::NotReady { error }) = words.last() else { panic!("{words:?}") };
    assert!(error.contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert_eq!(exit, Exit::NotReady);

    let server = Server::new(false);
    server.tell(ToChild::Hello { version: VERSION + 1, pid: 1 }).await;
    let (words, exit) = server.end().await;
    assert!(matches!(words.last(), Some(FromChild::NotReady { .. })), "{words:?}");
    assert_eq!(exit, Exit::Protocol);

    let server = Server::new(false);
    server.tell(ToChild::StartMoonlight).await;
    assert_eq!(server.end().await.1, Exit::Protocol);

    let server = Server::new(false);
    server.sender.finish();
    assert_eq!(server.end().await.1, Exit::Protocol, "it was never told anything");
}

#[tokio::test]
async fn a_stop_before_the_start_is_an_end_too() {
    let mut server = Server::new(false);
    server.introduce(init()).await;
    server.until(|word| matches!(word, FromChild::Ready { .. })).await;
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::StreamerDeleted }).await;
    let (words, exit) = server.end().await;
    assert!(matches!(words.last(), Some(FromChild::Stopped { reason: EndReason::Stopped })));
    assert_eq!(exit, Exit::Ended);
}

#[tokio::test]
async fn the_end_of_input_ends_the_process_whatever_its_source_does() {
    let mut server = Server::streaming().await;
    server.sender.finish();
    assert_eq!(server.heard.recv().await, Some(Heard::Stop));
    assert_eq!(server.end().await.1, Exit::Orphaned);

    let mut server = Server::new(true);
    server.introduce(init()).await;
    server.tell(ToChild::StartMoonlight).await;
    server.show(1, 1).await;
    server.until(|word| matches!(word, FromChild::FirstPicture { .. })).await;
    // Both ways at once, as when a server dies.
    let Server { sender, receiver, _writer: writer, child, .. } = server;
    drop((sender, receiver, writer));
    assert_eq!(timeout(LIMIT, child).await.unwrap().unwrap(), Exit::Orphaned);
}

/// Reads media, as far as there are some.
struct MediaReader {
    socket: tokio::net::UnixStream,
    decoder: Decoder,
}

impl MediaReader {
    /// Asks the process for media.
    fn open(server: &Server) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        assert!(server.sender.offer(ToChild::OpenMedia, Some(theirs.into())));
        let socket = tokio::net::UnixStream::from_std(ours).unwrap();
        Self { socket, decoder: Decoder::new(MAX_MEDIA) }
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<MediaFrame> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(payload) = self.decoder.next() {
                return Some(MediaFrame::decode(payload).unwrap());
            }
            match timeout(LIMIT, self.socket.read(&mut chunk)).await.unwrap().unwrap() {
                0 => return None,
                read => self.decoder.push(&chunk[..read]),
            }
        }
    }

    async fn picture(&mut self) -> VideoFrame {
        match self.next().await {
            Some(MediaFrame::Video(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn media_come_by_a_socket_of_their_own_until_it_is_closed_or_the_stream_ends() {
    let mut server = Server::streaming().await;
    let mut media = MediaReader::open(&server);
    server.counted(|stream, _| stream.viewers == 1).await;
    server.show(3, 100_000).await;
    assert_eq!(media.next().await, Some(MediaFrame::Info(info())));
    let pictures = [media.picture().await, media.picture().await, media.picture().await];
    assert_eq!(pictures.each_ref().map(|frame| frame.keyframe), [true, false, false]);
    assert!(pictures.iter().all(|frame| frame.data.len() == 100_000));
    assert_eq!(pictures[2].number.0, pictures[0].number.0 + 2);
    drop(media);
    server.counted(|stream, _| stream.viewers == 0).await;

    // Nobody can make it hold many.
    let mut readers = Vec::new();
    for _ in 0..6 {
        readers.push(MediaReader::open(&server));
    }
    server.counted(|stream, _| stream.viewers == 4).await;
    assert_eq!(readers.pop().unwrap().next().await, None);
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::StreamerDeleted }).await;
    assert_eq!(readers.remove(0).next().await, None);
    assert_eq!(server.end().await.1, Exit::Ended);
}

#[tokio::test]
async fn a_server_that_does_not_read_its_media_loses_whole_groups_and_holds_up_nothing() {
    let mut server = Server::streaming().await;
    let mut media = MediaReader::open(&server);
    server.counted(|stream, _| stream.viewers == 1).await;
    for _ in 0..40 {
        server.show(25, 50_000).await;
    }
    server.counted(|stream, _| stream.video_frames > 900).await;
    // More than that comes of it alone.
    server.show(1, 7).await;
    assert_eq!(media.next().await, Some(MediaFrame::Info(info())));
    let (mut seen, mut gaps, mut last) = (0, 0, None);
    loop {
        let frame = media.picture().await;
        if last.is_some_and(|last| frame.number.0 != last + 1) {
            gaps += 1;
            assert!(frame.keyframe, "behind a gap comes a keyframe");
        }
        (last, seen) = (Some(frame.number.0), seen + 1);
        if frame.data.len() == 7 {
            break;
        }
    }
    assert!(gaps > 0 && seen < 900, "{gaps} gaps, {seen} pictures");
    server.tell(ToChild::Stop { quit: false, reason: LeaveReason::StreamerDeleted }).await;
    assert_eq!(server.end().await.1, Exit::Ended);
}

#[cfg(feature = "bench-support")]
#[tokio::test]
async fn what_panics_in_the_session_is_seen() {
    let session = Session::default().with_fault(|fault| assert_eq!(fault.frames(), 0, "as it was told to"));
    let mut server = Server::with(session, false);
    server.introduce(init()).await;
    server.tell(ToChild::StartMoonlight).await;
    server.show(1, 1).await;
    while server.word().await.is_some() {}
    assert!(timeout(LIMIT, server.child).await.unwrap().unwrap_err().is_panic());
}
