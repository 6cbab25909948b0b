//! Messages and whole exchanges through the codec: the cost of TSQ itself, without sockets and QUIC.

use std::hint::black_box;
use std::time::Duration;

use tsq_keys::Algorithm;
use tsq_proto::{
    ClockClass, ClockQuality, Contents, HostTime, Leap, Metadata, Nonce, Offset, Prepared, Profile,
    Query, Request, Response, Sample, SourceType, TimeSource,
};

use crate::{Pass, keys};

/// A request written and read.
pub(crate) fn request() -> Pass {
    let mut packet = [0; REQUEST];
    Box::new(move || {
        let len = Request::new(black_box(NONCE))
            .with_metadata_query()
            .encode(&mut packet)
            .expect("the buffer holds a request");
        let request = Request::decode(black_box(&packet[..len])).expect("it was just encoded");
        assert!(black_box(request).asks_metadata());
    })
}

/// An answer that tells everything, read and written again.
pub(crate) fn response() -> Pass {
    let (mut packet, mut again) = ([0; ANSWER], [0; ANSWER]);
    let asking = Request::new(NONCE).with_metadata_query();
    let [_, t2, t3, _] = times();
    let len = Prepared::answer_with(&asking, t2, &telling(), &mut packet)
        .expect("the buffer holds an answer")
        .stamp(t3)
        .len();
    Box::new(move || {
        let response = Response::decode(black_box(&packet[..len])).expect("a server prepared it");
        let written = response.encode(&mut again).expect("no longer than before");
        assert_eq!(black_box(written), len);
    })
}

/// The client asks, the server answers, the client reads: nothing but timestamps.
pub(crate) fn exchange() -> Pass {
    let (mut packet, mut out) = ([0; REQUEST], [0; ANSWER]);
    Box::new(move || {
        let [t1, t2, t3, t4] = black_box(times());
        let query = Query::new(black_box(NONCE), t1);
        let request = sent(&Request::new(query.nonce()), &mut packet);
        let prepared =
            Prepared::answer(&request, t2, &mut out).expect("the buffer holds an answer");
        check(query.finish(black_box(prepared.stamp(t3)), t4, DAY));
    })
}

/// The same where the server tells everything; its metadata was laid out before, as a server does once per change.
pub(crate) fn exchange_with_metadata() -> Pass {
    let contents = telling();
    let (mut packet, mut out) = ([0; REQUEST], [0; ANSWER]);
    Box::new(move || {
        let [t1, t2, t3, t4] = black_box(times());
        let query = Query::new(black_box(NONCE), t1);
        let request = sent(
            &Request::new(query.nonce()).with_metadata_query(),
            &mut packet,
        );
        let prepared = Prepared::answer_with(&request, t2, &contents, &mut out)
            .expect("the buffer holds an answer");
        check(query.finish(black_box(prepared.stamp(t3)), t4, DAY));
    })
}

/// The plain exchange with a tag over the answer, made and verified.
pub(crate) fn exchange_with_hmac() -> Pass {
    let (signer, verifier) = keys::pair(Algorithm::HmacSha256);
    let contents = Contents {
        signer: Some(signer),
        ..Contents::default()
    };
    let (mut packet, mut out) = ([0; REQUEST], [0; ANSWER]);
    Box::new(move || {
        let [t1, t2, t3, t4] = black_box(times());
        let query = Query::new(black_box(NONCE), t1);
        let request = sent(&Request::new(query.nonce()).with_signature(), &mut packet);
        let prepared = Prepared::answer_with(&request, t2, &contents, &mut out)
            .expect("the buffer holds an answer");
        let answer = black_box(prepared.stamp(t3));
        check(query.requiring_signature(&verifier).finish(answer, t4, DAY));
    })
}

/// What a server tells of its clock, laid out as metadata.
pub(crate) fn write_profile() -> Pass {
    let mut storage = [0; METADATA];
    Box::new(move || {
        let metadata = black_box(PROFILE)
            .to_metadata(&ANNOTATIONS, &mut storage)
            .expect("the buffer holds it");
        assert!(black_box(metadata).encoded_len() > 0);
    })
}

/// `request` as the server reads it.
fn sent<'p>(request: &Request<'_>, packet: &'p mut [u8]) -> Request<'p> {
    let len = request.encode(packet).expect("the buffer holds a request");
    Request::decode(black_box(&packet[..len])).expect("it was just encoded")
}

fn check<E: std::fmt::Debug>(sample: Result<Sample, E>) {
    let sample = black_box(sample).expect("an honest answer");
    assert_eq!(sample.offset, Offset::from_nanos(6_000));
}

/// Everything a server can tell; what it is laid out in lives as long as the program.
fn telling() -> Contents<'static> {
    let storage = Box::leak(Box::new([0; METADATA]));
    Contents {
        time_source: Some(TimeSource {
            stratum: 2,
            source: SourceType::Ntp,
            info: "",
        }),
        clock_quality: Some(ClockQuality {
            class: ClockClass::Ntp,
            error_us: 20,
            drift_ppb: 300,
            tag: "",
        }),
        metadata: PROFILE
            .to_metadata(&ANNOTATIONS, storage)
            .expect("the buffer holds it"),
        follow_ups: Metadata::EMPTY,
        signer: None,
    }
}

const PROFILE: Profile<'_> = Profile {
    leap: Some(Leap::NoWarning),
    tai_offset: Some(37),
    smear: Some("none"),
    root_delay: Some(Duration::from_nanos(1_500_000)),
    root_dispersion: Some(Duration::from_nanos(600_000)),
    reference_id: Some("C0000201"),
    era: Some(0),
    server: Some("tsqd/0.1.0"),
};

const ANNOTATIONS: [(&str, &str); 2] = [("site", "us-east"), ("region", "us")];

/// T1 to T4: our clock is 6 us behind, the way there and back takes 88 us.
fn times() -> [HostTime; 4] {
    [0, 50_000, 52_000, 90_000].map(|nanos| HostTime::from_unix(1_795_000_000, nanos))
}

const NONCE: Nonce = Nonce::new([7; 16]);
const DAY: Duration = Duration::from_secs(86_400);
const REQUEST: usize = 64;
const ANSWER: usize = 512;
const METADATA: usize = 256;
