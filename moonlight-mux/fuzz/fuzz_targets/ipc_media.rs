#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    moonlight_mux::fuzzing::ipc_media(bytes);
});
