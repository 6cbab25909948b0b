//! How often sources are asked: as seldom as the error wanted allows.

use super::blend::Blend;
use super::settings::PollRange;

/// 2^17 s: a day and a half.
const LONGEST: u8 = 17;
/// So many waits are as good as the error wanted: on a path with long waits short polls would cost many requests and gain little.
const WAITS: f64 = 0.45;

/// An interval of 2^`exponent` s; of a day and a half at most.
pub(crate) fn interval(exponent: u8) -> f64 {
    f64::from(1_u32 << exponent.min(LONGEST))
}

/// The longest interval within `range`, one step longer than `now` at most, after which the deviation is expected to be below
/// `target`, or below a part of the sources' shortest usual `wait`, in s; the shortest if there is none.
pub(crate) fn choose(now: u8, range: PollRange, blend: &Blend, target: f64, wait: f64) -> u8 {
    let target = target.max(WAITS * wait);
    let most = now.saturating_add(1).min(range.max);
    let good = |&exponent: &u8| blend.variance_after(interval(exponent)) <= target * target;
    (range.min..=most).rev().find(good).unwrap_or(range.min)
}
