#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    moonlight_mux::fuzzing::host_clock(bytes);
});
