//! What kind of key it is that nobody can use.

use x509_parser::asn1_rs::{Any, FromDer, Integer, OctetString, Oid, Sequence};

/// Why TLS does not take this private key, in words for whoever has to make another; None where the key's kind
/// is not at fault, or not known.
pub fn key_problem(der: &[u8]) -> Option<String> {
    let kind = kind_of(der)?;
    Some(format!(
        "it is {kind}, which is not used; P-256, P-384, Ed25519 and RSA of 2048 to 8192 bits are. Make another \
         (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY), and have a certificate made for it"
    ))
}

/// None for those that are used.
fn kind_of(der: &[u8]) -> Option<String> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _) = Integer::from_der(&outer.content).ok()?;
    // PKCS #8: version, algorithm, key. SEC 1: version, key, curve. PKCS #1: version, modulus.
    if let Ok((rest, algorithm)) = Sequence::from_der(rest) {
        let (parameters, oid) = Oid::from_der(&algorithm.content).ok()?;
        return match oid.to_id_string().as_str() {
            EC => curve(Oid::from_der(parameters).ok()?.1.to_id_string().as_str()),
            RSA => {
                let (_, inner) = OctetString::from_der(rest).ok()?;
                kind_of(inner.as_ref())
            }
            "1.3.101.112" => None,
            "1.3.101.113" => Some("an Ed448 key".into()),
            "1.3.101.110" | "1.3.101.111" => {
                Some("a key for X25519 or X448, which signs nothing,".into())
            }
            "1.2.840.10040.4.1" => Some("a DSA key".into()),
            "1.2.840.113549.1.1.10" => Some("a key for RSASSA-PSS only".into()),
            other => Some(format!("a key of the kind {other}")),
        };
    }
    if let Ok((_, modulus)) = Integer::from_der(rest) {
        let bits = bits(modulus.as_ref());
        return (!(2048..=8192).contains(&bits)).then(|| format!("an RSA key of {bits} bits"));
    }
    let (rest, _) = OctetString::from_der(rest).ok()?;
    let (_, tagged) = Any::from_der(rest).ok()?;
    curve(Oid::from_der(tagged.data).ok()?.1.to_id_string().as_str())
}

fn curve(oid: &str) -> Option<String> {
    match oid {
        "1.2.840.10045.3.1.7" | "1.3.132.0.34" => None,
        "1.3.132.0.35" => Some("a P-521 key".into()),
        "1.3.132.0.10" => Some("a secp256k1 key".into()),
        "1.3.132.0.33" => Some("a P-224 key".into()),
        other => Some(format!("a key of the curve {other}")),
    }
}

fn bits(modulus: &[u8]) -> usize {
    let leading = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = &modulus[leading..];
    let unused = digits.first().map_or(0, |first| first.leading_zeros());
    digits.len() * 8 - usize::try_from(unused).unwrap_or(0)
}

const EC: &str = "1.2.840.10045.2.1";
const RSA: &str = "1.2.840.113549.1.1.1";
