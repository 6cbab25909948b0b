//! What must hold for all inputs, not only for those someone thought of.
#![expect(
    clippy::unwrap_used,
    reason = "the lint spares #[test] functions, not those of proptest!"
)]

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tsq_algo::{
    Candidate, Decision, Interval, Limits, Mark, Method, Policy, Rules, SERVER_ERROR_ALLOWANCE,
    Sample, SourceEstimate, Verdict, combine, decide, filter, select,
};
use tsq_proto::Offset;

proptest! {
    #[test]
    fn any_samples_are_filtered_into_their_own_hull(samples in vec(any_sample(), 0..12)) {
        let filtered = filter(&samples);
        prop_assert_eq!(filtered.rejected.len(), samples.len());
        prop_assert_eq!(filtered.estimate.is_some(), !samples.is_empty());
        if let Some(estimate) = filtered.estimate {
            let accepted: Vec<_> = (0..samples.len())
                .filter(|&index| filtered.is_accepted(index))
                .map(|index| samples[index].offset)
                .collect();
            prop_assert_eq!(estimate.samples, accepted.len());
            prop_assert!(hull(&accepted).contains(estimate.offset));
        }
    }

    #[test]
    fn any_sources_combine_into_the_survivors_hull(
        sources in vec(any_source(), 0..12),
        slew_threshold: Duration,
        max_offset: Duration,
    ) {
        let Ok(combined) = combine(&sources, Method::Median) else { return Ok(()) };
        let offsets: Vec<_> = combined.survivors.iter().map(|&index| sources[index].offset).collect();
        prop_assert!(hull(&offsets).contains(combined.offset));
        prop_assert_eq!(combined.survivors.len() + combined.falsetickers.len(), sources.len());
        prop_assert!(combined.survivors.len() * 2 > sources.len());

        let decision = decide(&combined, &Policy { slew_threshold, max_offset });
        let size = combined.offset.abs();
        match decision {
            Decision::None { .. } => prop_assert!(size <= max_offset),
            Decision::Slew { offset } => prop_assert!(offset == combined.offset && size <= slew_threshold.min(max_offset)),
            Decision::Step { offset } => prop_assert!(offset == combined.offset && size > slew_threshold && size <= max_offset),
            Decision::Refused { limit, .. } => prop_assert!(limit == max_offset && size > max_offset),
        }
    }

    #[test]
    fn order_of_the_sources_does_not_matter(sources in vec(any_source(), 1..8), first in 0_usize..8) {
        let mut turned = sources.clone();
        turned.rotate_left(first % sources.len());
        let (one, other) = (combine(&sources, Method::Median), combine(&turned, Method::Median));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        if let (Ok(one), Ok(other)) = (one, other) {
            prop_assert_eq!(one.survivors.len(), other.survivors.len());
        }
    }

    #[test]
    fn huge_outlier_moves_the_estimate_no_farther_than_the_good_samples_reach(
        good in vec(sample(-MILLI..MILLI, 0..100 * MILLI as u64), 5),
        outlier in sample(SECOND..i64::MAX, 0..u64::MAX),
        behind: bool,
        at in 0_usize..=5,
    ) {
        let offsets: Vec<_> = good.iter().map(|sample| sample.offset).collect();
        let mut samples = good;
        let offset = if behind { outlier.offset } else { -outlier.offset };
        samples.insert(at, Sample { offset, ..outlier });
        let filtered = filter(&samples);
        prop_assert!(!filtered.is_accepted(at));
        prop_assert!(hull(&offsets).contains(filtered.estimate.unwrap().offset));
    }

    #[test]
    fn bound_contains_the_truth_however_asymmetric_the_path(
        truth in -SECOND..SECOND,
        paths in vec((0_i64..SECOND, 0_i64..SECOND), 1..10),
    ) {
        let samples: Vec<_> = paths.iter().map(|&(out, back)| seen(truth, out, back)).collect();
        let estimate = filter(&samples).estimate.unwrap();
        prop_assert!(estimate.consistent);
        let reach = Interval::around(estimate.offset, estimate.bound);
        prop_assert!(reach.contains(Offset::from_nanos(truth)), "{estimate:?}");
    }

    #[test]
    fn right_servers_are_never_falsetickers_and_their_bound_contains_the_truth(
        truth in -SECOND..SECOND,
        servers in vec((-ALLOWANCE..=ALLOWANCE, vec((0_i64..SECOND, 0_i64..SECOND), 1..6)), 1..6),
    ) {
        let sources: Vec<_> = servers
            .iter()
            .map(|(error, paths)| {
                let samples: Vec<_> = paths.iter().map(|&(out, back)| seen(truth + error, out, back)).collect();
                filter(&samples).estimate.unwrap()
            })
            .collect();
        let combined = combine(&sources, Method::Median).unwrap();
        prop_assert!(combined.falsetickers.is_empty());
        let reach = Interval::around(combined.offset, combined.bound + SERVER_ERROR_ALLOWANCE);
        prop_assert!(reach.contains(Offset::from_nanos(truth)), "{combined:?}");
    }

    #[test]
    fn minority_of_liars_cannot_move_the_result_out_of_the_honest_intervals(
        truth in -10 * MILLI..10 * MILLI,
        honest in vec((-50 * MILLI..50 * MILLI, 0..50 * MILLI as u64), 1..6),
        liars in vec(prop_oneof![any_source(), cunning_source()], 0..6),
        at in 0_usize..6,
    ) {
        // An honest source is off by no more than its own bound.
        let honest: Vec<_> = honest
            .iter()
            .map(|&(error, slack)| source(truth + error, error.unsigned_abs() + slack))
            .collect();
        let liars = &liars[..liars.len().min(honest.len() - 1)];
        let mut sources = honest.clone();
        let at = at.min(sources.len());
        sources.splice(at..at, liars.iter().copied());

        let combined = combine(&sources, Method::Median).unwrap();
        let reaches = honest
            .iter()
            .map(|source| Interval::around(source.offset, source.bound + SERVER_ERROR_ALLOWANCE));
        prop_assert!(reaches.into_iter().any(|reach| reach.contains(combined.offset)), "{combined:?}");
    }

    #[test]
    fn truth_lies_inside_the_bound_whatever_a_minority_of_liars_does(
        truth in -SECOND..SECOND,
        honest in vec((-50 * MILLI..50 * MILLI, 0..50 * MILLI as u64, 0..ALLOWANCE as u64, any::<bool>()), 1..6),
        liars in vec(any_candidate(), 0..6),
        strangers in vec(any_candidate(), 0..6),
        at in 0_usize..6,
        weighted: bool,
    ) {
        let honest: Vec<Candidate> = honest
            .iter()
            .map(|&(error, slack, own_error, tells)| {
                let own = source(truth + error, error.unsigned_abs() + slack);
                let server_error = tells.then(|| Duration::from_nanos(own_error));
                candidate(SourceEstimate { server_error, ..own })
            })
            .collect();
        let liars = &liars[..liars.len().min(honest.len() - 1)];
        let mut all = honest.clone();
        let at = at.min(all.len());
        all.splice(at..at, liars.iter().cloned());
        let strangers = strangers.into_iter().map(|stranger| Candidate { authenticated: false, ..stranger });
        all.extend(strangers);
        let method = if weighted { Method::Weighted } else { Method::Median };
        let rules = Rules { method, ..Rules::default() };

        let selection = select(&all, &rules);
        prop_assert!(selection.authenticated);
        let combined = selection.combined.unwrap();
        let reach = Interval::around(combined.offset, combined.bound);
        prop_assert!(reach.contains(Offset::from_nanos(truth)), "{combined:?}");
        let allowed = honest.iter().map(|honest| {
            let own_error = honest.estimate.server_error.unwrap_or(SERVER_ERROR_ALLOWANCE);
            Interval::around(honest.estimate.offset, honest.estimate.bound + own_error)
        });
        prop_assert!(allowed.into_iter().any(|reach| reach.contains(combined.offset)), "{combined:?}");
    }

    #[test]
    fn any_candidates_get_a_verdict_each_and_only_the_used_are_combined(
        all in vec(any_candidate(), 0..10),
        min_sources in 0_usize..4,
        allow_unauthenticated: bool,
        weighted: bool,
    ) {
        let method = if weighted { Method::Weighted } else { Method::Median };
        let rules = Rules { min_sources, allow_unauthenticated, trusted_only: false, method, limits: Limits::default() };
        let selection = select(&all, &rules);
        prop_assert_eq!(selection.verdicts.len(), all.len());
        let used: Vec<_> = (0..all.len()).filter(|&index| selection.verdicts[index].is_combined()).collect();
        prop_assert_eq!(selection.combined.is_ok(), !used.is_empty());
        if selection.authenticated {
            let decided = used.iter().filter(|&&index| selection.verdicts[index] == Verdict::Used);
            prop_assert!(decided.into_iter().all(|&index| all[index].authenticated));
        }
        prop_assert!(used.windows(2).all(|pair| all[pair[0]].smear == all[pair[1]].smear));
        let Ok(combined) = selection.combined else { return Ok(()) };
        prop_assert!(selection.authenticated || allow_unauthenticated);
        let named = |index: &usize| selection.verdicts[*index].name();
        prop_assert!(combined.survivors.iter().map(named).all(|name| name != "falseticker"));
    }
}

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;
const ALLOWANCE: i64 = SERVER_ERROR_ALLOWANCE.as_nanos() as i64;

