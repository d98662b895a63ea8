//! Benches, and the viewer that tests and benches join with.

pub mod chromium;
pub mod driver;
pub mod firefox;
mod task;
pub mod viewer;
