//! A GameStream host for tests and demonstrations, on loopback.

mod session;
