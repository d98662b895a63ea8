//! TLS towards a host: its certificate is compared byte by byte with the one that pairing told, and nothing else of it
//! counts (session 5, rules 3 and 4).

use std::sync::Arc;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, PeerMisbehaved,
    SignatureScheme,
};
use x509_parser::parse_x509_certificate;

use crate::gamestream::identity::Identity;
use crate::gamestream::pairing::certificate::Certificate;

/// Shows our certificate, and takes the host's alone.
pub(crate) fn client_config(identity: &Identity, pinned: &Certificate) -> Result<Arc<ClientConfig>, Error> {
    let own = CertificateDer::from(identity.pairing().certificate().der().to_vec());
    let key = PrivatePkcs8KeyDer::from(identity.key_pkcs8().to_vec());
    Ok(finish(builder(Some(pinned))?.with_client_auth_cert(vec![own], key.into())?))
}

/// Shows no certificate, and takes only `pinned` if there is one: for a host's web page.
pub(in crate::gamestream) fn web_config(pinned: Option<&Certificate>) -> Result<Arc<ClientConfig>, Error> {
    Ok(finish(builder(pinned)?.with_no_client_auth()))
}

fn builder(pinned: Option<&Certificate>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = Arc::new(default_provider());
    let verifier = Pinned { der: pinned.map(|pinned| pinned.der().to_vec()) };
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
        verify(message, certificate, signature, ANY_PADDING)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, certificate, signature, PSS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ANY_PADDING.iter().map(|&(scheme, _)| scheme).collect()
    }
}

