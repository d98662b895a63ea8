//! A Moonlight host as a source.

mod config;

pub use self::config::{AppSelector, InvalidConfig, MoonlightConfig};
pub use super::wire::sdp::Channels;
