//! A server never answers with more bytes than its request allows, and answers every request that it may answer.
//!
//! An input is one byte that chooses the server, then the request.

use std::sync::{Arc, OnceLock};

use tsq_host::own_clock::{Overrides, OwnClock};
use tsq_proto::{Answer, ErrorCode, FollowUp, HostTime, Nonce, Request, Response};
use tsq_server::answer::{Earlier, MAX_ANSWER, Refused, answer, error};
use tsq_server::teller::Teller;

use crate::elements::elements;
use crate::keys::{Key, ed25519, hmac_sha256};

/// Hands the request to the server.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let Some((&choice, request)) = input.split_first() else {
        return;
    };
    let server = &servers()[usize::from(choice) % servers().len()];
    let mut out = [0; MAX_ANSWER];
    match answer(
        request,
        T2,
        &server.teller,
        nothing_earlier,
        &|| T3,
        &mut out,
    ) {
        Ok(answer) => answer_is_right(server, request, answer.bytes),
        Err(refused) => refusal_is_right(server, request, &refused),
    }
}

/// No departures to tell: each would be one more value that the request's own asked for.
fn nothing_earlier() -> Earlier {
    let none = FollowUp {
        nonce: Nonce::new([0; 16]),
        departure: T2.to_ntp(),
    };
    ([none; FollowUp::MAX_TOLD], 0)
}

// tsq: M4 M5 M6 M8 M9 T1
fn answer_is_right(server: &Server, request: &[u8], answer: &[u8]) {
    let asks = |kind| elements(request).iter().any(|element| element.0 == kind);
    let limit = allowed(server, request);
    assert!(
        answer.len() <= limit,
        "{} bytes, {limit} allowed",
        answer.len()
    );
    for (kind, _) in elements(answer) {
        let wanted = match kind {
            1..=3 => true,
            248 | 251 | 253 => asks(247),
            250 | 254 => asks(250),
            255 => asks(252),
            _ => false,
        };
        assert!(wanted, "nobody asked for element {kind}");
    }
    let response = Response::decode(answer).expect("a client can read it");
    assert_eq!(response.nonce().as_bytes(), elements(request)[0].1);
    assert_eq!(response.receive_timestamp(), T2.to_ntp());
    assert!(response.send_timestamp() == T3.to_ntp());
    assert!(!response.precision() || answer.len() == request.len());
    assert_eq!(response.signature().is_some(), asks(252));
    if asks(252) {
        let key = server.key.expect("only a server with a key signs");
        let (_, block) = elements(answer).pop().expect("an answer has elements");
        assert!(key.signed(response.signed_bytes(), block));
    }
}

/// The mandatory elements, all that was asked for, or the request's own length.
// tsq: M6 M9
fn allowed(server: &Server, request: &[u8]) -> usize {
    const MANDATORY: usize = 38;
    let told = server.teller.contents(T2);
    elements(request)
        .iter()
        .fold(MANDATORY, |limit, (kind, _)| match kind {
            247 => {
                let source = told.time_source.map_or(0, |source| 4 + source.info.len());
                let quality = told
                    .clock_quality
                    .map_or(0, |quality| 8 + quality.tag.len());
                limit + source + quality + told.metadata.encoded_len()
            }
            252 => limit + told.signer.map_or(0, |signer| 9 + signer.signature_len()),
            _ => limit,
        })
        .max(
            elements(request)
                .iter()
                .find(|(kind, _)| *kind == 250)
                .map_or(0, |_| request.len()),
        )
}

// tsq: M2 M5 T7
fn refusal_is_right(server: &Server, request: &[u8], refused: &Refused) {
    let mut out = [0; MAX_ANSWER];
    let message = error(refused, &mut out);
    assert!(message.len() <= 2 + 255);
    assert!(
        matches!(Answer::decode(message), Ok(Answer::Error(error)) if error.code == refused.code)
    );
    let Ok(request) = Request::decode(request) else {
        assert_eq!(refused.code, ErrorCode::Malformed);
        return;
    };
    let untold = !server.synchronised && !request.asks_metadata();
    let unsigned = server.key.is_none() && request.asks_signature();
    assert!(untold || unsigned, "no reason to refuse");
    assert_eq!(refused.code, ErrorCode::UnsupportedElement);
}

struct Server {
    teller: Teller,
    synchronised: bool,
    key: Option<&'static Key>,
}

/// Every kind of server: with each kind of key and none, synchronised or not, with annotations or not.
fn servers() -> &'static [Server] {
    static SERVERS: OnceLock<Vec<Server>> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let mut servers = Vec::new();
        for key in [None, Some(ed25519()), Some(hmac_sha256())] {
            for synchronised in [true, false] {
                for annotations in [&[][..], &ANNOTATIONS] {
                    servers.push(server(key, synchronised, annotations));
                }
            }
        }
        servers
    })
}

fn server(key: Option<&'static Key>, synchronised: bool, annotations: &[(&str, &str)]) -> Server {
    let overrides = Overrides {
        vouched: synchronised,
        ..Overrides::default()
    };
    let clock = OwnClock::picture(None, None, &overrides);
    let keys = key.map_or_else(Arc::default, |key| Arc::clone(&key.signing));
    let annotations: Vec<_> = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Server {
        teller: Teller::new(&clock, keys, &annotations, T2).expect("these annotations fit"),
        synchronised,
        key,
    }
}

const ANNOTATIONS: [(&str, &str); 2] = [("site", "us-east"), ("region", "us")];

const T2: HostTime = HostTime::from_unix_nanos(1_760_000_000_123_456_789);
const T3: HostTime = HostTime::from_unix_nanos(1_760_000_000_123_499_999);
