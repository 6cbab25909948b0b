//! NTP packets protected by NTS (RFC 8915, section 5).

use std::fmt;
use std::io;

use aes_siv::siv::Aes128Siv;
use aes_siv::{Key, KeyInit};

use super::record::{MAX_COOKIE, MAX_COOKIES};
use crate::Refusal;
use crate::exchange::Query;
use crate::extension::{extensions, push};
use crate::header::Header;
use crate::random::random;

/// What the key exchange left: two keys, and cookies that spell them to the server alone.
pub struct Session {
    to_server: [u8; KEY],
    to_client: [u8; KEY],
    cookies: Vec<Vec<u8>>,
}

/// Bytes of a key of AES-SIV-CMAC-256.
pub const KEY: usize = 32;

impl Session {
    /// The keys as exported from TLS, and the cookies that came with them.
    #[must_use]
    pub fn new(to_server: [u8; KEY], to_client: [u8; KEY], cookies: Vec<Vec<u8>>) -> Self {
        Self {
            to_server,
            to_client,
            cookies,
        }
    }

    /// Whether a request can be made.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        !self.cookies.is_empty()
    }

    /// Protects a request with a fresh cookie, which is used up, and asks for as many as are missing then; None when
    /// there is none left.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn protect(&mut self, query: &Query) -> io::Result<Option<(Vec<u8>, Unique)>> {
        let Some(cookie) = self.cookies.pop() else {
            return Ok(None);
        };
        let (unique, nonce) = (Unique(random()?), random::<NONCE>()?);
        let mut packet = query.request().to_vec();
        push(&mut packet, UNIQUE_IDENTIFIER, &unique.0);
        push(&mut packet, COOKIE, &cookie);
        for _ in self.cookies.len() + 1..MAX_COOKIES {
            push(&mut packet, COOKIE_PLACEHOLDER, &vec![0; cookie.len()]);
        }
        let sealed = cipher(&self.to_server)
            .encrypt([&packet[..], &nonce], &[])
            .map_err(|_| io::Error::other("AES-SIV failed"))?;
        let mut body = Vec::with_capacity(4 + NONCE + sealed.len());
        for length in [NONCE, sealed.len()] {
            let length = u16::try_from(length).expect("16 bytes each");
            body.extend(length.to_be_bytes());
        }
        body.extend(nonce);
        body.extend(sealed);
        push(&mut packet, AUTHENTICATOR, &body);
        Ok(Some((packet, unique)))
    }

    /// The header of an answer that our keys protect; its cookies are kept.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] or [`Refusal::Nak`], besides those of [`Query::recognise`].
    pub fn open(
        &mut self,
        query: &Query,
        unique: &Unique,
        packet: &[u8],
    ) -> Result<Header, Refusal> {
        let header = query.recognise(packet)?;
        let protected = authenticated(packet, unique)?;
        let Some((length, nonce, sealed)) = protected else {
            // It cannot be protected, as the server has lost the keys: whoever saw the request can say so too.
            if header.stratum == 0 && header.reference_id == NAK {
                return Err(Refusal::Nak);
            }
            return Err(Refusal::NotAuthenticated);
        };
        let plain = cipher(&self.to_client)
            .decrypt([&packet[..length], nonce], sealed)
            .map_err(|_| Refusal::NotAuthenticated)?;
        for extension in extensions(&plain) {
            let extension = extension.map_err(|_| Refusal::Malformed)?;
            let fits = extension.body.len() <= MAX_COOKIE && self.cookies.len() < MAX_COOKIES;
            if extension.kind == COOKIE && fits {
                self.cookies.push(extension.body.to_vec());
            }
        }
        Ok(header)
    }
}

/// Keys stay out of logs.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("cookies", &self.cookies.len())
            .finish_non_exhaustive()
    }
}

/// The unique identifier of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique([u8; 32]);

/// How much is authenticated, the nonce, and the ciphertext; None without an authenticator.
type Protected<'a> = Option<(usize, &'a [u8], &'a [u8])>;