/// What an exchange measures when the request takes `out` and the response `back` nanoseconds.
fn seen(truth: i64, out: i64, back: i64) -> Sample {
    Sample {
        offset: Offset::from_nanos((2 * truth + out - back).div_euclid(2)),
        delay: Duration::from_nanos((out + back).unsigned_abs()),
    }
}

fn source(offset: i64, bound: u64) -> SourceEstimate {
    SourceEstimate {
        offset: Offset::from_nanos(offset),
        delay: Duration::from_nanos(bound),
        stddev: Duration::ZERO,
        bound: Duration::from_nanos(bound),
        samples: 1,
        consistent: true,
        server_error: None,
    }
}

fn candidate(estimate: SourceEstimate) -> Candidate {
    Candidate {
        estimate,
        authenticated: true,
        synchronised: true,
        age: Duration::ZERO,
        smear: None,
        mark: Mark::default(),
    }
}

/// What a liar may say, and what the user may have said of it.
fn any_candidate() -> impl Strategy<Value = Candidate> {
    (
        prop_oneof![any_source(), cunning_source()],
        prop_oneof![Just(None), any_duration().prop_map(Some)],
        any::<[bool; 3]>(),
        prop_oneof![Just(None), Just(Some("a".to_string()))],
        prop_oneof![Just(Duration::ZERO), any_duration()],
    )
        .prop_map(
            |(estimate, server_error, [authenticated, synchronised, prefer], smear, age)| {
                let estimate = SourceEstimate {
                    server_error,
                    ..estimate
                };
                Candidate {
                    authenticated,
                    synchronised,
                    age,
                    smear,
                    mark: Mark {
                        prefer,
                        trust: false,
                    },
                    ..candidate(estimate)
                }
            },
        )
}

