//! What is encoded decodes to the same value, what is accepted encodes again to the same meaning, and no bytes panic.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use toy_key::ToyKey;
use tsq_proto::{
    Answer, AnswerRefused, ClockClass, ClockQuality, Contents, ErrorCode, ErrorElement, HostTime,
    Leap, Malformed, Metadata, Nonce, NtpTimestamp, Offset, Prepared, Profile, Query, Request,
    Response, Sequence, SignatureAlgorithm, SignatureBlock, Signer, SourceType, TimeSource,
    error_answer, sequence,
};

mod toy_key;

const KEY: ToyKey = ToyKey { id: 7, len: 32 };

proptest! {
    // tsq: T1 T5 T8 T10 T11 T12
    #[test]
    fn encoded_request_decodes_to_itself(
        nonce: [u8; 16],
        [query, precision, signature]: [bool; 3],
        pairs in sorted_pairs(),
        padded_to in 0_usize..1300,
    ) {
        let mut storage = [0; 4096];
        let mut request = Request::new(Nonce::new(nonce)).with_metadata(metadata(&pairs, &mut storage));
        if query { request = request.with_metadata_query(); }
        if precision { request = request.with_precision(); }
        if signature { request = request.with_signature(); }
        request = paddable(request.encoded_len(), padded_to).map_or(request, |len| request.padded_to(len));
        let mut buffer = [0; 8192];
        let len = request.encode(&mut buffer).unwrap();
        prop_assert_eq!(len, request.encoded_len());
        prop_assert_eq!(Request::decode(&buffer[..len]), Ok(request));
        prop_assert_eq!(sequence(&buffer[..len]), Sequence::Complete);
        prop_assert_eq!(sequence(&buffer[..len - 1]), Sequence::Partial);
    }

    // tsq: T2 T3 T6 T8 T9 T11 T12 T13
    #[test]
    fn encoded_response_decodes_to_itself(
        nonce: [u8; 16],
        [t2, t3]: [u64; 2],
        precision: bool,
        source in option::of((any::<u8>(), any::<u8>(), text(60))),
        quality in option::of((any::<u8>(), any::<u16>(), any::<u16>(), text(60))),
        pairs in sorted_pairs(),
        padded_to in 0_usize..1300,
        signature in option::of((any::<u8>(), any::<u32>(), vec(any::<u8>(), 0..=248))),
    ) {
        let mut storage = [0; 4096];
        let stamps = [t2, t3].map(NtpTimestamp::from_bits);
        let mut response = Response::new(Nonce::new(nonce), stamps[0], stamps[1])
            .with_metadata(metadata(&pairs, &mut storage));
        if precision { response = response.with_precision(); }
        if let Some((stratum, source, info)) = &source {
            let source = SourceType::from_u8(*source);
            response = response.with_time_source(TimeSource { stratum: *stratum, source, info });
        }
        if let Some((class, error_us, drift_ppb, tag)) = &quality {
            let (class, error_us, drift_ppb) = (ClockClass::from_u8(*class), *error_us, *drift_ppb);
            response = response.with_clock_quality(ClockQuality { class, error_us, drift_ppb, tag });
        }
        response = paddable(response.encoded_len(), padded_to).map_or(response, |len| response.padded_to(len));
        if let Some((algorithm, key_id, signature)) = &signature {
            let algorithm = SignatureAlgorithm::from_u8(*algorithm);
            response = response.with_signature(SignatureBlock { algorithm, key_id: *key_id, signature });
        }
        let mut buffer = [0; 8192];
        let len = response.encode(&mut buffer).unwrap();
        prop_assert_eq!(len, response.encoded_len());
        prop_assert_eq!(Answer::decode(&buffer[..len]), Ok(Answer::Response(response)));
    }

    // tsq: T7
    #[test]
    fn encoded_error_decodes_to_itself(code: u8, reason in text(120)) {
        let code = ErrorCode::from_u8(code);
        let mut buffer = [0; 300];
        let len = error_answer(code, &reason, &mut buffer);
        let Ok(Answer::Error(ErrorElement { code: got, reason: kept })) = Answer::decode(&buffer[..len]) else {
            panic!("not an error element");
        };
        prop_assert_eq!(got, code);
        prop_assert!(reason.starts_with(kept) && (kept.len() == reason.len() || kept.len() > 249));
    }

    // tsq: M1 M2
    #[test]
    fn arbitrary_bytes_never_panic_and_accepted_ones_keep_their_meaning(bytes in vec(any::<u8>(), 0..400)) {
        decode_and_encode_again(&bytes)?;
    }

    // tsq: M1 M2
    #[test]
    fn arbitrary_elements_never_panic_and_accepted_ones_keep_their_meaning(bytes in message_like()) {
        decode_and_encode_again(&bytes)?;
    }

    // tsq: E4 E5
    #[test]
    fn hostile_timestamps_never_panic_and_never_give_an_impossible_sample(
        [t1, t4]: [i64; 2],
        [t2, t3]: [u64; 2],
        limit: u64,
    ) {
        let (nonce, limit) = (Nonce::new([7; 16]), Duration::from_nanos(limit));
        let mut bytes = [0; Response::MIN_LEN];
        Response::new(nonce, NtpTimestamp::from_bits(t2), NtpTimestamp::from_bits(t3)).encode(&mut bytes).unwrap();
        let query = Query::new(nonce, HostTime::from_unix_nanos(t1));
        match query.finish(&bytes, HostTime::from_unix_nanos(t4), limit) {
            Ok(sample) => prop_assert!(
                sample.t1 <= sample.t4 && sample.t2 <= sample.t3 && sample.offset.abs() <= limit && !sample.delay.is_zero()
            ),
            Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
        }
    }

    // tsq: E2
    #[test]
    fn true_offset_is_within_half_the_delay(
        clock_offset in -86_000_000_000_000_i64..86_000_000_000_000,
        [there, held, back] in [1_i64..1_000_000_000, 0..1_000_000_000, 1..1_000_000_000],
    ) {
        let t1 = HostTime::from_unix(1_795_000_000, 0);
        let nanos = Offset::from_nanos;
        let (t2, t4) = (t1 + nanos(clock_offset + there), t1 + nanos(there + held + back));
        let nonce = Nonce::new([7; 16]);
        let mut out = [0; Response::MIN_LEN];
        let answer = Prepared::answer(&Request::new(nonce), t2, &mut out).unwrap().stamp(t2 + nanos(held));
        let sample = Query::new(nonce, t1).finish(answer, t4, Duration::from_secs(86_400)).unwrap();
        prop_assert_eq!(sample.delay, Duration::from_nanos((there + back) as u64));
        let error = (sample.offset - nanos(clock_offset)).abs();
        prop_assert!(error <= sample.delay / 2, "off by {:?} with a delay of {:?}", error, sample.delay);
    }

    // tsq: M5 M6 M8 M9
    #[test]
    fn answer_holds_what_was_asked_for_or_has_the_requests_length(
        bytes in prop_oneof![message_like(), request_of_any_length()],
        contents in any_contents(),
    ) {
        let Ok(request) = Request::decode(&bytes) else { return Ok(()) };
        let (mut storage, mut out) = ([0; 1024], [0; 4096]);
        let contents = contents.borrow(&mut storage);
        let t1 = HostTime::from_unix(1_795_000_000, 0);
        let [t2, t3, t4] = [5, 7, 20].map(|nanos| t1 + Offset::from_nanos(nanos));
        let prepared = match Prepared::answer_with(&request, t2, &contents, &mut out) {
            Ok(prepared) => prepared,
            Err(refused) => {
                prop_assert_eq!(refused, AnswerRefused::NoSignatureKey);
                prop_assert!(request.asks_signature() && contents.signer.is_none());
                return Ok(());
            }
        };
        let answer = prepared.stamp(t3);
        let response = Response::decode(answer).unwrap();
        let asked_len = Response::MIN_LEN
            + if request.asks_metadata() { told_len(&contents) } else { 0 }
            + contents.signer.filter(|_| request.asks_signature()).map_or(0, |key| 9 + key.signature_len());
        if response.precision() {
            prop_assert!(request.asks_precision() && answer.len() >= asked_len + 2);
            prop_assert_eq!(answer.len(), bytes.len());
        } else {
            prop_assert_eq!(answer.len(), asked_len);
            let whole_len = asked_len + 2;
            let impossible = bytes.len() < whole_len || bytes.len() == whole_len + 1;
            prop_assert!(impossible || !request.asks_precision());
        }
        let query = Query::new(request.nonce(), t1).with_request_len(bytes.len());
        prop_assert!(query.finish(answer, t4, Duration::MAX).is_ok());
        let signed = query.requiring_signature(&KEY).finish(answer, t4, Duration::MAX);
        prop_assert_eq!(signed.is_ok(), request.asks_signature());
    }

    // tsq: M10 T11
    #[test]
    fn written_profile_is_read_back_whatever_annotations_stand_beside_it(
        [smear, reference_id, server] in [plain(), plain(), plain()],
        numbers: (Option<i16>, Option<u64>, Option<u64>, Option<u8>),
        leap in option::of(0_u8..4),
        annotations in vec((text(20), text(30)), 0..8),
    ) {
        let (tai_offset, root_delay, root_dispersion, era) = numbers;
        let told = Profile {
            leap: leap.and_then(Leap::from_u8),
            tai_offset,
            smear: smear.as_deref(),
            root_delay: root_delay.map(Duration::from_nanos),
            root_dispersion: root_dispersion.map(Duration::from_nanos),
            reference_id: reference_id.as_deref(),
            era,
            server: server.as_deref(),
        };
        let annotations: Vec<_> = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        prop_assume!(annotations.iter().all(|(key, _)| !Profile::KEYS.contains(key)));
        let mut storage = [0; 4096];
        let metadata = told.to_metadata(&annotations, &mut storage).unwrap();
        prop_assert_eq!(Profile::from_metadata(&metadata), told);
        let keys: Vec<_> = metadata.pairs().map(|(key, _)| key.as_bytes()).collect();
        prop_assert!(keys.is_sorted());
        let mut others: Vec<_> = metadata.pairs().filter(|(key, _)| !Profile::KEYS.contains(key)).collect();
        let mut given = annotations;
        others.sort();
        given.sort();
        prop_assert_eq!(others, given);
    }

    // tsq: M10
    #[test]
    fn hostile_metadata_never_panics_the_profile(pairs in vec((hostile_key(), text(22)), 0..8)) {
        let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        pairs.sort();
        let mut storage = [0; 4096];
        let read = Profile::from_metadata(&Metadata::new(&pairs, &mut storage).unwrap());
        let mut storage = [0; 4096];
        let again = read.to_metadata(&[], &mut storage).unwrap();
        prop_assert_eq!(Profile::from_metadata(&again), read);
    }

    // tsq: E3
    #[test]
    fn host_time_comes_back_from_the_wire_to_the_nanosecond(nanos: i64, distance in -(1_i64 << 60)..1 << 60) {
        let time = HostTime::from_unix_nanos(nanos);
        prop_assert_eq!(time.to_ntp().resolve(time + Offset::from_nanos(distance)), time);
    }
}

