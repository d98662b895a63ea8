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
mod input_message;
mod pacing;
mod sequence;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::error::Error;
use webrtc::peer_connection::PeerConnection;

pub(super) use self::announcer::Announcer;
pub(super) use self::event_message::VideoQuality;
use crate::task::TaskSet;

/// The largest message on any channel, either way: four times what input needs, and room for the longest list of viewers
/// (a test in event_message.rs). The crate sets as much aside per viewer, tells it to the browser, and drops longer
/// messages unseen.
pub(super) const MAX_MESSAGE: u32 = 32 * 1024;
/// What a viewer may have on its way to us: SCTP's window. Its messages are read as they come, so it is full only when one
/// of them is longer than [`MAX_MESSAGE`]; then that viewer's channels stand still, and nothing else does.
pub(super) const RECEIVE_BUFFER: u32 = 4 * MAX_MESSAGE;
/// How much may wait on its way to a viewer, but for one message more. Beyond, events wait, and the newest are sent later.
pub(super) const SEND_BUFFER: usize = 16 * 1024;

/// The largest message on `input`: its longest ones are texts.
const MAX_INPUT: usize = 8 * 1024;
/// The largest message on `motion`: a few dozen bytes are the rule.
const MAX_MOTION: usize = 1024;
/// Faults that nobody has counted yet. Full: the channels' readers wait.
const FAULTS: usize = 4;
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

/// The channels of one viewer.
pub(super) struct Channels {
    /// Sends the viewer what it is told, if it can be told.
    pub(super) announcer: Option<Announcer>,
    faults: mpsc::Receiver<Fault>,
    faulty: mpsc::Sender<Fault>,
    opened: mpsc::Receiver<Arc<dyn DataChannel>>,
    /// How many more the viewer may open.
    may_open: usize,
    readers: TaskSet<()>,
    /// Kept open for the viewer.
    _general: Option<Arc<dyn DataChannel>>,
}

impl Channels {
    /// Makes the channels of `set` on a connection before its negotiation. `opened` gives those that the viewer opens.
    pub(super) async fn open(
        pc: &dyn PeerConnection,
        set: ChannelSet,
        opened: mpsc::Receiver<Arc<dyn DataChannel>>,
    ) -> Result<Self, Error> {
        let (faulty, faults) = mpsc::channel(FAULTS);
        let mut channels = Self {
            announcer: None,
            faults,
            faulty,
            opened,
            may_open: 0,
            readers: TaskSet::new(),
            _general: None,
        };
        match set {
            ChannelSet::Nothing => {}
            ChannelSet::Negotiated => {
                let input = pc.create_data_channel("input", Some(negotiated(0))).await?;
                let motion = RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..negotiated(1) };
                let motion = pc.create_data_channel("motion", Some(motion)).await?;
                let events = pc.create_data_channel("events", Some(negotiated(2))).await?;
                let (open, opens) = oneshot::channel();
                channels.announcer = Some(Announcer::new(events.clone(), opens));
                channels.read(input, MAX_INPUT, None);
                channels.read(motion, MAX_MOTION, None);
                // Nothing comes in on it.
                channels.read(events, 0, Some(open));
            }
            ChannelSet::ExistingPage => {
                channels.may_open = MAX_OPENED;
                channels._general = Some(pc.create_data_channel("general", None).await?);
            }
        }
        Ok(channels)
    }

    /// The viewer's next fault. Cancel safe.
    pub(super) async fn fault(&mut self) -> Fault {
        loop {
            tokio::select! {
                Some(fault) = self.faults.recv() => return fault,
                Some(channel) = self.opened.recv() => {
                    if self.may_open == 0 {
                        // Not awaited: a connection that is closing is reason enough to fail.
                        self.readers.spawn(async move { _ = channel.close().await });
                        return Fault::UnknownChannel;
                    }
                    self.may_open -= 1;
                    self.readers.spawn(ignore(channel));
                }
            }
        }
    }

    fn read(&mut self, channel: Arc<dyn DataChannel>, max_len: usize, open: Option<oneshot::Sender<()>>) {
        self.readers.spawn(read(channel, max_len, self.faulty.clone(), open));
    }
}

fn negotiated(id: u16) -> RTCDataChannelInit {
    RTCDataChannelInit { negotiated: Some(id), ..RTCDataChannelInit::default() }
}

/// Reads a channel to its end. What its messages mean is not looked at yet.
async fn read(
    channel: Arc<dyn DataChannel>,
    max_len: usize,
    faults: mpsc::Sender<Fault>,
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
            DataChannelEvent::OnMessage(message) if (1..=max_len).contains(&message.data.len()) => {}
            DataChannelEvent::OnMessage(_) => {
                // When nobody counts them any more, this reader ends with its owner.
                let _ = faults.send(Fault::Malformed).await;
            }
            _ => {}
        }
    }
}

/// Reads an existing page's channel to its end: its messages are not looked at yet.
async fn ignore(channel: Arc<dyn DataChannel>) {
    while channel.poll().await.is_some() {}
}
