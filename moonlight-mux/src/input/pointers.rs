//! Who points where, for the others to see. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{InputEvent, Position};
use super::status::Pointer;
use crate::peer::PeerId;

/// The last place of each viewer's pointer: one for each viewer at most.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    places: HashMap<PeerId, Place>,
    told: Arc<[Pointer]>,
}

#[derive(Debug)]
struct Place {
    position: Position,
    moved: Instant,
}

impl Pointers {
    /// A viewer did this, and may point.
    pub(super) fn handle(&mut self, now: Instant, peer: PeerId, event: &InputEvent) {
        match *event {
            InputEvent::PointerTo(position)
            | InputEvent::Button { at: Some(position), .. }
            | InputEvent::Scroll { at: Some(position), .. } => {
                let place = self.places.entry(peer).or_insert(Place { position, moved: now });
                if place.position != position {
                    *place = Place { position, moved: now };
                }
            }
            // A locked pointer has no place of its own.
            InputEvent::PointerBy { .. } => self.remove(peer),
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        self.places.remove(&peer);
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    /// Whether there is nothing that a later [`Self::poll`] could leave out.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Those that are to be seen, the last moved first, if they are others than before.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Arc<[Pointer]>> {
        self.places.retain(|_, place| now.saturating_duration_since(place.moved) < RESTS);
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_by_key(|&(&peer, place)| (std::cmp::Reverse(place.moved), peer));
        let pointers: Arc<[Pointer]> = places
            .into_iter()
            .take(SHOWN)
            .map(|(&peer, place)| Pointer { peer, position: place.position })
            .collect();
        let new = pointers != self.told;
        self.told = pointers.clone();
        new.then_some(pointers)
    }
}

/// 16 of others and the viewer's own: more would hide the picture.
const SHOWN: usize = 17;
/// A pointer that has not moved for so long is not shown.
const RESTS: Duration = Duration::from_secs(5);
