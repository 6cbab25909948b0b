//! Servers that were named and did not count.

use std::fmt;

use tsq_client::SourceReport;

use crate::judged::Judged;

/// Those that are not among the servers that agree, each with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncounted {
    missing: Vec<String>,
    servers: usize,
}

impl Uncounted {
    /// None where all of them count, and where there is no result at all, which says why itself.
    pub fn of(sources: &[SourceReport], judged: &Judged) -> Option<Self> {
        judged.combined.as_ref().ok()?;
        let verdicts = sources.iter().zip(&judged.verdicts);
        let missing: Vec<String> = verdicts
            .filter(|(_, verdict)| !verdict.agrees())
            .map(|(source, verdict)| format!("{}: {verdict}", source.server))
            .collect();
        (!missing.is_empty()).then_some(Self {
            missing,
            servers: sources.len(),
        })
    }
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} servers did not count: {}",
            self.missing.len(),
            self.servers,
            self.missing.join("; ")
        )
    }
}
