use std::fmt;
use std::time::Duration;

use tsq_proto::Offset;
use tsq_proto::time::Span;

use crate::coverage::most_covered;
use crate::interval::distance;
use crate::statistics::{median, standard_deviation};
use crate::{Interval, Sample};

/// What became of one source's samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// For each sample, in the order given, why it was rejected; `None`: it was accepted.
    pub rejected: Vec<Option<RejectReason>>,
    /// What the accepted samples say; `None` only when there were no samples.
    pub estimate: Option<SourceEstimate>,
}

/// Why a sample was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// No true offset can explain both this sample and most of the others.
    Outlier {
        /// How far its interval lies from what the others allow.
        by: Duration,
    },
    /// It waited somewhere, so its offset says more about the queue than about the clock.
    Delayed {
        /// The sample's delay.
        delay: Duration,
        /// The least delay of the source.
        least: Duration,
    },
}

/// What one source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceEstimate {
    /// The median of the offsets of the quickest accepted samples.
    pub offset: Offset,
    /// The least delay of the accepted samples.
    pub delay: Duration,
    /// The sample standard deviation of the accepted offsets; zero for a single one.
    pub stddev: Duration,
    /// How far the true offset to this server's clock can be from `offset`, if `consistent`.
    pub bound: Duration,
    /// How many samples were accepted; at least one.
    pub samples: usize,
    /// Whether one true offset can explain all accepted samples. If not, the server's clock or
    /// ours was changed while they were taken, and `bound` only covers what each sample allows.
    pub consistent: bool,
    /// The most by which the server's own clock is wrong, by its own word; `None` if it has not
    /// said. Not known to [`filter`]: the caller fills it in.
    pub server_error: Option<Duration>,
}

/// Rejects a source's bad samples and estimates its offset from the others.
///
/// 1. *Outliers*: the truth lies in every right sample's interval, offset ± half its delay. A sample
///    whose interval misses the stretch that a majority of the samples share is wrong, not noisy.
///    Without such a majority nothing is rejected and the estimate is not `consistent`.
/// 2. *Least delay preferred*: what delay a sample has beyond the least one was spent in queues,
///    often in one direction, and then half of it is offset error. A sample is rejected when its
///    delay is beyond one and a half times the least plus 50 us. The factor spares paths whose
///    jitter is ordinary; the microseconds spare local networks, where a task switch multiplies
///    the delay and costs little.
/// 3. *Median of the quickest*: of the accepted ones the offset follows those whose delay is within a
///    twentieth plus 50 us of the least. The others are no faults, but what they waited is on one
///    side as likely as not; they count for the standard deviation, and their intervals for the bound.
///
/// No sample is rejected for its distance from the median: where most packets of a busy path
/// queue, the median is the queue, and the best samples are the ones far from it.
pub fn filter(samples: &[Sample]) -> Filtered {
    let mut rejected = vec![None; samples.len()];
    let common = reject_outliers(samples, &mut rejected);
    reject_delayed(samples, &mut rejected);
    Filtered {
        estimate: estimate(&accepted(samples, &rejected), common),
        rejected,
    }
}

impl Filtered {
    /// Whether the sample at `index` of those given was accepted.
    pub fn is_accepted(&self, index: usize) -> bool {
        self.rejected.get(index).is_some_and(Option::is_none)
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outlier { by } => write!(f, "outlier: {} from what the others allow", Span(*by)),
            Self::Delayed { delay, least } => {
                write!(f, "delayed: {}, least delay {}", Span(*delay), Span(*least))
            }
        }
    }
}

/// A delay may be this many halves of the least delay ...
const DELAY_HALVES: u32 = 3;

/// ... and this much.
const DELAY_SLACK: Duration = Duration::from_micros(50);

/// A quick sample has at most this part of the least delay, and the slack, beyond it.
const QUICK_PART: u32 = 20;

/// Returns what a majority of the samples share, which the others miss.
fn reject_outliers(samples: &[Sample], rejected: &mut [Option<RejectReason>]) -> Option<Interval> {
    let intervals: Vec<Interval> = samples.iter().map(Sample::interval).collect();
    let shared = most_covered(&intervals)?;
    let agreeing = intervals
        .iter()
        .filter(|interval| interval.intersection(shared).is_some());
    if agreeing.count() * 2 <= samples.len() {
        return None;
    }
    for (interval, verdict) in intervals.iter().zip(rejected) {
        if interval.intersection(shared).is_none() {
            let by = distance(interval.low, shared.high).min(distance(interval.high, shared.low));
            *verdict = Some(RejectReason::Outlier { by });
        }
    }
    Some(shared)
}

