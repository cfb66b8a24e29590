//! Decides whom a connection over TLS trusts, and what it shows of itself.
//!
//! The redis crate decides the same for the connections that it opens, but does not give them away.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::url::Tls;

/// Returns the settings for all connections of a URL.
pub(super) fn config(tls: &Tls) -> RedisResult<Arc<ClientConfig>> {
    let builder = ClientConfig::builder().with_root_certificates(roots(tls)?);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let certificates = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.map_err(|error| wrong("the certificate is no PEM", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("the key is no PEM", &error))?;
            let config = builder.with_client_auth_cert(certificates, key);
            config.map_err(|error| wrong("certificate and key do not fit", &error))?
        }
    };
    if tls.is_insecure {
        let Some(provider) = CryptoProvider::get_default() else {
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, "there is no cryptography")));
        };
        // The name is not looked at either, and may be none.
        config.enable_sni = false;
        let anybody = Anybody(provider.signature_verification_algorithms);
        config.dangerous().set_certificate_verifier(Arc::new(anybody));
    }
    Ok(Arc::new(config))
}

/// The authorities that are trusted: those of the URL, or those of the system.
fn roots(tls: &Tls) -> RedisResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| wrong("the authority is no PEM", &error))?;
                roots.add(certificate).map_err(|error| wrong("the authority is no certificate", &error))?;
            }
        }
        None if tls.is_insecure => {}
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0
                && let Some(error) = found.errors.first()
            {
                return Err(wrong("the authorities of the system cannot be read", error));
            }
        }
    }
    Ok(roots)
}

/// Takes anybody for who they say they are.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn wrong(what: &'static str, error: &dyn std::error::Error) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, what, error.to_string()))
}
