//! From the OpenMetrics text format to the one before it.

use std::collections::HashSet;
use std::fmt::Write;

/// The same page in the text format 0.0.4: there a counter's family has the name of its samples, with `_total`, and
/// units and the mark at the end are unknown.
pub(super) fn plain(open_metrics: &str) -> String {
    let counters: HashSet<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::new();
    for line in open_metrics.lines() {
        let (kind, rest) = match line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(' '))
        {
            Some(("UNIT", _)) => continue,
            Some((kind @ ("HELP" | "TYPE"), rest)) => (kind, rest),
            _ if line == "# EOF" => continue,
            _ => {
                text.push_str(line);
                text.push('\n');
                continue;
            }
        };
        let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let suffix = if counters.contains(name) {
            "_total"
        } else {
            ""
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# {kind} {name}{suffix} {words}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::super::families::tests::metrics;
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP a_seconds Help.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n\
                    # HELP b Help of b.\n# TYPE b counter\nb_total{x=\"# TYPE\"} 2\n# EOF\n";
        let expected = "# HELP a_seconds Help.\n# TYPE a_seconds gauge\na_seconds 1\n\
                        # HELP b_total Help of b.\n# TYPE b_total counter\nb_total{x=\"# TYPE\"} 2\n";
        assert_eq!(plain(open), expected);
    }

    /// What `promtool check metrics` asks for.
    #[test]
    fn every_family_of_both_formats_has_help_and_a_type_and_a_name_by_the_rules() {
        let metrics = metrics(true);
        for (text, old) in [(metrics.plain_text(), true), (metrics.text(), false)] {
            let about = |kind: &str| -> HashMap<&str, &str> {
                let prefix = format!("# {kind} ");
                text.lines()
                    .filter_map(|line| line.strip_prefix(prefix.as_str())?.split_once(' '))
                    .collect()
            };
            let (help, types) = (about("HELP"), about("TYPE"));
            assert_eq!(
                help.keys().collect::<HashSet<_>>(),
                types.keys().collect::<HashSet<_>>()
            );
            assert_eq!(
                text.lines()
                    .filter(|line| line.starts_with("# TYPE"))
                    .count(),
                types.len()
            );
            assert!(help.values().all(|words| !words.is_empty()));
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let name = line.split(['{', ' ']).next().unwrap();
                let family = [
                    "",
                    "_bucket",
                    "_sum",
                    "_count",
                    if old { "" } else { "_total" },
                ]
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|family| types.contains_key(family));
                let family = family.unwrap_or_else(|| panic!("{line}"));
                let counter = types[family] == "counter";
                assert_eq!(name.ends_with("_total"), counter, "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
            assert_eq!(text.ends_with("# EOF\n"), !old);
        }
    }
}
