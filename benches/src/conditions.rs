//! The conditions a figure was measured under.

use std::fmt;
use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Where, when and how a measurement was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    date: String,
    kernel: String,
    cores: usize,
    processor: String,
    profile: String,
    /// Tasks that wanted to run in the last minute, before the measurement began; none where it is not told.
    load_average: Option<f64>,
}

impl Conditions {
    /// Looks at this machine now.
    pub fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            date: OffsetDateTime::now_utc().date().to_string(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cores: thread::available_parallelism().map_or(1, Into::into),
            processor: processor(&read("/proc/cpuinfo")),
            profile: if cfg!(debug_assertions) {
                "debug (figures are worth nothing)"
            } else {
                "release"
            }
            .into(),
            load_average: load_average(),
        }
    }

    /// The machine and the build, without the day.
    pub(crate) fn machine(&self) -> String {
        format!(
            "{} cores ({}), Linux {}, {} build",
            self.cores, self.processor, self.kernel, self.profile
        )
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "date": self.date,
            "kernel": self.kernel,
            "cores": self.cores,
            "processor": self.processor,
            "profile": self.profile,
            "load_average": self.load_average,
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, Linux {}, {} cores ({}), {} build, load average before ",
            self.date, self.kernel, self.cores, self.processor, self.profile
        )?;
        match self.load_average {
            Some(load) => write!(f, "{load:.2}"),
            None => f.write_str("unknown"),
        }
    }
}

/// Tasks that wanted to run in the last minute; none where the system does not tell.
pub fn load_average() -> Option<f64> {
    first_number(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn processor(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim())
        .to_owned()
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_is_read_from_its_line() {
        assert_eq!(
            processor("a\t: 1\nmodel name\t: Some CPU\nb\t: 2\n"),
            "Some CPU"
        );
        assert_eq!(processor(""), "unknown");
    }

    #[test]
    fn load_average_is_the_first_number() {
        assert_eq!(first_number("0.46 1.90 1.65 1/99 123\n"), Some(0.46));
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn conditions_without_a_load_average_survive_their_json() {
        let conditions = Conditions {
            load_average: None,
            ..Conditions::now()
        };
        let text = serde_json::to_string(&conditions).unwrap();
        assert_eq!(
            serde_json::from_str::<Conditions>(&text).unwrap(),
            conditions
        );
        assert!(
            conditions
                .to_string()
                .ends_with("load average before unknown")
        );
    }

    #[test]
    fn this_machine_states_its_kernel_and_profile() {
        let conditions = Conditions::now();
        assert!(!conditions.kernel.is_empty());
        assert_eq!(
            conditions.profile.starts_with("debug"),
            cfg!(debug_assertions)
        );
    }
}
