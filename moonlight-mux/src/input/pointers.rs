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
                self.places.insert(peer, Place { position, moved: now });
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

    /// When [`Self::poll`] leaves the next one out.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.places.values().map(|place| place.moved + RESTS).min()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Modifiers, MouseButton};

    fn to(x: u16) -> InputEvent {
        InputEvent::PointerTo(Position { x, y: 1 })
    }

    fn told(pointers: &mut Pointers, now: Instant) -> Option<Vec<(PeerId, u16)>> {
        let told = pointers.poll(now)?;
        Some(told.iter().map(|pointer| (pointer.peer, pointer.position.x)).collect())
    }

    #[test]
    fn who_moved_last_comes_first_and_nothing_new_is_not_told() {
        let (start, [ann, ben]) = (crate::task::now(), [(); 2].map(|()| PeerId::random()));
        let mut pointers = Pointers::default();
        assert_eq!(told(&mut pointers, start), None);
        pointers.handle(start, ann, &to(1));
        pointers.handle(start + Duration::from_millis(1), ben, &to(2));
        pointers.handle(start + Duration::from_millis(2), ben, &to(3));
        let now = start + Duration::from_millis(50);
        assert_eq!(told(&mut pointers, now), Some(vec![(ben, 3), (ann, 1)]));
        assert_eq!(told(&mut pointers, now), None);

        let click =
            InputEvent::Button { button: MouseButton::Left, down: true, at: Some(Position { x: 9, y: 1 }) };
        pointers.handle(now, ann, &click);
        assert_eq!(told(&mut pointers, now), Some(vec![(ann, 9), (ben, 3)]));
        let scroll = InputEvent::Scroll { dx: 0, dy: 120, at: Some(Position { x: 8, y: 1 }) };
        pointers.handle(now, ann, &scroll);
        assert_eq!(told(&mut pointers, now), Some(vec![(ann, 8), (ben, 3)]));

        pointers.remove(ann);
        assert_eq!(told(&mut pointers, now), Some(vec![(ben, 3)]));
        pointers.clear();
        assert_eq!(told(&mut pointers, now), Some(vec![]));
    }

    #[test]
    fn a_pointer_without_a_place_or_at_rest_for_5_s_is_left_out() {
        let (start, [ann, ben]) = (crate::task::now(), [(); 2].map(|()| PeerId::random()));
        let mut pointers = Pointers::default();
        pointers.handle(start, ann, &to(1));
        pointers.handle(start, ben, &to(2));
        pointers.handle(start, ben, &InputEvent::PointerBy { dx: 1, dy: 1 });
        assert_eq!(told(&mut pointers, start), Some(vec![(ann, 1)]));

        let code = crate::input::KeyCode(0x41);
        let key = InputEvent::Key { code, down: true, modifiers: Modifiers::default(), locks: None };
        pointers.handle(start + Duration::from_secs(4), ann, &key);
        let almost = start + RESTS - Duration::from_millis(1);
        assert_eq!((told(&mut pointers, almost), pointers.timeout()), (None, Some(start + RESTS)));
        assert_eq!((told(&mut pointers, start + RESTS), pointers.timeout()), (Some(vec![]), None));
    }

    #[test]
    fn of_many_pointers_17_are_told() {
        let start = crate::task::now();
        let mut pointers = Pointers::default();
        for x in 0..100 {
            pointers.handle(start + Duration::from_millis(x.into()), PeerId::random(), &to(x));
        }
        let told = told(&mut pointers, start + Duration::from_secs(1)).unwrap();
        assert_eq!(told.iter().map(|&(_, x)| x).collect::<Vec<_>>(), (83..100).rev().collect::<Vec<_>>());
    }
}
