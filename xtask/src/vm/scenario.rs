//! What is tried in the guest, and what must come of it.

use std::time::Duration;

/// One row: a wrong clock, a command, and the outcome.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) before: Before,
    pub(super) user: &'static str,
    /// As typed; `$SERVERS` stands for the servers, their pins, `--json` and a patient `--timeout`.
    pub(super) command: &'static str,
    pub(super) exit: u8,
    /// `action` in the JSON; none when no JSON is to be printed.
    pub(super) action: Option<&'static str>,
    /// How long the clock is left alone before it is judged.
    pub(super) rest: Duration,
    pub(super) after: After,
}

/// The clock before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// As the machine booted, [`BOOTED_BEHIND`].
    Booted,
    Right,
    /// Put back by so many milliseconds, by a step.
    Behind(u16),
    /// Behind by so many milliseconds (ahead, if negative) after it ran at a wrong rate: as exact as a slew test needs.
    Drifted(i16),
}

/// The clock after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Right,
    Untouched,
    /// Nearer by 500 ppm of the time that passed, but never past the goal.
    Slewed,
}

/// How wrong the guest's battery-backed clock is.
pub(super) const BOOTED_BEHIND: Duration = Duration::from_secs(17 * 3600);

pub(super) const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "17 h behind since boot is stepped",
        before: Before::Booted,
        command: "tsq-adjtime $SERVERS --max-offset 100000000",
        action: Some("step"),
        after: After::Right,
        ..PLAIN
    },
    Scenario {
        name: "300 ms behind is stepped",
        before: Before::Behind(300),
        action: Some("step"),
        after: After::Right,
        ..PLAIN
    },
    Scenario {
        name: "50 ms behind is slewed",
        before: Before::Drifted(50),
        action: Some("slew"),
        rest: Duration::from_secs(20),
        after: After::Slewed,
        ..PLAIN
    },
    Scenario {
        name: "2 ms ahead is slewed to the end",
        before: Before::Drifted(-2),
        action: Some("slew"),
        rest: Duration::from_secs(8),
        after: After::Slewed,
        ..PLAIN
    },
    Scenario {
        name: "1.5 s behind is past the limit",
        before: Before::Behind(1500),
        exit: 5,
        action: Some("refused"),
        ..PLAIN
    },
    Scenario {
        name: "not root is refused at once",
        before: Before::Behind(300),
        user: "nobody",
        exit: 6,
        action: None,
        ..PLAIN
    },
    Scenario {
        name: "--no-verify does not look again",
        before: Before::Behind(300),
        command: "tsq-adjtime $SERVERS --no-verify",
        action: Some("step"),
        after: After::Right,
        ..PLAIN
    },
    Scenario {
        name: "self-test works",
        command: "tsq-adjtime self-test --queries 10 --json",
        ..PLAIN
    },
];

/// What rows do not say: root asks the servers with the clock right, and nothing is done.
const PLAIN: Scenario = Scenario {
    name: "",
    before: Before::Right,
    user: "root",
    command: "tsq-adjtime $SERVERS",
    exit: 0,
    action: Some("none"),
    rest: Duration::ZERO,
    after: After::Untouched,
};

impl Scenario {
    /// The row as lines of the guest's script.
    pub(super) fn script(&self) -> String {
        let rest = match self.rest.as_secs() {
            0 => String::new(),
            seconds => format!("sleep {seconds}\n"),
        };
        format!(
            "say begin\n{}\nlook before\ntry {} '{}'\n{rest}look after\nclock\nsay end\n",
            self.before.script(),
            self.user,
            self.command
        )
    }

    /// Whether the command is to measure again after adjusting.
    pub(super) fn verifies(&self) -> bool {
        matches!(self.action, Some("step" | "slew")) && !self.command.contains("--no-verify")
    }
}

impl Before {
    fn script(self) -> String {
        match self {
            Self::Booted => "booted".into(),
            Self::Right => "right".into(),
            Self::Behind(ms) => format!("behind {ms}"),
            Self::Drifted(ms) => {
                // By 10 %, or where a late end would spoil it by 1 %.
                let (off, factor) = if ms.abs() < 10 {
                    (100, 100)
                } else {
                    (1000, 10)
                };
                let tick = 10_000 - off * ms.signum();
                format!("drifted {tick} {}", ms.abs() * factor)
            }
        }
    }

    /// The offset in milliseconds, and how far from it a scenario still tests what it says.
    pub(super) fn offset_ms(self) -> (f64, f64) {
        match self {
            // The battery-backed clock counts whole seconds, and runs while the machine boots.
            Self::Booted => (BOOTED_BEHIND.as_secs_f64() * 1e3, 2000.0),
            Self::Right => (0.0, 20.0),
            // Late commands put the clock back farther; it must stay beyond what is slewed.
            Self::Behind(ms) => (f64::from(ms), 170.0),
            Self::Drifted(ms) => (f64::from(ms), 1.2 + 0.1 * f64::from(ms.abs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_becomes_its_lines_of_script() {
        let slew = SCENARIOS.iter().find(|s| s.rest.as_secs() == 20).unwrap();
        assert_eq!(
            slew.script(),
            "say begin\ndrifted 9000 500\nlook before\ntry root 'tsq-adjtime $SERVERS'\nsleep 20\nlook after\nclock\nsay end\n"
        );
        assert_eq!(Before::Drifted(-2).script(), "drifted 10100 200");
    }

    #[test]
    fn only_what_adjusts_and_is_not_told_otherwise_looks_again() {
        let verifies = |start: &str| {
            let found = SCENARIOS.iter().find(|s| s.name.starts_with(start));
            found.unwrap().verifies()
        };
        assert!(verifies("300 ms") && verifies("50 ms"));
        assert!(!verifies("1.5 s") && !verifies("--no-verify") && !verifies("self-test"));
    }
}
