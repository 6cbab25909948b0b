//! Answers to requests.

use crate::options::Answering;
use crate::time::to_ntp;
use crate::tlv::{self, Tlv, pad, parse, put};
use crate::{Key, unix_ns};

/// How a server answers.
#[derive(Clone, Debug)]
pub struct Answers {
    options: Answering,
}

impl Answers {
    /// Answers as the options say.
    #[must_use]
    pub fn new(options: Answering) -> Self {
        Self { options }
    }

    /// The answer to a datagram; none where the draft wants silence. `received_ns` is T2.
    // tsq: M2
    #[must_use]
    pub fn to_datagram(&self, request: &[u8], received_ns: i64) -> Option<Vec<u8>> {
        self.answer(request, received_ns).ok()
    }

    /// The answer to all bytes of a stream. `received_ns` is T2.
    // tsq: M2 T7
    #[must_use]
    pub fn to_stream(&self, request: &[u8], received_ns: i64) -> Vec<u8> {
        if let Some(code) = self.options.error {
            return error(code, "asked to refuse");
        }
        self.answer(request, received_ns)
            .unwrap_or_else(|reason| error(MALFORMED, &reason))
    }

    // tsq: M9 M11
    fn answer(&self, request: &[u8], received_ns: i64) -> Result<Vec<u8>, String> {
        let asked = parse(request)?;
        let nonce = match asked.first() {
            Some(first) if first.kind == tlv::NONCE && first.value.len() == 16 => first.value,
            _ => return Err("no Nonce of 16 bytes at the start".into()),
        };
        let asks = |kind| asked.iter().any(|tlv: &Tlv<'_>| tlv.kind == kind);
        let mut answer = Vec::new();
        put(&mut answer, tlv::NONCE, nonce);
        put(
            &mut answer,
            tlv::RECEIVE_TIME,
            &to_ntp(received_ns).to_be_bytes(),
        );
        put(
            &mut answer,
            tlv::SEND_TIME,
            &to_ntp(unix_ns()).to_be_bytes(),
        );
        if self.options.unknown {
            // tsq: M1 T4
            for kind in tlv::UNKNOWN {
                put(&mut answer, kind, b"?");
            }
        }
        if asks(tlv::METADATA_QUERY) {
            describe_clock(&mut answer);
        }
        let key = self
            .options
            .signing_key
            .as_ref()
            .filter(|_| asks(tlv::SIGNATURE_REQUEST));
        if asks(tlv::PRECISION) {
            acknowledge_precision(&mut answer, request.len(), key);
        }
        if let Some(key) = key {
            let block = key.block(&answer);
            put(&mut answer, tlv::SIGNATURE, &block);
        }
        Ok(answer)
    }
}

// tsq: T6 T9 T11
fn describe_clock(answer: &mut Vec<u8>) {
    put(
        answer,
        tlv::CLOCK_QUALITY,
        b"\x03\x00\x00\x64\x00\x0akept by ntp",
    );
    put(answer, tlv::TIME_SOURCE, b"\x02\x03interop");
    put(
        answer,
        tlv::METADATA,
        b"\x04leap\x010\x04site\x07interop\x07unheard\x02of",
    );
}

/// Only where the answer can be made as long as the request.
// tsq: M6
fn acknowledge_precision(answer: &mut Vec<u8>, length: usize, key: Option<&Key>) {
    let mut longer = answer.clone();
    put(&mut longer, tlv::PRECISION, &[]);
    let unsigned = length.checked_sub(key.map_or(0, Key::growth));
    if unsigned.is_some_and(|length| pad(&mut longer, length)) {
        *answer = longer;
        // The matrix asks for this: a client need not say what it made of the acknowledgement.
        println!("precise");
    }
}

fn error(code: u8, reason: &str) -> Vec<u8> {
    let mut message = Vec::new();
    put(
        &mut message,
        tlv::ERROR,
        &[&[code, 0], reason.as_bytes()].concat(),
    );
    message
}

const MALFORMED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exchange;
    use crate::options::Ask;

    fn key() -> Key {
        format!("ed25519:7:{}", "11".repeat(32)).parse().unwrap()
    }

    fn signing() -> Answers {
        Answers::new(Answering {
            signing_key: Some(key()),
            ..Answering::default()
        })
    }

    fn everything() -> Ask {
        Ask {
            unknown: true,
            metadata: true,
            precision: true,
            verify_key: Some(key()),
        }
    }

    #[test]
    fn client_takes_what_the_server_answers() {
        let exchange = Exchange::begin(&everything());
        let answer = signing()
            .to_datagram(exchange.request(), unix_ns())
            .unwrap();
        let sample = exchange.finish(&answer, unix_ns()).unwrap();
        assert!(sample.offset_ns.abs() < 1_000_000_000);
    }

    #[test]
    fn client_refuses_an_answer_with_any_byte_changed() {
        let exchange = Exchange::begin(&everything());
        let answer = signing()
            .to_datagram(exchange.request(), unix_ns())
            .unwrap();
        for at in 0..answer.len() {
            let mut changed = answer.clone();
            changed[at] ^= 1;
            assert!(exchange.finish(&changed, unix_ns()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn client_refuses_what_it_did_not_ask_for() {
        let exchange = Exchange::begin(&Ask::default());
        let unknown = Answering {
            unknown: true,
            ..Answering::default()
        };
        let answer = Answers::new(unknown)
            .to_datagram(exchange.request(), unix_ns())
            .unwrap();
        assert!(exchange.finish(&answer, unix_ns()).is_err());
    }

    #[test]
    fn malformed_request_gets_an_error_on_a_stream_only() {
        let answers = Answers::new(Answering::default());
        assert_eq!(
            crate::error_code(&answers.to_stream(crate::malformed(), 0)),
            Some(1)
        );
        assert_eq!(answers.to_datagram(crate::malformed(), 0), None);
    }
}
