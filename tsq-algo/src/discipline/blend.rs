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
    wander_squared: f64,
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
    /// By inverse variance, to which is added how much they differ among each other beyond what their variances explain (DerSimonian and
    /// Laird's moment estimate): unequal paths make sources differ by what none of them can see.
    pub(crate) fn of(estimates: &[&Estimate], at: f64) -> Option<Self> {
        estimates.first()?;
        let offsets: Vec<f64> = estimates.iter().map(|e| e.offset_at(at)).collect();
        let variances: Vec<f64> = estimates.iter().map(|e| e.variance_at(at)).collect();
        let inlying = inlying(&offsets, &variances);
        let between = between(&offsets, &variances, &inlying);
        let weights = normalised(&variances, &inlying, |variance| variance + between);
        let offset = dot(&weights, &offsets);
        let frequency_variances: Vec<f64> = estimates
            .iter()
            .map(|e| e.frequency_variance_at(at))
            .collect();
        let of_frequency = normalised(&frequency_variances, &inlying, |variance| variance);
        let frequencies: Vec<f64> = estimates.iter().map(|e| e.frequency).collect();
        let covariances: Vec<f64> = estimates.iter().map(|e| e.covariance_at(at)).collect();
        let wanders: Vec<f64> = estimates.iter().map(|e| e.wander_squared).collect();
        let spread: Vec<f64> = variances
            .iter()
            .map(|variance| variance + between)
            .collect();
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

fn normalised(variances: &[f64], inlying: &[bool], with: impl Fn(f64) -> f64) -> Vec<f64> {
    let weight = |(variance, &inlies): (&f64, &bool)| match inlies {
        true => with(*variance).max(f64::MIN_POSITIVE).recip(),
        false => 0.0,
    };
    let weights: Vec<f64> = variances.iter().zip(inlying).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
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
    let inlies =
        |(apart, variance): (&f64, &f64)| *apart <= OUTLYING * (variance + usual * usual).sqrt();
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

/// The variance between sources that their own variances do not explain.
fn between(offsets: &[f64], variances: &[f64], inlying: &[bool]) -> f64 {
    let weight = |(variance, &inlies): (&f64, &bool)| match inlies {
        true => variance.max(f64::MIN_POSITIVE).recip(),
        false => 0.0,
    };
    let weights: Vec<f64> = variances.iter().zip(inlying).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    let mean = dot(&weights, offsets) / sum;
    let differences: Vec<f64> = offsets.iter().map(|o| (o - mean) * (o - mean)).collect();
    let freedom = inlying.iter().filter(|&&inlies| inlies).count() as f64 - 1.0;
    let scale = sum - squares / sum;
    if scale <= 0.0 {
        return 0.0;
    }
    ((dot(&weights, &differences) - freedom) / scale).max(0.0)
}
