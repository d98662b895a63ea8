//! Client and host on virtual time.

mod deadlines;
mod dialogue;
mod net;
mod packets;
mod pairwise;
mod recorded;
