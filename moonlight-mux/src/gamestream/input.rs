//! What the host's one user does, as packets, and packets as what somebody did. Pure.
//!
//! [`Outlet`] decides when each goes; what is here is only what each is on the wire.
//!
//! One [`HostInput`] is one packet. Back and forth it stays the same but for a pointer's place, which loses its lowest bit:
//! the plane that it is sent on has 32768 places each way, the most that the packet's fields can hold. Source: protocol
//! document, streams 2.5, 3.3 and 3.6.

mod held;
mod outlet;

pub(crate) use self::outlet::{HostKind, Outlet, Unacknowledged};
use super::wire::control::HostMessage;
use super::wire::input::controller::{
    Arrival, ControllerId, ControllerKind, Motion, Sensor as WireSensor, State, Stick, Touchpad,
};
use super::wire::input::pointer::{
    Contact, Pen as WirePen, PointerEvent, Position as WirePosition, Tool, Touch as WireTouch,
};
use super::wire::input::{Fraction, Input, Key, MouseButton as WireButton, MouseMove, MousePosition};
use crate::input::{
    GamepadButtons, GamepadInfo, GamepadKind, GamepadSlot, GamepadState, GamepadTouch, HostFeedback,
    HostInput, KeyCode, Modifiers, MouseButton, Pen, PenTool, PointerPhase, Position, Sensor, SensorReading,
    Touch,
};

impl From<HostInput> for Input {
    fn from(input: HostInput) -> Self {
        match input {
            HostInput::Key { code, down, modifiers } => {
                Self::Key(Key { code: code.0, down, modifiers: modifiers.0, not_normalised: false })
            }
            HostInput::Text(character) => Self::Text(character),
            HostInput::PointerTo(Position { x, y }) => {
                let [x, y] = [x, y].map(|share| (share >> 1) as i16);
                Self::MousePosition(MousePosition { x, y, width: PLANE, height: PLANE })
            }
            HostInput::PointerBy { dx, dy } => Self::MouseMove(MouseMove { dx, dy }),
            HostInput::Button { button, down } => Self::MouseButton { button: button.into(), down },
            HostInput::Scroll { horizontal: true, amount } => Self::ScrollHorizontal(amount),
            HostInput::Scroll { horizontal: false, amount } => Self::Scroll(amount),
            HostInput::Touch(touch) => Self::Touch(touch.into()),
            HostInput::Pen(pen) => Self::Pen(pen.into()),
            HostInput::GamepadConnected { slot, info } => Self::ControllerArrival(Arrival {
                controller: slot.into(),
                kind: info.kind.into(),
                capabilities: info.capabilities,
                buttons: info.buttons.0,
            }),
            HostInput::Gamepad { slot, state, active } => {
                let stick = |(x, y)| Stick { x, y };
                Self::ControllerState(State {
                    controller: slot.into(),
                    active,
                    buttons: state.buttons.0,
                    left_trigger: state.left_trigger,
                    right_trigger: state.right_trigger,
                    left_stick: stick(state.left_stick),
                    right_stick: stick(state.right_stick),
                })
            }
            HostInput::GamepadMotion { slot, reading } => Self::ControllerMotion(Motion {
                controller: slot.into(),
                sensor: reading.sensor.into(),
                axes: reading.value,
            }),
            HostInput::GamepadTouch { slot, touch } => Self::ControllerTouchpad(Touchpad {
                controller: slot.into(),
                event: touch.phase.into(),
                touchpad: touch.touchpad,
                pointer: touch.contact,
                position: touch.position.into(),
                pressure: fraction(touch.pressure),
            }),
        }
    }
}

/// The packet is nothing that a viewer could have done: it enables haptics, tells of a battery, or cancels all fingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHostInput;

impl TryFrom<&Input> for HostInput {
    type Error = NotHostInput;

