//! The HTTP face of moonlight-mux: streamers and hosts, viewers' signalling over WebSocket, and the page that plays the
//! picture.
//!
//! ```no_run
//! # async fn serve(registry: moonlight_mux::Registry, rtc: moonlight_mux::WebRtc) -> Result<(), Box<dyn std::error::Error>> {
//! use moonlight_mux_http::{ServerConfig, bind, router};
//!
//! let listener = bind("127.0.0.1:8080".parse()?).await?;
//! axum::serve(listener, router(registry, rtc, ServerConfig::default())).await?;
//! # Ok(()) }
//! ```
//!
//! [`router`] is an ordinary [`axum::Router`]: serve it alone, merge it into another one, or nest it below a path that
//! ends in a slash (`nest("/mux/", router)`), as the pages' relative addresses need it.
//! Nobody is asked who they are yet, so listen on loopback only, or put a guard in front of it.

pub mod close_code;
mod create;
mod create_request;
mod creation;
pub mod dto;
mod failure;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod host_source;
mod hosts;
mod input;
mod instances;
mod isolation;
mod keep_alive;
mod kept;
mod listener;
mod origin;
mod page;
mod pairings;
pub mod peer_message;
mod peer_socket;
mod peers;
mod problem;
mod recipes;
mod router;
mod serve;

pub use isolation::Isolation;
pub use kept::KeptStreamers;
pub use listener::{BindError, bind};
pub use peer_socket::SUBPROTOCOL;
pub use router::{ServerConfig, router};
pub use serve::serve;
