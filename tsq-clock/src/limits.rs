use std::time::Duration;

use tsq_proto::Offset;

use crate::ClockError;

/// The largest changes a clock accepts, in either direction, ends included.
///
/// They are given once, when the clock is opened, and enforced before any system call: a mistake in
/// the code that computes offsets cannot move the clock farther.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest step.
    pub max_step: Duration,
    /// The largest slew.
    pub max_slew: Duration,
}

impl Limits {
    pub(crate) fn check_step(&self, by: Offset) -> Result<(), ClockError> {
        check(by, self.max_step)
    }

    pub(crate) fn check_slew(&self, by: Offset) -> Result<(), ClockError> {
        check(by, self.max_slew)
    }
}

fn check(asked: Offset, limit: Duration) -> Result<(), ClockError> {
    if asked.abs() <= limit {
        Ok(())
    } else {
        Err(ClockError::PastLimit { asked, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_on_the_limit_passes_and_beyond_it_is_refused() {
        let limits = Limits {
            max_step: Duration::from_nanos(100),
            max_slew: Duration::from_nanos(10),
        };
        for sign in [1, -1] {
            assert_eq!(limits.check_step(Offset::from_nanos(sign * 100)), Ok(()));
            assert_eq!(limits.check_slew(Offset::from_nanos(sign * 10)), Ok(()));
            let refused = |asked, limit| Err(ClockError::PastLimit { asked, limit });
            let asked = Offset::from_nanos(sign * 101);
            assert_eq!(limits.check_step(asked), refused(asked, limits.max_step));
            let asked = Offset::from_nanos(sign * 11);
            assert_eq!(limits.check_slew(asked), refused(asked, limits.max_slew));
        }
    }

    #[test]
    fn farthest_offset_is_refused_without_overflow() {
        let limits = Limits {
            max_step: Duration::from_nanos(i64::MAX.unsigned_abs()),
            max_slew: Duration::ZERO,
        };
        assert!(limits.check_step(Offset::from_nanos(i64::MAX)).is_ok());
        assert!(limits.check_step(Offset::from_nanos(i64::MIN)).is_err());
    }
}
