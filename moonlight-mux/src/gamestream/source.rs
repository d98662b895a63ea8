//! A Moonlight host as a source.

mod config;
mod slot;

pub use self::config::{AppSelector, InvalidConfig, MoonlightConfig};
pub(crate) use self::slot::LaunchSlot;
pub use super::wire::sdp::Channels;
