use std::fmt;
use std::time::Duration;

use tsq_proto::Offset;
use tsq_proto::time::Span;

use crate::coverage::most_covered;
use crate::interval::distance;
use crate::statistics::{from_nanos, median, nanos, weighted_mean};
use crate::{Interval, SourceEstimate};

/// How far the clock of a right server may be off that has not told. A source's interval is widened
/// by it, so that two good servers a few milliseconds apart do not call each other liars. Public
/// servers are rarely worse.
pub const SERVER_ERROR_ALLOWANCE: Duration = Duration::from_millis(10);

/// What the sources that agree say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// The median (or the weighted mean) of the offsets that were combined, or the point nearest to it
    /// that most of them allow by their own bounds, and all survivors with the servers' errors allowed for.
    pub offset: Offset,
    /// The standard deviation of the accepted samples of the sources that were combined, taken together,
    /// computed from each one's count, offset and deviation; so it includes how far the sources are apart.
    pub stddev: Duration,
    /// The distance between the least and the greatest of the offsets that were combined.
    pub spread: Duration,
    /// How far the true offset can be from `offset` when at least one survivor is right, whichever
    /// it is: the largest |`offset` - its offset| + its bound, and + its server's own error if
    /// `includes_servers`.
    pub bound: Duration,
    /// Whether every survivor's server has told its own error, so that `bound` can include it.
    pub includes_servers: bool,
    /// Indices of the sources that agree and had a vote, ascending.
    pub survivors: Vec<usize>,
    /// Indices of the sources that do not, ascending.
    pub falsetickers: Vec<usize>,
}

/// No strict majority of the sources agrees, so none of them is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The largest number of sources that agree.
    pub agreeing: usize,
    /// The number of sources.
    pub of: usize,
    /// The distance between the least and the greatest offset.
    pub spread: Duration,
}

/// How the offsets of the sources that agree become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Their median.
    #[default]
    Median,
    /// Their mean, each weighted by the inverse of its variance: its samples' variance plus a third of the
    /// square of how far it can be wrong, as of an error that is anywhere within that with equal probability.
    Weighted,
}

/// Finds the sources that agree and combines them; all of them vote alike.
///
/// The truth lies in the interval of every right server: its estimate ± its bound and its own
/// error, or [`SERVER_ERROR_ALLOWANCE`] if it has not told that. The stretch covered by most intervals (Marzullo's algorithm, the
/// root of RFC 5905 section 11.2.1; the narrowest when several are covered equally) decides who
/// agrees. The result lies in that stretch, hence in the interval of every survivor; since the
/// survivors are a strict majority, a minority of liars cannot drag it out of the interval of
/// every honest source, however wide they make their own.
///
/// [`select`](crate::select) does the same for sources that differ in more than their numbers.
///
/// # Errors
/// [`Disagreement`] when the agreeing sources are not a strict majority of `sources`; also when
/// there are none.
pub fn combine(sources: &[SourceEstimate], method: Method) -> Result<Combined, Disagreement> {
    let agreement = agree(sources, sources.len())?;
    let agreeing = pick(sources, &agreement.survivors);
    let inliers = inliers(&agreeing);
    Ok(agreement.conclude(&agreeing, centre(&inliers, method), &inliers))
}

/// Who agrees, and where the truth lies if they are right.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// Indices of the sources whose intervals cover the stretch, ascending.
    pub(crate) survivors: Vec<usize>,
    falsetickers: Vec<usize>,
    stretch: Interval,
}

/// The agreement of most of `of` votes, among which `sources` have theirs.
pub(crate) fn agree(sources: &[SourceEstimate], of: usize) -> Result<Agreement, Disagreement> {
    let intervals: Vec<Interval> = sources.iter().map(correctness_interval).collect();
    let stretch = most_covered(&intervals).ok_or_else(|| disagreement(0, of, sources))?;
    let agrees = |index: &usize| intervals[*index].intersection(stretch) == Some(stretch);
    let (survivors, falsetickers): (Vec<_>, Vec<_>) = (0..sources.len()).partition(agrees);
    if survivors.len() * 2 <= of {
        return Err(disagreement(survivors.len(), of, sources));
    }
    Ok(Agreement {
        survivors,
        falsetickers,
        stretch,
    })
}

impl Agreement {
    /// Whether a source without a vote can be right together with those that agree.
    pub(crate) fn admits(&self, source: &SourceEstimate) -> bool {
        correctness_interval(source)
            .intersection(self.stretch)
            .is_some()
    }

