//! What the measuring programs share: a source of a wanted rate, a server, a host and receivers in processes of their own,
//! counts of processor time and memory.

mod child;
pub mod figures;
pub mod frame;
pub mod host;
pub mod janus;
pub mod latency;
pub mod limit;
pub mod load;
pub mod plot;
pub mod process;
pub mod program;
pub mod receivers;
pub mod server;
mod source;
pub mod troublemakers;

pub use source::{AUDIO_PACKET, Flow, MeasuredSource, Sent};
