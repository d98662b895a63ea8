//! Pairings that wait for somebody to enter a PIN, and what became of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moonlight_mux::{HostId, IdentityName};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time;

use crate::dto;
use crate::failure::Failure;
use crate::problem::Problem;

/// The last pairing of each identity with each host. Owns those that wait: they end with the server.
#[derive(Debug, Default)]
pub(crate) struct Pairings {
    waiting: Mutex<JoinSet<()>>,
    outcomes: Arc<Mutex<Outcomes>>,
}

#[derive(Debug, Default)]
struct Outcomes {
    next_ticket: u64,
    by_key: BTreeMap<Key, Entry>,
}

type Key = (HostId, IdentityName);

#[derive(Debug)]
struct Entry {
    /// Later ones are higher.
    ticket: u64,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Waiting(AbortHandle),
    Paired,
    Failed(Failure),
}

impl Pairings {
    /// Waits for `outcome`, for [`PATIENCE`] at most, in the place of an older pairing of the same two, which is given
    /// up.
    pub(crate) fn wait_for(
        &self,
        host: HostId,
        identity: IdentityName,
        outcome: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) -> Result<(), Problem> {
        let key = (host, identity);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.try_join_next().is_some() {}
        let mut outcomes = self.outcomes();
        if let Some(Entry { outcome: Outcome::Waiting(older), .. }) = outcomes.by_key.remove(&key) {
            older.abort();
        }
        outcomes.make_room()?;
        let ticket = outcomes.next_ticket;
        outcomes.next_ticket += 1;
        let task = {
            let (outcomes, key) = (self.outcomes.clone(), key.clone());
            async move {
                let outcome = match time::timeout(PATIENCE, outcome).await {
                    Ok(Ok(())) => Outcome::Paired,
                    Ok(Err(failure)) => Outcome::Failed(failure),
                    Err(_) => Outcome::Failed(Failure::no_pin(PATIENCE)),
                };
                lock(&outcomes).end(&key, ticket, outcome);
            }
        };
        let outcome = Outcome::Waiting(waiting.spawn(task));
        outcomes.by_key.insert(key, Entry { ticket, outcome });
        Ok(())
    }

    /// How the last one stands.
    pub(crate) fn of(&self, host: HostId, identity: &IdentityName) -> Option<dto::Pairing> {
        let outcomes = self.outcomes();
        let entry = outcomes.by_key.get(&(host, identity.clone()))?;
        Some(match &entry.outcome {
            Outcome::Waiting(_) => dto::Pairing::Waiting,
            Outcome::Paired => dto::Pairing::Paired,
            Outcome::Failed(failure) => dto::Pairing::Failed { error: failure.clone().into() },
        })
    }

    /// Forgets a host, whose id another one may get.
    pub(crate) fn forget(&self, host: HostId) {
        self.outcomes().by_key.retain(|(id, _), entry| {
            if *id == host
                && let Outcome::Waiting(task) = &entry.outcome
            {
                task.abort();
            }
            *id != host
        });
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        lock(&self.outcomes)
    }
}

impl Outcomes {
    /// Unless a later one has taken its place.
    fn end(&mut self, key: &Key, ticket: u64, outcome: Outcome) {
        if let Some(entry) = self.by_key.get_mut(key).filter(|entry| entry.ticket == ticket) {
            entry.outcome = outcome;
        }
    }

    fn make_room(&mut self) -> Result<(), Problem> {
        if self.by_key.len() < MAX_PAIRINGS {
            return Ok(());
        }
        let over = self.by_key.iter().filter(|(_, entry)| !matches!(entry.outcome, Outcome::Waiting(_)));
        let oldest = over.min_by_key(|(_, entry)| entry.ticket).map(|(key, _)| key.clone());
        let oldest = oldest.ok_or(Problem::Limit { what: "pairings under way", max: MAX_PAIRINGS })?;
        self.by_key.remove(&oldest);
        Ok(())
    }
}

fn lock(outcomes: &Mutex<Outcomes>) -> MutexGuard<'_, Outcomes> {
    outcomes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long somebody may take to walk to the host and enter the PIN.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Pairings that are remembered, one connection to a host for each that waits. Full: the oldest that is over is
/// forgotten; if all wait, there is no new one.
const MAX_PAIRINGS: usize = 32;

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    fn me() -> IdentityName {
        "me".parse().unwrap()
    }

    fn failure() -> Failure {
        Failure::no_pin(Duration::from_secs(1))
    }

    fn failed(pairings: &Pairings, host: u32) -> bool {
        matches!(pairings.of(HostId(host), &me()), Some(dto::Pairing::Failed { .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn each_pairing_waits_and_then_has_its_outcome() {
        let pairings = Pairings::default();
        let (entered, pin) = oneshot::channel::<()>();
        let outcome = async move { pin.await.map_err(|_| failure()) };
        pairings.wait_for(HostId(0), me(), outcome).unwrap();
        pairings.wait_for(HostId(1), me(), ready(Err(failure()))).unwrap();
        yield_now().await;
        assert_eq!(pairings.of(HostId(0), &me()), Some(dto::Pairing::Waiting));
        assert!(failed(&pairings, 1));
        assert_eq!(pairings.of(HostId(0), &"you".parse().unwrap()), None);
        entered.send(()).unwrap();
        yield_now().await;
        assert_eq!(pairings.of(HostId(0), &me()), Some(dto::Pairing::Paired));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_ever() {
        let pairings = Pairings::default();
        pairings.wait_for(HostId(0), me(), pending()).unwrap();
        time::sleep(PATIENCE - Duration::from_secs(1)).await;
        assert_eq!(pairings.of(HostId(0), &me()), Some(dto::Pairing::Waiting));
        time::sleep(Duration::from_secs(2)).await;
        assert!(failed(&pairings, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_pairing_and_a_forgotten_host_give_up_the_old_one() {
        let pairings = Pairings::default();
        let (held, mut given_up) = oneshot::channel::<()>();
        let outcome = async move {
            let _held = held;
            pending().await
        };
        pairings.wait_for(HostId(0), me(), outcome).unwrap();
        yield_now().await;
        assert!(given_up.try_recv().is_err());
        let (held, forgotten) = oneshot::channel::<()>();
        let outcome = async move {
            let _held = held;
            pending().await
        };
        pairings.wait_for(HostId(0), me(), outcome).unwrap();
        given_up.await.unwrap_err();
        assert_eq!(pairings.of(HostId(0), &me()), Some(dto::Pairing::Waiting), "the new one");
        pairings.forget(HostId(0));
        forgotten.await.unwrap_err();
        assert_eq!(pairings.of(HostId(0), &me()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn outcomes_make_room_and_those_who_wait_do_not() {
        let pairings = Pairings::default();
        for host in 0..64 {
            pairings.wait_for(HostId(host), me(), ready(Err(failure()))).unwrap();
            yield_now().await;
        }
        assert_eq!(pairings.of(HostId(31), &me()), None);
        assert!(failed(&pairings, 32) && failed(&pairings, 63));
        for host in 0..32 {
            pairings.wait_for(HostId(host), me(), pending()).unwrap();
        }
        let full = pairings.wait_for(HostId(32), me(), pending());
        assert_eq!(full, Err(Problem::Limit { what: "pairings under way", max: 32 }));
        pairings.wait_for(HostId(0), me(), pending()).expect("in its own place");
    }
}
