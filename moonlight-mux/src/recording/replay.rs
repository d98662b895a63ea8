//! A recording through the receiving side, as fast as it goes.

use std::collections::VecDeque;
use std::io;
use std::iter::Peekable;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::vec;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::DeserializeOwned;

use super::RecordingError;
use super::negotiated::{Missing, Negotiated, Requested, Window};
use super::pcap::{self, Datagram, Segment};
use super::reference::{Comparison, Reference};
use super::transcript::{NoMessage, Transcript};
use crate::gamestream::session::{Event, Session};
use crate::gamestream::wire::hex;
use crate::media::{AudioFrame, FrameNumber, StreamInfo, VideoFrame};
use crate::task;

/// A recorded session, to be put through the receiving side and compared with what others made of it.
///
/// ```no_run
/// # fn main() -> Result<(), moonlight_mux::RecordingError> {
/// let replay = moonlight_mux::Recording::replay("recordings/v0.23-default")?;
/// let replayed: Vec<_> = replay.events().collect();
/// for difference in replay.compare(&replayed).differences {
///     eprintln!("{difference}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Replay {
    info: StreamInfo,
    pub(crate) requested: Requested,
    pub(crate) transcript: Transcript,
    pub(crate) negotiated: Negotiated,
    window: Option<Window>,
    /// Where the capture was read from.
    pub(super) file: PathBuf,
    /// Checked: a whole pcap file.
    capture: Vec<u8>,
    reference: Reference,
}

/// What came out of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// A picture that could be put together.
    Video {
        /// The picture, its number and timestamp as recorded.
        frame: VideoFrame,
        /// Whether FEC had to restore some of it.
        repaired: bool,
        /// Whether a source hands it on; `false` if what it refers to was lost.
        delivered: bool,
    },
    /// A packet of sound.
    Audio(AudioFrame),
}

impl Replay {
    pub(super) fn open(folder: &Path) -> Result<Self, RecordingError> {
        let requested: Requested = read_json(folder.join("session.json"))?;
        let window: Option<Window> = optional(read_json(folder.join("meta.json")))?;
        let file = folder.join("rtsp.txt");
        let transcript = match Transcript::parse(&read(&file)?) {
            Ok(transcript) => transcript,
            Err(NoMessage { offset }) => return Err(RecordingError::Dialogue { file, offset }),
        };
        let negotiated = Negotiated::read(&transcript)
            .map_err(|Missing(what)| RecordingError::Negotiation { file, what })?;

        let own = folder.join("wire.pcap");
        let shared = folder.join("..").join("wire.pcap");
        let file = if !own.exists() && shared.exists() { shared } else { own };
        let capture = read(&file)?;
        if let Err(source) = pcap::datagrams(&capture) {
            return Err(RecordingError::Capture { file, source });
        }
        let info = negotiated.announcement.info();
        let reference = Reference::read(folder)?;
        Ok(Self { info, requested, transcript, negotiated, window, file, capture, reference })
    }

    /// What the recording carries.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Puts the recording through the receiving side: its datagrams, with the times at which they were received,
    /// through the same code as those of a live host. Pictures come in order, and so do packets of sound.
    ///
    /// Lazy: each step takes in as many datagrams as it needs.
    pub fn events(&self) -> impl Iterator<Item = Replayed> {
        self.run().map(|(_, replayed)| replayed)
    }

    /// Compares all of [`events`](Self::events) with the reference files that the folder has, and the control stream and
    /// the RTSP dialogue in it with what our own code makes of them.
    #[must_use]
    pub fn compare(&self, replayed: &[Replayed]) -> Comparison {
        self.reference.compare(self, replayed)
    }

