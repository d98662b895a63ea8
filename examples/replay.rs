//! Replays a recorded session.
fn main() {}
