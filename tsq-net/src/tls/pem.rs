use rustls::pki_types::pem;

/// What is wrong with a PEM file, in words for whoever has to mend it.
pub fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "it ends in the middle: END {} is missing",
            String::from_utf8_lossy(end_marker).trim()
        ),
        pem::Error::IllegalSectionStart { line } => format!(
            "not the beginning of a PEM section: {:?}",
            String::from_utf8_lossy(line).trim()
        ),
        pem::Error::Base64Decode(_) => "a PEM section in it is damaged: it is not base64".into(),
        pem::Error::NoItemsFound => "it holds no PEM section of the kind needed".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    #[test]
    fn problems_are_told_in_words() {
        for (text, words) in [
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n",
                "it ends in the middle: END CERTIFICATE is missing",
            ),
            (
                "-----BEGIN CERTIFICATE\nMIIB\n",
                "\"-----BEGIN CERTIFICATE\"",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                "not base64",
            ),
        ] {
            let error = CertificateDer::pem_slice_iter(text.as_bytes())
                .find_map(Result::err)
                .unwrap();
            let told = pem_problem(&error);
            assert!(told.contains(words), "{told}");
        }
        let error = PrivateKeyDer::from_pem_slice(b"nothing\n").unwrap_err();
        assert!(pem_problem(&error).contains("no PEM section"));
    }
}
