//! How long one pass of each hot path takes.

use criterion::{Criterion, criterion_group, criterion_main};
use tsq_hot_paths::PATHS;

fn paths(c: &mut Criterion) {
    for path in PATHS {
        let mut pass = (path.prepare)();
        c.bench_function(path.name, |b| b.iter(&mut pass));
    }
}

criterion_group!(benches, paths);
criterion_main!(benches);
