//! What the aggregator has to do, said plainly: everything is told at once, nothing waits and nothing is merged; what the
//! host holds is worked out anew each time from what everybody holds.

use std::collections::{BTreeMap, BTreeSet};

use super::desktop::modifiers_of;
use super::*;
use crate::input::event::{GamepadTouch, Pen, Sensor, SensorReading};

#[derive(Debug)]
pub(super) struct Reference {
    mode: InputMode,
    connected: bool,
    viewers: BTreeMap<PeerId, Person>,
    /// And when it acted last.
    pub(super) turn: Option<(PeerId, Instant)>,
    /// Caps and Num Lock of the host.
    locks: Option<u8>,
    /// Whose it is, whether it is down, and how it was last.
    pen: Option<(PeerId, bool, Pen)>,
    /// What the host was told.
    pub(super) told: Vec<HostInput>,
}

#[derive(Debug, Default)]
struct Person {
    rights: Option<Rights>,
    heartbeat: bool,
    heard: Option<Instant>,
    acted: Option<Instant>,
    keys: BTreeSet<u8>,
    /// Those of the keys that nobody pressed.
    implied: BTreeSet<u8>,
    buttons: BTreeSet<MouseButton>,
    /// In the order in which they went down: the host's number, and how it was last.
    fingers: Vec<(u32, Touch)>,
    /// In the order in which they came.
    gamepads: Vec<Device>,
    /// When each was plugged in at the host.
    plugs: Vec<Instant>,
    /// Its last event was not taken.
    waits: bool,
}

#[derive(Debug)]
struct Device {
    index: GamepadIndex,
    info: GamepadInfo,
    slot: Option<GamepadSlot>,
    state: GamepadState,
    turning: bool,
    fingers: Vec<GamepadTouch>,
}

impl Reference {
    pub(super) fn new(mode: InputMode) -> Self {
        let (viewers, told) = (BTreeMap::new(), Vec::new());
        Self { mode, connected: true, viewers, turn: None, locks: None, pen: None, told }
    }

    pub(super) fn join(&mut self, peer: PeerId, rights: Rights) {
        self.viewers.insert(peer, Person { rights: Some(rights), ..Person::default() });
    }

    pub(super) fn leave(&mut self, peer: PeerId) {
        self.release(peer);
        self.unplug_all(peer);
        self.viewers.remove(&peer);
        if self.turn.is_some_and(|turn| turn.0 == peer) {
            self.turn = None;
        }
    }

    pub(super) fn expect_heartbeat(&mut self, peer: PeerId) {
        self.person(peer).heartbeat = true;
    }

    /// It said something that was not taken yet.
    pub(super) fn refuse(&mut self, now: Instant, peer: PeerId) {
        self.wait(now);
        self.person(peer).heard = Some(now);
        self.person(peer).waits = true;
    }

    pub(super) fn set_rights(&mut self, peer: PeerId, rights: Rights) {
        self.person(peer).rights = Some(rights);
        for class in IN_ORDER.into_iter().filter(|&class| !rights.allows(class)) {
            self.release_class(peer, class);
        }
        if !rights.allows(DeviceClass::Gamepad) {
            self.unplug_all(peer);
        }
    }

