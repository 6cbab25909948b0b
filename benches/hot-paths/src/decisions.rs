//! From samples to a decision: the filter of one source, and the choice among several.

use std::hint::black_box;
use std::time::Duration;

use tsq_algo::{Candidate, Mark, Method, Rules, Sample, SourceEstimate, combine, filter, select};
use tsq_proto::Offset;

use crate::Pass;

/// As many as a one-shot client takes of each server.
pub(crate) fn filter_5() -> Pass {
    filtering(5)
}

pub(crate) fn filter_16() -> Pass {
    filtering(16)
}

pub(crate) fn select_4() -> Pass {
    selecting(4)
}

pub(crate) fn select_8() -> Pass {
    selecting(8)
}

pub(crate) fn select_32() -> Pass {
    selecting(32)
}

pub(crate) fn combine_4() -> Pass {
    combining(4)
}

pub(crate) fn combine_8() -> Pass {
    combining(8)
}

pub(crate) fn combine_32() -> Pass {
    combining(32)
}

fn filtering(count: usize) -> Pass {
    let samples = samples(&mut Noise::new(1), count);
    Box::new(move || {
        let filtered = black_box(filter(black_box(&samples)));
        assert!(filtered.estimate.is_some());
    })
}

fn selecting(count: usize) -> Pass {
    let candidates: Vec<Candidate> = estimates(count)
        .into_iter()
        .map(|estimate| Candidate {
            estimate,
            authenticated: true,
            synchronised: true,
            age: Duration::from_secs(1),
            smear: None,
            mark: Mark::default(),
        })
        .collect();
    Box::new(move || {
        let selection = black_box(select(black_box(&candidates), &Rules::default()));
        assert!(selection.combined.is_ok());
    })
}

fn combining(count: usize) -> Pass {
    let estimates = estimates(count);
    Box::new(move || {
        let combined = black_box(combine(black_box(&estimates), Method::Median));
        assert!(combined.is_ok_and(|combined| combined.falsetickers.len() == count / LIARS));
    })
}

/// Sources of 5 samples each. Every fourth one lies by a second.
fn estimates(count: usize) -> Vec<SourceEstimate> {
    let mut noise = Noise::new(2);
    (1..=count)
        .map(|number| {
            let samples = samples(&mut noise, 5);
            let mut estimate = filter(&samples).estimate.expect("there are samples");
            estimate.server_error = Some(Duration::from_millis(1));
            if number.is_multiple_of(LIARS) {
                estimate.offset = Offset::from_nanos(1_000_000_000);
            }
            estimate
        })
        .collect()
}

const LIARS: usize = 4;

/// Of a path of 20 ms and a clock that is right, with up to 2 ms spent in queues each way.
fn samples(noise: &mut Noise, count: usize) -> Vec<Sample> {
    (0..count)
        .map(|_| {
            let (there, back) = (noise.up_to(2_000_000), noise.up_to(2_000_000));
            Sample {
                offset: Offset::from_nanos((there - back) / 2),
                delay: Duration::from_nanos((20_000_000 + there + back).unsigned_abs()),
            }
        })
        .collect()
}

/// Numbers without a pattern, the same in every run: a linear congruential generator (Knuth's MMIX).
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn up_to(&mut self, limit: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::from((self.0 >> 33) as u32) % limit
    }
}
