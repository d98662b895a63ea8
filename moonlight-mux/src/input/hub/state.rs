//! What the hub knows, and when it tells of it. It tells and wakes nobody itself, but says whom.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::input::aggregator::{Aggregator, Full};
use crate::input::event::InputEvent;
use crate::input::host::InputFeatures;
use crate::input::mailbox::Mailbox;
use crate::input::pointers::Pointers;
use crate::input::rights::{DeviceClass, InputMode, Rights};
use crate::input::status::{InputStatus, Pointer};
use crate::peer::PeerId;

/// What an [`InputHub`](super::InputHub)'s lock guards.
pub(super) struct State {
    pub(super) aggregator: Aggregator,
    pub(super) mode: InputMode,
    /// `None` while no source takes input.
    pub(super) features: Option<InputFeatures>,
    /// Which of the [`Inputs`](super::Inputs) is the source's: the last one.
    pub(super) connection: u64,
    pub(super) viewers: HashMap<PeerId, Viewer>,
    pub(super) pointers: Pointers,
    /// When what has changed is to be told.
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
    /// Since then somebody has left who may still be listed.
    left: bool,
    /// What the hub tells of itself that viewers' input goes to, if that is another process's.
    pub(super) mirrored: Option<Mirrored>,
}

/// What another process's hub tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirrored {
    /// `None` while no source takes input.
    pub(crate) features: Option<InputFeatures>,
    pub(crate) turn: Option<PeerId>,
    /// Who acts.
    pub(crate) acting: Vec<PeerId>,
}

pub(super) struct Viewer {
    pub(super) rights: Rights,
    pub(super) acting: bool,
    /// What `status` says. Not read from there: who has borrowed it may wait for our lock.
    told: InputStatus,
    status: watch::Sender<InputStatus>,
    pub(super) mailbox: Mailbox,
    pub(super) mail: Arc<Notify>,
    pub(super) room: Arc<Notify>,
}

/// What is to be told.
pub(super) struct News {
    pub(super) statuses: Vec<(watch::Sender<InputStatus>, InputStatus)>,
    pub(super) pointers: Option<Arc<[Pointer]>>,
    /// What is listed of viewers: rights, and who acts.
    pub(super) list: bool,
}

impl State {
    /// With no viewer and no source.
    pub(super) fn new(mode: InputMode) -> Self {
        Self {
            aggregator: Aggregator::new(mode),
            mode,
            features: None,
            connection: 0,
            viewers: HashMap::new(),
            pointers: Pointers::default(),
            tell_at: None,
            told_at: None,
            left: false,
            mirrored: None,
        }
    }

    /// A viewer comes, whom `mail` tells of feedback and `room` of room.
    pub(super) fn join(
        &mut self,
        peer: PeerId,
        rights: Rights,
        mail: Arc<Notify>,
        room: Arc<Notify>,
    ) -> watch::Receiver<InputStatus> {
        self.aggregator.join(peer, rights);
        let told = self.status(rights);
        let (sender, status) = watch::channel(told);
        let mailbox = Mailbox::default();
        let viewer = Viewer { rights, acting: false, told, status: sender, mailbox, mail, room };
        self.viewers.insert(peer, viewer);
        status
    }

    /// A viewer goes. To be dropped without the lock: that wakes who watches its status.
    pub(super) fn leave(&mut self, peer: PeerId) -> Option<Viewer> {
        let viewer = self.viewers.remove(&peer)?;
        self.left = true;
        self.aggregator.leave(peer);
        self.pointers.remove(peer);
        Some(viewer)
    }

    pub(super) fn handle(&mut self, now: Instant, peer: PeerId, event: &InputEvent) -> Result<(), Full> {
        let Some(viewer) = self.viewers.get(&peer) else { return Ok(()) };
        self.aggregator.handle(now, peer, event)?;
        if viewer.rights.allows(DeviceClass::Pointer) && self.mode != InputMode::ViewOnly {
            self.pointers.handle(now, peer, event);
        }
        Ok(())
    }

    /// Whom to tell that the viewer's event may be taken now, if one waits.
    pub(super) fn room(&self, peer: PeerId) -> Option<Arc<Notify>> {
        self.viewers.get(&peer).filter(|_| self.aggregator.waits(peer)).map(|viewer| viewer.room.clone())
    }

    /// Only if the rights are still those `before`. Gives whom to tell that there is mail.
    pub(super) fn set_rights(&mut self, peer: PeerId, before: Rights, rights: Rights) -> Option<Arc<Notify>> {
        let viewer = self.viewers.get_mut(&peer).filter(|viewer| viewer.rights == before)?;
        viewer.rights = rights;
        if !rights.allows(DeviceClass::Gamepad) {
            viewer.mailbox.rest();
        }
        if !rights.allows(DeviceClass::Pointer) {
            self.pointers.remove(peer);
        }
        self.aggregator.set_rights(peer, rights);
        Some(viewer.mail.clone())
    }

    /// Something has changed. True if that makes [`Self::timeout`] earlier.
    ///
    /// Deadlines of the aggregator that it may have set lie farther off than [`TELL_EVERY`] and are not asked for.
    pub(super) fn will_tell(&mut self, now: Instant) -> bool {
        let sooner = self.tell_at.is_none();
        if sooner {
            self.tell_at = Some(self.told_at.map_or(now, |told| now.max(told + TELL_EVERY)));
        }
        sooner
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        // Those that rest are left out by what is told next, which is not at once.
        let next = self.tell_at.or(self.told_at.map(|told| told + TELL_EVERY));
        let pointers = self.pointers.timeout().map(|rests| next.map_or(rests, |next| rests.max(next)));
        [self.tell_at, self.aggregator.timeout(), pointers].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<News> {
        self.aggregator.handle_timeout(now);
        self.will_tell(now);
        if self.tell_at.is_some_and(|at| at > now) {
            return None;
        }
        self.told_at = Some(now);
        self.tell_at = None;
        let acting = match &self.mirrored {
            Some(mirrored) => mirrored.acting.clone(),
            None => self.aggregator.acting(now),
        };
        let pointers = self.pointers.poll(now);
        let list = std::mem::take(&mut self.left);
        let mut news = News { statuses: Vec::new(), pointers, list };
        let stream = self.status(Rights::NONE);
        for (peer, viewer) in &mut self.viewers {
            let status = InputStatus { rights: viewer.rights, ..stream };
            if viewer.told != status {
                news.list |= viewer.told.rights != status.rights;
                viewer.told = status;
                news.statuses.push((viewer.status.clone(), status));
            }
            let acts = acting.binary_search(peer).is_ok();
            news.list |= viewer.acting != acts;
            viewer.acting = acts;
        }
        Some(news)
    }

    /// Whether this is the connection by which a source takes input.
    pub(super) fn takes(&self, connection: u64) -> bool {
        self.features.is_some() && self.connection == connection
    }

    fn status(&self, rights: Rights) -> InputStatus {
        InputStatus { mode: self.mode, features: self.features, rights, turn: self.turn() }
    }

    pub(super) fn turn(&self) -> Option<PeerId> {
        self.mirrored.as_ref().map_or_else(|| self.aggregator.turn(), |mirrored| mirrored.turn)
    }
}

/// How often it is told at most who acts, who points where and how input stands.
pub(super) const TELL_EVERY: Duration = Duration::from_millis(100);
