//! What the host's lock keys are believed to be.

use crate::input::event::{KeyCode, Locks};

/// Hosts tell nobody about their lock keys. The first viewer's are taken for the host's; from then on each lock key that goes
/// down at the host turns one round.
///
/// Scroll Lock is left to whoever presses it: nothing that is typed depends on it, and switches between computers listen to
/// it.
#[derive(Debug, Default)]
pub(super) struct LockKeys {
    believed: Option<Locks>,
}

impl LockKeys {
    pub(super) fn is_one(code: KeyCode) -> bool {
        lock(code).is_some()
    }

    /// What some viewer's system says, of a key that is no lock key itself: with those, systems disagree on whether it is
    /// turned round already.
    pub(super) fn learn(&mut self, locks: Locks) {
        self.believed.get_or_insert(locks);
    }

    pub(super) fn handle_down(&mut self, code: KeyCode) {
        if let (Some(believed), Some(lock)) = (&mut self.believed, lock(code)) {
            believed.0 ^= lock.0;
        }
    }

    /// The lock key to tap, so that this key does what it does where the lock keys are `wanted`.
    pub(super) fn differing(&self, code: KeyCode, wanted: Locks) -> Option<KeyCode> {
        let (lock, key) = match code.0 {
            // Letters, digits and signs: on some layouts Caps Lock is for digits and signs too.
            0x30..=0x39 | 0x41..=0x5a | 0xba..=0xc0 | 0xdb..=0xdf | 0xe2 => (Locks::CAPS, CAPS_LOCK),
            // The numpad's digits and its point. The arrows and the other keys beside it have codes of their own.
            0x60..=0x69 | 0x6e => (Locks::NUM, NUM_LOCK),
            _ => return None,
        };
        (self.believed?.contains(lock) != wanted.contains(lock)).then_some(key)
    }
}

fn lock(code: KeyCode) -> Option<Locks> {
    match code {
        CAPS_LOCK => Some(Locks::CAPS),
        NUM_LOCK => Some(Locks::NUM),
        SCROLL_LOCK => Some(Locks::SCROLL),
        _ => None,
    }
}

const CAPS_LOCK: KeyCode = KeyCode(0x14);
const NUM_LOCK: KeyCode = KeyCode(0x90);
const SCROLL_LOCK: KeyCode = KeyCode(0x91);