    /// What [`HostInput`] has no place for is left out: whether a key code is normalised, and the ellipse of a pen. A
    /// place on another plane is brought to the nearest above and left.
    fn try_from(input: &Input) -> Result<Self, NotHostInput> {
        Ok(match *input {
            Input::Key(Key { code, down, modifiers, .. }) => {
                Self::Key { code: KeyCode(code), down, modifiers: Modifiers(modifiers) }
            }
            Input::Text(character) => Self::Text(character),
            Input::MousePosition(position) => Self::PointerTo(position.into()),
            Input::MouseMove(MouseMove { dx, dy }) => Self::PointerBy { dx, dy },
            Input::MouseButton { button, down } => Self::Button { button: button.into(), down },
            Input::Scroll(amount) => Self::Scroll { horizontal: false, amount },
            Input::ScrollHorizontal(amount) => Self::Scroll { horizontal: true, amount },
            Input::Touch(touch) => Self::Touch(touch.try_into()?),
            Input::Pen(pen) => Self::Pen(pen.try_into()?),
            Input::ControllerArrival(arrival) => Self::GamepadConnected {
                slot: arrival.controller.into(),
                info: GamepadInfo {
                    kind: arrival.kind.into(),
                    capabilities: arrival.capabilities,
                    buttons: GamepadButtons(arrival.buttons),
                },
            },
            Input::ControllerState(state) => Self::Gamepad {
                slot: state.controller.into(),
                active: state.active,
                state: GamepadState {
                    buttons: GamepadButtons(state.buttons),
                    left_trigger: state.left_trigger,
                    right_trigger: state.right_trigger,
                    left_stick: (state.left_stick.x, state.left_stick.y),
                    right_stick: (state.right_stick.x, state.right_stick.y),
                },
            },
            Input::ControllerMotion(motion) => Self::GamepadMotion {
                slot: motion.controller.into(),
                reading: SensorReading { sensor: motion.sensor.into(), value: motion.axes },
            },
            Input::ControllerTouchpad(touchpad) => Self::GamepadTouch {
                slot: touchpad.controller.into(),
                touch: GamepadTouch {
                    phase: touchpad.event.try_into()?,
                    touchpad: touchpad.touchpad,
                    contact: touchpad.pointer,
                    position: touchpad.position.into(),
                    pressure: share(touchpad.pressure),
                },
            },
            Input::EnableHaptics | Input::ControllerBattery(_) => return Err(NotHostInput),
        })
    }
}

impl From<MousePosition> for Position {
    fn from(MousePosition { x, y, width, height }: MousePosition) -> Self {
        let share = |at: i16, plane: u16| {
            let last = u32::from(plane).saturating_sub(1).max(1);
            let at = u32::from(at.max(0).unsigned_abs()).min(last);
            (at * u32::from(u16::MAX) / last) as u16
        };
        Self { x: share(x, width), y: share(y, height) }
    }
}

impl From<Touch> for WireTouch {
    fn from(touch: Touch) -> Self {
        let (major, minor) = touch.ellipse;
        Self {
            event: touch.phase.into(),
            pointer: touch.contact,
            position: touch.position.into(),
            pressure: fraction(touch.pressure),
            rotation: touch.rotation,
            contact: Contact { major: fraction(major), minor: fraction(minor) },
        }
    }
}

impl TryFrom<WireTouch> for Touch {
    type Error = NotHostInput;

    fn try_from(touch: WireTouch) -> Result<Self, NotHostInput> {
        Ok(Self {
            phase: touch.event.try_into()?,
            contact: touch.pointer,
            position: touch.position.into(),
            pressure: share(touch.pressure),
            rotation: touch.rotation,
            ellipse: (share(touch.contact.major), share(touch.contact.minor)),
        })
    }
}

impl From<Pen> for WirePen {
    fn from(pen: Pen) -> Self {
        Self {
            event: pen.phase.into(),
            tool: match pen.tool {
                PenTool::Unknown => Tool::Unknown,
                PenTool::Pen => Tool::Pen,
                PenTool::Eraser => Tool::Eraser,
            },
            buttons: pen.buttons,
            position: pen.position.into(),
            pressure: fraction(pen.pressure),
            rotation: pen.rotation,
            tilt: pen.tilt,
            contact: Contact::default(),
        }
    }
}

impl TryFrom<WirePen> for Pen {
    type Error = NotHostInput;

    fn try_from(pen: WirePen) -> Result<Self, NotHostInput> {
        Ok(Self {
            phase: pen.event.try_into()?,
            tool: match pen.tool {
                Tool::Unknown => PenTool::Unknown,
                Tool::Pen => PenTool::Pen,
                Tool::Eraser => PenTool::Eraser,
            },
            buttons: pen.buttons,
            position: pen.position.into(),
            pressure: share(pen.pressure),
            rotation: pen.rotation,
            tilt: pen.tilt,
        })
    }
}

impl From<PointerPhase> for PointerEvent {
    fn from(phase: PointerPhase) -> Self {
        match phase {
            PointerPhase::Hover => Self::Hover,
            PointerPhase::Down => Self::Down,
            PointerPhase::Move => Self::Move,
            PointerPhase::Up => Self::Up,
            PointerPhase::Cancel => Self::Cancel,
            PointerPhase::Leave => Self::HoverLeave,
            PointerPhase::Buttons => Self::ButtonOnly,
        }
    }
}

impl TryFrom<PointerEvent> for PointerPhase {
    type Error = NotHostInput;

    fn try_from(event: PointerEvent) -> Result<Self, NotHostInput> {
        Ok(match event {
            PointerEvent::Hover => Self::Hover,
            PointerEvent::Down => Self::Down,
            PointerEvent::Up => Self::Up,
            PointerEvent::Move => Self::Move,
            PointerEvent::Cancel => Self::Cancel,
            PointerEvent::ButtonOnly => Self::Buttons,
            PointerEvent::HoverLeave => Self::Leave,
            PointerEvent::CancelAll => return Err(NotHostInput),
        })
    }
}

impl From<Position> for WirePosition {
    fn from(Position { x, y }: Position) -> Self {
        Self { x: fraction(x), y: fraction(y) }
    }
}

