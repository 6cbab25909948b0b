use std::time::Duration;

use tsq_proto::Offset;

use crate::Interval;

/// One exchange's result (RFC 5905 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How far our clock is behind the server's.
    pub offset: Offset,
    /// The round trip without the server's own time.
    pub delay: Duration,
}

impl Sample {
    /// Where the true offset to the server's clock lies, however asymmetric the path was:
    /// `offset` ± `delay` / 2.
    ///
    /// The offset is right when both directions took half the delay; at worst one direction took
    /// all of it. The server's own error is not part of it.
    pub fn interval(&self) -> Interval {
        Interval::around(self.offset, self.half_delay())
    }

    /// Rounded up, so that rounding cannot put the truth outside the interval.
    pub(crate) fn half_delay(&self) -> Duration {
        (self.delay / 2).saturating_add(Duration::from_nanos(self.delay.as_nanos() as u64 % 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_delay_is_halved_upward() {
        let sample = Sample {
            offset: Offset::from_nanos(10),
            delay: Duration::from_nanos(7),
        };
        let interval = sample.interval();
        assert_eq!(interval.low, Offset::from_nanos(6));
        assert_eq!(interval.high, Offset::from_nanos(14));
    }
}
