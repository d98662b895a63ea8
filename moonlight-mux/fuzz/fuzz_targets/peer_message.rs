#![no_main]

use moonlight_mux_http::peer_message::ClientMessage;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(message) = ClientMessage::parse(text) {
        let again = serde_json::to_string(&message).expect("what was parsed can be written");
        assert_eq!(ClientMessage::parse(&again).expect("what was written parses"), message);
        message.into_signal();
    }
});