fn decode_and_encode_again(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut again = [0; 8192];
    if let Ok(request) = Request::decode(bytes) {
        let len = request
            .encode(&mut again)
            .expect("an accepted request fits in as many bytes");
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(Request::decode(&again[..len]), Ok(request));
    }
    match Answer::decode(bytes) {
        Ok(Answer::Response(response)) => {
            let len = response
                .encode(&mut again)
                .expect("an accepted response fits in as many bytes");
            prop_assert_eq!(len, bytes.len());
            prop_assert_eq!(Response::decode(&again[..len]), Ok(response));
        }
        Ok(Answer::Error(error)) => {
            let len = error_answer(error.code, error.reason, &mut again);
            prop_assert_eq!(Answer::decode(&again[..len]), Ok(Answer::Error(error)));
        }
        Err(malformed) => prop_assert!(is_in_bounds(malformed, bytes.len()), "{:?}", malformed),
    }
    Ok(())
}

/// An error's numbers must point into the message.
fn is_in_bounds(malformed: Malformed, len: usize) -> bool {
    match malformed {
        Malformed::Truncated { at, needed, have } => at + have == len && needed > have,
        _ => true,
    }
}

/// Bytes that look like a message: mostly the known elements, with values of plausible lengths.
fn message_like() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![4 => 247_u8.., 1 => any::<u8>()];
    let value = prop_oneof![
        3 => Just(vec![]),
        1 => vec(any::<u8>(), 0..12),
        1 => (0_usize..40).prop_map(|len| vec![0; len]),
        1 => Just(b"\x01a\x01x\x01b\x00".to_vec()),
        1 => Just(vec![1, 0, 0, 0, 1, 0, 2, 8, 9]),
    ];
    let elements = vec((kind, value), 0..6);
    (any::<[u8; 16]>(), any::<bool>(), elements, 0_usize..20).prop_map(
        |(nonce, response, elements, cut)| {
            let mut bytes = vec![1, 16];
            bytes.extend(nonce);
            if response {
                bytes.extend([2, 8, 1, 1, 1, 1, 1, 1, 1, 1, 3, 8, 2, 2, 2, 2, 2, 2, 2, 2]);
            }
            for (kind, value) in elements {
                bytes.extend([kind, value.len() as u8]);
                bytes.extend(value);
            }
            // One message in twenty loses its last byte.
            bytes.truncate(bytes.len() - usize::from(cut == 0));
            bytes
        },
    )
}

