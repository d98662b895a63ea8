//! The fast way to a viewer: frames are packetised once for all, and encrypted per viewer into one buffer that leaves in few
//! system calls. These are its pure parts, in no crate's types.

pub(super) mod burst;
pub(super) mod history;
pub(super) mod pace;
pub(super) mod resend;
pub(super) mod rtp;
pub(super) mod sender_report;
pub(super) mod sent;
pub(super) mod srtp;
