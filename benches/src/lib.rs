//! Benches, and the viewers that tests and benches join with.

pub mod chromium;
pub mod crowd;
pub mod driver;
pub mod firefox;
pub mod measure;
pub mod relay;
mod task;
pub mod viewer;
