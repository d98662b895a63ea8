//! The HTTP face of moonlight-mux.
