use std::time::Duration;

/// What the kernel says about its own clock, as whoever disciplines it last told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelState {
    /// Somebody claims to keep the clock right (`STA_UNSYNC` is clear).
    pub synchronised: bool,
    /// The error its keeper expects.
    pub estimated_error: Duration,
    /// The largest error its keeper thinks possible. Grows by 500 ppm while nobody tells; the
    /// kernel gives the clock up at 16 s.
    pub max_error: Duration,
    /// The correction of the oscillator in force, in parts per billion.
    pub frequency_ppb: i64,
    /// TAI minus UTC in seconds, if anybody told the kernel.
    pub tai_offset: Option<i32>,
    /// A leap second at the end of this UTC day.
    pub leap: KernelLeap,
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
