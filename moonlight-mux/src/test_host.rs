//! A GameStream host for tests and demonstrations, on loopback.

pub(crate) mod session;