/// Whether the certificate's owner signed the handshake. Not by webpki, which takes no certificates of version 1, and wants
/// more of a certificate than that it is the pinned one.
fn verify(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    schemes: &[(SignatureScheme, &'static RsaParameters)],
) -> Result<HandshakeSignatureValid, Error> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let scheme = schemes.iter().find(|&&(scheme, _)| scheme == signature.scheme);
    let &(_, algorithm) = scheme.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let key = UnparsedPublicKey::new(algorithm, &parsed.public_key().subject_public_key.data);
    let verified = key.verify(message, signature.signature());
    verified.map(|()| HandshakeSignatureValid::assertion()).map_err(|_| CertificateError::BadSignature.into())
}

/// What TLS 1.3 allows for keys of hosts, which are RSA ones: pairing needs that.
const PSS: &[(SignatureScheme, &RsaParameters)] = &[
    (SignatureScheme::RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
    (SignatureScheme::RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384),
    (SignatureScheme::RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512),
];

/// What TLS 1.2 allows.
const ANY_PADDING: &[(SignatureScheme, &RsaParameters)] = &[
    PSS[0],
    PSS[1],
    PSS[2],
    (SignatureScheme::RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
    (SignatureScheme::RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384),
    (SignatureScheme::RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512),
];

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ServerConfig, SupportedProtocolVersion};
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use x509_parser::pem::parse_x509_pem;

    use super::*;
    use crate::gamestream::pairing::tests::document::{
        CLIENT_CERTIFICATE, CLIENT_KEY, HOST_CERTIFICATE, HOST_KEY,
    };

    fn der(pem: &str) -> Vec<u8> {
        parse_x509_pem(pem.as_bytes()).unwrap().1.contents
    }

    fn key(base64: &str) -> Vec<u8> {
        der(&format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"))
    }

    /// What comes of it when the document's client, which pins `pinned`, meets a host that shows `shown` and has `host_key`.
    async fn meet(
        version: &'static SupportedProtocolVersion,
        pinned: &str,
        shown: &str,
        host_key: &str,
    ) -> Result<(), Error> {
        let signing = any_supported_type(&PrivatePkcs8KeyDer::from(key(host_key)).into()).unwrap();
        let shown = CertifiedKey::new(vec![CertificateDer::from(der(shown))], signing);
        let host = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        let identity = Identity::from_parts(CLIENT_CERTIFICATE.into(), key(CLIENT_KEY)).unwrap();
        let pinned = Certificate::from_pem(pinned.as_bytes()).unwrap();
        let client = client_config(&identity, &pinned).unwrap();
        let (near, far) = tokio::io::duplex(16 * 1024);
        let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        let (connected, _) = tokio::join!(
            TlsConnector::from(client).connect(name, near),
            TlsAcceptor::from(Arc::new(host)).accept(far),
        );
        connected
            .map(drop)
            .map_err(|error| error.into_inner().unwrap().downcast_ref::<Error>().unwrap().clone())
    }

    #[tokio::test]
    async fn certificates_of_any_version_and_serial_number_are_taken_when_they_are_the_pinned_ones() {
        for version in [&TLS12, &TLS13] {
            for certificate in [HOST_CERTIFICATE, VERSION_1] {
                assert_eq!(meet(version, certificate, certificate, HOST_KEY).await, Ok(()), "{version:?}");
            }
        }
    }

    #[tokio::test]
    async fn whoever_shows_another_certificate_is_refused_though_the_key_is_the_same() {
        for version in [&TLS12, &TLS13] {
            let error = meet(version, VERSION_1, HOST_CERTIFICATE, HOST_KEY).await.unwrap_err();
            assert!(is_wrong_certificate(&error), "{error:?}");
        }
    }

    #[tokio::test]
    async fn whoever_shows_the_pinned_certificate_without_its_key_is_refused() {
        for version in [&TLS12, &TLS13] {
            let error = meet(version, HOST_CERTIFICATE, HOST_CERTIFICATE, CLIENT_KEY).await;
            assert_eq!(error, Err(CertificateError::BadSignature.into()), "{version:?}");
        }
    }

    /// Of the document's host key: without extensions, of version 1, with serial number 0.
    const VERSION_1: &str = "-----BEGIN CERTIFICATE-----\n\
        MIICmjCCAYICAQAwDQYJKoZIhvcNAQELBQAwEzERMA8GA1UEAwwIb2xkIGhvc3Qw\n\
        HhcNMjYxMTI0MTYwODM5WhcNNDYxMTE5MTYwODM5WjATMREwDwYDVQQDDAhvbGQg\n\
        aG9zdDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAKPtMzpXSUHxgWhj\n\
        63AWelqiaeZyws43UkcVQijZCkMq4oCEMaUV1uQ5Cb5CI5HGMvZXZGqiQ+MKs2SP\n\
        VHUpgAX5kgT+lgKVFiG6ECISg8GxF6mqmUe0GeqAFNTaVmFHyiERMcWlMhd4fDEs\n\
        8xN0OJLUver4n54YyXD7FOHI6C4QA7cI0jQTUprziQvwIDoTDD4zF3XlzndRwClS\n\
        QYkR6NGLEzB2gITZzFnzH+cLs6qt5EMNRGrmhsdfFsT/UQfx1nyFz7eTtAch1sUH\n\
        3VWSyLJ2tQlD4fJDBm1V84vhWxumGhX7h67cnfAYExB71GFw6qSLpY5tomr5+M+9\n\
        1oKY+bUCAwEAATANBgkqhkiG9w0BAQsFAAOCAQEAC+ZDlWVHK+x9VNfrk3Z30rrb\n\
        hrFs7GfNG0EkzfhPxqAbm35w3kSmW/Nwrk5+VbC+sOs39n6D/sL2qSlfqoWJRg3p\n\
        aP5y+r2Bzi2heMgwU0SQl/F/8dhGUAxd5f8+9dSl/DHAKxHbAi1YLJG5R/BW2nNH\n\
        tKHSv0iGP+ykOTHwmTUUqNzM27J/n1RURZ/rjWLp3muYn7KZSpzgo6ZmRng/b4T4\n\
        8FwbBlxlRDN+GxvNsC3v1OISKisDxnr5gXQ03sX7xHg8hTc6a4OZEO5DgO8jg3tp\n\
        pVLjP/3yF0SPhUJ/6dSnyJpyj4I6VjVyurrruLNLIIWa6vFW+13vIpX/JHecYQ==\n\
        -----END CERTIFICATE-----\n";
}
