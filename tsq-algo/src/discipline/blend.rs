//! The estimates of the sources that agree, made into one.

use super::estimate::Estimate;

/// A kept clock's offset and frequency, as several sources give them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blend {
    /// How far the raw clock is behind, in s, and how much the sources' clocks run faster.
    pub(crate) offset: f64,
    pub(crate) frequency: f64,
    pub(crate) offset_variance: f64,
    pub(crate) frequency_variance: f64,
    covariance: f64,
    pub(crate) wander_squared: f64,
    /// Each one's part in the offset, in the order given; they sum up to 1.
    pub(crate) weights: Vec<f64>,
}

/// Who is so many deviations from the middle of at least three is left out, however sure it is.
const OUTLYING: f64 = 6.0;
/// The median of absolute deviations times this is the standard deviation of normal numbers.
const MAD: f64 = 1.4826;

impl Blend {
    /// At this moment; None of none.
    ///
    /// By inverse variance, to which is added how much they differ among each other beyond what their variances explain, in proportion
    /// to the squares of their delays: unequal paths make sources differ by what none of them can see, and long ones by more.
    pub(crate) fn of(estimates: &[&Estimate], at: f64) -> Option<Self> {
        estimates.first()?;
        let offsets: Vec<f64> = estimates.iter().map(|e| e.offset_at(at)).collect();
        let variances: Vec<f64> = estimates.iter().map(|e| e.variance_at(at)).collect();
        let squares_of_delays: Vec<f64> = estimates
            .iter()
            .map(|e| e.delay.max(LEAST_DELAY) * e.delay.max(LEAST_DELAY))
            .collect();
        let inlying = inlying(&offsets, &variances);
        let skew = skew(&offsets, &variances, &squares_of_delays, &inlying);
        let spread: Vec<f64> = variances
            .iter()
            .zip(&squares_of_delays)
            .map(|(variance, square)| variance + skew * square)
            .collect();
        let weights = normalised(&spread, &inlying);
        let offset = dot(&weights, &offsets);
        let frequency_variances: Vec<f64> = estimates
            .iter()
            .map(|e| e.frequency_variance_at(at))
            .collect();
        let of_frequency = normalised(&frequency_variances, &inlying);
        let frequencies: Vec<f64> = estimates.iter().map(|e| e.frequency).collect();
        let covariances: Vec<f64> = estimates.iter().map(|e| e.covariance_at(at)).collect();
        let wanders: Vec<f64> = estimates.iter().map(|e| e.wander_squared).collect();
        let squares = |weights: &[f64]| weights.iter().map(|w| w * w).collect::<Vec<f64>>();
        Some(Self {
            offset,
            frequency: dot(&of_frequency, &frequencies),
            offset_variance: dot(&squares(&weights), &spread),
            frequency_variance: dot(&squares(&of_frequency), &frequency_variances),
            covariance: dot(&squares(&weights), &covariances),
            wander_squared: dot(&weights, &wanders),
            weights,
        })
    }

    /// The variance of the offset so many seconds later, if nothing is measured meanwhile.
    pub(crate) fn variance_after(&self, age: f64) -> f64 {
        let walked = self.wander_squared * age * age * age / 3.0;
        let grown = age * (2.0 * self.covariance + age * self.frequency_variance) + walked;
        (self.offset_variance + grown).max(0.0)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Weights by inverse variance that sum up to 1.
fn normalised(variances: &[f64], inlying: &[bool]) -> Vec<f64> {
    let weights = inverse(variances, inlying);
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// Inverse variances; none of who is left out.
fn inverse(variances: &[f64], inlying: &[bool]) -> Vec<f64> {
    let weight = |(variance, &inlies): (&f64, &bool)| match inlies {
        true => variance.max(f64::MIN_POSITIVE).recip(),
        false => 0.0,
    };
    variances.iter().zip(inlying).map(weight).collect()
}

/// Who is near the middle; always a majority.
fn inlying(offsets: &[f64], variances: &[f64]) -> Vec<bool> {
    if offsets.len() < 3 {
        return vec![true; offsets.len()];
    }
    let middle = median(offsets.to_vec());
    let apart: Vec<f64> = offsets
        .iter()
        .map(|offset| (offset - middle).abs())
        .collect();
    let usual = MAD * median(apart.clone());
    // The middle is no better known than a source in it.
    let of_middle = median(variances.to_vec());
    let inlies = |(apart, variance): (&f64, &f64)| {
        *apart <= OUTLYING * (variance + of_middle + usual * usual).sqrt()
    };
    apart.iter().zip(variances).map(inlies).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// The sum of squares of n numbers has mean n and variance 2 n: so many deviations beyond it are no chance.
const SIGNIFICANT: f64 = 3.0;
/// No path is shorter, one way, in s.
const LEAST_DELAY: f64 = 1e-6;

/// How far the sources' offsets are apart beyond what their own variances explain: the mean square of a path's lasting asymmetry, as a part
/// of its delay (the moment estimate of DerSimonian and Laird, with a variance between sources that grows with the delay).
fn skew(offsets: &[f64], variances: &[f64], squares_of_delays: &[f64], inlying: &[bool]) -> f64 {
    let weights = inverse(variances, inlying);
    let sum: f64 = weights.iter().sum();
    let mean = dot(&weights, offsets) / sum;
    let differences: Vec<f64> = offsets.iter().map(|o| (o - mean) * (o - mean)).collect();
    let freedom = inlying.iter().filter(|&&inlies| inlies).count() as f64 - 1.0;
    let left: Vec<f64> = weights.iter().map(|w| w * (1.0 - w / sum)).collect();
    let scale = dot(&left, squares_of_delays);
    if scale <= 0.0 {
        return 0.0;
    }
    let expected = freedom + SIGNIFICANT * (2.0 * freedom).sqrt();
    ((dot(&weights, &differences) - expected) / scale).max(0.0)
}
