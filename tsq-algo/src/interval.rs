use std::time::Duration;

use tsq_proto::Offset;

/// A closed interval of offsets, ends included.
///
/// Ends beyond what an [`Offset`] can hold are moved to the nearest that it can; since every
/// offset lies between those, the interval contains what it would have contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The lower end.
    pub low: Offset,
    /// The upper end; never below `low`.
    pub high: Offset,
}

impl Interval {
    /// The offsets at most `radius` away from `centre`.
    pub fn around(centre: Offset, radius: Duration) -> Self {
        let centre = i128::from(centre.as_nanos());
        // At most 1.9e28: far from the limits of i128.
        let radius = radius.as_nanos().cast_signed();
        Self {
            low: saturated(centre - radius),
            high: saturated(centre + radius),
        }
    }

    /// What both contain, unless they are apart.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let low = self.low.max(other.low);
        let high = self.high.min(other.high);
        (low <= high).then_some(Self { low, high })
    }

    /// Whether `offset` lies in it, ends included.
    pub fn contains(self, offset: Offset) -> bool {
        (self.low..=self.high).contains(&offset)
    }

    /// The point of the interval nearest to `offset`.
    pub fn nearest(self, offset: Offset) -> Offset {
        offset.clamp(self.low, self.high)
    }

    /// The distance from `offset` to the end farther from it.
    pub fn farthest(self, offset: Offset) -> Duration {
        distance(offset, self.low).max(distance(offset, self.high))
    }

    /// The distance between the ends.
    pub fn width(self) -> Duration {
        distance(self.low, self.high)
    }
}

/// |a - b|, exactly: no difference of two offsets overflows it.
pub(crate) fn distance(a: Offset, b: Offset) -> Duration {
    Duration::from_nanos(a.as_nanos().abs_diff(b.as_nanos()))
}

/// The nearest offset that can be represented.
pub(crate) fn saturated(nanos: i128) -> Offset {
    let bounded = nanos.clamp(i64::MIN.into(), i64::MAX.into());
    Offset::from_nanos(i64::try_from(bounded).expect("clamped to the range of i64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: i64, high: i64) -> Interval {
        Interval {
            low: Offset::from_nanos(low),
            high: Offset::from_nanos(high),
        }
    }

    #[test]
    fn ends_stop_at_the_limits_of_an_offset() {
        let everything = Interval::around(Offset::from_nanos(-5), Duration::MAX);
        assert_eq!(everything, interval(i64::MIN, i64::MAX));
        assert_eq!(everything.width(), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn touching_intervals_share_their_end() {
        let shared = interval(0, 5).intersection(interval(5, 9));
        assert_eq!(shared, Some(interval(5, 5)));
        assert_eq!(interval(0, 5).intersection(interval(6, 9)), None);
    }

    #[test]
    fn farthest_end_is_measured_from_outside_too() {
        let from_outside = interval(10, 30).farthest(Offset::ZERO);
        assert_eq!(from_outside, Duration::from_nanos(30));
        let from_inside = interval(10, 30).farthest(Offset::from_nanos(22));
        assert_eq!(from_inside, Duration::from_nanos(12));
    }
}