    pub(super) fn set_mode(&mut self, mode: InputMode) {
        let before = std::mem::replace(&mut self.mode, mode);
        if before == mode
            || matches!((before, mode), (InputMode::OneAtATime { .. }, InputMode::OneAtATime { .. }))
        {
            return;
        }
        self.turn = None;
        if mode != InputMode::Shared {
            for peer in self.peers() {
                self.release(peer);
            }
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.pen = None;
        self.locks = None;
        for person in self.viewers.values_mut() {
            person.keys.clear();
            person.implied.clear();
            person.buttons.clear();
            person.fingers.clear();
            for gamepad in &mut person.gamepads {
                gamepad.state = GamepadState::default();
                gamepad.turning = false;
                gamepad.fingers.clear();
            }
        }
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        self.told.clear();
        let devices = self.viewers.values().flat_map(|person| &person.gamepads);
        let mut plugged: Vec<_> = devices.filter_map(|device| Some((device.slot?, device.info))).collect();
        plugged.sort_by_key(|device| device.0);
        let mut active = 0;
        for (slot, info) in plugged {
            active |= 1 << slot.get();
            self.told.push(HostInput::GamepadConnected { slot, info });
            self.told.push(HostInput::Gamepad { slot, state: GamepadState::default(), active });
        }
    }

    /// What happens by time alone, until then.
    pub(super) fn wait(&mut self, until: Instant) {
        loop {
            let silences = self.peers().into_iter().filter_map(|peer| {
                let person = &self.viewers[&peer];
                let heard = person.heard.filter(|_| person.heartbeat && !person.waits && self.holds(peer))?;
                Some((heard + Duration::from_secs(1), peer))
            });
            let silence = silences.min().filter(|(due, _)| *due <= until);
            let turn = match (self.mode, self.turn) {
                (InputMode::OneAtATime { idle }, Some((peer, acted)))
                    if !self.holds(peer) && !self.viewers[&peer].waits =>
                {
                    Some((acted + idle, peer)).filter(|(due, _)| *due <= until)
                }
                _ => None,
            };
            match (silence, turn) {
                (Some((_, peer)), None) => self.release(peer),
                (Some((due, peer)), Some((end, _))) if due <= end => self.release(peer),
                (_, Some((_, peer))) => {
                    self.turn = None;
                    self.release(peer);
                }
                (None, None) => return,
            }
        }
    }

    pub(super) fn holds(&self, peer: PeerId) -> bool {
        let person = &self.viewers[&peer];
        !person.keys.is_empty()
            || !person.buttons.is_empty()
            || !person.fingers.is_empty()
            || self.pen.is_some_and(|(owner, down, _)| owner == peer && down)
            || person.gamepads.iter().any(|gamepad| !gamepad.fingers.is_empty() || !rests(&gamepad.state))
    }

    pub(super) fn acting(&self, now: Instant) -> Vec<PeerId> {
        let acts = |&peer: &PeerId| {
            let acted = self.viewers[&peer].acted;
            self.holds(peer) || acted.is_some_and(|acted| now < acted + Duration::from_secs(1))
        };
        self.peers().into_iter().filter(acts).collect()
    }

    /// What a viewer did, and was taken.
    pub(super) fn act(&mut self, now: Instant, peer: PeerId, event: &InputEvent) {
        // A turn that lasted only for as long as an event waited is over.
        self.wait(now);
        self.person(peer).heard = Some(now);
        let waited = std::mem::take(&mut self.person(peer).waits);
        let held = self.holds(peer);
        let begins = does_something(event);
        let counts = match event {
            InputEvent::Held { keys, buttons } => {
                self.keep(peer, keys, *buttons);
                held
            }
            InputEvent::ReleaseAll => {
                self.release(peer);
                held
            }
            InputEvent::GamepadConnected { index, info } => {
                let known = self.device(peer, *index).map(|device| device.info);
                if known != Some(*info) {
                    self.unplug(peer, *index);
                    self.know(peer, *index, *info);
                }
                if self.right(peer, DeviceClass::Gamepad) && self.mode != InputMode::ViewOnly {
                    self.plug(now, peer, *index);
                }
                held
            }
            InputEvent::GamepadDisconnected { index } => {
                self.unplug(peer, *index);
                self.person(peer).gamepads.retain(|device| device.index != *index);
                held
            }
            _ => {
                let may = match (self.mode, self.turn) {
                    (InputMode::Shared, _) => true,
                    (InputMode::ViewOnly, _) => false,
                    (InputMode::OneAtATime { .. }, None) => begins,
                    (InputMode::OneAtATime { .. }, Some((owner, _))) => owner == peer,
                };
                let may = may && self.connected && self.right(peer, class_of(event));
                if may {
                    self.perform(now, peer, event);
                } else {
                    return;
                }
                begins || held
            }
        };
        if counts {
            self.person(peer).acted = Some(now);
            if matches!(self.mode, InputMode::OneAtATime { .. }) {
                self.turn = Some((peer, now));
            }
        } else if waited && self.turn.is_some_and(|turn| turn.0 == peer) {
            self.turn = Some((peer, now));
        }
    }

    fn perform(&mut self, now: Instant, peer: PeerId, event: &InputEvent) {
        match event {
            InputEvent::Key { code, down, modifiers, locks } => {
                self.key(peer, code.0, *down, modifiers.0, locks.map(|locks| locks.0));
            }
            InputEvent::Text(text) => self.told.extend(text.chars().map(HostInput::Text)),
            InputEvent::PointerTo(place) => self.told.push(HostInput::PointerTo(*place)),
            InputEvent::PointerBy { dx, dy } => self.move_by(*dx, *dy),
            InputEvent::Button { button, down, at } => {
                self.told.extend(at.map(HostInput::PointerTo));
                self.button(peer, *button, *down);
            }
            InputEvent::Scroll { dx, dy, at } => {
                self.told.extend(at.map(HostInput::PointerTo));
                for (horizontal, amount) in [(true, *dx), (false, *dy)] {
                    if amount != 0 {
                        self.told.push(HostInput::Scroll { horizontal, amount });
                    }
                }
            }
            InputEvent::Touch(touch) => self.touch(peer, *touch),
            InputEvent::Pen(pen) => self.move_pen(peer, *pen),
            InputEvent::Gamepad { index, state } => {
                if self.device(peer, *index).is_none() {
                    self.know(peer, *index, GamepadInfo::default());
                }
                self.plug(now, peer, *index);
                self.state(peer, *index, *state);
            }
            InputEvent::GamepadMotion { index, reading } => self.motion(peer, *index, *reading),
            InputEvent::GamepadTouch { index, touch } => self.touchpad(peer, *index, *touch),
            other => panic!("{other:?} needs no permission"),
        }
    }

    fn key(&mut self, peer: PeerId, code: u8, down: bool, modifiers: u8, locks: Option<u8>) {
        let is_lock = matches!(code, 0x14 | 0x90 | 0x91);
        let locks = if is_lock { None } else { locks };
        if self.locks.is_none() {
            self.locks = locks;
        }
        let alt_gr = code == 0xa5 || self.viewers[&peer].keys.contains(&0xa5);
        for (bit, left, right, either) in
            [(1, 0xa0, 0xa1, 0x10), (2, 0xa2, 0xa3, 0x11), (4, 0xa4, 0xa5, 0x12), (8, 0x5b, 0x5c, 0x5c)]
        {
            let keys = [left, right, either];
            if keys.contains(&code) && down {
                continue;
            }
            let mut held: Vec<u8> =
                keys.into_iter().filter(|key| self.viewers[&peer].keys.contains(key)).collect();
            held.sort_unstable();
            held.dedup();
            if modifiers & bit != 0 && held.is_empty() && down {
                self.person(peer).implied.insert(left);
                self.set_key(peer, left, true);
            }
            if modifiers & bit == 0 && !(alt_gr && (bit == 2 || bit == 4)) {
                for key in held {
                    self.set_key(peer, key, false);
                }
            }
        }
        self.person(peer).implied.remove(&code);
        let first = !self.down_at_host().contains(&code);
        let shortcut = modifiers_of(&self.down_at_host()).0 & 0b1110 != 0;
        if let (true, true, false, Some(wanted), Some(host)) = (down, first, shortcut, locks, self.locks) {
            let lock = match code {
                b'A'..=b'Z' | b'0'..=b'9' | 0xba..=0xc0 | 0xdb..=0xdf | 0xe2 => Some((0x14, 1)),
                0x60..=0x69 | 0x6e => Some((0x90, 2)),
                _ => None,
            };
            if let Some((lock, bit)) = lock
                && (wanted ^ host) & bit != 0
            {
                let held = self.down_at_host().contains(&lock);
                for down in [!held, held] {
                    let mut keys = self.down_at_host();
                    keys.remove(&lock);
                    let modifiers = modifiers_of(&keys);
                    self.told.push(HostInput::Key { code: KeyCode(lock), down, modifiers });
                }
                self.locks = Some(host ^ bit);
            }
        }
        self.set_key(peer, code, down);
        self.let_implied_keys_go(peer);
    }

    /// Those that nobody pressed are down for those that somebody did.
    fn let_implied_keys_go(&mut self, peer: PeerId) {
        let person = &self.viewers[&peer];
        if person.keys == person.implied {
            let keys = person.keys.clone();
            self.let_keys_go(peer, keys);
        }
    }

    /// Tells the host if this is the first to press it or the last to let go.
    fn set_key(&mut self, peer: PeerId, code: u8, down: bool) {
        let before = self.down_at_host().contains(&code);
        let person = self.person(peer);
        if down {
            person.keys.insert(code);
        } else {
            person.keys.remove(&code);
            person.implied.remove(&code);
        }
        let after = self.down_at_host();
        if before == after.contains(&code) {
            return;
        }
        if let (true, Some(locks)) = (down, &mut self.locks) {
            *locks ^= match code {
                0x14 => 1,
                0x90 => 2,
                _ => 0,
            };
        }
        self.told.push(HostInput::Key { code: KeyCode(code), down, modifiers: modifiers_of(&after) });
    }

    fn down_at_host(&self) -> BTreeSet<u8> {
        self.viewers.values().flat_map(|person| person.keys.iter().copied()).collect()
    }

    fn button(&mut self, peer: PeerId, button: MouseButton, down: bool) {
        let at_host =
            |reference: &Self| reference.viewers.values().any(|person| person.buttons.contains(&button));
        let before = at_host(self);
        let buttons = &mut self.person(peer).buttons;
        if down {
            buttons.insert(button);
        } else {
            buttons.remove(&button);
        }
        if before != at_host(self) {
            self.told.push(HostInput::Button { button, down });
        }
    }

    fn move_by(&mut self, mut dx: i32, mut dy: i32) {
        while (dx, dy) != (0, 0) {
            let (x, y) = (dx.clamp(-32_768, 32_767), dy.clamp(-32_768, 32_767));
            self.told.push(HostInput::PointerBy { dx: x as i16, dy: y as i16 });
            (dx, dy) = (dx - x, dy - y);
        }
    }

    fn touch(&mut self, peer: PeerId, touch: Touch) {
        let fingers = &self.viewers[&peer].fingers;
        let known = fingers.iter().position(|(_, last)| last.contact == touch.contact);
        match (touch.phase, known) {
            (PointerPhase::Down, known) => {
                if let Some(known) = known {
                    let (number, last) = self.person(peer).fingers.remove(known);
                    self.tell_touch(number, Touch { phase: PointerPhase::Cancel, ..last });
                }
                let taken: BTreeSet<u32> =
                    self.viewers.values().flat_map(|person| &person.fingers).map(|finger| finger.0).collect();
                if let Some(number) = (0..32).find(|number| !taken.contains(number))
                    && self.viewers[&peer].fingers.len() < 10
                {
                    self.person(peer).fingers.push((number, touch));
                    self.tell_touch(number, touch);
                }
            }
            (PointerPhase::Move, Some(known)) => {
                let finger = &mut self.person(peer).fingers[known];
                finger.1 = touch;
                let number = finger.0;
                self.tell_touch(number, touch);
            }
            (PointerPhase::Up | PointerPhase::Cancel, Some(known)) => {
                let (number, _) = self.person(peer).fingers.remove(known);
                self.tell_touch(number, touch);
            }
            _ => {}
        }
    }

    fn tell_touch(&mut self, contact: u32, touch: Touch) {
        self.told.push(HostInput::Touch(Touch { contact, ..touch }));
    }

    fn move_pen(&mut self, peer: PeerId, pen: Pen) {
        let mine = self.pen.filter(|near| near.0 == peer).map(|near| near.1);
        let (free, others_hovers) =
            (self.pen.is_none(), self.pen.is_some_and(|near| near.0 != peer && !near.1));
        let down = match pen.phase {
            PointerPhase::Hover if free || mine == Some(false) => false,
            PointerPhase::Down if others_hovers => {
                self.take_pen_away();
                true
            }
            PointerPhase::Down if free || mine == Some(false) => true,
            PointerPhase::Move if mine == Some(true) => true,
            PointerPhase::Up if mine == Some(true) => false,
            PointerPhase::Buttons if mine.is_some() => mine == Some(true),
            PointerPhase::Leave | PointerPhase::Cancel if mine.is_some() => {
                self.take_pen_away();
                return;
            }
            _ => return,
        };
        self.pen = Some((peer, down, pen));
        self.told.push(HostInput::Pen(pen));
    }

    fn take_pen_away(&mut self) {
        if let Some((_, down, last)) = self.pen.take() {
            let phase = if down { PointerPhase::Cancel } else { PointerPhase::Leave };
            self.told.push(HostInput::Pen(Pen { phase, ..last }));
        }
    }

    fn know(&mut self, peer: PeerId, index: GamepadIndex, info: GamepadInfo) {
        let devices = &mut self.person(peer).gamepads;
        devices.retain(|device| device.index != index);
        let (state, fingers) = (GamepadState::default(), Vec::new());
        devices.push(Device { index, info, slot: None, state, turning: false, fingers });
    }

    fn slots(&self) -> BTreeSet<GamepadSlot> {
        let devices = self.viewers.values().flat_map(|person| &person.gamepads);
        devices.filter_map(|device| device.slot).collect()
    }

    fn active(&self) -> u16 {
        self.slots().into_iter().fold(0, |mask, slot| mask | 1 << slot.get())
    }

    fn plug(&mut self, now: Instant, peer: PeerId, index: GamepadIndex) {
        let person = &self.viewers[&peer];
        let plugged = person.gamepads.iter().filter(|device| device.slot.is_some()).count();
        let lately = person.plugs.iter().filter(|&&plug| now - plug < Duration::from_secs(4)).count();
        if plugged == 4 || lately == 8 {
            return;
        }
        let taken = self.slots();
        let free = (0..16).map(slot).find(|slot| !taken.contains(slot));
        let Some(device) = self.device(peer, index) else { return };
        let (None, Some(slot)) = (device.slot, free) else { return };
        device.slot = Some(slot);
        let info = device.info;
        self.person(peer).plugs.push(now);
        if self.connected {
            let (state, active) = (GamepadState::default(), self.active());
            self.told.push(HostInput::GamepadConnected { slot, info });
            self.told.push(HostInput::Gamepad { slot, state, active });
        }
    }

    fn unplug(&mut self, peer: PeerId, index: GamepadIndex) {
        self.rest(peer, index);
        let Some(slot) = self.device(peer, index).and_then(|device| device.slot.take()) else { return };
        if self.connected {
            let (state, active) = (GamepadState::default(), self.active());
            self.told.push(HostInput::Gamepad { slot, state, active });
        }
    }

    fn unplug_all(&mut self, peer: PeerId) {
        for index in self.indices(peer) {
            self.unplug(peer, index);
        }
    }

    fn state(&mut self, peer: PeerId, index: GamepadIndex, state: GamepadState) {
        let active = self.active();
        if let Some(device) = self.device(peer, index)
            && let Some(slot) = device.slot
        {
            device.state = state;
            self.told.push(HostInput::Gamepad { slot, state, active });
        }
    }

    fn motion(&mut self, peer: PeerId, index: GamepadIndex, reading: SensorReading) {
        if let Some(device) = self.device(peer, index)
            && let Some(slot) = device.slot
        {
            if reading.sensor == Sensor::Gyroscope {
                device.turning = reading.value != [0.0, 0.0, 0.0];
            }
            self.told.push(HostInput::GamepadMotion { slot, reading });
        }
    }

    fn touchpad(&mut self, peer: PeerId, index: GamepadIndex, touch: GamepadTouch) {
        let Some(device) = self.device(peer, index) else { return };
        let Some(slot) = device.slot else { return };
        let same =
            |finger: &GamepadTouch| (finger.touchpad, finger.contact) == (touch.touchpad, touch.contact);
        let known = device.fingers.iter().copied().find(same);
        let mut told = Vec::new();
        match (touch.phase, known) {
            (PointerPhase::Down, None) if device.fingers.len() == 8 => {}
            (PointerPhase::Down, known) => {
                told.extend(known.map(|last| GamepadTouch { phase: PointerPhase::Cancel, ..last }));
                told.push(touch);
            }
            (PointerPhase::Move | PointerPhase::Up | PointerPhase::Cancel, Some(_)) => told.push(touch),
            _ => {}
        }
        if told.last() == Some(&touch) {
            let place = device.fingers.iter().position(same).unwrap_or(device.fingers.len());
            device.fingers.retain(|finger| !same(finger));
            if matches!(touch.phase, PointerPhase::Down | PointerPhase::Move) {
                device.fingers.insert(place, touch);
            }
        }
        self.told.extend(told.into_iter().map(|touch| HostInput::GamepadTouch { slot, touch }));
    }

    fn rest(&mut self, peer: PeerId, index: GamepadIndex) {
        let active = self.active();
        let connected = self.connected;
        let Some(device) = self.device(peer, index) else { return };
        let Some(slot) = device.slot else { return };
        let mut told: Vec<HostInput> = Vec::new();
        for finger in device.fingers.drain(..) {
            let touch = GamepadTouch { phase: PointerPhase::Cancel, ..finger };
            told.push(HostInput::GamepadTouch { slot, touch });
        }
        if device.turning {
            let reading = SensorReading { sensor: Sensor::Gyroscope, value: [0.0; 3] };
            told.push(HostInput::GamepadMotion { slot, reading });
        }
        device.turning = false;
        device.state = GamepadState::default();
        told.push(HostInput::Gamepad { slot, state: GamepadState::default(), active });
        if connected {
            self.told.extend(told);
        }
    }

    fn keep(&mut self, peer: PeerId, keys: &KeySet, buttons: Buttons) {
        for button in MouseButton::ALL {
            if !buttons.contains(button) {
                self.button(peer, button, false);
            }
        }
        let person = &self.viewers[&peer];
        let gone = person.keys.iter().copied();
        let gone = gone.filter(|&code| !keys.contains(KeyCode(code)) && !person.implied.contains(&code));
        let gone = gone.collect();
        self.let_keys_go(peer, gone);
        self.let_implied_keys_go(peer);
    }

    /// Those that are no modifiers first.
    fn let_keys_go(&mut self, peer: PeerId, keys: BTreeSet<u8>) {
        let is_modifier = |&code: &u8| modifiers_of(&BTreeSet::from([code])) != Modifiers(0);
        let (modifiers, others): (Vec<u8>, Vec<u8>) = keys.into_iter().partition(is_modifier);
        for code in others.into_iter().chain(modifiers) {
            self.set_key(peer, code, false);
        }
    }

    pub(super) fn release(&mut self, peer: PeerId) {
        for class in IN_ORDER {
            self.release_class(peer, class);
        }
    }

    fn release_class(&mut self, peer: PeerId, class: DeviceClass) {
        match class {
            DeviceClass::Keyboard => {
                let keys = self.viewers[&peer].keys.clone();
                self.let_keys_go(peer, keys);
            }
            DeviceClass::Pointer => {
                for button in MouseButton::ALL {
                    self.button(peer, button, false);
                }
            }
            DeviceClass::Touch => {
                for (number, last) in std::mem::take(&mut self.person(peer).fingers) {
                    self.tell_touch(number, Touch { phase: PointerPhase::Cancel, ..last });
                }
            }
            DeviceClass::Pen => {
                if self.pen.is_some_and(|near| near.0 == peer) {
                    self.take_pen_away();
                }
            }
            DeviceClass::Gamepad => {
                for index in self.indices(peer) {
                    self.rest(peer, index);
                }
            }
            DeviceClass::Text => {}
        }
    }

    fn right(&self, peer: PeerId, class: DeviceClass) -> bool {
        self.viewers[&peer].rights.is_some_and(|rights| rights.allows(class))
    }

    fn peers(&self) -> Vec<PeerId> {
        self.viewers.keys().copied().collect()
    }

    fn indices(&self, peer: PeerId) -> Vec<GamepadIndex> {
        self.viewers[&peer].gamepads.iter().map(|device| device.index).collect()
    }

    fn person(&mut self, peer: PeerId) -> &mut Person {
        self.viewers.get_mut(&peer).expect("here")
    }

    fn device(&mut self, peer: PeerId, index: GamepadIndex) -> Option<&mut Device> {
        self.person(peer).gamepads.iter_mut().find(|device| device.index == index)
    }
}

fn class_of(event: &InputEvent) -> DeviceClass {
    match event {
        InputEvent::Key { .. } => DeviceClass::Keyboard,
        InputEvent::Text(_) => DeviceClass::Text,
        InputEvent::Touch(_) => DeviceClass::Touch,
        InputEvent::Pen(_) => DeviceClass::Pen,
        InputEvent::Gamepad { .. } | InputEvent::GamepadMotion { .. } | InputEvent::GamepadTouch { .. } => {
            DeviceClass::Gamepad
        }
        _ => DeviceClass::Pointer,
    }
}

/// Whether somebody who does this wants the turn.
fn does_something(event: &InputEvent) -> bool {
    match event {
        InputEvent::Key { down, .. } | InputEvent::Button { down, .. } => *down,
        InputEvent::Text(text) => !text.is_empty(),
        InputEvent::PointerBy { dx, dy } => *dx != 0 || *dy != 0,
        InputEvent::Scroll { dx, dy, .. } => *dx != 0 || *dy != 0,
        InputEvent::Touch(Touch { phase, .. })
        | InputEvent::GamepadTouch { touch: GamepadTouch { phase, .. }, .. } => *phase == PointerPhase::Down,
        InputEvent::Pen(pen) => pen.phase == PointerPhase::Down || pen.phase == PointerPhase::Hover,
        InputEvent::Gamepad { state, .. } => !rests(state),
        InputEvent::PointerTo(_) => true,
        _ => false,
    }
}

fn rests(state: &GamepadState) -> bool {
    let axes = [state.left_stick.0, state.left_stick.1, state.right_stick.0, state.right_stick.1];
    state.buttons == GamepadButtons(0)
        && state.left_trigger <= 30
        && state.right_trigger <= 30
        && axes.into_iter().all(|axis| (-8192..=8192).contains(&axis))
}

/// In which what is held is let go.
const IN_ORDER: [DeviceClass; 5] =
    [DeviceClass::Pointer, DeviceClass::Touch, DeviceClass::Pen, DeviceClass::Gamepad, DeviceClass::Keyboard];
