use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tsq_net::tls::{pem_problem, provider};

use super::{CertificateError, read};
use crate::newest::Newest;

/// The authorities whose clients are served; they may be replaced at any time.
#[derive(Debug)]
pub struct Clients(Arc<Newest<Arc<dyn ClientCertVerifier>>>);

impl Clients {
    /// Serves clients with a certificate of an authority in this PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or has no usable authority in it.
    pub fn of_authorities(path: &Path) -> Result<Arc<Self>, CertificateError> {
        Ok(Arc::new(Self(Newest::new(verifier(path)?))))
    }

    /// Reads the file anew. Clients that are connected, or resume a connection, are not asked again.
    ///
    /// # Errors
    /// As [`Self::of_authorities`]; the old authorities stay.
    pub fn reload(&self, path: &Path) -> Result<(), CertificateError> {
        self.0.replace(verifier(path)?);
        Ok(())
    }
}

fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let text = read(path)?;
    let pem = |problem: String| CertificateError::Pem {
        path: path.into(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| pem(pem_problem(&error)))?;
        roots
            .add(certificate)
            .map_err(|error| pem(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(pem("holds no PEM certificate".into()));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| pem(error.to_string()))
}

impl ClientCertVerifier for Clients {
    /// None: they would outlive a reload, and help only clients with several certificates.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.newest().verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .newest()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .newest()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.newest().supported_verify_schemes()
    }
}
