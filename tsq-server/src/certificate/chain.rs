//! Whether the certificates of a file lead from the leaf to its authority.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is wrong with a chain, or may be.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Clients will refuse it.
    Broken(String),
    /// Right with one kind of authority, wrong with another.
    Doubtful(String),
}

/// Tells the operator what clients would stumble over.
pub(super) fn report(file: &Path, chain: &[CertificateDer<'_>]) {
    match finding(chain) {
        Some(Finding::Broken(words)) => tracing::warn!(file = %file.display(), "{words}"),
        Some(Finding::Doubtful(words)) => tracing::info!(file = %file.display(), "{words}"),
        None => {}
    }
}

fn finding(chain: &[CertificateDer<'_>]) -> Option<Finding> {
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|one| X509Certificate::from_der(one).map(|(_, parsed)| parsed))
        .collect::<Result<_, _>>()
        .ok()?;
    for (index, one) in parsed.iter().enumerate() {
        if is_self_issued(one) {
            return None;
        }
        let next = parsed.get(index + 1);
        if next.is_some_and(|next| issued(next, one)) {
            continue;
        }
        if let Some(place) = parsed.iter().position(|other| issued(other, one)) {
            return Some(Finding::Broken(format!(
                "the chain is out of order: certificate {} of the file issued certificate {}; the order is the \
                 server's own, then its issuer's, then that one's",
                place + 1,
                index + 1
            )));
        }
        return missing(index, one, next);
    }
    None
}

/// What it means that the issuer of `one`, the `index`th, is not there; `next` stands in its place.
fn missing(
    index: usize,
    one: &X509Certificate<'_>,
    next: Option<&X509Certificate<'_>>,
) -> Option<Finding> {
    // Shown as Debug shows it: a name may hold anything.
    let issuer = one.issuer().to_string();
    match next {
        Some(next) => Some(Finding::Broken(format!(
            "the chain does not link: certificate {} of the file is issued by {issuer:?}, and certificate {} is \
             {:?}: clients refuse it (fullchain.pem?)",
            index + 1,
            index + 2,
            next.subject().to_string()
        ))),
        // The chain ends with an intermediate: clients have the root.
        None if index > 0 => None,
        None if tells_where_its_issuer_is(one) => Some(Finding::Broken(format!(
            "the certificate is issued by {issuer:?}, whose certificate is not in the file: clients that have only \
             the root refuse it (fullchain.pem?)"
        ))),
        None => Some(Finding::Doubtful(format!(
            "the certificate is issued by {issuer:?}, whose certificate is not in the file: right where clients \
             have that one as their --ca; else they refuse it (fullchain.pem?)"
        ))),
    }
}

fn is_self_issued(one: &X509Certificate<'_>) -> bool {
    one.issuer().as_raw() == one.subject().as_raw()
}

/// By names, and by the keys' ids where both have them.
fn issued(issuer: &X509Certificate<'_>, one: &X509Certificate<'_>) -> bool {
    let wanted = one
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0)
            }
            _ => None,
        });
    let found =
        issuer
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
                _ => None,
            });
    issuer.subject().as_raw() == one.issuer().as_raw()
        && wanted
            .zip(found)
            .is_none_or(|(wanted, found)| wanted == found)
}

/// As certificates of public authorities do, which sign with intermediates.
fn tells_where_its_issuer_is(one: &X509Certificate<'_>) -> bool {
    one.extensions().iter().any(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else {
            return false;
        };
        access
            .accessdescs
            .iter()
            .any(|one| is_ca_issuers(&one.access_method))
    })
}

fn is_ca_issuers(method: &Oid<'_>) -> bool {
    method.to_id_string() == "1.3.6.1.5.5.7.48.2"
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    };

    use super::*;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        der: CertificateDer<'static>,
    }

    fn params(name: &str, ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["a.example".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn authority(name: &str, above: Option<&Authority>) -> Authority {
        let (params, key) = (params(name, true), KeyPair::generate().unwrap());
        let made = match above {
            Some(above) => params.signed_by(&key, &above.issuer),
            None => params.self_signed(&key),
        };
        Authority {
            der: made.unwrap().der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn leaf(by: &Authority, extension: Option<CustomExtension>) -> CertificateDer<'static> {
        let mut params = params("leaf", false);
        params.custom_extensions.extend(extension);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &by.issuer).unwrap().der().clone()
    }

    /// Authority information access: caIssuers, http://x
    fn access() -> CustomExtension {
        let method = [0x2b, 6, 1, 5, 5, 7, 0x30, 2];
        let place = b"http://x";
        let one = [&[6, 8][..], &method, &[0x86, 8], place].concat();
        let all = [&[0x30, 22, 0x30, 20][..], &one].concat();
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], all)
    }

    #[test]
    fn chain_that_leads_to_the_root_is_no_matter_and_others_are() {
        let root = authority("root", None);
        let middle = authority("middle", Some(&root));
        let renewed = authority("middle", Some(&root));
        let public = leaf(&middle, Some(access()));
        let private = leaf(&middle, None);
        let (root, middle, renewed) = (root.der, middle.der, renewed.der);
        for (chain, words) in [
            (vec![&public, &middle], None),
            (vec![&public, &middle, &root], None),
            (vec![&root], None),
            (
                vec![&public],
                Some("warn: issued by \"CN=middle\" fullchain.pem?"),
            ),
            (
                vec![&private],
                Some("info: issued by \"CN=middle\" --ca fullchain.pem?"),
            ),
            (vec![&public, &root, &middle], Some("warn: out of order 3 ")),
            (
                vec![&public, &root],
                Some("warn: does not link \"CN=middle\" \"CN=root\""),
            ),
            // The same name with another key.
            (vec![&public, &renewed], Some("warn: does not link")),
        ] {
            let chain: Vec<_> = chain.into_iter().cloned().collect();
            let told = match finding(&chain) {
                Some(Finding::Broken(words)) => Some(format!("warn: {words}")),
                Some(Finding::Doubtful(words)) => Some(format!("info: {words}")),
                None => None,
            };
            match (told, words) {
                (None, None) => {}
                (Some(told), Some(words)) => {
                    for word in words.split(' ').filter(|word| !word.is_empty()) {
                        assert!(told.contains(word), "{word}: {told}");
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