fn hull(offsets: &[Offset]) -> Interval {
    Interval {
        low: *offsets.iter().min().unwrap(),
        high: *offsets.iter().max().unwrap(),
    }
}

fn sample(
    offset: impl Strategy<Value = i64>,
    delay: impl Strategy<Value = u64>,
) -> impl Strategy<Value = Sample> {
    (offset, delay).prop_map(|(offset, delay)| Sample {
        offset: Offset::from_nanos(offset),
        delay: Duration::from_nanos(delay),
    })
}

/// Ordinary values, any values, and the extremes, in like measure.
fn any_nanos() -> impl Strategy<Value = i64> {
    prop_oneof![
        -MILLI..MILLI,
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0)
    ]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..MILLI as u64).prop_map(Duration::from_nanos),
        any::<Duration>(),
        Just(Duration::ZERO),
        Just(Duration::MAX),
    ]
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (any_nanos(), any_duration()).prop_map(|(offset, delay)| Sample {
        offset: Offset::from_nanos(offset),
        delay,
    })
}

fn any_source() -> impl Strategy<Value = SourceEstimate> {
    (
        any_nanos(),
        [any_duration(), any_duration(), any_duration()],
        prop_oneof![0_usize..10, Just(usize::MAX)],
        any::<bool>(),
    )
        .prop_map(
            |(offset, [delay, stddev, bound], samples, consistent)| SourceEstimate {
                offset: Offset::from_nanos(offset),
                delay,
                stddev,
                bound,
                samples,
                consistent,
                server_error: None,
            },
        )
}

/// A huge interval with one end where the honest ones end: it can take some of them along and have
/// its own offset far away.
fn cunning_source() -> impl Strategy<Value = SourceEstimate> {
    (
        -150 * MILLI..150 * MILLI,
        SECOND..1_000 * SECOND,
        any::<bool>(),
    )
        .prop_map(|(end, bound, upward)| {
            let reach = bound + ALLOWANCE;
            let offset = if upward { end + reach } else { end - reach };
            source(offset, bound.unsigned_abs())
        })
}
