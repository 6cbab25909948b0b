//! Which server is the right one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tsq_client::{ClientIdentity, FoundSlot, Trust, TrustRefusal};
use tsq_net::ClientConfig;
use tsq_net::tls::Sessions;

use crate::Error;

/// How a server is known, for any number of connections to it.
#[derive(Clone)]
pub struct Believed {
    name: String,
    verifier: Arc<Counting>,
    shown: Option<ClientIdentity>,
    found: FoundSlot,
}

impl Believed {
    /// The server called `name`, trusted as `trust` says.
    ///
    /// # Errors
    /// Those of rustls for roots it cannot use.
    pub fn new(trust: &Trust, name: &str) -> Result<Self, Error> {
        let (inner, found) = trust.verifier()?;
        let verifier = Counting {
            inner,
            asked: AtomicU64::new(0),
        };
        Ok(Self {
            name: name.into(),
            verifier: Arc::new(verifier),
            shown: None,
            found,
        })
    }

    /// The same, with a certificate to show it where it asks for one.
    #[must_use]
    pub fn showing(self, shown: Option<ClientIdentity>) -> Self {
        Self { shown, ..self }
    }

    /// A configuration for connections to it.
    ///
    /// # Errors
    /// As [`tsq_net::tls::client`].
    pub fn config(&self, sessions: Sessions) -> Result<ClientConfig, Error> {
        let verifier: Arc<dyn ServerCertVerifier> = self.verifier.clone();
        Ok(match &self.shown {
            None => tsq_net::tls::client_with(verifier, sessions)?,
            Some(shown) => tsq_net::tls::client_as(shown.resolver(), verifier, sessions)?,
        })
    }

    /// The name its certificate must carry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why its certificate was refused last.
    pub fn refusal(&self) -> Option<TrustRefusal> {
        self.found.lock().ok()?.as_ref()?.as_ref().err().cloned()
    }

    /// How often a certificate was checked: once in each full handshake, in a resumed one never.
    pub fn full_handshakes(&self) -> u64 {
        self.verifier.asked.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ServerCertVerifier>,
    asked: AtomicU64,
}

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner
            .verify_server_cert(leaf, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
