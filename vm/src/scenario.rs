//! What a scenario is, and how it is written for the guest.

/// A machine: its battery-backed clock, and what is tried there in this order.
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) battery: Battery,
    pub(super) scenarios: &'static [Scenario],
}

/// What the battery-backed clock shows at power-on, and with it the machine's own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Battery {
    /// The host's time and so many seconds.
    Ahead(i64),
    /// So many seconds since 1970.
    Shows(i64),
}

/// One row: a wrong clock, a command, and the outcome.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) before: Before,
    pub(super) user: &'static str,
    /// As typed; `$SERVERS` stands for two servers with their pins, `$DATED` for three with certificates that began an
    /// hour ago, both with `--json`, and `$SERVERS` with a patient `--timeout`.
    pub(super) command: &'static str,
    pub(super) exit: u8,
    /// `action` in the JSON; none when there is no JSON, or it has none.
    pub(super) action: Option<&'static str>,
    /// More of the JSON: pointers and the words found there.
    pub(super) json: &'static [(&'static str, &'static str)],
    pub(super) after: After,
    pub(super) hardware: Hardware,
}

/// The clock before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// As the machine booted.
    Booted,
    Right,
    /// Put back by so many seconds, and up to another, by a step.
    Behind(u8),
    /// Behind by so many milliseconds (ahead, if negative) after it ran at a wrong rate: commands that are late matter
    /// little.
    Drifted(i16),
}

/// The clock after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Right,
    Untouched,
    /// Right when the slew is to have ended, and hardly nearer at once.
    Slewed,
}

/// The battery-backed clock after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hardware {
    Untouched,
    Right,
}

/// What rows do not say: root asks the servers with the clock right, and nothing is done.
pub(super) const PLAIN: Scenario = Scenario {
    name: "",
    before: Before::Right,
    user: "root",
    command: "tsq-adjtime $SERVERS",
    exit: 0,
    action: Some("none"),
    json: &[],
    after: After::Untouched,
    hardware: Hardware::Untouched,
};

impl Battery {
    /// What it shows when the time is `now`, both in seconds since 1970.
    pub(super) fn shows(self, now: i64) -> i64 {
        match self {
            Self::Ahead(seconds) => now + seconds,
            Self::Shows(seconds) => seconds,
        }
    }
}

impl Machine {
    /// Its rows as a branch of the guest's script.
    pub(super) fn script(&self) -> String {
        let rows: String = self.scenarios.iter().map(Scenario::script).collect();
        format!("{})\n{rows};;\n", self.name)
    }
}

impl Scenario {
    /// The row as lines of the guest's script.
    fn script(&self) -> String {
        let rest = match self.after {
            After::Slewed => "slewed\n",
            After::Right | After::Untouched => "",
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

    /// Whether the command is about the battery-backed clock, and so is the offset it tells.
    pub(super) fn is_about_hardware(&self) -> bool {
        self.command.starts_with("tsq-adjtime rtc ")
    }
}

impl Before {
    fn script(self) -> String {
        match self {
            Self::Booted => "booted".into(),
            Self::Right => "right".into(),
            Self::Behind(seconds) => format!("behind {seconds}"),
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

    /// The offset in milliseconds, and how far from it a scenario still tests what it says; the machine's clock was
    /// `ahead` by so many seconds when it booted.
    pub(super) fn offset_ms(self, ahead: i64) -> (f64, f64) {
        match self {
            // The battery-backed clock counts whole seconds, and runs while the machine boots.
            Self::Booted => (ahead as f64 * -1e3, 3000.0),
            Self::Right => (0.0, 20.0),
            // Late commands put the clock back farther.
            Self::Behind(seconds) => (f64::from(seconds) * 1e3 + 1500.0, 1510.0),
            // And here farther off: it must stay below what is stepped, or refused.
            Self::Drifted(ms) => {
                let late = match ms.abs() {
                    ..10 => 18.0,
                    10..100 => 75.0,
                    _ => 600.0,
                };
                let middle = f64::from(ms.abs()) + late / 2.0;
                (middle * f64::from(ms.signum()), late / 2.0 + 1.2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_a_branch_of_the_script() {
        const ROW: Scenario = Scenario {
            before: Before::Drifted(50),
            after: After::Slewed,
            ..PLAIN
        };
        let machine = Machine {
            name: "one",
            battery: Battery::Shows(7),
            scenarios: &[ROW],
        };
        assert_eq!(
            machine.script(),
            "one)\nsay begin\ndrifted 9000 500\nlook before\ntry root 'tsq-adjtime $SERVERS'\nslewed\nlook after\nclock\nsay end\n;;\n"
        );
        assert_eq!(Before::Drifted(-2).script(), "drifted 10100 200");
    }

    #[test]
    fn only_what_adjusts_and_is_not_told_otherwise_looks_again() {
        let verifies = |action, command| {
            let row = Scenario {
                action: Some(action),
                command,
                ..PLAIN
            };
            row.verifies()
        };
        assert!(verifies("step", "x") && verifies("slew", "x"));
        assert!(!verifies("refused", "x") && !verifies("none", "x"));
        assert!(!verifies("step", "x --no-verify"));
    }

    #[test]
    fn battery_is_off_by_seconds_or_shows_a_date() {
        assert_eq!(Battery::Ahead(-5).shows(100), 95);
        assert_eq!(Battery::Shows(7).shows(100), 7);
    }
}
