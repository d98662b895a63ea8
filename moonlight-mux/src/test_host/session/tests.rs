//! Client and host on virtual time.

mod deadlines;
mod dialogue;
mod input;
mod net;
mod packets;
mod pairwise;
mod recorded;
