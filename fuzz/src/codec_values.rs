//! Any message that can be built is read as what it was built from.

use std::time::Duration;

use tsq_proto::{
    Answer, ClockClass, ClockQuality, EncodeError, ErrorCode, Leap, Metadata, Nonce, NtpTimestamp,
    Profile, Request, Response, SignatureAlgorithm, SignatureBlock, SourceType, TimeSource,
    error_answer,
};

use crate::input::Input;

/// Builds one message from `input`, writes it and reads it.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let mut input = Input::new(input);
    match input.byte() % 4 {
        0 => request(input),
        1 => response(input),
        2 => error(input),
        _ => profile(input),
    }
}

// tsq: T1 T5 T8 T10 T11 T12
fn request(mut input: Input<'_>) {
    let flags = input.byte();
    let mut request = Request::new(Nonce::new(input.array()));
    if flags & 1 != 0 {
        request = request.with_metadata_query();
    }
    if flags & 2 != 0 {
        request = request.with_precision();
    }
    if flags & 4 != 0 {
        request = request.with_signature();
    }
    let len = usize::from(input.number());
    let mut storage = [0; STORAGE];
    let Some(metadata) = metadata(&mut input, &mut storage) else {
        return;
    };
    request = request.with_metadata(metadata).padded_to(len);
    if let Some(written) = written(request.encoded_len(), |buffer| request.encode(buffer)) {
        assert_eq!(Request::decode(&written), Ok(request));
    }
}

// tsq: T1 T2 T3 T6 T8 T9 T11 T12 T13
fn response(mut input: Input<'_>) {
    let flags = input.byte();
    let nonce = Nonce::new(input.array());
    let times = [input.array(), input.array()].map(NtpTimestamp::from_be_bytes);
    let mut response = Response::new(nonce, times[0], times[1]);
    if flags & 1 != 0 {
        response = response.with_precision();
    }
    if flags & 2 != 0 {
        response = response.with_time_source(TimeSource {
            stratum: input.byte(),
            source: SourceType::from_u8(input.byte()),
            info: input.text(),
        });
    }
    if flags & 4 != 0 {
        response = response.with_clock_quality(ClockQuality {
            class: ClockClass::from_u8(input.byte()),
            error_us: input.number(),
            drift_ppb: input.number(),
            tag: input.text(),
        });
    }
    let block = SignatureBlock {
        algorithm: SignatureAlgorithm::from_u8(input.byte()),
        key_id: u32::from_be_bytes(input.array()),
        signature: input.bytes(),
    };
    let len = usize::from(input.number());
    let mut storage = [0; STORAGE];
    let Some(metadata) = metadata(&mut input, &mut storage) else {
        return;
    };
    response = response.with_metadata(metadata).padded_to(len);
    if flags & 8 != 0 {
        response = response.with_signature(block);
    }
    if let Some(written) = written(response.encoded_len(), |buffer| response.encode(buffer)) {
        assert_eq!(Response::decode(&written), Ok(response));
    }
}

// tsq: T7
fn error(mut input: Input<'_>) {
    let code = ErrorCode::from_u8(input.byte());
    let reason = std::str::from_utf8(input.rest()).unwrap_or_default();
    let mut buffer = [0; 300];
    let len = error_answer(code, reason, &mut buffer);
    let Ok(Answer::Error(error)) = Answer::decode(&buffer[..len]) else {
        panic!("an error is read as something else");
    };
    assert_eq!(error.code, code);
    assert!(reason.starts_with(error.reason));
    assert!(error.reason == reason || reason.len() > 253 && error.reason.len() > 249);
}

// tsq: M10
fn profile(mut input: Input<'_>) {
    let flags = input.byte();
    let told = |bit: u8| flags & (1 << bit) != 0;
    let profile = Profile {
        leap: Leap::from_u8(input.byte()),
        tai_offset: told(0).then_some(i16::from_be_bytes(input.array())),
        smear: Some(input.text()).filter(|_| told(1)),
        root_delay: told(2).then_some(Duration::from_nanos(u64::from_be_bytes(input.array()))),
        root_dispersion: told(3).then_some(Duration::from_nanos(u64::from_be_bytes(input.array()))),
        reference_id: Some(input.text()).filter(|_| told(4)),
        era: told(5).then_some(input.byte()),
        server: Some(input.text()).filter(|_| told(6)),
    };
    let pairs = pairs(&mut input);
    let mut storage = [0; STORAGE];
    // Refused are texts and keys that the profile does not allow.
    if let Ok(metadata) = profile.to_metadata(&pairs, &mut storage) {
        assert_eq!(Profile::from_metadata(&metadata), profile);
        assert!(
            pairs
                .iter()
                .all(|pair| metadata.pairs().any(|told| told == *pair))
        );
        assert!(metadata.pairs().map(|(key, _)| key.as_bytes()).is_sorted());
    }
}

fn metadata<'s>(input: &mut Input<'_>, storage: &'s mut [u8]) -> Option<Metadata<'s>> {
    let mut pairs = pairs(input);
    pairs.sort_by_key(|(key, _)| key.as_bytes());
    let metadata = match Metadata::new(&pairs, storage) {
        Ok(metadata) => metadata,
        Err(EncodeError::ValueTooLong { .. } | EncodeError::NoRoom { .. }) => return None,
        Err(error) => panic!("sorted pairs are refused: {error}"),
    };
    assert!(metadata.pairs().eq(pairs));
    Some(metadata)
}

fn pairs<'a>(input: &mut Input<'a>) -> Vec<(&'a str, &'a str)> {
    let count = input.byte() % 16;
    (0..count).map(|_| (input.text(), input.text())).collect()
}

/// The message, unless it cannot be written for a reason that its docs tell.
fn written(
    len: usize,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
) -> Option<Vec<u8>> {
    let mut buffer = vec![0; len];
    match encode(&mut buffer) {
        Ok(written) => {
            assert_eq!(written, len, "the length that was foretold");
            Some(buffer)
        }
        Err(EncodeError::PaddingOfOneByte | EncodeError::ValueTooLong { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

const STORAGE: usize = 16 * 600;
