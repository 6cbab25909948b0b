//! What a run says of itself: its programs, and of each section when, how long and how busy.

use crate::results::{Measured, Results};

/// Every program with its version, in one line.
pub(super) fn programs(results: &Results) -> String {
    let programs = results.programs.iter();
    let programs = programs.map(|(name, says)| format!("{name} {}", version(says)));
    programs.collect::<Vec<_>>().join(", ")
}

/// `4.3` of `chronyd (chrony) version 4.3 (+CMDMON)`; all that it says where none of it looks like a version.
fn version(says: &str) -> &str {
    let is_part = |c: char| !c.is_ascii_alphanumeric();
    let words = says
        .split_whitespace()
        .map(|word| word.trim_matches(is_part));
    let words = words.map(|word| word.strip_prefix('v').unwrap_or(word));
    let mut versions =
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
    versions.next().unwrap_or(says)
}

/// What the run knows of a section, in one line: when, how long, how busy.
pub(super) fn circumstances(measured: &Measured) -> String {
    let load = |load: Option<f64>| load.map_or("unknown".into(), |load| format!("{load:.2}"));
    let mut parts = vec![
        format!("Measured {}", measured.begun),
        format!("in {:.0} s", measured.seconds),
    ];
    if measured.quick {
        parts.push("quick run, few rounds".into());
    }
    if let Some(commit) = &measured.commit {
        parts.push(format!("commit {commit}"));
    }
    parts.push(format!(
        "load average {} before and {} after",
        load(measured.load_before),
        load(measured.load_after)
    ));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_found_in_what_a_program_says() {
        let cases = [
            ("chronyd (chrony) version 4.3 (+CMDMON +NTP)", "4.3"),
            (
                "BusyBox v1.35.0 (Debian 1:1.35.0-4+b9) multi-call binary.",
                "1.35.0",
            ),
            ("ntpd ntpsec-1.2.2", "ntpd ntpsec-1.2.2"),
            ("0.1.0", "0.1.0"),
            (
                "roughenough is not installed",
                "roughenough is not installed",
            ),
        ];
        for (says, expected) in cases {
            assert_eq!(version(says), expected);
        }
    }
}
