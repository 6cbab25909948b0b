//! The records of the key exchange (RFC 8915, section 4): critical bit, type, length, body.

use std::fmt;

/// What a server granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Fresh cookies, at least one, at most [`MAX_COOKIES`].
    pub cookies: Vec<Vec<u8>>,
    /// The NTP server's name or address, if it is not this one.
    pub server: Option<String>,
    /// Its UDP port, if not 123.
    pub port: Option<u16>,
}

/// Why an answer grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecords {
    /// The records do not end where they say, or one has a body it cannot have.
    Malformed,
    /// A record that must be understood is of a type we do not know.
    UnknownCritical {
        /// The type.
        kind: u16,
    },
    /// The server says that it failed.
    Error {
        /// 0 unrecognised critical record, 1 bad request, 2 internal error.
        code: u16,
    },
    /// The server warns, and what of is not known.
    Warning {
        /// The code; none is assigned.
        code: u16,
    },
    /// It does not offer NTPv4.
    NoNtp,
    /// It does not offer AES-SIV-CMAC-256.
    NoAead,
    /// It gave no cookie.
    NoCookies,
}

/// The client's request: NTPv4, protected by AES-SIV-CMAC-256.
#[must_use]
pub fn request() -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, CRITICAL | NEXT_PROTOCOL, &NTPV4.to_be_bytes());
    push(&mut bytes, CRITICAL | AEAD, &AES_SIV_CMAC_256.to_be_bytes());
    push(&mut bytes, CRITICAL | END, &[]);
    bytes
}

/// Whether `bytes` hold the End of Message record, or can never.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((kind, _, after)) = split(rest) {
        if kind & !CRITICAL == END {
            return true;
        }
        rest = after;
    }
    bytes.len() > MAX_ANSWER
}

/// Reads a whole answer.
///
/// # Errors
/// [`BadRecords`].
pub fn parse(bytes: &[u8]) -> Result<Granted, BadRecords> {
    let mut granted = Granted::default();
    let (mut protocol, mut aead) = (None, None);
    let mut rest = bytes;
    loop {
        let (kind, body, after) = split(rest).ok_or(BadRecords::Malformed)?;
        rest = after;
        match kind & !CRITICAL {
            END if body.is_empty() && rest.is_empty() => break,
            END => return Err(BadRecords::Malformed),
            NEXT_PROTOCOL => set(&mut protocol, numbers(body)?)?,
            AEAD => set(&mut aead, numbers(body)?)?,
            ERROR => {
                let code = number(body)?;
                return Err(BadRecords::Error { code });
            }
            WARNING => {
                let code = number(body)?;
                return Err(BadRecords::Warning { code });
            }
            COOKIE => {
                // Longer ones would not fit a packet; ours are sent back in whole words.
                if body.is_empty() || body.len() > MAX_COOKIE || body.len() % 4 != 0 {
                    return Err(BadRecords::Malformed);
                }
                if granted.cookies.len() < MAX_COOKIES {
                    granted.cookies.push(body.to_vec());
                }
            }
            SERVER => set(&mut granted.server, server(body)?)?,
            PORT => {
                let port = number(body)?;
                if port == 0 {
                    return Err(BadRecords::Malformed);
                }
                set(&mut granted.port, port)?;
            }
            kind_only if kind & CRITICAL != 0 => {
                return Err(BadRecords::UnknownCritical { kind: kind_only });
            }
            _ => {}
        }
    }
    if protocol.as_deref() != Some(&[NTPV4]) {
        return Err(BadRecords::NoNtp);
    }
    if aead.as_deref() != Some(&[AES_SIV_CMAC_256]) {
        return Err(BadRecords::NoAead);
    }
    if granted.cookies.is_empty() {
        return Err(BadRecords::NoCookies);
    }
    Ok(granted)
}

impl BadRecords {
    /// A stable name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownCritical { .. } => "unknown_critical",
            Self::Error { .. } => "error",
            Self::Warning { .. } => "warning",
            Self::NoNtp => "no_ntp",
            Self::NoAead => "no_aead",
            Self::NoCookies => "no_cookies",
        }
    }
}

impl fmt::Display for BadRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the answer is malformed"),
            Self::UnknownCritical { kind } => {
                write!(f, "the answer has a critical record of unknown type {kind}")
            }
            Self::Error { code } => write!(f, "the server reports error {code}"),
            Self::Warning { code } => write!(f, "the server gives warning {code}"),
            Self::NoNtp => f.write_str("the server offers no NTPv4"),
            Self::NoAead => f.write_str("the server offers no AES-SIV-CMAC-256"),
            Self::NoCookies => f.write_str("the server gave no cookies"),
        }
    }
}

impl std::error::Error for BadRecords {}

/// The protocol id of NTPv4 (RFC 8915, section 7.7).
pub(super) const NTPV4: u16 = 0;

/// AEAD_AES_SIV_CMAC_256 (RFC 5297), the one every NTS server has.
pub(super) const AES_SIV_CMAC_256: u16 = 15;

/// No more than this is read of an answer: servers give eight cookies of about a hundred bytes.
pub const MAX_ANSWER: usize = 16 * 1024;

/// As many cookies as a client should hold (RFC 8915, section 5.7).
pub const MAX_COOKIES: usize = 8;

/// A longer cookie does not go with a request.
pub const MAX_COOKIE: usize = 512;