    /// The result at the point nearest to `wanted` that the survivors allow; `agreeing` are the survivors
    /// themselves, `combined` those whose offsets went into `wanted`.
    pub(crate) fn conclude(
        self,
        agreeing: &[SourceEstimate],
        wanted: Offset,
        combined: &[SourceEstimate],
    ) -> Combined {
        let offset = self.stretch.nearest(wanted);
        let includes_servers = agreeing.iter().all(|source| source.server_error.is_some());
        Combined {
            offset,
            stddev: pooled_deviation(combined),
            spread: spread(combined),
            bound: loosest_bound(agreeing, offset, includes_servers),
            includes_servers,
            survivors: self.survivors,
            falsetickers: self.falsetickers,
        }
    }
}

/// Those to combine: left out are sources whose own interval misses what a majority shares by their own bounds. They
/// agree only thanks to what servers' own errors may explain. All, where there is no such majority.
fn inliers(sources: &[SourceEstimate]) -> Vec<SourceEstimate> {
    let shared = |source: &&SourceEstimate| outlies(source, sources).is_zero();
    sources.iter().filter(shared).copied().collect()
}

/// By how much the own interval of `source` misses what most of `sources` share by theirs; zero if it does not.
pub(crate) fn outlies(source: &SourceEstimate, sources: &[SourceEstimate]) -> Duration {
    let own = own_interval(source);
    match shared_by_most(sources) {
        Some(shared) if own.intersection(shared).is_none() => {
            distance(own.low, shared.high).min(distance(own.high, shared.low))
        }
        _ => Duration::ZERO,
    }
}

/// The median or the weighted mean, or the point nearest to it that most of `sources` allow by their own bounds:
/// a vague source must not drag it out of an exact one's interval.
pub(crate) fn centre(sources: &[SourceEstimate], method: Method) -> Offset {
    let middle = match method {
        Method::Median => median(&offsets(sources)),
        Method::Weighted => {
            let weights: Vec<f64> = sources.iter().map(|s| variance(s).recip()).collect();
            weighted_mean(&offsets(sources), &weights)
        }
    };
    within_most(sources, middle)
}

/// The point nearest to `wanted` that most of `sources` allow by their own bounds; `wanted` itself, where no
/// majority shares a point, as when the servers' clocks differ by more than the paths.
pub(crate) fn within_most(sources: &[SourceEstimate], wanted: Offset) -> Offset {
    shared_by_most(sources).map_or(wanted, |shared| shared.nearest(wanted))
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agreeing,
            of,
            spread,
        } = self;
        if *of == 0 {
            return f.write_str("no source has an estimate");
        }
        write!(
            f,
            "only {agreeing} of {of} sources agree, a majority is needed; their offsets span {}",
            Span(*spread)
        )
    }
}

impl std::error::Error for Disagreement {}

/// Where most of the sources put the truth by their own bounds.
fn shared_by_most(sources: &[SourceEstimate]) -> Option<Interval> {
    let own: Vec<Interval> = sources.iter().map(own_interval).collect();
    most_covered(&own).filter(|shared| {
        let covering = own
            .iter()
            .filter(|interval| interval.intersection(*shared).is_some());
        covering.count() * 2 > own.len()
    })
}

fn own_interval(source: &SourceEstimate) -> Interval {
    Interval::around(source.offset, source.bound)
}

fn correctness_interval(source: &SourceEstimate) -> Interval {
    Interval::around(source.offset, reach(source))
}

/// How far the truth can be from a right source's offset: its distance, in the words of RFC 5905.
pub(crate) fn reach(source: &SourceEstimate) -> Duration {
    let own_error = source.server_error.unwrap_or(SERVER_ERROR_ALLOWANCE);
    source.bound.saturating_add(own_error)
}

/// In square nanoseconds, at least 1.
fn variance(source: &SourceEstimate) -> f64 {
    (nanos(source.stddev).powi(2) + nanos(reach(source)).powi(2) / 3.0).max(1.0)
}

fn offsets(sources: &[SourceEstimate]) -> Vec<Offset> {
    sources.iter().map(|source| source.offset).collect()
}

fn loosest_bound(sources: &[SourceEstimate], offset: Offset, with_servers: bool) -> Duration {
    let own_error = |source: &SourceEstimate| {
        source
            .server_error
            .filter(|_| with_servers)
            .unwrap_or_default()
    };
    sources
        .iter()
        .map(|source| {
            distance(source.offset, offset)
                .saturating_add(source.bound)
                .saturating_add(own_error(source))
        })
        .max()
        .unwrap_or_default()
}

