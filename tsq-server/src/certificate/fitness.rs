//! What a certificate is for.

use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a client that verifies names and authorities would refuse this leaf, however good its dates: it is not
/// a server's. Clients that pin its key take it all the same, so the operator is told and nothing more.
pub(super) fn problems(leaf: &[u8]) -> Vec<&'static str> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if parsed.is_ca() {
        problems.push("it is an authority's and not a server's; the leaf comes first in the file");
    }
    if let Ok(Some(usage)) = parsed.extended_key_usage()
        && !usage.value.server_auth
    {
        problems.push("its extended key usage is not serverAuth");
    }
    if !matches!(parsed.subject_alternative_name(), Ok(Some(_))) {
        problems.push("it names no host (subjectAltName)");
    }
    problems
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    fn problems_of(usage: &[ExtendedKeyUsagePurpose], ca: bool) -> usize {
        problems_of_one_for(&["a.example".to_string()], usage, ca)
    }

    fn problems_of_one_for(names: &[String], usage: &[ExtendedKeyUsagePurpose], ca: bool) -> usize {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = usage.to_vec();
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().unwrap();
        problems(params.self_signed(&key).unwrap().der()).len()
    }

    #[test]
    fn certificates_of_others_than_servers_are_told() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        assert_eq!(problems_of(&[], false), 0);
        assert_eq!(problems_of(&[ServerAuth, ClientAuth], false), 0);
        assert_eq!(problems_of(&[ClientAuth], false), 1);
        assert_eq!(problems_of(&[], true), 1);
        assert_eq!(problems_of(&[ClientAuth], true), 2);
        assert_eq!(problems_of_one_for(&[], &[], false), 1);
    }
}
