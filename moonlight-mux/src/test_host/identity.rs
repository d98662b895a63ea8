//! The certificate that a host shows, and the key behind it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::gamestream::pairing::certificate::Identity;

/// A test host's certificate and key. A host that is started again with the same one is the same host to its clients.
#[derive(Clone)]
pub struct HostIdentity(Arc<Parts>);

struct Parts {
    identity: Arc<Identity>,
    pkcs8: Vec<u8>,
}

/// No [`HostIdentity`] can be made.
#[derive(Debug, thiserror::Error)]
#[error("no RSA key and certificate can be made")]
pub struct HostIdentityError(#[from] rcgen::Error);

impl HostIdentity {
    /// A new one: RSA with 2048 bits, which takes a good tenth of a second of processor time.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn generate() -> Result<Self, HostIdentityError> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test Host");
        let certificate = params.self_signed(&key)?.pem();
        let pkcs8 = key.serialize_der();
        let identity = Identity::new(certificate.into_bytes(), &pkcs8)
            .expect("the key has just signed the certificate, and both are RSA");
        Ok(Self(Arc::new(Parts { identity: Arc::new(identity), pkcs8 })))
    }

    /// The one that all hosts of this process have that are given none.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn shared() -> Result<Self, HostIdentityError> {
        static SHARED: OnceLock<HostIdentity> = OnceLock::new();
        if let Some(identity) = SHARED.get() {
            return Ok(identity.clone());
        }
        let identity = Self::generate()?;
        Ok(SHARED.get_or_init(|| identity).clone())
    }

    pub(super) fn pairing(&self) -> Arc<Identity> {
        Arc::clone(&self.0.identity)
    }

    pub(super) fn certificate_der(&self) -> &[u8] {
        self.0.identity.certificate().der()
    }

    pub(super) fn key_pkcs8(&self) -> &[u8] {
        &self.0.pkcs8
    }
}

impl fmt::Debug for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostIdentity(…)")
    }
}
