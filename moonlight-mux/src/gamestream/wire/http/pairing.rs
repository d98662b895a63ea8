//! The messages of pairing: what stands in the five requests to `/pair` and in their answers.
//!
//! Source: protocol document, session 8.2 and 8.3; vectors of 24.2.

use std::fmt;

use super::super::hex;
use super::super::query::Target;
use super::super::xml::Document;
use super::Error;

/// The longest accepted certificate, as PEM text; those in use have about 1000 bytes.
pub(crate) const MAX_CERTIFICATE: usize = 4096;

/// The longest signature behind a secret: RSA with 4096 bits.
pub(crate) const MAX_SIGNATURE: usize = 512;

/// What a client sends, stage by stage. Salt and secrets together with the other messages tell the PIN to whoever
/// tries all of them, so none of it is printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PairRequest {
    /// The host answers when its user has entered the PIN.
    ServerCertificate {
        salt: [u8; 16],
        client_certificate: Vec<u8>,
    },
    /// The client's challenge, encrypted.
    ClientChallenge([u8; 16]),
    /// The hash over the host's challenge, encrypted.
    ServerChallengeResponse([u8; 32]),
    ClientSecret(SignedSecret),
    /// By HTTPS, with the certificate that was just accepted.
    PairChallenge,
}

/// A secret, and its owner's signature over it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SignedSecret {
    pub(crate) secret: [u8; 16],
    pub(crate) signature: Vec<u8>,
}

impl SignedSecret {
    fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text)?;
        let (secret, signature) = bytes.split_first_chunk()?;
        let fits = (1..=MAX_SIGNATURE).contains(&signature.len());
        fits.then(|| Self { secret: *secret, signature: signature.to_vec() })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.secret[..], &self.signature].concat()
    }
}

impl fmt::Debug for SignedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedSecret(…)")
    }
}

/// Parameters of `/pair` that are none of its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Malformed {
    #[error("no parameter tells the stage")]
    Stage,
    #[error("{parameter} is missing, has a wrong length or is not hexadecimal")]
    Parameter { parameter: &'static str },
}

impl PairRequest {
    pub(super) fn append(&self, target: Target) -> Target {
        // Constants, which Wolf wants in every stage.
        let target = target.with("devicename", "roth").with("updateState", 1);
        match self {
            Self::ServerCertificate { salt, client_certificate } => target
                .with("phrase", "getservercert")
                .with("salt", hex::lower(salt))
                .with("clientcert", hex::lower(client_certificate)),
            Self::ClientChallenge(challenge) => target.with("clientchallenge", hex::lower(challenge)),
            Self::ServerChallengeResponse(hash) => target.with("serverchallengeresp", hex::lower(hash)),
            Self::ClientSecret(secret) => target.with("clientpairingsecret", hex::lower(&secret.bytes())),
            Self::PairChallenge => target.with("phrase", "pairchallenge"),
        }
    }

    pub(super) fn find(target: &Target) -> Result<Self, Malformed> {
        let wrong = |parameter| Malformed::Parameter { parameter };
        if let Some(challenge) = target.find("clientchallenge") {
            let challenge = hex::decode_array(challenge).ok_or(wrong("clientchallenge"))?;
            return Ok(Self::ClientChallenge(challenge));
        }
        if let Some(hash) = target.find("serverchallengeresp") {
            let hash = hex::decode_array(hash).ok_or(wrong("serverchallengeresp"))?;
            return Ok(Self::ServerChallengeResponse(hash));
        }
        if let Some(secret) = target.find("clientpairingsecret") {
            let secret = SignedSecret::from_hex(secret).ok_or(wrong("clientpairingsecret"))?;
            return Ok(Self::ClientSecret(secret));
        }
        match target.find("phrase") {
            Some("pairchallenge") => Ok(Self::PairChallenge),
            Some("getservercert") => Ok(Self::ServerCertificate {
                salt: target.find("salt").and_then(hex::decode_array).ok_or(wrong("salt"))?,
                client_certificate: target
                    .find("clientcert")
                    .and_then(hex::decode)
                    .filter(|certificate| certificate.len() <= MAX_CERTIFICATE)
                    .ok_or(wrong("clientcert"))?,
            }),
            _ => Err(Malformed::Stage),
        }
    }
}

impl fmt::Debug for PairRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerCertificate { .. } => "ServerCertificate(…)",
            Self::ClientChallenge(_) => "ClientChallenge(…)",
            Self::ServerChallengeResponse(_) => "ServerChallengeResponse(…)",
            Self::ClientSecret(_) => "ClientSecret(…)",
            Self::PairChallenge => "PairChallenge",
        })
    }
}

/// What a host answers: `paired` alone, or with what the stage asks for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PairAnswer {
    /// `paired` is 0.
    No,
    Yes,
    /// The host's certificate, as PEM text.
    ServerCertificate(Vec<u8>),
    /// Hash and challenge, encrypted. Hosts with SHA-256 send 48 bytes.
    ChallengeResponse([u8; 48]),
    ServerSecret(SignedSecret),
}

