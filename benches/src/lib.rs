//! Benches, and the viewer that tests and benches join with.

pub mod chromium;
mod task;
pub mod viewer;
