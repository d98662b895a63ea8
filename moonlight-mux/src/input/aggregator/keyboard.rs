//! Keys: who holds them, and what modifiers and lock keys say of each other.

use super::locks::LockKeys;
use super::outbox::{Device, Writer};
use crate::input::event::{KeyCode, KeySet, Locks, Modifiers};
use crate::input::host::HostInput;

/// The host's keys, each down while any viewer holds it.
#[derive(Debug)]
pub(super) struct Keyboard {
    /// How many hold the key with this code.
    holders: [u32; 256],
    locks: LockKeys,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self { holders: [0; 256], locks: LockKeys::default() }
    }
}

impl Keyboard {
    /// Nobody holds any, and what is locked is unknown.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn press(&mut self, code: KeyCode, locks: Option<Locks>, outbox: &mut Writer<'_>) {
        let others = self.holders[usize::from(code.0)];
        if others == 0 {
            // With these a key is a shortcut, and a lock key might be one too (Ctrl+NumLock is Pause).
            let shortcut = self.modifiers().0 & !Modifiers::SHIFT.0 != 0;
            if let (Some(wanted), false) = (locks, shortcut)
                && let Some(lock) = self.locks.differing(code, wanted)
            {
                self.tap(lock, outbox);
            }
        }
        self.holders[usize::from(code.0)] += 1;
        if others == 0 {
            self.tell(code, true, outbox);
        }
    }

    fn lift(&mut self, code: KeyCode, outbox: &mut Writer<'_>) {
        let holders = &mut self.holders[usize::from(code.0)];
        *holders -= 1;
        if *holders == 0 {
            self.tell(code, false, outbox);
        }
    }

    /// Down once more, and as it was in the end.
    fn tap(&mut self, lock: KeyCode, outbox: &mut Writer<'_>) {
        let held = self.holders[usize::from(lock.0)] > 0;
        self.tell(lock, !held, outbox);
        self.tell(lock, held, outbox);
    }

    fn tell(&mut self, code: KeyCode, down: bool, outbox: &mut Writer<'_>) {
        if down {
            self.locks.handle_down(code);
        }
        outbox.push(Device::Keyboard, HostInput::Key { code, down, modifiers: self.modifiers() });
    }

    /// Those that are down.
    fn modifiers(&self) -> Modifiers {
        let down = |code: &&KeyCode| self.holders[usize::from(code.0)] > 0;
        let classes = CLASSES.iter().filter(|(_, keys)| keys.iter().find(down).is_some());
        Modifiers(classes.fold(0, |all, (modifier, _)| all | modifier.0))
    }
}

/// The keys that one viewer holds.
#[derive(Debug, Default)]
pub(super) struct HeldKeys {
    keys: KeySet,
    /// Whose left keys are among them only because the viewer's system says that they are down.
    implied: Modifiers,
}

