//! Order statistics of a set of measurements.

use crate::section::Cell;

/// What stands for a percentile that so few values do not have.
pub(crate) const TOO_FEW: &str = "too few";

/// A set of measurements, sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// None for an empty set, or one with a value that is no number: neither has a median.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|value| value.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        Some(Self(sorted))
    }

    /// The least value that at least `percent` of the values do not exceed (nearest rank), so always
    /// one that was measured; `percent` is taken as 0 to 100.
    pub fn percentile(&self, percent: u8) -> f64 {
        let count = self.0.len();
        let rank = (count * usize::from(percent)).div_ceil(100);
        self.0[rank.clamp(1, count) - 1]
    }

    /// As [`Self::percentile`], as a cell; a word where there are too few values for it to be another than the greatest.
    pub fn cell(&self, percent: u8) -> Cell {
        let needed = 100 / usize::from(100 - percent.min(99));
        match self.0.len() >= needed {
            true => self.percentile(percent).into(),
            false => TOO_FEW.into(),
        }
    }

    /// The value in the middle, or the mean of the two there.
    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }

    /// The least value.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The greatest value.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Quantiles {
        Quantiles::of(values.iter().copied()).unwrap()
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let hundred = Quantiles::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!(hundred.percentile(50), 50.0);
        assert_eq!(hundred.percentile(90), 90.0);
        assert_eq!(hundred.percentile(99), 99.0);
        assert_eq!(hundred.percentile(100), 100.0);
        assert_eq!(hundred.percentile(0), 1.0);
        // 99 % of 20 values is past the 19th: only the greatest is enough.
        let twenty = Quantiles::of((1..=20).map(f64::from)).unwrap();
        assert_eq!(twenty.percentile(99), 20.0);
        assert_eq!(twenty.percentile(95), 19.0);
    }

    #[test]
    fn percentile_of_too_few_is_a_word() {
        let of = |count| Quantiles::of((1..=count).map(f64::from)).unwrap();
        assert_eq!(of(19).cell(95), Cell::from("too few"));
        assert_eq!(of(20).cell(95), Cell::from(19.0));
        assert_eq!(of(99).cell(99), Cell::from("too few"));
        assert_eq!(of(100).cell(99), Cell::from(99.0));
        assert_eq!(of(1).cell(0), Cell::from(1.0));
    }

    #[test]
    fn median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), 2.0);
    }

    #[test]
    fn values_are_sorted_as_numbers() {
        let set = of(&[10.0, 9.0, -1.0, 100.0]);
        assert_eq!((set.min(), set.max()), (-1.0, 100.0));
    }

    #[test]
    fn single_value_is_every_quantile() {
        let one = of(&[7.0]);
        assert_eq!(
            [
                one.min(),
                one.median(),
                one.percentile(99),
                one.percentile(1)
            ],
            [7.0; 4]
        );
    }

    #[test]
    fn nothing_and_no_number_have_no_quantiles() {
        assert_eq!(Quantiles::of([]), None);
        assert_eq!(Quantiles::of([1.0, f64::NAN]), None);
    }
}
