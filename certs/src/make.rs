use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use time::OffsetDateTime;

use crate::name::subject_alt_name;
use crate::{Error, Lifetime, Pin, pem, pin_of_der};

/// A new certificate with its key.
pub struct Made {
    /// The certificate alone, PEM.
    pub cert_pem: String,
    /// The private key, PKCS #8 PEM: secret.
    pub key_pem: String,
    /// The pin of the certificate's public key.
    pub pin: Pin,
}

/// The kind of a server's key; the crate's page says why P-256 is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA with the curve P-256 and SHA-256.
    #[default]
    P256,
    /// Ed25519.
    Ed25519,
}

/// A CA that signs server certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: OffsetDateTime,
}

impl Authority {
    /// The CA in these two PEM texts.
    ///
    /// # Errors
    /// [`Error::BadCertificate`], [`Error::BadKey`], [`Error::NotACa`], or [`Error::KeyMismatch`]
    /// when the key is another certificate's.
    pub fn from_pem(cert_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let der = first_certificate(cert_pem.as_ref())?;
        let not_after = require_ca(&der)?;
        let key = private_key(key_pem.as_ref())?;
        if pin_of_der(&der)? != pin_of_key(&key) {
            return Err(Error::KeyMismatch);
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&der.into(), key)?,
            not_after,
        })
    }

    /// The day this authority expires, if that is before the end of `lifetime`.
    pub fn ends_before(&self, lifetime: Lifetime) -> Option<String> {
        (self.not_after < lifetime.not_after).then(|| self.not_after.date().to_string())
    }
}

/// Makes a CA that may sign server certificates but no further CAs. Its key is P-256.
///
/// # Errors
/// [`Error::Generate`].
pub fn make_ca(common_name: &str, lifetime: Lifetime) -> Result<Made, Error> {
    let mut params = params(common_name, lifetime);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = generate(KeyType::default())?;
    Ok(made(&params.self_signed(&key)?, &key))
}

/// Makes a server's certificate for these DNS names and IP addresses, signed by `ca`.
///
/// # Errors
/// [`Error::NoNames`], [`Error::BadName`], [`Error::Generate`].
pub fn make_server(
    ca: &Authority,
    names: &[String],
    key: KeyType,
    lifetime: Lifetime,
) -> Result<Made, Error> {
    let mut params = server_params(names, lifetime)?;
    params.use_authority_key_identifier_extension = true;
    let key = generate(key)?;
    Ok(made(&params.signed_by(&key, &ca.issuer)?, &key))
}

/// Makes a client's certificate, signed by `ca`, for servers that ask for one. Its key is P-256.
///
/// # Errors
/// [`Error::Generate`].
pub fn make_client(ca: &Authority, common_name: &str, lifetime: Lifetime) -> Result<Made, Error> {
    let mut params = params(common_name, lifetime);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = generate(KeyType::default())?;
    Ok(made(&params.signed_by(&key, &ca.issuer)?, &key))
}

/// Makes a server's certificate that is signed by its own key (P-256): clients pin it.
///
/// # Errors
/// [`Error::NoNames`], [`Error::BadName`], [`Error::Generate`].
pub fn make_self_signed(names: &[String], lifetime: Lifetime) -> Result<Made, Error> {
    let params = server_params(names, lifetime)?;
    let key = generate(KeyType::default())?;
    Ok(made(&params.self_signed(&key)?, &key))
}

fn server_params(names: &[String], lifetime: Lifetime) -> Result<CertificateParams, Error> {
    let first = names.first().ok_or(Error::NoNames)?;
    let mut params = params(subject(first), lifetime);
    params.subject_alt_names = names
        .iter()
        .map(|name| subject_alt_name(name))
        .collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// The subject is for people only (clients look at the alternative names), and X.520 ends a common
/// name at 64 characters.
fn subject(name: &str) -> &str {
    if name.len() <= 64 { name } else { "TSQ server" }
}

fn params(common_name: &str, lifetime: Lifetime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = lifetime.not_before;
    params.not_after = lifetime.not_after;
    params
}

fn generate(kind: KeyType) -> Result<KeyPair, Error> {
    let algorithm = match kind {
        KeyType::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyType::Ed25519 => &rcgen::PKCS_ED25519,
    };
    Ok(KeyPair::generate_for(algorithm)?)
}

fn made(certificate: &rcgen::Certificate, key: &KeyPair) -> Made {
    Made {
        cert_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        pin: pin_of_key(key),
    }
}

fn pin_of_key(key: &KeyPair) -> Pin {
    Pin::of_public_key(&key.subject_public_key_info())
}

fn first_certificate(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut all =
        pem::certificates(text).map_err(|reason| Error::BadCertificate(reason.to_string()))?;
    // There is at least one.
    Ok(all.swap_remove(0).der)
}

/// Also one of a kind that we would not make.
fn private_key(text: &[u8]) -> Result<KeyPair, Error> {
    let der = pem::private_key(text).map_err(|reason| Error::BadKey(reason.to_string()))?;
    let problem = pem::key_problem(&der);
    KeyPair::try_from(der).map_err(|reason| Error::BadKey(problem.unwrap_or(reason.to_string())))
}

/// When this authority's certificate ends, if it is one.
fn require_ca(der: &[u8]) -> Result<OffsetDateTime, Error> {
    let bad = |reason: String| Error::BadCertificate(reason);
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|reason| bad(reason.to_string()))?;
    if !certificate.is_ca() {
        return Err(Error::NotACa);
    }
    let end = certificate.validity().not_after.timestamp();
    OffsetDateTime::from_unix_timestamp(end).map_err(|reason| bad(reason.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn ca() -> Made {
        make_ca("test CA", Lifetime::days(1).unwrap()).unwrap()
    }

    #[test]
    fn pin_is_the_certificates_own() {
        let made = make_self_signed(&names(&["localhost"]), Lifetime::days(1).unwrap()).unwrap();
        assert_eq!(
            crate::pin_of_pem(made.cert_pem.as_bytes()).unwrap(),
            made.pin
        );
    }

    #[test]
    fn certificate_without_names_is_refused() {
        let refused = make_self_signed(&[], Lifetime::days(1).unwrap());
        assert!(matches!(refused, Err(Error::NoNames)));
    }

    #[test]
    fn ca_with_another_cas_key_is_refused() {
        let mixed = Authority::from_pem(&ca().cert_pem, &ca().key_pem);
        assert!(matches!(mixed, Err(Error::KeyMismatch)));
    }

    #[test]
    fn server_certificate_cannot_act_as_ca() {
        let leaf = make_self_signed(&names(&["localhost"]), Lifetime::days(1).unwrap()).unwrap();
        let refused = Authority::from_pem(&leaf.cert_pem, &leaf.key_pem);
        assert!(matches!(refused, Err(Error::NotACa)));
    }

    #[test]
    fn name_longer_than_a_common_name_still_gets_a_certificate() {
        let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
        let made =
            make_self_signed(std::slice::from_ref(&long), Lifetime::days(1).unwrap()).unwrap();
        let der = first_certificate(made.cert_pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert!(format!("{:?}", names.value).contains(&long));
    }
}
