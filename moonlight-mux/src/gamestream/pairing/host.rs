//! The host's side, for tests of the client.

use std::sync::Arc;

use super::certificate::{Certificate, Identity};
use super::{Pin, PinCipher, Randomness, equal, hash};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest};

/// A host that one client pairs with, in the first four stages: the fifth is answered by whoever checks the client's
/// certificate in TLS.
#[derive(Debug)]
pub(crate) struct Host {
    identity: Arc<Identity>,
    random: Randomness,
    client: Certificate,
    /// What the user at the host enters.
    pin: Pin,
    salt: [u8; 16],
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    ClientChallenge,
    ServerChallengeResponse,
    ClientSecret {
        /// What the client claims about its secret before it tells it.
        client_hash: [u8; 32],
    },
    Done,
}

/// A request that the host does not take: it forgets the pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is out of order, or the client's certificate is unusable")]
pub(crate) struct Refused;

/// The certificate that the host lets in from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted(pub(crate) Certificate);

impl Host {
    /// Begins with the client's first request, once the user has entered the PIN.
    pub(crate) fn new(
        identity: Arc<Identity>,
        random: Randomness,
        request: &PairRequest,
        pin: Pin,
    ) -> Result<(Self, PairAnswer), Refused> {
        let PairRequest::ServerCertificate { salt, client_certificate } = request else {
            return Err(Refused);
        };
        let client = Certificate::from_pem(client_certificate).map_err(|_| Refused)?;
        let answer = PairAnswer::ServerCertificate(identity.pem().to_vec());
        Ok((Self { identity, random, client, pin, salt: *salt, stage: Stage::ClientChallenge }, answer))
    }

    /// Answers a request. With the last comes the client's certificate, if the client knew the PIN.
    pub(crate) fn handle(
        &mut self,
        request: &PairRequest,
    ) -> Result<(PairAnswer, Option<Accepted>), Refused> {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        let cipher = PinCipher::new(&self.salt, &self.pin);
        let answer = match (stage, request) {
            (Stage::ClientChallenge, PairRequest::ClientChallenge(challenge)) => {
                let challenge = cipher.decrypt(*challenge);
                let own = self.identity.certificate().signature();
                let mut response = [0; 48];
                response[..32].copy_from_slice(&hash([&challenge, own, &self.random.secret]));
                response[32..].copy_from_slice(&self.random.challenge);
                self.stage = Stage::ServerChallengeResponse;
                PairAnswer::ChallengeResponse(cipher.encrypt(response))
            }
            (Stage::ServerChallengeResponse, PairRequest::ServerChallengeResponse(hash)) => {
                self.stage = Stage::ClientSecret { client_hash: cipher.decrypt(*hash) };
                PairAnswer::ServerSecret(self.identity.sign(self.random.secret))
            }
            (Stage::ClientSecret { client_hash }, PairRequest::ClientSecret(signed)) => {
                let expected = hash([&self.random.challenge, self.client.signature(), &signed.secret]);
                if equal(&expected, &client_hash) && self.client.has_signed(signed) {
                    return Ok((PairAnswer::Yes, Some(Accepted(self.client.clone()))));
                }
                PairAnswer::No
            }
            _ => return Err(Refused),
        };
        Ok((answer, None))
    }
}
