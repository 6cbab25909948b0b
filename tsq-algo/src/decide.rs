use std::fmt;
use std::time::Duration;

use tsq_proto::Offset;
use tsq_proto::time::Span;

use crate::Combined;

/// Offsets below this are not worth an adjustment: the kernel's single-shot slew counts whole
/// microseconds.
pub const RESOLUTION: Duration = Duration::from_micros(1);

/// The operator's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The largest offset that is slewed; a larger one is stepped.
    pub slew_threshold: Duration,
    /// The largest offset that is corrected at all.
    pub max_offset: Duration,
}

/// What to do to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave it alone.
    None {
        /// Why.
        reason: NothingToDo,
    },
    /// Run it faster or slower until this much is made up.
    Slew {
        /// What to add to the clock.
        offset: Offset,
    },
    /// Set it at once.
    Step {
        /// What to add to the clock.
        offset: Offset,
    },
    /// Leave it alone, because the offset is past the operator's limit.
    Refused {
        /// What would have been added.
        offset: Offset,
        /// The limit: [`Policy::max_offset`].
        limit: Duration,
    },
}

/// Why adjusting could not improve the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NothingToDo {
    /// The offset is below [`RESOLUTION`].
    BelowResolution,
    /// The offset is no larger than its own standard deviation.
    WithinNoise {
        /// That standard deviation.
        stddev: Duration,
    },
}

/// Decides about a measured offset.
///
/// The limit is looked at first: a measurement past it is suspect whatever its noise.
pub fn decide(measured: &Combined, policy: &Policy) -> Decision {
    let offset = measured.offset;
    let size = offset.abs();
    if size > policy.max_offset {
        return Decision::Refused {
            offset,
            limit: policy.max_offset,
        };
    }
    if let Some(reason) = nothing_to_do(size, measured.stddev) {
        return Decision::None { reason };
    }
    if size <= policy.slew_threshold {
        Decision::Slew { offset }
    } else {
        Decision::Step { offset }
    }
}

impl fmt::Display for NothingToDo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowResolution => write!(f, "the offset is below {}", Span(RESOLUTION)),
            Self::WithinNoise { stddev } => {
                write!(
                    f,
                    "the offset is within its standard deviation of {}",
                    Span(*stddev)
                )
            }
        }
    }
}

fn nothing_to_do(size: Duration, stddev: Duration) -> Option<NothingToDo> {
    if size < RESOLUTION {
        Some(NothingToDo::BelowResolution)
    } else if size <= stddev {
        Some(NothingToDo::WithinNoise { stddev })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        slew_threshold: Duration::from_millis(128),
        max_offset: Duration::from_secs(1_000),
    };

    fn decided(nanos: i64, stddev: Duration) -> Decision {
        let measured = Combined {
            offset: Offset::from_nanos(nanos),
            stddev,
            spread: Duration::ZERO,
            bound: Duration::ZERO,
            includes_servers: false,
            survivors: vec![0],
            falsetickers: vec![],
        };
        decide(&measured, &POLICY)
    }

    /// Decides about an offset and its mirror image without noise; both must get the same kind.
    fn quiet(nanos: i64) -> Decision {
        let (ahead, behind) = (
            decided(-nanos, Duration::ZERO),
            decided(nanos, Duration::ZERO),
        );
        assert_eq!(
            std::mem::discriminant(&ahead),
            std::mem::discriminant(&behind)
        );
        behind
    }

    #[test]
    fn offset_on_the_slew_threshold_slews_and_beyond_it_steps() {
        let offset = Offset::from_nanos(128_000_000);
        assert_eq!(quiet(128_000_000), Decision::Slew { offset });
        let offset = Offset::from_nanos(128_000_001);
        assert_eq!(quiet(128_000_001), Decision::Step { offset });
    }

    #[test]
    fn offset_on_the_limit_is_stepped_and_beyond_it_refused() {
        let offset = Offset::from_nanos(1_000_000_000_000);
        assert_eq!(quiet(1_000_000_000_000), Decision::Step { offset });
        let refused = Decision::Refused {
            offset: Offset::from_nanos(1_000_000_000_001),
            limit: POLICY.max_offset,
        };
        assert_eq!(quiet(1_000_000_000_001), refused);
    }

    #[test]
    fn offset_below_a_microsecond_is_left_alone() {
        let reason = NothingToDo::BelowResolution;
        assert_eq!(quiet(999), Decision::None { reason });
        assert!(matches!(quiet(1_000), Decision::Slew { .. }));
    }

    #[test]
    fn offset_within_its_deviation_is_left_alone() {
        let stddev = Duration::from_micros(40);
        let reason = NothingToDo::WithinNoise { stddev };
        assert_eq!(decided(-40_000, stddev), Decision::None { reason });
        assert!(matches!(decided(-40_001, stddev), Decision::Slew { .. }));
    }

    #[test]
    fn limit_holds_however_noisy_the_measurement() {
        for nanos in [i64::MIN, 1_000_000_000_001, i64::MAX] {
            assert!(matches!(
                decided(nanos, Duration::MAX),
                Decision::Refused { .. }
            ));
        }
    }
}
