//! Who this client is to hosts: a key, a certificate and an id, kept for ever.
//!
//! Source: protocol document, session 4.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use uuid::Uuid;

use super::pairing::certificate::{self, Unusable};
use super::pairing::wipe;
use super::wire::hex;
use super::wire::http::request::UniqueId;

/// Names an [`Identity`]: 1 to 128 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityName(Arc<str>);

/// The text is no [`IdentityName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity's name has 1 to 128 characters, letters, digits, '.', '_' and '-' only")]
pub struct InvalidIdentityName;

impl IdentityName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `moonlight-mux`: who does not say which identity means this one.
impl Default for IdentityName {
    fn default() -> Self {
        Self("moonlight-mux".into())
    }
}

impl FromStr for IdentityName {
    type Err = InvalidIdentityName;

    fn from_str(text: &str) -> Result<Self, InvalidIdentityName> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into())).ok_or(InvalidIdentityName)
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key and a certificate that hosts know this client by, once they are paired. Clones are the same identity.
///
/// Hosts tell their clients apart by it: two streams of one identity at one host share its input, and Wolf gives them one
/// desktop (session 11). Never printed.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    pairing: Arc<certificate::Identity>,
    pkcs8: Vec<u8>,
    unique_id: UniqueId,
}

impl Drop for Parts {
    fn drop(&mut self) {
        wipe(&mut self.pkcs8);
    }
}

/// There is no such [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The cryptographic library made no key or no certificate.
    #[error("no RSA key and certificate can be made")]
    Generate,
    /// Certificate or key cannot be used, or do not belong to each other.
    #[error("certificate or key are unusable")]
    Unusable(#[from] Unusable),
}

impl Identity {
    /// A new one: RSA with 2048 bits, self-signed, without extensions, for a common name that nobody else has.
    ///
    /// Takes a good tenth of a second of processor time.
    ///
    /// # Errors
    /// [`IdentityError::Generate`].
    pub fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .map_err(|_| IdentityError::Generate)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::NoCa;
        let name = format!("moonlight-mux {}", Uuid::new_v4().simple());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(|_| IdentityError::Generate)?;
        // Sunshine compares the text with its own rendering: lines of 64, LF, one at the end (session 4.1).
        let pem = certificate.pem().replace("\r\n", "\n");
        Self::from_parts(pem.into_bytes(), key.serialize_der())
    }

    /// One that was kept: the certificate as PEM text, which is never to change, and its key as PKCS#8.
    ///
    /// # Errors
    /// [`IdentityError::Unusable`].
    pub fn from_parts(certificate_pem: Vec<u8>, pkcs8: Vec<u8>) -> Result<Self, IdentityError> {
        let pairing = Arc::new(certificate::Identity::new(certificate_pem, &pkcs8)?);
        let hash = digest(&SHA256, pairing.certificate().der());
        let unique_id = hex::lower(&hash.as_ref()[..8]).to_uppercase().parse();
        let unique_id = unique_id.expect("16 hexadecimal digits are an id");
        Ok(Self(Arc::new(Parts { pairing, pkcs8, unique_id })))
    }

    /// The certificate as PEM text, byte by byte as hosts keep it.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        self.0.pairing.pem()
    }

    /// The private key as PKCS#8 in binary form: a secret.
    #[must_use]
    pub fn key_pkcs8(&self) -> &[u8] {
        &self.0.pkcs8
    }

    /// What this client calls itself to hosts. It follows from the certificate, so that neither is ever used without the
    /// other (session 8.8).
    pub(crate) fn unique_id(&self) -> &UniqueId {
        &self.0.unique_id
    }

    pub(crate) fn pairing(&self) -> &Arc<certificate::Identity> {
        &self.0.pairing
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.unique_id).finish()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn a_new_identity_is_what_hosts_take() {
        let (identity, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let der = identity.pairing().certificate().der();
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        assert_eq!(certificate.version(), X509Version::V3);
        assert_eq!(certificate.extensions(), []);
        assert_eq!(certificate.subject(), certificate.issuer());
        let key = UnparsedPublicKey::new(
            &RSA_PKCS1_2048_8192_SHA256,
            &certificate.public_key().subject_public_key.data,
        );
        let signed = key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
        assert!(signed.is_ok(), "self-signed");
        assert_eq!(certificate.signature_algorithm.algorithm.to_id_string(), "1.2.840.113549.1.1.11");
        assert_eq!(identity.pairing().key_len(), 256, "Wolf wants 2048 bits");
        assert!(certificate.raw_serial()[0] < 0x80 && certificate.raw_serial() != [0], "a positive serial");

        let (_, stranger) = X509Certificate::from_der(other.pairing().certificate().der()).unwrap();
        assert_ne!(certificate.subject().to_string(), stranger.subject().to_string());
        assert_ne!(identity.unique_id(), other.unique_id());

        let text = str::from_utf8(identity.certificate_pem()).unwrap();
        assert!(
            text.starts_with("-----BEGIN CERTIFICATE-----\n")
                && text.ends_with("-----END CERTIFICATE-----\n")
        );
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1..lines.len() - 2].iter().all(|line| line.len() == 64));
    }

    #[test]
    fn an_identity_that_was_kept_is_the_same_one() {
        let identity = Identity::generate().unwrap();
        let kept =
            Identity::from_parts(identity.certificate_pem().to_vec(), identity.key_pkcs8().to_vec()).unwrap();
        assert_eq!(kept.unique_id(), identity.unique_id());
        assert_eq!(kept.certificate_pem(), identity.certificate_pem());
        let other = Identity::generate().unwrap();
        let mixed = Identity::from_parts(identity.certificate_pem().to_vec(), other.key_pkcs8().to_vec());
        assert_eq!(mixed.unwrap_err(), IdentityError::Unusable(Unusable::Stranger));
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}
