//! What a user may write for a server.

use std::fmt;
use std::net::IpAddr;

use tsq_net::{Address, BadAddress};

use tsq_proto::words::Foreign;

/// A server as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The words used, for output.
    pub given: String,
    /// Where to find it.
    pub host: Host,
    /// Its UDP port.
    pub port: u16,
}

/// A name to resolve, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An address, with its zone if it is link-local.
    Address(Address),
}

/// The words do not name a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTarget {
    given: String,
    problem: String,
}

impl std::error::Error for BadTarget {}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" names no server: {}",
            Foreign(&self.given),
            self.problem
        )
    }
}

impl Target {
    /// Reads `host`, `host:port`, an address, `[v6]:port` or `[v6]`; a link-local address has its interface behind it, by
    /// name or number: `fe80::1%eth0`, `[fe80::1%2]:443`.
    ///
    /// # Errors
    /// [`BadTarget`] says what is wrong with it.
    pub fn parse(given: &str, default_port: u16) -> Result<Self, BadTarget> {
        let bad = |problem: &str| BadTarget {
            given: given.to_string(),
            problem: problem.into(),
        };
        if let Some(problem) = of_another_kind(given) {
            return Err(bad(&problem));
        }
        let (host, port) = split(given).ok_or_else(|| bad("a bracket is missing"))?;
        let port = match port {
            None => default_port,
            Some(digits) => {
                number(digits).ok_or_else(|| bad("the port is not a number from 1 to 65535"))?
            }
        };
        let host = match host {
            Text::Bracketed(text) => match Address::parse(text) {
                Ok(address) if address.ip().is_ipv6() => Host::Address(address),
                Ok(_) | Err(BadAddress::NotAnAddress) => {
                    return Err(bad("the brackets hold no IPv6 address"));
                }
                Err(problem) => return Err(bad(&problem.to_string())),
            },
            Text::Plain(text) => match Address::parse(text) {
                Ok(address) => Host::Address(address),
                Err(BadAddress::NotAnAddress) if is_name(text) => {
                    Host::Name(text.trim_end_matches('.').to_string())
                }
                Err(BadAddress::NotAnAddress) => {
                    return Err(bad("neither a DNS name nor an address"));
                }
                Err(problem) => return Err(bad(&problem.to_string())),
            },
        };
        if matches!(host, Host::Address(address) if address.ip().is_unspecified()) {
            return Err(bad("an address to listen on, not one to ask"));
        }
        Ok(Self {
            given: given.to_string(),
            host,
            port,
        })
    }

    /// The name to check a certificate against, unless the user gave another.
    pub fn certificate_name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.ip().to_string(),
        }
    }
}

/// Whether a certificate can carry `text`: a DNS name, or an address without brackets, zone and port.
pub fn is_certificate_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_name(text)
}

/// What people write that names a server in other programs, and what to write instead.
fn of_another_kind(given: &str) -> Option<String> {
    if let Some((_, rest)) = given.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        return Some(match host {
            "" => "it is a URL: write HOST or HOST:PORT".into(),
            host => format!("it is a URL: write {}", Foreign(host)),
        });
    }
    if given.contains('/') {
        return Some("a server has no path: write HOST or HOST:PORT".into());
    }
    let international = given
        .chars()
        .any(|character| !character.is_ascii() && character.is_alphanumeric());
    international.then(|| {
        "an international name is written in its ASCII form, xn--... (idn2 or your registrar tells it)".into()
    })
}

enum Text<'a> {
    Bracketed(&'a str),
    Plain(&'a str),
}

/// Host and port; None if a bracket is missing.
fn split(given: &str) -> Option<(Text<'_>, Option<&str>)> {
    if let Some(rest) = given.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':')?),
        };
        return Some((Text::Bracketed(inside), port));
    }
    Some(match given.split_once(':') {
        // More than one colon: an IPv6 address without brackets, and so without a port.
        Some((_, rest)) if rest.contains(':') => (Text::Plain(given), None),
        Some((host, port)) => (Text::Plain(host), Some(port)),
        None => (Text::Plain(given), None),
    })
}