fn reject_delayed(samples: &[Sample], rejected: &mut [Option<RejectReason>]) {
    let Some(least) = accepted(samples, rejected)
        .iter()
        .map(|sample| sample.delay)
        .min()
    else {
        return;
    };
    let limit = (least / 2)
        .saturating_mul(DELAY_HALVES)
        .saturating_add(DELAY_SLACK);
    for (sample, verdict) in samples.iter().zip(rejected) {
        let delay = sample.delay;
        if verdict.is_none() && delay > limit {
            *verdict = Some(RejectReason::Delayed { delay, least });
        }
    }
}

fn accepted(samples: &[Sample], rejected: &[Option<RejectReason>]) -> Vec<Sample> {
    samples
        .iter()
        .zip(rejected)
        .filter(|(_, verdict)| verdict.is_none())
        .map(|(sample, _)| *sample)
        .collect()
}

/// `common` is where the truth lies according to all samples but the outliers.
fn estimate(accepted: &[Sample], common: Option<Interval>) -> Option<SourceEstimate> {
    let delay = accepted.iter().map(|sample| sample.delay).min()?;
    let offsets: Vec<Offset> = accepted.iter().map(|sample| sample.offset).collect();
    let offset = median(&quick_offsets(accepted, delay));
    Some(SourceEstimate {
        offset,
        delay,
        stddev: standard_deviation(&offsets),
        bound: common.map_or_else(
            || loosest_bound(accepted, offset),
            |common| common.farthest(offset),
        ),
        samples: accepted.len(),
        consistent: common.is_some(),
        server_error: None,
    })
}

fn quick_offsets(samples: &[Sample], least: Duration) -> Vec<Offset> {
    let limit = least
        .saturating_add(least / QUICK_PART)
        .saturating_add(DELAY_SLACK);
    let quick = samples.iter().filter(|sample| sample.delay <= limit);
    quick.map(|sample| sample.offset).collect()
}

