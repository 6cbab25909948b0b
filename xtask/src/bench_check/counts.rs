//! Recorded counts, and how today's compare with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use tsq_workbench::process::Failure;

/// Instructions of one pass of each hot path, and what they depend on besides our code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// For who opens the file.
    pub(super) about: String,
    /// Features of the processor that the program saw.
    pub(super) cpu: Vec<String>,
    pub(super) compiler: String,
    pub(super) valgrind: String,
    pub(super) instructions: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!(
                "{name}: {error}; write it anew: cargo xtask bench-check --write"
            ))
        })
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers are JSON");
        fs::write(file, text + "\n")
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
    }

    /// What the processor shows here and did not show then, or the other way round.
    pub(super) fn on_another_processor(&self, recorded: &Self) -> Option<String> {
        let [here, there]: [BTreeSet<&str>; 2] =
            [self, recorded].map(|counts| counts.cpu.iter().map(String::as_str).collect());
        let list = |names: Vec<&str>| match names.len() {
            0 => "nothing".to_string(),
            _ => names.join(" "),
        };
        (here != there).then(|| {
            format!(
                "the counts were recorded on another kind of processor (only there: {}; only here: {})",
                list(there.difference(&here).copied().collect()),
                list(here.difference(&there).copied().collect()),
            )
        })
    }

    /// Another compiler or valgrind than then may count a little differently.
    pub(super) fn by_other_tools(&self, recorded: &Self) -> Option<String> {
        let then = (&recorded.compiler, &recorded.valgrind);
        let now = (&self.compiler, &self.valgrind);
        (then != now).then(|| {
            format!(
                "recorded by {}, {}; counted by {}, {}",
                then.0, then.1, now.0, now.1
            )
        })
    }
}

/// Each path's count then and now.
pub(super) struct Comparison(Vec<Line>);

struct Line {
    name: String,
    recorded: Option<u64>,
    now: Option<u64>,
}

impl Comparison {
    pub(super) fn of(recorded: &Counts, now: &Counts) -> Self {
        let names: BTreeSet<&String> = recorded
            .instructions
            .keys()
            .chain(now.instructions.keys())
            .collect();
        let line = |name: &String| Line {
            name: name.clone(),
            recorded: recorded.instructions.get(name).copied(),
            now: now.instructions.get(name).copied(),
        };
        Self(names.into_iter().map(line).collect())
    }

    /// Fails when a path takes more than [`LIMIT_PERCENT`] longer, or is there only now or only then.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let of = |wanted: Change| -> Vec<&str> {
            self.0
                .iter()
                .filter(|line| line.change() == wanted)
                .map(|line| line.name.as_str())
                .collect()
        };
        let (worse, strange) = (of(Change::Worse), of(Change::Unrecorded));
        if !worse.is_empty() {
            return Err(Failure::new(format!(
                "more than {LIMIT_PERCENT} % more instructions: {}; if it is worth that, record it and say so in the \
                 commit: cargo xtask bench-check --write",
                worse.join(", ")
            )));
        }
        if !strange.is_empty() {
            return Err(Failure::new(format!(
                "not both recorded and counted: {}; record the paths there are: cargo xtask bench-check --write",
                strange.join(", ")
            )));
        }
        if !of(Change::Better).is_empty() {
            println!("some paths got shorter: record them, or they may grow back unseen");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Little,
    Better,
    Worse,
    Unrecorded,
}

impl Line {
    fn change(&self) -> Change {
        let (Some(recorded), Some(now)) = (self.recorded, self.now) else {
            return Change::Unrecorded;
        };
        let (recorded, now) = (u128::from(recorded), u128::from(now));
        if now * 100 > recorded * (100 + LIMIT_PERCENT) {
            Change::Worse
        } else if now * 100 < recorded * (100 - LIMIT_PERCENT) {
            Change::Better
        } else {
            Change::Little
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts are far below 2^53, and shown with one digit"
    )]
    fn percent(&self) -> Option<f64> {
        let (recorded, now) = self.recorded.zip(self.now)?;
        Some((now as f64 / recorded as f64 - 1.0) * 100.0)
    }
}

