//! One process while it runs: what was said, and what is to be done when it ends.

use std::future::pending;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::launch::Launch;
use super::{Arc, End, Init, Port, Started};
use crate::broadcast::{Broadcaster, Stats};
use crate::gamestream::host::LaunchSlot;
use crate::input::InputMode;
use crate::lifecycle::EndReason;
use crate::process::ProcessError;
use crate::process::link::Sender;
use crate::process::media;
use crate::process::message::{FromChild, ToChild, VERSION};
use crate::process::spawn::Life;
use crate::process::supervision::Doom;
use crate::source::SourceError;
use crate::task::{self, Task};

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Running {
    pid: u32,
    pub(super) outbox: Sender<ToChild>,
    words: Option<mpsc::Receiver<FromChild>>,
    life: Box<dyn Life>,
    /// Cancelled when nothing of it is left.
    pub(super) over: CancellationToken,
    /// Until it has said hello.
    init: Option<Box<Init>>,
    ready: bool,
    /// The version that it speaks, if that is another.
    version: Option<u32>,
    /// It cannot run, and says why.
    pub(super) refused: Option<String>,
    /// How its stream ended.
    pub(super) ended: Option<EndReason>,
    /// Why it was killed.
    doom: Option<Doom>,
    /// How much memory it may have, in bytes.
    memory: Option<u64>,
    launch: Launch,
    /// The turn was granted, and it does not know yet.
    owes_grant: bool,
    /// How viewers share input, as far as it knows.
    mode: InputMode,
    media: Option<Task<()>>,
    /// What it counted.
    stats: Stats,
    restarts: u64,
    malformed: u64,
    dropped: u64,
    /// When it is looked at next.
    pub(super) look_at: Instant,
    /// Given back when nothing of it is left.
    _port: Option<Port>,
}

/// What comes from a process.
pub(super) enum News {
    Word(FromChild),
    /// It says nothing more.
    Closed,
    /// It is its turn to launch.
    Turn,
    /// It has ended. Not to be asked again.
    Ended(End),
}

