//! What whoever keeps a clock tells the kernel of it.

use std::time::Duration;

use crate::{ClockError, KernelLeap, KernelState};

/// What to tell the kernel at once; what is None stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discipline {
    /// The correction of the oscillator, in parts per billion: positive makes the clock run faster. The kernel keeps it in
    /// steps of 1/65536 ppm, and 500 ppm at most ([`Self::KERNEL_PPB`]).
    pub frequency_ppb: Option<i64>,
    /// How wrong the clock may be.
    pub error: Option<ErrorBound>,
    /// Whether somebody keeps the clock. The kernel copies the time of a kept clock to the hardware clock.
    pub synchronised: Option<bool>,
    /// A leap second at the end of this UTC day, which the kernel makes by itself.
    pub leap: Option<KernelLeap>,
    /// TAI minus UTC in seconds, 0 to 100 000; 0 means that nobody knows.
    pub tai_offset: Option<i32>,
}

/// How wrong a clock may be, in microseconds at the finest; 16 s ([`KernelState::GIVEN_UP`]) and more mean that it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorBound {
    /// The error its keeper expects.
    pub estimated: Duration,
    /// The largest error its keeper thinks possible. From then on the kernel adds 500 ppm.
    pub max: Duration,
}

impl Discipline {
    /// The largest correction the kernel takes, either way: 500 ppm (`MAXFREQ`).
    pub const KERNEL_PPB: u32 = 500_000;
}

/// Whether a clock may be disciplined, and how far: not at all, unless whoever opens it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rein {
    max_frequency_ppb: Option<u32>,
}

impl Rein {
    pub(crate) fn within(max_frequency_ppb: u32) -> Self {
        Self {
            max_frequency_ppb: Some(max_frequency_ppb.min(Discipline::KERNEL_PPB)),
        }
    }

    pub(crate) fn check(&self, told: &Discipline) -> Result<(), ClockError> {
        let limit_ppb = self.max_frequency_ppb.ok_or(ClockError::NotDisciplined)?;
        match told.frequency_ppb {
            Some(asked_ppb) if asked_ppb.unsigned_abs() > limit_ppb.into() => {
                Err(ClockError::PastFrequency {
                    asked_ppb,
                    limit_ppb,
                })
            }
            _ => Ok(()),
        }
    }
}

/// What a kernel says that was told this.
pub(crate) fn told(before: KernelState, told: &Discipline) -> KernelState {
    let error = told.error.unwrap_or(ErrorBound {
        estimated: before.estimated_error,
        max: before.max_error,
    });
    // A clock that is said to be lost is as wrong as can be, whatever else is said.
    let max_error = match told.synchronised {
        Some(false) => KernelState::GIVEN_UP,
        _ => error.max.min(KernelState::GIVEN_UP),
    };
    KernelState {
        synchronised: max_error < KernelState::GIVEN_UP,
        estimated_error: error.estimated.min(KernelState::GIVEN_UP),
        max_error,
        frequency_ppb: told.frequency_ppb.unwrap_or(before.frequency_ppb),
        tai_offset: match told.tai_offset {
            Some(0) => None,
            told => told.or(before.tai_offset),
        },
        leap: told.leap.unwrap_or(before.leap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequency(ppb: i64) -> Discipline {
        Discipline {
            frequency_ppb: Some(ppb),
            ..Discipline::default()
        }
    }

    #[test]
    fn clock_is_disciplined_only_where_that_was_allowed() {
        let refused = Err(ClockError::NotDisciplined);
        assert_eq!(Rein::default().check(&frequency(0)), refused);
        assert_eq!(Rein::default().check(&Discipline::default()), refused);
        assert_eq!(Rein::within(0).check(&frequency(0)), Ok(()));
    }

    #[test]
    fn frequency_on_the_limit_passes_and_beyond_it_is_refused() {
        for sign in [1, -1] {
            assert_eq!(Rein::within(100).check(&frequency(sign * 100)), Ok(()));
            let past = |asked_ppb, limit_ppb| {
                Err(ClockError::PastFrequency {
                    asked_ppb,
                    limit_ppb,
                })
            };
            let asked = sign * 101;
            assert_eq!(Rein::within(100).check(&frequency(asked)), past(asked, 100));
            // Nobody can allow more than the kernel does.
            let asked = sign * 500_001;
            let widest = Rein::within(u32::MAX);
            assert_eq!(widest.check(&frequency(asked)), past(asked, 500_000));
            assert_eq!(widest.check(&frequency(asked - sign)), Ok(()));
        }
        let farthest = frequency(i64::MIN);
        assert!(Rein::within(u32::MAX).check(&farthest).is_err());
    }
}
