//! A viewer's data channels: which there are, what may come in on them, and what goes out.
//!
//! Our page and we agree on three by number (docs/http-api.md). Existing pages open their own, by DCEP, and expect one
//! of ours; numbers agreed on beforehand would collide with theirs.
//!
//! What comes in is bounded by back-pressure alone: a reader that waits stops the crate's queue of its channel (256
//! messages), which closes SCTP's window: the sender waits.

mod announcer;
mod event_message;
pub(super) mod existing_page;
pub(super) mod inbox;
pub(super) mod input_message;
mod pacing;
pub(super) mod sequence;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::error::Error;
use webrtc::peer_connection::PeerConnection;

pub(super) use self::announcer::Announcer;
pub(super) use self::event_message::{Quality, VideoQuality};
use self::existing_page::Teller;
use self::inbox::Inbox;
use crate::egress::ViewerIo;
use crate::input::InputEvent;
use crate::task::{self, TaskSet};

/// The largest message on any channel, either way: four times what input needs, and room for the longest list of viewers
/// (a test in event_message.rs). The crate sets as much aside per viewer, tells it to the browser, and drops longer
/// messages unseen.
pub(super) const MAX_MESSAGE: u32 = 32 * 1024;
/// What a viewer may have on its way to us: SCTP's window. Its messages are read as they come, so it is full only when the
/// host takes no more, or when one of them is longer than [`MAX_MESSAGE`]; then that viewer's channels stand still, and
/// nothing else does.
pub(super) const RECEIVE_BUFFER: u32 = 4 * MAX_MESSAGE;
/// How much may wait on its way to a viewer, but for one message more. Beyond, events wait, and the newest are sent later.
pub(super) const SEND_BUFFER: usize = 16 * 1024;

/// Messages that were read and not looked at yet. Full: the channels' readers wait.
const RECEIVED: usize = 16;
/// Channels opened by the viewer that nobody has looked at yet: more than cost it its place. Full: the newest is forgotten.
pub(super) const OPENED: usize = 64;
/// Channels that an existing page opens: at most 24 (a keyboard, three for the mouse, 18 for controllers, two more). Those
/// beyond are closed, and cost an error each.
const MAX_OPENED: usize = 32;

/// Which channels a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelSet {
    /// None: the viewer's offer has no section for them.
    Nothing,
    /// Ours: `input`, `motion`, `events`, by number.
    Negotiated,
    /// An existing page's: it opens them, but for `general`.
    ExistingPage,
}

/// Why a viewer's message or channel cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A message that has not the form of those that its channel takes.
    Malformed,
    /// A message that must not be lost on a channel that may lose it, or the other way round.
    WrongChannel,
    /// A channel that has no place here.
    UnknownChannel,
}

impl Fault {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Malformed => "a data channel message has not the form that its channel takes",
            Self::WrongChannel => "a data channel message belongs on another channel",
            Self::UnknownChannel => "a data channel has no place here",
        }
    }
}

/// Makes events of what one viewer says on its channels. Pure.
pub(super) trait Decode: Send {
    /// Puts what the viewer did by a message into `events`: at most a few. `label` is the channel's.
    ///
    /// # Errors
    /// When the message cannot be used; then nothing comes of it.
    fn decode(
        &mut self,
        now: Instant,
        label: &str,
        message: &[u8],
        events: &mut VecDeque<InputEvent>,
    ) -> Result<(), Fault>;
}

/// The channels of one viewer.
pub(super) struct Channels {
    /// Sends the viewer what it is told, if it can be told.
    pub(super) announcer: Option<Announcer>,
    /// The same for an existing page.
    pub(super) teller: Option<Teller>,
    decoder: Box<dyn Decode>,
    heartbeat: bool,
    /// What the viewer did and is not handed in yet: of one message.
    events: VecDeque<InputEvent>,
    received: mpsc::Receiver<Received>,
    receives: mpsc::Sender<Received>,
    opened: mpsc::Receiver<Arc<dyn DataChannel>>,
    /// How many more the viewer may open.
    may_open: usize,
    readers: TaskSet<()>,
    /// An existing page's channel of this name, once it is open.
    controllers: watch::Sender<Option<Arc<dyn DataChannel>>>,
}

/// A message of the viewer.
struct Received {
    label: Arc<str>,
    data: BytesMut,
}

