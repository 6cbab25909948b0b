//! The certificate check TLS asks for.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use tsq_certs::{Pin, pin_of_der};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{RefusalSlot, Trust, TrustKind, TrustRefusal};

/// Checks a server's certificate as one [`Trust`] says, and notes why it refused.
///
/// The time comes in as an argument, so a later check at another time is the same call.
#[derive(Debug)]
pub(crate) struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<Pin>,
    insecure: bool,
    provider: Arc<CryptoProvider>,
    refusal: RefusalSlot,
}

impl Verifier {
    pub(crate) fn new(trust: &Trust, refusal: RefusalSlot) -> Result<Self, Error> {
        let provider = tsq_net::tls::provider();
        let chain = match &trust.roots {
            None => None,
            Some(roots) => Some(
                WebPkiServerVerifier::builder_with_provider(
                    Arc::clone(roots),
                    Arc::clone(&provider),
                )
                .build()
                .map_err(|error| Error::General(error.to_string()))?,
            ),
        };
        let insecure = trust.kind == TrustKind::Insecure;
        Ok(Self {
            chain,
            pins: trust.pins.clone(),
            insecure,
            provider,
            refusal,
        })
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TrustRefusal> {
        if self.insecure {
            return Ok(());
        }
        if let Some(chain) = &self.chain {
            chain
                .verify_server_cert(leaf, intermediates, name, &[], now)
                .map_err(|error| TrustRefusal::of(&error, &name.to_str(), now))?;
        }
        if self.chain.is_none() || !self.pins.is_empty() {
            self.check_pin(leaf)?;
            check_dates(leaf, now)?;
        }
        Ok(())
    }

    fn check_pin(&self, leaf: &CertificateDer<'_>) -> Result<(), TrustRefusal> {
        let presented = pin_of_der(leaf).map_err(|error| TrustRefusal::Other {
            problem: error.to_string(),
        })?;
        if self.pins.contains(&presented) {
            Ok(())
        } else {
            Err(TrustRefusal::WrongPin { presented })
        }
    }
}

/// A pinned key has no chain to check, but its dates count all the same.
fn check_dates(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), TrustRefusal> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| TrustRefusal::Other {
        problem: error.to_string(),
    })?;
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let (not_before, not_after) = (
        seconds(parsed.validity().not_before),
        seconds(parsed.validity().not_after),
    );
    let now = now.as_secs();
    if now < not_before {
        return Err(TrustRefusal::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(TrustRefusal::Expired { not_after, now });
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(leaf, intermediates, name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(refusal) => {
                if let Ok(mut slot) = self.refusal.lock() {
                    *slot = Some(refusal);
                }
                // The reason for people is in the slot; TLS needs only an alert.
                Err(Error::InvalidCertificate(
                    CertificateError::ApplicationVerificationFailure,
                ))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC uses TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
