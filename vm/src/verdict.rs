//! Whether a record shows what its scenario must come to.

use super::record::Record;
use super::scenario::{After, Hardware, Scenario};

/// Everything that is wrong; empty is right. The machine's clocks were `ahead` by so many seconds when it booted.
pub(super) fn complaints(scenario: &Scenario, record: &Record, ahead: i64) -> Vec<String> {
    let mut found = Complaints::default();
    found.preparation(scenario, record, ahead);
    found.report(scenario, record);
    if !scenario.is_about_hardware() {
        found.measured(record);
    }
    found.remaining(scenario, record);
    found.clock(scenario, record);
    found.hardware(scenario, record, ahead);
    found.0
}

/// The numbers, for people.
pub(super) fn numbers(scenario: &Scenario, record: &Record) -> String {
    let action = record
        .json
        .as_ref()
        .and_then(|json| json["action"].as_str());
    let mut text = format!(
        "before {:+.3} ms, exit {}, {}, sent {}",
        record.before.offset_ms,
        record.exit,
        action.unwrap_or("no JSON"),
        record.sent
    );
    if let Some(slew) = record.json_ms("slew_ns") {
        text += &format!(", slew of {:.1} s", slew / 1e3);
    }
    if let Some(remaining) = record.json_ms("remaining_ns") {
        text += &format!(", remaining {remaining:+.3} ms");
    }
    if scenario.after == After::Slewed {
        text += &format!(", after {:.1} s", record.elapsed.as_secs_f64());
    }
    text + &format!(
        ", then {:+.3} ± {:.3} ms, by console {:+.0} ms",
        record.after.offset_ms, record.after.bound_ms, record.console_ms
    )
}

#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    /// A clock that was not wrong as planned would prove nothing.
    fn preparation(&mut self, scenario: &Scenario, record: &Record, ahead: i64) {
        let (wanted, tolerance) = scenario.before.offset_ms(ahead);
        let tolerance = tolerance + record.before.bound_ms;
        self.near("offset before", record.before.offset_ms, wanted, tolerance);
    }

    /// The command's own words: exit code, action, and packets sent or not.
    fn report(&mut self, scenario: &Scenario, record: &Record) {
        if record.exit != scenario.exit {
            let stderr = &record.stderr;
            self.add(format!("exit {} {stderr}", record.exit));
        }
        let json = record.json.as_ref();
        let action = json.and_then(|json| json["action"].as_str());
        if action != scenario.action {
            self.add(format!("action {action:?}, not {:?}", scenario.action));
        }
        for (pointer, wanted) in scenario.json {
            let word = json.and_then(|json| json.pointer(pointer)?.as_str());
            if word != Some(wanted) {
                self.add(format!("{pointer} {word:?}, not {wanted:?}"));
            }
        }
        // Without permission, or a place for what is kept, nothing is sent; that others do shows that the counter counts.
        if (record.sent == 0) != [USAGE, NO_PERMISSION].contains(&scenario.exit) {
            self.add(format!("{} packets sent", record.sent));
        }
    }

    /// The offset that the command found, against the dry run's before it.
    fn measured(&mut self, record: &Record) {
        let Some(offset) = record.json_ms("offset_ns") else {
            return;
        };
        let bounds = record.before.bound_ms + record.json_ms("bound_ns").unwrap_or_default();
        let before = record.before.offset_ms;
        self.near("offset found", offset, before, UNTOUCHED_MS + bounds);
    }

    /// The offset after adjusting, as the command itself tells it.
    fn remaining(&mut self, scenario: &Scenario, record: &Record) {
        let remaining = record.json_ms("remaining_ns");
        if remaining.is_some() != scenario.verifies() {
            self.add(format!("remaining {remaining:?} ms"));
        }
        let Some(remaining) = remaining else { return };
        // It cannot do better than it knew.
        let bounds = ["bound_ns", "remaining_bound_ns"];
        let bound: f64 = bounds.iter().filter_map(|key| record.json_ms(key)).sum();
        if scenario.after == After::Slewed {
            let offset = record.json_ms("offset_ns").unwrap_or_default();
            self.near("remaining", remaining, offset, BEGUN_MS + bound);
            // A microsecond takes two milliseconds.
            let slew = record.json_ms("slew_ns").unwrap_or_default();
            self.near("slew_ns", slew, offset.abs() * 2000.0, 2.0);
        } else {
            self.near("remaining", remaining, 0.0, STEPPED_MS + bound);
        }
    }

    /// The clock itself, by a dry run and by the host.
    fn clock(&mut self, scenario: &Scenario, record: &Record) {
        let (before, after) = (record.before, record.after);
        let known = record.json_ms("bound_ns").unwrap_or_default();
        let bounds = before.bound_ms + known + after.bound_ms;
        let (wanted, tolerance) = match scenario.after {
            After::Right => (0.0, STEPPED_MS + known + after.bound_ms),
            After::Untouched => (before.offset_ms, UNTOUCHED_MS + bounds),
            After::Slewed => (0.0, SLEWED_MS + bounds),
        };
        self.near("offset after", after.offset_ms, wanted, tolerance);
        self.near("console", record.console_ms, after.offset_ms, CONSOLE_MS);
    }

    /// The battery-backed clock, by the host.
    fn hardware(&mut self, scenario: &Scenario, record: &Record, ahead: i64) {
        let wanted = match scenario.hardware {
            Hardware::Untouched => ahead as f64,
            Hardware::Right => 0.0,
        };
        let (is, wanted) = (record.hardware_s * 1e3, wanted * 1e3);
        self.near("hardware clock", is, wanted, HARDWARE_MS);
    }

    fn near(&mut self, what: &str, is: f64, wanted: f64, tolerance: f64) {
        // Written so that a NaN is a complaint.
        if (is - wanted).abs() <= tolerance {
            return;
        }
        self.add(format!(
            "{what} is {is:+.3} ms, not {wanted:+.3} ± {tolerance:.3} ms"
        ));
    }

    fn add(&mut self, complaint: String) {
        self.0.push(complaint);
    }
}

