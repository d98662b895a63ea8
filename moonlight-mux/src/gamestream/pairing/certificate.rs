//! The certificates of both sides, and the key behind the own one.
//!
//! Source: protocol document, session 4.1 and 8.1.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use x509_parser::pem::parse_x509_pem;

use crate::gamestream::wire::http::pairing::{MAX_CERTIFICATE, SignedSecret};

/// A certificate that pairing can use. Compared byte by byte in its binary form, whatever its text looks like.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The bits of `signatureValue`, which take part in pairing.
    signature: Vec<u8>,
    /// An RSA key.
    public_key: Vec<u8>,
}

/// Why text is no certificate, or bytes no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unusable {
    /// Longer than certificates are.
    #[error("{got} bytes where no more than {MAX_CERTIFICATE} are expected")]
    Long {
        /// Its length in bytes.
        got: usize,
    },
    /// Not PEM text.
    #[error("it is no PEM text")]
    Pem,
    /// Not X.509.
    #[error("it is no X.509 certificate")]
    Certificate,
    /// Not a key.
    #[error("it is no RSA key in PKCS#8")]
    Key,
    /// Another's key.
    #[error("the key is not the certificate's")]
    Stranger,
}

impl Certificate {
    /// Reads PEM text leniently: what stands around it is ignored (session 8.3).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Unusable> {
        if pem.len() > MAX_CERTIFICATE {
            return Err(Unusable::Long { got: pem.len() });
        }
        let (_, pem) = parse_x509_pem(pem).map_err(|_| Unusable::Pem)?;
        if pem.label != "CERTIFICATE" {
            return Err(Unusable::Pem);
        }
        Self::from_der(pem.contents)
    }

    /// Reads the binary form, as it is kept and as TLS shows it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_der(der: Vec<u8>) -> Result<Self, Unusable> {
        if der.len() > MAX_CERTIFICATE {
            return Err(Unusable::Long { got: der.len() });
        }
        let (rest, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| Unusable::Certificate)?;
        if !rest.is_empty() {
            return Err(Unusable::Certificate);
        }
        let signature = parsed.signature_value.data.to_vec();
        let public_key = parsed.public_key().subject_public_key.data.to_vec();
        Ok(Self { der, signature, public_key })
    }

    /// The binary form: what to pin.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The text form: lines of 64 characters.
    pub(crate) fn to_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = behind;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the certificate's owner signed the secret.
    pub(super) fn has_signed(&self, signed: &SignedSecret) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        key.verify(&signed.secret, &signed.signature).is_ok()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} bytes)", self.der.len())
    }
}

/// A certificate, its text and its private key. The text is sent as it is, so it must never change (session 4.1).
pub(crate) struct Identity {
    pem: Vec<u8>,
    certificate: Certificate,
    key: KeyPair,
}

impl Identity {
    /// The key as PKCS#8 in binary form. Wolf wants RSA with 2048 bits.
    pub(crate) fn new(certificate_pem: Vec<u8>, pkcs8: &[u8]) -> Result<Self, Unusable> {
        let certificate = Certificate::from_pem(&certificate_pem)?;
        let key = KeyPair::from_pkcs8(pkcs8).map_err(|_| Unusable::Key)?;
        let identity = Self { pem: certificate_pem, certificate, key };
        if !identity.certificate.has_signed(&identity.sign([0; 16])) {
            return Err(Unusable::Stranger);
        }
        Ok(identity)
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }

    #[cfg(test)]
    pub(crate) fn key_len(&self) -> usize {
        self.key.public_modulus_len()
    }

    pub(super) fn sign(&self, secret: [u8; 16]) -> SignedSecret {
        let mut signature = vec![0; self.key.public_modulus_len()];
        // This kind of signature needs no randomness.
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &secret, &mut signature)
            .expect("an RSA key of its own length signs anything");
        SignedSecret { secret, signature }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