impl Running {
    pub(super) fn new(
        started: Started,
        init: Init,
        slot: Arc<tokio::sync::Mutex<LaunchSlot>>,
        port: Option<Port>,
    ) -> Self {
        let Started { pid, outbox, words, life } = started;
        outbox.offer(ToChild::Hello { version: VERSION, pid: std::process::id() }, None);
        Self {
            pid,
            outbox,
            words: Some(words),
            life,
            over: CancellationToken::new(),
            mode: init.config.input_mode,
            memory: init.limits.memory,
            init: Some(Box::new(init)),
            ready: false,
            version: None,
            refused: None,
            ended: None,
            doom: None,
            launch: Launch::new(slot),
            owes_grant: false,
            media: None,
            stats: Stats::default(),
            restarts: 0,
            malformed: 0,
            dropped: 0,
            look_at: task::now() + LOOK,
            _port: port,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// What comes next; waits for ever where there is no process. Cancel safe.
    pub(super) async fn next(running: &mut Option<Self>) -> News {
        let Some(Self { words, life, launch, .. }) = running else { return pending().await };
        let word = async {
            match words {
                Some(words) => words.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            word = word => match word {
                Some(word) => News::Word(word),
                None => {
                    *words = None;
                    News::Closed
                }
            },
            end = life.ended() => News::Ended(end),
            () = launch.granted() => News::Turn,
        }
    }

    /// What a process that has ended said before and nobody has heard yet. Cancel safe.
    pub(super) async fn last_word(&mut self, deadline: Instant) -> Option<FromChild> {
        let words = self.words.as_mut()?;
        tokio::select! {
            biased;
            () = task::at(Some(deadline)) => None,
            word = words.recv() => word,
        }
    }

    pub(super) fn handle_hello(&mut self, version: u32, pid: u32) {
        if version != VERSION {
            self.version = Some(version);
            self.life.kill();
        } else if let Some(init) = self.init.take() {
            tracing::debug!(pid, version, "the process says hello");
            self.outbox.offer(ToChild::Init(init), None);
            tracing::info!("Init sent");
        }
    }

    /// False if it was so before.
    pub(super) fn handle_ready(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.ready, true);
        if first {
            self.outbox.offer(ToChild::StartMoonlight, None);
            tracing::info!("StartMoonlight sent (headless mode)");
        }
        first
    }

    pub(super) fn handle_stats(&mut self, stats: Stats, restarts: u64, malformed: u64, dropped: u64) {
        if malformed > self.malformed {
            tracing::warn!(malformed, "the process does not understand messages");
        }
        if dropped > self.dropped {
            tracing::warn!(dropped, "the process was not heard in time: messages were dropped");
        }
        (self.stats, self.restarts, self.malformed, self.dropped) = (stats, restarts, malformed, dropped);
    }

    /// Adds what it counted to what was counted before it.
    pub(super) fn count_into(&self, stats: &mut Stats, restarts: &mut u64) {
        let now = &self.stats;
        stats.video_frames = stats.video_frames.saturating_add(now.video_frames);
        stats.keyframes = stats.keyframes.saturating_add(now.keyframes);
        stats.audio_frames = stats.audio_frames.saturating_add(now.audio_frames);
        stats.bytes = stats.bytes.saturating_add(now.bytes);
        stats.bits_per_second = now.bits_per_second;
        stats.last_frame_age = now.last_frame_age.or(stats.last_frame_age);
        *restarts = restarts.saturating_add(self.restarts);
    }

    /// Somebody here wishes for a keyframe, or has begun to watch.
    pub(super) fn handle_wish(&mut self, broadcaster: &Broadcaster) {
        self.watch_or_not(broadcaster);
        if self.ready {
            // Dropped where there is no room: older wishes stand before it.
            self.outbox.offer(ToChild::Keyframe, None);
        }
    }

    /// Has the process hand over frames while somebody here watches, and no longer.
    pub(super) fn watch_or_not(&mut self, broadcaster: &Broadcaster) {
        let is_open = self.media.as_ref().is_some_and(|media| !media.is_finished());
        let wanted = self.ready && broadcaster.is_watched();
        if is_open && !wanted {
            self.media = None;
        } else if wanted && !is_open {
            self.media = self.open_media(broadcaster);
        }
    }

    fn open_media(&self, broadcaster: &Broadcaster) -> Option<Task<()>> {
        let open = || {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            Ok((tokio::net::UnixStream::from_std(ours)?, theirs))
        };
        match open() {
            Ok((ours, theirs)) => {
                // Asked for again in a second if there is no room.
                let asked = self.outbox.offer(ToChild::OpenMedia, Some(theirs.into()));
                asked.then(|| task::spawn(media::receive(ours, broadcaster.clone())))
            }
            Err(error) => {
                let error: std::io::Error = error;
                tracing::error!(%error, "no socket for the stream's media");
                None
            }
        }
    }

    pub(super) fn tell_mode(&mut self, mode: InputMode) {
        if self.mode != mode && self.outbox.offer(ToChild::SetInputMode { mode }, None) {
            self.mode = mode;
        }
    }

    pub(super) fn want_launch(&mut self) {
        self.launch.want();
        // It may have asked before.
        self.owes_grant = self.launch.is_granted();
        self.pay_grant();
    }

    /// It is its turn.
    pub(super) fn grant_launch(&mut self) {
        self.owes_grant = true;
        self.pay_grant();
    }

    fn pay_grant(&mut self) {
        if self.owes_grant {
            self.owes_grant = !self.outbox.offer(ToChild::LaunchGranted, None);
        }
    }

    pub(super) fn end_launch(&mut self, now: Instant, pending: Duration) {
        self.owes_grant = false;
        self.launch.over(now, pending);
    }

    /// How much memory it has, if it is time to look. What was not told for want of room is told again.
    pub(super) fn look(&mut self, now: Instant) -> Option<u64> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK;
        self.pay_grant();
        Some(self.life.resident().unwrap_or(0))
    }

    pub(super) fn kill(&mut self, doom: Doom) {
        self.doom.get_or_insert(doom);
        self.life.kill();
    }

    /// Though nothing is wrong with it.
    pub(super) fn kill_for_good(&mut self) {
        self.life.kill();
    }

    /// Why it is gone, and whether it said so itself.
    pub(super) fn why(&mut self, end: End) -> (EndReason, bool) {
        let End { exit, log, was_refused_memory } = end;
        if let Some(theirs) = self.version {
            let error = ProcessError::Version { ours: VERSION, theirs };
            return (EndReason::Failed(SourceError::permanent(error)), false);
        }
        let error = match (self.doom, self.refused.take(), self.ended.take()) {
            (_, _, Some(reason)) => return (reason, true),
            (_, Some(reason), None) => ProcessError::NotReady { reason, log },
            (Some(Doom::NotReady { waited }), ..) => {
                ProcessError::NotReady { reason: format!("it said nothing of it within {waited:?}"), log }
            }
            (Some(Doom::Silent { silent }), ..) => ProcessError::Silent { silent, log },
            (Some(Doom::OverMemory { resident, limit }), ..) => {
                ProcessError::OverMemory { resident, limit, log }
            }
            (Some(Doom::Lingers) | None, ..) => match self.memory {
                Some(limit) if was_refused_memory => ProcessError::OutOfMemory { limit, log },
                _ => ProcessError::Exited { exit, log },
            },
        };
        (EndReason::Failed(SourceError::retryable(error)), false)
    }

    /// Waits until nothing is left of it.
    pub(super) async fn close(self) {
        let Self { life, media, over, launch, _port: port, .. } = self;
        if let Some(media) = media {
            media.abort();
            let _ = media.await;
        }
        life.close().await;
        drop((launch, port));
        over.cancel();
    }
}