/// Looks for the authenticator; what follows it is nobody's word and not looked at.
fn authenticated<'a>(packet: &'a [u8], unique: &Unique) -> Result<Protected<'a>, Refusal> {
    let mut is_ours = false;
    for extension in extensions(&packet[Header::LEN..]) {
        let extension = extension.map_err(|_| Refusal::Malformed)?;
        match extension.kind {
            UNIQUE_IDENTIFIER if extension.body == unique.0 => is_ours = true,
            UNIQUE_IDENTIFIER => return Err(Refusal::NotAuthenticated),
            AUTHENTICATOR if is_ours => {
                let (nonce, sealed) = parts(extension.body).ok_or(Refusal::Malformed)?;
                return Ok(Some((Header::LEN + extension.at, nonce, sealed)));
            }
            AUTHENTICATOR => return Err(Refusal::NotAuthenticated),
            _ => {}
        }
    }
    if is_ours {
        Ok(None)
    } else {
        Err(Refusal::NotAuthenticated)
    }
}

/// Nonce and ciphertext, each padded to words.
fn parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (lengths, rest) = body.split_first_chunk::<4>()?;
    let [n0, n1, c0, c1] = *lengths;
    let nonce = usize::from(u16::from_be_bytes([n0, n1]));
    let sealed = usize::from(u16::from_be_bytes([c0, c1]));
    let after = rest.get(nonce.next_multiple_of(4)..)?;
    Some((rest.get(..nonce)?, after.get(..sealed)?))
}

fn cipher(key: &[u8; KEY]) -> Aes128Siv {
    Aes128Siv::new(&Key::<Aes128Siv>::from(*key))
}

