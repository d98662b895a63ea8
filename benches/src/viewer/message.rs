//! The messages of the peer WebSocket, as far as a viewer needs them. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A signalling message, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// From the server, first of all. Which ICE servers it names is of no use to a viewer on the same machine.
    Config,
    /// From whoever offers: an SDP offer.
    Offer(String),
    /// From the other: an SDP answer.
    Answer(String),
    /// Either way: one ICE candidate.
    Candidate(Candidate),
    /// From the server: any other message, by its name, as `ConnectionComplete`.
    Notice(String),
}

/// An ICE candidate, as a browser's `RTCIceCandidate` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The `candidate:…` line of RFC 8839; empty: there are no more.
    pub candidate: String,
    /// The media section's identification tag.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// The media section's index.
    #[serde(default)]
    pub sdp_mline_index: Option<u16>,
    /// The ICE user name fragment that it belongs to.
    #[serde(default)]
    pub username_fragment: Option<String>,
}

/// A message in the WebSocket's JSON: externally tagged.
pub(crate) fn to_json(message: &Message) -> String {
    let description = |ty, sdp| json!({"Signaling": {"Description": {"ty": ty, "sdp": sdp}}});
    match message {
        Message::Config => json!({"WebRtcConfig": {"ice_servers": []}}),
        Message::Offer(sdp) => description("offer", sdp),
        Message::Answer(sdp) => description("answer", sdp),
        Message::Candidate(candidate) => json!({"Signaling": {"AddIceCandidate": candidate}}),
        Message::Notice(name) => json!(name),
    }
    .to_string()
}

/// A message from the WebSocket's JSON.
///
/// # Errors
/// [`Malformed`] when the text is no JSON, no tagged message, or a message of another shape than documented.
pub(crate) fn from_json(text: &str) -> Result<Message, Malformed> {
    let (name, body) = match serde_json::from_str(text)? {
        Value::String(name) => (name, Value::Null),
        Value::Object(members) if members.len() == 1 => {
            members.into_iter().next().ok_or(Malformed::NotTagged)?
        }
        _ => return Err(Malformed::NotTagged),
    };
    Ok(match name.as_str() {
        "WebRtcConfig" if body.get("ice_servers").is_some_and(Value::is_array) => Message::Config,
        "WebRtcConfig" => return Err(Malformed::Config),
        "Signaling" => match serde_json::from_value(body)? {
            Signaling::Description { ty: Kind::Offer, sdp } => Message::Offer(sdp),
            Signaling::Description { ty: Kind::Answer, sdp } => Message::Answer(sdp),
            Signaling::AddIceCandidate(candidate) => Message::Candidate(candidate),
        },
        _ => Message::Notice(name),
    })
}

/// Why a text is no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("not a message of this protocol")]
    Json(#[from] serde_json::Error),
    #[error("not an externally tagged message")]
    NotTagged,
    #[error("WebRtcConfig without ice_servers")]
    Config,
}

#[derive(Deserialize)]
enum Signaling {
    Description { ty: Kind, sdp: String },
    AddIceCandidate(Candidate),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Offer,
    Answer,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Message>) {
        assert_eq!(from_json(text).ok(), expected, "{text}");
    }

    #[test]
    fn messages_are_read_as_documented() {
        check(
            r#"{"WebRtcConfig":{"ice_servers":[{"urls":["stun:x"],"username":null}]}}"#,
            Some(Message::Config),
        );
        check(
            r#"{"Signaling":{"Description":{"ty":"answer","sdp":"v=0\r\n"}}}"#,
            Some(Message::Answer("v=0\r\n".into())),
        );
        check(
            r#"{"Signaling":{"AddIceCandidate":{"candidate":"candidate:1","sdp_mid":"0","sdp_mline_index":0,"username_fragment":null}}}"#,
            Some(Message::Candidate(Candidate {
                candidate: "candidate:1".into(),
                sdp_mid: Some("0".into()),
                sdp_mline_index: Some(0),
                username_fragment: None,
            })),
        );
        check(r#""PeerDisconnect""#, Some(Message::Notice("PeerDisconnect".into())));
        check(r#"{"StageStarting":{"stage":"x"}}"#, Some(Message::Notice("StageStarting".into())));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["", "{}", "[]", "7", r#"{"a":1,"b":2}"#, r#"{"WebRtcConfig":{}}"#] {
            check(text, None);
        }
        check(r#"{"Signaling":{"Description":{"ty":"pranswer","sdp":""}}}"#, None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for message in [
            Message::Config,
            Message::Offer("o".into()),
            Message::Answer("a".into()),
            Message::Candidate(Candidate { sdp_mid: Some("0".into()), ..Candidate::default() }),
            Message::Notice("AppNotFound".into()),
        ] {
            check(&to_json(&message), Some(message.clone()));
        }
        assert_eq!(
            to_json(&Message::Offer("v=0".into())),
            r#"{"Signaling":{"Description":{"sdp":"v=0","ty":"offer"}}}"#
        );
    }
}
