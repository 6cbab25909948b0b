//! Times of different kinds as types that do not mix.
//!
//! [`NtpTimestamp`] is what travels, [`HostTime`] is what this host's clock shows, [`Monotonic`] is a stopwatch
//! nobody can set, and [`Offset`] is a signed difference of two host times. [`Span`] only prints.

mod host_time;
mod monotonic;
mod ntp_timestamp;
mod offset;
mod span;

pub use host_time::HostTime;
pub use monotonic::Monotonic;
pub use ntp_timestamp::NtpTimestamp;
pub use offset::Offset;
pub use span::Span;

const NANOS_PER_SEC: i64 = 1_000_000_000;