fn number(digits: &str) -> Option<u16> {
    // `parse` alone would take "+443".
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| all_digits && *port != 0)
}

/// Letters, digits, hyphens, underscores; labels of 1 to 63, 253 in all (RFC 1035, section 2.3.4).
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let all_digits = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label) && !all_digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text, 443).unwrap()
    }

    #[test]
    fn every_way_to_name_a_server_is_understood() {
        let name = |name: &str| Host::Name(name.into());
        let address = |text: &str| Host::Address(Address::parse(text).unwrap());
        for (text, host, port) in [
            ("time.example", name("time.example"), 443),
            ("time.example.", name("time.example"), 443),
            ("time.example:8443", name("time.example"), 8443),
            ("host_1", name("host_1"), 443),
            ("192.0.2.1", address("192.0.2.1"), 443),
            ("192.0.2.1:1", address("192.0.2.1"), 1),
            ("2001:db8::1", address("2001:db8::1"), 443),
            ("[2001:db8::1]", address("2001:db8::1"), 443),
            ("[2001:db8::1]:65535", address("2001:db8::1"), 65535),
            ("fe80::1%lo", address("fe80::1%1"), 443),
            ("[fe80::1%lo]", address("fe80::1%1"), 443),
            ("[fe80::1%1]:8443", address("fe80::1%1"), 8443),
        ] {
            let target = parse(text);
            assert_eq!((target.host, target.port), (host, port), "{text}");
        }
    }

    #[test]
    fn link_local_address_is_named_in_certificates_without_its_interface() {
        assert_eq!(parse("fe80::1%lo").certificate_name(), "fe80::1");
        for (text, words) in [
            ("fe80::1", "needs its interface"),
            ("[fe80::1]:443", "needs its interface"),
            ("[fe80::1%none0]:443", "no interface \"none0\""),
            ("2001:db8::1%lo", "is not link-local"),
        ] {
            let error = Target::parse(text, 443).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for text in [
            "",
            ":443",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:x",
            "[::1",
            "[::1]x",
            "[::1]443",
            "[time.example]:443",
            "a b",
            "-a",
            "a..b",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "0.0.0.0:443",
            "[::]:443",
            "a/b",
            "https://a",
        ] {
            let error = Target::parse(text, 443).expect_err(text);
            assert!(error.to_string().contains("names no server"), "{error}");
        }
    }

    #[test]
    fn what_is_written_for_other_programs_is_told_from_a_bad_port() {
        for (text, words) in [
            ("https://time.example", "it is a URL: write time.example"),
            (
                "ntp://user@time.example:123/x?y",
                "it is a URL: write time.example:123",
            ),
            ("https://", "it is a URL: write HOST"),
            ("time.example/ntp", "no path"),
            ("b\u{fc}cher.example", "xn--"),
            ("\u{6642}.example:443", "xn--"),
        ] {
            let error = Target::parse(text, 443).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("port is not"), "{error}");
        }
        assert!(Target::parse("xn--bcher-kva.example", 443).is_ok());
        let error = Target::parse("a\u{1b}[2J\u{202e}", 443)
            .unwrap_err()
            .to_string();
        assert!(error.contains("a\\u{1b}[2J\\u{202e}"), "{error}");
    }

    proptest::proptest! {
        /// Whatever passes here is taken by the TLS library, so nothing is sent before a bad name is told.
        #[test]
        fn names_that_pass_are_names_for_tls(text in "[a-z0-9._:\\[\\]-]{1,12}") {
            if is_certificate_name(&text) {
                let name = rustls::pki_types::ServerName::try_from(text.as_str());
                proptest::prop_assert!(name.is_ok(), "{}", text);
            }
        }

        /// The user's words for a server go to terminals as they are.
        #[test]
        fn servers_that_are_understood_hold_nothing_but_printable_ascii(text in ".{0,12}") {
            if let Ok(target) = Target::parse(&text, 443) {
                proptest::prop_assert_eq!(Foreign(&target.given).to_string(), target.given);
            }
        }

        #[test]
        fn no_words_make_it_panic(text in ".{0,80}") {
            let _ = Target::parse(&text, 443);
        }
    }
}
