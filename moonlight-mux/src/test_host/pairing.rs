//! Clients that are pairing, and those that are paired. Pure.
//!
//! Source: protocol document, session 6 (`PairStatus`), 8.3, 8.7 and 8.8; the recordings of pairing.

use std::sync::Arc;

use super::Manner;
use crate::gamestream::pairing::certificate::{Certificate, Identity, Unusable};
use crate::gamestream::pairing::host::{Accepted, Host};
use crate::gamestream::pairing::{Pin, Randomness};
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest};
use crate::gamestream::wire::http::request::UniqueId;

/// Whom a host knows.
#[derive(Debug)]
pub(super) struct Clients {
    manner: Manner,
    identity: Arc<Identity>,
    paired: Vec<PairedClient>,
    /// At most [`MAX_PAIRINGS`]. Full: the oldest is forgotten.
    pairings: Vec<Pairing>,
}

/// The most clients that are pairing at once.
const MAX_PAIRINGS: usize = 16;

#[derive(Clone, Debug)]
struct PairedClient {
    certificate: Certificate,
    /// What it called itself when it paired; `None` if it never did and is trusted all the same.
    uniqueid: Option<UniqueId>,
}

#[derive(Debug)]
struct Pairing {
    uniqueid: UniqueId,
    /// `None` while the user has not entered the PIN, and on Wolf also after the last stage.
    host: Option<Host>,
}

/// What a request of pairing comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answer(PairAnswer),
    /// The client knew the PIN.
    Paired(PairAnswer),
    /// It did not; or it sent a certificate that is none.
    Failed(PairAnswer),
    /// The request came out of order: the pairing is forgotten. The stage's name.
    OutOfOrder(&'static str),
}

impl Clients {
    pub(super) fn new(manner: Manner, identity: Arc<Identity>) -> Self {
        Self { manner, identity, paired: Vec::new(), pairings: Vec::new() }
    }

    pub(super) fn trust(&mut self, pem: &str) -> Result<(), Unusable> {
        let certificate = Certificate::from_pem(pem.as_bytes())?;
        self.accept(certificate, None);
        Ok(())
    }

    pub(super) fn distrust_all(&mut self) {
        self.paired.clear();
    }

    /// The certificates of those that are paired.
    pub(super) fn paired(&self) -> impl Iterator<Item = &Certificate> {
        self.paired.iter().map(|client| &client.certificate)
    }

    /// Whether a client with this certificate is let in.
    pub(super) fn knows(&self, certificate: &Certificate) -> bool {
        self.paired().any(|paired| paired == certificate)
    }

    /// `PairStatus` over HTTPS, for a client that was let in.
    pub(super) fn is_paired(&self, certificate: &Certificate, uniqueid: Option<&UniqueId>) -> bool {
        let Some(client) = self.paired.iter().find(|client| client.certificate == *certificate) else {
            return false;
        };
        match self.manner {
            Manner::Wolf => true,
            Manner::Sunshine => uniqueid.is_some(),
            Manner::SunshineV023 => {
                uniqueid.is_some_and(|id| client.uniqueid.as_ref().is_none_or(|own| own == id))
            }
        }
    }

    /// A client begins: the answer waits for the PIN.
    pub(super) fn begin(&mut self, uniqueid: &UniqueId) {
        if self.find(uniqueid).is_none() {
            if self.pairings.len() == MAX_PAIRINGS {
                self.pairings.remove(0);
            }
            self.pairings.push(Pairing { uniqueid: uniqueid.clone(), host: None });
        }
    }

    /// The user has entered the PIN for a client that began with `request`.
    pub(super) fn enter_pin(
        &mut self,
        uniqueid: &UniqueId,
        request: &PairRequest,
        pin: Pin,
        random: Randomness,
    ) -> Outcome {
        let stale = self.find(uniqueid).is_some_and(|at| self.pairings[at].host.is_some());
        if stale && self.manner != Manner::Wolf {
            self.forget(uniqueid);
            return Outcome::OutOfOrder("getservercert");
        }
        match Host::new(Arc::clone(&self.identity), random, request, pin) {
            Ok((host, answer)) => {
                self.begin(uniqueid);
                let at = self.find(uniqueid).expect("it has just begun");
                self.pairings[at].host = Some(host);
                Outcome::Answer(answer)
            }
            Err(_) => {
                self.forget(uniqueid);
                Outcome::Failed(PairAnswer::No)
            }
        }
    }

    /// Stages 2 to 4.
    pub(super) fn handle(&mut self, uniqueid: &UniqueId, request: &PairRequest) -> Outcome {
        let stage = match request {
            PairRequest::ServerCertificate { .. } => "getservercert",
            PairRequest::ClientChallenge(_) => "clientchallenge",
            PairRequest::ServerChallengeResponse(_) => "serverchallengeresp",
            PairRequest::ClientSecret(_) => "clientpairingsecret",
            PairRequest::PairChallenge => "pairchallenge",
        };
        let Some(host) = self.find(uniqueid).and_then(|at| self.pairings[at].host.as_mut()) else {
            self.forget(uniqueid);
            return Outcome::OutOfOrder(stage);
        };
        let Ok((answer, accepted)) = host.handle(request) else {
            self.forget(uniqueid);
            return Outcome::OutOfOrder(stage);
        };
        match (accepted, &answer) {
            (Some(Accepted(certificate)), _) => {
                self.accept(certificate, Some(uniqueid.clone()));
                self.finish(uniqueid);
                Outcome::Paired(answer)
            }
            (None, PairAnswer::No) => {
                self.finish(uniqueid);
                Outcome::Failed(answer)
            }
            (None, _) => Outcome::Answer(answer),
        }
    }

    /// Whether a client of that name is pairing, or has just paired with Wolf; it is forgotten.
    pub(super) fn unpair(&mut self, uniqueid: &UniqueId) -> bool {
        let known = self.find(uniqueid).is_some();
        self.forget(uniqueid);
        known
    }

    /// Whether there is something to remember of a client of that name.
    pub(super) fn is_pairing(&self, uniqueid: &UniqueId) -> bool {
        self.find(uniqueid).is_some()
    }

    /// Sunshine forgets a pairing at the end of stage 4, Wolf keeps it.
    fn finish(&mut self, uniqueid: &UniqueId) {
        match self.manner {
            Manner::Wolf => {}
            Manner::Sunshine | Manner::SunshineV023 => self.forget(uniqueid),
        }
    }

    fn forget(&mut self, uniqueid: &UniqueId) {
        self.pairings.retain(|pairing| pairing.uniqueid != *uniqueid);
    }

    fn find(&self, uniqueid: &UniqueId) -> Option<usize> {
        self.pairings.iter().position(|pairing| pairing.uniqueid == *uniqueid)
    }

    fn accept(&mut self, certificate: Certificate, uniqueid: Option<UniqueId>) {
        self.paired.retain(|client| client.certificate != certificate);
        self.paired.push(PairedClient { certificate, uniqueid });
    }
}
