//! The mouse: who holds its buttons.

use super::outbox::{Device, Writer};
use crate::input::event::{Buttons, MouseButton};
use crate::input::host::HostInput;

/// The host's mouse buttons, each down while any viewer holds it.
#[derive(Debug, Default)]
pub(super) struct Mouse {
    /// How many hold the button with this number.
    holders: [u32; 6],
}

impl Mouse {
    /// For the viewer that holds `held`.
    pub(super) fn handle(
        &mut self,
        held: &mut Buttons,
        button: MouseButton,
        down: bool,
        outbox: &mut Writer<'_>,
    ) {
        if held.contains(button) == down {
            return;
        }
        held.0 ^= 1 << button as u8;
        let holders = &mut self.holders[button as usize];
        *holders = if down { *holders + 1 } else { *holders - 1 };
        // The first one to press it, or the last one to let go.
        if *holders == u32::from(down) {
            outbox.push(Device::Pointer, HostInput::Button { button, down });
        }
    }

    /// Lets go what is not in `kept`.
    pub(super) fn keep(&mut self, held: &mut Buttons, kept: Buttons, outbox: &mut Writer<'_>) {
        for button in MouseButton::ALL {
            if !kept.contains(button) {
                self.handle(held, button, false, outbox);
            }
        }
    }

    /// Nobody holds any.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
