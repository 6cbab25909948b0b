//! What selection is given: the sources and what is asked of them.

use std::time::Duration;

use crate::{Method, SourceEstimate};

/// A source that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What its samples say.
    pub estimate: SourceEstimate,
    /// Whether we know that the samples are its own: TSQ and NTS; not plain NTP.
    pub authenticated: bool,
    /// Whether its server says that somebody keeps its clock.
    pub synchronised: bool,
    /// How old its newest sample is.
    pub age: Duration,
    /// How its server smears leap seconds. `None`: not, or it does not say, which counts as not.
    pub smear: Option<String>,
    /// What the user says of it.
    pub mark: Mark,
}

/// What the user says of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Among the sources that agree it is used instead of others.
    pub prefer: bool,
    /// It is right: only sources with this mark vote, the others are held against them.
    pub trust: bool,
}

/// What is asked of sources and of their agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many sources must agree; those that only refine do not count.
    pub min_sources: usize,
    /// If there are no authenticated sources, the others decide. Never set unless the user said so.
    pub allow_unauthenticated: bool,
    /// Nobody votes without [`Mark::trust`]: where no source with it is fit, there is no result. To be set where such
    /// a source was asked, for it may be silent because somebody wants it so.
    pub trusted_only: bool,
    /// How the offsets of those that agree become one.
    pub method: Method,
    /// What makes a single source useless.
    pub limits: Limits,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_sources: 1,
            allow_unauthenticated: false,
            trusted_only: false,
            method: Method::Median,
            limits: Limits::default(),
        }
    }
}

/// What makes a source useless whatever the others say. Values on a limit pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Age of the newest sample.
    pub age: Duration,
    /// Half the delay plus the server's own error: the root distance of RFC 5905, section 11.2.
    pub distance: Duration,
    /// Standard deviation of the samples.
    pub jitter: Duration,
}

impl Default for Limits {
    /// A quarter of an hour; 1.5 s; 1 s.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(15 * 60),
            distance: Duration::from_millis(1_500),
            jitter: Duration::from_secs(1),
        }
    }
}