impl PairAnswer {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = super::accepted(bytes)?;
        match document.text("paired") {
            Some("1") => {}
            Some(_) => return Ok(Self::No),
            None => return Err(Error::Missing { element: "paired" }),
        }
        let field = |element| Error::Field { element };
        if let Some(text) = document.text("plaincert") {
            let certificate = hex::decode(text).filter(|bytes| bytes.len() <= MAX_CERTIFICATE);
            return certificate.map(Self::ServerCertificate).ok_or(field("plaincert"));
        }
        if let Some(text) = document.text("challengeresponse") {
            return hex::decode_array(text).map(Self::ChallengeResponse).ok_or(field("challengeresponse"));
        }
        if let Some(text) = document.text("pairingsecret") {
            return SignedSecret::from_hex(text).map(Self::ServerSecret).ok_or(field("pairingsecret"));
        }
        Ok(Self::Yes)
    }

    /// Appends the answer in the order of Sunshine.
    pub(crate) fn emit(&self, out: &mut String) {
        let yes = || Document::success().with(1, "paired", 1);
        let document = match self {
            Self::No => Document::success().with(1, "paired", 0),
            Self::Yes => yes(),
            Self::ServerCertificate(pem) => yes().with(1, "plaincert", hex::upper(pem)),
            Self::ChallengeResponse(bytes) => yes().with(1, "challengeresponse", hex::upper(bytes)),
            Self::ServerSecret(secret) => {
                Document::success().with(1, "pairingsecret", hex::upper(&secret.bytes())).with(1, "paired", 1)
            }
        };
        document.emit(out);
    }
}

impl fmt::Debug for PairAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "No",
            Self::Yes => "Yes",
            Self::ServerCertificate(_) => "ServerCertificate(…)",
            Self::ChallengeResponse(_) => "ChallengeResponse(…)",
            Self::ServerSecret(_) => "ServerSecret(…)",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn requests() -> impl Strategy<Value = PairRequest> {
        let bytes = |limit| prop::collection::vec(any::<u8>(), 1..limit);
        prop_oneof![
            (any::<[u8; 16]>(), bytes(2000)).prop_map(|(salt, client_certificate)| {
                PairRequest::ServerCertificate { salt, client_certificate }
            }),
            any::<[u8; 16]>().prop_map(PairRequest::ClientChallenge),
            any::<[u8; 32]>().prop_map(PairRequest::ServerChallengeResponse),
            (any::<[u8; 16]>(), bytes(MAX_SIGNATURE)).prop_map(|(secret, signature)| {
                PairRequest::ClientSecret(SignedSecret { secret, signature })
            }),
            Just(PairRequest::PairChallenge),
        ]
    }

    fn answers() -> impl Strategy<Value = PairAnswer> {
        let bytes = |limit| prop::collection::vec(any::<u8>(), 1..limit);
        prop_oneof![
            Just(PairAnswer::No),
            Just(PairAnswer::Yes),
            bytes(2000).prop_map(PairAnswer::ServerCertificate),
            (any::<[u8; 32]>(), any::<[u8; 16]>()).prop_map(|(hash, challenge)| {
                let mut bytes = [0; 48];
                bytes[..32].copy_from_slice(&hash);
                bytes[32..].copy_from_slice(&challenge);
                PairAnswer::ChallengeResponse(bytes)
            }),
            (any::<[u8; 16]>(), bytes(MAX_SIGNATURE))
                .prop_map(|(secret, signature)| PairAnswer::ServerSecret(SignedSecret { secret, signature })),
        ]
    }

    #[test]
    fn answers_of_a_wrong_length_are_refused() {
        let answer = |inside: &str| {
            PairAnswer::parse(format!("<root status_code='200'>{inside}</root>").as_bytes()).unwrap_err()
        };
        assert_eq!(answer(""), Error::Missing { element: "paired" });
        let yes = "<paired>1</paired>";
        let field = |element| Error::Field { element };
        assert_eq!(answer(&format!("{yes}<plaincert>0</plaincert>")), field("plaincert"));
        let long = "00".repeat(MAX_CERTIFICATE + 1);
        assert_eq!(answer(&format!("{yes}<plaincert>{long}</plaincert>")), field("plaincert"));
        let short = "00".repeat(32);
        assert_eq!(
            answer(&format!("{yes}<challengeresponse>{short}</challengeresponse>")),
            field("challengeresponse")
        );
        for secret in ["00".repeat(16), "00".repeat(16 + MAX_SIGNATURE + 1)] {
            assert_eq!(
                answer(&format!("{yes}<pairingsecret>{secret}</pairingsecret>")),
                field("pairingsecret")
            );
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = SignedSecret { secret: [0xab; 16], signature: vec![0xab] };
        let request = PairRequest::ClientSecret(secret.clone());
        let printed = format!("{secret:?} {request:?} {:?}", PairAnswer::ServerSecret(secret.clone()));
        assert_eq!(printed, "SignedSecret(…) ClientSecret(…) ServerSecret(…)");
    }

    proptest! {
        #[test]
        fn any_answer_builds_and_parses_back(answer in answers()) {
            let mut text = String::new();
            answer.emit(&mut text);
            prop_assert_eq!(PairAnswer::parse(text.as_bytes()), Ok(answer));
        }
    }
}