impl Channels {
    /// Makes the channels of `set` on a connection before its negotiation. `opened` gives those that the viewer opens.
    pub(super) async fn open(
        pc: &dyn PeerConnection,
        set: ChannelSet,
        opened: mpsc::Receiver<Arc<dyn DataChannel>>,
    ) -> Result<Self, Error> {
        let (receives, received) = mpsc::channel(RECEIVED);
        let mut channels = Self {
            announcer: None,
            teller: None,
            decoder: Box::new(Inbox::default()),
            heartbeat: set == ChannelSet::Negotiated,
            events: VecDeque::new(),
            received,
            receives,
            opened,
            may_open: 0,
            readers: TaskSet::new(),
            controllers: watch::Sender::new(None),
        };
        match set {
            ChannelSet::Nothing => {}
            ChannelSet::Negotiated => {
                let input = pc.create_data_channel(INPUT, Some(negotiated(0))).await?;
                let motion = RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..negotiated(1) };
                let motion = pc.create_data_channel(MOTION, Some(motion)).await?;
                let events = pc.create_data_channel(EVENTS, Some(negotiated(2))).await?;
                let (open, opens) = oneshot::channel();
                channels.announcer = Some(Announcer::new(events.clone(), opens));
                channels.read(input, INPUT, None);
                channels.read(motion, MOTION, None);
                channels.read(events, EVENTS, Some(open));
            }
            ChannelSet::ExistingPage => {
                channels.decoder = Box::new(existing_page::Decoder::default());
                channels.may_open = MAX_OPENED;
                let general = pc.create_data_channel(existing_page::GENERAL, None).await?;
                let (open, opens) = oneshot::channel();
                channels.teller = Some(Teller::new(general.clone(), opens, channels.controllers.subscribe()));
                channels.read(general, existing_page::GENERAL, Some(open));
            }
        }
        Ok(channels)
    }

    /// Whether the viewer says every 250 ms what it holds.
    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat
    }

    /// Hands in what the viewer does, until something that it says cannot be used. Cancel safe.
    ///
    /// While the host takes no more this waits, so the readers do, and in the end the viewer. It gives way to whoever else
    /// runs in its task after some hundred messages, as all of tokio's channels do: a flood of them delays the viewer's own
    /// media by their time.
    pub(super) async fn serve(&mut self, viewer: &ViewerIo) -> Fault {
        loop {
            while let Some(event) = self.events.front() {
                viewer.input(event).await;
                self.events.pop_front();
            }
            tokio::select! {
                Some(Received { label, data }) = self.received.recv() => {
                    if let Err(fault) = self.decoder.decode(task::now(), &label, &data, &mut self.events) {
                        return fault;
                    }
                }
                Some(channel) = self.opened.recv() => {
                    if self.may_open == 0 {
                        // Not awaited: a connection that is closing is reason enough to fail.
                        self.readers.spawn(async move { _ = channel.close().await });
                        return Fault::UnknownChannel;
                    }
                    self.may_open -= 1;
                    self.readers.spawn(read_opened(channel, self.receives.clone(), self.controllers.clone()));
                }
            }
        }
    }

    fn read(&mut self, channel: Arc<dyn DataChannel>, label: &str, open: Option<oneshot::Sender<()>>) {
        self.readers.spawn(read(channel, label.into(), self.receives.clone(), open));
    }
}

const INPUT: &str = "input";
const MOTION: &str = "motion";
const EVENTS: &str = "events";

fn negotiated(id: u16) -> RTCDataChannelInit {
    RTCDataChannelInit { negotiated: Some(id), ..RTCDataChannelInit::default() }
}

/// Reads a channel to its end, or until nobody wants its messages any more.
async fn read(
    channel: Arc<dyn DataChannel>,
    label: Arc<str>,
    receives: mpsc::Sender<Received>,
    mut open: Option<oneshot::Sender<()>>,
) {
    while let Some(event) = channel.poll().await {
        match event {
            DataChannelEvent::OnOpen => {
                if let Some(open) = open.take() {
                    // The other end is gone with its viewer.
                    let _ = open.send(());
                }
            }
            DataChannelEvent::OnMessage(message) => {
                let received = Received { label: label.clone(), data: message.data };
                if receives.send(received).await.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// Reads a channel that the viewer opened. `controllers` takes the one on which it is told of its gamepads.
async fn read_opened(
    channel: Arc<dyn DataChannel>,
    receives: mpsc::Sender<Received>,
    controllers: watch::Sender<Option<Arc<dyn DataChannel>>>,
) {
    // Without a label it is closed already.
    let Ok(label) = channel.label().await else { return };
    if label == existing_page::CONTROLLERS {
        controllers.send_replace(Some(channel.clone()));
    }
    read(channel, label.into(), receives, None).await;
}
