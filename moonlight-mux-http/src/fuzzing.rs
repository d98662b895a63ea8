//! What the fuzz targets call. No public interface.

use moonlight_mux::fuzzing::Forms;

use crate::kept;
use crate::peer_message::ClientMessage;

/// A viewer's message: what parses builds back to something that means the same.
pub fn peer_message(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if let Some(message) = str::from_utf8(bytes).ok().and_then(|text| ClientMessage::parse(text).ok()) {
        forms.insert("message");
        let again = serde_json::to_string(&message).expect("what was parsed can be written");
        assert_eq!(ClientMessage::parse(&again).expect("what was written parses"), message);
        let _ = message.into_signal();
    }
    forms
}

/// `streamers.json`: what is read is written again so that it reads the same.
pub fn kept_streamers(bytes: &[u8]) -> Forms {
    let mut forms = Forms::new();
    if kept::read_and_written(bytes) {
        forms.insert("list");
    }
    forms
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_near_the_seeds_are_read_or_refused() {
        moonlight_mux::fuzzing::run_over_seeds("kept_streamers", super::kept_streamers);
    }

    #[test]
    fn messages_near_the_seeds_are_read_or_refused() {
        moonlight_mux::fuzzing::run_over_seeds("peer_message", super::peer_message);
    }
}
