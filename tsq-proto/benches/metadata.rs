//! One whole exchange in which the server tells everything, and what preparing that costs. A program of its own, so
//! that the plain exchange in `codec` is compiled as it always was.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tsq_proto::{
    ClockClass, ClockQuality, Contents, HostTime, Leap, Nonce, Prepared, Profile, Query, Refusal,
    Request, Sample, SourceType, TimeSource,
};

const NONCE: Nonce = Nonce::new([7; 16]);
const DAY: Duration = Duration::from_secs(86_400);

/// Everything a server tells; its metadata was laid out before, as a server does once per change.
fn with_metadata(c: &mut Criterion) {
    let mut storage = [0; 256];
    let contents = Contents {
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
            .to_metadata(&ANNOTATIONS, &mut storage)
            .expect("256 bytes hold it"),
        follow_ups: tsq_proto::Metadata::EMPTY,
        signer: None,
    };
    let (mut packet, mut out) = ([0; 64], [0; 512]);
    c.bench_function("exchange with metadata", |b| {
        b.iter(|| exchange_with(&contents, &mut packet, &mut out));
    });
}

fn exchange_with(
    contents: &Contents<'_>,
    packet: &mut [u8],
    out: &mut [u8],
) -> Result<Sample, Refusal> {
    let [t1, t2, t3, t4] = black_box(times());
    let query = Query::new(black_box(NONCE), t1);
    let len = Request::new(query.nonce())
        .with_metadata_query()
        .encode(packet)
        .expect("64 bytes hold a request");
    let request = Request::decode(black_box(&packet[..len])).expect("it was just encoded");
    let prepared =
        Prepared::answer_with(&request, t2, contents, out).expect("512 bytes hold an answer");
    query.finish(black_box(prepared.stamp(t3)), t4, DAY)
}

fn write_profile(c: &mut Criterion) {
    let mut storage = [0; 256];
    c.bench_function("write profile", |b| {
        b.iter(|| {
            black_box(PROFILE)
                .to_metadata(&ANNOTATIONS, &mut storage)
                .map(|metadata| metadata.encoded_len())
        });
    });
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

fn times() -> [HostTime; 4] {
    [0, 50_000, 52_000, 90_000].map(|nanos| HostTime::from_unix(1_795_000_000, nanos))
}

criterion_group!(benches, with_metadata, write_profile);
criterion_main!(benches);
