//! What stands between a viewer and the wire.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::broadcast::{Media, News, Next, StreamKey, Subscription};
use crate::input::{GamepadFeedback, InputEvent, InputStatus, Pointer, ViewerInput};
use crate::lifecycle::State;
use crate::media::StreamInfo;
use crate::peer::{LeaveReason, PeerId, PeerInfo, PeerStats};
use crate::signalling::{SignalSink, SignalStream};
use crate::task::Listener;

/// One viewer's way out: WebRTC, or anything else that can carry frames to somebody.
#[async_trait]
pub trait Egress: Send + 'static {
    /// Serves the viewer until it leaves, and gives the reason. It owns every resource of the viewer and has
    /// released all of them when it returns.
    ///
    /// When [`ViewerIo::leaving`] resolves it returns within 5 s; after that its future is dropped.
    async fn run(self: Box<Self>, viewer: ViewerIo) -> LeaveReason;

    /// Gives away the viewer's signalling, when that is all that it takes to serve the viewer elsewhere; then the egress is
    /// not run.
    #[doc(hidden)]
    fn relocate(&mut self) -> Option<Relocated> {
        None
    }
}

/// A viewer that another process can serve.
#[doc(hidden)]
pub struct Relocated {
    pub(crate) sink: Box<dyn SignalSink>,
    pub(crate) stream: Box<dyn SignalStream>,
    /// Who makes the offer: the viewer, or its egress.
    pub(crate) viewer_offers: bool,
}

impl fmt::Debug for Relocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relocated").field("viewer_offers", &self.viewer_offers).finish_non_exhaustive()
    }
}

/// A viewer's connection to its Streamer. All methods take `&self`, and all that wait are cancel safe, so an egress
/// may wait for several of them at once.
#[derive(Debug)]
pub struct ViewerIo {
    pub(crate) id: PeerId,
    pub(crate) media: Subscription,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) info: watch::Receiver<Option<Arc<StreamInfo>>>,
    pub(crate) peers: watch::Receiver<Arc<[PeerInfo]>>,
    pub(crate) leave: watch::Receiver<Option<LeaveReason>>,
    pub(crate) stats: watch::Sender<PeerStats>,
    pub(crate) input: ViewerInput,
}

impl ViewerIo {
    /// Which viewer this is.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Which stream it watches.
    pub(crate) fn stream(&self) -> StreamKey {
        self.media.stream()
    }

    /// Waits until it is known what the stream carries. `None` when the stream ended before. Cancel safe.
    pub async fn stream_info(&self) -> Option<Arc<StreamInfo>> {
        let mut info = self.info.clone();
        info.wait_for(Option::is_some).await.ok().and_then(|info| info.clone())
    }

    /// What the stream carries, to watch: `None` until the source has said so.
    #[must_use]
    pub fn watch_info(&self) -> watch::Receiver<Option<Arc<StreamInfo>>> {
        self.info.clone()
    }

    /// What the stream is doing, to watch.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The stream's viewers, this one too, in the order in which they joined, to watch.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Arc<[PeerInfo]>> {
        self.peers.clone()
    }

    /// The viewer is ready: from the next keyframe on, which this asks for, [`media`](Self::media) gives frames.
    /// Until then frames pass by.
    pub fn start_media(&self) {
        self.media.start();
    }

    /// The next frame or packet. `None` when the stream ended. Cancel safe.
    ///
    /// The first picture is a keyframe, and every picture follows the one that it refers to.
    pub async fn media(&self) -> Option<Media> {
        self.media.recv().await
    }

    /// The next frame or packet, if there is one now.
    pub(crate) fn take_media(&self) -> Next {
        self.media.take()
    }

    /// What tells `listener` that there is something to [take](Self::take_media), for all of its viewers of this stream.
    pub(crate) fn news_for(&self, listener: &Listener) -> Arc<News> {
        self.media.news_for(listener)
    }

    /// The viewer does not answer: [`media`](Self::media) gives nothing until [`resume_media`](Self::resume_media).
    pub fn pause_media(&self) {
        self.media.pause();
    }

    /// The viewer answers again: sound at once, pictures from the next keyframe on, which this does not ask for.
    pub fn resume_media(&self) {
        self.media.resume();
    }

    /// The viewer cannot make use of what comes: no more pictures until a keyframe, which this does not ask for. Sound
    /// goes on.
    pub fn skip_to_keyframe(&self) {
        self.media.skip_to_keyframe();
    }

    /// The viewer cannot go on without a keyframe (PLI, FIR): wishes are coalesced over all viewers.
    pub fn request_keyframe(&self) {
        self.media.request_keyframe();
    }

    /// Hands in what the viewer did. What it has no right to, or not the turn for, does nothing. Waits while too much waits for
    /// the host and the event must not be lost, so call it in order. Cancel safe: the event was not taken then.
    pub async fn input(&self, event: &InputEvent) {
        self.input.send(event).await;
    }

    /// Lets go everything that the viewer holds: nothing more can be expected from it.
    pub fn release_input(&self) {
        self.input.release();
    }

    /// The viewer says [`InputEvent::Held`] every 250 ms while it holds anything, so what it holds is let go when nothing came
    /// from it for a second. Not so at first.
    pub fn expect_heartbeat(&self, expected: bool) {
        self.input.expect_heartbeat(expected);
    }

    /// What the viewer may do, whether the source takes input, and whose turn it is, to watch.
    #[must_use]
    pub fn watch_input(&self) -> watch::Receiver<InputStatus> {
        self.input.watch_status()
    }

    /// Where viewers point, this one too, to watch: who moved last comes first, 17 at most, so that without its own a viewer
    /// sees up to 16. It changes at most 10 times a second. Who has not moved for 5 s, whose pointer has no place, and who
    /// has no right to point is left out.
    #[must_use]
    pub fn watch_pointers(&self) -> watch::Receiver<Arc<[Pointer]>> {
        self.input.watch_pointers()
    }

    /// What the host wants of the viewer's gamepads next: of each gamepad and kind the newest. Cancel safe.
    pub async fn feedback(&self) -> GamepadFeedback {
        self.input.feedback().await
    }

    /// Changes what [`PeerHandle::stats`](crate::PeerHandle::stats) says of the viewer.
    pub fn update_stats(&self, update: impl FnOnce(&mut PeerStats)) {
        self.stats.send_modify(update);
    }

    /// Waits until the viewer is asked to leave. Cancel safe.
    pub async fn leaving(&self) -> LeaveReason {
        let mut leave = self.leave.clone();
        match leave.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(LeaveReason::Internal),
            Err(_) => LeaveReason::StreamerDeleted,
        }
    }
}

/// One that nobody but a test looks after: its ends are dropped, and only its media come.
#[cfg(test)]
pub(crate) fn viewer_of(broadcaster: &crate::broadcast::Broadcaster) -> ViewerIo {
    let id = PeerId::random();
    let hub = crate::input::InputHub::new(crate::input::InputMode::default());
    ViewerIo {
        id,
        media: broadcaster.subscribe(),
        state: watch::channel(State::Starting).1,
        info: watch::channel(None).1,
        peers: watch::channel(Arc::default()).1,
        leave: watch::channel(None).1,
        stats: watch::channel(PeerStats::default()).0,
        input: hub.join(id, crate::input::Rights::default()),
    }
}
