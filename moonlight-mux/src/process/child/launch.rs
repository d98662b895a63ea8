//! The host's place for a launch, which the server gives to its streamers' processes one after another.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::gamestream::host::LaunchTurns;
use crate::process::link::Sender;
use crate::process::message::FromChild;

/// Asks the server. Every wish is answered before there is another: one that nobody waits for any more is given back when it
/// comes, or serves who waits next.
pub(super) struct ServersTurns {
    sender: Sender<FromChild>,
    turn: Mutex<Turn>,
    granted: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Unwanted,
    /// The server was asked.
    Wanted {
        /// Somebody waits here.
        awaited: bool,
    },
    /// The server agreed, and who waits has not seen it yet.
    Granted,
    /// It is used.
    Taken,
}

impl ServersTurns {
    pub(super) fn new(sender: Sender<FromChild>) -> Self {
        Self { sender, turn: Mutex::new(Turn::Unwanted), granted: Notify::new() }
    }

    /// The server says that it is this process' turn.
    pub(super) fn handle_granted(&self) {
        let mut turn = self.lock();
        match *turn {
            Turn::Wanted { awaited: true } => {
                *turn = Turn::Granted;
                self.granted.notify_one();
            }
            Turn::Wanted { awaited: false } => self.give_back(&mut turn, Duration::ZERO),
            // Nobody asked.
            Turn::Unwanted | Turn::Granted | Turn::Taken => {}
        }
    }

    fn give_back(&self, turn: &mut Turn, pending: Duration) {
        *turn = Turn::Unwanted;
        // Rather too long than too short.
        let pending_ms = u64::try_from(pending.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.sender.tell(FromChild::LaunchOver { pending_ms });
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().expect("no holder of this lock panics")
    }
}

/// Somebody waits for a turn.
struct Waiting<'a>(&'a ServersTurns);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut turn = self.0.lock();
        match *turn {
            Turn::Wanted { .. } => *turn = Turn::Wanted { awaited: false },
            Turn::Granted => self.0.give_back(&mut turn, Duration::ZERO),
            Turn::Unwanted | Turn::Taken => {}
        }
    }
}

#[async_trait]
impl LaunchTurns for ServersTurns {
    async fn turn(&self) {
        {
            let mut turn = self.lock();
            if *turn == Turn::Unwanted {
                self.sender.tell(FromChild::LaunchWanted);
            }
            *turn = Turn::Wanted { awaited: true };
        }
        let _waiting = Waiting(self);
        loop {
            // One that came before this waits has left its permit.
            self.granted.notified().await;
            let mut turn = self.lock();
            if *turn == Turn::Granted {
                *turn = Turn::Taken;
                return;
            }
        }
    }

    fn over(&self, pending: Duration) {
        let mut turn = self.lock();
        if *turn == Turn::Taken {
            self.give_back(&mut turn, pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use futures_util::poll;

    use super::*;
    use crate::process::link::{Link, Receiver};
    use crate::process::message::ToChild;

    /// The server's end, and what keeps the other one alive.
    fn turns() -> (ServersTurns, Receiver<FromChild>, impl Sized) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child: Link<FromChild, ToChild> = Link::open(ours.into()).unwrap();
        let server: Link<ToChild, FromChild> = Link::open(theirs.into()).unwrap();
        (ServersTurns::new(child.sender.clone()), server.receiver, (child, server.writer))
    }

    async fn word(server: &mut Receiver<FromChild>) -> FromChild {
        server.recv().await.unwrap().message
    }

    #[tokio::test]
    async fn a_turn_is_asked_for_waited_for_and_given_back_with_what_may_be_pending() {
        let (turns, mut server, _alive) = turns();
        for pending in [Duration::ZERO, Duration::from_micros(1_500_001)] {
            let mut turn = Box::pin(turns.turn());
            assert!(poll!(&mut turn).is_pending());
            assert!(matches!(word(&mut server).await, FromChild::LaunchWanted));
            turns.handle_granted();
            turn.await;
            turns.over(pending);
            let FromChild::LaunchOver { pending_ms } = word(&mut server).await else { panic!() };
            assert_eq!(pending_ms, pending.as_micros().div_ceil(1000) as u64);
            // Nothing more is to be given back.
            turns.over(Duration::ZERO);
            turns.handle_granted();
        }
    }

    #[tokio::test]
    async fn a_wish_that_nobody_waits_for_is_given_back_or_serves_who_waits_next() {
        let (turns, mut server, _alive) = turns();
        let mut gone = Box::pin(turns.turn());
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        let mut next = Box::pin(turns.turn());
        assert!(poll!(&mut next).is_pending());
        turns.handle_granted();
        next.await;
        turns.over(Duration::ZERO);
        assert!(matches!(word(&mut server).await, FromChild::LaunchWanted));
        assert!(matches!(word(&mut server).await, FromChild::LaunchOver { pending_ms: 0 }));

        let mut gone = Box::pin(turns.turn());
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        turns.handle_granted();
        assert!(matches!(word(&mut server).await, FromChild::LaunchWanted));
        assert!(matches!(word(&mut server).await, FromChild::LaunchOver { pending_ms: 0 }));

        // It was granted, and who waited went before it saw that.
        let mut gone = Box::pin(turns.turn());
        assert!(poll!(&mut gone).is_pending());
        turns.handle_granted();
        drop(gone);
        assert!(matches!(word(&mut server).await, FromChild::LaunchWanted));
        assert!(matches!(word(&mut server).await, FromChild::LaunchOver { pending_ms: 0 }));
        let mut turn = Box::pin(turns.turn());
        assert!(poll!(&mut turn).is_pending(), "a grant that was given back serves nobody");
    }
}