impl HeldKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// `modifiers` and `locks` as the viewer's system has them, this key included.
    pub(super) fn handle(
        &mut self,
        (code, down): (KeyCode, bool),
        modifiers: Modifiers,
        locks: Option<Locks>,
        keyboard: &mut Keyboard,
        outbox: &mut Writer<'_>,
    ) {
        let locks = locks.filter(|_| !LockKeys::is_one(code));
        if let Some(locks) = locks {
            keyboard.locks.learn(locks);
        }
        self.heed(modifiers, (code, down), keyboard, outbox);
        if let Some(class) = left_of(code) {
            self.implied.0 &= !class.0;
        }
        if down && self.keys.insert(code) {
            keyboard.press(code, locks, outbox);
        } else if !down && self.keys.remove(code) {
            keyboard.lift(code, outbox);
        }
        self.let_implied_go(keyboard, outbox);
    }

    /// Lets go what is not in `kept`. Keys that are only implied are not in it, and stay while another is held: the next key
    /// tells.
    pub(super) fn keep(&mut self, kept: &KeySet, keyboard: &mut Keyboard, outbox: &mut Writer<'_>) {
        let gone = self.keys.iter().filter(|&code| !kept.contains(code) && !self.is_implied(code)).collect();
        self.let_go(gone, keyboard, outbox);
        self.let_implied_go(keyboard, outbox);
    }

    pub(super) fn release(&mut self, keyboard: &mut Keyboard, outbox: &mut Writer<'_>) {
        self.implied = Modifiers::default();
        self.let_go(self.keys, keyboard, outbox);
    }

    /// Forgets them; the host knows nothing of them.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn is_implied(&self, code: KeyCode) -> bool {
        left_of(code).is_some_and(|class| self.implied.contains(class))
    }

    /// Lets go what is only implied once nothing else is held. Nobody says that it goes up where nobody said that it went
    /// down, and without a key the wheel and clicks would have it; the next key implies it again.
    fn let_implied_go(&mut self, keyboard: &mut Keyboard, outbox: &mut Writer<'_>) {
        if self.implied != Modifiers::default() && self.keys.iter().all(|code| self.is_implied(code)) {
            self.release(keyboard, outbox);
        }
    }

    /// Makes the modifier keys agree with what the viewer's system says, but that a modifier which goes down tells nothing of
    /// its own class: it is about to be held. One that goes up may say that no other of its class is down.
    fn heed(
        &mut self,
        modifiers: Modifiers,
        (code, down): (KeyCode, bool),
        keyboard: &mut Keyboard,
        outbox: &mut Writer<'_>,
    ) {
        // AltGr: systems call it Alt, Ctrl and Alt, or neither, and some send a left Ctrl with it.
        let alt_gr = code == RIGHT_ALT || self.keys.contains(RIGHT_ALT);
        let unclear = if alt_gr { Modifiers::CTRL.0 | Modifiers::ALT.0 } else { 0 };
        for (class, keys) in CLASSES {
            if down && keys.contains(&code) {
                continue;
            }
            let held: KeySet = keys.iter().copied().filter(|&key| self.keys.contains(key)).collect();
            if modifiers.contains(class) {
                if down && held.is_empty() {
                    let left = keys[0];
                    self.implied.0 |= class.0;
                    self.keys.insert(left);
                    keyboard.press(left, None, outbox);
                }
            } else if class.0 & unclear == 0 && !held.is_empty() {
                self.implied.0 &= !class.0;
                self.let_go(held, keyboard, outbox);
            }
        }
    }

    /// Modifiers last: a shortcut's key lifts before them.
    fn let_go(&mut self, keys: KeySet, keyboard: &mut Keyboard, outbox: &mut Writer<'_>) {
        let (modifiers, others): (Vec<_>, Vec<_>) = keys.iter().partition(|&code| is_modifier(code));
        for code in others.into_iter().chain(modifiers) {
            if self.keys.remove(code) {
                keyboard.lift(code, outbox);
            }
        }
    }
}

fn is_modifier(code: KeyCode) -> bool {
    CLASSES.iter().any(|(_, keys)| keys.contains(&code))
}

/// The modifier whose left key this is.
fn left_of(code: KeyCode) -> Option<Modifiers> {
    CLASSES.iter().find(|(_, keys)| keys[0] == code).map(|&(class, _)| class)
}

/// Each modifier with its keys: the left one, the right one, and the one that is neither.
const CLASSES: [(Modifiers, &[KeyCode]); 4] = [
    (Modifiers::SHIFT, &[KeyCode(0xa0), KeyCode(0xa1), KeyCode(0x10)]),
    (Modifiers::CTRL, &[KeyCode(0xa2), KeyCode(0xa3), KeyCode(0x11)]),
    (Modifiers::ALT, &[KeyCode(0xa4), RIGHT_ALT, KeyCode(0x12)]),
    (Modifiers::META, &[KeyCode(0x5b), KeyCode(0x5c)]),
];

const RIGHT_ALT: KeyCode = KeyCode(0xa5);