    /// The session's datagrams, both ways.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let datagrams = pcap::datagrams(&self.capture).expect("it was checked when it was read");
        datagrams.into_iter().filter(|&Datagram { at, source, destination, .. }| {
            self.is_ours(at, source, destination) || self.is_ours(at, destination, source)
        })
    }

    /// The session's TCP segments, both ways.
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let segments = pcap::segments(&self.capture).expect("it was checked when it was read");
        segments.into_iter().filter(|&Segment { at, source, destination, .. }| {
            self.is_ours(at, source, destination) || self.is_ours(at, destination, source)
        })
    }

    fn is_ours(&self, at: Duration, host: SocketAddrV4, client: SocketAddrV4) -> bool {
        self.window.as_ref().is_none_or(|window| window.contains(at, *host.ip(), *client.ip()))
    }

    /// As [`events`](Self::events), with the time since the session's first datagram.
    pub(super) fn run(&self) -> impl Iterator<Item = (Duration, Replayed)> {
        let Self { requested, negotiated, .. } = self;
        let from_host = |datagram: &Datagram<'_>| {
            let &Datagram { at, source, destination, .. } = datagram;
            self.is_ours(at, source, destination)
        };
        let datagrams: Vec<_> = self.datagrams().filter(from_host).collect();
        let epoch = task::now();
        Run {
            negotiated,
            began: datagrams.first().map(|datagram| datagram.at).unwrap_or_default(),
            datagrams: datagrams.into_iter().peekable(),
            session: Session::new(
                &negotiated.announcement.session(requested.rikey.clone(), requested.rikeyid()),
            ),
            epoch,
            now: epoch,
            repaired: None,
            ready: VecDeque::new(),
        }
    }
}

impl Replayed {
    /// The encoded bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Video { frame, .. } => &frame.data,
            Self::Audio(frame) => &frame.data,
        }
    }

    /// The SHA-256 of the encoded bytes: 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(self.data())
    }
}

/// A session that is fed from a capture.
struct Run<'a> {
    negotiated: &'a Negotiated,
    datagrams: Peekable<vec::IntoIter<Datagram<'a>>>,
    /// When the first datagram was received.
    began: Duration,
    session: Session,
    /// The session wants instants and compares them only with each other.
    epoch: Instant,
    now: Instant,
    /// The frame of which the session last said so.
    repaired: Option<FrameNumber>,
    /// What one datagram or one time-out gave.
    ready: VecDeque<(Duration, Replayed)>,
}

impl Iterator for Run<'_> {
    type Item = (Duration, Replayed);

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            self.step()?;
        }
        self.ready.pop_front()
    }
}

impl Run<'_> {
    /// What happens next: a time-out or a datagram. `None` if nothing is left.
    fn step(&mut self) -> Option<()> {
        let received = self.datagrams.peek().map(|d| self.epoch + d.at.saturating_sub(self.began));
        let received = received.map(|at| at.max(self.now));
        let due = self.session.poll_timeout().filter(|&due| received.is_none_or(|at| due <= at));
        let at = if let Some(due) = due {
            self.session.handle_timeout(due);
            due
        } else {
            let datagram = self.datagrams.next()?;
            self.now = received?;
            match datagram.source.port() {
                port if port == self.negotiated.video_port => {
                    self.session.handle_video(self.now, datagram.payload);
                }
                port if port == self.negotiated.audio_port => {
                    self.session.handle_audio(self.now, datagram.payload);
                }
                _ => {}
            }
            self.now
        };
        while let Some(event) = self.session.poll_event() {
            let replayed = match event {
                Event::Video(frame) => self.video(frame, true),
                Event::HeldBack(frame) => self.video(frame, false),
                Event::Audio(frame) => Replayed::Audio(frame),
                Event::Repaired(number) => {
                    self.repaired = Some(number);
                    continue;
                }
                Event::RequestIdr | Event::FecStatus(_) => continue,
            };
            self.ready.push_back((at - self.epoch, replayed));
        }
        Some(())
    }

    fn video(&self, frame: VideoFrame, delivered: bool) -> Replayed {
        Replayed::Video { repaired: self.repaired == Some(frame.number), frame, delivered }
    }
}

pub(super) fn sha256(data: &[u8]) -> String {
    hex::lower(digest(&SHA256, data).as_ref())
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, RecordingError> {
    std::fs::read(file).map_err(|source| RecordingError::Read { file: file.into(), source })
}

fn read_json<T: DeserializeOwned>(file: PathBuf) -> Result<T, RecordingError> {
    let text = read(&file)?;
    serde_json::from_slice(&text).map_err(|source| RecordingError::Json { file, source })
}

/// `None` if there is no such file.
pub(super) fn optional<T>(read: Result<T, RecordingError>) -> Result<Option<T>, RecordingError> {
    match read {
        Err(RecordingError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
