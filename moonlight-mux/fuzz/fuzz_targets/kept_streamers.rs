#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    moonlight_mux_http::fuzzing::kept_streamers(bytes);
});
