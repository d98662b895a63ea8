//! Which page holds which seat: a page that joins again takes the place of its older self.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moonlight_mux::StreamerId;
use tokio::sync::Notify;

/// How a page names itself in `?instance=`: 1 to 128 characters of `A-Z a-z 0-9 . _ -`. Whoever knows it can take
/// the page's place, so pages make it up at random and keep it to themselves.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct InstanceId(String);

/// The text names no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance id is 1 to 128 characters of A-Z a-z 0-9 . _ -")]
pub(crate) struct InvalidInstanceId;

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, InvalidInstanceId> {
        let valid = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidInstanceId) }
    }
}

/// The seats of all pages. Clones are handles to the same ones.
#[derive(Clone, Default)]
pub(crate) struct Instances {
    seats: Arc<Mutex<Seats>>,
}

#[derive(Default)]
struct Seats {
    next_ticket: u64,
    taken: HashMap<Key, Taken>,
}

type Key = (StreamerId, InstanceId);

struct Taken {
    ticket: u64,
    superseded: Arc<Notify>,
}

/// All seats are taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Instances {
    /// Takes the page's seat, and tells the one who had it.
    pub(crate) fn take(&self, streamer: StreamerId, instance: InstanceId) -> Result<Seat, Full> {
        let key = (streamer, instance);
        let superseded = Arc::new(Notify::new());
        let mut seats = self.lock();
        if seats.taken.len() >= MAX_SEATS && !seats.taken.contains_key(&key) {
            return Err(Full);
        }
        let ticket = seats.next_ticket;
        seats.next_ticket += 1;
        if let Some(older) = seats.taken.insert(key.clone(), Taken { ticket, superseded: superseded.clone() })
        {
            older.superseded.notify_one();
        }
        Ok(Seat { instances: self.clone(), key, ticket, superseded })
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page's seat, free again when it is dropped.
pub(crate) struct Seat {
    instances: Instances,
    key: Key,
    ticket: u64,
    superseded: Arc<Notify>,
}

impl Seat {
    /// Waits until the same page has joined again; resolves once. Cancel safe.
    pub(crate) async fn superseded(&self) {
        self.superseded.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.instances.lock();
        if seats.taken.get(&self.key).is_some_and(|taken| taken.ticket == self.ticket) {
            seats.taken.remove(&self.key);
        }
    }
}

/// One per WebSocket at most, a few hundred bytes each: far above what one server can stream to. Full: the page is
/// told to try again later.
const MAX_SEATS: usize = 4096;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn streamer() -> StreamerId {
        "desk".parse().unwrap()
    }

    fn page(name: &str) -> InstanceId {
        name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[test]
    fn a_page_that_joins_again_takes_the_place_of_its_older_self() {
        let instances = Instances::default();
        let first = instances.take(streamer(), page("a")).unwrap();
        let other = instances.take(streamer(), page("b")).unwrap();
        assert!(first.superseded().now_or_never().is_none());

        let second = instances.take(streamer(), page("a")).unwrap();
        assert!(first.superseded().now_or_never().is_some());
        assert!(second.superseded().now_or_never().is_none());
        assert!(other.superseded().now_or_never().is_none());

        drop(first);
        assert_eq!(instances.lock().taken.len(), 2, "the older self does not take the seat along");
        let _third = instances.take(streamer(), page("a")).unwrap();
        assert!(second.superseded().now_or_never().is_some());
    }

    #[test]
    fn seats_are_free_again_when_their_pages_are_gone() {
        let instances = Instances::default();
        for round in 0..100 {
            let _seat = instances.take(streamer(), page(&format!("page-{round}"))).unwrap();
        }
        assert!(instances.lock().taken.is_empty());
    }

    #[test]
    fn there_is_a_limit_and_a_page_with_a_seat_may_still_join_again() {
        let instances = Instances::default();
        let mut seats: Vec<_> =
            (0..MAX_SEATS).map(|n| instances.take(streamer(), page(&n.to_string())).unwrap()).collect();
        assert_eq!(instances.take(streamer(), page("late")).err(), Some(Full));
        seats.push(instances.take(streamer(), page("7")).unwrap());
        assert_eq!(instances.lock().taken.len(), MAX_SEATS);
    }

    #[test]
    fn an_instance_id_has_a_narrow_form() {
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(129)] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
        assert!("0b6d7f5e-1.A_z".parse::<InstanceId>().is_ok());
        assert!("x".repeat(128).parse::<InstanceId>().is_ok());
    }
}
