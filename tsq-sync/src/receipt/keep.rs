//! From a run's answers to receipt lines.

use std::path::Path;

use tsq_client::SourceReport;
use tsq_proto::{HostTime, Response};

use super::chain::START;
use super::line::{Hex, Line, algorithm_name};
use super::write::{Aside, WriteError, append};
use crate::judged::Judged;

/// Keeps every signed exchange whose sample was accepted: what was done about them (`none`, `slew`, `step`, `refused`), and
/// when this is.
///
/// # Errors
/// See [`WriteError`]. Without its receipt a run fails, even if it has set the clock: whoever asks
/// for receipts relies on them. The next run finds the file as it was.
pub fn keep(
    path: &Path,
    sources: &[SourceReport],
    judged: &Judged,
    action: &str,
    now: HostTime,
) -> Result<Option<Aside>, WriteError> {
    let combined = judged.combined.as_ref().ok();
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
                action: action.into(),
                offset_ns: combined.map(|c| c.offset.as_nanos()),
                bound_ns: combined.map(|c| u64::try_from(c.bound.as_nanos()).unwrap_or(u64::MAX)),
                written_ns: now.as_unix_nanos(),
            });
        }
    }
    append(path, lines)
}
