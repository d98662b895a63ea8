//! moonlight-mux on the command line.
fn main() {}
