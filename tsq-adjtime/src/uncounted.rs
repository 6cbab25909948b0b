//! Servers that were named and did not count.

use tsq_client::SourceReport;

use crate::analysis::Analysis;

/// Those that are not among the servers that agree, each with its reason, in a line; None where all of them count,
/// and where there is no result at all, which says why itself.
pub fn line(sources: &[SourceReport], analysis: &Analysis) -> Option<String> {
    analysis.combined.as_ref().ok()?;
    let verdicts = sources.iter().zip(&analysis.verdicts);
    let missing: Vec<String> = verdicts
        .filter(|(_, verdict)| !verdict.agrees())
        .map(|(source, verdict)| format!("{}: {verdict}", source.server))
        .collect();
    let count = missing.len();
    (count > 0).then(|| {
        format!(
            "{count} of {} servers did not count: {}",
            sources.len(),
            missing.join("; ")
        )
    })
}
