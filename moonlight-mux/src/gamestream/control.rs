//! stub
#[cfg(all(test, feature = "test-host"))]
mod recorded;