/// A request that asks for some of what there is, of any length a packet can have.
fn request_of_any_length() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 16]>(), any::<[bool; 3]>(), 0_usize..1300).prop_map(
        |(nonce, [query, precision, signature], padded_to)| {
            let mut request = Request::new(Nonce::new(nonce));
            if query {
                request = request.with_metadata_query();
            }
            if precision {
                request = request.with_precision();
            }
            if signature {
                request = request.with_signature();
            }
            let len = paddable(request.encoded_len(), padded_to);
            let mut bytes = vec![0; 1300];
            let len = request
                .padded_to(len.unwrap_or(0))
                .encode(&mut bytes)
                .expect("it is at most 1300 bytes long");
            bytes.truncate(len);
            bytes
        },
    )
}

/// What a server may tell, owned.
#[derive(Clone, Debug)]
struct OwnedContents {
    info: Option<String>,
    tag: Option<String>,
    pairs: Vec<(String, String)>,
    has_key: bool,
}

impl OwnedContents {
    fn borrow<'a>(&'a self, storage: &'a mut [u8]) -> Contents<'a> {
        Contents {
            time_source: self.info.as_deref().map(|info| TimeSource {
                stratum: 2,
                source: SourceType::Ntp,
                info,
            }),
            clock_quality: self.tag.as_deref().map(|tag| ClockQuality {
                class: ClockClass::Ntp,
                error_us: 3,
                drift_ppb: 4,
                tag,
            }),
            metadata: metadata(&self.pairs, storage),
            follow_ups: Metadata::EMPTY,
            signer: self.has_key.then_some(&KEY as &dyn Signer),
        }
    }
}

