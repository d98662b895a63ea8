//! What waits for the host, in the order in which it is told.

use std::collections::{HashMap, VecDeque};

use super::pointer::{Motion, Moves};
use crate::input::event::{GamepadState, Sensor};
use crate::input::host::{GamepadSlot, HostInput};

/// A queue, in which what a device says can be merged with what it said last, if that still waits: there, and not at the end.
/// So nothing waits for ever, and whatever must not be overtaken by its own device is not merged over.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    connected: bool,
    items: VecDeque<Item>,
    /// How many have left the front.
    taken: u64,
    /// Of each device the item that it may be merged with, counted from the beginning.
    open: HashMap<Device, u64>,
    /// The gamepads that the host knows, a bit for each slot.
    plugged: u16,
}

#[derive(Debug)]
struct Item {
    device: Device,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Input(HostInput),
    Moves(Moves),
    Gamepad(GamepadSlot, GamepadState),
    Unplug(GamepadSlot),
}

/// Whose items are in order, and are merged with one another only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Device {
    Keyboard,
    Pointer,
    /// By its number at the host.
    Finger(u8),
    Pen,
    Gamepad(GamepadSlot),
    Sensor(GamepadSlot, Sensor),
    /// A finger on a touchpad of a gamepad.
    Touchpad(GamepadSlot, u8, u32),
}

impl Outbox {
    pub(super) fn connect(&mut self) {
        self.disconnect();
        self.connected = true;
    }

    /// Drops what waits, and what is put in from now on.
    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.taken += self.items.len() as u64;
        self.items.clear();
        self.open.clear();
        self.plugged = 0;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether what must not be lost has to wait outside.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= LIMIT
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Puts in what is told as it is.
    pub(super) fn push(&mut self, device: Device, input: HostInput) {
        self.append(device, Content::Input(input));
    }

    /// Puts in what makes what waits of the device obsolete, if nothing was pushed since.
    pub(super) fn replace(&mut self, device: Device, input: HostInput) {
        self.merge(device, Content::Input(input));
    }

    /// Moves the pointer, or turns the wheel where it is then. The order of the two is lost only when there is no room.
    pub(super) fn move_pointer(&mut self, motion: Motion) {
        if motion.is_none() {
            return;
        }
        let full = self.is_full();
        if let Some(Content::Moves(moves)) = self.open(Device::Pointer)
            && (full || moves.keep_order(motion))
        {
            moves.add(motion);
            return;
        }
        let mut moves = Moves::default();
        moves.add(motion);
        self.append_open(Device::Pointer, Content::Moves(moves));
    }

    /// Puts in a state of a gamepad that must be seen.
    pub(super) fn push_gamepad(&mut self, slot: GamepadSlot, state: GamepadState) {
        self.append(Device::Gamepad(slot), Content::Gamepad(slot, state));
    }

    /// Puts in a state of a gamepad that only the next one matters after.
    pub(super) fn replace_gamepad(&mut self, slot: GamepadSlot, state: GamepadState) {
        self.merge(Device::Gamepad(slot), Content::Gamepad(slot, state));
    }

    pub(super) fn unplug(&mut self, slot: GamepadSlot) {
        self.append(Device::Gamepad(slot), Content::Unplug(slot));
    }

    pub(super) fn poll(&mut self) -> Option<HostInput> {
        loop {
            if let Content::Moves(moves) = &mut self.items.front_mut()?.content
                && let Some(input) = moves.next()
            {
                return Some(input);
            }
            let Item { device, content } = self.items.pop_front()?;
            if self.open.get(&device) == Some(&self.taken) {
                self.open.remove(&device);
            }
            self.taken += 1;
            match content {
                Content::Moves(_) => {}
                Content::Input(input) => {
                    if let HostInput::GamepadConnected { slot, .. } = input {
                        self.plugged |= bit(slot);
                    }
                    return Some(input);
                }
                // The mask says what the host was told of so far, and not what waits behind this.
                Content::Gamepad(slot, state) => {
                    return Some(HostInput::Gamepad { slot, state, active: self.plugged });
                }
                Content::Unplug(slot) => {
                    self.plugged &= !bit(slot);
                    let state = GamepadState::default();
                    return Some(HostInput::Gamepad { slot, state, active: self.plugged });
                }
            }
        }
    }

    fn merge(&mut self, device: Device, content: Content) {
        match self.open(device) {
            Some(waiting) => *waiting = content,
            None => self.append_open(device, content),
        }
    }

    fn append_open(&mut self, device: Device, content: Content) {
        let number = self.taken + self.items.len() as u64;
        self.append(device, content);
        if self.connected {
            self.open.insert(device, number);
        }
    }

    fn append(&mut self, device: Device, content: Content) {
        if self.connected {
            self.open.remove(&device);
            self.items.push_back(Item { device, content });
        }
    }

    fn open(&mut self, device: Device) -> Option<&mut Content> {
        let number = *self.open.get(&device)?;
        let item = self.items.get_mut(usize::try_from(number - self.taken).ok()?)?;
        Some(&mut item.content)
    }
}

fn bit(slot: GamepadSlot) -> u16 {
    1 << slot.get()
}

/// More than twenty viewers do in 50 ms, and what a host takes in 50 ms. Beyond it come what one event makes (a text has an
/// item for each character), one item of each device that may be merged with, and releases, of which there are as many as
/// there are things that can be held: a few hundred.
pub(super) const LIMIT: usize = 1024;
