//! Benches, and the viewer that tests and benches join with.

mod task;
pub mod viewer;