const CRITICAL: u16 = 0x8000;
const END: u16 = 0;
const NEXT_PROTOCOL: u16 = 1;
const ERROR: u16 = 2;
const WARNING: u16 = 3;
const AEAD: u16 = 4;
const COOKIE: u16 = 5;
const SERVER: u16 = 6;
const PORT: u16 = 7;

fn push(bytes: &mut Vec<u8>, kind: u16, body: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    let length = u16::try_from(body.len()).expect("our own bodies have two bytes at most");
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
}

/// Type with the critical bit, body, and what follows.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let [k0, k1, l0, l1] = *header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (body, after) = rest.split_at_checked(length)?;
    Some((u16::from_be_bytes([k0, k1]), body, after))
}

/// What may come once only.
fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), BadRecords> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadRecords::Malformed),
    }
}

fn number(body: &[u8]) -> Result<u16, BadRecords> {
    let bytes = body.try_into().map_err(|_| BadRecords::Malformed)?;
    Ok(u16::from_be_bytes(bytes))
}

fn numbers(body: &[u8]) -> Result<Vec<u16>, BadRecords> {
    let (pairs, rest) = body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BadRecords::Malformed);
    }
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// A name or address: it goes to the resolver and to terminals.
fn server(body: &[u8]) -> Result<String, BadRecords> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    if body.is_empty() || body.len() > 255 || !body.iter().all(is_plain) {
        return Err(BadRecords::Malformed);
    }
    String::from_utf8(body.to_vec()).map_err(|_| BadRecords::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records of the given types and bodies, then End of Message.
    fn answer(records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, body) in records {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend(*body);
        }
        push(&mut bytes, CRITICAL | END, &[]);
        bytes
    }

    const PROTOCOL: (u16, &[u8]) = (0x8001, &[0, 0]);
    const ALGORITHM: (u16, &[u8]) = (4, &[0, 15]);
    const ONE: (u16, &[u8]) = (5, &[1; 100]);

    #[test]
    fn request_is_three_critical_records() {
        let expected = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];
        assert_eq!(request(), expected);
    }

    #[test]
    fn good_answer_grants_cookies_server_and_port() {
        let granted = parse(&answer(&[
            PROTOCOL,
            ALGORITHM,
            ONE,
            ONE,
            (6, b"ntp.example"),
            (0x8007, &[0x2b, 0x67]),
            (99, b"who knows"),
        ]))
        .unwrap();
        assert_eq!(granted.cookies, [vec![1; 100], vec![1; 100]]);
        assert_eq!(granted.server.as_deref(), Some("ntp.example"));
        assert_eq!(granted.port, Some(11_111));
        let many = [&[PROTOCOL, ALGORITHM][..], &[ONE; 20]].concat();
        assert_eq!(parse(&answer(&many)).unwrap().cookies.len(), MAX_COOKIES);
    }

    #[test]
    fn every_bad_answer_has_its_name() {
        let long = [0; MAX_COOKIE + 4];
        for (records, name) in [
            (&[ALGORITHM, ONE][..], "no_ntp"),
            (&[(0x8001, &[][..]), ALGORITHM, ONE], "no_ntp"),
            (&[(0x8001, &[0, 1][..]), ALGORITHM, ONE], "no_ntp"),
            (&[(0x8001, &[0, 0, 0, 1][..]), ALGORITHM, ONE], "no_ntp"),
            (&[PROTOCOL, ONE], "no_aead"),
            (&[PROTOCOL, (4, &[0, 30][..]), ONE], "no_aead"),
            (&[PROTOCOL, ALGORITHM], "no_cookies"),
            (&[PROTOCOL, PROTOCOL, ALGORITHM, ONE], "malformed"),
            (&[PROTOCOL, (4, &[15][..]), ONE], "malformed"),
            (&[PROTOCOL, ALGORITHM, (5, &[][..])], "malformed"),
            (&[PROTOCOL, ALGORITHM, (5, &[0; 99][..])], "malformed"),
            (&[PROTOCOL, ALGORITHM, (5, &long[..])], "malformed"),
            (&[PROTOCOL, ALGORITHM, ONE, (6, b"a\x1b[2J")], "malformed"),
            (&[PROTOCOL, ALGORITHM, ONE, (6, b"")], "malformed"),
            (&[PROTOCOL, ALGORITHM, ONE, (7, &[0, 0])], "malformed"),
            (&[PROTOCOL, ALGORITHM, ONE, (7, &[1])], "malformed"),
            (
                &[PROTOCOL, ALGORITHM, ONE, (0x8063, b"")],
                "unknown_critical",
            ),
            (&[(0x8002, &[0, 1][..])], "error"),
            (&[PROTOCOL, ALGORITHM, ONE, (0x8003, &[0, 1])], "warning"),
        ] {
            assert_eq!(
                parse(&answer(records)).unwrap_err().name(),
                name,
                "{records:?}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_after_the_end_is_malformed() {
        let whole = answer(&[PROTOCOL, ALGORITHM, ONE]);
        assert!(is_whole(&whole));
        for length in 0..whole.len() {
            assert!(!is_whole(&whole[..length]), "{length}");
            assert_eq!(
                parse(&whole[..length]),
                Err(BadRecords::Malformed),
                "{length}"
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(parse(&longer), Err(BadRecords::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>) {
            let _ = is_whole(&bytes);
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
