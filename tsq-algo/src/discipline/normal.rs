//! The normal distribution cut off on one side: what a wait that is never negative makes of a Gaussian.
//!
//! The textbook form, density over upper tail, is 0 / 0 from 38 standard deviations on, and the differences taken of it
//! lose all digits long before. Everything here comes from the Mills ratio instead, which is smooth everywhere.

/// 1 / sqrt(2 pi).
pub(crate) const PEAK: f64 = 0.398_942_280_401_432_7;

/// N(0, 1) given that it is at least `from`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutNormal {
    /// Its mean, less the cut.
    pub(crate) excess: f64,
    pub(crate) variance: f64,
}

impl CutNormal {
    /// Cut at a place with this `mills_ratio`; for `from` >= 0.
    pub(crate) fn beyond(from: f64, mills_ratio: f64) -> Self {
        if from > FAR {
            let inverse = from.recip();
            let square = inverse * inverse;
            return Self {
                excess: inverse * (1.0 - square * (2.0 - 10.0 * square)),
                variance: square * (1.0 - square * (6.0 - 50.0 * square)),
            };
        }
        // The hazard, density over upper tail, is the mean.
        let mean = mills_ratio.recip();
        let excess = mean - from;
        Self {
            excess,
            variance: 1.0 - mean * excess,
        }
    }
}

/// Where the differences have lost nine digits and the asymptotic series has gained as many.
const FAR: f64 = 50.0;

/// The Mills ratio, upper tail over density, of N(0, 1) at `from` >= 0; within 1e-14 of its value.
///
/// (1 + a) times the ratio is smooth and between 1 and 1.26 on the whole half-line; with t = (a - 4) / (a + 4) it is a polynomial
/// to fourteen digits (Chebyshev interpolation at 21 nodes, computed with 60 digits).
pub(crate) fn mills_ratio(from: f64) -> f64 {
    let t = (from - 4.0) / (from + 4.0);
    let square = t * t;
    // Even and odd powers apart: two short chains instead of a long one.
    let even = EVEN.iter().rev().fold(0.0, |sum, c| sum * square + c);
    let odd = ODD.iter().rev().fold(0.0, |sum, c| sum * square + c);
    (even + t * odd) / (1.0 + from)
}

/// The coefficients of t^0, t^2, t^4...
const EVEN: [f64; 11] = [
    1.183_261_914_567_803_4,
    0.035_091_880_234_832_47,
    -0.080_708_009_685_247_72,
    -0.012_539_103_486_153_766,
    0.001_741_847_436_515_522_8,
    -0.000_220_208_232_184_923_29,
    3.413_447_567_660_155e-5,
    -6.502_493_148_255_17e-6,
    1.322_988_934_261_421e-6,
    -2.305_312_713_996_655_4e-7,
    2.338_199_755_615_760_4e-8,
];

/// The coefficients of t^1, t^3, t^5...
const ODD: [f64; 10] = [
    -0.242_399_670_521_905_23,
    0.071_690_481_208_579_25,
    0.044_959_128_921_242_42,
    -0.000_715_949_333_998_205_1,
    -0.000_236_710_548_881_788_38,
    5.329_688_526_565_605e-5,
    -8.671_079_782_156_998e-6,
    1.110_704_963_128_444_2e-6,
    -8.528_916_455_372_456e-8,
    3.959_283_152_900_574e-10,
];

#[cfg(test)]
mod tests {
    use statrs::distribution::{Continuous, ContinuousCDF, Normal};

    use super::*;

    /// `statrs` has ten digits where neither of its two numbers is tiny.
    #[test]
    fn ratio_is_that_of_statrs_as_far_as_that_goes() {
        let normal = Normal::standard();
        for step in 0..=600 {
            let from = f64::from(step) / 100.0;
            let expected = normal.sf(from) / normal.pdf(from);
            let ratio = mills_ratio(from);
            assert!(
                (ratio / expected - 1.0).abs() < 1e-9,
                "at {from}: {ratio} is not {expected}"
            );
        }
    }

    /// Computed with 40 digits (mpmath).
    #[test]
    fn ratio_is_right_far_out() {
        for (from, expected) in REFERENCE {
            let ratio = mills_ratio(from);
            assert!(
                (ratio / expected - 1.0).abs() < 1e-14,
                "at {from}: {ratio} is not {expected}"
            );
        }
    }

    #[test]
    fn mean_and_variance_go_on_smoothly_where_the_series_takes_over() {
        let moments = |from: f64| CutNormal::beyond(from, mills_ratio(from));
        let (near, far) = (moments(FAR), moments(FAR + 1e-9));
        assert!((near.excess / far.excess - 1.0).abs() < 1e-8);
        assert!((near.variance / far.variance - 1.0).abs() < 1e-7);
        for from in [0.0, 0.5, 3.0, 49.0, 51.0, 1e4, 1e9, 1e150] {
            let CutNormal {
                excess, variance, ..
            } = moments(from);
            assert!(excess >= 0.0 && (0.0..=1.0).contains(&variance), "{from}");
        }
    }

    const REFERENCE: [(f64, f64); 6] = [
        (0.0, 1.253_314_137_315_500_3),
        (1.0, 0.655_679_542_418_798_5),
        (8.0, 0.123_131_963_257_932_3),
        (30.0, 0.033_296_419_072_497_21),
        (100.0, 9.999_000_299_850_105e-3),
        (1e6, 9.999_999_999_99e-7),
    ];
}
