use std::net::IpAddr;

use rcgen::SanType;

use crate::Error;

/// The subject alternative name for what the user calls the server: an address or a DNS name.
pub(crate) fn subject_alt_name(name: &str) -> Result<SanType, Error> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    check_dns_name(name).map_err(|reason| Error::BadName {
        name: name.into(),
        reason,
    })?;
    Ok(SanType::DnsName(name.try_into()?))
}

/// RFC 1123 host name, with `*.` allowed in front (RFC 6125 section 6.4.3).
fn check_dns_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if !name.is_ascii() {
        return Err("write an international name in its ASCII form (xn--...)");
    }
    if name.contains([':', '/', '[', ']', '%']) {
        return Err("give a name or an address alone: no port, brackets, zone, or scheme");
    }
    if name.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    host.split('.').try_for_each(check_label)?;
    if host.rsplit('.').next().is_some_and(is_number) {
        return Err("it looks like an IPv4 address but is none");
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("a part between dots is empty");
    }
    if label.len() > 63 {
        return Err("a part between dots is longer than 63 characters");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a part between dots begins or ends with a hyphen");
    }
    // The underscore is no host name character, but such names exist in private zones.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !label.bytes().all(allowed) {
        return Err("only letters, digits, hyphens and dots may be in it, and \"*.\" in front");
    }
    Ok(())
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_ip_names() {
        for address in ["192.0.2.1", "2001:db8::1", "::1"] {
            let ip = address.parse().unwrap();
            assert_eq!(subject_alt_name(address).unwrap(), SanType::IpAddress(ip));
        }
    }

    #[test]
    fn host_names_become_dns_names() {
        let longest_label = "a".repeat(63);
        for name in [
            "localhost",
            "time.example.org",
            "*.example.org",
            "xn--bcher-kva.example",
            &longest_label,
        ] {
            assert!(
                matches!(subject_alt_name(name), Ok(SanType::DnsName(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn names_a_client_could_never_match_are_refused() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63).as_str(); 4].join(".");
        for name in [
            "",
            "a..b",
            "example.org.",
            ".",
            "-a.example",
            "a-.example",
            "time example",
            "bücher.example",
            "localhost:443",
            "[::1]",
            "https://a.example",
            "fe80::1%eth0",
            "256.1.1.1",
            "1.2.3",
            "*",
            "a.*.example",
            "*a.example",
            "*.",
            &long_label,
            &long_name,
        ] {
            assert!(
                matches!(subject_alt_name(name), Err(Error::BadName { .. })),
                "{name}"
            );
        }
    }
}
