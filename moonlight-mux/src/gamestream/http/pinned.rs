//! TLS towards a host: its certificate is compared byte by byte with the one that pairing told, and nothing else of it
//! counts (session 5, rules 3 and 4).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme};

use crate::gamestream::identity::Identity;
use crate::gamestream::pairing::certificate::Certificate;

/// Shows our certificate, and takes the host's alone.
pub(in crate::gamestream) fn client_config(
    identity: &Identity,
    pinned: &Certificate,
) -> Result<Arc<ClientConfig>, Error> {
    let own = CertificateDer::from(identity.pairing().certificate().der().to_vec());
    let key = PrivatePkcs8KeyDer::from(identity.key_pkcs8().to_vec());
    Ok(finish(builder(Some(pinned))?.with_client_auth_cert(vec![own], key.into())?))
}

/// Shows no certificate, and takes only `pinned` if there is one: for a host's web page.
pub(in crate::gamestream) fn web_config(pinned: Option<&Certificate>) -> Result<Arc<ClientConfig>, Error> {
    Ok(finish(builder(pinned)?.with_no_client_auth()))
}

fn builder(pinned: Option<&Certificate>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Pinned { der: pinned.map(|pinned| pinned.der().to_vec()), algorithms };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Each call is a connection of its own, to an address: there is nothing to resume, and no name to tell.
fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Arc::new(config)
}

/// Whether the host was told apart from the one that was paired with.
pub(super) fn is_wrong_certificate(error: &Error) -> bool {
    *error == Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

#[derive(Debug)]
struct Pinned {
    /// `None`: whoever holds the key of the certificate that is shown.
    der: Option<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.der.as_deref().is_none_or(|der| end_entity.as_ref() == der) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
