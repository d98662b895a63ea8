//! What waits for the host, and what of it is told next.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::motion::{Motion, Moves};
use crate::input::event::{GamepadState, Sensor};
use crate::input::host::{GamepadSlot, HostInput, Order, TextChange};
use crate::input::rights::DeviceClass;
use crate::peer::PeerId;

/// A queue for each class of devices, in which what a device says can be merged with what it said last, if that still waits:
/// there, and not at the end. So nothing waits for ever, and whatever must not be overtaken by its own device is not merged
/// over.
///
/// The oldest of all is told first, but that text and [actions](Order) take turns: each goes on until all is told that waited
/// when its turn began. So whoever acts waits for two changes at most, however often others change between the two. What is
/// [free](Order::Free) waits for neither, but for moves behind a click or the wheel, anybody's: there is one pointer, and it
/// may not go elsewhere before.
///
/// A viewer has [`SHARE`] places, and does not have text and actions in here at once: the other waits outside. So neither of
/// the two needs to know what of the other it may not overtake, and nothing is told in another order than it was decided in
/// but what is ordered against nothing, and releases ([`ReleaseAll`](crate::input::InputEvent::ReleaseAll) and the like): they
/// do not wait outside, and may pass their viewer's own text.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    connected: bool,
    /// By the numbers of their classes.
    lanes: [VecDeque<Item>; DeviceClass::ALL.len()],
    /// The next item's number.
    number: u64,
    /// Of each device the number of the item that it may be merged with.
    open: HashMap<Device, u64>,
    /// What is in here of those of whom anything is.
    places: BTreeMap<PeerId, Places>,
    /// Whether it is the turn of text.
    text: bool,
    /// The number that was the next one when the turn began.
    until: u64,
    /// The gamepads that the host knows, a bit for each slot.
    plugged: u16,
}

/// How many places a viewer has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    /// Of text: one for each character.
    text: usize,
    gamepads: usize,
    /// Of the other devices.
    desk: usize,
}

/// Puts in what one viewer does.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    outbox: &'a mut Outbox,
    peer: PeerId,
}

#[derive(Debug)]
struct Item {
    number: u64,
    /// Whose place it has.
    peer: PeerId,
    device: Device,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Input(HostInput),
    Text(Typed),
    Moves(Moves),
    Gamepad(GamepadSlot, GamepadState),
    Unplug(GamepadSlot),
}

#[derive(Debug)]
struct Typed {
    text: Box<str>,
    /// Bytes.
    told: usize,
}

/// Whose items are in order, and are merged with one another only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Device {
    Keyboard,
    Text,
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
        *self = Self::default();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// What the viewer has in here.
    pub(super) fn places(&self, peer: PeerId) -> Places {
        self.places.get(&peer).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.values().map(Places::all).sum()
    }

    pub(super) fn by(&mut self, peer: PeerId) -> Writer<'_> {
        Writer { outbox: self, peer }
    }

    /// What the host is told next, and whose it is: nothing of moves that have cancelled each other, whose place is free by
    /// this nonetheless. `None` once nothing is left that it may be told.
    pub(super) fn poll(&mut self, change: TextChange) -> Option<(PeerId, Option<HostInput>)> {
        let lane = self.next_lane(change)?;
        let item = self.lanes[lane].front_mut()?;
        let (peer, device) = (item.peer, item.device);
        let order = item.content.order();
        if order != Order::Free && (order == Order::Text) != self.text {
            self.text = !self.text;
            self.until = self.number;
        }
        let told = item.content.next(&mut self.plugged);
        if item.content.is_told() {
            if self.open.get(&device) == Some(&item.number) {
                self.open.remove(&device);
            }
            self.lanes[lane].pop_front();
            self.leave(peer, device.class());
        } else if order == Order::Text {
            self.leave(peer, device.class());
        }
        Some((peer, told))
    }

    fn next_lane(&self, change: TextChange) -> Option<usize> {
        let (mut text, mut action, mut free) = (None, None, None);
        for (index, lane) in self.lanes.iter().enumerate() {
            let Some(item) = lane.front() else { continue };
            let oldest = match item.content.order() {
                Order::Text => &mut text,
                Order::Action => &mut action,
                Order::Free => &mut free,
            };
            if oldest.is_none_or(|(number, _)| item.number < number) {
                *oldest = Some((item.number, index));
            }
        }
        let (own, other) = if self.text { (text, action) } else { (action, text) };
        let goes_on = own.filter(|own| other.is_none_or(|other| own.0 < other.0.max(self.until)));
        let changes = || other.filter(|_| change == TextChange::Allowed);
        let (_, index) = free.into_iter().chain(goes_on.or_else(changes)).min()?;
        Some(index)
    }

    fn append(&mut self, peer: PeerId, device: Device, content: Content, places: usize) {
        self.open.remove(&device);
        if !self.connected || places == 0 {
            return;
        }
        let class = device.class();
        *self.places.entry(peer).or_default().of(class) += places;
        let number = self.number;
        self.number += 1;
        self.lanes[class as usize].push_back(Item { number, peer, device, content });
    }

    /// A place is free again.
    fn leave(&mut self, peer: PeerId, class: DeviceClass) {
        if let Some(places) = self.places.get_mut(&peer) {
            *places.of(class) -= 1;
            if places.all() == 0 {
                self.places.remove(&peer);
            }
        }
    }

    fn open(&mut self, device: Device) -> Option<&mut Item> {
        let number = *self.open.get(&device)?;
        let lane = &mut self.lanes[device.class() as usize];
        let index = lane.binary_search_by_key(&number, |item| item.number).ok()?;
        lane.get_mut(index)
    }
}

