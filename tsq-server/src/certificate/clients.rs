use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tsq_net::tls::provider;

use super::{CertificateError, read};
use tsq_host::newest::Newest;

/// The authorities whose clients are served; they may be replaced at any time.
#[derive(Debug)]
pub struct Clients(Arc<Newest<Authorities>>);

/// Those of one file.
#[derive(Debug)]
struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
    /// In no order that means anything.
    certificates: HashSet<CertificateDer<'static>>,
}

impl Clients {
    /// Serves clients with a certificate of an authority in this PEM file.
    ///
    /// # Errors
    /// The file cannot be read, or has no usable authority in it.
    pub fn of_authorities(path: &Path) -> Result<Arc<Self>, CertificateError> {
        Ok(Arc::new(Self(Newest::new(Authorities::read(path)?))))
    }

    /// Reads the file anew; true if others count from now on. What began before, a connection or a session that
    /// a client may resume, is then to be judged again: [`Standing`](super::Standing), [`Issued`](tsq_net::tls::Issued).
    ///
    /// # Errors
    /// As [`Self::of_authorities`]; the old authorities stay.
    pub fn reload(&self, path: &Path) -> Result<bool, CertificateError> {
        let authorities = Authorities::read(path)?;
        let changed = authorities.certificates != self.0.newest().certificates;
        if changed {
            self.0.replace(authorities);
        }
        Ok(changed)
    }

    /// Another number whenever others count; never 0.
    pub fn version(&self) -> u64 {
        self.0.version()
    }

    /// Whether a client that shows `chain`, leaf first, would be served at `now`.
    pub fn take(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        chain
            .split_first()
            .is_some_and(|(leaf, others)| self.verify_client_cert(leaf, others, now).is_ok())
    }
}

impl Authorities {
    fn read(path: &Path) -> Result<Self, CertificateError> {
        let text = read(path)?;
        let pem = |problem: String| CertificateError::Pem {
            path: path.into(),
            problem,
        };
        let mut roots = RootCertStore::empty();
        let mut certificates = HashSet::new();
        for section in
            tsq_certs::pem::certificates(&text).map_err(|error| pem(error.to_string()))?
        {
            let certificate = CertificateDer::from(section.der);
            roots
                .add(certificate.clone())
                .map_err(|error| pem(format!("line {}: {error}", section.line)))?;
            certificates.insert(certificate);
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| pem(error.to_string()))?;
        Ok(Self {
            verifier,
            certificates,
        })
    }
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
        self.0
            .newest()
            .verifier
            .verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .newest()
            .verifier
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
            .verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.newest().verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject;
    use tsq_certs::{Authority, Lifetime, Made, make_ca, make_client};

    use super::*;

    fn authority(name: &str) -> Made {
        make_ca(name, Lifetime::days(400).unwrap()).unwrap()
    }

    fn client_of(authority: &Made) -> Vec<CertificateDer<'static>> {
        let signer = Authority::from_pem(&authority.cert_pem, &authority.key_pem).unwrap();
        let made = make_client(&signer, "laptop", Lifetime::days(10).unwrap()).unwrap();
        vec![CertificateDer::from_pem_slice(made.cert_pem.as_bytes()).unwrap()]
    }

    #[test]
    fn certificate_counts_until_its_authority_is_removed_or_its_last_day_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let (kept, removed) = (authority("kept"), authority("removed"));
        let both = [kept.cert_pem.as_str(), removed.cert_pem.as_str()];
        fs::write(&path, both.concat()).unwrap();
        let clients = Clients::of_authorities(&path).unwrap();
        let (ours, theirs) = (client_of(&kept), client_of(&removed));
        let now = UnixTime::now();
        let after = |days: u64| {
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + days * 86_400))
        };
        assert!(clients.take(&ours, now) && clients.take(&theirs, now));
        assert!(clients.take(&ours, after(9)) && !clients.take(&ours, after(11)));
        assert!(!clients.take(&[], now));

        // The same in another order is nothing new.
        let version = clients.version();
        fs::write(&path, [both[1], both[0]].concat()).unwrap();
        assert!(!clients.reload(&path).unwrap());
        assert_eq!(clients.version(), version);

        fs::write(&path, &kept.cert_pem).unwrap();
        assert!(clients.reload(&path).unwrap());
        assert_ne!(clients.version(), version);
        assert!(clients.take(&ours, now) && !clients.take(&theirs, now));
    }
}
