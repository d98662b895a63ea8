//! What the measuring programs share: a source of a wanted rate, a server, receivers in a process of their own, counts of
//! processor time and memory.

pub mod figures;
pub mod frame;
pub mod janus;
pub mod limit;
pub mod load;
pub mod plot;
pub mod process;
pub mod receivers;
pub mod server;
mod source;
pub mod troublemakers;

pub use source::{AUDIO_PACKET, Flow, MeasuredSource};
