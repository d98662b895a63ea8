//! Credentials for TURN servers that are good for a while.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::process::message::Secret;
use crate::signalling::IceServer;

/// A TURN server that shares a secret with us, as coturn's `use-auth-secret` and `static-auth-secret`: each viewer gets
/// credentials of its own that are good for a while, so none that leaks is good for ever.
///
/// The user name is `UNIX-TIME:NAME` with the time when they end, the password the base64 of its HMAC-SHA1 under the secret
/// (draft-uberti-behave-turn-rest-00, 2.2).
#[derive(Clone)]
#[non_exhaustive]
pub struct TurnSecret {
    /// `turn:` or `turns:` addresses.
    pub urls: Vec<String>,
    /// How long the credentials are good, from a viewer's join. A browser needs them for as long as it stays, since it
    /// refreshes its allocation with them. Default: a day.
    pub ttl: Duration,
    /// Secret: not in the `Debug` output.
    secret: Secret,
}

impl TurnSecret {
    /// A server at `urls` that has `secret`, whose credentials are good for a day.
    #[must_use]
    pub fn new(urls: Vec<String>, secret: &[u8]) -> Self {
        Self { urls, ttl: Duration::from_secs(24 * 60 * 60), secret: Secret::new(secret.to_vec()) }
    }

    /// What makes it again.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    fn sign(&self, text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.bytes()), text)
    }

    /// The server with credentials for `name`, who joins `now`.
    pub(super) fn server(&self, now: SystemTime, name: &str) -> IceServer {
        // A clock before 1970 is not worth an error: such credentials are over, which the TURN server says.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let username = format!("{}:{name}", now.saturating_add(self.ttl).as_secs());
        let credential = STANDARD.encode(self.sign(username.as_bytes()));
        IceServer { urls: self.urls.clone(), username: Some(username), credential: Some(credential) }
    }
}

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnSecret").field("urls", &self.urls).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// RFC 2202, 3, test case 2.
    #[test]
    fn the_mac_is_hmac_sha1() {
        let turn = TurnSecret::new(Vec::new(), b"Jefe");
        let tag = turn.sign(b"what do ya want for nothing?");
        assert_eq!(STANDARD.encode(tag), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }

    /// The expected password: `printf 1700003600:viewer | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn credentials_end_after_their_time() {
        let mut turn = TurnSecret::new(vec!["turn:turn.example:3478".to_owned()], b"north");
        turn.ttl = Duration::from_secs(3600);
        let server = turn.server(at(1_700_000_000), "viewer");
        assert_eq!(server.urls, ["turn:turn.example:3478"]);
        assert_eq!(server.username.as_deref(), Some("1700003600:viewer"));
        assert_eq!(server.credential.as_deref(), Some("Z2bVzE30rf+aB1tMtuWPzRohu58="));
    }

    #[test]
    fn no_time_overflows() {
        let mut turn = TurnSecret::new(Vec::new(), b"");
        turn.ttl = Duration::MAX;
        let username = turn.server(at(1), "").username;
        assert_eq!(username, Some(format!("{}:", u64::MAX)));
        turn.ttl = Duration::ZERO;
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(turn.server(early, "").username.as_deref(), Some("0:"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let turn = TurnSecret::new(vec!["turn:a".to_owned()], b"north");
        let shown = format!("{turn:?} {:?}", turn.server(at(0), "viewer"));
        let credential = turn.server(at(0), "viewer").credential.expect("one");
        assert!(!shown.contains("north") && !shown.contains(&credential), "{shown}");
    }
}