const UNIQUE_IDENTIFIER: u16 = 0x0104;
const COOKIE: u16 = 0x0204;
const COOKIE_PLACEHOLDER: u16 = 0x0304;
const AUTHENTICATOR: u16 = 0x0404;
const NONCE: usize = 16;
const NAK: [u8; 4] = *b"NTSN";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session(cookies: usize) -> Session {
        Session::new([1; KEY], [2; KEY], vec![vec![7; 100]; cookies])
    }

    fn asked(session: &mut Session) -> (Query, Vec<u8>, Unique) {
        let query = Query::new(0x0123_4567_89ab_cdef);
        let (packet, unique) = session.protect(&query).unwrap().unwrap();
        (query, packet, unique)
    }

    /// What a server says to `request`: the header, then the fields `before`, then the sealed `cookies`.
    fn answer(
        request: &[u8],
        before: &[(u16, &[u8])],
        cookies: &[&[u8]],
        key: &[u8; KEY],
    ) -> Vec<u8> {
        let mut packet = vec![0; Header::LEN];
        packet[0] = 0x24;
        packet[1] = 1;
        packet[24..32].copy_from_slice(&request[40..48]);
        for (kind, body) in before {
            push(&mut packet, *kind, body);
        }
        let mut plain = Vec::new();
        for cookie in cookies {
            push(&mut plain, COOKIE, cookie);
        }
        let sealed = cipher(key)
            .encrypt([&packet[..], &[9; 16]], &plain)
            .unwrap();
        let lengths = [16, u16::try_from(sealed.len()).unwrap()].map(u16::to_be_bytes);
        let body = [&lengths.concat()[..], &[9; 16], &sealed].concat();
        push(&mut packet, AUTHENTICATOR, &body);
        packet
    }

    #[test]
    fn request_has_identifier_cookie_placeholders_and_a_seal_in_this_order() {
        let mut session = session(6);
        let (_, packet, unique) = asked(&mut session);
        let fields: Vec<_> = extensions(&packet[Header::LEN..])
            .map(Result::unwrap)
            .collect();
        let kinds: Vec<u16> = fields.iter().map(|field| field.kind).collect();
        // Five cookies are left: this answer brings one, and two more are asked for.
        assert_eq!(kinds, [0x0104, 0x0204, 0x0304, 0x0304, 0x0404]);
        assert_eq!(fields[1].body, [7; 100]);
        assert_eq!(fields[2].body, [0; 100]);
        // A server can read it: the seal covers all before it.
        let (length, nonce, sealed) = authenticated(&packet, &unique).unwrap().unwrap();
        let plain = cipher(&[1; KEY])
            .decrypt([&packet[..length], nonce], sealed)
            .unwrap();
        assert_eq!(plain, []);
    }

    #[test]
    fn every_request_uses_up_a_cookie_and_has_its_own_identifier() {
        let mut session = session(2);
        let (first, second) = (asked(&mut session), asked(&mut session));
        assert_ne!(first.2, second.2);
        assert!(!session.has_cookie());
        assert_eq!(session.protect(&first.0).unwrap(), None);
    }

    #[test]
    fn good_answer_is_opened_and_its_cookies_are_kept() {
        let mut session = session(1);
        let (query, request, unique) = asked(&mut session);
        let answer = answer(
            &request,
            &[(UNIQUE_IDENTIFIER, &unique.0)],
            &[&[8; 96][..]; 20],
            &[2; KEY],
        );
        assert_eq!(session.open(&query, &unique, &answer).unwrap().stratum, 1);
        assert_eq!(session.cookies, vec![vec![8; 96]; MAX_COOKIES]);
    }

    #[test]
    fn answer_of_anyone_without_the_keys_is_refused() {
        let mut session = session(1);
        let (query, request, unique) = asked(&mut session);
        let own = (UNIQUE_IDENTIFIER, &unique.0[..]);
        let good = answer(&request, &[own], &[&[8; 96]], &[2; KEY]);
        let plain = good[..Header::LEN].to_vec();
        let no_seal = good[..Header::LEN + 36].to_vec();
        let wrong_key = answer(&request, &[own], &[], &[1; KEY]);
        let other_identifier = answer(&request, &[(UNIQUE_IDENTIFIER, &[0; 32])], &[], &[2; KEY]);
        let no_identifier = answer(&request, &[], &[], &[2; KEY]);
        for packet in [plain, no_seal, wrong_key, other_identifier, no_identifier] {
            let refusal = session.open(&query, &unique, &packet).unwrap_err();
            assert_eq!(refusal, Refusal::NotAuthenticated);
            assert!(refusal.may_be_forged());
        }
        // Every bit before the seal's end counts.
        for at in 32..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(session.open(&query, &unique, &changed).is_err(), "{at}");
        }
        assert!(session.cookies.is_empty());
        assert!(session.open(&query, &unique, &good).is_ok());
    }

    #[test]
    fn nak_is_told_from_a_forgery_by_the_identifier() {
        let mut session = session(1);
        let (query, request, unique) = asked(&mut session);
        let mut nak = answer(&request, &[(UNIQUE_IDENTIFIER, &unique.0)], &[], &[2; KEY]);
        nak.truncate(Header::LEN + 36);
        nak[1] = 0;
        nak[12..16].copy_from_slice(b"NTSN");
        assert_eq!(session.open(&query, &unique, &nak), Err(Refusal::Nak));
        nak.truncate(Header::LEN);
        assert_eq!(
            session.open(&query, &unique, &nak),
            Err(Refusal::NotAuthenticated)
        );
    }

    proptest! {
        #[test]
        fn any_fields_after_the_header_are_judged_without_a_panic(tail: Vec<u8>, kind: u16, body: Vec<u8>) {
            let mut session = session(1);
            let (query, request, unique) = asked(&mut session);
            let mut packet = answer(&request, &[(UNIQUE_IDENTIFIER, &unique.0), (kind, &[0; 12])], &[], &[3; KEY]);
            packet.truncate(Header::LEN + 36 + 16);
            push(&mut packet, AUTHENTICATOR, &body);
            packet.extend(tail);
            prop_assert!(session.open(&query, &unique, &packet).is_err());
        }
    }
}