impl From<WirePosition> for Position {
    fn from(WirePosition { x, y }: WirePosition) -> Self {
        Self { x: share(x), y: share(y) }
    }
}

impl From<MouseButton> for WireButton {
    fn from(button: MouseButton) -> Self {
        match button {
            MouseButton::Left => Self::Left,
            MouseButton::Middle => Self::Middle,
            MouseButton::Right => Self::Right,
            MouseButton::X1 => Self::X1,
            MouseButton::X2 => Self::X2,
        }
    }
}

impl From<WireButton> for MouseButton {
    fn from(button: WireButton) -> Self {
        match button {
            WireButton::Left => Self::Left,
            WireButton::Middle => Self::Middle,
            WireButton::Right => Self::Right,
            WireButton::X1 => Self::X1,
            WireButton::X2 => Self::X2,
        }
    }
}

impl From<GamepadSlot> for ControllerId {
    fn from(slot: GamepadSlot) -> Self {
        Self::new(slot.get()).expect("a slot is below 16")
    }
}

impl From<ControllerId> for GamepadSlot {
    fn from(controller: ControllerId) -> Self {
        Self::new(controller.number()).expect("a controller's number is below 16")
    }
}

impl From<GamepadKind> for ControllerKind {
    fn from(kind: GamepadKind) -> Self {
        match kind {
            GamepadKind::Unknown => Self::Unknown,
            GamepadKind::Xbox => Self::Xbox,
            GamepadKind::PlayStation => Self::PlayStation,
            GamepadKind::Nintendo => Self::Nintendo,
            GamepadKind::Steam => Self::Steam,
        }
    }
}

impl From<ControllerKind> for GamepadKind {
    fn from(kind: ControllerKind) -> Self {
        match kind {
            ControllerKind::Unknown => Self::Unknown,
            ControllerKind::Xbox => Self::Xbox,
            ControllerKind::PlayStation => Self::PlayStation,
            ControllerKind::Nintendo => Self::Nintendo,
            ControllerKind::Steam => Self::Steam,
        }
    }
}

impl From<Sensor> for WireSensor {
    fn from(sensor: Sensor) -> Self {
        match sensor {
            Sensor::Accelerometer => Self::Accelerometer,
            Sensor::Gyroscope => Self::Gyroscope,
        }
    }
}

impl From<WireSensor> for Sensor {
    fn from(sensor: WireSensor) -> Self {
        match sensor {
            WireSensor::Accelerometer => Self::Accelerometer,
            WireSensor::Gyroscope => Self::Gyroscope,
        }
    }
}

/// What a message wants of a gamepad; `None` for any other, and for a gamepad or a sensor that there cannot be.
pub(crate) fn feedback(message: &HostMessage) -> Option<HostFeedback> {
    let slot = |controller: u16| u8::try_from(controller).ok().and_then(GamepadSlot::new);
    Some(match *message {
        HostMessage::Rumble { controller, low_frequency, high_frequency } => {
            HostFeedback::Rumble { gamepad: slot(controller)?, low: low_frequency, high: high_frequency }
        }
        HostMessage::RumbleTriggers { controller, left, right } => {
            HostFeedback::TriggerRumble { gamepad: slot(controller)?, left, right }
        }
        HostMessage::Led { controller, rgb } => HostFeedback::Led { gamepad: slot(controller)?, rgb },
        HostMessage::Motion { controller, rate, sensor } => {
            let sensor = [Sensor::Accelerometer, Sensor::Gyroscope]
                .into_iter()
                .find(|&known| known as u8 == sensor)?;
            HostFeedback::Motion { gamepad: slot(controller)?, sensor, rate }
        }
        HostMessage::AdaptiveTriggers { .. }
        | HostMessage::Hdr(_)
        | HostMessage::Termination(_)
        | HostMessage::Unknown { .. } => return None,
    })
}

impl From<HostFeedback> for HostMessage {
    fn from(feedback: HostFeedback) -> Self {
        let controller = feedback.gamepad().get().into();
        match feedback {
            HostFeedback::Rumble { low, high, .. } => {
                Self::Rumble { controller, low_frequency: low, high_frequency: high }
            }
            HostFeedback::TriggerRumble { left, right, .. } => {
                Self::RumbleTriggers { controller, left, right }
            }
            HostFeedback::Led { rgb, .. } => Self::Led { controller, rgb },
            HostFeedback::Motion { sensor, rate, .. } => {
                Self::Motion { controller, rate, sensor: sensor as u8 }
            }
        }
    }
}

fn fraction(share: u16) -> Fraction {
    Fraction::new(f32::from(share) / f32::from(u16::MAX))
}

fn share(fraction: Fraction) -> u16 {
    (fraction.as_f32() * f32::from(u16::MAX)).round() as u16
}

/// Places each way of the plane that a pointer is sent on: the most that the packet can say.
const PLANE: u16 = 1 << 15;

#[cfg(test)]
mod recorded;
#[cfg(test)]
pub(crate) mod tests;