/// A path may take this much more, in percent. Between runs, counts differ by less than one.
const LIMIT_PERCENT: u128 = 10;

const HEADING: &str = "instructions of";

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|line| line.name.len());
        let width = names.max().unwrap_or(0).max(HEADING.len());
        writeln!(
            f,
            "{:width$} {:>12} {:>12} {:>9}",
            HEADING, "recorded", "now", "change"
        )?;
        for line in &self.0 {
            let count = |count: Option<u64>| count.map_or("-".into(), |count| count.to_string());
            let change = line
                .percent()
                .map_or("-".into(), |percent| format!("{percent:+.1} %"));
            let remark = match line.change() {
                Change::Little => "",
                Change::Better => "  less",
                Change::Worse => "  TOO MUCH",
                Change::Unrecorded => "  NOT RECORDED, OR GONE",
            };
            writeln!(
                f,
                "{:width$} {:>12} {:>12} {change:>9}{remark}",
                line.name,
                count(line.recorded),
                count(line.now),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: &[(&str, u64)]) -> Counts {
        Counts {
            about: String::new(),
            cpu: ["x86_64", "aes", "avx"].map(str::to_owned).to_vec(),
            compiler: "rustc 1.95.0".into(),
            valgrind: "valgrind-3.19.0".into(),
            instructions: instructions
                .iter()
                .map(|(name, count)| (name.to_string(), *count))
                .collect(),
        }
    }

    fn verdict(recorded: u64, now: u64) -> Result<(), Failure> {
        Comparison::of(&counts(&[("path", recorded)]), &counts(&[("path", now)])).verdict()
    }

    #[test]
    fn a_tenth_more_passes_and_a_hair_beyond_fails() {
        assert!(verdict(1_000, 1_090).is_ok());
        assert!(verdict(1_000, 1_100).is_ok());
        assert!(verdict(1_000, 1_101).is_err());
        assert!(verdict(1_000, 1_110).is_err());
    }

    #[test]
    fn less_always_passes() {
        assert!(verdict(1_000, 1).is_ok());
    }

    #[test]
    fn one_slow_path_among_others_is_named() {
        let recorded = counts(&[("a", 100), ("b", 100), ("c", 100)]);
        let now = counts(&[("a", 100), ("b", 111), ("c", 20)]);
        let failure = Comparison::of(&recorded, &now).verdict().unwrap_err();
        assert!(
            failure.to_string().contains("instructions: b;"),
            "{failure}"
        );
    }

    #[test]
    fn a_path_that_is_new_or_gone_fails() {
        let (one, two) = (counts(&[("a", 1)]), counts(&[("a", 1), ("b", 1)]));
        assert!(Comparison::of(&one, &two).verdict().is_err());
        assert!(Comparison::of(&two, &one).verdict().is_err());
    }

    #[test]
    fn table_shows_both_counts_and_the_change() {
        let table = Comparison::of(&counts(&[("a", 1_000)]), &counts(&[("a", 1_110)])).to_string();
        let line = table
            .lines()
            .last()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(line.unwrap().join(" "), "a 1000 1110 +11.0 % TOO MUCH");
    }

    #[test]
    fn another_processor_is_named_by_what_it_lacks() {
        let recorded = counts(&[]);
        let mut now = recorded.clone();
        assert_eq!(now.on_another_processor(&recorded), None);
        now.cpu = ["x86_64", "aes", "sha"].map(str::to_owned).to_vec();
        let difference = now.on_another_processor(&recorded).unwrap();
        assert!(
            difference.contains("only there: avx; only here: sha"),
            "{difference}"
        );
    }

    #[test]
    fn recorded_counts_survive_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, counts) = (folder.path().join("counts.json"), counts(&[("a", 7)]));
        counts.write(&file).unwrap();
        assert_eq!(Counts::read(&file).unwrap(), counts);
    }
}