/// The root of the pooled variance: squares within each source plus squares between them. Each
/// source's median stands for its mean.
fn pooled_deviation(sources: &[SourceEstimate]) -> Duration {
    let total: f64 = sources.iter().map(|source| source.samples as f64).sum();
    let Some(least) = sources.iter().map(|source| source.offset).min() else {
        return Duration::ZERO;
    };
    if total < 2.0 {
        return Duration::ZERO;
    }
    let above = |source: &SourceEstimate| nanos(distance(source.offset, least));
    let weighted = sources
        .iter()
        .map(|source| source.samples as f64 * above(source));
    let mean = weighted.sum::<f64>() / total;
    let squares = sources.iter().map(|source| {
        let count = source.samples as f64;
        let within = (count - 1.0).max(0.0) * nanos(source.stddev).powi(2);
        within + count * (above(source) - mean).powi(2)
    });
    from_nanos((squares.sum::<f64>() / (total - 1.0)).sqrt())
}

fn disagreement(agreeing: usize, of: usize, sources: &[SourceEstimate]) -> Disagreement {
    Disagreement {
        agreeing,
        of,
        spread: spread(sources),
    }
}

/// The distance between the least and the greatest offset.
pub(crate) fn spread(sources: &[SourceEstimate]) -> Duration {
    let offsets = offsets(sources);
    let ends = offsets.iter().min().zip(offsets.iter().max());
    ends.map_or(Duration::ZERO, |(&least, &greatest)| {
        distance(least, greatest)
    })
}

