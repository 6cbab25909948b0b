//! The latest moment that is certainly past.

use std::fmt;

use tsq_proto::HostTime;

/// A moment that is certainly past: no clock and no server that shows an earlier one is right.
///
/// A hardware clock never raises it: one that runs years fast would shut the true time out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The moment.
    pub at: HostTime,
    /// How it is known.
    pub source: FloorSource,
}

/// How a floor is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorSource {
    /// This program existed then.
    Build,
    /// The clock was set to it by an earlier run.
    SavedClock,
    /// A server has signed it in an earlier run.
    Receipt,
}

impl Floor {
    /// The time of this release, or of `SOURCE_DATE_EPOCH` where the build set that and it is later.
    pub fn of_build() -> Self {
        Self {
            at: HostTime::from_unix(BUILT, 0),
            source: FloorSource::Build,
        }
    }

    /// The later of this and another moment.
    #[must_use]
    pub fn or(self, at: Option<HostTime>, source: FloorSource) -> Self {
        match at {
            Some(at) if at > self.at => Self { at, source },
            _ => self,
        }
    }
}

impl FloorSource {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::SavedClock => "saved_clock",
            Self::Receipt => "receipt",
        }
    }
}

impl fmt::Display for FloorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "this program was made then",
            Self::SavedClock => "an earlier run has set the clock to it",
            Self::Receipt => "a server has signed it in an earlier run",
        })
    }
}

/// 2026-11-01. To be raised with every release.
const RELEASED: i64 = 1_793_491_200;

/// Seconds since 1970. Not the time of the compiler's run: the same sources make the same program.
const BUILT: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(digits) => later(RELEASED, number(digits.as_bytes())),
    None => RELEASED,
};

const fn later(a: i64, b: i64) -> i64 {
    if a > b { a } else { b }
}

/// 0 if it is no number of at most twelve digits.
const fn number(digits: &[u8]) -> i64 {
    let mut value = 0;
    let mut index = 0;
    while index < digits.len() {
        if !digits[index].is_ascii_digit() || index == 12 {
            return 0;
        }
        value = value * 10 + (digits[index] - b'0') as i64;
        index += 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_moment_wins_and_is_named() {
        let build = Floor::of_build();
        assert_eq!(build.source, FloorSource::Build);
        let before = HostTime::from_unix(RELEASED - 1, 0);
        assert_eq!(build.or(Some(before), FloorSource::SavedClock), build);
        assert_eq!(build.or(None, FloorSource::SavedClock), build);
        let after = HostTime::from_unix(BUILT + 1, 0);
        let raised = build.or(Some(after), FloorSource::SavedClock);
        assert_eq!((raised.at, raised.source), (after, FloorSource::SavedClock));
    }

    #[test]
    fn only_a_sensible_number_of_seconds_counts() {
        assert_eq!(number(b"1795219200"), 1_795_219_200);
        for nonsense in [&b""[..], b"-1", b"17x", b"1234567890123"] {
            assert_eq!(number(nonsense), 0);
        }
    }
}
