//! The client's side.

use std::sync::Arc;

use super::certificate::{Certificate, Identity, Unusable};
use super::{Pin, PinCipher, Randomness, equal, hash};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest};

/// A client that pairs. Send [`request`](Self::request), give [`handle`](Self::handle) the answer, until
/// [`paired`](Self::paired) says so.
///
/// The first request is answered only when the host's user has entered the PIN; the last goes by HTTPS, pinned to
/// [`host_certificate`](Self::host_certificate). After a failure send [`cleanup`](Self::cleanup), if there is one.
#[derive(Debug)]
pub(crate) struct Client {
    identity: Arc<Identity>,
    salt: [u8; 16],
    pin: Pin,
    random: Randomness,
    stage: Stage,
    host: Option<Certificate>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    ServerCertificate,
    ChallengeResponse,
    ServerSecret {
        /// What the host claims about its secret before it tells it.
        host_hash: [u8; 32],
        host_challenge: [u8; 16],
    },
    SecretAccepted,
    CertificateAccepted,
    Paired,
    Failed {
        /// Whether the host may still hold a half-finished pairing of this client.
        host_waits: bool,
    },
}

/// Why pairing came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// `paired` is 0.
    #[error("the host refuses")]
    Refused,
    #[error("the host is pairing with another client")]
    Busy,
    #[error("the host's certificate is unusable")]
    Certificate(#[from] Unusable),
    /// Somebody stands between client and host.
    #[error("the host did not sign its secret")]
    Signature,
    #[error("the host was given another PIN")]
    WrongPin,
    #[error("the host's answer is none to this request")]
    Unexpected,
}

impl Client {
    /// `salt` and `random` are new for each attempt.
    pub(crate) fn new(identity: Arc<Identity>, salt: [u8; 16], pin: Pin, random: Randomness) -> Self {
        Self { identity, salt, pin, random, stage: Stage::ServerCertificate, host: None }
    }

    /// What to send now; `None` when there is nothing more to say.
    pub(crate) fn request(&self) -> Option<PairRequest> {
        let client_certificate = || self.identity.pem().to_vec();
        Some(match self.stage {
            Stage::ServerCertificate => {
                PairRequest::ServerCertificate { salt: self.salt, client_certificate: client_certificate() }
            }
            Stage::ChallengeResponse => {
                PairRequest::ClientChallenge(self.cipher().encrypt(self.random.challenge))
            }
            Stage::ServerSecret { host_challenge, .. } => {
                let own = self.identity.certificate().signature();
                let hash = hash([&host_challenge, own, &self.random.secret]);
                PairRequest::ServerChallengeResponse(self.cipher().encrypt(hash))
            }
            Stage::SecretAccepted => PairRequest::ClientSecret(self.identity.sign(self.random.secret)),
            Stage::CertificateAccepted => PairRequest::PairChallenge,
            Stage::Paired | Stage::Failed { .. } => return None,
        })
    }

    /// Takes in the answer to the last request. A failure is the end: start anew, with a new PIN.
    pub(crate) fn handle(&mut self, answer: &PairAnswer) -> Result<(), Failure> {
        let stage = self.stage;
        self.advance(answer).map(|stage| self.stage = stage).inspect_err(|_| {
            let host_waits = matches!(stage, Stage::ChallengeResponse | Stage::ServerSecret { .. })
                || (stage == Stage::ServerCertificate && *answer != PairAnswer::No);
            self.stage = Stage::Failed { host_waits };
        })
    }

    /// An answer did not come, or the user gave up. Does nothing once paired.
    pub(crate) fn abort(&mut self) {
        let host_waits = match self.stage {
            Stage::ServerCertificate => false,
            Stage::ChallengeResponse | Stage::ServerSecret { .. } | Stage::SecretAccepted => true,
            Stage::CertificateAccepted => false,
            Stage::Paired | Stage::Failed { .. } => return,
        };
        self.stage = Stage::Failed { host_waits };
    }

    /// The host's certificate, from the first answer on. Until [`paired`](Self::paired) it is only good for the last
    /// request.
    pub(crate) fn host_certificate(&self) -> Option<&Certificate> {
        self.host.as_ref()
    }

    /// The certificate to pin from now on.
    pub(crate) fn paired(&self) -> Option<&Certificate> {
        self.host.as_ref().filter(|_| self.stage == Stage::Paired)
    }

    /// A request out of order, which makes a host forget a pairing that it still waits to go on (session 8.8). The
    /// answer does not matter.
    pub(crate) fn cleanup(&self) -> Option<PairRequest> {
        (self.stage == Stage::Failed { host_waits: true }).then_some(PairRequest::ClientChallenge([0; 16]))
    }

    /// That request was sent.
    pub(crate) fn cleaned_up(&mut self) {
        if let Stage::Failed { host_waits } = &mut self.stage {
            *host_waits = false;
        }
    }

    fn advance(&mut self, answer: &PairAnswer) -> Result<Stage, Failure> {
        if *answer == PairAnswer::No {
            return Err(Failure::Refused);
        }
        match (self.stage, answer) {
            (Stage::ServerCertificate, PairAnswer::ServerCertificate(pem)) => {
                self.host = Some(Certificate::from_pem(pem)?);
                Ok(Stage::ChallengeResponse)
            }
            (Stage::ServerCertificate, PairAnswer::Yes) => Err(Failure::Busy),
            (Stage::ChallengeResponse, PairAnswer::ChallengeResponse(response)) => {
                let clear = self.cipher().decrypt(*response);
                let (host_hash, rest) = clear.split_first_chunk().ok_or(Failure::Unexpected)?;
                let host_challenge = rest.try_into().map_err(|_| Failure::Unexpected)?;
                Ok(Stage::ServerSecret { host_hash: *host_hash, host_challenge })
            }
            (Stage::ServerSecret { host_hash, .. }, PairAnswer::ServerSecret(signed)) => {
                let host = self.host.as_ref().ok_or(Failure::Unexpected)?;
                if !host.has_signed(signed) {
                    return Err(Failure::Signature);
                }
                let expected = hash([&self.random.challenge, host.signature(), &signed.secret]);
                if equal(&expected, &host_hash) { Ok(Stage::SecretAccepted) } else { Err(Failure::WrongPin) }
            }
            (Stage::SecretAccepted, PairAnswer::Yes) => Ok(Stage::CertificateAccepted),
            (Stage::CertificateAccepted, PairAnswer::Yes) => Ok(Stage::Paired),
            _ => Err(Failure::Unexpected),
        }
    }

    fn cipher(&self) -> PinCipher {
        PinCipher::new(&self.salt, &self.pin)
    }
}
