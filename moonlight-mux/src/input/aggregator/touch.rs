//! Fingers.

use super::outbox::{Device, Writer};
use crate::input::event::{PointerPhase, Touch};
use crate::input::host::HostInput;

/// Which of the host's contact numbers are in use, a bit for each.
#[derive(Debug, Default)]
pub(super) struct Contacts(u32);

impl Contacts {
    fn take(&mut self) -> Option<u8> {
        let number = (!self.0).trailing_zeros();
        self.0 |= 1u32.checked_shl(number)?;
        u8::try_from(number).ok()
    }

    fn free(&mut self, number: u8) {
        self.0 &= !(1 << number);
    }

    pub(super) fn forget(&mut self) {
        self.0 = 0;
    }
}

/// The fingers of one viewer that are down.
#[derive(Debug, Default)]
pub(super) struct Fingers(Vec<Finger>);

#[derive(Debug)]
struct Finger {
    /// The host's number.
    number: u8,
    /// As the viewer told it last, with the viewer's own number.
    last: Touch,
}

impl Fingers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// More fingers than [`FINGERS`], or than [`Contacts`] has numbers, and fingers that never went down, are ignored; so are phases that fingers do
    /// not have. A finger that goes down twice was taken away in between: some pages lose that.
    pub(super) fn handle(&mut self, touch: &Touch, contacts: &mut Contacts, outbox: &mut Writer<'_>) {
        let known = self.0.iter().position(|finger| finger.last.contact == touch.contact);
        match (touch.phase, known) {
            (PointerPhase::Down, known) => {
                if let Some(known) = known {
                    self.0.remove(known).cancel(contacts, outbox);
                }
                if self.0.len() >= FINGERS {
                    return;
                }
                let Some(number) = contacts.take() else { return };
                self.0.push(Finger { number, last: *touch });
                outbox.push(Device::Finger(number), at_host(touch, number));
            }
            (PointerPhase::Move, Some(known)) => {
                let finger = &mut self.0[known];
                finger.last = *touch;
                outbox.replace(Device::Finger(finger.number), at_host(touch, finger.number));
            }
            (PointerPhase::Up | PointerPhase::Cancel, Some(known)) => {
                let number = self.0.remove(known).number;
                contacts.free(number);
                outbox.push(Device::Finger(number), at_host(touch, number));
            }
            _ => {}
        }
    }

    pub(super) fn release(&mut self, contacts: &mut Contacts, outbox: &mut Writer<'_>) {
        for finger in self.0.drain(..) {
            finger.cancel(contacts, outbox);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Finger {
    fn cancel(self, contacts: &mut Contacts, outbox: &mut Writer<'_>) {
        contacts.free(self.number);
        let touch = Touch { phase: PointerPhase::Cancel, ..self.last };
        outbox.push(Device::Finger(self.number), at_host(&touch, self.number));
    }
}

fn at_host(touch: &Touch, number: u8) -> HostInput {
    HostInput::Touch(Touch { contact: number.into(), ..*touch })
}

/// Of one viewer, at once: as many as it has, so that others find numbers too.
const FINGERS: usize = 10;
