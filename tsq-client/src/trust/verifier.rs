//! The certificate check TLS asks for.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tsq_x509::{Pin, pin_of_der};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::presented::{Presented, Validity};
use super::refusal::{By, TrustRefusal};
use super::{Dates, Trust, TrustKind};

/// Checks a server's certificate as one [`Trust`] says, and leaves what it found in a slot: TLS
/// passes on only words.
pub(crate) struct Verifier {
    rules: Arc<Rules>,
    dates: Dates,
    found: FoundSlot,
}

/// Where a verifier leaves what it found.
pub type FoundSlot = Arc<Mutex<Option<Result<Presented, TrustRefusal>>>>;

/// What must hold. The time comes in as an argument, so a later check at another time is the same
/// call.
pub(super) struct Rules {
    chain: Option<Arc<WebPkiServerVerifier>>,
    roots: Option<Arc<RootCertStore>>,
    pub(super) pins: Vec<Pin>,
    insecure: bool,
    provider: Arc<CryptoProvider>,
}

impl Rules {
    fn of(trust: &Trust) -> Result<Self, Error> {
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
        Ok(Self {
            chain,
            roots: trust.roots.clone(),
            pins: trust.pins.clone(),
            insecure: trust.kind == TrustKind::Insecure,
            provider,
        })
    }

    /// Whether the chain, leaf first, holds at `now`, which is known `by` somebody.
    pub(super) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        by: By,
    ) -> Result<(), TrustRefusal> {
        if self.insecure {
            return Ok(());
        }
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(TrustRefusal::Other {
                problem: "there is none".into(),
            });
        };
        if let Some(verifier) = &self.chain {
            verifier
                .verify_server_cert(leaf, intermediates, name, &[], now)
                .map_err(|error| TrustRefusal::of(&error, &name.to_str(), now, by))
                .map_err(|refusal| match refusal {
                    TrustRefusal::UnknownIssuer { .. } => TrustRefusal::UnknownIssuer {
                        missing: self.roots.as_ref().and_then(|roots| missing(chain, roots)),
                    },
                    other => other,
                })?;
        }
        if self.chain.is_none() || !self.pins.is_empty() {
            self.check_pin(leaf)?;
            check_dates(leaf, now, by)?;
        }
        Ok(())
    }

    /// Whether all but the dates holds: there is a moment at which everything does.
    ///
    /// A chain that is valid at any moment is valid at the one at which the last of its
    /// certificates begins; so those moments are tried, and no others need be. (Roots have no dates
    /// here: they are trusted because the user or the system says so.)
    fn check_but_dates(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        refused: TrustRefusal,
    ) -> Result<(), TrustRefusal> {
        let mut moments = chain
            .iter()
            .take(LONGEST_CHAIN)
            .map(|certificate| Validity::of(certificate).map(|validity| validity.not_before))
            .collect::<Result<Vec<_>, _>>()?;
        // The last is right unless the server shows certificates that it does not need.
        moments.sort_unstable_by(|a, b| b.cmp(a));
        moments.dedup();
        for moment in moments {
            let then = UnixTime::since_unix_epoch(Duration::from_secs(moment));
            match self.check(chain, name, then, By::OurClock) {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.is_about_dates() => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(refused)
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

/// The issuer at which `chain` breaks off: neither is its certificate there nor is it one of `roots`.
fn missing(chain: &[CertificateDer<'_>], roots: &RootCertStore) -> Option<String> {
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .take(LONGEST_CHAIN)
        .map_while(|one| X509Certificate::from_der(one).ok())
        .map(|(_, parsed)| parsed)
        .collect();
    let mut last = parsed.first()?;
    // Each step leads to another certificate, unless two have issued each other.
    for _ in 0..parsed.len() {
        let issuer = last.issuer().as_raw();
        // A root's subject is kept without the header of its sequence.
        let is_ours = roots
            .roots
            .iter()
            .any(|root| issuer.ends_with(&root.subject));
        if is_ours || issuer == last.subject().as_raw() {
            return None;
        }
        match parsed.iter().find(|one| one.subject().as_raw() == issuer) {
            Some(next) => last = next,
            None => return Some(last.issuer().to_string()),
        }
    }
    None
}

/// A pinned key has no chain to check, but its dates count all the same.
fn check_dates(leaf: &CertificateDer<'_>, now: UnixTime, by: By) -> Result<(), TrustRefusal> {
    let Validity {
        not_before,
        not_after,
    } = Validity::of(leaf)?;
    let now = now.as_secs();
    if now < not_before {
        return Err(TrustRefusal::NotYetValid {
            not_before,
            now,
            by,
        });
    }
    if now > not_after {
        return Err(TrustRefusal::Expired { not_after, now, by });
    }
    Ok(())
}

impl Verifier {
    pub(crate) fn new(trust: &Trust, dates: Dates, found: FoundSlot) -> Result<Self, Error> {
        Ok(Self {
            rules: Arc::new(Rules::of(trust)?),
            dates,
            found,
        })
    }

    /// Judges certificates shown earlier as if they were shown now, for `name`.
    pub(crate) fn judge_again(
        &self,
        earlier: &Presented,
        name: &str,
        now: UnixTime,
    ) -> Result<Presented, TrustRefusal> {
        let name = ServerName::try_from(name).map_err(|error| TrustRefusal::Other {
            problem: error.to_string(),
        })?;
        self.judge(earlier.chain.clone(), &name, now)
    }

    fn judge(
        &self,
        chain: Vec<CertificateDer<'static>>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Presented, TrustRefusal> {
        let deferred = match self.rules.check(&chain, name, now, By::OurClock) {
            Ok(()) => None,
            Err(refusal) if self.dates == Dates::MayWait && refusal.is_about_dates() => {
                self.rules.check_but_dates(&chain, name, refusal.clone())?;
                Some(refusal)
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(Presented {
            rules: Arc::clone(&self.rules),
            name: name.to_owned(),
            key: chain.first().and_then(|leaf| pin_of_der(leaf).ok()),
            validity: if self.rules.insecure {
                None
            } else {
                Validity::of_all(&chain)
            },
            chain,
            deferred,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("dates", &self.dates)
            .finish_non_exhaustive()
    }
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
        let chain = std::iter::once(leaf)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let found = self.judge(chain, name, now);
        let accepted = found.is_ok();
        if let Ok(mut slot) = self.found.lock() {
            *slot = Some(found);
        }
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            // The reason for people is in the slot; TLS needs only an alert.
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
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
        let algorithms = &self.rules.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules
            .provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// So many certificates of a chain are looked at for a moment at which all are valid.
const LONGEST_CHAIN: usize = 8;
