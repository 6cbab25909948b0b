//! One whole exchange through the codec: the cost of TSQ itself, without sockets and cryptography.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tsq_proto::{HostTime, Nonce, Prepared, Query, Request};

fn exchange(c: &mut Criterion) {
    let nonce = Nonce::new([7; 16]);
    let [t1, t2, t3, t4] =
        [0, 50_000, 52_000, 90_000].map(|nanos| HostTime::from_unix(1_795_000_000, nanos));
    let (mut packet, mut out) = ([0; 64], [0; 64]);
    c.bench_function("exchange", |b| {
        b.iter(|| {
            let query = Query::new(black_box(nonce), black_box(t1));
            let len = Request::new(query.nonce())
                .encode(&mut packet)
                .expect("64 bytes hold a request");
            let request = Request::decode(black_box(&packet[..len])).expect("it was just encoded");
            let prepared = Prepared::answer(&request, black_box(t2), &mut out)
                .expect("64 bytes hold an answer");
            let answer = prepared.stamp(black_box(t3));
            query.finish(
                black_box(answer),
                black_box(t4),
                Duration::from_secs(86_400),
            )
        });
    });
}

criterion_group!(benches, exchange);
criterion_main!(benches);
