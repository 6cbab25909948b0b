use std::time::Duration;

/// What the kernel says about its own clock, as whoever disciplines it last told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelState {
    /// Somebody keeps the clock right, by his own word not so long ago: [`Self::max_error`] is below
    /// [`GIVEN_UP`](Self::GIVEN_UP).
    ///
    /// So `timedatectl` has it, too. The flag `STA_UNSYNC` tells less: chronyd leaves it set unless `rtcsync` lets the
    /// kernel copy the time to the hardware clock, and the kernel itself sets it only when the error gets that large.
    pub synchronised: bool,
    /// The error its keeper expects.
    pub estimated_error: Duration,
    /// The largest error its keeper thinks possible. Grows by 500 ppm while nobody tells; 16 s is the most, and what a
    /// step makes of it.
    pub max_error: Duration,
    /// The correction of the oscillator in force, in parts per billion.
    pub frequency_ppb: i64,
    /// TAI minus UTC in seconds, if anybody told the kernel.
    pub tai_offset: Option<i32>,
    /// A leap second at the end of this UTC day.
    pub leap: KernelLeap,
}

impl KernelState {
    /// The error at which the kernel gives a clock up (`NTP_PHASE_LIMIT`): at boot, after a step, after some nine hours
    /// without a word from its keeper, or when the keeper says that he has lost it.
    pub const GIVEN_UP: Duration = Duration::from_secs(16);
}

/// A leap second announced to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelLeap {
    /// None.
    None,
    /// The day has a second more.
    Insert,
    /// The day has a second less.
    Delete,
}
