//! What viewers do, and what the host is told of it.
//!
//! ```text
//! viewer ─ InputEvent ─▶ Aggregator (one per streamer) ─ HostInput ─▶ source
//! viewer ◀─ feedback of its own gamepads ◀───────────── HostFeedback ◀─ source
//! ```
//!
//! A viewer says what it did in its own terms: its keys, its fingers, its gamepads. Many viewers become one user of the
//! host here, and nowhere else.

mod aggregator;
#[cfg(feature = "bench-support")]
pub(crate) mod bench_support;
mod event;
mod host;
mod hub;
mod mailbox;
mod pointers;
mod rights;
mod status;

#[cfg(test)]
pub(crate) use aggregator::{Aggregator, Full};
pub use event::{
    Buttons, GamepadButtons, GamepadIndex, GamepadInfo, GamepadKind, GamepadState, GamepadTouch, InputEvent,
    KeyCode, KeySet, Locks, Modifiers, MouseButton, Pen, PenTool, PointerPhase, Position, Sensor,
    SensorReading, Touch,
};
pub use host::{GamepadFeedback, GamepadSlot, HostFeedback, HostInput, InputFeatures};
pub(crate) use host::{Order, TextChange};
pub use hub::Inputs;
pub(crate) use hub::{InputHub, Mirrored, ViewerInput};
pub use rights::{DeviceClass, InputMode, InvalidInputMode, Rights};
pub use status::{InputStatus, Pointer};
