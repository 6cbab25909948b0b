//! The clock whose time is served.

use tsq_proto::HostTime;

/// Read for T3 of each answer, as late as can be: a core that is handed its time would tell an earlier one.
///
/// Any closure that gives a time is one.
pub trait WallClock {
    /// The time now.
    fn read(&self) -> HostTime;
}

/// The clock of this host, as this process sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl WallClock for HostClock {
    fn read(&self) -> HostTime {
        tsq_net::now()
    }
}

impl<F: Fn() -> HostTime> WallClock for F {
    fn read(&self) -> HostTime {
        self()
    }
}
