//! Over real sockets, but with the pure client.
