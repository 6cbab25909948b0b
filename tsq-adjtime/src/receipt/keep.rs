//! From a run's answers to receipt lines.

use std::path::Path;

use tsq_client::SourceReport;
use tsq_proto::Response;

use super::chain::START;
use super::line::{Hex, Line, algorithm_name};
use super::write::{Aside, WriteError, append};
use crate::analysis::Analysis;
use crate::outcome::Action;

/// Keeps every signed exchange whose sample was accepted.
///
/// # Errors
/// See [`WriteError`]. Without its receipt a run fails, even if it has set the clock: whoever asks
/// for receipts relies on them. The next run finds the file as it was.
pub fn keep(
    path: &Path,
    sources: &[SourceReport],
    analysis: &Analysis,
    action: &Action,
    dry_run: bool,
) -> Result<Option<Aside>, WriteError> {
    let combined = analysis.combined.as_ref().ok();
    let written_ns = tsq_net::now().as_unix_nanos();
    let mut lines = Vec::new();
    for source in sources {
        for answer in source.accepted() {
            // Signatures were checked when the answer was accepted.
            let Some(signature) = Response::decode(&answer.response)
                .ok()
                .and_then(|r| r.signature())
            else {
                continue;
            };
            lines.push(Line {
                seq: 0,
                prev: START,
                server: source.server.clone(),
                address: source
                    .address
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
                request: Hex(answer.request.clone()),
                response: Hex(answer.response.clone()),
                key_id: signature.key_id,
                algorithm: algorithm_name(signature.algorithm).into(),
                t1_ns: answer.sample.t1.as_unix_nanos(),
                t4_ns: answer.sample.t4.as_unix_nanos(),
                action: if dry_run { "none" } else { action.name() }.into(),
                offset_ns: combined.map(|c| c.offset.as_nanos()),
                bound_ns: combined.map(|c| u64::try_from(c.bound.as_nanos()).unwrap_or(u64::MAX)),
                written_ns,
            });
        }
    }
    append(path, lines)
}
