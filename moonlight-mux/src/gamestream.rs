//! The Moonlight client: pure protocol code, and thin drivers around it.
//!
//! `wire` knows byte layouts and nothing else; `fec` and `crypto` are the arithmetic; `video` and `audio` each turn
//! datagrams into frames; `session` routes between them; `input` turns what viewers do into packets and lets each go in its
//! time; `connection` routes between these, the RTSP dialogue, the control stream and pings. None of that does I/O, reads a
//! clock or is async: `http` and `host` call hosts, `driver` and `receive` hold a session's sockets, and `source` makes a
//! stream of it all.

pub(crate) mod address;
pub(crate) mod audio;
#[cfg(feature = "bench-support")]
pub(crate) mod bench_support;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod crypto;
pub(crate) mod driver;
pub(crate) mod fec;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod identity;
pub(crate) mod input;
pub(crate) mod negotiation;
pub(crate) mod pairing;
pub(crate) mod ping;
mod receive;
#[cfg(test)]
pub(crate) mod recorded;
pub(crate) mod rtsp;
pub(crate) mod session;
pub(crate) mod source;
#[cfg(any(test, feature = "bench-support"))]
#[cfg_attr(not(test), allow(dead_code, reason = "benches need a part of it"))]
pub(crate) mod test_stream;
pub(crate) mod video;
pub(crate) mod wire;

use std::time::Duration;

/// How long a missing datagram is waited for once a later frame, or a later group of audio packets, has begun.
///
/// Hosts send a frame's datagrams, and a group's, before those of the next, so a hole behind that point is a loss
/// or a reordering in the network. Waiting costs little: without RFI, what arrives behind a hole is of no use until
/// the hole is filled or an IDR frame comes; it delays only the request for that IDR. With it, nothing is lost of the
/// recordings that can be repaired; the protocol document leaves the choice open (streams 6.2 and 11, item 12).
pub(crate) const REORDERING: Duration = Duration::from_millis(10);