fn any_contents() -> impl Strategy<Value = OwnedContents> {
    (
        option::of(text(60)),
        option::of(text(60)),
        sorted_pairs(),
        any::<bool>(),
    )
        .prop_map(|(info, tag, pairs, has_key)| OwnedContents {
            info,
            tag,
            pairs,
            has_key,
        })
}

/// Bytes that answering a Metadata Query takes.
fn told_len(contents: &Contents<'_>) -> usize {
    contents
        .time_source
        .map_or(0, |source| 4 + source.info.len())
        + contents
            .clock_quality
            .map_or(0, |quality| 8 + quality.tag.len())
        + contents.metadata.encoded_len()
}

fn plain() -> impl Strategy<Value = Option<String>> {
    option::of(vec(proptest::char::range(' ', '~'), 1..40).prop_map(String::from_iter))
}

fn hostile_key() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        (0..Profile::KEYS.len()).prop_map(|index| Profile::KEYS[index]),
        Just("leap "),
        Just(""),
    ]
}

fn sorted_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(20), text(30)), 0..8).prop_map(|mut pairs| {
        pairs.sort();
        pairs
    })
}

fn metadata<'a>(pairs: &[(String, String)], storage: &'a mut [u8]) -> Metadata<'a> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    Metadata::new(&pairs, storage).expect("the pairs are sorted and short")
}

/// Up to `chars` characters, of one to four bytes each.
fn text(chars: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=chars).prop_map(String::from_iter)
}

/// A message cannot grow by a single byte.
fn paddable(len: usize, padded_to: usize) -> Option<usize> {
    (padded_to != len + 1).then_some(padded_to)
}