/// Covers the truth if any one of the samples, whichever, is right.
fn loosest_bound(samples: &[Sample], offset: Offset) -> Duration {
    samples
        .iter()
        .map(|sample| distance(sample.offset, offset).saturating_add(sample.half_delay()))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offset and delay in microseconds.
    fn samples(list: &[(i64, u64)]) -> Vec<Sample> {
        list.iter()
            .map(|&(offset, delay)| Sample {
                offset: Offset::from_nanos(offset * 1_000),
                delay: Duration::from_micros(delay),
            })
            .collect()
    }

    fn micros(offset: i64) -> Offset {
        Offset::from_nanos(offset * 1_000)
    }

    #[test]
    fn no_samples_give_no_estimate() {
        let filtered = filter(&[]);
        assert_eq!((filtered.rejected.len(), filtered.estimate), (0, None));
        assert!(!filtered.is_accepted(0));
    }

    #[test]
    fn single_sample_is_its_own_estimate() {
        let estimate = filter(&samples(&[(300, 100)])).estimate.unwrap();
        let expected = SourceEstimate {
            offset: micros(300),
            delay: Duration::from_micros(100),
            stddev: Duration::ZERO,
            bound: Duration::from_micros(50),
            samples: 1,
            consistent: true,
            server_error: None,
        };
        assert_eq!(estimate, expected);
    }

    #[test]
    fn estimate_is_the_median_and_its_bound_what_all_samples_allow() {
        let estimate = filter(&samples(&[(0, 100), (10, 100), (20, 100)]))
            .estimate
            .unwrap();
        assert_eq!(estimate.offset, micros(10));
        assert_eq!(estimate.stddev, Duration::from_micros(10));
        // Common to [-50, 50], [-40, 60] and [-30, 70]: [-30, 50], at most 40 from the median.
        assert_eq!(estimate.bound, Duration::from_micros(40));
        assert!(estimate.consistent);
    }

    fn verdicts(list: &[(i64, u64)]) -> Vec<bool> {
        let filtered = filter(&samples(list));
        (0..list.len())
            .map(|index| filtered.is_accepted(index))
            .collect()
    }

    #[test]
    fn sample_that_no_truth_can_explain_is_rejected_with_its_distance() {
        let filtered = filter(&samples(&[
            (0, 100),
            (4, 100),
            (2, 100),
            (900, 100),
            (1, 100),
        ]));
        // The others share [-46, 50]; this one begins at 850.
        let by = Duration::from_micros(800);
        assert_eq!(filtered.rejected[3], Some(RejectReason::Outlier { by }));
        assert_eq!(filtered.estimate.unwrap().samples, 4);
    }

    #[test]
    fn intervals_that_touch_agree_and_that_miss_by_a_hair_do_not() {
        assert_eq!(
            verdicts(&[(0, 100), (0, 100), (100, 100)]),
            [true, true, true]
        );
        assert_eq!(
            verdicts(&[(0, 100), (0, 100), (101, 100)]),
            [true, true, false]
        );
    }

    #[test]
    fn few_quick_samples_win_over_many_queued_ones() {
        // Seen on a busy machine whose true offset was zero.
        let list = [
            (1_250, 2_610),
            (1_570, 3_260),
            (3_540, 7_180),
            (3_670, 7_400),
            (3_730, 7_540),
        ];
        assert_eq!(verdicts(&list), [true, true, false, false, false]);
        let estimate = filter(&samples(&list)).estimate.unwrap();
        assert_eq!(estimate.offset, micros(1_250));
        assert!(
            estimate.bound >= Duration::from_micros(1_250),
            "{estimate:?}"
        );
    }

    #[test]
    fn one_quick_sample_outweighs_many_that_waited_a_little() {
        // Seen on a path that reorders, whose true offset was zero: nobody waited long enough to be rejected.
        let mut list = vec![(1_540, 23_100); 4];
        list.push((90, 20_300));
        assert_eq!(verdicts(&list), [true; 5]);
        let estimate = filter(&samples(&list)).estimate.unwrap();
        assert_eq!(estimate.offset, micros(90));
        assert_eq!(estimate.samples, 5);
        assert!(estimate.stddev > Duration::from_micros(600));
    }

    #[test]
    fn offset_follows_the_quick_samples_up_to_the_limit() {
        for (least, quick, slow) in [(100, 155, 156), (20_000, 21_050, 21_051)] {
            let offset = |delay| {
                let estimate = filter(&samples(&[(0, least), (20, delay)])).estimate;
                estimate.unwrap().offset
            };
            assert_eq!(offset(quick), micros(10), "{least}");
            assert_eq!(offset(slow), micros(0), "{least}");
        }
    }

    #[test]
    fn delayed_sample_is_rejected_beyond_the_limit_only() {
        for (least, accepted, rejected) in [(100, 200, 201), (20_000, 30_050, 30_051)] {
            let with = |delay| filter(&samples(&[(0, least), (0, delay)]));
            assert!(with(accepted).is_accepted(1), "{least}");
            let expected = RejectReason::Delayed {
                delay: Duration::from_micros(rejected),
                least: Duration::from_micros(least),
            };
            assert_eq!(with(rejected).rejected[1], Some(expected));
        }
    }

    #[test]
    fn faulty_tiny_delay_does_not_cost_the_good_samples() {
        let list = [
            (5, 20_000),
            (9, 20_000),
            (7, 20_000),
            (8, 20_000),
            (900_000, 1),
        ];
        assert_eq!(verdicts(&list), [true, true, true, true, false]);
    }

    #[test]
    fn delayed_samples_still_narrow_the_bound() {
        // [-50, 50] and [-45, 75] share [-45, 50]; the delayed [-10, 990] cuts off its lower part.
        let filtered = filter(&samples(&[(0, 100), (15, 120), (490, 1_000)]));
        assert!(!filtered.is_accepted(2));
        let estimate = filtered.estimate.unwrap();
        assert_eq!(estimate.offset, Offset::from_nanos(7_500));
        assert_eq!(estimate.bound, Duration::from_nanos(42_500));
    }

    #[test]
    fn samples_that_contradict_each_other_are_flagged_and_bounded_loosely() {
        let estimate = filter(&samples(&[(0, 10), (1_000, 10)])).estimate.unwrap();
        assert!(!estimate.consistent);
        assert_eq!(estimate.offset, micros(500));
        assert_eq!(estimate.bound, Duration::from_micros(505));
    }

    #[test]
    fn reasons_carry_their_numbers() {
        let filtered = filter(&samples(&[(0, 100), (0, 100), (101, 100)]));
        let reason = filtered.rejected[2].unwrap().to_string();
        assert_eq!(reason, "outlier: 1.0 us from what the others allow");
    }
}