const USAGE: u8 = 2;
const NO_PERMISSION: u8 = 6;

// Tolerances in milliseconds; those of dry runs come on top.

/// A clock that was set right.
const STEPPED_MS: f64 = 20.0;
/// Between two looks at a clock that nobody touched.
const UNTOUCHED_MS: f64 = 5.0;
/// At the end of a slew: the kernel takes whole microseconds, and the guest's rate is not quite the host's.
const SLEWED_MS: f64 = 1.0;
/// What a slew may have made up when the command looks again.
const BEGUN_MS: f64 = 2.0;
/// The quickest of a few lines on its way from the guest.
const CONSOLE_MS: f64 = 250.0;
/// It shows whole seconds, and a line is late.
const HARDWARE_MS: f64 = 3000.0;

#[cfg(test)]
mod tests {
    use super::super::machines::{MACHINES, SLEWED};
    use super::super::record::tests::lines;
    use super::super::scenario::PLAIN;
    use super::*;

    fn scenario(start: &str) -> &'static Scenario {
        let machines = MACHINES.iter().chain([&SLEWED]);
        let mut rows = machines.flat_map(|machine| machine.scenarios);
        let found = rows.find(|row| row.name.starts_with(start));
        found.expect("the tables have it")
    }

    /// A run as it should be: offsets in milliseconds, bounds of 2 ms each, a console that takes 10 ms.
    struct Run {
        before: f64,
        exit: u8,
        sent: u64,
        json: String,
        elapsed: f64,
        after: f64,
    }

    impl Run {
        fn complaints(&self, start: &str) -> Vec<String> {
            let clock = 1e9 - (self.after - 10.0) * 1e3 + self.elapsed * 1e6;
            let record = Record::of(&lines(&[
                (0.0, &look("before", self.before)),
                (0.0, &format!("@ exit {}", self.exit)),
                (0.0, &format!("@ sent {}", self.sent)),
                (0.0, &format!("@ out {}", self.json)),
                (0.0, "@ err reason"),
                (self.elapsed, &look("after", self.after)),
                (self.elapsed, &format!("@ clock 0 {clock}")),
                (
                    self.elapsed,
                    &format!("@ hardware {}", 4600.0 + self.elapsed),
                ),
            ]));
            complaints(scenario(start), &record.unwrap(), 3600)
        }
    }

    fn look(key: &str, ms: f64) -> String {
        format!(r#"@ {key} {{"offset_ns":{},"bound_ns":2000000}}"#, ms * 1e6)
    }

    fn stepped() -> Run {
        Run {
            before: 310.0,
            exit: 0,
            sent: 20,
            json: r#"{"action":"step","remaining_ns":-400000,"remaining_bound_ns":1000000}"#.into(),
            elapsed: 0.5,
            after: 0.3,
        }
    }

    fn slewed() -> Run {
        Run {
            before: 52.0,
            exit: 0,
            sent: 20,
            json: r#"{"action":"slew","slew_ns":104000000000,"offset_ns":52000400,
                "remaining_ns":51900000,"remaining_bound_ns":1000000}"#
                .replace('\n', ""),
            elapsed: 107.5,
            after: 0.3,
        }
    }

    fn refused() -> Run {
        Run {
            before: 3310.0,
            exit: 5,
            sent: 20,
            json: r#"{"action":"refused","remaining_ns":null}"#.into(),
            elapsed: 0.5,
            after: 3310.1,
        }
    }

    fn forbidden() -> Run {
        Run {
            before: 310.0,
            exit: 6,
            sent: 0,
            json: String::new(),
            elapsed: 0.5,
            after: 310.0,
        }
    }

    #[test]
    fn right_runs_pass() {
        let none: [String; 0] = [];
        assert_eq!(stepped().complaints("300 ms"), none);
        assert_eq!(slewed().complaints("50 ms"), none);
        assert_eq!(refused().complaints("3 s behind is"), none);
        assert_eq!(forbidden().complaints("not root"), none);
    }

    /// That there is one complaint, and what it is about.
    #[track_caller]
    fn wrong(run: &Run, start: &str, about: &str) {
        let complaints = run.complaints(start);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with(about), "{complaints:?}");
    }

    #[test]
    fn clock_that_was_not_wrong_proves_nothing() {
        let mut run = stepped();
        run.before = 0.0;
        wrong(&run, "300 ms", "offset before");
    }

    #[test]
    fn step_that_misses_is_wrong_by_either_judge() {
        let mut run = stepped();
        run.after = 22.1;
        wrong(&run, "300 ms", "offset after");
        let mut run = stepped();
        run.json = run.json.replace("-400000", "21100000");
        wrong(&run, "300 ms", "remaining");
    }

    #[test]
    fn slew_that_stands_still_or_runs_away_is_wrong() {
        for after in [47.0, 52.0, 104.0, -52.0, 6.0, -6.0] {
            let mut run = slewed();
            run.after = after;
            wrong(&run, "50 ms", "offset after");
        }
    }

    #[test]
    fn offset_found_must_be_the_one_that_is_there() {
        let mut run = stepped();
        run.json = run.json.replace('{', r#"{"offset_ns":302900000,"#);
        wrong(&run, "300 ms", "offset found");
        run.json = run.json.replace("302900000", "303100000");
        assert_eq!(run.complaints("300 ms").len(), 0);
    }

    #[test]
    fn duration_of_the_slew_must_be_that_of_500_ppm() {
        let mut run = slewed();
        run.json = run.json.replace("104000000000", "52000000000");
        wrong(&run, "50 ms", "slew_ns");
    }

    #[test]
    fn exit_code_action_and_missing_second_look_are_seen() {
        let mut run = stepped();
        run.exit = 1;
        wrong(&run, "300 ms", "exit 1 reason");
        let mut run = stepped();
        run.json = run.json.replace("step", "slew");
        wrong(&run, "300 ms", "action");
        let mut run = stepped();
        run.json = run.json.replace("remaining_ns", "x");
        wrong(&run, "300 ms", "remaining None");
        wrong(&stepped(), "--no-verify", "remaining Some");
    }

    #[test]
    fn refused_change_that_was_made_is_wrong() {
        for (mut run, start) in [(refused(), "3 s behind is"), (forbidden(), "not root")] {
            run.after = 0.0;
            wrong(&run, start, "offset after");
        }
    }

    #[test]
    fn words_of_the_json_and_the_hardware_clock_are_seen() {
        let words = [("/trust/state", "verified")];
        let row = Scenario {
            json: Box::leak(Box::new(words)),
            ..PLAIN
        };
        let record = |state: &str, hardware: &str| {
            let json = format!(r#"@ out {{"action":"none","trust":{{"state":"{state}"}}}}"#);
            let record = Record::of(&lines(&[
                (0.0, &look("before", 0.0)),
                (0.0, "@ exit 0"),
                (0.0, "@ sent 1"),
                (0.0, &json),
                (0.0, "@ err"),
                (0.0, &look("after", 0.0)),
                (0.0, "@ clock 1000 0"),
                (0.0, hardware),
            ]));
            complaints(&row, &record.unwrap(), -500)
        };
        let none: [String; 0] = [];
        assert_eq!(record("verified", "@ hardware 500"), none);
        assert!(record("tentative", "@ hardware 500")[0].starts_with("/trust/state"));
        assert!(record("verified", "@ hardware 1000")[0].starts_with("hardware clock"));
    }

    #[test]
    fn packet_without_permission_is_wrong_and_none_with_it_too() {
        let mut run = forbidden();
        run.sent = 1;
        wrong(&run, "not root", "1 packets");
        let mut run = stepped();
        run.sent = 0;
        wrong(&run, "300 ms", "0 packets");
    }
}
