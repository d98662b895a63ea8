//! Benches and the viewer that tests join with.
