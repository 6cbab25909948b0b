//! What options choose between.

use clap::ValueEnum;

/// How queries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// Datagrams, or streams where datagrams are not to be had
    Auto,
    /// Datagrams only
    Datagram,
    /// Streams only
    Stream,
}

/// When the dates of certificates may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootstrapArg {
    /// While the clock is not known to be right, and there are enough servers, or a --pin
    Auto,
    /// Never: this host's clock decides
    Never,
    /// Whatever the kernel says of the clock, if there are enough servers, or a --pin
    Always,
}

/// What is tried where TSQ gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FallbackArg {
    /// Network Time Security: authenticated as TSQ is
    Nts,
    /// Plain NTP: not authenticated
    Ntp,
    /// Nothing
    None,
}

/// What servers must be to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MinTrustArg {
    /// Known by their certificates: TSQ or NTS
    Authenticated,
    /// Anyone, where nobody authenticated answers
    None,
}

/// How offsets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CombineArg {
    /// Their median
    Median,
    /// Their mean, the surer ones weighing more
    Weighted,
}
