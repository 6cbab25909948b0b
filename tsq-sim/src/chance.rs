//! Random numbers that are the same on any machine: a stream for every random function, derived from the seed.

use rand_core::Rng;
use rand_pcg::Pcg64;

/// One random function's own stream.
#[derive(Clone, Debug)]
pub struct Stream(Pcg64);

impl Stream {
    /// The stream of this seed for the `place`-th random function of the instance `owner`.
    pub fn new(seed: u64, owner: u64, place: u64) -> Self {
        let state = u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ mix(owner)));
        let stream = u128::from(mix(owner)) << 64 | u128::from(mix(place));
        Self(Pcg64::new(state, stream))
    }

    /// In (0, 1), ends excluded.
    pub fn uniform(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        ((self.0.next_u64() >> 11) as f64 + 0.5) / STEPS
    }

    /// Mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    /// Mean 0, standard deviation 1 (Box and Muller; the second number is not used, so that each call draws twice).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.uniform())).sqrt();
        radius * libm::cos(core::f64::consts::TAU * self.uniform())
    }

    /// With this mean, which is small: counts uniform numbers until their product is below exp(-mean) (Knuth).
    pub fn poisson(&mut self, mean: f64) -> f64 {
        let least = libm::exp(-mean);
        let mut product = self.uniform();
        let mut count = 0.0;
        while product > least {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

/// Spreads every bit over all others (the finaliser of splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 200_000;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let draws: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
        let mean = draws.iter().sum::<f64>() / DRAWS as f64;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / DRAWS as f64;
        (mean, variance)
    }

    fn assert_moments((mean, variance): (f64, f64), expected: (f64, f64)) {
        assert!(
            (mean - expected.0).abs() < 0.02 * expected.1.sqrt(),
            "mean {mean}"
        );
        assert!(
            (variance / expected.1 - 1.0).abs() < 0.03,
            "variance {variance}"
        );
    }

    #[test]
    fn distributions_have_their_mean_and_variance() {
        let mut stream = Stream::new(1, 2, 3);
        assert_moments(moments(|| stream.uniform()), (0.5, 1.0 / 12.0));
        assert_moments(moments(|| stream.exponential()), (1.0, 1.0));
        assert_moments(moments(|| stream.normal()), (0.0, 1.0));
        for mean in [1.0, 4.5, 20.0] {
            assert_moments(moments(|| stream.poisson(mean)), (mean, mean));
        }
    }

    #[test]
    fn streams_of_other_seeds_owners_and_places_differ() {
        let first = |seed, owner, place| Stream::new(seed, owner, place).uniform();
        let firsts = [
            first(1, 1, 1),
            first(2, 1, 1),
            first(1, 2, 1),
            first(1, 1, 2),
        ];
        for (index, one) in firsts.iter().enumerate() {
            assert!(!firsts[..index].contains(one));
        }
        assert_eq!(first(1, 1, 1), first(1, 1, 1));
    }

    /// The numbers are part of the language: a change of them changes every scenario's figures.
    #[test]
    fn numbers_are_the_same_as_ever() {
        let mut stream = Stream::new(1, 0, 0);
        let drawn = [stream.uniform(), stream.exponential(), stream.normal()];
        assert_eq!(drawn, GOLDEN);
    }

    const GOLDEN: [f64; 3] = [
        0.258_673_245_846_729_4,
        3.346_681_561_924_473,
        0.087_436_674_121_901_1,
    ];
}