/// Those at `indices`.
pub(crate) fn pick(sources: &[SourceEstimate], indices: &[usize]) -> Vec<SourceEstimate> {
    indices.iter().map(|&index| sources[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_includes_the_servers_errors_only_if_all_have_told() {
        let told = |error| SourceEstimate {
            server_error: Some(Duration::from_millis(error)),
            ..source(0, 5)
        };
        let combined = combine(&[told(3), told(7)]).unwrap();
        assert_eq!(
            (combined.includes_servers, combined.bound),
            (true, Duration::from_millis(12))
        );
        let combined = combine(&[told(3), source(0, 5)]).unwrap();
        assert_eq!(
            (combined.includes_servers, combined.bound),
            (false, Duration::from_millis(5))
        );
    }

    #[test]
    fn server_that_tells_a_small_error_is_held_to_it() {
        let exact = |offset| SourceEstimate {
            server_error: Some(Duration::ZERO),
            ..source(offset, 1)
        };
        assert!(combine(&[exact(0), exact(2)]).is_ok());
        assert!(combine(&[exact(0), exact(3)]).is_err());
        assert!(combine(&[source(0, 1), source(3, 1)]).is_ok());
    }

    #[test]
    fn vague_source_does_not_drag_an_exact_one() {
        // Seen: -13 us ± 73 us and +1.519 ms ± 1.8 ms came out at their mean, +753 us.
        let mut exact = source(0, 0);
        exact.bound = Duration::from_micros(73);
        let mut vague = source(0, 0);
        (vague.offset, vague.bound) = (Offset::from_nanos(1_519_000), Duration::from_micros(1_800));
        let combined = combine(&[exact, vague]).unwrap();
        assert_eq!(combined.offset, Offset::from_nanos(73_000));
        assert_eq!(combined.survivors, [0, 1]);
    }

    #[test]
    fn servers_that_differ_by_more_than_their_paths_meet_in_the_middle() {
        let combined = combine(&[source(0, 1), source(8, 1)]).unwrap();
        assert_eq!(combined.offset, millis(4));
    }

    fn combine(sources: &[SourceEstimate]) -> Result<Combined, Disagreement> {
        super::combine(sources, Method::Median)
    }

    /// Offset and bound in milliseconds.
    fn source(offset: i64, bound: u64) -> SourceEstimate {
        SourceEstimate {
            offset: millis(offset),
            delay: Duration::from_millis(2 * bound),
            stddev: Duration::ZERO,
            bound: Duration::from_millis(bound),
            samples: 1,
            consistent: true,
            server_error: None,
        }
    }

    fn millis(offset: i64) -> Offset {
        Offset::from_nanos(offset * 1_000_000)
    }

    #[test]
    fn nothing_to_combine_is_a_disagreement() {
        let nobody = combine(&[]).unwrap_err();
        assert_eq!(
            (nobody.agreeing, nobody.of, nobody.spread),
            (0, 0, Duration::ZERO)
        );
    }

    #[test]
    fn one_source_speaks_for_itself() {
        let only = SourceEstimate {
            stddev: Duration::from_millis(3),
            samples: 5,
            ..source(1_444, 2)
        };
        let combined = combine(&[only]).unwrap();
        assert_eq!(combined.offset, millis(1_444));
        assert_eq!(combined.bound, Duration::from_millis(2));
        // Four degrees of freedom, all within the source.
        assert_eq!(combined.stddev, Duration::from_millis(3));
        assert_eq!(
            (combined.survivors, combined.falsetickers),
            (vec![0], vec![])
        );
    }

    #[test]
    fn two_sources_agree_up_to_touching_and_not_a_hair_beyond() {
        // Each reaches 1 + 10 ms, so 22 ms apart they touch.
        let combined = combine(&[source(0, 1), source(22, 1)]).unwrap();
        assert_eq!(combined.offset, millis(11));
        assert_eq!(combined.bound, Duration::from_millis(12));

        let mut apart = source(22, 1);
        apart.offset = apart.offset + Offset::from_nanos(1);
        let expected = Disagreement {
            agreeing: 1,
            of: 2,
            spread: Duration::from_nanos(22_000_001),
        };
        assert_eq!(combine(&[source(0, 1), apart]), Err(expected));
    }

    #[test]
    fn falseticker_is_named_and_has_no_influence() {
        let combined = combine(&[source(10, 1), source(5_000, 1), source(12, 1)]).unwrap();
        assert_eq!(combined.survivors, [0, 2]);
        assert_eq!(combined.falsetickers, [1]);
        assert_eq!(combined.offset, millis(11));
    }

    #[test]
    fn majority_must_be_strict() {
        let (a, b) = (source(0, 1), source(1_000, 1));
        let tie = combine(&[a, a, b, b]).unwrap_err();
        assert_eq!((tie.agreeing, tie.of), (2, 4));
        assert_eq!(combine(&[a, a, a, b]).unwrap().survivors, [0, 1, 2]);
        assert_eq!(combine(&[a, a, a, b, b]).unwrap().falsetickers, [3, 4]);
    }

    #[test]
    fn liar_with_a_huge_bound_cannot_pull_the_result_out_of_an_honest_interval() {
        // The liar reaches down to 42 ms, where it meets only the second source, which reaches up
        // to 43 ms: the narrowest stretch two of three agree on, though the first source is right.
        let liar = source(1_000_052, 1_000_000);
        let combined = combine(&[source(0, 1), source(21, 12), liar]).unwrap();
        assert_eq!(combined.survivors, [1, 2]);
        assert_eq!(combined.offset, millis(43));
    }

    #[test]
    fn equally_covered_stretches_are_decided_by_the_narrowest() {
        // The wide source overlaps both others, which exclude each other: 1 ms against 2 ms.
        let wide = source(0, 90);
        let sources = [wide, source(-109, 1), source(108, 1)];
        assert_eq!(combine(&sources).unwrap().falsetickers, [2]);
        let mirrored = [wide, source(-108, 1), source(109, 1)];
        assert_eq!(combine(&mirrored).unwrap().falsetickers, [1]);
    }

    #[test]
    fn distance_between_sources_is_part_of_the_deviation() {
        let combined = combine(&[source(0, 1), source(10, 1)]).unwrap();
        // Squares 25 + 25 about the mean, one degree of freedom: root of 50 ms².
        assert_eq!(combined.stddev.as_micros(), 7_071);
    }

    #[test]
    fn source_that_agrees_only_by_the_allowance_is_left_out() {
        let sources = [source(0, 1), source(1, 1), source(6, 1)];
        let combined = combine(&sources).unwrap();
        assert_eq!(combined.survivors, [0, 1, 2]);
        assert_eq!(combined.offset, Offset::from_nanos(500_000));
        assert_eq!(combined.spread, Duration::from_millis(1));
        // It may be the one that is right, so the bound counts it.
        assert_eq!(combined.bound, Duration::from_micros(6_500));
        assert_eq!(inliers(&sources), sources[..2]);
        assert_eq!(outlies(&sources[2], &sources), Duration::from_millis(4));
    }

    #[test]
    fn weighted_mean_leans_to_the_source_that_knows_better() {
        let told = |offset, bound| SourceEstimate {
            server_error: Some(Duration::ZERO),
            ..source(offset, bound)
        };
        let sources = [told(0, 10), told(3, 20)];
        let combined = super::combine(&sources, Method::Weighted).unwrap();
        assert_eq!(combined.offset, Offset::from_nanos(600_000));
        assert_eq!(combined.bound, Duration::from_micros(22_400));
        assert_eq!(
            combine(&sources).unwrap().offset,
            Offset::from_nanos(1_500_000)
        );
    }

    #[test]
    fn disagreement_is_told_with_its_numbers() {
        let apart = combine(&[source(0, 1), source(1_000, 1)]).unwrap_err();
        assert_eq!(
            apart.to_string(),
            "only 1 of 2 sources agree, a majority is needed; their offsets span 1.0 s"
        );
    }
}
