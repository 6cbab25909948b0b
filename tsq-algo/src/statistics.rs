//! `statrs` works on `f64`, which holds nanoseconds exactly up to 104 days only. So values are
//! handed to it relative to the least of them, and results are kept within the values' range.

use std::time::Duration;

use statrs::statistics::{Data, OrderStatistics, Statistics};
use tsq_proto::Offset;

use crate::interval::{distance, saturated};

/// The median; with an even count the mean of the middle two. Zero for no values.
///
/// Never outside the values' range.
pub(crate) fn median(values: &[Offset]) -> Offset {
    let (Some(&least), Some(&greatest)) = (values.iter().min(), values.iter().max()) else {
        return Offset::ZERO;
    };
    let above_least = Data::new(nanos_above(least, values)).median();
    let rounded = i128::from(least.as_nanos()) + above_least.round() as i128;
    saturated(rounded).clamp(least, greatest)
}

/// The mean with these weights, one for each value. Zero for no values.
///
/// Never outside the values' range.
pub(crate) fn weighted_mean(values: &[Offset], weights: &[f64]) -> Offset {
    let (Some(&least), Some(&greatest)) = (values.iter().min(), values.iter().max()) else {
        return Offset::ZERO;
    };
    let above = nanos_above(least, values);
    let sum: f64 = above.iter().zip(weights).map(|(a, w)| a * w).sum();
    let mean = sum / weights.iter().sum::<f64>();
    let rounded = i128::from(least.as_nanos()) + mean.round() as i128;
    saturated(rounded).clamp(least, greatest)
}

/// The sample standard deviation (n - 1); zero for fewer than two values.
pub(crate) fn standard_deviation(values: &[Offset]) -> Duration {
    let Some(&least) = values.iter().min() else {
        return Duration::ZERO;
    };
    if values.len() < 2 {
        return Duration::ZERO;
    }
    from_nanos(nanos_above(least, values).std_dev())
}

/// Nanoseconds as `f64`: exact up to 104 days, rounded beyond.
pub(crate) fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// The duration of this many nanoseconds, rounded; not below zero, at most `u64::MAX`.
pub(crate) fn from_nanos(nanos: f64) -> Duration {
    Duration::from_nanos(nanos.round() as u64)
}

fn nanos_above(least: Offset, values: &[Offset]) -> Vec<f64> {
    values
        .iter()
        .map(|&value| nanos(distance(value, least)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(nanos: &[i64]) -> Vec<Offset> {
        nanos.iter().copied().map(Offset::from_nanos).collect()
    }

    #[test]
    fn median_of_an_even_count_is_the_mean_of_the_middle() {
        assert_eq!(median(&offsets(&[40, -10, 20, 10])), Offset::from_nanos(15));
        assert_eq!(median(&offsets(&[7])), Offset::from_nanos(7));
        assert_eq!(median(&[]), Offset::ZERO);
    }

    #[test]
    fn weighted_mean_leans_to_the_heavier_and_stays_in_range() {
        assert_eq!(
            weighted_mean(&offsets(&[0, 100]), &[3.0, 1.0]),
            Offset::from_nanos(25)
        );
        assert_eq!(weighted_mean(&[], &[]), Offset::ZERO);
        let extremes = offsets(&[i64::MIN, i64::MAX]);
        let mean = weighted_mean(&extremes, &[1e-300, 1.0]);
        assert_eq!(mean, Offset::from_nanos(i64::MAX));
        // Not a number is not an offset either: the least value is as good as any.
        assert_eq!(
            weighted_mean(&offsets(&[5, 7]), &[0.0, 0.0]),
            Offset::from_nanos(5)
        );
    }

    #[test]
    fn median_of_large_offsets_is_exact_to_the_nanosecond() {
        // Fifty years off: f64 alone would round to 256 ns here.
        let year: i64 = 31_557_600_000_000_000;
        let near = offsets(&[50 * year + 1, 50 * year + 3, 50 * year + 8]);
        assert_eq!(median(&near), Offset::from_nanos(50 * year + 3));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let extremes = offsets(&[i64::MIN, i64::MAX]);
        let middle = median(&extremes).as_nanos();
        assert!((-1_024..=1_024).contains(&middle), "{middle}");
        assert!(standard_deviation(&extremes) > Duration::from_secs(1 << 33));
    }

    #[test]
    fn median_stays_among_values_that_f64_rounds_upward() {
        let high = i64::MAX - 100;
        let spread = offsets(&[i64::MIN, high, high]);
        assert_eq!(median(&spread), Offset::from_nanos(high));
    }

    #[test]
    fn deviation_is_that_of_a_sample() {
        // Mean 5; squares 9 + 1 + 1 + 9 = 20; 20 / 3; root 2.58.
        assert_eq!(
            standard_deviation(&offsets(&[2, 4, 6, 8])),
            Duration::from_nanos(3)
        );
        assert_eq!(standard_deviation(&offsets(&[9])), Duration::ZERO);
    }
}