impl Places {
    /// Whether what must not be lost has to wait outside.
    pub(super) fn are_full(&self) -> bool {
        self.all() >= SHARE
    }

    /// Whether something waits that this may not overtake and is not in its queue.
    pub(super) fn are_before(&self, order: Order) -> bool {
        match order {
            Order::Text => self.desk > 0,
            Order::Action => self.text > 0,
            Order::Free => false,
        }
    }

    fn all(&self) -> usize {
        self.text + self.gamepads + self.desk
    }

    fn of(&mut self, class: DeviceClass) -> &mut usize {
        match class {
            DeviceClass::Text => &mut self.text,
            DeviceClass::Gamepad => &mut self.gamepads,
            DeviceClass::Keyboard | DeviceClass::Pointer | DeviceClass::Touch | DeviceClass::Pen => {
                &mut self.desk
            }
        }
    }
}

impl Writer<'_> {
    /// Puts in what is told as it is.
    pub(super) fn push(&mut self, device: Device, input: HostInput) {
        self.append(device, Content::Input(input));
    }

    /// Puts in what makes what waits of the device obsolete, if nothing was pushed since.
    pub(super) fn replace(&mut self, device: Device, input: HostInput) {
        self.merge(device, Content::Input(input));
    }

    /// Puts in text, which has a place for each character.
    pub(super) fn push_text(&mut self, text: &str) {
        let content = Content::Text(Typed { text: text.into(), told: 0 });
        self.outbox.append(self.peer, Device::Text, content, text.chars().count());
    }

    /// Moves the pointer, or turns the wheel where it is then. The order of the two is lost only when the viewer has no place
    /// left, and only then is its wheel merged with another's: it would not be its own any more, which its text waits for.
    pub(super) fn move_pointer(&mut self, motion: Motion) {
        if motion.is_none() {
            return;
        }
        let (peer, full) = (self.peer, self.outbox.places(self.peer).are_full());
        if let Some(Item { peer: owner, content: Content::Moves(moves), .. }) =
            self.outbox.open(Device::Pointer)
            && (full || (moves.keep_order(motion) && (*owner == peer || !motion.scrolls())))
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

    /// What the next gamepad in the slot says comes behind this.
    pub(super) fn unplug(&mut self, slot: GamepadSlot) {
        self.outbox.open.retain(|device, _| !matches!(device, Device::Sensor(of, _) if *of == slot));
        self.append(Device::Gamepad(slot), Content::Unplug(slot));
    }

    fn merge(&mut self, device: Device, content: Content) {
        match self.outbox.open(device) {
            Some(waiting) => waiting.content = content,
            None => self.append_open(device, content),
        }
    }

    fn append_open(&mut self, device: Device, content: Content) {
        let number = self.outbox.number;
        self.append(device, content);
        if self.outbox.connected {
            self.outbox.open.insert(device, number);
        }
    }

    fn append(&mut self, device: Device, content: Content) {
        self.outbox.append(self.peer, device, content, 1);
    }
}

impl Content {
    fn order(&self) -> Order {
        match self {
            Self::Input(input) => input.order(),
            Self::Text(_) => Order::Text,
            Self::Moves(moves) if moves.moves() || moves.is_empty() => Order::Free,
            Self::Moves(_) => Order::Action,
            Self::Gamepad(..) | Self::Unplug(_) => Order::Free,
        }
    }

    /// The next part, taken away. `plugged`: what the host was told of so far, and not what waits behind this.
    fn next(&mut self, plugged: &mut u16) -> Option<HostInput> {
        match self {
            Self::Input(input) => {
                if let HostInput::GamepadConnected { slot, .. } = input {
                    *plugged |= bit(*slot);
                }
                Some(*input)
            }
            Self::Text(typed) => typed.next().map(HostInput::Text),
            Self::Moves(moves) => moves.next(),
            Self::Gamepad(slot, state) => {
                Some(HostInput::Gamepad { slot: *slot, state: *state, active: *plugged })
            }
            Self::Unplug(slot) => {
                *plugged &= !bit(*slot);
                Some(HostInput::Gamepad { slot: *slot, state: GamepadState::default(), active: *plugged })
            }
        }
    }

    /// Whether no part of it is left, once it was asked for the next one.
    fn is_told(&self) -> bool {
        match self {
            Self::Text(typed) => typed.rest().is_empty(),
            Self::Moves(moves) => moves.is_empty(),
            Self::Input(_) | Self::Gamepad(..) | Self::Unplug(_) => true,
        }
    }
}

impl Typed {
    fn rest(&self) -> &str {
        self.text.get(self.told..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.told += next.len_utf8();
        Some(next)
    }
}

impl Device {
    fn class(self) -> DeviceClass {
        match self {
            Self::Keyboard => DeviceClass::Keyboard,
            Self::Text => DeviceClass::Text,
            Self::Pointer => DeviceClass::Pointer,
            Self::Finger(_) => DeviceClass::Touch,
            Self::Pen => DeviceClass::Pen,
            Self::Gamepad(_) | Self::Sensor(..) | Self::Touchpad(..) => DeviceClass::Gamepad,
        }
    }
}

fn bit(slot: GamepadSlot) -> u16 {
    1 << slot.get()
}

/// How many places one viewer has: more than anybody does in 50 ms. Beyond it come what one event makes (a text has a place
/// for each character), one item of each device that may be merged with, and releases of what was pressed, which nobody can
/// do again without a place: as many as there are things that can be held, a few hundred.
pub(super) const SHARE: usize = 64;
