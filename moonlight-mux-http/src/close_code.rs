//! The codes with which the peer WebSocket closes.
//!
//! | code | meaning | reconnect? |
//! | --- | --- | --- |
//! | 1000 | the viewer left | no |
//! | 1009 | a message was larger than [`MAX_MESSAGE`](crate::peer_message::MAX_MESSAGE) | no |
//! | 1011 | an internal error | yes |
//! | 1013 | too many viewers, try again later | yes |
//! | 4000 | superseded: the same instance joined again | no |
//! | 4001 | the streamer was deleted | no |
//! | 4002 | the stream ended | no |
//! | 4003 | sent away | no |
//! | 4004 | too slow | yes |
//! | 4005 | the token expired (reserved) | no |
//! | 4006 | the server shuts down | yes |
//! | 4007 | signalling took too long | yes |
//! | 4008 | signalling that cannot be used | no |
//! | 4009 | the viewer cannot play the codec | no |
//! | 4010 | no media connection could be made | yes |
//! | 4011 | the connection stopped answering | yes |
//! | 4012 | input that cannot be used | no |
//! | 4013 | the stream has another format now | yes |
//!
//! Codes below 4000 are those of RFC 6455 (section 7.4.1) and its IANA registry. The close frame's reason is a
//! sentence for people; programs go by the code.

use moonlight_mux::{AddPeerError, LeaveReason};

/// A message was larger than the server takes.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// The server has a bug.
pub const INTERNAL_ERROR: u16 = 1011;
/// There is no room for another viewer now.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The code for a viewer that is gone for this reason.
#[must_use]
pub fn of_leave_reason(reason: LeaveReason) -> u16 {
    match reason {
        LeaveReason::Left => 1000,
        LeaveReason::Superseded => 4000,
        LeaveReason::StreamerDeleted => 4001,
        LeaveReason::StreamEnded => 4002,
        LeaveReason::Kicked => 4003,
        LeaveReason::TooSlow => 4004,
        LeaveReason::ServerShutdown => 4006,
        LeaveReason::SignallingTimeout => 4007,
        LeaveReason::BadSignalling => 4008,
        LeaveReason::UnsupportedCodec => 4009,
        LeaveReason::ConnectionFailed => 4010,
        LeaveReason::Vanished => 4011,
        LeaveReason::BadInput => 4012,
        LeaveReason::FormatChanged => 4013,
        LeaveReason::StreamerFull => TRY_AGAIN_LATER,
        // `Internal`, and reasons that the library learns before this table does.
        _ => INTERNAL_ERROR,
    }
}

/// The code and the sentence for a viewer that was not let in.
#[must_use]
pub fn of_add_peer_error(error: &AddPeerError) -> (u16, &'static str) {
    match error {
        AddPeerError::Ended => {
            (of_leave_reason(LeaveReason::StreamEnded), LeaveReason::StreamEnded.message())
        }
        _ => (TRY_AGAIN_LATER, "there are too many viewers, try again later"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_documented_code() {
        let table = [
            (LeaveReason::Left, 1000),
            (LeaveReason::Superseded, 4000),
            (LeaveReason::StreamerDeleted, 4001),
            (LeaveReason::StreamEnded, 4002),
            (LeaveReason::Kicked, 4003),
            (LeaveReason::TooSlow, 4004),
            (LeaveReason::ServerShutdown, 4006),
            (LeaveReason::SignallingTimeout, 4007),
            (LeaveReason::BadSignalling, 4008),
            (LeaveReason::UnsupportedCodec, 4009),
            (LeaveReason::ConnectionFailed, 4010),
            (LeaveReason::Vanished, 4011),
            (LeaveReason::BadInput, 4012),
            (LeaveReason::FormatChanged, 4013),
            (LeaveReason::StreamerFull, 1013),
            (LeaveReason::Internal, 1011),
        ];
        for (reason, code) in table {
            assert_eq!(of_leave_reason(reason), code, "{reason:?}");
            // RFC 6455, section 5.5: a control frame carries 125 bytes, two of them are the code.
            assert!(reason.message().len() <= 123, "{reason:?} does not fit in a close frame");
        }
    }

    #[test]
    fn whoever_is_not_let_in_is_told_whether_to_try_again() {
        assert_eq!(of_add_peer_error(&AddPeerError::Ended).0, 4002);
        assert_eq!(of_add_peer_error(&AddPeerError::Busy).0, 1013);
    }
}
